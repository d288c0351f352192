"""Weight-free denoising: means, medians, total variation, wavelet shrinkage."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.classical.common import (
    OPPONENT,
    BoolArray,
    filled_background,
    noise_sigma,
)
from medenh.types import FloatArray

__all__ = ["bilateral", "median", "nlm", "tv", "wavelet"]

_WAVELET = "sym8"
_TV_STEPS = 100  # of Chambolle's dual ascent
_ZERO = 1e-6  # coefficients below are of a surround without any content; grey is 0 to 1


def nlm(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    sigma: float | None,
    strength: float,
    patch: int,
    search: int,
) -> FloatArray:
    """Average places whose neighbourhoods look alike; all channels at once.

    Notes
    -----
    scikit-image's fast mode on floats: OpenCV's takes 8 bits only (16 with another
    distance) and would quantise. Where noise grows with brightness, as of photon
    counts, the mean falls: a patch that fluctuates up has more noise than one that
    fluctuates down, is less like its neighbours and weighs less in their means.
    """
    from skimage.restoration import denoise_nl_means

    noise = _noise(pixels, mask) if sigma is None else sigma
    if noise <= 0.0:
        return pixels
    grey = pixels.shape[2] == 1
    smoothed = denoise_nl_means(
        pixels[..., 0] if grey else pixels,
        patch_size=patch,
        patch_distance=search,
        h=strength * noise,
        sigma=noise,
        fast_mode=True,
        channel_axis=None if grey else 2,
    )
    return np.asarray(smoothed, np.float32).reshape(pixels.shape)


def _noise(pixels: FloatArray, mask: BoolArray | None) -> float:
    """Mean noise of the channels."""
    planes = np.moveaxis(pixels, 2, 0)
    return float(np.mean([noise_sigma(plane, mask) for plane in planes]))


def median(pixels: FloatArray, mask: BoolArray | None, *, radius: int) -> FloatArray:
    """Return the median of the square around each pixel, channel by channel.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
        The background counts as the foreground nearest to it.
    radius : int
        1 or 2: squares of 3 x 3 or 5 x 5 px.

    Returns
    -------
    float32 array, shape (H, W, C), in [0, 1]
        No value that ``pixels`` does not have. Beyond a border the outermost pixels
        are taken to go on.

    Notes
    -----
    Common practice against impulse noise: an outlier goes without a trace where fewer
    than half of its square are outliers.
    """
    from medenh.opencv import cv2

    out = cv2.medianBlur(filled_background(pixels, mask), 2 * radius + 1)
    return np.asarray(out, np.float32).reshape(pixels.shape)


def bilateral(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    sigma: float | None,
    strength: float,
    space: float,
) -> FloatArray:
    """Average near places that have a like value; all channels at once.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
        The background counts as the foreground nearest to it.
    sigma : float or None
        Noise, in [0, 1]; measured if None.
    strength : float
        Sigma of the weights by value, over the noise.
    space : float
        Sigma of the weights by distance, px; discs have 1.5 times this as radius.

    Returns
    -------
    float32 array, shape (H, W, C), in [0, 1]

    Notes
    -----
    Tomasi, Manduchi, ICCV 1998, by OpenCV on floats. Chosen: the width by value follows
    the noise; colours are as far apart as the mean over the channels, in place of a
    perceptual distance, so that grey comes out alike in one channel and in three.
    """
    from medenh.opencv import cv2

    seen = filled_background(pixels, mask)
    noise = _noise(seen, mask) if sigma is None else sigma
    if noise <= 0.0:
        return pixels
    width = strength * noise * pixels.shape[2]  # OpenCV sums over the channels
    out = cv2.bilateralFilter(seen, 0, width, space)
    return np.asarray(out, np.float32).reshape(pixels.shape)


def tv(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    sigma: float | None,
    strength: float,
) -> FloatArray:
    """Return the picture nearby with the least total variation, channel by channel.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
        The background counts as the foreground nearest to it.
    sigma : float or None
        Noise, in [0, 1]; measured if None.
    strength : float
        Weight of the variation, over the noise.

    Returns
    -------
    float32 array, shape (H, W, C)
        About [0, 1].

    Notes
    -----
    The model of Rudin, Osher, Fatemi, Physica D 60, 1992, solved by the dual method of
    Chambolle, JMIV 20, 2004, in scikit-image: the least sum of |u - f|^2 / 2 + weight
    |grad u| for the picture f. Chosen: a weight in proportion to the noise, so that a
    picture of half the contrast and noise is treated alike; 100 steps. (Its own rule
    for when to stop ended early at some weights and lost up to 1.4 dB.)
    """
    from skimage.restoration import denoise_tv_chambolle

    seen = filled_background(pixels, mask)
    noise = _noise(seen, mask) if sigma is None else sigma
    if noise <= 0.0:
        return pixels
    clean = denoise_tv_chambolle(  # type: ignore[no-untyped-call]
        seen,
        weight=strength * noise,
        eps=0.0,  # all the steps, always
        max_num_iter=_TV_STEPS,
        channel_axis=2,
    )
    return np.asarray(clean, np.float32)


def wavelet(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    sigma: float | None,
    levels: int,
    shifts: int,
    chroma: float,
) -> FloatArray:
    """Shrink wavelet details by BayesShrink, averaged over shifts of the grid.

    Colour is taken apart into an intensity and two opponent planes, whose noise may be
    shrunk harder. (Not by default: that gained up to 0.2 dB on a fundus photograph in
    strong noise, and lost up to 0.3 dB on stained tissue in any.)
    """
    if pixels.shape[2] == 1:
        noise = noise_sigma(pixels[..., 0], mask) if sigma is None else sigma
        return _spun(pixels[..., 0], noise, levels, shifts)[..., None]
    if sigma == 0.0:
        return pixels
    planes: FloatArray = pixels @ OPPONENT.T
    for at, factor in enumerate((1.0, chroma, chroma)):
        plane = np.ascontiguousarray(planes[..., at])
        noise = noise_sigma(plane, mask) if sigma is None else sigma
        planes[..., at] = _spun(plane, factor * noise, levels, shifts)
    out: FloatArray = planes @ OPPONENT
    return out


def _spun(plane: FloatArray, sigma: float, levels: int, shifts: int) -> FloatArray:
    """Average the shrunk plane over shifts^2 positions of the wavelet grid."""
    import pywt

    deepest = pywt.dwt_max_level(min(plane.shape), _WAVELET)
    levels = min(levels, deepest)
    if levels == 0 or sigma <= 0.0:
        return plane
    # 2 px at two shifts, as far apart as a pass of four levels can tell
    offsets = range(0, 2 * shifts, 2)
    total = np.zeros_like(plane)
    height, width = plane.shape
    padded = np.pad(plane, (2 * shifts, 0), mode="symmetric")
    for down in offsets:
        for across in offsets:
            shifted = padded[2 * shifts - down :, 2 * shifts - across :]
            clean = _shrunk(shifted, sigma, levels)
            total += clean[down : down + height, across : across + width]
    total /= shifts * shifts
    return total


def _shrunk(plane: FloatArray, sigma: float, levels: int) -> NDArray[Any]:
    """Shrink the details of every sub-band by its own threshold."""
    import pywt

    coarse, *details = pywt.wavedec2(plane, _WAVELET, mode="symmetric", level=levels)
    shrunk = [tuple(_soft(band, sigma) for band in bands) for bands in details]
    clean: NDArray[Any] = pywt.waverec2([coarse, *shrunk], _WAVELET, mode="symmetric")
    return clean


def _soft(band: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Soft-threshold at sigma^2 over the signal's deviation; 0 without signal.

    Where a coefficient is 0 there is neither signal nor noise (a black surround).
    """
    power = float(np.sum(np.square(band, dtype=np.float64)))
    seen = int(np.count_nonzero(np.abs(band) > _ZERO))
    signal = power / max(seen, 1) - sigma * sigma
    if signal <= 0.0:
        return np.zeros_like(band)
    limit = band.dtype.type(sigma * sigma / np.sqrt(signal))
    shrunk: NDArray[Any] = band - np.clip(band, -limit, limit)
    return shrunk
