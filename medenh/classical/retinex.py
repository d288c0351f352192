"""Multi-scale retinex: plain, keeping chromaticity, and restoring colour."""

from __future__ import annotations

from math import log

import numpy as np

from medenh.classical.common import BoolArray, masked_gaussian
from medenh.classical.photograph import illuminated_field
from medenh.types import FloatArray

__all__ = ["msr", "msrcp", "msrcr", "multi_scale_retinex"]

_REFERENCE = 512.0  # shorter side that the sigmas are told for, px
_FLAT = 1e-6  # range of logarithms that is no contrast
_BLACK = 1e-6  # intensity, in [0, 1], that is divided by at least


def msr(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    small: float,
    medium: float,
    large: float,
    clipped: float,
) -> FloatArray:
    """Bring each channel to its retinex; grey comes out as by `msrcp`.

    Parameters
    ----------
    pixels, mask, small, medium, large
        As of `msrcp`.
    clipped : float
        Percentage of the values that becomes 0, and that becomes 1.

    Returns
    -------
    float32 array, shape (H, W, C)
        Beyond [0, 1] where values are to be clipped. A picture without contrast is
        given back as it is.

    Notes
    -----
    Jobson et al., IEEE TIP 6(7), 1997; ends by percentiles after Petro, Sbert, Morel,
    IPOL 4, 2014. Chosen: one pair of percentiles for all channels together, so that
    one without light is no noise in full contrast. Other deviations are those of
    `msrcp`.
    """
    field = illuminated_field(pixels) if mask is None else mask
    sigmas = _in_pixels((small, medium, large), pixels)
    detail = multi_scale_retinex(pixels, sigmas, None if field.all() else field)
    low, high = np.percentile(detail[field], [clipped, 100.0 - clipped])
    if high - low < _FLAT:
        return pixels
    out: FloatArray = (detail - np.float32(low)) / np.float32(high - low)
    out[~field] = pixels[~field]
    return out


def msrcp(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    small: float,
    medium: float,
    large: float,
    clipped: float,
) -> FloatArray:
    """Bring the intensity to its retinex by one gain for all channels of a pixel.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
        Without one the field of view is looked for.
    small, medium, large : float
        Sigmas of the surrounds, px at a shorter side of 512 px; they grow with it.
    clipped : float
        Percentage of the pixels that becomes black, and that becomes white.

    Returns
    -------
    float32 array, shape (H, W, C), in [0, 1]
        Hue and saturation as in ``pixels``. A picture without contrast is given back
        as it is.

    Notes
    -----
    Petro, Sbert, Morel, IPOL 4, 2014, on the method of Jobson et al., IEEE TIP 6(7),
    1997. Deviations: sigmas grow with the picture; surrounds see the field only, and
    wide ones are made on reduced pictures.
    """
    field = illuminated_field(pixels) if mask is None else mask
    intensity = pixels.mean(axis=2)
    sigmas = _in_pixels((small, medium, large), pixels)
    detail = multi_scale_retinex(intensity, sigmas, None if field.all() else field)
    low, high = np.percentile(detail[field], [clipped, 100.0 - clipped])
    if high - low < _FLAT:
        return pixels
    wanted = np.clip((detail - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    gain = np.minimum(
        wanted / np.maximum(intensity, np.float32(_BLACK)),
        np.float32(1.0) / np.maximum(pixels.max(axis=2), np.float32(_BLACK)),
    )
    out: FloatArray = pixels * gain[..., None]
    out[~field] = pixels[~field]
    return out


def msrcr(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    small: float,
    medium: float,
    large: float,
    alpha: float,
    spread: float,
) -> FloatArray:
    """Bring each channel to its retinex, times what it has of the pixel's colour.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
        Without one the field of view is looked for.
    small, medium, large : float
        Sigmas of the surrounds, px at a shorter side of 512 px; they grow with it.
    alpha : float
        Of the colour restoration, which weighs the more the smaller this is.
    spread : float
        Standard deviations from the mean to black, and to white.

    Returns
    -------
    float32 array, shape (H, W, C)
        Beyond [0, 1] where the retinex is further from its mean than that. A picture
        without contrast is given back as it is.

    Notes
    -----
    Jobson et al., IEEE TIP 6(7), 1997; alpha 125 after Petro, Sbert, Morel, IPOL 4,
    2014. The published gain and offset (and with them beta, which is one more gain) are
    left out: they are for one range of values, and the retinex has another in every
    picture. Chosen: mean and deviation, of all channels together, tell black and white.
    Other deviations are those of `msrcp`.
    """
    field = illuminated_field(pixels) if mask is None else mask
    sigmas = _in_pixels((small, medium, large), pixels)
    detail = multi_scale_retinex(pixels, sigmas, None if field.all() else field)
    values = np.float32(255.0) * pixels
    # log(alpha (x + 1) / (sum over the channels + 3)), for any number of channels
    share = np.log1p(values) - np.log1p(values.mean(axis=2, keepdims=True))
    detail *= share + np.float32(log(alpha / 3.0))
    inside = detail[field]
    mean = float(inside.mean(dtype=np.float64))
    half = spread * float(inside.std(dtype=np.float64))
    if half < _FLAT:
        return pixels
    out: FloatArray = (detail - np.float32(mean - half)) / np.float32(2.0 * half)
    out[~field] = pixels[~field]
    return out


def _in_pixels(sigmas: tuple[float, ...], pixels: FloatArray) -> list[float]:
    """Return sigmas that are told for 512 px in this picture's pixels."""
    factor = min(pixels.shape[:2]) / _REFERENCE
    return [max(0.3, sigma * factor) for sigma in sigmas]


def multi_scale_retinex(
    plane: FloatArray, sigmas: list[float], mask: BoolArray | None = None
) -> FloatArray:
    """Return the mean over the surrounds of log(x + 1) - log(surround + 1).

    Parameters
    ----------
    plane : float32 array, shape (H, W) or (H, W, C), in [0, 1]
        x is 255 times this; channels have nothing to do with each other.
    sigmas : list of float
        Of the Gaussian surrounds, px; at least one.
    mask : bool array, shape (H, W), optional
        Surrounds see the foreground only.

    Returns
    -------
    float32 array, same shape
        Natural logarithms. Of use in the foreground only.
    """
    values = np.float32(255.0) * plane
    detail: FloatArray = np.log1p(values)
    share = np.float32(1.0 / len(sigmas))
    for sigma in sigmas:
        detail -= share * np.log1p(masked_gaussian(values, sigma, mask))
    return detail
