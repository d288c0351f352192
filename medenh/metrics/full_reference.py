"""Errors of an image against its reference, pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.metrics._arrays import (
    checked_mask,
    checked_pair,
    checked_range,
    row_strips,
)

__all__ = ["mae", "psnr"]


def psnr(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the peak signal-to-noise ratio in dB; infinite for equal images.

    Parameters
    ----------
    image, reference : array, shape (H, W) or (H, W, C)
    data_range : float, optional
        From the darkest to the brightest value possible. Without it that of the type:
        255 and 65535 for unsigned integers of 8 and 16 bits, 1 for booleans and for
        floats, which must lie in [0, 1] then.
    mask : bool array, shape (H, W), optional
        Where to measure.

    Returns
    -------
    float

    Raises
    ------
    UsageError
        The shapes do not fit together, the mask is empty, or nothing tells the range.
    NonFiniteError
        An image holds NaN or infinity.

    Notes
    -----
    ``10 log10(data_range^2 / MSE)`` [known], the mean over pixels and channels.

    Examples
    --------
    >>> import numpy as np
    >>> psnr(np.full((8, 8), 0.6), np.full((8, 8), 0.5))
    20.0
    """
    error, peak = _mean_power(image, reference, data_range, mask, 2)
    if error == 0.0:
        return float("inf")
    return float(np.round(10 * np.log10(peak**2 / error), 12))


def mae(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the mean absolute error as a share of ``data_range``.

    Parameters and errors as for `psnr`.

    Examples
    --------
    >>> import numpy as np
    >>> mae(np.full((8, 8), 51), np.zeros((8, 8)), data_range=255)
    0.2
    """
    error, white = _mean_power(image, reference, data_range, mask, 1)
    return error / white


def _mean_power(
    image: NDArray[Any],
    reference: NDArray[Any],
    data_range: float | None,
    mask: NDArray[Any] | None,
    power: int,
) -> tuple[float, float]:
    """Return the mean of the absolute difference to a power, 1 or 2; and the range."""
    one, other = checked_pair(image, reference)
    white = checked_range(data_range, one, other)
    region = checked_mask(mask, one.shape)
    total, count = 0.0, 0
    for rows in row_strips(one.shape):
        difference = one[rows].astype(np.float64) - other[rows]
        if region is not None:
            difference = difference[region[rows]]
        flat = difference.ravel()
        total += float(flat @ flat if power == 2 else np.abs(flat).sum())
        count += flat.size
    return total / count, white
