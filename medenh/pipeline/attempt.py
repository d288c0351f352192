"""Work in a thread that can be given up, by time or because the user wants to stop."""

from __future__ import annotations

import atexit
import ctypes
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from medenh.formats.patience import Patience, cpu_clock

__all__ = ["Worker", "attempt", "await_at_exit"]

T = TypeVar("T")
_TICK_S = 0.05
_LAST_S = 5.0


class Worker(threading.Thread):
    """A thread that keeps no interrupted process alive, and can be waited for.

    `threading.Thread.join` of Python 3.11 and 3.12 takes a thread for ended once
    Ctrl-C interrupts the waiting.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=f"medenh-{name}", daemon=True)
        self._work = work
        self._ended = threading.Event()

    def run(self) -> None:
        """Work, and say when it is done."""
        try:
            self._work()
        finally:
            del self._work  # and what it holds
            self._ended.set()

    def is_alive(self) -> bool:
        """Tell whether it is still at work."""
        return not self._ended.is_set() and super().is_alive()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it is done; KeyboardInterrupt changes nothing."""
        if self.is_alive():  # in a process that was forked it is not
            self._ended.wait(timeout)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in it once it is in Python, not in native code.

        For a process that ends: modules that are being imported stay half loaded.
        """
        if self.is_alive() and self.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.ident), ctypes.py_object(KeyboardInterrupt)
            )


_left: list[Worker] = []
_attempts: list[Worker] = []


def await_at_exit(threads: Iterable[Worker]) -> None:
    """Let the process wait at its end, 5 s at most, for threads that were left behind.

    Python ends a thread that comes back from native code into an interpreter that is
    going, and C++ takes that for a fault: an interrupted script would be aborted.
    """
    _left.extend(threads)  # at a stroke: others may leave theirs behind meanwhile


@atexit.register
def _await_left() -> None:
    deadline = time.monotonic() + _LAST_S
    # an import of torch may take longer than that, and ask nobody whether to stop
    for thread in _attempts:
        thread.interrupt()
    while any(thread.is_alive() for thread in _left):  # they leave others behind
        time.sleep(_TICK_S)
        if time.monotonic() > deadline:
            break


def attempt(
    work: Callable[[], T],
    *,
    name: str,
    seconds: float = math.inf,
    stop: threading.Event | None = None,
) -> T:
    """Return what ``work`` returns, or raise what it raises.

    Parameters
    ----------
    work : callable
        Native code in it may block as long as it likes.
    name : str
        Of the thread.
    seconds : float
        How long it may take, as `Patience` counts.
    stop : threading.Event, optional
        Once set, nothing is waited for.

    Raises
    ------
    TimeoutError
        The time is over, with what it took; the thread is left behind.
    KeyboardInterrupt
        ``stop`` was set; the thread is left behind.
    """
    outcome: list[T] = []
    problem: list[BaseException] = []
    clocks: list[Callable[[], float | None]] = []
    running = threading.Event()

    def run() -> None:
        clocks.append(cpu_clock())
        running.set()
        try:
            outcome.append(work())
        except BaseException as error:
            problem.append(error)

    thread = Worker(name, run)
    try:
        thread.start()
        running.wait()
        patience = Patience(seconds, clocks[0])
        while thread.is_alive():
            thread.join(patience.tick if stop is None else _TICK_S)
            if thread.is_alive() and (spent := patience.spent()):
                raise TimeoutError(spent)
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        await_at_exit([thread])
        _attempts.append(thread)
        raise
    if problem:
        raise problem[0]
    return outcome[0]
