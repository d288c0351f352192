"""Sharpening without halos: by a Gaussian above the noise, or a guided filter."""

from __future__ import annotations

import numpy as np

from medenh.classical.common import (
    BoolArray,
    guided_filter,
    masked_gaussian,
    noise_sigma,
    on_lightness,
)
from medenh.classical.dark_channel import scaled
from medenh.types import FloatArray

__all__ = ["unsharp", "unsharp_guided"]

_SIDE = 512.0  # the shorter side that sizes are told for, px


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
    sigma = max(0.3, radius * min(pixels.shape[:2]) / _SIDE)

    def sharpened(plane: FloatArray) -> FloatArray:
        limit = 1.5 * noise_sigma(plane, mask) if threshold is None else threshold
        detail = plane - masked_gaussian(plane, sigma, mask)
        if limit > 0.0:
            # soft: rises from the threshold to twice the threshold
            detail *= np.clip((np.abs(detail) - limit) / limit, 0.0, 1.0)
        return _without_halo(plane, plane + amount * detail, overshoot)

    return on_lightness(pixels, sharpened)


def unsharp_guided(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    gain: float,
    radius: float,
    eps: float,
) -> FloatArray:
    """Return B + gain (x - B), with B the guided filter of the lightness x by itself.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
        Windows see the foreground only.
    gain : float
        Factor of the detail; 0 leaves the base alone.
    radius : float
        Of the filter's windows, px at a shorter side of 512 px; grows with it.
    eps : float
        Variance below which a window counts as detail: edges that stand out more are in
        the base and stay as they are.

    Returns
    -------
    float32 array, shape (H, W, C)
        About [0, 1].

    Notes
    -----
    Detail enhancement of He, Sun, Tang, IEEE TPAMI 35(6), 2013. Chosen: gain, radius,
    eps, and lightness in place of all channels.
    """
    reach = scaled(radius, pixels, _SIDE)

    def sharpened(plane: FloatArray) -> FloatArray:
        base = guided_filter(plane, plane, reach, eps, mask)
        return base + np.float32(gain) * (plane - base)

    return on_lightness(pixels, sharpened)


def _without_halo(plane: FloatArray, sharp: FloatArray, overshoot: float) -> FloatArray:
    """Hold ``sharp`` within the neighbours' extremes in ``plane``."""
    from medenh.opencv import cv2

    around = np.ones((3, 3), np.uint8)
    low = np.asarray(cv2.erode(plane, around)).reshape(plane.shape) - overshoot
    high = np.asarray(cv2.dilate(plane, around)).reshape(plane.shape) + overshoot
    return np.clip(sharp, low, high)
