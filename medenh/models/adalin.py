"""HQG-Net's normalisation: instance and layer statistics mixed, under a code."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.layers import ReflectConv

__all__ = ["AdaLIN", "NormBlock", "channel_statistics"]

_EPSILON = 1e-5


def channel_statistics(x: Tensor) -> Tensor:
    """Return mean and biased variance of each channel.

    Parameters
    ----------
    x : float tensor, shape (B, C, H, W)

    Returns
    -------
    float32 tensor, shape (B, 2C)
        The C means, then the C variances.
    """
    variance, mean = torch.var_mean(x.float(), (2, 3), correction=0)
    return torch.cat([mean, variance], 1)


class AdaLIN(nn.Module):
    """Adaptive mix of instance and layer normalisation, driven by a code.

    ``(1 + s) * (rho * IN(a) + (1 - rho) * LN(a)) + m`` with ``(s, m) = W code + b``.

    Parameters
    ----------
    channels, code : int
        Channels C of the map, and length of the code.

    Notes
    -----
    Known from the paper's figure: the mix, and one code for all levels. Our choice: rho
    for each channel, 0.9 at first and kept in [0, 1] by `clamp_rho`; W and b are zero
    at first.
    """

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((channels,), 0.9))
        self.affine = nn.Linear(code, 2 * channels)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, code: Tensor, statistics: Tensor) -> Tensor:
        """Normalise a batch.

        Parameters
        ----------
        x : float tensor, shape (B, C, H, W)
        code : float tensor, shape (B, code)
        statistics : float32 tensor, shape (B, 2C)
            From `channel_statistics`, of ``x`` or of the image that it is a tile of.
            Those of the whole layer follow from them.

        Returns
        -------
        float tensor, same shape as ``x``
        """
        mean, variance = statistics.chunk(2, 1)
        layer_mean = mean.mean(1, keepdim=True)
        spread = (mean - layer_mean).square()
        layer_variance = (variance + spread).mean(1, keepdim=True)
        by_channel = self.rho * torch.rsqrt(variance + _EPSILON)
        by_layer = (1 - self.rho) * torch.rsqrt(layer_variance + _EPSILON)
        scale, shift = self.affine(code).float().chunk(2, 1)
        # one multiplication and one addition a pixel, whatever the mix
        gain = (1 + scale) * (by_channel + by_layer)
        offset = shift - (1 + scale) * (by_channel * mean + by_layer * layer_mean)
        out: Tensor = x * gain[..., None, None] + offset[..., None, None]
        return out


class NormBlock(nn.Module):
    """The paper's V_IN: x + Conv3x3(LeakyReLU(AdaLIN(x, code)))."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.norm = AdaLIN(channels, code)
        self.conv = ReflectConv(channels, channels)

    def forward(self, x: Tensor, code: Tensor, statistics: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape, under a code."""
        normed = F.leaky_relu(self.norm(x, code, statistics), 0.2)
        out: Tensor = x + self.conv(normed)
        return out
