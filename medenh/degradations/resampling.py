"""Loss of resolution: bicubic reduction and back, pixelation.

Results have the size of the input, so that a pair has equal shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from medenh.degradations.operator import (
    Operator,
    Scene,
    at_level,
    draw_share,
    relative_size,
)
from medenh.degradations.parameters import Graded, RangedOperator
from medenh.types import FloatArray

__all__ = ["OPERATORS", "BicubicReduction", "Pixelate", "resize"]

_Filter = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class BicubicReduction(RangedOperator):
    """Antialiased bicubic reduction, and bicubic enlargement to the old size.

    Samples factors of 2 to 4 [C].

    Attributes
    ----------
    factor : float
        Sides are divided by it and rounded, at least 1 pixel.
    """

    factor: Annotated[float, Field(ge=1, le=1e4)]

    name: ClassVar[str] = "bicubic-reduction"
    parameters: ClassVar = {
        "factor": Graded(2.0, 4.0),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Reduce and enlarge one frame."""
        height, width = pixels.shape[:2]
        small = [max(1, round(side / self.factor)) for side in (height, width)]
        reduced = resize(pixels, (small[0], small[1]))
        return resize(reduced, (height, width))


@dataclass(frozen=True, slots=True)
class Pixelate(Operator):
    """Box reduction, and enlargement by repeating; samples ImageNet-C's levels [code].

    Attributes
    ----------
    factor : float
        Sides are multiplied by it: .6 to .25 at 224 px.
    """

    factor: Annotated[float, Field(gt=0, le=1)]

    name: ClassVar[str] = "pixelate"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the factor; larger pictures get larger blocks, none below a pixel."""
        level = at_level((0.6, 0.5, 0.4, 0.3, 0.25), draw_share(rng, severity))
        return cls(min(1.0, level / relative_size(pixels, 224, scene)))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Pixelate one frame."""
        height, width = pixels.shape[:2]
        small = [max(1, int(side * self.factor)) for side in (height, width)]
        reduced = resize(pixels, (small[0], small[1]), method="box")
        rows = (np.arange(height) * small[0]) // height
        columns = (np.arange(width) * small[1]) // width
        result: FloatArray = reduced[rows[:, None], columns[None, :]]
        return result


OPERATORS: tuple[type[Operator], ...] = (BicubicReduction, Pixelate)


def resize(
    pixels: FloatArray, shape: tuple[int, int], *, method: str = "bicubic"
) -> FloatArray:
    """Resize a frame with an antialiased filter, as Pillow and torch do.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C)
    shape : tuple of int
        New height and width.
    method : str
        "bicubic" (Keys, a = -0.5) or "box".

    Notes
    -----
    When reducing, the filter is stretched by the ratio of the sides; weights beyond
    the border are left out and the rest normalised. OpenCV's bicubic does not do
    this: it aliases.
    """
    down = _weights(pixels.shape[0], shape[0], method)
    across = _weights(pixels.shape[1], shape[1], method)
    channels = pixels.shape[2]
    rows = down @ pixels.reshape(pixels.shape[0], -1)
    turned = rows.reshape(shape[0], -1, channels).transpose(1, 0, 2)
    columns = across @ turned.reshape(turned.shape[0], -1)
    result = columns.reshape(shape[1], shape[0], channels).transpose(1, 0, 2)
    return np.ascontiguousarray(result, dtype=np.float32)


@lru_cache(maxsize=32)
def _weights(old: int, new: int, method: str) -> csr_array:
    """Return the matrix that resizes an axis, shape (new, old)."""
    shape, reach = _FILTERS[method]
    scale = old / new
    stretch = max(scale, 1.0)
    centre = (np.arange(new) + 0.5) * scale
    first = np.floor(centre - reach * stretch).astype(int)
    taps = first[:, None] + np.arange(int(np.ceil(2 * reach * stretch)) + 2)
    weights = shape((taps + 0.5 - centre[:, None]) / stretch)
    weights[(taps < 0) | (taps >= old)] = 0.0
    weights /= weights.sum(1, keepdims=True)
    rows = np.repeat(np.arange(new), taps.shape[1])
    kept = weights.ravel() != 0
    place = (rows[kept], taps.ravel()[kept])
    return csr_array((weights.ravel()[kept].astype(np.float32), place), (new, old))


def _keys(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _box(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((x > -0.5) & (x <= 0.5)).astype(np.float64)


_FILTERS: dict[str, tuple[_Filter, float]] = {
    "bicubic": (_keys, 2.0),
    "box": (_box, 0.5),
}
