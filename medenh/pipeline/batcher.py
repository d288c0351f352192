"""Between threads: groups of frames of equal shape."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

from medenh.pipeline.frames import FrameTask

__all__ = ["Batcher"]

T = TypeVar("T")
_TICK_S = 0.05


class Batcher(Generic[T]):
    """Collects frames by key and hands out groups of equal ones.

    A full group goes first. One that is not full goes when nothing else is left to
    do, so that a rare shape never waits for a second image like it.

    Parameters
    ----------
    stop : threading.Event
        Once set, nothing is handed out.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._full: deque[list[tuple[T, FrameTask]]] = deque()
        self._partial: dict[Hashable, list[tuple[T, FrameTask]]] = {}
        self._change = threading.Condition()
        self._closed = False

    def add(
        self, key: Hashable, tasks: Sequence[tuple[T, FrameTask]], size: int
    ) -> None:
        """Add frames that may share a batch of ``size`` with others of the key.

        With None as key they share batches among themselves only.
        """
        with self._change:
            group = [] if key is None else self._partial.pop(key, [])
            for task in tasks:
                group.append(task)
                if len(group) == size:
                    self._full.append(group)
                    group = []
            if group and key is None:
                self._full.append(group)
            elif group:
                self._partial[key] = group
            self._change.notify_all()

    def close(self) -> None:
        """Say that nothing will be added any more."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def take(self) -> list[tuple[T, FrameTask]] | None:
        """Return the next group, waiting for it; None at the end."""
        with self._change:
            while not self._stop.is_set():
                if self._full:
                    return self._full.popleft()
                # give readers a moment to fill a group before it goes as it is
                if self._partial and (self._closed or not self._change.wait(_TICK_S)):
                    if self._partial:
                        return self._partial.pop(next(iter(self._partial)))
                    continue
                if self._closed and not self._partial:
                    return None
                if not self._partial:
                    self._change.wait(_TICK_S)
            return None
