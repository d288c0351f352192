"""StillGAN's generator (Ma et al., IEEE TMI 40(12), 2021), the peer of HQG-Net.

Described from its published code. Weights are this project's.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.layers import crop_to, instance_norm, pad_to_multiple

__all__ = ["StillGANGenerator"]


class _ConvNorm(nn.Module):
    """Conv3x3 with zero padding, then instance normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(self.conv(x))


class _ResidualUnit(nn.Module):
    """Two normalised convolutions and a normalised 1x1 short cut, summed."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _ConvNorm(inputs, outputs)
        self.second = _ConvNorm(outputs, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.second(F.leaky_relu(self.first(x), 0.2))
        return F.leaky_relu(out + instance_norm(self.shortcut(x)), 0.2)


class StillGANGenerator(nn.Module):
    """Residual U-net with instance normalisation throughout.

    Stages of the preset "default" (12,191,619 parameters) for a 256x256 input:

    ======== ====================================== ============
    stage    operation                              output
    ======== ====================================== ============
    encoder  6 x [residual unit, maximum pooling]   256, 4x4
    decoder  6 x [nearest x2, Conv3x3, IN, concat   32, 256x256
             skip, residual unit]
    head     Conv1x1, tanh                          3, 256x256
    ======== ====================================== ============

    The preset "full" is the published one: 64 channels at first, 8 levels, 78,643,971
    parameters (78,642,561 for grey pictures), 133.9 GFLOPs at 256x256.

    Parameters
    ----------
    channels : int
        3 for RGB, 1 for grey.
    width : int
        Channels at full size (ngf); they double three times.
    levels : int
        How often the picture is halved.

    Notes
    -----
    The network works on [-1, 1]; this class takes and gives [0, 1] and any size.
    Normalisation looks at the whole picture, so tiles show seams.
    """

    receptive_field = None
    global_ops = True

    def __init__(self, *, channels: int = 3, width: int = 32, levels: int = 6) -> None:
        super().__init__()
        self.multiple_of = 2**levels
        widths = [width * min(2**level, 8) for level in range(levels)]
        self.encoder = nn.ModuleList(
            _ResidualUnit(a, b) for a, b in pairwise((channels, *widths))
        )
        below = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(
            _ConvNorm(b, c) for b, c in zip(below, widths, strict=True)
        )
        self.decoder = nn.ModuleList(_ResidualUnit(2 * c, c) for c in widths)
        self.head = nn.Conv2d(width, channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, image: Tensor) -> Tensor:
        """Enhance a batch.

        Parameters
        ----------
        image : float tensor, shape (B, C, H, W), in [0, 1]

        Returns
        -------
        float tensor, same shape, in [0, 1]
        """
        x = pad_to_multiple(image, self.multiple_of) * 2 - 1
        skips = []
        for unit in self.encoder:
            x = unit(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        for level in reversed(range(len(skips))):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.leaky_relu(self.up[level](x), 0.2)
            x = self.decoder[level](torch.cat([skips[level], x], 1))
        out = torch.tanh(self.head(x)) * 0.5 + 0.5
        return crop_to(out, image)
