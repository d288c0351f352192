"""A content encoder: what a picture shows, as maps at several scales.

Stands in for the ImageNet networks of perceptual losses, and for HQG-Net's pre-trained
auto-encoder. Trained to take noise off, without skip connections, which would let it
copy pixels and leave the maps empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.layers import ResidualBlock, crop_to, pad_to_multiple

__all__ = ["AutoEncoder"]


class AutoEncoder(nn.Module):
    """Encoder and decoder, nothing between them but the deepest map.

    Stages of the preset "default" for a 256x256 input:

    ======== =========================================== ============
    stage    operation                                   output
    ======== =========================================== ============
    stem     Conv3x3                                     32, 256x256
    encoder  3 x [residual block, Conv3x3 stride 2]      128, 32x32
    middle   residual block                              128, 32x32
    decoder  3 x [nearest x2, Conv3x3, residual block]   32, 256x256
    head     Conv3x3                                     3, 256x256
    ======== =========================================== ============

    Parameters
    ----------
    widths : sequence of int
        Channels at full size, a half, a quarter...
    """

    receptive_field = 64
    global_ops = False

    def __init__(self, *, widths: Sequence[int] = (32, 48, 96, 128)) -> None:
        super().__init__()
        self.multiple_of = 2 ** (len(widths) - 1)
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(ResidualBlock(c) for c in widths)
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(b, a, 3, padding=1) for a, b in pairwise(widths)
        )
        self.decoder = nn.ModuleList(ResidualBlock(c) for c in widths[:-1])
        self.head = nn.Conv2d(widths[0], 3, 3, padding=1)

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the encoder's maps, one a level, the finest first.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        """
        x = self.stem(pad_to_multiple(image, self.multiple_of) * 2 - 1)
        maps = []
        for level, block in enumerate(self.encoder):
            x = block(x)
            maps.append(x)
            if level < len(self.down):
                x = F.leaky_relu(self.down[level](x), 0.2)
        return maps

    def forward(self, image: Tensor) -> Tensor:
        """Return what the deepest map still knows of a batch, same shape.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        """
        x = self.features(image)[-1]
        for level in reversed(range(len(self.up))):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.leaky_relu(self.up[level](x), 0.2)
            x = self.decoder[level](x)
        return crop_to(self.head(x) * 0.5 + 0.5, image)
