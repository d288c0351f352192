"""What endoscopes and their rooms do: low light, over-exposure, smoke, video faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from medenh.degradations.operator import (
    Factor,
    Length,
    Operator,
    Positive,
    Scene,
    Seed,
    Share,
    relative_size,
    span,
)
from medenh.degradations.parameters import Graded, RangedOperator, Uniform
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = [
    "OPERATORS",
    "ChromaShift",
    "Interlacing",
    "LowLight",
    "OverExposure",
    "Smoke",
    "smooth_field",
]

_GAMMA = 2.2


@dataclass(frozen=True, slots=True)
class LowLight(RangedOperator):
    """Less light from a point source at the tip, in linear light [C].

    Attributes
    ----------
    stops : float
        Exposure is divided by 2 to this: 1 to 4.
    centre : tuple of float
        (x, y) of the brightest place, as shares of width and height.
    reach : float
        Distance where the light has fallen to a half, as a share of the width: 1.2
        to .4.
    """

    stops: Factor
    centre: tuple[float, float]
    reach: Positive

    name: ClassVar[str] = "low-light"
    together: ClassVar = True
    parameters: ClassVar = {
        "stops": Graded(1.0, 4.0),
        "centre": (Uniform(0.3, 0.7), Uniform(0.3, 0.7)),
        "reach": Graded(1.2, 0.4),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Darken one frame."""
        height, width = pixels.shape[:2]
        x = (np.arange(width)[None, :] + 0.5) / width - self.centre[0]
        y = ((np.arange(height)[:, None] + 0.5) - self.centre[1] * height) / width
        falloff = 1.0 / (1.0 + (np.square(x) + np.square(y)) / self.reach**2)
        light = (falloff * 2.0**-self.stops) ** (1 / _GAMMA)  # re-encoded
        result: FloatArray = pixels * light.astype(np.float32)[..., None]
        return result


@dataclass(frozen=True, slots=True)
class OverExposure(RangedOperator):
    """Too much light: gain 1.5 to 3, and a bloom of 5 to 15 px at 512 [C].

    Attributes
    ----------
    gain : float
        Factor of the displayed values.
    bloom_sigma : float
        Reach of the light that saturated pixels spill, in pixels.
    """

    gain: Factor
    bloom_sigma: Length

    name: ClassVar[str] = "over-exposure"
    together: ClassVar = True
    parameters: ClassVar = {
        "gain": Graded(1.5, 3.0),
        "bloom_sigma": Graded(5, 15, at_side=512),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Expose one frame; the engine clips at white."""
        bright = pixels * np.float32(self.gain)
        spilt = np.maximum(bright - 1, 0)
        side = 2 * round(3 * self.bloom_sigma) + 1
        bloom = cv2.GaussianBlur(
            spilt, (side, side), self.bloom_sigma, borderType=cv2.BORDER_REFLECT
        ).reshape(pixels.shape)
        result: FloatArray = bright + bloom
        return result


@dataclass(frozen=True, slots=True)
class Smoke(RangedOperator):
    """Surgical smoke or haze: y = x t + A (1 - t), t = exp(-beta d).

    Single scattering, as synthetic desmoking sets have it; d is smooth noise of
    several octaves in [0, 1] [C].

    Attributes
    ----------
    beta : float
        Density: .3 to 2.
    airlight : float
        Grey A of the smoke: .7 to .95.
    smoke_seed : int
        Seed of d.
    """

    beta: Factor
    airlight: Share
    smoke_seed: Seed

    name: ClassVar[str] = "smoke"
    parameters: ClassVar = {
        "beta": Graded(0.3, 2.0),
        "airlight": Uniform(0.7, 0.95),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Put smoke before one frame."""
        depth = smooth_field((pixels.shape[0], pixels.shape[1]), self.smoke_seed)
        passed = np.exp(-np.float32(self.beta) * depth)[..., None]
        airlight = np.float32(self.airlight)
        result: FloatArray = airlight + (pixels - airlight) * passed
        return result


@dataclass(frozen=True, slots=True)
class ChromaShift(Operator):
    """Red and blue beside green: sequential colour, or a lens, by 1 to 3 px at 512 [C].

    Attributes
    ----------
    red, blue : tuple of float
        (x, y) shift of these channels, in pixels.
    """

    red: tuple[float, float]
    blue: tuple[float, float]

    name: ClassVar[str] = "chroma-shift"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw a direction; blue goes against red, half as far."""
        far = span(rng, 1.0, 3.0, severity) * relative_size(pixels, 512, scene)
        angle = rng.uniform(0.0, 2 * np.pi)
        x, y = float(far * np.cos(angle)), float(far * np.sin(angle))
        return cls((x, y), (-x / 2, -y / 2))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Shift channels of one frame; a grey frame stays."""
        if pixels.shape[-1] == 1:
            return pixels
        result = pixels.copy()
        size = (pixels.shape[1], pixels.shape[0])
        for channel, (x, y) in ((0, self.red), (2, self.blue)):
            result[..., channel] = cv2.warpAffine(
                np.ascontiguousarray(pixels[..., channel]),
                np.array([[1, 0, x], [0, 1, y]]),
                size,
                borderMode=cv2.BORDER_REPLICATE,
            )
        return result


@dataclass(frozen=True, slots=True)
class Interlacing(Operator):
    """Every other row moved sideways, as motion between fields does: 1 to 6 px [C].

    Attributes
    ----------
    shift : int
        Of the odd rows, in pixels; negative to the left.
    """

    shift: int

    name: ClassVar[str] = "interlacing"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw a shift and its direction."""
        far = span(rng, 1.0, 6.0, severity) * relative_size(pixels, 512, scene)
        return cls(max(1, round(far)) * (1 if rng.integers(2) else -1))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Move the odd rows of one frame; edge pixels are repeated."""
        width = pixels.shape[1]
        source = np.clip(np.arange(width) - self.shift, 0, width - 1)
        result = pixels.copy()
        result[1::2] = pixels[1::2][:, source]
        return result


OPERATORS: tuple[type[Operator], ...] = (
    LowLight,
    OverExposure,
    Smoke,
    ChromaShift,
    Interlacing,
)


def smooth_field(shape: tuple[int, int], seed: int) -> FloatArray:
    """Return smooth noise of four octaves, shape (H, W), from 0 to 1.

    The coarsest octave has three cells along the long side, each further one twice
    as many at half the strength.
    """
    rng = np.random.default_rng(seed)
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(4):
        cells = 3 * 2**octave
        grid = rng.random((cells + 3, cells + 3), dtype=np.float32)
        large = cv2.resize(grid, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
        inner = large[8:-8, 8:-8]  # resize flattens the rim
        side = max(height, width)
        whole = cv2.resize(inner, (side, side), interpolation=cv2.INTER_LINEAR)
        total += whole[:height, :width] * np.float32(0.5**octave)
    low, high = float(total.min()), float(total.max())
    total -= np.float32(low)
    total /= np.float32(max(high - low, 1e-6))
    return total
