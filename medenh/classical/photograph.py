"""The field of view of a picture whose surround is not quite black."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.classical.common import (
    BoolArray,
    field_radius,
    fov_mask,
)
from medenh.types import FloatArray

__all__ = ["illuminated_field", "lit_field"]

_PEAK = 0.75  # the field of a dark picture is looked for in one at least as bright
_DARKEST_PEAK = 0.02  # and brightened by no more than this allows

_SIDE = 512  # px; a field needs no more detail than this
_CORNER = 0.04  # of the shorter side
_BLACK = 0.18  # a surround is at most this bright [measured: STARE's, up to .17]
_SHARE = 0.25  # and this share of the brightest percent
_DARK = 3  # of the four corners; one may hold text
_MARGIN = 0.06  # its pixels are this close to the brightest of these
_RISE = 0.12  # of the rim over the surround: a vignette falls off slowly
_RIM, _THINNEST = 0.03, 3  # of the radius, px: wider than what the blur has dimmed
_EDGE = 0.01  # of the radius; the outermost part of a field is not sharp
_WHOLE, _LEAST = 0.95, 0.2  # shares of the picture


def lit_field(pixels: FloatArray) -> BoolArray:
    """Return where the picture is, in a surround that may be lifted.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]

    Returns
    -------
    bool array, shape (H, W)
        That of `fov_mask`; where that is nearly all of the picture, a convex field in
        a surround that is lifted: by noise, by light in the camera, by what lifted the
        picture. All True where there is neither.

    Notes
    -----
    [measured] Of 394 frames of CVC-ClinicDB, 132 have a surround of 19 to 24 of 255
    levels, which `fov_mask` takes for field; in 128 the field is found so, at worst
    without a dark sixth of it. Of STARE's ten photographs, whose surround is green and
    has levels of .04 to .17, seven are found so. Of 5,571 other images of seven kinds
    12 change: 9 MRI, 3 X-ray.
    """
    field = fov_mask(pixels)
    if field.mean() <= _WHOLE:
        return field
    found = _in_lifted_surround(pixels.max(axis=2).astype(np.float32))
    return field if found is None else found


def illuminated_field(pixels: FloatArray) -> BoolArray:
    """Return the field of view of a picture that may be very dark.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]

    Returns
    -------
    bool array, shape (H, W)
        That of `lit_field` in the picture made brighter: its limits are fixed, and
        most of a dark field falls under them.

    Notes
    -----
    [measured] By the step to a convex field, 24 of 47 frames under `endo-mixed` and 25
    of 60 photographs under `dpe`, which lifts surrounds, get one or a better one, and a
    radiograph whose black bands hold noise. None of 31, 40, 17 and 60 changes under
    `derm-mixed`, `micro-mixed`, `xray-mixed` and `cofe-111`, and of good pictures none
    of 107 of dermoscopy, 106 of microscopy, 56 of X-ray, 78 of CT and 26 of ultrasound,
    3 of 67 of MRI, and 1 of 111 of the fundus.
    """
    peak = float(np.percentile(pixels.max(axis=2), 99))
    gain = np.float32(max(1.0, _PEAK / max(peak, _DARKEST_PEAK)))
    return lit_field(np.minimum(pixels * gain, np.float32(1.0)))


def _in_lifted_surround(brightest: FloatArray) -> BoolArray | None:
    """Return the convex field that stands out of like corners, None without one."""
    from medenh.opencv import cv2

    height, width = brightest.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.blur(cv2.resize(brightest, size, interpolation=cv2.INTER_AREA), (5, 5))
    side = max(1, round(_CORNER * min(size)))
    ends = (slice(side), slice(-side, None))
    levels = [
        float(np.median(small[rows, columns])) for rows in ends for columns in ends
    ]
    limit = min(_BLACK, _SHARE * float(np.percentile(small, 99)))
    dark = [level for level in levels if level <= limit]
    if len(dark) < _DARK:
        return None
    black = max(dark)
    field = _largest_hull(small > black + _MARGIN)
    if not _LEAST <= field.mean() <= _WHOLE:
        return None
    radius = field_radius(field.astype(bool))
    inner = _taken_off(field, max(_THINNEST, round(_RIM * radius)))
    rim = small[(field > 0) & (inner == 0)]
    if not rim.size or float(np.median(rim)) < black + _RISE:
        return None
    edge = 2 + round(_EDGE * radius)  # as far as the blur carries light outwards, too
    whole = cv2.resize(
        _taken_off(field, edge), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return np.asarray(whole, bool).reshape(height, width)


def _taken_off(field: NDArray[np.uint8], off: int) -> NDArray[np.uint8]:
    """Return a field less what lies within some pixels of its border."""
    from medenh.opencv import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * off + 1, 2 * off + 1))
    return np.asarray(cv2.erode(field, disc, borderType=cv2.BORDER_REPLICATE), np.uint8)


def _largest_hull(bright: BoolArray) -> NDArray[np.uint8]:
    """Return the convex hull of the largest part, without specks and lettering."""
    from medenh.opencv import cv2

    opened = cv2.morphologyEx(
        bright.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)
    )
    outlines: Any
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    field = np.zeros(bright.shape, np.uint8)
    if outlines:
        hull = cv2.convexHull(max(outlines, key=cv2.contourArea))
        cv2.fillConvexPoly(field, hull, 1)
    return field
