"""Cofe-Net's uneven illumination: colour, light leak, dark hole.

Mode "exact" is the published program, number by number: constants tied to 512 pixels,
8-bit truncation in the colour step, double precision after it. Mode "scaled" (default)
keeps fractions of levels and evaluates wide blurs on a coarse grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from medenh.degradations.operator import Operator, Scene, span
from medenh.degradations.smoothing import blur_plane, disc, odd
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["HALO_TINTS", "OPERATORS", "CofeColour", "CofeHalo", "CofeHole", "is_exact"]

HALO_TINTS = (
    (251 / 255, 249 / 255, 246 / 255),  # white; the code never draws it
    (141 / 255, 238 / 255, 238 / 255),
    (177 / 255, 195 / 255, 147 / 255),
)
_LUMA = np.array([[19595, 38470, 7471]], np.float32) / np.float32(65536)
_MILD = 0.2  # strength of severity 0, where 1 is the end of the paper's range [C]


def is_exact(scene: Scene) -> bool:
    """Whether the published program is wanted, number by number."""
    return bool(scene.options.get("mode") == "exact")


def strength(severity: float | None) -> float:
    """Return the factor of an effect that has no range of its own; 1 as published."""
    return 1.0 if severity is None else _MILD + (1.0 - _MILD) * severity


def whole(rng: np.random.Generator, low: float, high: float) -> int:
    """Draw a whole number, both ends included, as Python's `randint`."""
    return int(rng.integers(int(low), int(high), endpoint=True))


@dataclass(frozen=True, slots=True)
class CofeColour(Operator):
    """Brightness, contrast and saturation, in this order, as Pillow blends them.

    Samples U(.7, 1.2), U(.6, 1.4) and U(.6, 1.4) [code].

    Attributes
    ----------
    brightness, contrast, saturation : float
        Factors; 1 changes nothing.
    grey : float or None
        Level of 255 that contrast blends with: the mean luma of the brightened
        picture, black surround included. None: measured when applied.
    """

    brightness: float
    contrast: float
    saturation: float
    grey: float | None = None

    name: ClassVar[str] = "cofe-colour"
    ranges: ClassVar[tuple[tuple[float, float], ...]] = (
        (0.7, 1.2),
        (0.6, 1.4),
        (0.6, 1.4),
    )

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the factors; a severity draws sides, and goes that far to their ends."""
        factors = []
        for low, high in cls.ranges:
            share = float(rng.random())
            if severity is None:
                factors.append(low + (high - low) * share)
            else:
                end = low if share < 0.5 else high
                factors.append(1.0 + (end - 1.0) * strength(severity))
        brightness, contrast, saturation = factors
        if _in_levels(scene):
            grey = _mean_grey(_brightened(_levels(pixels), brightness))
        else:
            bright = np.minimum(pixels * np.float32(brightness), np.float32(1.0))
            grey = _mean_luma(bright) * 255.0
        return cls(brightness, contrast, saturation, grey)

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Change one frame."""
        if _in_levels(scene):
            return self._on_levels(_levels(pixels))
        x: FloatArray = np.minimum(
            pixels * np.float32(self.brightness), np.float32(1.0)
        )
        grey = _mean_luma(x) if self.grey is None else self.grey / 255.0
        x *= np.float32(self.contrast)
        x += np.float32((1.0 - self.contrast) * grey)
        np.clip(x, np.float32(0.0), np.float32(1.0), out=x)
        if x.shape[-1] == 3:
            luma = cv2.transform(x, _LUMA * np.float32(1.0 - self.saturation))
            x *= np.float32(self.saturation)
            x += luma.reshape(*x.shape[:2], 1)
        return x

    def _on_levels(self, levels: NDArray[np.uint8]) -> FloatArray:
        """Change 8-bit levels, truncated after each of the three steps."""
        levels = _brightened(levels, self.brightness)
        grey = _mean_grey(levels) if self.grey is None else self.grey
        ramp = np.arange(256, dtype=np.float32)
        levels = _blend(np.float32(grey), ramp, self.contrast)[levels]
        if levels.shape[-1] == 3:
            luma = _luma_levels(levels)[..., None].astype(np.float32)
            levels = _blend(luma, levels.astype(np.float32), self.saturation)
        return levels.astype(np.float32) / np.float32(255.0)


