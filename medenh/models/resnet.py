"""ResNet: a classifier (He et al., CVPR 2016, table 1), written anew.

The recogniser of GradProm's diagnosis task: ResNet-50 in its figures [paper], ResNet-18
in the released runs of its baseline ESTR [code].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ResNet"]

_WIDER = 4  # a bottleneck's last convolution against its others


class _Block(nn.Module):
    """relu(shortcut(x) + BN(Conv3x3(relu(BN(Conv3x3(x)))))); the first may stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        branch = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.shortcut(x) + self.second_norm(self.second(branch)))


class _Bottleneck(nn.Module):
    """The same of Conv1x1, Conv3x3 (may stride) and Conv1x1 to four times more."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = _WIDER * width
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.shortcut(x) + self.body(x))


class _Encoder(nn.Module):
    """Stem and stages; [0, 1] in, the features of every stage out."""

    def __init__(
        self, widths: tuple[int, ...], blocks: tuple[int, ...], bottleneck: bool
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 7, 2, padding=3, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.stages = nn.ModuleList()
        block = _Bottleneck if bottleneck else _Block
        inputs = widths[0]
        for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stage = nn.Sequential()
            for index in range(count):
                stage.append(block(inputs, width, 2 if level and not index else 1))
                inputs = width * (_WIDER if bottleneck else 1)
            self.stages.append(stage)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = (image - 0.5) * 4
        x = self.pool(torch.relu(self.stem_norm(self.stem(x))))
        features: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class ResNet(nn.Module):
    """Logits of every class for the whole picture.

    ResNet-18 by default, 11,689,512 parameters with 1000 classes, for a 256x256 input:

    ======== ========================================= ==========
    stage    operation                                 output
    ======== ========================================= ==========
    stem     Conv7x7 stride 2, BN, ReLU; maximum pool  64, 64x64
    stages   4 x 2 basic blocks, stride 2 between them 512, 8x8
    head     mean over the picture, linear             K
    ======== ========================================= ==========

    Parameters
    ----------
    classes : int
        Number of classes K (softmax).
    widths : sequence of int
        Channels of each stage; the preset "small" has a quarter of ResNet-18's, for
        training on a CPU.
    blocks : sequence of int
        Blocks of each stage.
    bottleneck : bool
        Blocks of three convolutions, the last to four times the width. The preset
        "resnet-50" has 25,557,032 parameters with 1000 classes.
    """

    multiple_of = 1
    receptive_field = None
    global_ops = True

    def __init__(
        self,
        *,
        classes: int = 2,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        bottleneck: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = _Encoder(tuple(widths), tuple(blocks), bottleneck)
        last = widths[-1] * (_WIDER if bottleneck else 1)
        self.head = nn.Linear(last, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, image: Tensor) -> Tensor:
        """Map images to logits.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]

        Returns
        -------
        float tensor, shape (B, K)
        """
        features = self.encoder(image)[-1]
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits
