"""Work in a thread that can be given up, by time or because the user wants to stop."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TypeVar

from medenh.formats.patience import Patience, cpu_clock

__all__ = ["attempt"]

T = TypeVar("T")
_TICK_S = 0.05


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

    thread = threading.Thread(target=run, name=f"medenh-{name}", daemon=True)
    thread.start()
    running.wait()
    patience = Patience(seconds, clocks[0])
    while thread.is_alive():
        thread.join(patience.tick if stop is None else _TICK_S)
        if thread.is_alive() and (spent := patience.spent()):
            raise TimeoutError(spent)
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
    if problem:
        raise problem[0]
    return outcome[0]
