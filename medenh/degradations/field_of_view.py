"""The disc of a fundus photograph: where it is, and its anti-aliased mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = [
    "FieldOfView",
    "disc_weights",
    "find_cofe_disc",
    "find_field",
    "find_shown_field",
]

_SMALLEST_SIDE = 16  # px; below it nothing is looked for
_AGREEMENT = 0.8  # of disc and bright area, intersection over union [C]
_SHOWN_AGREEMENT = 0.97  # above it the cleaned square's own disc is taken [C]
_BLACK = 8  # levels of 255; a surround through JPEG is not quite black [C]
_CONVEX = 0.99  # part of its convex hull that a lossless field fills [C]
_STEEP = 0.6  # of the light just inside, that the last pixels of a hard edge have [C]

_Levels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """Where the field of view lies; pixel coordinates as (x, y).

    Attributes
    ----------
    method : str
        "hough": a circle was found. "cofe": the one Cofe-Net's program finds. "rows":
        EyeQ's rule. "box": rectangle around what is bright. "frame": nothing was
        found, all of the frame.
    centre, radius : float
        Of the disc, in pixels; around the whole rectangle for "box" and "frame".
    box : tuple of int
        left, top, width, height of the disc inside the frame.
    """

    method: str
    centre: tuple[float, float]
    radius: float
    box: tuple[int, int, int, int]


def find_field(pixels: FloatArray) -> FieldOfView:
    """Find the disc of a photograph.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]

    Notes
    -----
    Steps and constants of Cofe-Net's cleaning [code]: half size, bright area by
    threshold, holes filled, opened, first Hough circle. Deviations [C]: corners of
    the surround are all emptied when holes are filled (the code empties two and takes
    the others for holes where the disc touches all four sides); a circle must agree
    with the bright area, else EyeQ's rule is tried, then the bounding box.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < _SMALLEST_SIDE:
        return _rectangle("frame", (0, 0, width, height))
    bright = _bright_area(_grey_levels(pixels))
    for method, look in (("hough", _by_hough), ("rows", _by_rows)):
        circle = look(bright)
        if circle is not None and _agreement(bright, circle) >= _AGREEMENT:
            (x, y), radius = circle
            return _disc(method, (2 * x, 2 * y), int(2 * radius), (height, width))
    left, top, w, h = (2 * int(one) for one in cv2.boundingRect(bright))
    box = (left, top, min(w, width - left), min(h, height - top))
    if min(box[2:]) < _SMALLEST_SIDE or box[2] * box[3] > 0.97 * width * height:
        return _rectangle("frame", (0, 0, width, height))
    return _rectangle("box", box)


def find_cofe_disc(pixels: FloatArray) -> FieldOfView | None:
    """Return the disc that Cofe-Net's program finds, or None where that is no disc.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]

    Notes
    -----
    The program empties two corners only. A circle that does not agree with the bright
    area, which the program would take, is none [C].
    """
    height, width = pixels.shape[:2]
    if min(height, width) < _SMALLEST_SIDE:
        return None
    grey = _grey_levels(pixels)
    circle = _by_hough(_bright_area(grey, every_corner=False))
    if circle is None or _agreement(_bright_area(grey), circle) < _AGREEMENT:
        return None
    (x, y), radius = circle
    return _disc("cofe", (2 * x, 2 * y), int(2 * radius), (height, width))


def brightest(pixels: FloatArray) -> FloatArray:
    """Return the largest channel of (H, W, C) pixels, (H, W).

    ``max(axis=2)`` takes ten times as long over so short an axis.
    """
    planes = [pixels[..., channel] for channel in range(pixels.shape[2])]
    largest: FloatArray = np.maximum.reduce(planes)
    return largest


