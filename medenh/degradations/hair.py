"""Hairs over skin: from masks of real hairs, or drawn as Bezier strokes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from medenh.degradations.operator import (
    Operator,
    Scene,
    Share,
    at_level,
    draw_share,
    relative_size,
)
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["OPERATORS", "DrawnHair", "RealHair", "Stroke"]

Stroke = tuple[float, float, float, float, float, float, float]

_MASK_SIDE = 512
# hair tones, linear mixes of them are drawn: black, brown, reddish, grey [C]
_TONES = np.array(
    [[0.05, 0.04, 0.04], [0.19, 0.12, 0.08], [0.33, 0.18, 0.10], [0.42, 0.40, 0.38]]
)
_TONE_CHANCES = (0.4, 0.4, 0.15, 0.05)
_SHIFT = 4  # fractional bits of OpenCV's coordinates


@dataclass(frozen=True, slots=True)
class RealHair(Operator):
    """A mask of real hairs, see assets/hair_masks.md, painted over the picture.

    Attributes
    ----------
    mask : int
        Which of the masks, 0 (thin) to 22 (thick).
    flip_x, flip_y, turned : bool
        Mirrored, and rows swapped with columns.
    zoom : float
        At 1 the mask spans the frame's long side; above, a part of it does.
    offset : tuple of float
        (x, y) in [0, 1]: which part.
    colour : tuple of float
        Red, green, blue of the hairs.
    opacity : float
        Of the hairs' middle.
    """

    mask: Annotated[int, Field(ge=0, le=22)]
    flip_x: bool
    flip_y: bool
    turned: bool
    zoom: Annotated[float, Field(ge=0.1, le=1e4)]
    offset: tuple[float, float]
    colour: tuple[Share, Share, Share]
    opacity: Share

    name: ClassVar[str] = "real-hair"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw a mask, thicker ones for a higher severity, its pose and colour."""
        share = draw_share(rng, severity)
        last = len(_masks()) - 1
        whole = relative_size(pixels, max(pixels.shape[:2]), scene)  # above 1: a crop
        x, y = rng.random(2)
        return cls(
            mask=int(np.clip(round(share * last + rng.uniform(-3, 3)), 0, last)),
            flip_x=bool(rng.integers(2)),
            flip_y=bool(rng.integers(2)),
            turned=bool(rng.integers(2)),
            zoom=float(rng.uniform(1.0, 1.25)) * whole,
            offset=(float(x), float(y)),
            colour=_draw_colour(rng),
            opacity=at_level((0.6, 0.95), share),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Paint the hairs over one frame."""
        return _painted(pixels, self._cover(pixels), self.colour, self.opacity)

    def _cover(self, pixels: FloatArray) -> FloatArray:
        """Return the part of the mask that lies over a frame, in [0, 1]."""
        mask = _masks()[self.mask % len(_masks())]
        mask = mask[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        mask = mask.T if self.turned else mask
        height, width = pixels.shape[:2]
        scale = max(height, width) * self.zoom / _MASK_SIDE
        left = self.offset[0] * (_MASK_SIDE * scale - width)
        top = self.offset[1] * (_MASK_SIDE * scale - height)
        source = mask.astype(np.float32) / np.float32(255.0)
        if scale < 1:  # warpAffine does not average
            side = 2 * round(0.5 / scale) + 1
            source = cv2.GaussianBlur(source, (side, side), 0.4 / scale)
        matrix = np.array([[scale, 0, -left], [0, scale, -top]])
        return cv2.warpAffine(source, matrix, (width, height)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class DrawnHair(Operator):
    """Hairs drawn as tapered quadratic Bezier strokes: 5 to 40 of 1 to 4 px at 512 [C].

    Attributes
    ----------
    strokes : tuple of tuples
        x0, y0, x1, y1, x2, y2, width of each: end, control point, end; in pixels.
    colour : tuple of float
        Red, green, blue of the hairs.
    opacity : float
        Of the hairs' middle.
    """

    strokes: tuple[Stroke, ...]
    colour: tuple[Share, Share, Share]
    opacity: Share

    name: ClassVar[str] = "drawn-hair"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw strokes that share a rough direction, their widths and colour."""
        share = draw_share(rng, severity)
        colour = _draw_colour(rng)
        lie = float(rng.uniform(0.0, np.pi))
        widest = at_level((2.0, 4.0), share) * relative_size(pixels, 512, scene)
        strokes = [
            _draw_stroke(rng, pixels, lie, widest)
            for _ in range(round(at_level((5, 40), share)))
        ]
        return cls(tuple(strokes), colour, at_level((0.6, 0.95), share))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Draw the hairs over one frame."""
        cover = np.zeros(pixels.shape[:2], np.uint8)
        for stroke in self.strokes:
            _draw_tapered(cover, stroke)
        plane = cover.astype(np.float32) / np.float32(255.0)
        soft = _softened(plane, relative_size(pixels, _MASK_SIDE, scene))
        return _painted(pixels, soft, self.colour, self.opacity)


OPERATORS: tuple[type[Operator], ...] = (RealHair, DrawnHair)


@cache
def _masks() -> NDArray[np.uint8]:
    """Return the masks, shape (masks, 512, 512), softened, 255 in a hair's middle."""
    asset = resources.files("medenh.degradations") / "assets" / "hair_masks.png"
    code = np.frombuffer(asset.read_bytes(), np.uint8)
    sheet: NDArray[Any] = cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)  # type: ignore[assignment]
    hairs = (sheet > 127).astype(np.float32).reshape(-1, _MASK_SIDE, _MASK_SIDE)
    soft = np.stack([_softened(mask, 1.0) for mask in hairs])
    masks: NDArray[np.uint8] = np.rint(soft * 255.0).astype(np.uint8)
    return masks


