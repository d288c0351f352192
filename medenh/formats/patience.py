"""How long work may take: by what it computed, so that a busy machine ends nothing."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["TICK_S", "Patience", "cpu_clock", "cpu_clock_of"]

TICK_S = 1.0
_WAIT_FACTOR = 10  # for work that waits for a disk, or for its turn


class Patience:
    """The time that some work may take, and what it took.

    Work of another thread or process is over its time after some seconds of computing,
    or ten times as many of waiting. Time in which this process was stopped itself
    (Ctrl-Z, a suspended job, a sleeping machine) counts for nothing.

    Parameters
    ----------
    seconds : float
        Infinity for work that may take any time.
    clock : callable
        Gives the CPU time of the work in seconds, or None where the system does not
        tell it: then the seconds are those of the clock on the wall.

    Attributes
    ----------
    tick : float
        Seconds between two calls of `spent`.
    """

    def __init__(self, seconds: float, clock: Callable[[], float | None]) -> None:
        self._seconds = seconds
        self._clock = clock
        begun = clock()
        self._begun, self._has_clock = begun or 0.0, begun is not None
        self._waited = 0.0
        self._last = time.monotonic()
        self.tick = min(TICK_S, max(seconds / 10, 0.01))

    def spent(self) -> str:
        """Return what it took, "30 s of computing", once that is too much; or ""."""
        now = time.monotonic()
        # whoever sleeps much longer than it meant to was not running
        self._waited += min(now - self._last, 2 * self.tick)
        self._last = now
        if self._seconds == math.inf:
            return ""
        if not self._has_clock:
            return f"{self._seconds:.0f} s" if self._waited >= self._seconds else ""
        computed = self._clock()
        if computed is None:  # it has just ended
            return ""
        if computed - self._begun >= self._seconds:
            return f"{self._seconds:.0f} s of computing"
        longest = _WAIT_FACTOR * self._seconds
        return f"{longest:.0f} s" if self._waited >= longest else ""


def cpu_clock() -> Callable[[], float | None]:
    """Return the clock of the CPU time of this thread, to be read by others.

    It must be asked for by the thread itself. Once that has ended it gives None.
    """
    if not hasattr(time, "pthread_getcpuclockid"):
        return lambda: None
    from threading import get_ident

    clock = time.pthread_getcpuclockid(get_ident())

    def read() -> float | None:
        try:
            return time.clock_gettime(clock)
        except OSError:
            return None

    return read


def cpu_clock_of(pid: int) -> Callable[[], float | None]:
    """Return the clock of the CPU time of another process, as Linux tells it."""
    stat = Path(f"/proc/{pid}/stat")

    def read() -> float | None:
        try:
            # its name, in brackets, may hold anything; utime and stime come later
            fields = stat.read_bytes().rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return None

    return read
