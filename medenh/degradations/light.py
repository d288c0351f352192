"""Light and colour of the whole frame: exposure, gamma, contrast, saturation, cast.

All work on numbers in [0, 1]. Uneven light is in shading.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field

from medenh.colour import luma
from medenh.degradations.operator import (
    Factor,
    Operator,
    Scene,
    Signed,
    span,
)
from medenh.degradations.parameters import Graded, Levels, RangedOperator
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = [
    "OPERATORS",
    "Brightness",
    "ColourGains",
    "Contrast",
    "Exposure",
    "Gamma",
    "Offset",
    "Saturation",
]


@dataclass(frozen=True, slots=True)
class Brightness(RangedOperator):
    """Offset of the HSV value; samples ImageNet-C's levels, +.1 to +.5 [code].

    Attributes
    ----------
    offset : float
        Added to the largest channel; the others keep their ratio to it.
    """

    offset: Signed

    name: ClassVar[str] = "brightness"
    parameters: ClassVar = {
        "offset": Levels((0.1, 0.2, 0.3, 0.4, 0.5)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Brighten one frame; black becomes grey."""
        channels = [pixels[..., one] for one in range(pixels.shape[-1])]
        value: FloatArray = reduce(np.maximum, channels)[..., None]
        wanted = np.clip(value + np.float32(self.offset), 0.0, 1.0)
        ratio = pixels / np.maximum(value, np.float32(1e-12))
        ratio = np.where(value > 0, ratio, np.float32(1.0))
        result: FloatArray = ratio * wanted
        return result


@dataclass(frozen=True, slots=True)
class Contrast(RangedOperator):
    """Blend towards each channel's mean; samples ImageNet-C's levels [code].

    Attributes
    ----------
    factor : float
        1 changes nothing, 0 leaves the mean; ImageNet-C: .4 to .05. Above 1 the
        contrast grows.
    """

    factor: Factor

    name: ClassVar[str] = "contrast"
    parameters: ClassVar = {
        "factor": Levels((0.4, 0.3, 0.2, 0.1, 0.05)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Change the contrast of one frame, about the mean inside its field."""
        inside = None if scene.field is None else (scene.field > 0.5).astype(np.uint8)
        mean = np.array(cv2.mean(pixels, mask=inside)[: pixels.shape[-1]])
        offset = ((1.0 - self.factor) * mean).astype(np.float32)
        result: FloatArray = pixels * np.float32(self.factor) + offset
        return result


@dataclass(frozen=True, slots=True)
class Saturation(RangedOperator):
    """Blend towards grey of the same luma; samples factors .8 to .2 [C].

    Attributes
    ----------
    factor : float
        1 changes nothing, 0 leaves grey, above 1 colours grow.
    """

    factor: Factor

    name: ClassVar[str] = "saturation"
    parameters: ClassVar = {
        "factor": Graded(0.8, 0.2),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Change the saturation of one frame."""
        grey: FloatArray = luma(pixels)[..., None].astype(np.float32, copy=False)
        result: FloatArray = grey + (pixels - grey) * np.float32(self.factor)
        return result


@dataclass(frozen=True, slots=True)
class Exposure(RangedOperator):
    """Multiplied light; samples gains of .8 to .3, or 1.2 to 1.9 [C].

    Attributes
    ----------
    gain : float
        Factor of the displayed values; what passes 1 is lost.
    """

    gain: Factor

    name: ClassVar[str] = "exposure"
    parameters: ClassVar = {
        "gain": Graded((0.8, 1.2), (0.3, 1.9)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Multiply one frame."""
        return pixels * np.float32(self.gain)


@dataclass(frozen=True, slots=True)
class Offset(RangedOperator):
    """Even background light, y = x + D; samples D of .01 to .12 [C].

    Attributes
    ----------
    level : float
        D, added to every channel.
    """

    level: Signed

    name: ClassVar[str] = "offset"
    parameters: ClassVar = {
        "level": Graded(0.01, 0.12),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add to one frame."""
        return pixels + np.float32(self.level)


@dataclass(frozen=True, slots=True)
class Gamma(RangedOperator):
    """Power of the displayed values; samples .8 to .5, or 1.2 to 2.2 [C].

    Attributes
    ----------
    exponent : float
        Below 1 brightens, above 1 darkens; black and white stay.
    """

    exponent: Annotated[float, Field(gt=0, le=10)]

    name: ClassVar[str] = "gamma"
    parameters: ClassVar = {
        "exponent": Graded((0.8, 1.2), (0.5, 2.2)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Bend one frame."""
        return np.maximum(pixels, np.float32(0.0)) ** np.float32(self.exponent)


@dataclass(frozen=True, slots=True)
class ColourGains(Operator):
    """White balance or colour cast; samples gains up to 1 +- .05 to 1 +- .2 [C].

    Attributes
    ----------
    red, green, blue : float
        Factors of the channels; a grey picture takes green's.
    """

    red: Factor
    green: Factor
    blue: Factor

    name: ClassVar[str] = "colour-gains"

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


OPERATORS: tuple[type[Operator], ...] = (
    Brightness,
    Contrast,
    Saturation,
    Exposure,
    Offset,
    Gamma,
    ColourGains,
)
