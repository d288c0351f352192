"""Fundus photographs beyond Cofe-Net: cataract, lids, pupil, optics, sensor, file.

The target stays the photograph as it was: what has CLAHE of it as target (FD3) is not
offered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from medenh.colour import luma
from medenh.degradations.blur import DefocusBlur, TrajectoryBlur
from medenh.degradations.compression import Jpeg
from medenh.degradations.light import ColourGains, Gamma
from medenh.degradations.noise import PoissonGaussianNoise
from medenh.degradations.operator import (
    Angle,
    Drawn,
    Operator,
    Positive,
    Sampler,
    Scene,
    Share,
    relative_size,
    span,
)
from medenh.degradations.parameters import Graded, Uniform, ranged
from medenh.degradations.recipe import Recipe, Step, in_order
from medenh.degradations.resampling import BicubicReduction
from medenh.degradations.shading import Vignette
from medenh.degradations.smoothing import window_taps
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["OPERATORS", "RECIPES", "WHITE_BALANCE", "CataractVeil", "LidShadow"]

_SIDE = 512  # the side that lengths are given for


@dataclass(frozen=True, slots=True)
class CataractVeil(Operator):
    """Scattered light of a clouded lens, after ArcNet's simulation [code].

    y = .8 B + r d (white - B) for each channel, B the picture slightly blurred, d the
    distance from a point, 1 at the furthest; then contrast, brightness, saturation.

    Attributes
    ----------
    centre : tuple of float
        (x, y) of the clearest point, as shares of width and height.
    veil : float
        r; sampled from .6 to .8.
    white : tuple of float
        Largest value of each channel of the blurred picture.
    window, sigma : float
        Of the blur, in pixels; windows of 1 to 7 px at 512, sigma of 10 to 30.
    contrast, brightness, saturation : float
        Factors, sampled from .9-1.3, .9-1, .9-1.3.
    grey : float
        Mean luma that contrast blends with.
    """

    centre: tuple[float, float]
    veil: float
    white: tuple[float, ...]
    window: float
    sigma: float
    contrast: float
    brightness: float
    saturation: float
    grey: float

    name: ClassVar[str] = "cataract-veil"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the clear point up to 30 % off, veil, blur and colour."""
        unit = relative_size(pixels, _SIDE, scene)
        x, y = 0.5 + rng.uniform(-0.3, 0.3, 2)
        veil = span(rng, 0.6, 0.8, severity)
        window = float(rng.choice([1, 3, 5, 7])) * unit
        sigma = float(rng.integers(10, 30, endpoint=True)) * unit
        contrast, saturation = rng.uniform(0.9, 1.3, 2)
        blurred = _box_blurred(pixels, window, sigma)
        veiled = _veiled(blurred, (float(x), float(y)), veil, _brightest(blurred))
        return cls(
            centre=(float(x), float(y)),
            veil=veil,
            white=_brightest(blurred),
            window=window,
            sigma=sigma,
            contrast=float(contrast),
            brightness=float(rng.uniform(0.9, 1.0)),
            saturation=float(saturation),
            grey=float(luma(veiled).mean(dtype=np.float64)),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Veil one frame."""
        blurred = _box_blurred(pixels, self.window, self.sigma)
        x = _veiled(blurred, self.centre, self.veil, self.white)
        x *= np.float32(self.contrast)
        x += np.float32((1.0 - self.contrast) * self.grey)
        np.clip(x, np.float32(0.0), np.float32(1.0), out=x)
        x *= np.float32(self.brightness)
        if x.shape[2] == 3:
            grey = luma(x)[..., None].astype(np.float32, copy=False)
            x = grey + (x - grey) * np.float32(self.saturation)
        return x


@dataclass(frozen=True, slots=True)
class LidShadow(Operator):
    """Soft dark half-plane: a lid, lashes or the iris in the light [C].

    Attributes
    ----------
    angle_deg : float
        Direction of the dark side, counter-clockwise from the right; 90 is above.
    edge : float
        Distance of the edge from the centre, in half sides.
    softness : float
        Width of the transition, in half sides.
    depth : float
        Share of the light that is lost far in the dark.
    """

    angle_deg: Angle
    edge: float
    softness: Positive
    depth: Share

    name: ClassVar[str] = "lid-shadow"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw a shadow from above or below, at times from the side."""
        upright = 90.0 if rng.integers(2) else 270.0
        return cls(
            angle_deg=upright + float(rng.normal(0.0, 25.0)),
            edge=span(rng, 0.8, 0.2, severity),
            softness=float(rng.uniform(0.05, 0.2)),
            depth=span(rng, 0.3, 0.85, severity),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Darken one frame."""
        x, y = _half_sides(pixels)
        angle = np.deg2rad(self.angle_deg)
        along = x * np.cos(angle) - y * np.sin(angle)
        reach = np.clip((along - self.edge) / self.softness, -30.0, 30.0)
        light = 1.0 - self.depth / (1.0 + np.exp(-reach))
        result: FloatArray = pixels * light.astype(np.float32)[..., None]
        return result


OPERATORS: tuple[type[Operator], ...] = (CataractVeil, LidShadow)


def _box_blurred(pixels: FloatArray, window: float, sigma: float) -> FloatArray:
    taps = window_taps(window, sigma)
    if len(taps) == 1:
        return pixels
    blurred = cv2.sepFilter2D(pixels, -1, taps, taps, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32).reshape(pixels.shape)


def _veiled(
    blurred: FloatArray,
    centre: tuple[float, float],
    veil: float,
    white: tuple[float, ...],
) -> FloatArray:
    """Return a blurred frame behind the veil, a new array in [0, 1]."""
    height, width = blurred.shape[:2]
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(centre[0] * width)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(centre[1] * height)
    distance = np.sqrt(np.square(x) + np.square(y))
    distance *= np.float32(veil) / max(distance.max(), np.float32(1.0))
    veiled: FloatArray = np.array(white, np.float32) - blurred
    veiled *= distance[..., None]
    veiled += np.float32(0.8) * blurred
    np.clip(veiled, np.float32(0.0), np.float32(1.0), out=veiled)
    return veiled


def _brightest(pixels: FloatArray) -> tuple[float, ...]:
    return tuple(float(one) for one in pixels.max((0, 1)))


def _half_sides(pixels: FloatArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return x, shape (1, W), and y, (H, 1), from the centre, in half sides."""
    height, width = pixels.shape[:2]
    half = min(height, width) / 2
    x = (np.arange(width)[None, :] - (width - 1) / 2) / half
    y = (np.arange(height)[:, None] - (height - 1) / 2) / half
    return x, y


def _white_balance(
    rng: np.random.Generator,
    pixels: FloatArray,
    scene: Scene,
    severity: float | None,
) -> ColourGains:
    """Draw channel gains of up to .85 to 1.15."""
    return ColourGains.with_reach(rng, span(rng, 0.0, 0.15, severity))


WHITE_BALANCE = Drawn(ColourGains, _white_balance)

_pupil = (
    ranged(  # 1 - g r^2, g to .7, r 1 at the rim of the disc: 2^.5 of the operator's
        Vignette,
        centre=(Uniform(0.35, 0.65), Uniform(0.35, 0.65)),
        strength=Graded(0.0, 1.4),
    )
)
_exposure = ranged(Gamma, exponent=Graded(1.0, (2.2, 0.5)))
_defocus = ranged(DefocusBlur, radius=Graded(0.5, 4.0, at_side=_SIDE), softness=0.0)
_jpeg = ranged(Jpeg, quality=Graded(95, 10))

_STEPS: tuple[tuple[Sampler, float], ...] = (
    (_pupil, 0.4),
    (LidShadow, 0.2),
    (_exposure, 0.4),
    (WHITE_BALANCE, 0.5),
    (CataractVeil, 0.25),
    (_defocus, 0.4),
    (TrajectoryBlur, 0.3),
    (BicubicReduction, 0.2),
    (PoissonGaussianNoise, 0.5),
    (_jpeg, 0.4),
)


RECIPES: tuple[Recipe, ...] = (
    Recipe(
        name="fundus-plus",
        title="Pupil, lids, exposure, cataract, blur, noise, JPEG, drawn at random",
        source="ArcNet's veil [code]; Boracchi & Foi 2012 motion; the rest [C]",
        plan=in_order(
            *(Step(sampler, chance) for sampler, chance in _STEPS), at_least_one=True
        ),
        modalities=("fundus",),
        framing="fundus",
    ),
)
