"""Whether flat areas kept their values: what measurements in them rest on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.metrics._arrays import reduced_lumas
from medenh.types import FloatArray

__all__ = ["flat_bias"]

_SIGMA = 8.0  # px, of the Gaussian that a local mean is taken over
_INSIDE = 0.99  # of a window's weight that must count
_FLATTEST = 25  # percent of the windows


def flat_bias(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return by how much local means differ where the reference is flat.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C), in [0, data_range]
        Of colours only the luma counts.
    reference : array, same shape
        The true image, or the one before enhancement.
    data_range : float, optional
        The value of white; without it that of the type, as for `psnr`.
    mask : bool array, shape (H, W), optional
        Where to measure.

    Returns
    -------
    float
        Mean absolute difference, a share of the data range: times 400 for Hounsfield
        units under a window of 400. NaN where no window lies inside.

    Raises
    ------
    UsageError
        The shapes do not fit together, or the mask is empty.
    NonFiniteError
        An image holds NaN or infinity.

    Notes
    -----
    [chosen] Means in Gaussians of 8 px, as of a region that somebody draws to measure
    tissue. Flat is the quarter of the windows in which the reference varies least, of
    those that lie in the mask and hold no black or white (air, surround, what a window
    of values cut off). Noise of either image adds what is left of it in such a mean,
    about a thirtieth where it is white. Images of more than two megapixels are averaged
    by a whole factor first.
    """
    from scipy.ndimage import gaussian_filter

    new, old, region = reduced_lumas(image, reference, data_range, mask)
    counted = (region & (old > 0) & (old < 1)).astype(np.float32)
    weight = gaussian_filter(counted, _SIGMA)
    inside = weight >= _INSIDE
    if not inside.any():
        return float("nan")

    def means(plane: FloatArray) -> FloatArray:
        taken = gaussian_filter(plane * counted, _SIGMA)
        return np.asarray(taken[inside] / weight[inside], np.float32)

    shift = means(new - old)
    # about the overall mean, so that squares of float32 keep their digits
    centred = old - np.float32(old[counted > 0].mean(dtype=np.float64))
    variance = means(centred * centred) - means(centred) ** 2
    flat = variance <= np.percentile(variance, _FLATTEST)
    return float(np.abs(shift[flat]).mean(dtype=np.float64))