def find_shown_field(pixels: FloatArray) -> FloatArray:
    """Return the field that the black surround of a cleaned square shows.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]

    Returns
    -------
    float32 array, shape (H, W)
        Weights: all that is above 0 where a mask was cut out with a hard edge and
        nothing was lost since; the disc that fills the square, as cleaning leaves it,
        where that agrees with what is not black (between its first and last rows and
        columns); else what is not black; 1 everywhere where nothing is.
    """
    levels = np.rint(brightest(pixels) * np.float32(255.0)).astype(np.uint8)
    cut = _cut_out(levels)
    if cut is not None:
        return cut
    shown = _without_holes((levels > _BLACK).astype(np.uint8))
    parts, labels, stats, _ = cv2.connectedComponentsWithStats(shown)
    if parts < 2:
        return np.ones(shown.shape, np.float32)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    shown = (labels == largest).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(shown)
    # a disc of radius r in a box of 2 r, made smaller: its centre moves towards half
    # a pixel before the middle, by how much depends on the photograph's size
    y, x = (side / 2 - 0.4 for side in shown.shape)
    disc = disc_weights(levels.shape, (x, y), max(levels.shape) / 2)
    clipped = np.zeros_like(disc)
    inside = np.s_[top : top + height, left : left + width]
    clipped[inside] = disc[inside]
    agrees = _overlap(shown > 0, clipped >= 0.5) >= _SHOWN_AGREEMENT
    return clipped if agrees else shown.astype(np.float32)


def _cut_out(levels: _Levels) -> FloatArray | None:
    """Return the field that a mask with a hard edge left, or None.

    It is convex, so that dark notches at its rim can be filled; its edge falls to 0 at
    once. Compression would fray it, resampling would soften it.
    """
    above = _without_holes((levels > 0).astype(np.uint8))
    points = cv2.findNonZero(above)
    if points is None or above.all():
        return None
    hull = _hull_area(cv2.convexHull(points).reshape(-1, 2), above.shape)
    if np.count_nonzero(above) < _CONVEX * np.count_nonzero(hull):
        return None
    inner = cv2.erode(hull, np.ones((3, 3), np.uint8), borderValue=1)
    deeper = cv2.erode(inner, np.ones((3, 3), np.uint8), borderValue=1)
    rim, inside = levels[(hull > inner)], levels[inner > deeper]
    if not rim.size or not inside.size or rim.mean() < _STEEP * inside.mean():
        return None
    return hull.astype(np.float32)


def _hull_area(corners: NDArray[Any], shape: tuple[int, ...]) -> _Levels:
    """Return the pixels whose centres lie in a convex polygon, 0 or 1."""
    area = np.zeros(shape, np.uint8)
    ahead = np.roll(corners, -1, axis=0)
    first, last = np.full(shape[0], np.inf), np.full(shape[0], -np.inf)
    for (x0, y0), (x1, y1) in zip(corners.tolist(), ahead.tolist(), strict=True):
        rows = np.arange(min(y0, y1), max(y0, y1) + 1)
        at = x0 + (rows - y0) * ((x1 - x0) / (y1 - y0)) if y1 != y0 else np.array([x0])
        first[rows] = np.minimum(first[rows], at)
        last[rows] = np.maximum(last[rows], at)
    x = np.arange(shape[1])[None, :]
    area[(x >= first[:, None] - 1e-6) & (x <= last[:, None] + 1e-6)] = 1
    return area


def disc_weights(
    shape: tuple[int, ...], centre: tuple[float, float], radius: float
) -> FloatArray:
    """Return the coverage of pixels by a disc, shape (H, W), in [0, 1]."""
    x = np.arange(shape[1], dtype=np.float32)[None, :] - np.float32(centre[0])
    y = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(centre[1])
    distance = cv2.sqrt(np.square(x) + np.square(y))
    cover = np.float32(radius + 0.5) - distance.reshape(shape)
    weights: FloatArray = np.clip(cover, np.float32(0.0), np.float32(1.0), out=cover)
    return weights


def _grey_levels(pixels: FloatArray) -> _Levels:
    levels = np.rint(pixels * np.float32(255.0)).astype(np.uint8)
    if levels.shape[2] == 1:
        grey: _Levels = levels[..., 0]
        return grey
    return np.asarray(cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY), np.uint8)


