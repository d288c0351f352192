"""The standard streams of the command, whatever the shell handed over."""

from __future__ import annotations

import errno
import io
import os
import sys

from medenh.errors import OutputError

__all__ = ["PIPE_CLOSED", "prepare_streams"]

PIPE_CLOSED = 141  # exit code, as if ended by SIGPIPE


def prepare_streams() -> None:
    r"""Make the standard streams safe to write to, before any other file is opened.

    Closed ones are opened on the null device: else a file opened later gets their
    number, and with it what libraries say. Characters that an encoding lacks are
    written as ``\u2191``. Standard output that cannot be written is an OutputError;
    what cannot be said on stderr is no reason to end the work.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(handle, True)  # by workers, as a shell's own are
            null = os.fdopen(handle, mode, errors="backslashreplace", closefd=False)
            setattr(sys, name, null)
    # only the process's own: what a program puts in their place is its affair
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__:
        sys.stdout = _Output(sys.stdout)
    if isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr is sys.__stderr__:
        sys.stderr = _Stream(sys.stderr)


class _Stream(io.TextIOWrapper):
    """A standard stream that fails once at most, and in silence."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def write(self, text: str) -> int:
        if text == "":
            return 0  # typer tries this, and would swallow the one error
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Let what is left go nowhere: the interpreter flushes once more at its end."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)


class _Output(_Stream):
    """Standard output, which says why it cannot be written."""

    def _give_up(self, error: OSError) -> None:
        super()._give_up(error)
        # as which Windows tells a closed pipe, too
        windows = os.name == "nt" and error.errno == errno.EINVAL
        if windows or isinstance(error, BrokenPipeError):
            # its reader has enough; of the error itself rich and typer make a 1
            raise SystemExit(PIPE_CLOSED) from error
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"standard output cannot be written: {reason}") from error
