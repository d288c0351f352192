"""Whether an enhanced image still shows what its input showed; no reference needed.

`structure`, `clipped` and `shift` are called as all metrics of the registry are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.colour import luma
from medenh.errors import NonFiniteError, UsageError
from medenh.metrics._arrays import checked_mask, checked_pair, checked_range
from medenh.types import FloatArray

__all__ = [
    "brightness_excess",
    "clipped",
    "clipped_share",
    "mean_shift",
    "shift",
    "structure",
    "structure_correlation",
]

_MOST_PIXELS = 2_000_000
_SIGMA, _RADIUS = 1.8, 4  # a Gaussian window of 9 px
_STEP = 2  # windows overlap enough at every other pixel
_FLAT = 1e-6  # variance, as a share of the whole image's, that is rounding


def structure_correlation(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return how well local structure was kept, whatever became of brightness.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C)
        The enhanced image.
    reference : array, same shape
        The image before, or any other to compare with.
    mask : bool array, shape (H, W), optional
        Where to measure.

    Returns
    -------
    float
        In [-1, 1]: 1 for equal images and after a change of brightness or contrast,
        nearly 1 after a smooth monotonous curve or shading, about 0 for unrelated
        images, negative for inverted ones. Edges taken away or invented lower it.

    Raises
    ------
    UsageError
        The shapes do not fit together, or the mask is empty.
    NonFiniteError
        An image holds NaN or infinity (where it is sampled).

    Notes
    -----
    Correlation of the luma in Gaussian windows of 9 px, averaged with the local
    contrast of both images (each relative to its own mean contrast) as weight: that of
    the reference finds what was lost, that of the image what was invented. White noise
    of the reference, measured, does not count as structure, so that denoising is not
    blamed (correction for attenuation, Spearman 1904). Every other window is taken; one
    counts where any pixel from it to the next is in the mask. Images of more than two
    megapixels are reduced by a whole factor first.
    """
    one, other = checked_pair(image, reference, finite=False)
    region = checked_mask(mask, one.shape)
    factor = int(np.ceil(np.sqrt(one.shape[0] * one.shape[1] / _MOST_PIXELS)))
    x, y = (_standard(_reduced(pixels, factor)) for pixels in (one, other))
    correlation, weight = _correlation(x, y)
    if region is not None:
        counted = _any_of(region, factor * _STEP)[: weight.shape[0], : weight.shape[1]]
        if not counted.any():  # in rows or columns that reducing leaves out, all of it
            return float("nan")
        weight *= counted
    total = float(weight.sum(dtype=np.float64))
    if total == 0.0:
        return 1.0  # both flat: there was nothing to keep
    kept = float((weight * correlation).sum(dtype=np.float64)) / total
    return min(1.0, max(-1.0, kept))


