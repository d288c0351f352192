"""A bound on the bytes of images on their way, from the memory that is really there."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from medenh import control_groups
from medenh.formats.limits import size_text

__all__ = [
    "MEMORY_OF_PROCESS",
    "ByteBudget",
    "Memory",
    "ShortageError",
    "default_budget",
    "usable_memory",
]

_TICK_S = 0.05
_SHARE_OF_MEMORY = 0.25
_SHARE_OF_CALLS = 0.5  # beside the images on their way
_LEAST_BUDGET = 256 << 20
_UNKNOWN_MEMORY = 4 << 30


class ByteBudget:
    """A bound on bytes in flight; one item larger than all of it may go alone.

    First come, first served: small items never overtake a large one for ever.

    Parameters
    ----------
    limit : int
        Bytes.
    stop : threading.Event
        Ends all waiting.
    """

    def __init__(self, limit: int, stop: threading.Event) -> None:
        self._limit = limit
        self._stop = stop
        self._used = 0
        self._line: deque[object] = deque()
        self._change = threading.Condition()

    def wait_for_room(self) -> None:
        """Return once something may be read at all."""
        with self._change:
            while (self._line or self._used >= self._limit) and not self._stop.is_set():
                self._change.wait(_TICK_S)

    def wait_until_empty(self) -> None:
        """Return once nothing is held, or stopped."""
        with self._change:
            while self._used and not self._stop.is_set():
                self._change.wait(_TICK_S)

    def acquire(self, count: int) -> bool:
        """Take bytes, waiting for them in line; False if stopped meanwhile."""
        ticket = object()
        with self._change:
            self._line.append(ticket)
            try:
                while self._line[0] is not ticket or not self._has_room(count):
                    if self._stop.is_set():
                        return False
                    self._change.wait(_TICK_S)
                self._used += count
                return True
            finally:
                self._line.remove(ticket)
                self._change.notify_all()

    def _has_room(self, count: int) -> bool:
        return not self._used or self._used + count <= self._limit

    def release(self, count: int) -> None:
        """Give bytes back."""
        with self._change:
            self._used -= count
            self._change.notify_all()


class ShortageError(MemoryError):
    """A call would take more memory than there is; says how much of how much."""


class Memory:
    """The memory that calls of models share: as many at once as fit in half of it.

    Parameters
    ----------
    size : int, optional
        Bytes there are; what this process may use if not given.
    """

    def __init__(self, size: int | None = None) -> None:
        self._size = usable_memory() if size is None else size
        self.begin_again()

    def begin_again(self) -> None:
        """Hold nothing: in the child of a fork no thread would ever return it."""
        limit = int(self._size * _SHARE_OF_CALLS)
        self._budget = ByteBudget(limit, threading.Event())

    @contextmanager
    def room(self, need: int) -> Iterator[None]:
        """Hold bytes, once they are free; a call that takes over half goes alone.

        Raises
        ------
        ShortageError
            There are not so many. The system would find out too late: it grants
            memory that it lacks, and kills the process when that is used.
        """
        if need > self._size:
            raise ShortageError(f"about {size_text(need)} of {size_text(self._size)}")
        budget = self._budget
        budget.acquire(need)
        try:
            yield
        finally:
            budget.release(need)


def default_budget() -> int:
    """Return how many bytes of images may be on their way: a quarter of the memory."""
    return max(_LEAST_BUDGET, int(usable_memory() * _SHARE_OF_MEMORY))


def usable_memory() -> int:
    """Return the bytes this process may use: the machine's, or its control group's."""
    try:
        memory = _physical_memory()
    except (ValueError, OSError, AttributeError):
        memory = 0
    return min([memory or _UNKNOWN_MEMORY, *_group_limits()])


def _physical_memory() -> int:
    """Return the machine's bytes; 0, or an error, where the system does not tell."""
    if sys.platform != "win32":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import ctypes

    kibibytes = ctypes.c_ulonglong()
    ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kibibytes))
    return 1024 * kibibytes.value


def _group_limits() -> Iterator[int]:
    """Yield the memory limits of the control groups around this process."""
    for folder, unified in control_groups.folders_of("memory"):
        name = "memory.max" if unified else "memory.limit_in_bytes"
        try:
            yield int((folder / name).read_text("utf-8"))
        except (OSError, ValueError):  # "max"
            continue


# one for all models: each would take half of the memory for its own
MEMORY_OF_PROCESS = Memory()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=MEMORY_OF_PROCESS.begin_again)
