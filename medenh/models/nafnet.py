"""NAFNet: the fair baseline of image restoration, without activation functions.

Chen et al., "Simple Baselines for Image Restoration", ECCV 2022.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.layers import crop_to, pad_to_multiple

__all__ = ["NAFBlock", "NAFNet"]


class _ChannelNorm(nn.Module):
    """Layer normalisation over the channels of every pixel ("LayerNorm2d")."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        normed = F.layer_norm(last, self.weight.shape, self.weight, self.bias, 1e-6)
        return normed.permute(0, 3, 1, 2)


def _simple_gate(x: Tensor) -> Tensor:
    """Return the product of the two halves of the channels."""
    first, second = x.chunk(2, 1)
    return first * second


class NAFBlock(nn.Module):
    """x + beta * spatial(x), then y + gamma * pointwise(y); both start at 0.

    Notes
    -----
    Paper section 3, figure 3: the gate (a product) replaces the activation, channel
    attention is one 1x1 convolution of the pooled map. Dropout, 0 in the paper's
    models of restoration, is left out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.norm1 = _ChannelNorm(c)
        self.expand1 = nn.Conv2d(c, 2 * c, 1)
        self.depthwise = nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.attention = nn.Conv2d(c, c, 1)
        self.reduce1 = nn.Conv2d(c, c, 1)
        self.norm2 = _ChannelNorm(c)
        self.expand2 = nn.Conv2d(c, 2 * c, 1)
        self.reduce2 = nn.Conv2d(c, c, 1)
        self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c, H, W) to the same shape."""
        y = _simple_gate(self.depthwise(self.expand1(self.norm1(x))))
        y = y * self.attention(y.mean((2, 3), keepdim=True))
        x = x + self.reduce1(y) * self.beta
        z = _simple_gate(self.expand2(self.norm2(x)))
        out: Tensor = x + self.reduce2(z) * self.gamma
        return out


class NAFNet(nn.Module):
    """U-net of NAF blocks with added skips and a global residual.

    Preset "width32": 29.2 M parameters, 16.0 GMAC at 256x256; "width16": 3.9 M and
    2.2. Stages of "width32" for a 256x256 input:

    ======== =========================================== =============
    stage    operation                                   output
    ======== =========================================== =============
    stem     Conv3x3 3->32                               32, 256x256
    encoder  2, 2, 4, 8 blocks, Conv2x2 stride 2 after   512, 16x16
    middle   12 blocks                                   512, 16x16
    decoder  4 x [Conv1x1, pixel shuffle, + skip,        32, 256x256
             2 blocks]
    head     Conv3x3 + input                             3, 256x256
    ======== =========================================== =============

    Parameters
    ----------
    width : int
        Channels of the first level; every level doubles them.
    encoder, decoder : sequence of int
        Blocks at each level, fine to coarse and coarse to fine, equally many levels.
    middle : int
        Blocks at the coarsest level.

    Notes
    -----
    Channel attention pools the whole picture, so tiles are not exact; the authors'
    remedy for large pictures (TLC, statistics of windows) is not built.
    """

    receptive_field = None
    global_ops = True

    def __init__(
        self,
        *,
        width: int = 32,
        encoder: tuple[int, ...] = (2, 2, 4, 8),
        middle: int = 12,
        decoder: tuple[int, ...] = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        self.multiple_of = 2 ** len(encoder)
        widths = [width << level for level in range(len(encoder))]
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.encoder = nn.ModuleList(
            _blocks(c, count) for c, count in zip(widths, encoder, strict=True)
        )
        self.down = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, stride=2) for c in widths)
        self.middle = _blocks(2 * widths[-1], middle)
        self.up = nn.ModuleList(
            nn.Conv2d(2 * c, 4 * c, 1, bias=False) for c in reversed(widths)
        )
        self.decoder = nn.ModuleList(
            _blocks(c, count)
            for c, count in zip(reversed(widths), decoder, strict=True)
        )
        self.head = nn.Conv2d(width, 3, 3, padding=1)

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
        features = self.stem(x)
        skips: list[Tensor] = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            features = blocks(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        for up, blocks in zip(self.up, self.decoder, strict=True):
            features = blocks(F.pixel_shuffle(up(features), 2) + skips.pop())
        out = crop_to(x + self.head(features), image)
        return out if self.training else out.clamp(0.0, 1.0)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(channels) for _ in range(count)))
