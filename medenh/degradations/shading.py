"""Uneven light: ramps and vignettes, given relative to the frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from medenh.degradations.operator import (
    Angle,
    Factor,
    Operator,
    Positive,
    Scene,
    span,
)
from medenh.degradations.parameters import Graded, RangedOperator, Uniform
from medenh.types import FloatArray

__all__ = ["OPERATORS", "LightSpot", "LinearRamp", "Vignette"]


@dataclass(frozen=True, slots=True)
class LinearRamp(RangedOperator):
    """Light that grows along a line; samples 1.05 ... .9 to 1.3 ... .5 [C].

    Attributes
    ----------
    angle_deg : float
        Direction of the bright end, counter-clockwise from the right.
    bright, dark : float
        Factors at the two ends, which touch the frame's corners.
    """

    angle_deg: Angle
    bright: Factor
    dark: Factor

    name: ClassVar[str] = "linear-ramp"
    together: ClassVar = True
    parameters: ClassVar = {
        "angle_deg": Uniform(0.0, 360.0),
        "bright": Graded(1.05, 1.3),
        "dark": Graded(0.9, 0.5),
    }

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
class LightSpot(RangedOperator):
    """A lamp's elliptic spot: Gaussian between two factors, 1.05 / .9 to 1.3 / .5 [C].

    Attributes
    ----------
    centre : tuple of float
        (x, y) as shares of width and height.
    axes : tuple of float
        Half axes, in half diagonals, where it has fallen to 1 / e.
    angle_deg : float
        Of the first axis, counter-clockwise.
    inner, outer : float
        Factors at the centre and far away.
    """

    centre: tuple[float, float]
    axes: tuple[Positive, Positive]
    angle_deg: Angle
    inner: Factor
    outer: Factor

    name: ClassVar[str] = "light-spot"
    together: ClassVar = True
    parameters: ClassVar = {
        "centre": (Uniform(0.3, 0.7), Uniform(0.3, 0.7)),
        "axes": (Uniform(0.6, 1.2), Uniform(0.6, 1.2)),
        "angle_deg": Uniform(0.0, 180.0),
        "inner": Graded(1.05, 1.3),
        "outer": Graded(0.9, 0.5),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Light one frame."""
        x, y = _grid(pixels, centre=self.centre)
        angle = np.deg2rad(self.angle_deg)
        along = (x * np.cos(angle) - y * np.sin(angle)) / self.axes[0]
        across = (x * np.sin(angle) + y * np.cos(angle)) / self.axes[1]
        spot = np.exp(-np.square(along) - np.square(across))
        factor = self.outer + (self.inner - self.outer) * spot
        result: FloatArray = pixels * factor.astype(np.float32)[..., None]
        return result


@dataclass(frozen=True, slots=True)
class Vignette(Operator):
    """Fall-off from a centre, S = 1 - v r^2; samples v of .1 to .5 [C].

    Attributes
    ----------
    centre : tuple of float
        (x, y) as shares of width and height.
    strength : float
        v; r is 1 at half a diagonal. S is not below 0.
    """

    centre: tuple[float, float]
    strength: Factor

    name: ClassVar[str] = "vignette"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the strength, and a centre up to a fifth off."""
        strength = span(rng, 0.1, 0.5, severity)
        x, y = rng.uniform(0.3, 0.7, 2)
        return cls((float(x), float(y)), strength)

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Light one frame."""
        x, y = _grid(pixels, centre=self.centre)
        factor = np.maximum(1.0 - self.strength * (np.square(x) + np.square(y)), 0.0)
        result: FloatArray = pixels * factor.astype(np.float32)[..., None]
        return result


OPERATORS: tuple[type[Operator], ...] = (LinearRamp, LightSpot, Vignette)


def _grid(
    pixels: FloatArray, *, centre: tuple[float, float] = (0.5, 0.5)
) -> tuple[FloatArray, FloatArray]:
    """Return x, shape (1, W), and y, (H, 1), from a centre, in half diagonals."""
    height, width = pixels.shape[:2]
    half = max(np.hypot(height, width) / 2, 1e-6)
    x = (np.arange(width)[None, :] + 0.5 - centre[0] * width) / half
    y = (np.arange(height)[:, None] + 0.5 - centre[1] * height) / half
    return x.astype(np.float32), y.astype(np.float32)
