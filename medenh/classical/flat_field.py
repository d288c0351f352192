"""Flat-field correction by the picture's own low frequencies."""

from __future__ import annotations

from math import hypot

import numpy as np

from medenh.classical.common import BoolArray, masked_gaussian
from medenh.classical.photograph import illuminated_field
from medenh.colour import luma
from medenh.types import FloatArray

__all__ = ["flat_field"]

_BLACK = 1e-6  # a mean light below it is none


def flat_field(
    pixels: FloatArray, mask: BoolArray | None, *, sigma: float, floor: float
) -> FloatArray:
    """Return I mean(L) / L, with L the masked Gaussian of the luma.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
        Without one the field of view is looked for.
    sigma : float
        Of the Gaussian, as a share of the picture's diagonal.
    floor : float
        Smallest light that is divided by, as a share of its mean.

    Returns
    -------
    float32 array, shape (H, W, C)
        At least 0; may be above 1.

    Notes
    -----
    Common practice where no picture of an empty field is at hand. Chosen: one map for
    all channels, so that hues stay; the floor; sigma 0.1. At the very border the map
    is level, so that about half of the light's slope there stays.
    """
    field = illuminated_field(pixels) if mask is None else mask
    everything = bool(field.all())
    width = max(0.3, sigma * hypot(*pixels.shape[:2]))
    light = masked_gaussian(luma(pixels), width, None if everything else field)
    mean = float(light[field].mean(dtype=np.float64))
    if mean < _BLACK:
        return pixels
    # in shares of the mean, which constant pictures are exactly 1 of
    share = np.maximum(light / np.float32(mean), np.float32(floor))
    even: FloatArray = pixels / share[..., None]
    even[~field] = pixels[~field]
    return even
