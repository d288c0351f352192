"""One frame: native pixels to unit tiles and back, channels, feathered sums.

Plain array work, without a network, files or threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.colour import LUMA
from medenh.pipeline.tiles import Tile, feather
from medenh.types import FloatArray, Image

__all__ = ["STRIP", "Blend", "FrameTask", "UnitTask", "as_image", "as_network"]

STRIP = 1 << 20  # pixels brought back to native units at a time
_WHOLE = slice(None)


@dataclass(frozen=True, slots=True)
class FrameTask:
    """One frame to enhance, and where its native pixels go.

    Attributes
    ----------
    image : Image
        The source; never written to.
    index : int
        Which frame.
    out : array like ``image.pixels``
        Receives the frame.
    condition : object, optional
        What the runner knows of the whole volume, shared by its frames.
    answer : float32 array, shape (channels, h, w), optional
        Receives the frame as it is before it is brought back to native units.
    seen : array, shape (height, width, channels), optional
        The frame's native pixels as the model sees them: see `without_holes`.
    """

    image: Image
    index: int
    out: NDArray[Any]
    condition: Any = None
    answer: FloatArray | None = None
    seen: NDArray[Any] | None = None

    @property
    def native(self) -> NDArray[Any]:
        """The frame's native pixels, (height, width, channels), for the model."""
        return self.image.pixels[self.index] if self.seen is None else self.seen

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width; tasks of one shape can share a batch."""
        return (self.image.channels, self.image.height, self.image.width)

    @property
    def grey(self) -> bool:
        """Whether the frame is in colour, and all its pixels are grey."""
        if self.image.channels != 3:
            return False
        red, *others = np.moveaxis(self.image.pixels[self.index], -1, 0)
        return all(np.array_equal(red, one, equal_nan=True) for one in others)

    def unit(self, rows: slice = _WHOLE, columns: slice = _WHOLE) -> FloatArray:
        """Return a part of the frame as float32 (1, channels, h, w) in [0, 1]."""
        part = self.native[None, rows, columns]
        return intensity.to_unit(part, self.image.unit_range)

    def without_holes(self) -> Self:
        """Return the task with holes of NaN and infinity filled for the model.

        See `intensity.without_holes`.

        Notes
        -----
        [measured] Up to 3 pixels around a hole of 20 in noisy MRI `denoise-mri` was off
        by 16 to 20 grey levels of 400 for black, and is by 5; `nlm` by 9 to 13, and is
        by 6 to 7.
        """
        frame = self.image.pixels[self.index]
        if self.seen is not None:
            return self
        filled = intensity.without_holes(frame)
        return self if filled is frame else replace(self, seen=filled)

    def from_zero(self) -> Self:
        """Return the task with 0 in native units as 0 for the model, brighter above.

        A range of percentiles, or a window, puts that elsewhere. Frames with negative
        values, which are no magnitudes, keep their range.

        Notes
        -----
        [measured] Where the range of a noisy MR slice began at .15 sigma `nlm-rician`
        left 30 units of error of 73, and leaves 19.
        """
        known = self.image.unit_range
        if (known.low == 0.0 and not known.inverted) or known.high <= 0.0:
            return self
        if (self.image.pixels[self.index] < 0).any():
            return self
        whole = replace(known, low=0.0, inverted=False)
        return replace(self, image=replace(self.image, unit_range=whole))

    def store(self, enhanced: FloatArray, rows: slice, columns: slice) -> None:
        """Bring (channels, h, w) in [0, 1] back to native units, by strips."""
        if self.answer is not None:
            self.answer[:, rows, columns] = enhanced
        step = max(1, STRIP // max(1, enhanced.shape[2]))
        for top in range(0, enhanced.shape[1], step):
            part = enhanced[None, :, top : top + step]
            first = rows.start + top
            where = (
                slice(self.index, self.index + 1),
                slice(first, first + part.shape[2]),
                columns,
            )
            frozen = self.image.frozen
            piece = replace(
                self.image,
                pixels=self.image.pixels[where],
                storage=self.image.storage.of(where[0]),
                frozen=None if frozen is None else frozen[where],
                alpha=None,
            )
            self.out[where] = intensity.from_unit(piece, part)


class UnitTask(FrameTask):
    """One frame whose answer is wanted as it is: ``out`` is (channels, h, w)."""

    __slots__ = ()

    def store(self, enhanced: FloatArray, rows: slice, columns: slice) -> None:
        """Keep (channels, h, w) in [0, 1]."""
        self.out[:, rows, columns] = enhanced


class Blend:
    """Feathered sum of what overlapping tiles change in a frame."""

    def __init__(self, task: FrameTask, tiles: Sequence[Tile]) -> None:
        self._task = task
        self._change = np.zeros(task.shape, np.float32)
        self._rows = feather([tile.rows for tile in tiles])
        self._columns = feather([tile.columns for tile in tiles])

    def add(self, tile: Tile, change: FloatArray) -> None:
        """Add one tile's change, (channels, h, w)."""
        weights = self._rows[tile.rows][:, None] * self._columns[tile.columns]
        self._change[:, tile.rows.seen, tile.columns.seen] += change * weights

    def finish(self) -> None:
        """Store the frame, strip by strip."""
        height, width = self._task.shape[1:]
        step = max(1, STRIP // width)
        for top in range(0, height, step):
            rows = slice(top, min(height, top + step))
            enhanced = self._task.unit(rows)[0] + self._change[:, rows]
            self._task.store(np.clip(enhanced, 0.0, 1.0), rows, _WHOLE)


def as_network(batch: FloatArray, channels: int | None) -> FloatArray:
    """Return (B, C, H, W) with the channels that a network takes; None takes any."""
    if channels is None or channels == batch.shape[1]:
        return batch
    if channels == 3:
        return np.repeat(batch, 3, axis=1)
    return _luma(batch)


def as_image(batch: FloatArray, answer: FloatArray) -> FloatArray:
    """Give a network's answer the channels of the image it was made of."""
    if answer.shape[1] == batch.shape[1]:
        return answer
    if batch.shape[1] == 1:
        # the mean of the changes: exactly zero where the model changes nothing
        grey: FloatArray = batch + (answer - batch).mean(axis=1, keepdims=True)
        return grey
    coloured: FloatArray = np.clip(batch + (answer - _luma(batch)), 0.0, 1.0)
    return coloured


def _luma(batch: FloatArray) -> FloatArray:
    """Return the Rec. 601 luma of (B, 3, H, W) as (B, 1, H, W)."""
    weights = np.array(LUMA, np.float32).reshape(1, 3, 1, 1)
    luma: FloatArray = (batch * weights).sum(axis=1, keepdims=True)
    return luma