def _correlation(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return local correlation of two planes, for the noise of y, and its weight."""
    moments = (_windowed(v) for v in (x, y, x * x, y * y, x * y))
    mean_x, mean_y, square_x, square_y, product = moments
    variance_x, variance_y = square_x - mean_x * mean_x, square_y - mean_y * mean_y
    variance_x[variance_x < _FLAT] = 0.0
    variance_y[variance_y < _FLAT] = 0.0
    noise = _noise_variance(y)
    contrast_x = np.sqrt(variance_x)
    # x would have lost nothing by losing the noise of y
    contrast_y = np.sqrt(np.maximum(variance_y - noise, 0.0))
    both = contrast_x * contrast_y
    covariance = product - mean_x * mean_y
    seen = np.where(both > 0, both, contrast_x * np.sqrt(variance_y))
    correlation = np.divide(covariance, seen, out=np.zeros_like(seen), where=seen > 0)
    np.clip(correlation, -1.0, 1.0, out=correlation)
    above_noise = np.sqrt(np.maximum(variance_y - 2.0 * noise, 0.0))
    return correlation, _relative(contrast_x) + _relative(above_noise)


def _noise_variance(plane: FloatArray) -> np.float32:
    """Variance of white noise, from the median of the diagonal Haar details."""
    height, width = (side // 2 * 2 for side in plane.shape)
    even = plane[:height, :width]
    diagonal = even[::2, ::2] + even[1::2, 1::2] - even[1::2, ::2] - even[::2, 1::2]
    if diagonal.size == 0:
        return np.float32(0.0)
    deviation = np.median(np.abs(diagonal)) / (2 * 0.6745)
    return np.float32(deviation * deviation)


def _any_of(region: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Return for each square of a side whether any pixel of it is in the region."""
    padded = np.pad(region, [(0, -length % side) for length in region.shape])
    height, width = (length // side for length in padded.shape)
    return np.asarray(padded.reshape(height, side, width, side).any((1, 3)))


def _sampled(values: NDArray[Any], factor: int, down: int = 0, across: int = 0) -> Any:
    """Return every ``factor``-th row and column, as many for any shift below it."""
    height, width = (side // factor * factor for side in values.shape[:2])
    return values[down:height:factor, across:width:factor]


def _reduced(pixels: NDArray[Any], factor: int) -> FloatArray:
    """Return the luma at every ``factor``-th place, the mean of four samples each."""
    total: Any
    if factor == 1:
        total = _floats(pixels)
    else:
        shifts = (0, factor // 2)
        places = [(down, across) for down in shifts for across in shifts]
        total = sum(_floats(_sampled(pixels, factor, *place)) for place in places)
    plane: FloatArray = luma(total).astype(np.float32)
    if not np.isfinite(plane).all():
        raise NonFiniteError("a picture to measure holds NaN or infinity")
    return plane


def _floats(values: NDArray[Any]) -> NDArray[Any]:
    """Return values that do not overflow; 32-bit floats are kept."""
    return values if values.dtype == np.float32 else values.astype(np.float64)


def _standard(plane: FloatArray) -> FloatArray:
    """Return the plane with mean 0 and deviation 1, so that no scale matters."""
    centred = plane - np.float32(plane.mean(dtype=np.float64))
    deviation = float(np.sqrt(np.mean(np.square(centred, dtype=np.float64))))
    # a float32 plane of one value has a deviation of rounding only
    flat = deviation <= 1e-6 * max(float(np.abs(plane).max()), 1e-30)
    centred *= np.float32(0.0 if flat else 1.0 / deviation)
    return centred


def _windowed(plane: FloatArray) -> FloatArray:
    """Return Gaussian means around every second pixel of every second row."""
    from medenh.opencv import cv2

    taps = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    taps /= taps.sum()
    smooth = cv2.sepFilter2D(
        plane, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REFLECT
    )
    return np.asarray(smooth[::_STEP, ::_STEP], np.float32)


def _relative(contrast: FloatArray) -> FloatArray:
    mean = float(contrast.mean(dtype=np.float64))
    return contrast / np.float32(mean) if mean > 0 else contrast


def clipped_share(unit_after: NDArray[Any], unit_before: NDArray[Any]) -> float:
    """Return the share of values that are at 0 or 1 now and were not before.

    Parameters
    ----------
    unit_after, unit_before : float array, any shape, in [0, 1]

    Raises
    ------
    UsageError
        The shapes differ.
    """
    _same_shape(unit_after, unit_before)
    now = (unit_after <= 0.0) | (unit_after >= 1.0)
    newly = now & (unit_before > 0.0) & (unit_before < 1.0)
    return float(np.count_nonzero(newly) / max(newly.size, 1))


def mean_shift(unit_after: NDArray[Any], unit_before: NDArray[Any]) -> float:
    """Return by how much the mean rose.

    Parameters
    ----------
    unit_after, unit_before : float array, any shape, in [0, 1]

    Raises
    ------
    UsageError
        The shapes differ.
    """
    _same_shape(unit_after, unit_before)
    if unit_after.size == 0:
        return 0.0
    return float(unit_after.mean(dtype=np.float64) - unit_before.mean(dtype=np.float64))


def brightness_excess(unit_after: NDArray[Any], unit_before: NDArray[Any]) -> float:
    """Return by how much the mean rose beyond the room above the brightest parts.

    A picture that lost nothing but exposure can be brightened until its bright parts
    (99th percentile) are white; what rises further was washed out. 0 where that did
    not happen.

    Parameters
    ----------
    unit_after, unit_before : float array, any shape, in [0, 1]

    Raises
    ------
    UsageError
        The shapes differ.
    """
    rise = mean_shift(unit_after, unit_before)
    if unit_before.size == 0:
        return 0.0
    brighter = np.count_nonzero(unit_before > 1.0 - rise)
    if brighter < 0.01 * unit_before.size - 2:  # there is room: no percentile is sorted
        return 0.0
    room = 1.0 - float(np.percentile(unit_before, 99))
    return max(0.0, rise - room)


def structure(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return `structure_correlation`; the data range changes nothing."""
    if data_range is not None:
        checked_range(data_range)
    return structure_correlation(image, reference, mask=mask)


def clipped(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return `clipped_share` of two images in [0, data_range]."""
    return clipped_share(*_unit_pair(image, reference, data_range, mask))


def shift(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return `mean_shift` of two images in [0, data_range]."""
    return mean_shift(*_unit_pair(image, reference, data_range, mask))


def _unit_pair(
    image: NDArray[Any],
    reference: NDArray[Any],
    data_range: float | None,
    mask: NDArray[Any] | None,
) -> tuple[FloatArray, FloatArray]:
    """Return both images over the data range, float32; only the mask's pixels."""
    one, other = checked_pair(image, reference)
    white = checked_range(data_range, one, other)
    region = checked_mask(mask, one.shape)
    if region is not None:
        one, other = one[region], other[region]
    return (one / white).astype("float32"), (other / white).astype("float32")


def _same_shape(after: NDArray[Any], before: NDArray[Any]) -> None:
    if after.shape != before.shape:
        raise UsageError(f"shapes {after.shape} and {before.shape} do not compare")
