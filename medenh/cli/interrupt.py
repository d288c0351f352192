"""Ctrl-C and SIGTERM: the first ends a run cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from medenh.cli.console import answer_error, warn
from medenh.formats.files import abandon_outputs

__all__ = ["interruptible"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AT_ONCE_S = 0.1


@contextmanager
def interruptible(
    further: str = "the same command goes on with the files that are not done",
    *,
    started: threading.Event | None = None,
) -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C or SIGTERM sets; the second quits.

    Not where it comes at once: `timeout` sends one to the process and one to its group.

    ``further`` is what an interrupted user is told to do. Until ``started`` is set, by
    work that has nothing to save before, already the first ends it where it is.

    The KeyboardInterrupt that the work raises because of it becomes exit code 130
    (Ctrl-C) or 143 (SIGTERM).
    """
    stop = threading.Event()
    received: list[int] = []
    first, owner = 0.0, os.getpid()

    def idle() -> bool:
        return started is not None and not started.is_set()

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if received and now - first < _AT_ONCE_S:
            return
        if received:
            abandon_outputs()
            os._exit(128 + received[0])
        first = now
        received.append(number)
        stop.set()
        # not in workers forked since: they get a terminal's Ctrl-C too, and are needed
        if idle() and os.getpid() == owner:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    except KeyboardInterrupt:
        number = received[0] if received else signal.SIGINT
        told = further
        if idle():
            told = "the same command starts again from where this one did"
        warn(f"interrupted; {told}", kind="error")
        answer_error("interrupted", "interrupted")
        _leave(128 + number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(code: int) -> None:
    """Exit; at once if a thread is still inside native code that cannot be stopped."""
    busy = [t for t in threading.enumerate() if t.name.startswith("medenh-")]
    if busy:
        sys.stdout.flush()
        sys.stderr.flush()
        abandon_outputs()
        os._exit(code)
    raise typer.Exit(code)