def _bright_area(grey: _Levels, *, every_corner: bool = True) -> _Levels:
    """Return the photograph's bright area at half size, 0 or 1 (A.1 steps 1-4)."""
    half = cv2.resize(grey, (0, 0), fx=0.5, fy=0.5)
    half = cv2.normalize(half, np.empty_like(half), 0, 255, cv2.NORM_MINMAX)
    threshold = max(0.0, float(np.mean(half)) / 3.0 - 7.0)
    bright = (half > threshold).astype(np.uint8)
    filled = _without_holes(bright, every_corner=every_corner)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (20, 20))
    return np.asarray(cv2.dilate(cv2.erode(filled, kernel), kernel), np.uint8)


def _without_holes(mask: _Levels, *, every_corner: bool = True) -> _Levels:
    """Return a mask with dark parts filled that no corner of the frame reaches."""
    holes = np.ascontiguousarray(1 - mask)
    height, width = mask.shape
    corners = [(0, 0), (width - 1, height - 1)]
    corners += [(width - 1, 0), (0, height - 1)] if every_corner else []
    for corner in corners:
        if holes[corner[1], corner[0]]:
            cv2.floodFill(holes, np.zeros((height + 2, width + 2), np.uint8), corner, 0)
    return mask + holes


_Circle = tuple[tuple[float, float], float]


def _by_hough(bright: _Levels) -> _Circle | None:
    """Return the first Hough circle of the bright area (A.1 step 5)."""
    circles = cv2.HoughCircles(
        bright * np.uint8(255),
        cv2.HOUGH_GRADIENT,
        1,
        1000,
        param1=5,
        param2=5,
        minRadius=min(bright.shape) // 4,
        maxRadius=max(bright.shape) // 2 + 1,
    )
    if circles is None or circles.size == 0:
        return None
    x, y, radius = (float(one) for one in np.asarray(circles).reshape(-1, 3)[0])
    return (x, y), radius


def _by_rows(bright: _Levels) -> _Circle | None:
    """Return EyeQ's circle: middle of the widest rows, most populated ring."""
    if not bright.any():
        return None
    middle = []
    for axis in (0, 1):
        count = bright.sum(axis=axis, dtype=np.int64)
        middle.append(float(np.nonzero(count > 0.95 * count.max())[0].mean()))
    side = max(bright.shape[1] // 400 * 2 + 1, 3)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    rows, columns = np.nonzero(cv2.morphologyEx(bright, cv2.MORPH_GRADIENT, kernel))
    if not rows.size:
        return None
    distance = np.ceil(np.hypot(columns - middle[0], rows - middle[1])).astype(int)
    rings = np.bincount(distance)
    radius = int(np.nonzero(rings > 0.995 * rings.max())[0].max())
    return (middle[0], middle[1]), float(radius)


def _agreement(mask: _Levels, circle: _Circle) -> float:
    """Return intersection over union of a mask and a disc inside the frame."""
    disc = disc_weights((mask.shape[0], mask.shape[1]), *circle) >= 0.5
    return _overlap(mask > 0, disc)


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / union if union else 0.0


def _disc(
    method: str, centre: tuple[float, float], radius: int, shape: tuple[int, int]
) -> FieldOfView:
    """Return a disc and its box inside the frame (A.1 steps 6 and 7)."""
    left = max(0, int(centre[0] - radius))
    top = max(0, int(centre[1] - radius))
    width = min(shape[1] - left, 2 * radius)
    height = min(shape[0] - top, 2 * radius)
    middle = (float(int(centre[0])), float(int(centre[1])))
    return FieldOfView(method, middle, float(radius), (left, top, width, height))


def _rectangle(method: str, box: tuple[int, int, int, int]) -> FieldOfView:
    left, top, width, height = box
    centre = (left + (width - 1) / 2, top + (height - 1) / 2)
    return FieldOfView(method, centre, float(np.hypot(width, height)), box)
