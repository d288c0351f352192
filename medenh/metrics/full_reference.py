"""How far an image is from its reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.colour import rgb_to_lab, strips
from medenh.errors import UsageError
from medenh.metrics._arrays import checked_mask, checked_pair

__all__ = ["delta_e2000", "mae", "ms_ssim", "psnr", "ssim"]

_SIGMA, _RADIUS = 1.5, 5  # the 11 x 11 window of Wang et al.
_K1, _K2 = 0.01, 0.03
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def psnr(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float = 1.0,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the peak signal-to-noise ratio in dB; infinite for equal images.

    Parameters
    ----------
    image, reference : array, shape (H, W) or (H, W, C)
    data_range : float
        From the darkest to the brightest value possible.
    mask : bool array, shape (H, W), optional
        Where to measure.

    Returns
    -------
    float

    Raises
    ------
    UsageError
        The shapes do not fit together, or the mask is empty.
    NonFiniteError
        An image holds NaN or infinity.
    """
    _check_range(data_range)
    difference = _difference(image, reference, mask)
    error = float(np.mean(np.square(difference, dtype=np.float64)))
    return float("inf") if error == 0.0 else float(10 * np.log10(data_range**2 / error))


def mae(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the mean absolute error; parameters and errors as for `psnr`."""
    difference = np.abs(_difference(image, reference, mask))
    return float(np.mean(difference, dtype=np.float64))


def _difference(
    image: NDArray[Any], reference: NDArray[Any], mask: NDArray[Any] | None
) -> NDArray[Any]:
    one, other = checked_pair(image, reference)
    region = checked_mask(mask, one.shape)
    difference: NDArray[Any] = one - other
    return difference if region is None else difference[region]


def _check_range(data_range: float) -> None:
    if not (np.isfinite(data_range) and data_range > 0):
        raise UsageError(f"data_range={data_range} must be a positive number")


def ssim(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float = 1.0,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the structural similarity: 1 for equal images, mean over channels.

    Parameters and errors as for `psnr`.

    Notes
    -----
    Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 13(4), 2004: Gaussian window of 11 x 11,
    sigma 1.5, K1 0.01, K2 0.03, by scikit-image. As there, the mean leaves out the
    5 px at the border, where the window is not full; with a mask, and in images
    smaller than 11 px, every pixel counts, borders mirrored.
    """
    _check_range(data_range)
    one, other = checked_pair(image, reference)
    region = checked_mask(mask, one.shape)
    if region is None and min(one.shape[:2]) > 2 * _RADIUS:
        from skimage import metrics

        compare: Any = metrics.structural_similarity
        return float(
            compare(
                one.astype(np.float64),
                other.astype(np.float64),
                data_range=data_range,
                channel_axis=2,
                gaussian_weights=True,
                sigma=_SIGMA,
                use_sample_covariance=False,
                K1=_K1,
                K2=_K2,
            )
        )
    luminance, contrast = _similarity(one, other, data_range)
    similarity = luminance * contrast
    return float(np.mean(similarity if region is None else similarity[region]))


def _similarity(
    image: NDArray[Any], reference: NDArray[Any], data_range: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the luminance map and the contrast-structure map, shape (H, W, C)."""
    from scipy.ndimage import gaussian_filter

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        smooth: NDArray[np.float64] = gaussian_filter(
            values, _SIGMA, radius=_RADIUS, axes=(0, 1)
        )
        return smooth

    x, y = image.astype(np.float64), reference.astype(np.float64)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    mean_x, mean_y = mean(x), mean(y)
    both = mean_x * mean_y
    squares = mean_x**2 + mean_y**2
    covariance = mean(x * y) - both
    variances = mean(x * x) + mean(y * y) - squares
    luminance = (2 * both + c1) / (squares + c1)
    contrast = (2 * covariance + c2) / (variances + c2)
    return luminance, contrast


def ms_ssim(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float = 1.0,
) -> float:
    """Return the multi-scale structural similarity: 1 for equal images.

    Parameters and errors as for `psnr`, without a mask.

    Notes
    -----
    Wang, Simoncelli, Bovik, Asilomar 2003, equation 7, five scales. Deviations: an
    image with no room for the window of 11 px at a scale is measured over fewer
    scales, their weights raised to the sum of all five; a negative mean contrast term
    counts as 0, for its power is not a real number. Mean over channels.
    """
    _check_range(data_range)
    one, other = (x.astype(np.float64) for x in checked_pair(image, reference))
    room = min(one.shape[:2]) // (2 * _RADIUS + 1)
    count = min(len(_SCALES), max(1, room.bit_length()))
    weights = np.asarray(_SCALES[:count]) * (sum(_SCALES) / sum(_SCALES[:count]))
    product = np.ones(one.shape[2])
    for scale, weight in enumerate(weights):
        luminance, contrast = _similarity(one, other, data_range)
        last = scale == count - 1
        term = _inner(luminance * contrast if last else contrast).mean(axis=(0, 1))
        product *= np.maximum(term, 0.0) ** weight
        if not last:
            one, other = _halved(one), _halved(other)
    return float(product.mean())


def _inner(values: NDArray[Any]) -> NDArray[Any]:
    """Leave out the border where the window is not full, if anything remains."""
    if min(values.shape[:2]) <= 2 * _RADIUS:
        return values
    return values[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]


def _halved(values: NDArray[Any]) -> NDArray[Any]:
    """Mean of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in values.shape[:2])
    even = values[:height, :width]
    halved: NDArray[Any] = (
        even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    ) / 4
    return halved


def delta_e2000(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the mean colour difference CIEDE2000; 0 for equal images.

    Parameters
    ----------
    image, reference : float array, shape (H, W) or (H, W, C), in [0, 1]
        sRGB. Of grey images only the lightness counts.
    mask : bool array, shape (H, W), optional
        Where to measure.

    Returns
    -------
    float
        About 1 is just visible.

    Raises
    ------
    UsageError
        The shapes do not fit together, the mask is empty, or values are not in
        [0, 1].
    NonFiniteError
        An image holds NaN or infinity.

    Notes
    -----
    Sharma, Wu, Dalal, Color Research and Application 30(1), 2005, with kL = kC = kH
    = 1; D65, 2 degrees.
    """
    from skimage import color

    one, other = checked_pair(image, reference)
    region = checked_mask(mask, one.shape)
    for side in (one, other):
        if side.min() < -1e-3 or side.max() > 1 + 1e-3:
            raise UsageError(
                "CIEDE2000 is measured on values in [0, 1], these go from "
                f"{side.min():g} to {side.max():g}"
            )
    ciede2000: Any = color.deltaE_ciede2000
    total, count = 0.0, 0
    for rows in strips(*one.shape[:2]):
        lab_one, lab_other = _lab(one[rows]), _lab(other[rows])
        difference = ciede2000(lab_one, lab_other)
        part = difference if region is None else difference[region[rows]]
        total += float(np.sum(part, dtype=np.float64))
        count += part.size
    return total / count


def _lab(pixels: NDArray[Any]) -> NDArray[np.float64]:
    rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return rgb_to_lab(np.clip(rgb, 0.0, 1.0)).astype(np.float64)
