"""The `medenh` command: verbs, the version, and what errors become.

Exit codes: 0 all done; 1 some inputs failed, the rest written; 2 wrong usage; 3 nothing
readable; 4 weights missing or not as hashed; 5 out of memory; 6 refused; 130
interrupted; 141 the reader of a pipe went away.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from importlib import import_module
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from medenh import __version__
from medenh.cli.console import (
    answer_error,
    as_command_error,
    configure_logging,
    expect_json,
    warn,
    write,
)
from medenh.cli.streams import PIPE_CLOSED, prepare_streams
from medenh.device import keep_freed_memory
from medenh.errors import (
    MedenhError,
    OutputError,
    UsageError,
    exit_code,
)
from medenh.paths import check_present_folder

__all__ = ["VERBS", "create_app", "main"]

# in the order of `--help`; each module has `register(app)` and imports nothing heavy
VERBS = (
    "enhance",
    "degrade",
    "evaluate",
    "inspect",
    "train",
    "models",
    "doctor",
    "demo",
)

_INTERRUPTED = 130
_TERMINATED = 143


class _Terminated(KeyboardInterrupt):
    """SIGTERM where no run waits for it: what is being done ends as by Ctrl-C."""


def _ended_by(error: KeyboardInterrupt) -> int:
    warn("interrupted", kind="error")
    answer_error("interrupted", "interrupted")
    return _TERMINATED if isinstance(error, _Terminated) else _INTERRUPTED


class _Verbs(TyperGroup):
    """A group whose verbs end alike, whatever typer does with these in its versions."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _endings():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _endings():
            check_present_folder()  # torch's libraries cannot be loaded without it
            return super().invoke(ctx)


@contextmanager
def _endings() -> Iterator[None]:
    """Give Ctrl-C and a closed pipe their codes, and words typer refuses a document.

    Typer itself says on stderr what is wrong with the words.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise typer.Exit(_ended_by(error)) from None
    except BrokenPipeError:
        raise typer.Exit(PIPE_CLOSED) from None
    except Exception as error:
        # of Click, or of the copy of Click that typer brings
        if hasattr(error, "format_message"):
            answer_error(error.format_message(), UsageError.code)
        raise


def create_app() -> typer.Typer:
    """Return the command line with all its verbs."""
    app = typer.Typer(
        name="medenh",
        cls=_Verbs,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for verb in VERBS:
        import_module(f"medenh.cli.{verb}").register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        write(f"medenh {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help="Show tracebacks; may stand anywhere on the line."
        ),
    ] = False,
) -> None:
    """Make low-quality medical images better. Not a medical device."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments : sequence of str, optional
        In place of the process's own.
    """
    prepare_streams()
    keep_freed_memory()
    given = _filled_in(sys.argv[1:]) if arguments is None else arguments
    words, debug = _take_debug(given)
    configure_logging(logging.DEBUG if debug else logging.WARNING)
    expect_json("--json" in words[: _end_of_options(words)])
    with _sigterm_heard():
        code = _run(words, debug=debug)
    if code not in (0, PIPE_CLOSED):
        answer_error(f"ended with exit code {code}", MedenhError.code)
    sys.exit(_flush(code))


@contextmanager
def _sigterm_heard() -> Iterator[None]:
    """Let SIGTERM end work as Ctrl-C does: processes are ended, ``--json`` answers."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _filled_in(words: Sequence[str]) -> list[str]:
    """Put names in place of ``*.png`` on Windows, whose shells leave that to us."""
    if os.name != "nt":
        return list(words)
    filled = []
    for word in words:
        is_pattern = not word.startswith("-") and not {"*", "?"}.isdisjoint(word)
        # brackets are letters of names there
        found = sorted(glob(word.replace("[", "[[]"))) if is_pattern else []  # noqa: PTH207
        filled += found or [word]
    return filled


def _take_debug(words: Sequence[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out, wherever it stands before ``--``."""
    end = _end_of_options(words)
    kept = [word for word in words[:end] if word != "--debug"]
    debug = len(kept) < end or os.environ.get("MEDENH_DEBUG", "") not in ("", "0")
    return [*kept, *words[end:]], debug


def _end_of_options(words: Sequence[str]) -> int:
    return words.index("--") if "--" in words else len(words)


def _run(words: list[str], *, debug: bool) -> int:
    try:
        create_app()(words, prog_name="medenh")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except KeyboardInterrupt as error:  # before a verb began
        return _ended_by(error)
    except Exception as error:
        ours = as_command_error(error)
        answer_error(str(ours), ours.code)
        if debug:
            raise
        warn(ours, kind="error")
        return exit_code(ours)
    return 0


def _flush(code: int) -> int:
    """Write out what is left; what the work came to counts more than where it goes."""
    try:
        sys.stdout.flush()
    except SystemExit:
        return code or PIPE_CLOSED
    except OutputError as error:
        warn(error, kind="error")
        return code or exit_code(error)
    return code
