"""What the command line says: data on stdout, all else on stderr."""

from __future__ import annotations

import codecs
import json
import logging
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from medenh.errors import (
    MedenhError,
    OutOfMemoryError,
    OutputError,
    is_out_of_memory,
)

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "answer_error",
    "as_command_error",
    "as_document",
    "can_show",
    "configure_logging",
    "expect_json",
    "human_size",
    "one_line",
    "pace",
    "quieten_logging",
    "say",
    "spelled_name",
    "stderr_console",
    "tell_passed_over",
    "to_json",
    "warn",
    "warn_once",
    "write",
    "write_json",
    "write_table",
]

# none within a name
_NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)")


def one_line(text: object) -> str:
    """Return text on one line, without control characters a file name may bring."""
    flat = " ".join(spelled_name(str(text)).split())
    return "".join(c if c.isprintable() else "?" for c in flat)


def spelled_name(text: str) -> str:
    r"""Return text as Unicode; bytes of a name that are no UTF-8 as ``\xNN``.

    Examples
    --------
    >>> spelled_name("caf\udce9.png")
    'caf\\xe9.png'
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, in a name of Windows
        data = text.encode("utf-8", "backslashreplace")
    return data.decode("utf-8", "backslashreplace")


def can_show(text: str) -> bool:
    """Tell whether stdout's encoding has all characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def write(text: str) -> None:
    """Write one line of data to stdout."""
    sys.stdout.write(text + "\n")


def say(text: object) -> None:
    """Write one line to stdout, whatever the text holds."""
    write(one_line(text))


def warn(text: object, *, kind: str = "warning") -> None:
    """Say one thing on stderr."""
    sys.stderr.write(f"{kind}: {one_line(text)}\n")


def warn_once(warnings: Iterable[tuple[object, str]]) -> None:
    """Say each warning once, with the first file that has it and how many more.

    Those that differ in numbers only, as probabilities of frames do, are one, which
    says so.

    Parameters
    ----------
    warnings : iterable of (file, warning)
    """
    seen: dict[str, list[tuple[object, str]]] = {}
    for file, warning in warnings:
        seen.setdefault(_NUMBER.sub("#", warning), []).append((file, warning))
    for group in seen.values():
        file, first = group[0]
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        if any(warning != first for _, warning in group):
            more += " (figures differ)"
        warn(f"{file}{more}: {first}")


def tell_passed_over(kinds: Mapping[str, int]) -> None:
    """Say on stderr, on one line, what folders hold that is not taken."""
    if kinds:
        from medenh.formats.discover import in_words

        sys.stderr.write(one_line(in_words(kinds)) + "\n")


def stderr_console(*, quiet: bool = False) -> Console:
    """Return the console for progress and notes; a silent one if ``quiet``."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, highlight=False)


def to_json(document: Any, *, ascii_only: bool = False) -> str:
    """Return a document as strict JSON; NaN and infinity become null.

    Parameters
    ----------
    document : any
        What it is made of; names are as by `spelled_name`.
    ascii_only : bool
        Escape all other characters.

    Examples
    --------
    >>> to_json([float("inf"), 2]).split()
    ['[', 'null,', '2', ']']
    """
    plain = _plain(document)
    return json.dumps(plain, indent=2, ensure_ascii=ascii_only, allow_nan=False)


class _Answer:
    """The one JSON document of ``--json``."""

    owed = False


_answer = _Answer()


def expect_json(wanted: bool) -> None:
    """Note whether ``--json`` was asked for: whatever happens, a document follows."""
    _answer.owed = wanted


def as_command_error(error: Exception) -> MedenhError:
    """Return an error of our own kind, whatever was raised and ends a command."""
    if is_out_of_memory(error):
        return OutOfMemoryError("out of memory", hint="close other programs")
    if isinstance(error, MedenhError):
        return error
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return MedenhError(what, hint="a fault in medenh; --debug shows where")


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
        # an error on the way already: that stdout fails too adds nothing
        with suppress(SystemExit, OutputError):
            write_json({"error": error, "code": code})


def write_json(document: Any) -> None:
    """Write the one JSON document of ``--json`` to stdout."""
    _answer.owed = False
    # JSON is UTF-8, of which ASCII is the part that all encodings share
    encoding = codecs.lookup(sys.stdout.encoding or "utf-8").name
    write(to_json(document, ascii_only=encoding != "utf-8"))


class _Summary(Protocol):
    error: str
    code: str

    def to_json(self) -> Any: ...


_Filled = TypeVar("_Filled", bound=_Summary)


@contextmanager
def as_document(summary: _Filled, *, wanted: bool) -> Iterator[_Filled]:
    """Give a summary to be filled, and print it as JSON however the run ends."""
    try:
        yield summary
    except Exception as error:
        ours = as_command_error(error)
        summary.error, summary.code = str(ours), ours.code
        raise
    except KeyboardInterrupt:
        summary.error = summary.code = "interrupted"
        raise
    finally:
        if wanted:
            write_json(summary.to_json())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {spelled_name(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return spelled_name(str(value))
    if isinstance(value, Sequence | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, PathLike):
        return spelled_name(fspath(value))
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


def pace(count: float, seconds: float, unit: str = "images") -> str:
    """Return how fast things went, as people read it.

    Examples
    --------
    >>> pace(30, 8), pace(3, 60), pace(1, 150)
    ('3.8 images/s', '20 s each', '2.5 min each')
    """
    if count > seconds:
        return f"{count / seconds:.1f} {unit}/s" if seconds else f"{count:.0f} {unit}"
    each = seconds / count
    return f"{each:.3g} s each" if each < 100 else f"{each / 60:.1f} min each"


class _LineHandler(logging.Handler):
    """Say what the library logs, a line each, on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage(), kind=record.levelname.lower())


def configure_logging(level: int) -> None:
    """Show what medenh logs from ``level`` on, and nothing twice."""
    # it tells at length of a home folder without room for its settings
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    logger = logging.getLogger("medenh")
    logger.setLevel(level)
    logger.propagate = False
    if not _line_handlers():
        logger.addHandler(_LineHandler())
    for handler in _line_handlers():
        handler.setLevel(logging.NOTSET)  # as told of each logger


def quieten_logging() -> None:
    """Show only errors of what medenh logs."""
    # the logger stays as it is: others may listen
    for handler in _line_handlers():
        handler.setLevel(logging.ERROR)


def _line_handlers() -> list[logging.Handler]:
    handlers = logging.getLogger("medenh").handlers
    return [handler for handler in handlers if isinstance(handler, _LineHandler)]
