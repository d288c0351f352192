"""Multi-scale retinex that keeps chromaticity."""

from __future__ import annotations

import numpy as np

from medenh.classical.common import BoolArray, illuminated_field, masked_gaussian
from medenh.types import FloatArray

__all__ = ["msrcp", "multi_scale_retinex"]

_REFERENCE = 512.0  # shorter side that the sigmas are told for, px
_FLAT = 1e-6  # range of logarithms that is no contrast
_BLACK = 1e-6  # intensity, in [0, 1], that is divided by at least


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
    factor = min(pixels.shape[:2]) / _REFERENCE
    sigmas = [max(0.3, sigma * factor) for sigma in (small, medium, large)]
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


def multi_scale_retinex(
    plane: FloatArray, sigmas: list[float], mask: BoolArray | None = None
) -> FloatArray:
    """Return the mean over the surrounds of log(x + 1) - log(surround + 1).

    Parameters
    ----------
    plane : float32 array, shape (H, W), in [0, 1]
        x is 255 times this.
    sigmas : list of float
        Of the Gaussian surrounds, px; at least one.
    mask : bool array, shape (H, W), optional
        Surrounds see the foreground only.

    Returns
    -------
    float32 array, shape (H, W)
        Natural logarithms. Of use in the foreground only.
    """
    values = np.float32(255.0) * plane
    detail: FloatArray = np.log1p(values)
    share = np.float32(1.0 / len(sigmas))
    for sigma in sigmas:
        detail -= share * np.log1p(masked_gaussian(values, sigma, mask))
    return detail
