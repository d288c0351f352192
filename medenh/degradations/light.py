"""Light and colour: exposure, gamma, contrast, saturation, cast, uneven light.

All work on numbers in [0, 1]; fields of light are given relative to the frame, so
that they do not depend on its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from medenh.colour import luma
from medenh.degradations.operator import Operator, Scene, at_level, draw_share, span
from medenh.types import FloatArray

__all__ = [
    "OPERATORS",
    "Brightness",
    "ColourGains",
    "Contrast",
    "Exposure",
    "Gamma",
    "LinearRamp",
    "RadialRamp",
    "Saturation",
    "draw_side",
]


@dataclass(frozen=True, slots=True)
class Brightness:
    """Offset of the HSV value; samples ImageNet-C's levels, +.1 to +.5 [code].

    Attributes
    ----------
    offset : float
        Added to the largest channel; the others keep their ratio to it.
    """

    offset: float

    name: ClassVar[str] = "brightness"
    volumetric: ClassVar[bool] = False

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the offset."""
        return cls(at_level((0.1, 0.2, 0.3, 0.4, 0.5), draw_share(rng, severity)))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Brighten one frame; black becomes grey."""
        value = pixels.max(-1, keepdims=True)
        wanted = np.clip(value + np.float32(self.offset), 0.0, 1.0)
        ratio = pixels / np.maximum(value, np.float32(1e-12))
        ratio = np.where(value > 0, ratio, np.float32(1.0))
        result: FloatArray = ratio * wanted
        return result


@dataclass(frozen=True, slots=True)
class Contrast:
    """Blend towards each channel's mean; samples ImageNet-C's levels [code].

    Attributes
    ----------
    factor : float
        1 changes nothing, 0 leaves the mean; ImageNet-C: .4 to .05. Above 1 the
        contrast grows.
    """

    factor: float

    name: ClassVar[str] = "contrast"
    volumetric: ClassVar[bool] = False

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the factor."""
        return cls(at_level((0.4, 0.3, 0.2, 0.1, 0.05), draw_share(rng, severity)))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Change the contrast of one frame, about the mean inside its field."""
        if scene.field is None:
            mean = pixels.mean((0, 1), dtype=np.float64)
        else:
            weight = scene.field[..., None]
            mean = (pixels * weight).sum((0, 1), dtype=np.float64)
            mean /= max(float(weight.sum(dtype=np.float64)), 1e-6)
        offset = ((1.0 - self.factor) * mean).astype(np.float32)
        result: FloatArray = pixels * np.float32(self.factor) + offset
        return result


@dataclass(frozen=True, slots=True)
class Saturation:
    """Blend towards grey of the same luma; samples factors .8 to .2 [C].

    Attributes
    ----------
    factor : float
        1 changes nothing, 0 leaves grey, above 1 colours grow.
    """

    factor: float

    name: ClassVar[str] = "saturation"
    volumetric: ClassVar[bool] = False

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the factor."""
        return cls(span(rng, 0.8, 0.2, severity))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Change the saturation of one frame."""
        grey: FloatArray = luma(pixels)[..., None].astype(np.float32, copy=False)
        result: FloatArray = grey + (pixels - grey) * np.float32(self.factor)
        return result


@dataclass(frozen=True, slots=True)
class Exposure:
    """Multiplied light; samples gains of .8 to .3, or 1.2 to 1.9 [C].

    Attributes
    ----------
    gain : float
        Factor of the displayed values; what passes 1 is lost.
    """

    gain: float

    name: ClassVar[str] = "exposure"
    volumetric: ClassVar[bool] = False

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw a side and a gain."""
        strong = draw_side(rng, 0.3, 1.9)
        mild = 0.8 if strong < 1 else 1.2
        return cls(span(rng, mild, strong, severity))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Multiply one frame."""
        return pixels * np.float32(self.gain)


@dataclass(frozen=True, slots=True)
class Gamma:
    """Power of the displayed values; samples .8 to .5, or 1.2 to 2.2 [C].

    Attributes
    ----------
    exponent : float
        Below 1 brightens, above 1 darkens; black and white stay.
    """

    exponent: float

    name: ClassVar[str] = "gamma"
    volumetric: ClassVar[bool] = False

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw a side and an exponent."""
        strong = draw_side(rng, 0.5, 2.2)
        mild = 0.8 if strong < 1 else 1.2
        return cls(span(rng, mild, strong, severity))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Bend one frame."""
        return np.maximum(pixels, np.float32(0.0)) ** np.float32(self.exponent)


@dataclass(frozen=True, slots=True)
class ColourGains:
    """White balance or colour cast; samples gains up to 1 +- .05 to 1 +- .2 [C].

    Attributes
    ----------
    red, green, blue : float
        Factors of the channels; a grey picture takes green's.
    """

    red: float
    green: float
    blue: float

    name: ClassVar[str] = "colour-gains"
    volumetric: ClassVar[bool] = False

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the gains, the strongest one at full reach."""
        reach = span(rng, 0.05, 0.2, severity)
        return cls.with_reach(rng, reach)

    @classmethod
    def with_reach(cls, rng: np.random.Generator, reach: float) -> Self:
        """Draw gains of which the furthest from 1 is off by `reach`."""
        shift = rng.uniform(-1.0, 1.0, 3)
        shift *= reach / np.abs(shift).max()
        red, green, blue = (float(1.0 + one) for one in shift)
        return cls(red, green, blue)

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Multiply the channels of one frame."""
        if pixels.shape[-1] == 1:
            return pixels * np.float32(self.green)
        return pixels * np.array([self.red, self.green, self.blue], np.float32)


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


OPERATORS: tuple[type[Operator], ...] = (
    Brightness,
    Contrast,
    Saturation,
    Exposure,
    Gamma,
    ColourGains,
    LinearRamp,
    RadialRamp,
)


def draw_side(rng: np.random.Generator, below: float, above: float) -> float:
    """Return one of two values, equally likely."""
    return above if rng.integers(2) else below


def _grid(
    pixels: FloatArray, *, centre: tuple[float, float] = (0.5, 0.5)
) -> tuple[FloatArray, FloatArray]:
    """Return x, shape (1, W), and y, (H, 1), from a centre, in half diagonals."""
    height, width = pixels.shape[:2]
    half = max(np.hypot(height, width) / 2, 1e-6)
    x = (np.arange(width)[None, :] + 0.5 - centre[0] * width) / half
    y = (np.arange(height)[:, None] + 0.5 - centre[1] * height) / half
    return x.astype(np.float32), y.astype(np.float32)
