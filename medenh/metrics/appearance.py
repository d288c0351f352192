"""What an image looks like by itself: sharpness, contrast, noise, contrast to noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.metrics._arrays import (
    BoolArray,
    checked_image,
    checked_mask,
    checked_range,
    unit_luma,
)
from medenh.types import FloatArray

__all__ = ["automatic_cnr", "cnr", "contrast", "noise", "plane_noise", "sharpness"]

_DARK = 0.05  # of the brightest 1 %: darker is surround
_FINE, _COARSE = 1.0, 8.0  # px: sigmas of the band in which sharpness is measured
_MARGIN = 12  # px from the surround, whose edge, blurred too, is no detail
_FEWEST = 256  # px: a square of twice the coarse sigma; fewer do not show the band
_ROUNDING = 1 / (255 * 12**0.5)  # noise of 8 bits: no image is known better

# Immerkaer's difference of two Laplacians: blind to planes and straight edges
_IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def sharpness(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return how fine the detail is: its mean frequency, in radians a pixel.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C), in [0, data_range]
        Of colours only the luma counts.
    data_range : float, optional
        The value of white; without it that of the type, as for `psnr`.
    mask : bool array, shape (H, W), optional
        Where to measure.

    Returns
    -------
    float
        0 to about 1; the same after a gain, a little less after a lift of black (as
        after a blur of half a pixel). NaN where there is no detail above the noise, or
        less than 256 px (16 x 16) to see it in.

    Raises
    ------
    UsageError
        The shape is not that of a picture, or the mask is empty.
    NonFiniteError
        The image holds NaN or infinity.

    Notes
    -----
    Root of the energy of the gradient over that of the detail, both of the band
    between Gaussians of 1 and 8 px, less what white noise as strong as `noise` finds
    adds to each [chosen]. A blur lowers the high frequencies of any image most, and so
    this ratio, down to that of the 8 px. Surround, darker than 5 % of the brightest
    percent, and 12 px beside it are left out. It depends on the size in
    pixels: compare images of one size.
    """
    from scipy.ndimage import gaussian_filter

    plane = unit_luma(image, data_range)
    shown = _foreground(plane, checked_mask(mask, plane.shape))
    if np.count_nonzero(shown) < _FEWEST:
        return float("nan")
    inner = _eroded(shown)
    sigma = plane_noise(plane, shown)
    band = gaussian_filter(plane, _FINE)
    gradient = sum(
        np.square(gaussian_filter(plane, _FINE, order=order)[inner]).mean()
        for order in ((0, 1), (1, 0))
    )
    weight = gaussian_filter(shown.astype(np.float32), _COARSE)
    surround = gaussian_filter(np.where(shown, plane, 0), _COARSE)
    band -= surround / np.maximum(weight, 1e-6)
    detail = float(np.square(band[inner]).mean())
    noise_gradient = sigma**2 / (4 * np.pi * _FINE**4)
    noise_detail = sigma**2 * _overlap()
    if detail <= 1.01 * noise_detail or detail < 1e-10:
        return float("nan")
    energy = max(float(gradient) - noise_gradient, 0.0)
    return float(np.sqrt(energy / (detail - noise_detail)))


def _overlap() -> float:
    """Variance that the band leaves of white noise: products of two Gaussians."""
    pairs = ((_FINE, _FINE, 1), (_FINE, _COARSE, -2), (_COARSE, _COARSE, 1))
    return sum(count / (2 * np.pi * (a * a + b * b)) for a, b, count in pairs)


