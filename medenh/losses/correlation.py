"""Structure loss: what two pictures share when brightness and contrast may differ."""

from __future__ import annotations

import torch
from torch import Tensor

from medenh.losses.pairs import check_pair
from medenh.losses.windows import gaussian_mean

__all__ = ["local_correlation", "structure"]

_C3 = 0.03**2 / 2
_FLOOR = 1e-8


def structure(enhanced: Tensor, source: Tensor) -> Tensor:
    """Return 1 - mean local correlation: 0 for equal structure, at most 2.

    Parameters
    ----------
    enhanced, source : float tensors, shape (B, C, H, W), in [0, 1]

    Returns
    -------
    float32 tensor, scalar

    Notes
    -----
    StillGAN and HQG-Net's released code [code]: the structure factor of SSIM alone.
    Theirs maps pictures by (v + 1) / 2, right for [-1, 1] only, and keeps flat areas
    from NaN by noise; here variances are clamped, so that the loss is deterministic.
    A black surround is flat in both pictures and costs nothing.
    """
    check_pair(enhanced, source)
    return 1 - local_correlation(enhanced, source).mean()


def local_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Return (cov + C3) / (sd_x sd_y + C3) under an 11-pixel Gaussian window.

    Parameters
    ----------
    x, y : float tensors, shape (B, C, H, W)
        About [0, 1]; C3 = 4.5e-4 is what counts as flat.

    Returns
    -------
    float32 tensor, shape (B, C, H - 10, W - 10), in [-1, 1]
    """
    x, y = x.float(), y.float()
    # variances are differences of squares: the smaller the squares, the more digits
    x, y = x - x.mean((2, 3), keepdim=True), y - y.mean((2, 3), keepdim=True)
    mean_x, mean_y = gaussian_mean(x), gaussian_mean(y)
    variance_x = gaussian_mean(x * x) - mean_x * mean_x
    variance_y = gaussian_mean(y * y) - mean_y * mean_y
    covariance = gaussian_mean(x * y) - mean_x * mean_y
    # the root's slope at zero is infinite
    deviations = torch.sqrt(variance_x.clamp_min(_FLOOR))
    deviations = deviations * torch.sqrt(variance_y.clamp_min(_FLOOR))
    return (covariance + _C3) / (deviations + _C3)
