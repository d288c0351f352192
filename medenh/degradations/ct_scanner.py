"""A CT slice as its scanner saw it: attenuation, size of a pixel, air and padding.

What an operator computes in the projections comes back as a *change* of the picture,
so that resolution, kernel and noise of the input stay its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from medenh.degradations.grey import change_grey
from medenh.degradations.operator import Scene
from medenh.intensity import NO_AIR_HU
from medenh.types import FloatArray

__all__ = ["WATER_PER_MM", "Views", "change_slice", "full_views", "pixel_mm"]

WATER_PER_MM = 0.02  # attenuation of water: 20 /m, LoDoPaB-CT (Leuschner 2021)
_AIR_HU = -1000.0
_HIGHEST_HU = 30_000.0  # metal; more is damage
_FIELD_OF_VIEW_MM = 350.0  # across the longer side, where the file does not say [C]
_NO_WINDOW_HU = -900.0  # a picture with values below it shows air as such [C]
_BLACK_HU = 10.0  # JPEG's ripple in black [C]
_FEWEST_VIEWS, _MOST_VIEWS = 180, 720

Views = Annotated[int, Field(ge=1, le=10_000)]
Alter = Callable[[FloatArray], FloatArray]


def pixel_mm(scene: Scene, shape: tuple[int, int]) -> float:
    """Return the side of a pixel in mm: the row spacing, or 350 mm across the slice."""
    known = scene.spacing_mm[1]
    if np.isfinite(known) and known > 0:
        return float(known)
    return _FIELD_OF_VIEW_MM / max(shape)


def full_views(pixels: FloatArray) -> int:
    """Return the views of a complete scan: 720 at 512 pixels, fewer for small ones."""
    enough = round(
        1.5 * float(max(pixels.shape[:2]))
    )  # about pi / 2 for each pixel across
    return min(max(enough, _FEWEST_VIEWS), _MOST_VIEWS)


def change_slice(pixels: FloatArray, scene: Scene, alter: Alter) -> FloatArray:
    """Return a slice with what happened to its attenuation added.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), HU
    scene : Scene
    alter : callable
        From attenuation for each pixel's width (dimensionless, air 0, shape (H, W)) to
        the change of it.

    Returns
    -------
    float32 array, shape (H, W, C), HU

    Notes
    -----
    HU -> attenuation is ``0.02 /mm (1 + HU / 1000)``, not below 0. The slice is taken
    to lie in air, its corners included. Padding is never changed: all below -1500, and
    outside the scan circle the lowest value, if air or less. Pictures whose window
    is burnt in show air as its lower end: there it counts as air, and what is below it
    is cut off [C].
    """
    to_width = WATER_PER_MM * pixel_mm(scene, (pixels.shape[0], pixels.shape[1]))

    def change(hu: FloatArray) -> FloatArray:
        black = _black_air(hu)
        physical = np.where(black, np.float32(_AIR_HU), hu)
        dense = np.clip(physical, np.float32(_AIR_HU), np.float32(_HIGHEST_HU))
        relative = 1.0 + dense.astype(np.float32) / 1000.0
        altered = alter(np.asarray(relative * to_width, np.float32))
        moved = altered * np.float32(1000.0 / to_width)
        moved[_padding(hu)] = 0.0
        if black.any():  # what falls below the window is cut off as air was
            moved = np.maximum(physical + moved, hu.min()) - hu
        return np.asarray(moved, np.float32)

    return change_grey(pixels, change)


def _padding(hu: FloatArray) -> NDArray[np.bool_]:
    """Return where nothing was scanned.

    Nothing in a body or around it is below -1500 HU, so that is padding anywhere: a
    field smaller than the circle, a volume that was turned.
    """
    lowest = hu.min()
    if lowest > _AIR_HU:
        return np.zeros(hu.shape, bool)
    rows, columns = (np.arange(side) - (side - 1) / 2 for side in hu.shape)
    outside = np.hypot(rows[:, None], columns) > min(hu.shape) / 2
    padding: NDArray[np.bool_] = (outside & (hu == lowest)) | (hu < NO_AIR_HU)
    return padding


def _black_air(hu: FloatArray) -> NDArray[np.bool_]:
    """Return which pixels a burnt-in window cut off at its lower end."""
    lowest = float(hu.min())
    black = hu <= lowest + _BLACK_HU
    windowed = lowest > _NO_WINDOW_HU and 0.05 < black.mean() < 0.95
    return black if windowed else np.zeros(hu.shape, bool)
