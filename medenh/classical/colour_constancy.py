"""Colour constancy: take a colour cast away by one gain for each channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medenh.classical.common import BoolArray
from medenh.types import FloatArray

__all__ = ["gray_world", "minkowski_means", "shades_of_gray"]


def gray_world(
    pixels: FloatArray, mask: BoolArray | None, *, limit: float
) -> FloatArray:
    """Give the channels one mean: `shades_of_gray` at power 1.

    Notes
    -----
    Buchsbaum, J. Franklin Institute 310(1), 1980. The limits of the gains are chosen.
    """
    return shades_of_gray(pixels, mask, power=1.0, limit=limit)


def shades_of_gray(
    pixels: FloatArray, mask: BoolArray | None, *, power: float, limit: float
) -> FloatArray:
    """Give the channels one Minkowski mean; grey pictures come back as they are.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
    power : float
        At least 1. At 1 the means are plain; the larger, the more bright pixels count.
    limit : float
        At least 1. Gains are held in [1 / limit, limit].

    Returns
    -------
    float32 array, shape (H, W, C)
        At least 0; may be above 1.

    Notes
    -----
    Finlayson, Trezzi, Color Imaging Conference 12, 2004. Chosen: the level that the
    channels' means are brought to is the mean of all values together, and gains are
    limited. Works on values as they are stored, not on linear light.
    """
    if pixels.shape[2] == 1:
        return pixels
    body = pixels.reshape(-1, pixels.shape[2]) if mask is None else pixels[mask]
    means = minkowski_means(body, power)
    peak = means.max()
    if peak == 0.0:
        return pixels
    # relative to the largest, so that high powers of small numbers are none of 0
    overall = peak * np.mean((means / peak) ** power) ** (1.0 / power)
    gains = overall / np.maximum(means, np.finfo(np.float64).tiny)
    out: FloatArray = pixels * np.clip(gains, 1.0 / limit, limit).astype(np.float32)
    return out


def minkowski_means(values: FloatArray, power: float) -> NDArray[np.float64]:
    """Return (mean of x^power)^(1 / power) of each column.

    Parameters
    ----------
    values : float32 array, shape (N, C)
        At least 0; N at least 1.
    power : float
        At least 1.

    Returns
    -------
    float64 array, shape (C,)
    """
    means = np.zeros(values.shape[1])
    for channel in range(values.shape[1]):
        column = values[:, channel]
        peak = column.max()
        if peak > 0.0:
            raised = (column / peak) ** np.float32(power)
            mean = raised.mean(dtype=np.float64)
            means[channel] = float(peak) * mean ** (1.0 / power)
    return means
