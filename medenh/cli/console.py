"""What the command line says: data on stdout, all else on stderr."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "answer_error",
    "configure_logging",
    "expect_json",
    "human_size",
    "one_line",
    "stderr_console",
    "to_json",
    "warn",
    "write",
    "write_json",
    "write_table",
]


def one_line(text: object) -> str:
    """Return text on one line, without control characters a file name may bring."""
    flat = " ".join(str(text).split())
    return "".join(c if c.isprintable() else "?" for c in flat)


def write(text: str) -> None:
    """Write one line of data to stdout."""
    sys.stdout.write(text + "\n")


def warn(text: object, *, kind: str = "warning") -> None:
    """Say one thing on stderr."""
    sys.stderr.write(f"{kind}: {one_line(text)}\n")


def stderr_console(*, quiet: bool = False) -> Console:
    """Return the console for progress and notes; a silent one if ``quiet``."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, highlight=False)


def to_json(document: Any) -> str:
    """Return a document as strict JSON; NaN and infinity become null.

    Examples
    --------
    >>> to_json([float("inf"), 2]).split()
    ['[', 'null,', '2', ']']
    """
    return json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False)


class _Answer:
    """The one JSON document of ``--json``."""

    owed = False


_answer = _Answer()


def expect_json(wanted: bool) -> None:
    """Note whether ``--json`` was asked for: whatever happens, a document follows."""
    _answer.owed = wanted


def answer_error(error: str, code: str) -> None:
    """Write an error as the JSON document, where one is owed.

    Parameters
    ----------
    error : str
        What happened, and what to do.
    code : str
        As `MedenhError.code`.
    """
    if _answer.owed:
        write_json({"error": error, "code": code})


def write_json(document: Any) -> None:
    """Write the one JSON document of ``--json`` to stdout."""
    _answer.owed = False
    # a name that no locale can spell must not end the run
    text = to_json(document).encode("utf-8", "backslashreplace").decode("utf-8")
    write(text)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, PathLike):
        return fspath(value)
    if hasattr(value, "item"):  # a number of numpy or torch
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table to stdout: drawn on a terminal, plain columns in a pipe."""
    texts = [[one_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(headers, texts)
        return
    lines = [list(headers), *texts]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    for line in lines:
        cells = [c.ljust(width) for c, width in zip(line, widths, strict=True)]
        write("  ".join(cells).rstrip())


def _draw(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, header in enumerate(headers):
        table.add_column(header, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console(highlight=False).print(table)


def human_size(size_bytes: int) -> str:
    """Return a size as people read it.

    Examples
    --------
    >>> human_size(999), human_size(8_400_000)
    ('999 B', '8.4 MB')
    """
    if size_bytes < 1000:
        return f"{size_bytes} B"
    for unit, factor in (("kB", 1e3), ("MB", 1e6)):
        if size_bytes < 1000 * factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes / 1e9:.1f} GB"


class _LineHandler(logging.Handler):
    """Say what the library logs, a line each, on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage(), kind=record.levelname.lower())


def configure_logging(level: int) -> None:
    """Show what medenh logs from ``level`` on, and nothing twice."""
    logger = logging.getLogger("medenh")
    logger.setLevel(level)
    logger.propagate = False
    if not any(isinstance(handler, _LineHandler) for handler in logger.handlers):
        logger.addHandler(_LineHandler())