def _softened(cover: FloatArray, sigma: float) -> FloatArray:
    """Return how much hairs hide: all in their middle, little at their edges."""
    sigma = max(0.5, sigma)
    side = 2 * round(3 * sigma) + 1
    soft = cv2.GaussianBlur(cover, (side, side), sigma, borderType=cv2.BORDER_REFLECT)
    return np.power(soft, np.float32(1.5)).astype(np.float32)


def _draw_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    tone = _TONES[rng.choice(len(_TONES), p=_TONE_CHANCES)] * rng.uniform(0.7, 1.3)
    return float(tone[0]), float(tone[1]), float(tone[2])


def _draw_stroke(
    rng: np.random.Generator, pixels: FloatArray, lie: float, widest: float
) -> Stroke:
    height, width = pixels.shape[:2]
    side = max(height, width)
    middle = rng.uniform(0.0, 1.0, 2) * (width, height)
    angle = lie + rng.normal(0.0, 0.5)
    half = side * rng.uniform(0.1, 0.5) / 2
    way = np.array([np.cos(angle), np.sin(angle)])
    bend = np.array([-way[1], way[0]]) * half * rng.normal(0.0, 0.5)
    points = np.concatenate([middle - way * half, middle + bend, middle + way * half])
    numbers = (*points, widest * rng.uniform(0.5, 1.0))
    return tuple(round(float(one), 2) for one in numbers)  # type: ignore[return-value]


def _draw_tapered(cover: NDArray[np.uint8], stroke: Stroke) -> None:
    """Draw a stroke, its last fifth thinner, on an 8-bit plane."""
    ends = np.array(stroke[:6]).reshape(3, 2)
    t = np.linspace(0.0, 1.0, 41)[:, None]
    curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
    fixed = np.rint(curve * (1 << _SHIFT)).astype(np.int32)
    width = max(1, round(stroke[6]))
    strength = 255.0 * min(1.0, stroke[6])  # thinner than a pixel: fainter
    parts = ((fixed[:33], width), (fixed[32:], max(1, width - 1)))
    for part, thickness in parts:
        cv2.polylines(
            cover, [part], False, (strength,), thickness, cv2.LINE_AA, shift=_SHIFT
        )


def _painted(
    pixels: FloatArray,
    cover: FloatArray,
    colour: tuple[float, float, float],
    opacity: float,
) -> FloatArray:
    """Blend a frame towards a colour where hairs cover it."""
    alpha = cover[..., None] * np.float32(opacity)
    tone = np.array(colour if pixels.shape[-1] == 3 else colour[1:2], np.float32)
    result: FloatArray = pixels + alpha * (tone - pixels)
    return result
