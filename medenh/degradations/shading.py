"""Uneven light: ramps and vignettes, given relative to the frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from medenh.degradations.operator import Operator, Scene, at_level, draw_share, span
from medenh.types import FloatArray

__all__ = ["OPERATORS", "LinearRamp", "RadialRamp"]


@dataclass(frozen=True, slots=True)
class LinearRamp:
    """Light that grows along a line; samples 1.05 ... .9 to 1.3 ... .5 [C].

    Attributes
    ----------
    angle_deg : float
        Direction of the bright end, counter-clockwise from the right.
    bright, dark : float
        Factors at the two ends, which touch the frame's corners.
    """

    angle_deg: float
    bright: float
    dark: float

    name: ClassVar[str] = "linear-ramp"
    volumetric: ClassVar[bool] = False

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw direction and ends."""
        share = draw_share(rng, severity)
        return cls(
            angle_deg=float(rng.uniform(0.0, 360.0)),
            bright=at_level((1.05, 1.3), share),
            dark=at_level((0.9, 0.5), share),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Light one frame."""
        x, y = _grid(pixels)
        angle = np.deg2rad(self.angle_deg)
        way = (np.cos(angle), -np.sin(angle))
        reach = abs(way[0]) * np.abs(x).max() + abs(way[1]) * np.abs(y).max()
        place = (x * way[0] + y * way[1]) / max(reach, 1e-6)  # -1 dark, 1 bright
        factor = (self.bright + self.dark) / 2 + place * (self.bright - self.dark) / 2
        result: FloatArray = pixels * factor.astype(np.float32)[..., None]
        return result


@dataclass(frozen=True, slots=True)
class RadialRamp:
    """Light that falls off from a centre: vignette, elliptic ramp.

    Samples a vignette that leaves .8 to .3 at the corners [C].

    Attributes
    ----------
    centre : tuple of float
        (x, y) as shares of width and height.
    axes : tuple of float
        Half axes of the ellipse where `outer` is reached, in half diagonals.
    angle_deg : float
        Of the first axis.
    inner, outer : float
        Factors at the centre, and at and beyond the ellipse; in between it follows
        the square of the distance.
    """

    centre: tuple[float, float]
    axes: tuple[float, float]
    angle_deg: float
    inner: float
    outer: float

    name: ClassVar[str] = "radial-ramp"
    volumetric: ClassVar[bool] = False

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw a round vignette, its centre up to 10 % off."""
        outer = span(rng, 0.8, 0.3, severity)
        x, y = rng.uniform(0.4, 0.6, 2)
        return cls((float(x), float(y)), (1.0, 1.0), 0.0, 1.0, outer)

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Light one frame."""
        x, y = _grid(pixels, centre=self.centre)
        angle = np.deg2rad(self.angle_deg)
        along = (x * np.cos(angle) - y * np.sin(angle)) / self.axes[0]
        across = (x * np.sin(angle) + y * np.cos(angle)) / self.axes[1]
        fall = np.minimum(np.square(along) + np.square(across), 1.0)
        factor = self.inner + (self.outer - self.inner) * fall
        result: FloatArray = pixels * factor.astype(np.float32)[..., None]
        return result


OPERATORS: tuple[type[Operator], ...] = (LinearRamp, RadialRamp)


def _grid(
    pixels: FloatArray, *, centre: tuple[float, float] = (0.5, 0.5)
) -> tuple[FloatArray, FloatArray]:
    """Return x, shape (1, W), and y, (H, 1), from a centre, in half diagonals."""
    height, width = pixels.shape[:2]
    half = max(np.hypot(height, width) / 2, 1e-6)
    x = (np.arange(width)[None, :] + 0.5 - centre[0] * width) / half
    y = (np.arange(height)[:, None] + 0.5 - centre[1] * height) / half
    return x.astype(np.float32), y.astype(np.float32)
