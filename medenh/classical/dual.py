"""DUAL: correct what is too dark and what is too bright, and fuse both."""

from __future__ import annotations

import numpy as np

from medenh.classical.common import BoolArray, filled_background
from medenh.classical.exposure_fusion import exposure_fusion
from medenh.classical.lime import illumination
from medenh.types import FloatArray

__all__ = ["dual"]

_REACH = 7 / 3  # the weights' kernel: 15 px a side at a sigma of 3


def dual(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    alpha: float,
    gamma: float,
    smoothing: float,
) -> FloatArray:
    """Fuse a picture with its under- and its over-exposure corrected.

    Under-exposure is corrected by the illumination map as in `lime`, over-exposure by
    the same on the inverted picture, inverted back.

    Notes
    -----
    Zhang, Nie, Zheng, Computer Graphics Forum 38(7), 2019. The constants are those of
    a public port. Deviations: the solver is `illumination`'s, the fusion is in floats
    and knows grey pictures (`exposure_fusion`). Inverting the input inverts the output
    of grey pictures.
    """
    # a surround is no exposure: it would darken, or brighten, the rim
    pixels = filled_background(pixels, mask)
    inverted = np.float32(1.0) - pixels
    under = _relit(pixels, alpha, gamma, smoothing)
    over = np.float32(1.0) - _relit(inverted, alpha, gamma, smoothing)
    return exposure_fusion((pixels, under, over))


def _relit(
    pixels: FloatArray, alpha: float, gamma: float, smoothing: float
) -> FloatArray:
    """Return I / T^gamma, in [0, 1]."""
    light = illumination(
        pixels.max(axis=2),
        alpha=alpha,
        smoothing=smoothing,
        radius=max(1, round(_REACH * smoothing)),
    )
    bright: FloatArray = pixels / light[..., None] ** np.float32(gamma)
    return np.minimum(bright, np.float32(1.0), out=bright)
