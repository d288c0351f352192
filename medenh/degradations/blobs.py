"""Small things in the way: highlights, glare, deposits, bubbles.

Where they are is drawn once and kept: lists of ellipses and circles, in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from medenh.colour import luma
from medenh.degradations.operator import (
    Drawn,
    Length,
    Operator,
    Scene,
    Share,
    Signed,
    at_level,
    draw_share,
    relative_size,
    span,
)
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = [
    "GLARE",
    "OPERATORS",
    "Bubbles",
    "Deposits",
    "Ellipse",
    "Highlights",
]

Ellipse = tuple[float, float, float, float, float, float]
Circle = tuple[float, float, float]

_SHIFT = 4  # fractional bits of OpenCV's coordinates
_BRIGHT = 80.0  # highlights lie where the luma is above this percentile


@dataclass(frozen=True, slots=True)
class Highlights(Operator):
    """Specular reflections: 3 to 40 white ellipses, half axes 1 to 15 px at 512 [C].

    Attributes
    ----------
    ellipses : tuple of tuples
        x, y, half axes a and b, angle in degrees, strength of each.
    edge_sigma : float
        Softness of their edges, in pixels.
    """

    ellipses: tuple[Ellipse, ...]
    edge_sigma: Length

    name: ClassVar[str] = "highlights"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw spots on the brighter parts of the field."""
        share = draw_share(rng, severity)
        scale = relative_size(pixels, 512, scene)
        spots = _bright_places(pixels, scene.field)
        longest = at_level((6.0, 15.0), share)
        ellipses = []
        for _ in range(round(at_level((3, 40), share))):
            x, y = spots[rng.integers(len(spots))]
            a = float(np.exp(rng.uniform(0.0, np.log(longest)))) * scale
            b = max(scale, a * float(rng.uniform(0.2, 0.8)))
            turn, strength = rng.uniform(0.0, 180.0), rng.uniform(0.6, 1.0)
            ellipses.append(_ellipse(x, y, a, b, turn, strength))
        return cls(tuple(ellipses), float(rng.uniform(1.0, 2.0)) * scale)

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the reflections to one frame; the engine clips at white."""
        light = _painted(pixels, self.ellipses, self.edge_sigma)
        return pixels + light[..., None]


def _draw_glare(
    rng: np.random.Generator,
    pixels: FloatArray,
    scene: Scene,
    severity: float | None,
) -> Highlights:
    """Draw polarisation glare: 1 to 6 large, soft, faint highlights [C]."""
    share = draw_share(rng, severity)
    height, width = pixels.shape[:2]
    side = max(height, width)
    ellipses = []
    for _ in range(round(at_level((1, 6), share))):
        x, y = rng.random(2) * (width, height)
        a, b = rng.uniform(0.05, 0.2) * side, rng.uniform(0.02, 0.06) * side
        strength = rng.uniform(0.5, 1.0) * at_level((0.15, 0.5), share)
        ellipses.append(_ellipse(x, y, a, b, rng.uniform(0.0, 180.0), strength))
    return Highlights(tuple(ellipses), 0.04 * side)


GLARE = Drawn(Highlights, _draw_glare)


@dataclass(frozen=True, slots=True)
class Deposits(Operator):
    """Dark spots on a slide, stain or dirt: 1 to 5, radius 3 to 12 px at 224 [C].

    Attributes
    ----------
    ellipses : tuple of tuples
        x, y, half axes a and b, angle in degrees, opacity of each.
    edge_sigma : float
        Softness of their edges, in pixels.
    colour : tuple of float
        Red, green, blue.
    """

    ellipses: tuple[Ellipse, ...]
    edge_sigma: Length
    colour: tuple[Share, Share, Share]

    name: ClassVar[str] = "deposits"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw spots, each of three overlapping ellipses, anywhere."""
        share = draw_share(rng, severity)
        scale = relative_size(pixels, 224, scene)
        height, width = pixels.shape[:2]
        ellipses = []
        for _ in range(round(at_level((1, 5), share))):
            place = rng.random(2) * (width, height)
            radius = rng.uniform(3.0, at_level((5.0, 12.0), share)) * scale
            opacity = rng.uniform(0.6, 0.95)
            for _ in range(3):
                x, y = place + rng.normal(0.0, 0.5, 2) * radius
                a, b = rng.uniform(0.4, 1.0, 2) * radius
                ellipses.append(_ellipse(x, y, a, b, rng.uniform(0, 180), opacity))
        tone = np.array([0.25, 0.08, 0.3]) * rng.uniform(0.5, 1.2)
        colour = (float(tone[0]), float(tone[1]), float(tone[2]))
        return cls(tuple(ellipses), float(rng.uniform(0.3, 1.0)) * scale, colour)

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Cover one frame; light is taken away, never added."""
        alpha = _painted(pixels, self.ellipses, self.edge_sigma)[..., None]
        tone = np.array(
            self.colour if pixels.shape[-1] == 3 else self.colour[1:2], np.float32
        )
        passed: FloatArray = pixels * (1 - alpha * (1 - tone))
        return passed


@dataclass(frozen=True, slots=True)
class Bubbles(Operator):
    """Air under the cover slip or in the gel: 7 to 25, radius 3 to 17 px at 224.

    Number and radii are MedMNIST-C's for blood [code]; the look is ours [C]: the
    picture is bent, the rim dark, with a small reflection.

    Attributes
    ----------
    circles : tuple of tuples
        x, y, radius of each, in pixels.
    bend : float
        How much smaller the picture looks through them.
    rim : float
        Share of the light that the rim takes; below 0 the rim is brighter.
    """

    circles: tuple[Circle, ...]
    bend: Annotated[float, Field(ge=0, le=10)]
    rim: Signed

    name: ClassVar[str] = "bubbles"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw circles, small ones more often."""
        share = draw_share(rng, severity)
        scale = relative_size(pixels, 224, scene)
        height, width = pixels.shape[:2]
        circles = []
        for _ in range(round(at_level((7, 25), share))):
            x, y = rng.random(2) * (width, height)
            radius = 3.0 + (at_level((7.0, 17.0), share) - 3.0) * rng.random() ** 2
            circles.append((round(x, 2), round(y, 2), round(radius * scale, 2)))
        rim = span(rng, 0.4, 0.7, severity)
        return cls(tuple(circles), float(rng.uniform(0.3, 0.8)), rim)

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Put the bubbles over one frame."""
        result = pixels.copy()
        for circle in self.circles:
            self._put(result, pixels, circle)
        return result

    def _put(self, result: FloatArray, pixels: FloatArray, circle: Circle) -> None:
        x0, y0, radius = circle
        height, width = pixels.shape[:2]
        reach = radius * 1.15 + 1
        rows = slice(max(0, int(y0 - reach)), min(height, int(y0 + reach) + 1))
        columns = slice(max(0, int(x0 - reach)), min(width, int(x0 + reach) + 1))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        y, x = np.mgrid[rows, columns].astype(np.float32)
        dx, dy = x - np.float32(x0), y - np.float32(y0)
        rho = np.hypot(dx, dy) / np.float32(radius)
        spread = 1 + np.float32(self.bend) * np.square(np.minimum(rho, 1))
        view = cv2.remap(
            pixels,
            np.float32(x0) + dx * spread,
            np.float32(y0) + dy * spread,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        ).reshape((*rho.shape, pixels.shape[2]))
        soft = np.clip((1 - rho) * np.float32(radius) + 0.5, 0, 1)[..., None]
        patch = result[rows, columns]
        patch += soft * (view - patch)
        patch *= (
            1
            - np.float32(self.rim) * np.exp(-np.square((rho - 0.95) / 0.08))[..., None]
        )
        # the lamp's reflection, up and left
        spot = np.hypot(dx + 0.4 * radius, dy + 0.4 * radius) / (0.12 * radius)
        patch += 0.6 * np.float32(abs(self.rim)) * np.exp(-np.square(spot))[..., None]


OPERATORS: tuple[type[Operator], ...] = (Highlights, Deposits, Bubbles)


def _ellipse(
    x: float, y: float, a: float, b: float, angle_deg: float, strength: float
) -> Ellipse:
    numbers = (x, y, a, b, angle_deg, strength)
    return tuple(round(float(one), 2) for one in numbers)  # type: ignore[return-value]


def _bright_places(pixels: FloatArray, field: FloatArray | None) -> NDArray[np.int64]:
    """Return (x, y) of the pixels whose luma is high inside the field."""
    level = luma(pixels)
    inside = np.ones(level.shape, bool) if field is None else field > 0.5
    if not inside.any():
        inside = np.ones(level.shape, bool)
    bright = inside & (level >= np.percentile(level[inside], _BRIGHT))
    return np.argwhere(bright)[:, ::-1]


def _painted(
    pixels: FloatArray, ellipses: tuple[Ellipse, ...], edge_sigma: float
) -> FloatArray:
    """Return ellipses on a plane, each as bright as it is strong, edges softened."""
    plane = np.zeros(pixels.shape[:2], np.uint8)
    for x, y, a, b, angle_deg, strength in ellipses:
        cv2.ellipse(
            plane,
            (round(x * (1 << _SHIFT)), round(y * (1 << _SHIFT))),
            (round(a * (1 << _SHIFT)), round(b * (1 << _SHIFT))),
            angle_deg,
            0,
            360,
            (round(255 * strength),),
            -1,
            cv2.LINE_AA,
            _SHIFT,
        )
    light = plane.astype(np.float32) / np.float32(255.0)
    if edge_sigma <= 0:
        return light
    side = 2 * round(3 * edge_sigma) + 1
    return cv2.GaussianBlur(
        light, (side, side), edge_sigma, borderType=cv2.BORDER_REFLECT
    ).astype(np.float32)
