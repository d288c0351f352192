"""Structural similarity, at one scale and at five."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.metrics._arrays import (
    BoolArray,
    checked_mask,
    checked_pair,
    checked_range,
    row_strips,
)

__all__ = ["ms_ssim", "ssim"]

Floats = NDArray[np.float64]

_SIGMA, _RADIUS = 1.5, 5  # the 11 x 11 window of Wang et al.
_K1, _K2 = 0.01, 0.03
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the structural similarity: 1 for equal images, mean over channels.

    Parameters and errors as for `psnr`.

    Notes
    -----
    Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 13(4), 2004 [known]: Gaussian window of
    11 x 11, sigma 1.5, K1 0.01, K2 0.03. As scikit-image has it, the mean leaves out
    the 5 px at the border, where the window is not full; with a mask, and in images
    smaller than 11 px, every pixel counts, borders mirrored. Windows of pixels near
    the mask's edge look over it.
    """
    one, other = checked_pair(image, reference)
    peak = checked_range(data_range, one, other)
    region = checked_mask(mask, one.shape)
    both, _ = _similarity(one, other, peak, _counted(region, one.shape))
    return float(both.mean())


def ms_ssim(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the multi-scale structural similarity: 1 for equal images.

    Parameters and errors as for `psnr`.

    Notes
    -----
    Wang, Simoncelli, Bovik, Asilomar 2003, equation 7, five scales [known].
    Deviations [chosen]: an image with no room for the window of 11 px at a scale is
    measured over fewer scales, their weights raised to the sum of all five; a negative
    mean contrast term counts as 0, for its power is not a real number. Mean over
    channels. With a mask, a pixel of a coarser scale counts where any of its four is
    in the mask; at the fifth scale its window reaches 80 px over the edge.
    """
    one, other = checked_pair(image, reference)
    peak = checked_range(data_range, one, other)
    region = checked_mask(mask, one.shape)
    room = min(one.shape[:2]) // (2 * _RADIUS + 1)
    count = min(len(_SCALES), max(1, room.bit_length()))
    weights = np.asarray(_SCALES[:count]) * (sum(_SCALES) / sum(_SCALES[:count]))
    product = np.ones(one.shape[2])
    for scale, weight in enumerate(weights):
        both, contrast = _similarity(one, other, peak, _counted(region, one.shape))
        last = scale == count - 1
        product *= np.maximum(both if last else contrast, 0.0) ** weight
        if not last:
            one, other = _halved(one), _halved(other)
            region = None if region is None else _halved_region(region)
    return float(product.mean())


def _counted(region: BoolArray | None, shape: tuple[int, ...]) -> BoolArray:
    """Return the pixels whose windows count: the region, or where windows are full."""
    if region is not None:
        return region
    inner = np.ones(shape[:2], bool)
    if min(shape[:2]) > 2 * _RADIUS:
        inner[:_RADIUS] = inner[-_RADIUS:] = False
        inner[:, :_RADIUS] = inner[:, -_RADIUS:] = False
    return inner


def _similarity(
    image: NDArray[Any], reference: NDArray[Any], data_range: float, counted: BoolArray
) -> tuple[Floats, Floats]:
    """Return means of similarity and of its contrast-structure term, shape (C,)."""
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    sums = np.zeros((2, image.shape[2]))
    for rows in row_strips(image.shape):
        if not counted[rows].any():
            continue
        mean_x, mean_y, mean_squares, mean_product = _moments(image, reference, rows)
        both = mean_x * mean_y
        squares = mean_x * mean_x + mean_y * mean_y
        contrast = (2 * (mean_product - both) + c2) / (mean_squares - squares + c2)
        luminance = (2 * both + c1) / (squares + c1)
        weight = counted[rows].astype(np.float64)
        sums[0] += np.tensordot(weight, luminance * contrast, 2)
        sums[1] += np.tensordot(weight, contrast, 2)
    means: Floats = sums / np.count_nonzero(counted)
    return means[0], means[1]


def _moments(image: NDArray[Any], reference: NDArray[Any], rows: slice) -> list[Floats]:
    """Return windowed means of x, y, x^2 + y^2 and xy at some rows."""
    # the strip and the rows its windows reach; mirrored only at the picture's borders
    top = max(0, rows.start - _RADIUS)
    reach = slice(top, min(image.shape[0], rows.stop + _RADIUS))
    inner = slice(rows.start - top, rows.stop - top)
    x, y = image[reach].astype(np.float64), reference[reach].astype(np.float64)
    return [_windowed(v)[inner] for v in (x, y, x * x + y * y, x * y)]


def _windowed(values: Floats) -> Floats:
    """Return Gaussian means, borders mirrored; OpenCV takes a fifth of SciPy's time."""
    from medenh.opencv import cv2

    taps = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    taps /= taps.sum()
    smooth = cv2.sepFilter2D(values, -1, taps, taps, borderType=cv2.BORDER_REFLECT)
    return np.asarray(smooth, np.float64).reshape(values.shape)


def _halved_region(region: BoolArray) -> BoolArray:
    """Return where any of 2 x 2 pixels counts; an odd last line adds to the one before.

    A mask may have nothing else.
    """
    folded = region.copy()
    height, width = folded.shape
    if height % 2 and height > 1:
        folded[-2] |= folded[-1]
    if width % 2 and width > 1:
        folded[:, -2] |= folded[:, -1]
    halved: BoolArray = _halved(folded[..., None])[..., 0] > 0
    return halved


def _halved(values: NDArray[Any]) -> Floats:
    """Mean of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in values.shape[:2])
    halved = np.empty((height // 2, width // 2, values.shape[2]))
    for rows in row_strips(halved.shape):
        even = values[2 * rows.start : 2 * rows.stop, :width].astype(np.float64)
        halved[rows] = even[::2, ::2] + even[1::2, ::2]
        halved[rows] += even[::2, 1::2] + even[1::2, 1::2]
    halved /= 4
    return halved
