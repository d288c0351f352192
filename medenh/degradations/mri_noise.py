"""Noise of magnitude MRI: Rician, or non-central chi of several coils."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from medenh.degradations.grey import change_grey
from medenh.degradations.operator import (
    Factor,
    Operator,
    Scene,
    Seed,
    noise_rng,
)
from medenh.degradations.parameters import Graded, RangedOperator
from medenh.types import FloatArray

__all__ = ["OPERATORS", "MriNoise"]

_WIDTH = 0.5  # of the region of poor coil geometry, in half sides


@dataclass(frozen=True, slots=True)
class MriNoise(RangedOperator):
    """Complex Gaussian noise, of which the magnitude is kept.

    Attributes
    ----------
    sigma : float
        Of each channel, relative to the brightest tissue; U 0.01 to 0.09.
    coils : int
        Receivers combined by root sum of squares; 1 is Rician.
    boost : float
        How much stronger the noise is where the coils see least; 1 is the same
        everywhere.
    right, down : float
        Where that is, -1..1 from the middle.
    noise_seed : int
        Seed of the noise; each frame has its own stream.

    Notes
    -----
    Gudbjartsson & Patz 1995: ``sqrt((x + n1)^2 + n2^2)``; with L coils the magnitude of
    2 L Gaussian parts, the signal in one of them (Constantinides 1997) [known]. Levels
    are BrainWeb's 1 to 9 % of the brightest tissue [known]. In air it is Rayleigh: air
    becomes brighter, as it does in a scanner.
    """

    sigma: Factor
    coils: Annotated[int, Field(ge=1, le=1024)]
    boost: Factor
    right: float
    down: float
    noise_seed: Seed

    name: ClassVar[str] = "mri-noise"
    parameters: ClassVar = {
        "sigma": Graded(0.01, 0.09),
        "coils": 1,
        "boost": 1.0,
        "right": 0.0,
        "down": 0.0,
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the noise to one frame."""
        if self.sigma == 0.0:
            return pixels
        rng = noise_rng(self.noise_seed, scene)

        def change(plane: FloatArray) -> FloatArray:
            sigma = np.float32(self.sigma) * self._growth(plane.shape)
            real = plane + sigma * rng.standard_normal(plane.shape, np.float32)
            power = rng.standard_normal(plane.shape, np.float32) ** 2
            if self.coils > 1:
                others = rng.chisquare(2 * self.coils - 2, plane.shape)
                power += others.astype(np.float32)
            magnitude: FloatArray = np.sqrt(real**2 + sigma**2 * power)
            return magnitude - plane

        return change_grey(pixels, change)

    def _growth(self, shape: tuple[int, ...]) -> FloatArray:
        y = np.linspace(-1.0, 1.0, shape[0])[:, None] - self.down
        x = np.linspace(-1.0, 1.0, shape[1]) - self.right
        hill = np.exp(-(x**2 + y**2) / (2.0 * _WIDTH**2))
        return (1.0 + (self.boost - 1.0) * hill).astype(np.float32)


OPERATORS: tuple[type[Operator], ...] = (MriNoise,)
