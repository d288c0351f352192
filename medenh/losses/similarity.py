"""One minus the structural similarity, with a gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ssim_loss"]

_RADIUS, _SIGMA = 5, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def ssim_loss(enhanced: Tensor, reference: Tensor) -> Tensor:
    """Return 1 - SSIM, mean over pixels, channels and batch.

    Parameters
    ----------
    enhanced, reference : float tensors, shape (B, C, H, W), in [0, 1]

    Returns
    -------
    float32 tensor, scalar
        0 for equal images, at most 2.

    Notes
    -----
    Wang et al., IEEE TIP 2004: Gaussian window of 11 pixels, sigma 1.5, K1 = .01,
    K2 = .03, without borders (replicated ones where the picture is smaller).
    """
    x, y = enhanced.float(), reference.float()
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x * mean_x
    var_y = _blur(y * y) - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return 1 - (light * structure).mean()


def _blur(x: Tensor) -> Tensor:
    """Return windowed means, (B, C, H - 10, W - 10)."""
    channels = x.shape[1]
    missing = [max(0, 2 * _RADIUS + 1 - side) for side in x.shape[-2:]]
    if any(missing):
        x = F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate")
    at = torch.arange(-_RADIUS, _RADIUS + 1, device=x.device, dtype=torch.float32)
    line = torch.exp(-(at**2) / (2 * _SIGMA**2))
    line = (line / line.sum()).view(1, 1, 1, -1).repeat(channels, 1, 1, 1)
    x = F.conv2d(x, line, groups=channels)
    return F.conv2d(x, line.transpose(2, 3), groups=channels)
