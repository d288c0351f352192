"""Thick slices: resolution lost along one axis, between frames or inside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from medenh.degradations.kspace import draw_axis
from medenh.degradations.operator import (
    Operator,
    Scene,
    span,
)
from medenh.degradations.parameters import Graded, RangedOperator
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["OPERATORS", "CtThickSlice", "MriAnisotropy"]


@dataclass(frozen=True, slots=True)
class CtThickSlice(RangedOperator):
    """Slices as thick as several: a box along the frames of a volume.

    A single slice has no neighbours and stays as it is.

    Attributes
    ----------
    factor : float
        Thickness in slices of the input; U 2 to 5.
    """

    factor: Annotated[float, Field(ge=1, le=1000)]

    name: ClassVar[str] = "ct-thick-slice"
    volumetric: ClassVar[bool] = True
    parameters: ClassVar = {
        "factor": Graded(2.0, 5.0),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Average all frames with their neighbours; ends are repeated."""
        return _by_volume(pixels, scene, lambda volume: _box(volume, self.factor))


@dataclass(frozen=True, slots=True)
class MriAnisotropy(Operator):
    """One axis sampled coarsely and interpolated back (TorchIO's RandomAnisotropy).

    Attributes
    ----------
    factor : float
        How much coarser; U 1.5 to 5.
    axis : str
        "slice" between frames; "row" or "column" (down or across) inside them, for
        pictures that are no volume.
    """

    factor: Annotated[float, Field(ge=1, le=1000)]
    axis: Literal["slice", "row", "column"]

    name: ClassVar[str] = "mri-anisotropy"
    volumetric: ClassVar[bool] = True

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the factor; volumes lose resolution between their slices."""
        factor = span(rng, 1.5, 5.0, severity)
        axis = draw_axis(rng)
        return cls(factor, "slice" if scene.depth > 1 else axis)

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Resample all frames."""
        if self.axis == "slice":
            return _by_volume(pixels, scene, self._between_slices)
        return np.stack([self._inside(frame) for frame in pixels])

    def _between_slices(self, volume: FloatArray) -> FloatArray:
        rows = [_coarsen(volume[:, row], self.factor) for row in range(volume.shape[1])]
        return np.stack(rows, axis=1)

    def _inside(self, frame: FloatArray) -> FloatArray:
        if self.axis == "row":
            return _coarsen(frame, self.factor)
        return _coarsen(frame.swapaxes(0, 1), self.factor).swapaxes(0, 1)


def _by_volume(
    pixels: FloatArray, scene: Scene, work: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Work on each volume where frames run over several (times of a 4-D file)."""
    starts = range(0, len(pixels), scene.depth)
    return np.concatenate([work(pixels[at : at + scene.depth]) for at in starts])


def _box(volume: FloatArray, width: float) -> FloatArray:
    if len(volume) == 1:
        return volume
    reach = int(np.ceil((width - 1.0) / 2.0))
    last = len(volume) - 1
    frames = np.arange(len(volume))
    total = np.zeros_like(volume)
    for offset in range(-reach, reach + 1):
        inside = np.clip(width / 2.0 + 0.5 - abs(offset), 0.0, 1.0)
        total += volume[np.clip(frames + offset, 0, last)] * np.float32(inside / width)
    return total


def _coarsen(plane: FloatArray, factor: float) -> FloatArray:
    """Return a plane, shape (H, W, C), with fewer rows, drawn out again."""
    height, width, channels = plane.shape
    few = max(1, round(height / factor))
    down = cv2.resize(
        np.ascontiguousarray(plane), (width, few), interpolation=cv2.INTER_AREA
    )
    back = cv2.resize(down, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(back, np.float32).reshape(height, width, channels)


OPERATORS: tuple[type[Operator], ...] = (CtThickSlice, MriAnisotropy)