def contrast(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the RMS contrast: standard deviation of the luma, of the data range.

    Parameters and errors as for `sharpness`.

    Notes
    -----
    Peli, JOSA A 7(10), 1990 [recalled], without division by the mean. In [0, 0.5].
    More is not better by itself: a surround, a vignette and noise all raise it.

    Examples
    --------
    >>> import numpy as np
    >>> contrast(np.tile([0.25, 0.75], (8, 8)))
    0.25
    """
    plane = unit_luma(image, data_range)
    region = checked_mask(mask, plane.shape)
    values = plane if region is None else plane[region]
    return float(np.std(values, dtype=np.float64))


def noise(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the standard deviation of white noise, as a share of the data range.

    Parameters and errors as for `sharpness`; the root mean square over channels.

    Returns
    -------
    float
        At least 0; NaN for images of less than 3 px to a side.

    Notes
    -----
    Immerkaer, CVIU 64(2), 1996 [recalled]: the response to a difference of Laplacians,
    here its median over 0.6745 (robust), in the flatter half of the image [chosen].
    Fine texture counts as noise; correlated noise (JPEG, resampled) is underestimated.
    """
    pixels = checked_image(image)
    white = checked_range(data_range, pixels)
    if min(pixels.shape[:2]) < 3:
        return float("nan")
    region = checked_mask(mask, pixels.shape)
    shown = _foreground(unit_luma(pixels, white), region)
    squares = [
        plane_noise(np.asarray(pixels[..., channel] / white, np.float32), shown) ** 2
        for channel in range(pixels.shape[2])
    ]
    return float(np.sqrt(np.mean(squares)))


def plane_noise(plane: FloatArray, shown: BoolArray) -> float:
    """Return the noise of a plane in [0, 1], in the flatter half of some pixels."""
    from scipy.ndimage import convolve, gaussian_gradient_magnitude

    response = np.abs(convolve(plane, _IMMERKAER))[shown]
    steepness = gaussian_gradient_magnitude(plane, 2.0)[shown]
    flat = response[steepness <= np.median(steepness)]
    # 36 is the sum of the kernel's squares
    return float(np.median(flat)) / (6 * 0.6745)


def cnr(
    image: NDArray[Any],
    signal_mask: NDArray[Any],
    background_mask: NDArray[Any],
) -> float:
    """Return the contrast-to-noise ratio of two given regions.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C)
        Of colours only the luma counts; any unit.
    signal_mask, background_mask : bool array, shape (H, W)

    Returns
    -------
    float
        |mean(signal) - mean(background)| / std(background); infinite where the
        background is constant and the means differ, NaN where they do not.

    Raises
    ------
    UsageError
        A mask is empty or of another shape.
    """
    plane = unit_luma(image, 1.0)
    everything = np.ones(plane.shape, bool)
    regions = (
        checked_mask(mask, plane.shape) for mask in (signal_mask, background_mask)
    )
    signal, background = (
        plane[everything if region is None else region].astype(np.float64)
        for region in regions
    )
    difference = abs(float(signal.mean() - background.mean()))
    deviation = float(background.std())
    if deviation <= 1e-6 * abs(float(background.mean())):
        return float("inf") if difference > 0 else float("nan")
    return difference / deviation


def automatic_cnr(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the contrast between an image's bright and dark parts over its noise.

    Parameters and errors as for `sharpness`.

    Returns
    -------
    float
        At least 0; NaN for a constant image.

    Notes
    -----
    [chosen] Otsu's threshold of the luma, smoothed by 2 px, divides what is not
    surround (darker than 5 % of the brightest percent); the difference of the means
    stands over `noise` of the luma, never less than the rounding of 8 bits. It rises
    with every loss of noise, blur included: read it beside `sharpness`. For organs or
    lesions with masks use `cnr`.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.filters import threshold_otsu

    plane = unit_luma(image, data_range)
    shown = _foreground(plane, checked_mask(mask, plane.shape))
    smooth = gaussian_filter(plane, 2.0)[shown]
    if float(np.ptp(smooth)) <= 1e-6:
        return float("nan")
    threshold: Any = threshold_otsu
    bright = smooth > threshold(smooth)
    values = plane[shown]
    difference = float(values[bright].mean() - values[~bright].mean())
    return abs(difference) / max(plane_noise(plane, shown), _ROUNDING)


def _foreground(plane: FloatArray, region: BoolArray | None) -> BoolArray:
    """Return what is not dark surround, inside a region."""
    values = plane if region is None else plane[region]
    shown: BoolArray = plane >= _DARK * float(np.percentile(values, 99))
    return shown if region is None else shown & region


def _eroded(shown: BoolArray) -> BoolArray:
    """Return what is some pixels inside; all of it where nothing would remain."""
    from scipy.ndimage import minimum_filter

    inner: BoolArray = minimum_filter(shown, 2 * _MARGIN + 1, mode="nearest")
    return inner if inner.any() else shown
