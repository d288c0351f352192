"""Letters burnt into the dark surround of a photograph: name of the eye, date, time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.types import FloatArray

__all__ = ["find_lettering"]

_SIDE = 1024  # px; letters that can be read are large enough there
_DARK = (15 / 255, 0.1)  # a surround is darker than one of these [measured: endoscopy]
_BRIGHT = 0.35  # letters are brighter; light that strays beside a field is not
_FIELD = 0.15  # least share of the picture that its largest part has
_LETTER = 0.03  # largest share of the box of a letter, or of a line of joined ones
_MOST = 0.03  # and of all letters
_AROUND = 0.04  # of the longer side: how far networks of light smear a letter


def find_lettering(brightest: FloatArray) -> NDArray[np.bool_] | None:
    """Find letters in the dark surround of a photograph, with what lies around them.

    Parameters
    ----------
    brightest : float32 array, shape (H, W), in [0, 1]
        The largest of each pixel's channels.

    Returns
    -------
    bool array, shape (H, W), or None
        None where there are none: no dark surround, or nothing bright in it that is
        small and apart from the field. Letters that reach into the field are not found.
    """
    from medenh.opencv import cv2

    height, width = brightest.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(brightest, size, interpolation=cv2.INTER_AREA)
    for dark in _DARK:
        found = _beside_field(np.asarray(small, np.float32), dark)
        if found is not None:
            mask = found.astype(np.uint8)
            whole = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
            return np.asarray(whole, bool)
    return None


def _beside_field(brightest: FloatArray, dark: float) -> NDArray[np.bool_] | None:
    """Return what `find_lettering` does, of a surround darker than a level."""
    from medenh.opencv import cv2

    lit = (brightest > dark).astype(np.uint8)
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(lit)
    if count < 3:  # the surround, the field and nothing else
        return None
    sizes = boxes[1:, cv2.CC_STAT_AREA]
    field = 1 + int(np.argmax(sizes))
    if sizes[field - 1] < _FIELD * lit.size:
        return None
    area = boxes[:, cv2.CC_STAT_WIDTH] * boxes[:, cv2.CC_STAT_HEIGHT]
    small = area < _LETTER * lit.size
    small[[0, field]] = False
    small[np.setdiff1d(np.arange(count), parts[brightest > _BRIGHT])] = False
    hull = _hull(parts == field)
    small[np.unique(parts[hull])] = False
    letters = small[parts]
    if not 0 < letters.mean() < _MOST:
        return None
    reach = 1 + round(_AROUND * max(lit.shape))
    near = cv2.dilate(
        letters.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    )
    return (near > 0) & ~hull


def _hull(field: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the convex hull of a field."""
    from medenh.opencv import cv2

    rows, columns = np.nonzero(field)
    outline: Any = cv2.convexHull(np.stack([columns, rows], axis=1).astype(np.int32))
    filled = np.zeros(field.shape, np.uint8)
    cv2.fillConvexPoly(filled, outline, 1)
    return filled.astype(bool)
