"""Edges that only one of two images shows: invented by enhancement, or lost by it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.metrics._arrays import BoolArray, reduced_lumas
from medenh.metrics.appearance import plane_noise
from medenh.types import FloatArray

__all__ = ["invented_edges", "lost_edges"]

_SIGMA = 1.5  # px, of the Gaussian under the derivative
_TOLERANCE = 2  # px
_ROUNDING = 1 / (255 * 12**0.5)  # noise of 8 bits
_CERTAIN = 5.0  # deviations: of noise alone hardly one pixel in a million
_STRONG = 0.1  # of the steepest 0.5 % of the image's gradients
_WINDOW = 16.0  # px, over which the gain of contrast is taken as constant
_EXCESS = 3.0  # times the gain, for an edge to be new


def invented_edges(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the share of strong edges for which the reference shows no cause.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C), in [0, data_range]
        The enhanced image. Of colours only the luma counts.
    reference : array, same shape
        The image before enhancement (or a reference, to judge hallucination by).
    data_range : float, optional
        The value of white; without it that of the type, as for `psnr`.
    mask : bool array, shape (H, W), optional
        Where to look for edges.

    Returns
    -------
    float
        In [0, 1]: 0 where every strong edge was there before, and where there are
        none; 1 where lines were drawn on a blank reference.

    Raises
    ------
    UsageError
        The shapes do not fit together, or the mask is empty.
    NonFiniteError
        An image holds NaN or infinity.

    Notes
    -----
    [chosen] Gradients of a Gaussian of 1.5 px. Strong edges of the image: ridges of its
    gradient (Canny, IEEE PAMI 8(6), 1986) above a tenth of the 99.5th percentile and
    above 5 deviations of what its noise does to gradients, with the ridges connected to
    them above half of that. A strong edge is invented where its gradient is more than 3
    times the steepest of the reference within 2 px, its noise added, times the local
    gain: the geometric mean, in a Gaussian of 16 px, of the ratio of both gradients.
    So to amplify what is there, be it texture, is not to invent. Noise is measured
    (`noise`), at least the rounding of 8 bits. Images of more than two megapixels are
    averaged by a whole factor first.

    Limits: new texture that covers a place evenly passes for gain; what is drawn along
    an old edge, and what the noise of the reference could hide, is not found.
    """
    new, old, region = reduced_lumas(image, reference, data_range, mask)
    steepness, strong = _strong_edges(new)
    strong &= region
    total = np.count_nonzero(strong)
    if total == 0:
        return 0.0
    unexplained = steepness > _EXCESS * _explained(steepness, old)
    return float(np.count_nonzero(strong & unexplained) / total)


def lost_edges(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the share of the reference's strong edges that the image lost.

    Parameters and errors as for `invented_edges`: ``image`` is the enhanced one.

    Returns
    -------
    float
        In [0, 1]: 0 where every strong edge is still there, and where there were none.

    Notes
    -----
    [chosen] `invented_edges` with the two images exchanged: what the image would have
    had to invent to come back. So noise is no edge, and what is fainter together with
    all around it (contrast, a blur of the whole) is not lost, and of detail that was
    erased over a large area only a part is found: a tenth to two thirds.
    """
    return invented_edges(reference, image, data_range=data_range, mask=mask)


def _strong_edges(plane: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return gradients, and the thin edges that stand out of noise and other edges."""
    from skimage.filters import apply_hysteresis_threshold

    down, across = _derivatives(plane)
    steepness = np.hypot(down, across)
    noise = _CERTAIN * _gradient_noise(plane)
    high = max(noise, _STRONG * float(np.percentile(steepness, 99.5)))
    thin = np.where(_ridges(steepness, down, across), steepness, 0)
    linked: Any = apply_hysteresis_threshold
    return steepness, linked(thin, high / 2, high)


def _explained(steepness: FloatArray, reference: FloatArray) -> FloatArray:
    """Return the gradients that the reference and a smooth gain lead to expect."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    before = np.hypot(*_derivatives(reference))
    noise = np.float32(_gradient_noise(reference))
    steepest = float(np.percentile(before, 99.5))
    overall = np.float32(1.0)
    if steepest > _CERTAIN * noise:
        overall = np.float32(np.percentile(steepness, 99.5) / steepest)
    # noise in both: places that show nothing have a gain of 1, not one of noise
    ratio = np.log(steepness + overall * noise) - np.log(before + noise)
    gain = np.exp(gaussian_filter(ratio, _WINDOW))
    nearby = maximum_filter(before, 2 * _TOLERANCE + 1)
    explained: FloatArray = gain * (nearby + noise)
    return explained


def _derivatives(plane: FloatArray) -> tuple[FloatArray, FloatArray]:
    from scipy.ndimage import gaussian_filter

    down = gaussian_filter(plane, _SIGMA, order=(1, 0))
    return down, gaussian_filter(plane, _SIGMA, order=(0, 1))


def _gradient_noise(plane: FloatArray) -> float:
    """Return the deviation that the noise gives each derivative."""
    noise = plane_noise(plane, np.ones(plane.shape, bool))
    # energy of a Gaussian's derivative: 1 / (8 pi sigma^4)
    return max(noise, _ROUNDING) / float(np.sqrt(8 * np.pi) * _SIGMA**2)


def _ridges(steepness: FloatArray, down: FloatArray, across: FloatArray) -> BoolArray:
    """Return where the steepness is the largest along its own direction."""
    height, width = steepness.shape
    padded = np.pad(steepness, 1)
    # the direction in eighths of a turn: 0 across, 1 diagonal, 2 down, 3 the other one
    eighth = np.rint(np.arctan2(down, across) * (4 / np.pi)).astype(np.int8) % 4
    ridge = np.zeros(steepness.shape, bool)
    for index, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        behind = padded[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]
        highest = (steepness >= ahead) & (steepness > behind)
        ridge |= (eighth == index) & highest
    return ridge