@dataclass(frozen=True, slots=True)
class CofeHalo(Operator):
    """Light leak: a tinted ring outside a disc, smeared inwards.

    Attributes
    ----------
    kind : int
        Tint: 0 white, 1 bluish, 2 greenish.
    centre_a, centre_b : tuple of float
        (x, y) of the inner and outer disc, in pixels.
    diameter_a, diameter_b : float
        In pixels; the ring is what only one of the discs covers.
    window : int
        Odd side of the blur's window, in pixels.
    sigma : float
        Of the blur, in pixels.
    tint : tuple of float
        Red, green, blue factors.
    weight : float
        Factor of it all; 1 as published.
    mean : float or None
        Mean of the picture, all pixels and channels: the ring's brightness. None:
        measured when applied.
    """

    kind: int
    centre_a: tuple[float, float]
    diameter_a: float
    centre_b: tuple[float, float]
    diameter_b: float
    window: int
    sigma: float
    tint: tuple[float, float, float]
    weight: float = 1.0
    mean: float | None = None

    name: ClassVar[str] = "cofe-halo"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw tint and discs; all lengths follow from the picture's sides."""
        h, w = pixels.shape[:2]
        kind = whole(rng, 1, 2)
        cx = whole(rng, w / 2 - w // 8, w / 2 + w // 8)
        cy = whole(rng, h / 2 - h // 8, h / 2 + h // 8)
        inner = min(h, w) * span(rng, 1.0, 0.75, severity)
        corner = max(cx, h - cx) ** 2 + max(cy, h - cy) * max(cy, w - cy)
        widest = 2 * int(np.sqrt(corner)) / min(h, w)
        outer = min(h, w) * (1.0 + (widest - 1.0) * float(rng.random()))
        outer += abs(max(cx - w / 2, cy - h / 2) + max(h, w) / 2)
        window, sigma = cls.blur_of((cx, cy), inner, h)
        return cls(
            kind=kind,
            centre_a=(cx, cy),
            diameter_a=inner,
            centre_b=(cx, cy),
            diameter_b=outer,
            window=window,
            sigma=sigma,
            tint=HALO_TINTS[kind],
            weight=strength(severity),
            mean=_mean(pixels),
        )

    @staticmethod
    def blur_of(
        centre: tuple[float, float], diameter: float, height: int
    ) -> tuple[int, float]:
        """Return window and sigma that the code derives from the inner disc."""
        cx, cy = centre
        reach = int(abs(2 * max(cx, height - cx, cy, height - cy) - diameter))
        return odd(reach), 2 / 3 * reach

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Light one frame."""
        shape = (pixels.shape[0], pixels.shape[1])
        inner = disc(shape, self.centre_a, int(self.diameter_a / 2))
        outer = disc(shape, self.centre_b, int(self.diameter_b / 2))
        mean = _mean(pixels) if self.mean is None else self.mean
        ring = np.abs(inner - outer) * (mean * self.weight)
        tint = np.array(self.tint)
        if pixels.shape[2] == 1:
            tint = _LUMA.astype(np.float64) @ tint
        return _added(
            pixels, ring, (self.window, self.window), self.sigma, tint, is_exact(scene)
        )


@dataclass(frozen=True, slots=True)
class CofeHole(Operator):
    """Dark disc with a soft edge, subtracted alike from all channels.

    Attributes
    ----------
    centre : tuple of float
        (x, y), in pixels.
    diameter : float
        In pixels.
    factor : float
        What is added inside: negative; 0 on dark pictures.
    window_w, window_h : int
        Odd sides of the blur's window, in pixels.
    sigma : float
        Of the blur, in pixels.
    mean_inside : float or None
        Mean of the picture inside the field, from which the factor was drawn.
    """

    centre: tuple[float, float]
    diameter: float
    factor: float
    window_w: int
    window_h: int
    sigma: float
    mean_inside: float | None = None

    name: ClassVar[str] = "cofe-hole"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw disc and depth; pictures with a mean up to .25 get no hole."""
        h, w = pixels.shape[:2]
        diameter = whole(rng, int(0.4 * w), int(0.7 * w))
        cx, cy = whole(rng, w / 4, w * 3 / 4), whole(rng, h * 3 / 8, h * 5 / 8)
        area = h * w if scene.field is None else float(scene.field.sum())
        mean = _mean(pixels) * h * w / max(area, 1.0)
        depth = 0.26 + 0.002 * float(rng.random())
        depth += mean * (0.05 + 0.01 * float(rng.random()))
        sides = [whole(rng, 0.55 * diameter, 0.75 * diameter) for _ in range(2)]
        return cls(
            centre=(cx, cy),
            diameter=diameter,
            factor=-depth * strength(severity) if mean > 0.25 else 0.0,
            window_w=odd(sides[0]),
            window_h=odd(sides[1]),
            sigma=2 / 3 * max(sides) * 1.2,
            mean_inside=mean,
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Darken one frame."""
        exact = is_exact(scene)
        if self.factor == 0.0 and not exact:
            return pixels
        shape = (pixels.shape[0], pixels.shape[1])
        hole = disc(shape, self.centre, int(self.diameter / 2)) * self.factor
        window = (self.window_w, self.window_h)
        return _added(pixels, hole, window, self.sigma, np.ones(1), exact)


OPERATORS: tuple[type[Operator], ...] = (CofeColour, CofeHalo, CofeHole)


def _added(
    pixels: FloatArray,
    plane: NDArray[np.float64],
    window: tuple[int, int],
    sigma: float,
    tint: NDArray[np.float64],
    exact: bool,
) -> FloatArray:
    """Return a frame with a blurred plane added, times a tint."""
    if exact:
        field = cv2.GaussianBlur(plane, window, sigma)
        widened: NDArray[Any] = pixels + field[..., None] * tint  # double from here on
        return widened
    smooth = blur_plane(plane, window, sigma)[..., None]
    return pixels + smooth * tint.astype(np.float32)


def _in_levels(scene: Scene) -> bool:
    return is_exact(scene) and scene.eight_bit


def _mean(pixels: FloatArray) -> float:
    return float(np.mean(cv2.mean(pixels)[: pixels.shape[2]]))


def _mean_luma(pixels: FloatArray) -> float:
    means = cv2.mean(pixels)[: pixels.shape[2]]
    return float(_LUMA[0] @ means) if len(means) == 3 else float(means[0])


def _levels(pixels: FloatArray) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.rint(pixels * np.float32(255.0)).astype(np.uint8)
    return levels


def _brightened(levels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    ramp = np.arange(256, dtype=np.float32)
    return _blend(np.float32(0.0), ramp, factor)[levels]


def _blend(
    ground: FloatArray | np.float32, levels: FloatArray, factor: float
) -> NDArray[np.uint8]:
    """Return ground + factor (levels - ground) as Pillow does: single, truncated."""
    mixed = ground + np.float32(factor) * (levels - ground)
    return np.clip(mixed, np.float32(0.0), np.float32(255.0)).astype(np.uint8)


def _luma_levels(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return Pillow's 8-bit luma, ITU-R 601 in 16-bit fixed point."""
    if levels.shape[2] == 1:
        grey: NDArray[np.uint8] = levels[..., 0]
        return grey
    wide = levels.astype(np.uint32)
    total = 19595 * wide[..., 0] + 38470 * wide[..., 1] + 7471 * wide[..., 2]
    luma: NDArray[np.uint8] = ((total + 32768) >> 16).astype(np.uint8)
    return luma


def _mean_grey(levels: NDArray[np.uint8]) -> float:
    """Return the rounded mean luma, Pillow's ground of contrast."""
    return float(int(float(_luma_levels(levels).mean(dtype=np.float64)) + 0.5))
