"""Non-local means for magnitudes of MRI, whose noise is Rician."""

from __future__ import annotations

import numpy as np

from medenh.classical.common import BoolArray, noise_sigma
from medenh.classical.denoise import nlm
from medenh.colour import luma
from medenh.types import FloatArray

__all__ = ["nlm_rician", "rician_sigma", "without_bias"]

_RAYLEIGH = (2.0 - np.pi / 2.0) ** 0.5  # deviation of noise without signal, over sigma
_SLACK = 1.1  # by which sigma may leave what the noise allows
_REACH = 2.0  # noise without signal is looked at below so many sigma
_LOW = 1.0 - 2.0 / np.expm1(2.0)  # mean square there, over 2 sigma^2
_STEPS = 20  # to convergence
_LEAST = 0.01  # share of the pixels that make a background
_BRIGHT = 8.0  # the table of means ends at so many sigma
_TOLD = 801  # signals in it


def nlm_rician(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    sigma: float | None,
    strength: float,
    patch: int,
    search: int,
) -> FloatArray:
    """Denoise by `nlm`, then take away what Rician noise adds to the mean.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
        Magnitudes in proportion: 0 is no signal.
    mask : bool array, shape (H, W), or None
    sigma : float or None
        Noise of the real and of the imaginary part, in [0, 1]; measured if None.
    strength, patch, search
        As of `nlm`.

    Returns
    -------
    float32 array, shape (H, W, C), at least 0

    Notes
    -----
    Manjon et al., Medical Image Analysis 12(4), 2008, take 2 sigma^2 off the square of
    what non-local means give. Here `without_bias` corrects it: .7 dB better on 12
    slices of split train, and right for dim signals too.
    """
    noise = rician_sigma(luma(pixels), mask) if sigma is None else sigma
    if noise <= 0.0:
        return pixels
    mean = nlm(pixels, mask, sigma=noise, strength=strength, patch=patch, search=search)
    return without_bias(mean, noise)


def without_bias(mean: FloatArray, sigma: float) -> FloatArray:
    """Return the signal whose magnitudes in Rician noise have this mean.

    Parameters
    ----------
    mean : float32 array, any shape, at least 0
    sigma : float
        Of the noise, above 0.

    Returns
    -------
    float32 array, same shape
        0 where the mean is no larger than that of noise alone, 1.25 sigma.

    Notes
    -----
    Koay, Basser, Journal of Magnetic Resonance 179(2), 2006: the mean of Rice's
    distribution, inverted, here by a table up to 8 sigma. Beyond, A is
    sqrt(mean^2 - sigma^2) to .02 % of sigma.
    """
    from scipy.special import i0e, i1e

    signals = np.linspace(0.0, _BRIGHT, _TOLD)
    part = signals * signals / 4.0
    means = (1.0 + 2.0 * part) * i0e(part) + 2.0 * part * i1e(part)
    means *= np.sqrt(np.pi / 2.0)
    dim = np.interp(mean, sigma * means, sigma * signals)
    bright = np.sqrt(np.maximum(np.square(mean) - np.float32(sigma * sigma), 0.0))
    out: FloatArray = np.where(mean < sigma * means[-1], dim, bright).astype(np.float32)
    return out


def rician_sigma(plane: FloatArray, mask: BoolArray | None = None) -> float:
    """Estimate sigma of Rician noise.

    Parameters
    ----------
    plane : float32 array, shape (H, W), in [0, 1]
    mask : bool array, shape (H, W), optional
        Only its pixels count.

    Returns
    -------
    float
        In the plane's unit; 0 without noise.

    Notes
    -----
    Without signal the noise has Rayleigh's distribution, of deviation .655 sigma; in
    bright places its deviation is sigma. So `noise_sigma` lies between. From there on
    sigma is moved to what the mean square of all values below 2 sigma says of it, until
    both agree. (The mode of the background, which is sigma too, strayed three times as
    far.) Where they agree on nothing that the noise allows, as in pictures without a
    background, or with one of zeros, what `noise_sigma` says is taken.
    """
    rough = noise_sigma(plane, mask)
    inside = plane if mask is None else plane[mask]
    squares = np.sort(np.square(inside[inside > 0.0], dtype=np.float64))
    totals = np.cumsum(squares)
    sigma = rough
    for _ in range(_STEPS):
        count = int(np.searchsorted(squares, (_REACH * sigma) ** 2))
        if count < max(1.0, _LEAST * inside.size):
            return rough
        sigma = float(np.sqrt(totals[count - 1] / count / (2.0 * _LOW)))
    held = rough / _SLACK <= sigma <= _SLACK * rough / _RAYLEIGH
    return sigma if held else rough
