"""Means under a window, the ground of the local statistics that losses compare."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["gaussian_mean"]

_RADIUS, _SIGMA = 5, 1.5


def gaussian_mean(x: Tensor) -> Tensor:
    """Return means under a Gaussian window of 11 pixels, sigma 1.5.

    Parameters
    ----------
    x : float tensor, shape (B, C, H, W)
        Replicated at the bottom and right where a side is shorter than the window.

    Returns
    -------
    float tensor, shape (B, C, H - 10, W - 10)
        Where the whole window fits.
    """
    channels = x.shape[1]
    missing = [max(0, 2 * _RADIUS + 1 - side) for side in x.shape[-2:]]
    if any(missing):
        x = F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate")
    at = torch.arange(-_RADIUS, _RADIUS + 1, device=x.device, dtype=x.dtype)
    line = torch.exp(-(at**2) / (2 * _SIGMA**2))
    line = (line / line.sum()).view(1, 1, 1, -1).repeat(channels, 1, 1, 1)
    with torch.autocast(x.device.type, enabled=False):
        x = F.conv2d(x, line, groups=channels)
        return F.conv2d(x, line.transpose(2, 3), groups=channels)
