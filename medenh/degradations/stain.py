"""Stain of histology slides, in optical density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field

from medenh.degradations.operator import (
    Operator,
    Scene,
    span,
)
from medenh.types import FloatArray

__all__ = ["OPERATORS", "StainJitter"]

# optical densities of haematoxylin, eosin and the rest (Ruifrok & Johnston 2001)
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
_Factor = Annotated[float, Field(ge=0, le=4)]  # beyond, powers overflow
_DARKEST = 1e-3  # of the light; below, the optical density is not measured


@dataclass(frozen=True, slots=True)
class StainJitter(Operator):
    """More or less of each stain: od' = od f + g per stain [C].

    Attributes
    ----------
    factors : tuple of float
        For haematoxylin and eosin; within 1 +- .2.
    offsets : tuple of float
        Added to their densities; within +- .05.
    """

    factors: tuple[_Factor, _Factor]
    offsets: tuple[float, float]

    name: ClassVar[str] = "stain-jitter"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw factors and offsets, within 1 / 4 of the range to the whole of it."""
        reach = span(rng, 0.25, 1.0, 1.0 if severity is None else severity)
        f, g = rng.uniform(-1.0, 1.0, (2, 2)) * reach
        return cls(
            (float(1 + 0.2 * f[0]), float(1 + 0.2 * f[1])),
            (float(0.05 * g[0]), float(0.05 * g[1])),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Restain one frame; a grey one as if it were all haematoxylin."""
        density = -np.log10(np.maximum(pixels, np.float32(_DARKEST)))
        if pixels.shape[-1] == 1:
            wanted = density * self.factors[0] + self.offsets[0]
            restained: FloatArray = (10.0**-wanted).astype(np.float32)
            return restained
        stains = _STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)
        apart = np.linalg.inv(stains)  # density -> amount of each stain
        factor = np.diag([*self.factors, 1.0])
        change = (apart @ (factor - np.eye(3)) @ stains).astype(np.float32)
        offset = (np.array([*self.offsets, 0.0]) @ stains).astype(np.float32)
        wanted = density + density @ change + offset
        passed: FloatArray = (10.0 ** (density - wanted)).astype(np.float32)
        return pixels * passed


OPERATORS: tuple[type[Operator], ...] = (StainJitter,)
