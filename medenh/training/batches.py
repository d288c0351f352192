"""Batches made ahead of the step that needs them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from medenh.device import surroundings_of_children, usable_cores
from medenh.opencv import cv2
from medenh.training.strategies.base import Batch, Strategy

__all__ = ["batches_ahead", "count_workers"]

_MOST_WORKERS = 8


def count_workers(setting: int | str, device: str) -> int:
    """Return how many processes prepare batches; 0 is a thread of this one."""
    if isinstance(setting, int):
        return max(0, setting)
    if device.startswith("cuda"):
        return max(1, min(_MOST_WORKERS, usable_cores() - 1))
    return 0


def batches_ahead(
    strategy: Strategy,
    steps: range,
    parts: list[range],
    *,
    workers: int = 0,
    pin: bool = False,
) -> Iterator[list[Batch]]:
    """Yield the micro-batches of every step, in order, each made while others train.

    Parameters
    ----------
    strategy : Strategy
    steps : range
        The steps that are left.
    parts : list of range
        Positions of each micro-batch.
    workers : int
        Processes; 0 is one thread.
    pin : bool
        Put tensors where a GPU copies them from quickly.
    """
    if workers == 0:
        yield from _on_a_thread(strategy, steps, parts)
        return
    loader = DataLoader(
        _Steps(strategy, steps, parts),
        batch_size=None,
        num_workers=min(workers, len(steps)) or 1,
        prefetch_factor=4,
        pin_memory=pin,
        collate_fn=_as_tensors,
    )
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a forked process that inherits cv2's pool hangs in its calls
    try:
        with surroundings_of_children():
            made = iter(loader)
    finally:
        cv2.setNumThreads(threads)
    yield from made


def _on_a_thread(
    strategy: Strategy, steps: range, parts: list[range]
) -> Iterator[list[Batch]]:
    def make(step: int) -> list[Batch]:
        return [strategy.draw(step, positions) for positions in parts]

    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for step in steps:
            batch = make(step) if ahead is None else ahead.result()
            following = step + 1
            ahead = pool.submit(make, following) if following in steps else None
            yield batch


class _Steps(Dataset[list[Batch]]):
    """Item i is all of step i, so that order and content do not depend on workers."""

    def __init__(self, strategy: Strategy, steps: range, parts: list[range]) -> None:
        self._strategy, self._steps, self._parts = strategy, steps, parts

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> list[Batch]:
        step = self._steps[index]
        return [self._strategy.draw(step, positions) for positions in self._parts]


def _as_tensors(batches: list[Batch]) -> list[dict[str, Any]]:
    return [{k: torch.from_numpy(v) for k, v in one.items()} for one in batches]
