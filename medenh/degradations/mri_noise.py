"""Noise of magnitude MRI: Rician, or non-central chi of several coils."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from medenh.degradations.grey import change_grey
from medenh.degradations.kspace import ComplexArray, to_image
from medenh.degradations.operator import (
    Factor,
    Operator,
    Scene,
    Seed,
    noise_rng,
)
from medenh.degradations.parameters import Graded, RangedOperator
from medenh.types import FloatArray

__all__ = ["OPERATORS", "MriNoise", "find_tissue"]

_WIDTH = 0.5  # of the region of poor coil geometry, in half sides
_AIR, _BRIGHTEST = 0.08, 0.995  # of that quantile: darker than the darkest tissue
_AIR_SCALE = 128.0  # standard deviations of the smoothing in a longer side


def find_tissue(plane: FloatArray) -> NDArray[np.bool_]:
    """Return where a frame, (H, W), without noise shows no air, (H, W).

    Air is what the smoothed frame shows darker than 8 % of its brightest tissue,
    without what tissue encloses [C].
    """
    from scipy.ndimage import binary_fill_holes, gaussian_filter

    smooth = gaussian_filter(plane, max(plane.shape) / _AIR_SCALE)
    tissue: NDArray[np.bool_] = binary_fill_holes(
        smooth > _AIR * np.quantile(plane, _BRIGHTEST)
    )
    return tissue


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
    band : float
        Share of k-space along each axis that was measured: below 1 the noise is that of
        a smaller matrix which the scanner enlarged with zeros, so that neighbours share
        it. The picture keeps its detail.
    air : float
        Share of the noise that stays in the air around; 0 is a scanner that blackens
        it, or a head that was cut out. Air is what `find_tissue` leaves.
    part : "magnitude" or "real"
        Which part of the complex picture is kept. "real" is a picture whose phase was
        corrected: its noise is Gaussian, and what falls below zero is cut off.

    Notes
    -----
    Gudbjartsson & Patz 1995: ``sqrt((x + n1)^2 + n2^2)``; with L coils the magnitude of
    2 L Gaussian parts, the signal in one of them (Constantinides 1997) [known]. Levels
    are BrainWeb's 1 to 9 % of the brightest tissue [known]. In air it is Rayleigh: air
    becomes brighter, as it does in a scanner. Real parts: Eichner et al. 2015 [known].
    """

    sigma: Factor
    coils: Annotated[int, Field(ge=1, le=1024)]
    boost: Factor
    right: float
    down: float
    noise_seed: Seed
    # records of before have none of these three
    band: Annotated[float, Field(gt=0, le=1)] = 1.0
    air: Annotated[float, Field(ge=0, le=1)] = 1.0
    part: Literal["magnitude", "real"] = "magnitude"

    name: ClassVar[str] = "mri-noise"
    parameters: ClassVar = {
        "sigma": Graded(0.01, 0.09),
        "coils": 1,
        "boost": 1.0,
        "right": 0.0,
        "down": 0.0,
        "band": 1.0,
        "air": 1.0,
        "part": "magnitude",
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the noise to one frame."""
        if self.sigma == 0.0:
            return pixels
        rng = noise_rng(self.noise_seed, scene)

        def change(plane: FloatArray) -> FloatArray:
            sigma = np.float32(self.sigma) * self._growth(plane.shape)
            noise, power = self._parts(rng, plane.shape)
            real = plane + sigma * noise
            if self.part == "real":
                kept: FloatArray = np.maximum(real, 0.0)
            else:
                kept = np.sqrt(real**2 + sigma**2 * power)
            change = kept - plane
            return change if self.air == 1.0 else change * self._share(plane)

        return change_grey(pixels, change)

    def _parts(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the noise beside the signal, and the power of all other parts."""
        if self.band < 1.0:
            first = _of_smaller_matrix(rng, shape, self.band)
            power = first.imag**2
            for _ in range(self.coils - 1):
                power += np.abs(_of_smaller_matrix(rng, shape, self.band)) ** 2
            return first.real, power
        noise = rng.standard_normal(shape, np.float32)
        power = rng.standard_normal(shape, np.float32) ** 2
        if self.coils > 1:
            others = rng.chisquare(2 * self.coils - 2, shape)
            power += others.astype(np.float32)
        return noise, power

    def _share(self, plane: FloatArray) -> FloatArray:
        """Return how much of the noise stays: 1 in tissue, `air` outside."""
        return np.where(find_tissue(plane), np.float32(1.0), np.float32(self.air))

    def _growth(self, shape: tuple[int, ...]) -> FloatArray:
        y = np.linspace(-1.0, 1.0, shape[0])[:, None] - self.down
        x = np.linspace(-1.0, 1.0, shape[1]) - self.right
        hill = np.exp(-(x**2 + y**2) / (2.0 * _WIDTH**2))
        return (1.0 + (self.boost - 1.0) * hill).astype(np.float32)


def _of_smaller_matrix(
    rng: np.random.Generator, shape: tuple[int, ...], band: float
) -> ComplexArray:
    """Return complex noise of unit variance in each part, zero outside the band."""
    kspace = np.zeros(shape, np.complex64)
    inner = tuple(max(1, round(side * band)) for side in shape)
    top, left = (side // 2 - part // 2 for side, part in zip(shape, inner, strict=True))
    parts = rng.standard_normal((2, *inner), np.float32)
    parts *= np.float32(np.sqrt(kspace.size / parts[0].size))
    kspace[top : top + inner[0], left : left + inner[1]] = parts[0] + 1j * parts[1]
    return to_image(kspace)


OPERATORS: tuple[type[Operator], ...] = (MriNoise,)
