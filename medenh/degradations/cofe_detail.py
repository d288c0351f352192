"""Cofe-Net's spots and blur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from medenh.degradations.cofe_illumination import is_exact, whole
from medenh.degradations.operator import (
    Length,
    Operator,
    Scene,
    span,
)
from medenh.degradations.smoothing import disc, odd, window_taps
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["OPERATORS", "CofeBlur", "CofeSpots", "ManySpots", "Spot", "spot_amplitude"]

_SIDE = 512  # the side that constants are made for


@dataclass(frozen=True, slots=True)
class Spot:
    """One bright spot, lengths in pixels.

    Attributes
    ----------
    radius : float
        The published "radius", in fact the disc's diameter.
    disc_radius : float
        Radius of the disc that is blurred.
    centre : tuple of float
        (x, y).
    window_w, window_h : float
        Sides of the blur's window.
    sigma : float
        Of the blur.
    amplitude : float
        What is added inside the disc, before it is blurred.
    """

    radius: float
    disc_radius: float
    centre: tuple[float, float]
    window_w: float
    window_h: float
    sigma: float
    amplitude: float


def spot_amplitude(ratio: float) -> float:
    """Return what a spot adds; `ratio` is radius / 25 at 512 pixels."""
    brightest = 14 / 25 + (1.0 - ratio)
    return brightest * (1.0 - float(np.exp(-(0.5 + ratio) * (0.3 * ratio))))


@dataclass(frozen=True, slots=True)
class CofeSpots(Operator):
    """Bright spots of dust and reflections; 5 to 10 of them [code].

    Attributes
    ----------
    spots : tuple of Spot
        In order; the picture is clipped after each.
    """

    spots: tuple[Spot, ...]

    name: ClassVar[str] = "cofe-spots"
    counts: ClassVar[tuple[int, int]] = (5, 10)

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw number and spots; stronger severities add spots to the weaker ones'."""
        fewest, most = cls.counts
        count = whole(rng, fewest, most)
        if severity is not None:
            count = round(fewest + (most - fewest) * severity)
        shape = (pixels.shape[0], pixels.shape[1])
        unit, side = _unit(shape, scene), _SIDE
        if is_exact(scene):
            side = shape[0]
        elif scene.whole_side is not None:  # a crop has its share of them
            part = shape[0] * shape[1] / scene.whole_side**2
            count = max(1, round(count * min(part, 1.0)))
        return cls(tuple(_drawn_spot(rng, shape, side, unit) for _ in range(count)))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the spots to one frame."""
        exact = is_exact(scene)
        x: NDArray[Any] = pixels.astype(np.float64 if exact else np.float32)
        for spot in self.spots:
            _add_spot(x, spot, exact=exact)
        return x


class ManySpots(CofeSpots):
    """The paper's number of spots, 10 to 30; recorded as `CofeSpots`."""

    counts = (10, 30)


@dataclass(frozen=True, slots=True)
class CofeBlur(Operator):
    """Gaussian blur of a sigma far above its window: a box of 1 to 7 px [code].

    Attributes
    ----------
    sigma : float
        In pixels.
    window_w, window_h : float
        Sides of the window; outermost taps of fractional ones count in part.
    """

    sigma: Length
    window_w: Length
    window_h: Length

    name: ClassVar[str] = "cofe-blur"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw sigma and window; lengths are those at 512 pixels, scaled."""
        unit = _unit((pixels.shape[0], pixels.shape[1]), scene)
        sigma = span(rng, 5.0, 15.0, severity)
        sides = [odd(whole(rng, int(sigma / 3), int(sigma / 2))) for _ in range(2)]
        return cls(sigma * unit, sides[0] * unit, sides[1] * unit)

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Blur one frame."""
        return _blurred(
            pixels, (self.window_w, self.window_h), self.sigma, exact=is_exact(scene)
        )


OPERATORS: tuple[type[Operator], ...] = (CofeSpots, CofeBlur)


def _unit(shape: tuple[int, int], scene: Scene) -> float:
    """Return the length of a pixel of 512; of a crop the whole picture counts."""
    if is_exact(scene):
        return 1.0
    return (scene.whole_side or min(shape)) / _SIDE


def _drawn_spot(
    rng: np.random.Generator, shape: tuple[int, int], side: int, unit: float
) -> Spot:
    """Draw a spot for a picture of a side, and scale its lengths by `unit`."""
    h, w = shape
    radius = whole(rng, np.ceil(0.01 * side), max(int(0.05 * side), 1))
    ratio = radius / 25
    margin = int(radius * unit) + 1
    centre = (
        whole(rng, min(margin, w // 2), max(w - margin, w // 2)),
        whole(rng, min(margin, h // 2), max(h - margin, h // 2)),
    )
    sigma = (5 + 20 * ratio) * 2
    sides = [odd(whole(rng, int(sigma / 5), int(sigma / 4))) for _ in range(2)]
    return Spot(
        radius=radius * unit,
        disc_radius=int(radius / 2) * unit,
        centre=centre,
        window_w=sides[0] * unit,
        window_h=sides[1] * unit,
        sigma=sigma * unit,
        amplitude=spot_amplitude(ratio),
    )


def _add_spot(x: NDArray[Any], spot: Spot, *, exact: bool) -> None:
    """Add a spot to a frame, in place, touching only the pixels it reaches."""
    reach = int(np.ceil(spot.disc_radius + max(spot.window_w, spot.window_h))) + 2
    left, top = (max(0, int(at) - reach) for at in spot.centre)
    part = x[
        top : int(spot.centre[1]) + reach + 1, left : int(spot.centre[0]) + reach + 1
    ]
    if not part.size:
        return
    centre = (spot.centre[0] - left, spot.centre[1] - top)
    patch: NDArray[Any] = disc((part.shape[0], part.shape[1]), centre, spot.disc_radius)
    patch *= spot.amplitude
    if not exact:
        patch = patch.astype(np.float32)
    window = (spot.window_w, spot.window_h)
    part += _blurred(patch, window, spot.sigma, exact=exact)[..., None]
    np.clip(part, 0.0, 1.0, out=part)


def _blurred(
    x: NDArray[Any], window: tuple[float, float], sigma: float, *, exact: bool
) -> NDArray[Any]:
    """Return a frame or plane blurred by a Gaussian cut off at a window."""
    if exact:
        sides = (odd(int(window[0])), odd(int(window[1])))
        return np.asarray(cv2.GaussianBlur(x, sides, sigma)).reshape(x.shape)
    across, down = (window_taps(side, sigma) for side in window)
    if len(across) == len(down) == 1:
        return x
    blurred = cv2.sepFilter2D(x, -1, across, down, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred).reshape(x.shape)
