"""Methods that look at values only, not at places."""

from __future__ import annotations

import numpy as np

from medenh.classical.common import BoolArray
from medenh.types import FloatArray

__all__ = ["gamma", "identity", "stretch"]


def identity(pixels: FloatArray, mask: BoolArray | None) -> FloatArray:
    """Return the very same pixels."""
    return pixels


def stretch(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    low: float,
    high: float,
    black: float | None,
    white: float | None,
) -> FloatArray:
    """Map two percentiles of all channels together to 0 and 1.

    ``black`` and ``white`` replace the percentiles, so that the slices of one volume
    can share them. A picture without contrast is given back as it is.
    """
    body = pixels if mask is None else pixels[mask]
    measured = np.percentile(body, [low, high])
    floor = measured[0] if black is None else black
    ceiling = measured[1] if white is None else white
    if ceiling - floor < 1e-6:
        return pixels
    return ((pixels - np.float32(floor)) / np.float32(ceiling - floor)).astype(
        np.float32
    )


def gamma(pixels: FloatArray, mask: BoolArray | None, *, gamma: float) -> FloatArray:
    """Return every value to the power of ``gamma``; below 1 it brightens."""
    out: FloatArray = pixels ** np.float32(gamma)
    return out
