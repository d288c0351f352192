"""Unsharp masking that leaves noise alone and makes no halos."""

from __future__ import annotations

import numpy as np

from medenh.classical.common import (
    BoolArray,
    masked_gaussian,
    noise_sigma,
    on_lightness,
)
from medenh.types import FloatArray

__all__ = ["unsharp"]


def unsharp(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    amount: float,
    radius: float,
    threshold: float | None,
    overshoot: float,
) -> FloatArray:
    """Add the fine detail of the lightness that stands above the noise.

    ``radius`` is the blur's sigma in a picture of 512 px and grows with the shorter
    side. The result stays within the extremes of the 3 x 3 neighbours, plus and minus
    ``overshoot``: beyond them a sharpened edge is a halo.
    """
    sigma = max(0.3, radius * min(pixels.shape[:2]) / 512.0)

    def sharpened(plane: FloatArray) -> FloatArray:
        limit = 1.5 * noise_sigma(plane, mask) if threshold is None else threshold
        detail = plane - masked_gaussian(plane, sigma, mask)
        if limit > 0.0:
            # soft: rises from the threshold to twice the threshold
            detail *= np.clip((np.abs(detail) - limit) / limit, 0.0, 1.0)
        return _without_halo(plane, plane + amount * detail, overshoot)

    return on_lightness(pixels, sharpened)


def _without_halo(plane: FloatArray, sharp: FloatArray, overshoot: float) -> FloatArray:
    """Hold ``sharp`` within the neighbours' extremes in ``plane``."""
    from medenh.opencv import cv2

    around = np.ones((3, 3), np.uint8)
    low = np.asarray(cv2.erode(plane, around)).reshape(plane.shape) - overshoot
    high = np.asarray(cv2.dilate(plane, around)).reshape(plane.shape) + overshoot
    return np.clip(sharp, low, high)
