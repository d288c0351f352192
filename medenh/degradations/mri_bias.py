"""Bias field of MRI: coils that see one side better than the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from medenh.degradations.operator import Operator, Scene, span
from medenh.types import FloatArray

__all__ = ["OPERATORS", "MriBias", "bias_field"]

_ORDER = 3
_TERMS = tuple(
    (i, j, k)
    for i in range(_ORDER + 1)
    for j in range(_ORDER + 1 - i)
    for k in range(_ORDER + 1 - i - j)
    if i + j + k > 0
)
_LARGEST = 0.5


@dataclass(frozen=True, slots=True)
class MriBias(Operator):
    """Smooth multiplicative shading.

    Attributes
    ----------
    coefficients : tuple of float
        Of X^i Y^j Z^k with 0 < i + j + k <= 3, in rising order of i, then j, then k;
        each U(-0.5, 0.5), less at a low severity.

    Notes
    -----
    TorchIO's RandomBiasField [known]: ``x exp(sum c_ijk X^i Y^j Z^k)``, coordinates
    -1..1. Deviation: without the constant term, which is a gain of the receiver and
    would saturate 8-bit pictures [C].
    """

    coefficients: tuple[float, ...]

    name: ClassVar[str] = "mri-bias"
    volumetric: ClassVar[bool] = True

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the coefficients."""
        # without a severity each has its whole range already
        largest = span(
            rng, 0.2 * _LARGEST, _LARGEST, 1.0 if severity is None else severity
        )
        drawn = rng.uniform(-largest, largest, len(_TERMS))
        return cls(tuple(float(c) for c in drawn))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Shade all frames."""
        last = scene.depth - 1
        out = np.empty_like(pixels)
        for frame, plane in enumerate(pixels):
            z = 2.0 * (frame % scene.depth) / last - 1.0 if last else 0.0
            field = bias_field(self.coefficients, (plane.shape[0], plane.shape[1]), z)
            out[frame] = plane * field[..., None]
        return out


def bias_field(
    coefficients: tuple[float, ...], shape: tuple[int, int], z: float = 0.0
) -> FloatArray:
    """Return the factors of one frame, float32 (H, W), see `MriBias`.

    Parameters
    ----------
    coefficients : tuple of float
        As in `MriBias`; missing ones are 0, and all 0 give a field of exactly 1.
    shape : tuple of int
    z : float
        Place of the frame in its volume, -1..1; 0 for a single picture.
    """
    y, x = (np.linspace(-1.0, 1.0, side) for side in shape)
    exponent = np.zeros(shape)
    for c, (i, j, k) in zip(coefficients, _TERMS, strict=False):
        exponent += c * z**k * x**i * (y**j)[:, None]
    return np.exp(exponent).astype(np.float32)


OPERATORS: tuple[type[Operator], ...] = (MriBias,)
