"""An image on its way through the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from medenh.pipeline.loading import Prepared
from medenh.pipeline.reading import Reading
from medenh.pipeline.uncertainty import Ensemble
from medenh.pipeline.work import WorkItem
from medenh.types import Image, Modality

__all__ = ["Flight", "timed"]


@dataclass(slots=True)
class Flight:
    """An image on its way.

    Attributes
    ----------
    reading : Reading
        What was read, and from where.
    prepared : Prepared
        The model it gets.
    modality : Modality
        What it is taken to show, which decided on the model.
    reason : str
        Why that model.
    warnings : tuple of str
        In which ways the image is outside the model's card.
    seconds : float
        Spent on it so far; waiting is not in it.
    cost : int
        Bytes it holds of the budget.
    out : array
        Receives the enhanced pixels.
    pending : int
        Frames still to be done.
    ensemble : Ensemble or None
        Measures uncertainty, where that is wanted.
    frames_done : float
        Frames that are.
    over : bool
        True once it has failed.
    lock : threading.Lock
        For `pending`, `frames_done`, `over` and `seconds`.
    """

    reading: Reading
    prepared: Prepared
    modality: Modality
    reason: str
    warnings: tuple[str, ...]
    seconds: float
    cost: int
    out: NDArray[Any]
    pending: int
    ensemble: Ensemble | None = None
    frames_done: float = 0.0
    over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def item(self) -> WorkItem:
        """Where it comes from and goes to."""
        return self.reading.item

    @property
    def image(self) -> Image:
        """What was read."""
        return self.reading.image


@contextmanager
def timed(flights: Sequence[Flight]) -> Iterator[None]:
    """Add the time that a block takes to some images, in equal shares.

    Parameters
    ----------
    flights : sequence of Flight
        One for each frame that is worked on: an image with two frames has two shares.
    """
    begun = time.perf_counter()
    try:
        yield
    finally:
        share = (time.perf_counter() - begun) / len(flights)
        for flight in flights:
            with flight.lock:
                flight.seconds += share
