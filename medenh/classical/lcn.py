"""Luminosity and contrast normalisation: makes fundus photographs comparable."""

from __future__ import annotations

from math import sqrt

import numpy as np

from medenh.classical.common import (
    BoolArray,
    field_radius,
    masked_gaussian,
)
from medenh.classical.photograph import illuminated_field
from medenh.types import FloatArray

__all__ = ["lcn"]

# Weight of a pixel that is no background: decides where there is none nearby, and is
# too little to count where there is
_OTHERS = 1e-3
_LEAST = 1e-9  # weight, as a divisor
_FLAT = 0.5  # normalised deviation below which a picture counts as flat


def lcn(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    scale: float,
    spread: float,
    ceiling: float,
    contrast: float,
    floor: float,
) -> FloatArray:
    """Even out mean and contrast of the retinal background in every channel.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
        Without one the field of view is looked for.
    scale : float
        Radius of the field over the side of the windows.
    spread : float
        Background is within so many local standard deviations of the local mean, of
        green (or grey).
    ceiling : float
        Brighter pixels are no background.
    contrast : float
        Standard deviation of every channel of the output.
    floor : float
        Smallest standard deviation of the background divided by.

    Returns
    -------
    float32 array, shape (H, W, C)
        Channels keep their means; may leave [0, 1].

    Notes
    -----
    The family of Foracchia, Grisan, Ruggeri, Medical Image Analysis 9(3), 2005, with
    constants read in a public implementation. Deviations: Gaussian windows of the
    square ones' variance, which leave no squares around bright spots; windows without
    background use all they see; flat pictures are not raised to the contrast. In
    fundus photographs half of green, about, is at the floor: a smaller one evens out
    more of the contrast, and raises more noise.
    """
    field = illuminated_field(pixels) if mask is None else mask
    sigma = max(0.3, field_radius(field) / (scale * sqrt(12.0)))
    lead = pixels[..., 1 if pixels.shape[2] == 3 else 0]
    weight = _background(lead, field, sigma, spread, ceiling)
    out = pixels.copy()
    for channel in range(pixels.shape[2]):
        plane = pixels[..., channel]
        mean = _local_mean(plane, weight, sigma)
        deviation = _local_deviation(plane - mean, weight, sigma)
        detail = (plane - mean) / np.maximum(deviation, np.float32(floor))
        inside = detail[field].astype(np.float64)
        inside -= inside.mean()
        # normalised it is about 1 or more, but where the floor held it: noise then
        inside *= contrast / max(float(inside.std()), _FLAT)
        out[field, channel] = inside + plane[field].mean(dtype=np.float64)
    return out


def _background(
    plane: FloatArray, field: BoolArray, sigma: float, spread: float, ceiling: float
) -> FloatArray:
    """Return weights: 1 for background, almost 0 for others, 0 outside the field."""
    everywhere = field.astype(np.float32)
    mean = _local_mean(plane, everywhere, sigma)
    deviation = np.abs(plane - mean)
    limit = np.float32(spread) * _local_deviation(deviation, everywhere, sigma)
    background = (deviation < limit) & (plane < ceiling)
    return np.where(background, everywhere, everywhere * np.float32(_OTHERS))


def _local_deviation(
    difference: FloatArray, weight: FloatArray, sigma: float
) -> FloatArray:
    """Return the weighted root mean square of differences from the local mean."""
    mean = _local_mean(np.square(difference), weight, sigma)
    # rounding leaves means of almost 0 a little below it
    return np.sqrt(np.maximum(mean, np.float32(0.0)))


def _local_mean(plane: FloatArray, weight: FloatArray, sigma: float) -> FloatArray:
    """Return the weighted Gaussian mean; of use in the field only."""
    mean = masked_gaussian(weight * plane, sigma)
    mean /= np.maximum(masked_gaussian(weight, sigma), np.float32(_LEAST))
    return mean
