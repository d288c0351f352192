"""Work in a thread that can be given up, by time or because the user wants to stop."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

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
        How long to wait.
    stop : threading.Event, optional
        Once set, nothing is waited for.

    Raises
    ------
    TimeoutError
        The time is over; the thread is left behind.
    KeyboardInterrupt
        ``stop`` was set; the thread is left behind.
    """
    outcome: list[T] = []
    problem: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            problem.append(error)

    thread = threading.Thread(target=run, name=f"medenh-{name}", daemon=True)
    thread.start()
    deadline = time.monotonic() + seconds
    while thread.is_alive():
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        thread.join(left if stop is None and left < math.inf else _TICK_S)
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
    if problem:
        raise problem[0]
    return outcome[0]
