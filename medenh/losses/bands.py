"""Wavelet loss: moved, lost or invented edges, whatever happens to contrast."""

from __future__ import annotations

import torch
from torch import Tensor

from medenh.losses.correlation import local_correlation
from medenh.losses.pairs import check_pair
from medenh.models.layers import box_mean
from medenh.wavelets import wavedec2

__all__ = ["wavelet"]

# weights of (horizontal, vertical, diagonal), the deepest level first; the finest
# diagonal band is mostly noise, which enhancement should remove
_DETAILS = ((1.0, 1.0, 0.5), (0.5, 0.5, 0.0))
_APPROXIMATION = 0.1
_TOTAL = sum(map(sum, _DETAILS)) + _APPROXIMATION
_SIDE, _EPSILON = 7, 1e-2


def wavelet(enhanced: Tensor, source: Tensor) -> Tensor:
    """Return the weighted mean distance of standardised Haar bands of two levels.

    Parameters
    ----------
    enhanced, source : float tensors, shape (B, C, H, W), in [0, 1]

    Returns
    -------
    float32 tensor, scalar
        0 for equal pictures; about 1 for unrelated ones.

    Notes
    -----
    HQG-Net's abstract names a wavelet term [known]; family, bands and form are our
    choice. Detail bands are divided by their own local RMS (7 x 7, sqrt(mean square +
    1e-4)), so that a gain of contrast costs nothing; the approximation is compared by
    1 - local correlation. The weights of the bands are made to add up to one.
    """
    check_pair(enhanced, source)
    low_x, details_x = wavedec2(enhanced.float(), level=2)
    low_y, details_y = wavedec2(source.float(), level=2)
    # two orthonormal levels multiply a mean by four
    correlation = local_correlation(low_x / 4, low_y / 4)
    total = _APPROXIMATION * (1 - correlation.mean())
    for weights, bands_x, bands_y in zip(_DETAILS, details_x, details_y, strict=True):
        for weight, x, y in zip(weights, bands_x, bands_y, strict=True):
            if weight:
                total = (
                    total + weight * (_standardise(x) - _standardise(y)).abs().mean()
                )
    return total / _TOTAL


def _standardise(band: Tensor) -> Tensor:
    return band / torch.sqrt(box_mean(band.square(), _SIDE) + _EPSILON**2)
