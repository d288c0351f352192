"""Cofe-Net's own cleaning of a native photograph: hard disc, crop, bilinear square.

Only replayed records of the program go this way. The project's own recipes find the
disc the same way, but make its mask anew at the size worked at and shrink by areas,
which the program's squares would not match pixel by pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.degradations.record import Framing
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["cleaned_field", "cleaned_frame"]


def cleaned_frame(
    frame: NDArray[Any], framing: Framing, size: int, black: float
) -> NDArray[Any]:
    """Return a native frame, (H, W, C), as the program's square, (size, size, C).

    A.1 steps 7 to 9 [code]: black outside the disc, cropped, padded, resized with
    bilinear interpolation whatever the factor; 8 bits in OpenCV's 8-bit arithmetic.
    """
    kind = frame.dtype if frame.dtype in (np.uint8, np.uint16) else np.dtype(np.float32)
    outside = _disc(framing, frame.shape[:2]) == 0
    masked = frame.astype(kind)
    masked[outside] = black
    square = _squared(masked, framing, size, black).reshape(size, size, -1)
    if frame.dtype.kind in "iu" and kind == np.float32:
        square = np.rint(square)
    return square.astype(frame.dtype)


def cleaned_field(framing: Framing, shape: tuple[int, int], size: int) -> FloatArray:
    """Return the program's mask of the square, 8-bit levels as [0, 1]."""
    levels = _squared(_disc(framing, shape) * np.uint8(255), framing, size, 0)
    return levels.astype(np.float32) / np.float32(255.0)


def _disc(framing: Framing, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    disc = np.zeros(shape[:2], np.uint8)
    centre = (int(framing.centre[0]), int(framing.centre[1]))
    return np.asarray(cv2.circle(disc, centre, int(framing.radius), 1, -1), np.uint8)


def _squared(
    plane: NDArray[Any], framing: Framing, size: int, black: float
) -> NDArray[Any]:
    left, top, width, height = framing.box
    side = max(width, height)
    x, y = int(side / 2 - width / 2), int(side / 2 - height / 2)
    square = np.full((side, side, *plane.shape[2:]), black, plane.dtype)
    inside = plane[top : top + height, left : left + width]
    square[y : y + height, x : x + width] = inside
    return np.asarray(cv2.resize(square, (size, size)))
