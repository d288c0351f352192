"""FieldNet: smooth fields of colour from a thumbnail, fine detail at half the size.

This project's own, for degradations that are mostly one smooth change of colour over
the picture (uneven light, exposure, cast, haze), with blur and spots on top: see the
fundus degradation of Cofe-Net. Affine maps of colour on a coarse grid follow Gharbi et
al., "Deep Bilateral Learning", SIGGRAPH 2017, without the luminance axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.layers import crop_to, pad_to_multiple

__all__ = ["FieldNet"]


class _Block(nn.Module):
    """x + a * conv(act(conv(x))), a from the mean of every channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.leaky_relu(self.first(x), 0.1))
        out: Tensor = x + y * self.attention(y)
        return out


class _UNet(nn.Module):
    """Residual blocks at every level, added skips; up to a level of choice."""

    def __init__(
        self, inputs: int, outputs: int, widths: Sequence[int], blocks: int, stop: int
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*[_Block(c) for _ in range(blocks)]) for c in widths
        )
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        kept = list(pairwise(widths))[stop:]
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in kept)
        self.decoder = nn.ModuleList(
            nn.Sequential(*[_Block(a) for _ in range(blocks)]) for a, _ in kept
        )
        self.head = nn.Conv2d(widths[stop], outputs, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self._stop = stop

    def forward(self, x: Tensor) -> Tensor:
        x, maps = self.stem(x), []
        for level, block in enumerate(self.encoder):
            x = block(x)
            maps.append(x)
            if level < len(self.down):
                x = self.down[level](x)
        for level in reversed(range(len(self.up))):
            x = F.interpolate(self.up[level](x), scale_factor=2, mode="nearest")
            x = self.decoder[level](x + maps[self._stop + level])
        out: Tensor = self.head(x)
        return out


class FieldNet(nn.Module):
    """Colour fields from a thumbnail, then a local network.

    Stages of the preset "default" for a 256x256 input:

    ======== ============================================== ===========
    stage    operation                                      output
    ======== ============================================== ===========
    light    mean to 128x128, U-net 24-48-64-96 down to     12, 32x32
             16x16 and up to 32x32
    field    bilinear, x + A x + b in every pixel           3, 256x256
    detail   picture and result unshuffled by 2, U-net      12, 128x128
             32-48-64
    result   sum with the shuffled detail                   3, 256x256
    ======== ============================================== ===========

    Parameters
    ----------
    light_widths, detail_widths : sequence of int
        Channels of the levels of both U-nets.
    blocks : int
        Residual blocks at each level of the second one.
    side : int
        Of the thumbnail, pixels.

    Notes
    -----
    Starts as the identity. The fields do not depend on the picture's size, so a network
    trained at one size works at another as far as light and colour go; blur and spots
    are those of the size that it was trained at.
    """

    multiple_of = 8
    receptive_field = None
    global_ops = True

    def __init__(
        self,
        *,
        light_widths: Sequence[int] = (24, 48, 64, 96),
        detail_widths: Sequence[int] = (32, 48, 64),
        blocks: int = 2,
        side: int = 128,
    ) -> None:
        super().__init__()
        self.side = side
        self.light = _UNet(3, 12, light_widths, 2, stop=2)
        self.detail = _UNet(24, 12, detail_widths, blocks, stop=0)

    def fields(self, image: Tensor) -> Tensor:
        """Return the coarse fields, (B, 12, side / 4, side / 4): a matrix, an offset.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        """
        thumb = F.adaptive_avg_pool2d(image, self.side)
        coarse: Tensor = self.light(thumb * 2 - 1)
        return coarse

    def forward(self, image: Tensor) -> Tensor:
        """Enhance a batch.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]

        Returns
        -------
        float tensor, same shape
            In [0, 1]; unclamped in training mode, where a clamp would stop gradients.
        """
        x = pad_to_multiple(image, self.multiple_of)
        coarse = self.fields(x)  # of what they are spread over, padding included
        size = [x.shape[-2], x.shape[-1]]
        field = F.interpolate(coarse, size, mode="bilinear", align_corners=False)
        red, green, blue = field[:, :3], field[:, 3:6], field[:, 6:9]
        lit = x + red * x[:, :1] + green * x[:, 1:2] + blue * x[:, 2:] + field[:, 9:]
        both = torch.cat([x, lit], 1) * 2 - 1
        out = lit + F.pixel_shuffle(self.detail(F.pixel_unshuffle(both, 2)), 2)
        out = crop_to(out, image)
        return out if self.training else out.clamp(0.0, 1.0)
