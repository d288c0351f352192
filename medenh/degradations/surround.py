"""The dark surround of endoscopy and dermoscopy: octagons, circles, black corners.

A scope's field of view is convex; what is dark around it is not tissue and is not
degraded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.degradations.record import Framing
from medenh.opencv import cv2
from medenh.types import FloatArray, Image

__all__ = ["find_surround"]

_BLACK = 0.16  # a surround is at most this bright [M]: up to 23/255 in CVC-ClinicDB
_MARGIN = 0.04  # and its pixels this close to their median; 10 levels of 255 [C]
_RINGING = 0.3  # of the brightest neighbour, at most, is compression noise [C]
_SMALLEST, _LARGEST = 0.1, 0.995  # share of the frame a field may have [C]


def find_surround(image: Image) -> tuple[Framing, FloatArray] | None:
    """Find the field of view inside a dark surround.

    Parameters
    ----------
    image : Image
        Of several frames, only what is dark in all of them is surround.

    Returns
    -------
    framing : Framing
        Box, centre and half diagonal of the field, for the record.
    field : float32 array, shape (H, W)
        1 inside, 0 in the surround. The pair is None where there is no surround.

    Notes
    -----
    Dark pixels of the level that the frame's border has, connected to it, are
    surround; the field is the convex hull of the largest remaining part, so that a
    dark lumen or lesion that touches the border stays inside [C].
    """
    level = image.to_unit().max((0, 1))
    black = _level_of_border(level)
    if black is None:
        return None
    hull = _hull_of_largest(~_dark_at_border(level, black + _MARGIN))
    if hull is None:
        return None
    field = np.zeros(level.shape, np.uint8)
    cv2.fillConvexPoly(field, hull, (1.0,))
    # the outermost pixels may be the surround's, lifted by ringing beside bright tissue
    near = np.ones((9, 9), np.uint8)
    outermost = cv2.erode(field, near, borderValue=(1.0,)) == 0
    limit = np.maximum(_RINGING * cv2.dilate(level, near), black + 2 * _MARGIN)
    field[outermost & (level < limit)] = 0
    field = cv2.morphologyEx(field, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    if not _SMALLEST <= float(field.mean()) <= _LARGEST:
        return None
    left, top, width, height = (int(one) for one in cv2.boundingRect(hull))
    framing = Framing(
        method="surround",
        centre=(left + width / 2, top + height / 2),
        radius=float(np.hypot(width, height) / 2),
        box=(left, top, width, height),
    )
    return framing, field.astype(np.float32)


def _level_of_border(level: FloatArray) -> float | None:
    """Return how bright the black part of the border is, None without any."""
    smooth = cv2.blur(level, (3, 3))
    rim = _rim(smooth)
    rim = rim[rim < _BLACK]
    return float(np.median(rim)) if rim.size else None


def _dark_at_border(level: FloatArray, limit: float) -> NDArray[np.bool_]:
    """Return the pixels below a level that are connected to the border."""
    _, parts = cv2.connectedComponents((cv2.blur(level, (3, 3)) < limit).astype("u1"))
    touching = np.setdiff1d(_rim(parts), [0])  # 0 is what is not dark
    found: NDArray[np.bool_] = np.isin(parts, touching)
    return found


def _rim(plane: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])


def _hull_of_largest(bright: NDArray[np.bool_]) -> NDArray[np.int32] | None:
    """Return the convex hull of the largest part, specks and lettering left out."""
    opened = cv2.morphologyEx(
        bright.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)
    )
    count, parts, stats, _ = cv2.connectedComponentsWithStats(opened)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    rows, columns = np.nonzero(parts == largest)
    points = np.stack([columns, rows], axis=1).astype(np.int32)
    return cv2.convexHull(points).astype(np.int32)
