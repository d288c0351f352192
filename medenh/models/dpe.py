"""DPE: Deep Perceptual Enhancement (Sharif et al., IEEE JBHI 26(10), 2022).

The network is described from its published code; the paper's own text on it was not
at hand. Weights are this project's.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from medenh.models.layers import GatedConv, ResidualBlock, crop_to, pad_to_multiple

__all__ = ["DPENet"]

_WIDTHS = (64, 96, 128, 160, 192)


class DPENet(nn.Module):
    """Encoder-decoder with gated, additive skips and a global residual.

    4,486,987 parameters, 50.98 GFLOPs at 256x256. Stages for a 256x256 input:

    ======== ================================== =============
    stage    operation                          output
    ======== ================================== =============
    stem     Conv3x3 3->64                      64, 256x256
    encoder  4 x [RB, Conv3x3 stride 2, ReLU]   192, 16x16
    middle   RB                                 192, 16x16
    decoder  4 x [ConvT2x2, ReLU, + gate(skip)] 64, 256x256
             RB after each but the last
    head     tanh(Conv1x1 64->3 + input)        3, 256x256
    ======== ================================== =============

    Parameters
    ----------
    unused_blocks : bool
        Also build the three blocks that the authors construct and never call
        (811,650 parameters without a gradient), to hold their checkpoints whole.

    Notes
    -----
    The network works on [-1, 1]; this class takes and gives [0, 1] and any size.
    tanh(x + input) cannot represent the identity at pure black and white.
    """

    multiple_of = 16
    receptive_field = 128
    global_ops = False

    def __init__(self, *, unused_blocks: bool = False) -> None:
        super().__init__()
        widths = _WIDTHS
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(ResidualBlock(c) for c in widths[:4])
        self.gates = nn.ModuleList(GatedConv(c) for c in widths[:4])
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        self.middle = ResidualBlock(widths[4])
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, stride=2)
            for a, b in zip(widths[3::-1], widths[:0:-1], strict=False)
        )
        self.decoder = nn.ModuleList(ResidualBlock(c) for c in widths[3:0:-1])
        self.head = nn.Conv2d(widths[0], 3, 1)
        self.unused = nn.ModuleList(
            [ResidualBlock(64), ResidualBlock(64), GatedConv(192)]
            if unused_blocks
            else []
        )

    def forward(self, image: Tensor) -> Tensor:
        """Enhance a batch.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]

        Returns
        -------
        float tensor, same shape, in [0, 1]
        """
        x = pad_to_multiple(image, self.multiple_of) * 2 - 1
        features = self.stem(x)
        skips = []
        for block, gate, down in zip(self.encoder, self.gates, self.down, strict=True):
            features = block(features)
            skips.append(gate(features))
            features = torch.relu(down(features))
        features = self.middle(features)
        for level, up in enumerate(self.up):
            features = torch.relu(up(features)) + skips[3 - level]
            if level < len(self.decoder):
                features = self.decoder[level](features)
        out = torch.tanh(self.head(features) + x)
        return crop_to(out * 0.5 + 0.5, image)
