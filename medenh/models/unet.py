"""Small networks of the downstream tasks: a U-Net, and a classifier on its encoder.

After Ronneberger et al., "U-Net", MICCAI 2015, with padding, batch normalisation,
fewer channels, a short cut inside each block, and skips that are added, not
concatenated (Chaurasia and Culurciello, "LinkNet", 2017): two thirds of the cost.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.layers import crop_to, pad_to_multiple

__all__ = ["Classifier", "UNet"]


class _Block(nn.Module):
    """Two 3x3 convolutions; the second one's result is added to the first's."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(x + self.second_norm(self.second(x)))


class _Encoder(nn.Module):
    """Blocks with 2x2 maximum pooling between them; [0, 1] in, features out."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(a, b) for a, b in pairwise((3, *widths)))

    def forward(self, image: Tensor) -> list[Tensor]:
        x = (image - 0.5) * 4
        features: list[Tensor] = []
        for block in self.blocks:
            x = block(F.max_pool2d(x, 2) if features else x)
            features.append(x)
        return features


class UNet(nn.Module):
    """Logits of every class at every pixel.

    Stages of the preset "default" (402,097 parameters) for a 256x256 input:

    ======== ===================================== =============
    stage    operation                             output
    ======== ===================================== =============
    encoder  4 blocks, maximum pooling between     128, 32x32
    decoder  3 x [Conv1x1, bilinear x2, add, block] 16, 256x256
    head     Conv1x1                               K, 256x256
    ======== ===================================== =============

    Parameters
    ----------
    classes : int
        Number of classes K, each with a probability of its own (sigmoid).
    widths : sequence of int
        Channels of each level; every level halves height and width.
    """

    receptive_field = None
    global_ops = False

    def __init__(
        self, *, classes: int = 1, widths: tuple[int, ...] = (16, 32, 64, 128)
    ) -> None:
        super().__init__()
        self.multiple_of = 2 ** (len(widths) - 1)
        self.encoder = _Encoder(tuple(widths))
        self.narrow = nn.ModuleList(
            nn.Conv2d(below, above, 1) for above, below in pairwise(widths)
        )
        self.decoder = nn.ModuleList(_Block(width, width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map images to logits.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]

        Returns
        -------
        float tensor, shape (B, K, H, W)
        """
        *skips, x = self.encoder(pad_to_multiple(image, self.multiple_of))
        for level in reversed(range(len(skips))):
            x = F.interpolate(
                self.narrow[level](x),
                scale_factor=2,
                mode="bilinear",
                align_corners=False,
            )
            x = self.decoder[level](x + skips[level])
        return crop_to(self.head(x), image)


class Classifier(nn.Module):
    """Logits of every class for the whole picture.

    The encoder has the names and, with equal widths, the shapes of `UNet`'s ("deep" and
    this one's "default" agree), so that
    training may start from a segmenter of the same kind of picture. Its last features
    are pooled by mean and by maximum; a linear layer answers (softmax over classes).
    The preset "default" with two classes has 471,546 parameters.

    Parameters
    ----------
    classes : int
        Number of classes K.
    widths : sequence of int
        Channels of each level.
    dropout : float
        Share of pooled features left out in training.
    """

    receptive_field = None
    global_ops = True

    def __init__(
        self,
        *,
        classes: int = 2,
        widths: tuple[int, ...] = (8, 16, 32, 64, 96, 128),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.multiple_of = 2 ** (len(widths) - 1)
        self.encoder = _Encoder(tuple(widths))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * widths[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Map images to logits.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]

        Returns
        -------
        float tensor, shape (B, K)
        """
        x = self.encoder(pad_to_multiple(image, self.multiple_of))[-1]
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits
