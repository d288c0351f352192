"""The network of HQG-Net's released code, which is not the network of its paper.

A ResNet-50-like encoder, a decoder with adaptive instance normalisation, and a network
that turns a high-quality picture into the code they run under. Described from the
released code; made to carry a checkpoint that a user has of the authors'
(`medenh.zoo.convert`). The paper's network is `hqg`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.layers import (
    ReflectConv,
    UpsampleConv,
    crop_to,
    instance_norm,
    pad_to_multiple,
)

__all__ = ["HQGLegacyNet", "StyleNet", "StyleStack", "style_shape"]

_CODE = 64
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # width c, bottlenecks
_LEVELS = ((64, 64), (256, 64), (512, 128), (1024, 256), (2048, 512))  # f_k, width
HIGH_QUALITY = 1  # the style network's head of that domain


def style_shape(side: int) -> tuple[int, int]:
    """Return the residual blocks and the last kernel of a style network.

    Parameters
    ----------
    side : int
        Height and width of the pictures it was trained on, in pixels.

    Returns
    -------
    blocks, kernel : int
    """
    blocks = int(math.log2(side)) - 2
    return blocks, side // 2**blocks


class _Bottleneck(nn.Module):
    """ResNet's bottleneck with LeakyReLU 0.01; the 3x3 convolution strides."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.leaky_relu(self.bn1(self.conv1(x)))
        out = F.leaky_relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out)) + self.downsample(x)
        return F.leaky_relu(out)


class _Encoder(nn.Module):
    """ResNet-50 without its max-pooling: five maps at strides 2 to 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64)
        )
        stages, inputs = [], 64
        for width, count in _STAGES:
            blocks = []
            for index in range(count):
                blocks.append(_Bottleneck(inputs, width, 1 if index else 2))
                inputs = 4 * width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> list[Tensor]:
        x = torch.relu(self.stem((x - 0.45) / 0.225))
        maps = [x]
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class _AdaIN(nn.Module):
    """(1 + gamma) * IN(x) + beta, with (gamma, beta) = W code + b."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(_CODE, 2 * channels)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        gamma, beta = self.fc(code)[..., None, None].chunk(2, 1)
        out: Tensor = (1 + gamma) * instance_norm(x) + beta
        return out


class _AdaINBlock(nn.Module):
    """Twice [AdaIN, LeakyReLU 0.2, Conv3x3], nearest x2 before the first convolution.

    No short cut: the released code switches the one it builds off.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = _AdaIN(inputs)
        self.conv1 = UpsampleConv(inputs, outputs)
        self.norm2 = _AdaIN(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm1(x, code), 0.2)
        x = self.conv1(x)
        out: Tensor = self.conv2(F.leaky_relu(self.norm2(x, code), 0.2))
        return out


class _Level(nn.Module):
    """One decoder level: convolve what comes from below, concat the skip, AdaIN."""

    def __init__(self, below: int | None, skip: int, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(skip, width, 1, bias=False)
        self.conv = ReflectConv(below or width, width)
        self.block = _AdaINBlock(2 * width if below else width, width)

    def forward(self, below: Tensor | None, skip: Tensor, code: Tensor) -> Tensor:
        reduced = self.reduce(skip)
        if below is None:
            x = self.conv(reduced)
        else:
            x = torch.cat([self.conv(below), reduced], 1)
        out: Tensor = self.block(x, code)
        return out


class _StyleBlock(nn.Module):
    """Pre-activation residual block that halves the map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv1x1: nn.Module = nn.Identity()
        if inputs != outputs:
            self.conv1x1 = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = F.avg_pool2d(self.conv1(F.leaky_relu(x, 0.2)), 2)
        out = self.conv2(F.leaky_relu(out, 0.2))
        total: Tensor = (out + F.avg_pool2d(self.conv1x1(x), 2)) / math.sqrt(2)
        return total


class StyleStack(nn.Module):
    """Residual blocks down to one 512-vector; also the trunk of the discriminator.

    Parameters
    ----------
    side : int
        Height and width of its pictures; others do not fit its last kernel.
    """

    def __init__(self, side: int = 384) -> None:
        super().__init__()
        count, kernel = style_shape(side)
        widths = [min(64 * 2**index, 512) for index in range(count + 1)]
        self.stem = nn.Conv2d(3, 64, 3, padding=1)
        self.blocks = nn.ModuleList(_StyleBlock(a, b) for a, b in pairwise(widths))
        self.last = nn.Conv2d(512, 512, kernel)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the stem's map, then each block's."""
        maps = [self.stem(x)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, side, side) to (B, 512)."""
        out = self.last(F.leaky_relu(self.maps(x)[-1], 0.2))
        return F.leaky_relu(out, 0.2).flatten(1)


class StyleNet(nn.Module):
    """The guidance network: a stack, and a linear head for either domain."""

    def __init__(self, side: int = 384) -> None:
        super().__init__()
        self.side = side
        self.stack = StyleStack(side)
        self.heads = nn.ModuleList(nn.Linear(512, _CODE) for _ in range(2))

    def forward(self, bgr: Tensor, domain: int = HIGH_QUALITY) -> Tensor:
        """Map (B, 3, side, side), blue first, to (B, 64).

        ``domain`` is 0 for low quality, 1 for high quality.
        """
        code: Tensor = self.heads[domain](self.stack(bgr))
        return code


class HQGLegacyNet(nn.Module):
    """Generator and style network of the released code.

    36,338,435 parameters in the generator (the released one keeps 180,224 more that it
    never uses), 26,159,808 in the style network; 96.26 GFLOPs at 384x384 for a given
    code as published, 74.27 with `UpsampleConv`. Stages for a 384x384 input:

    ======== ======================================== =============
    stage    operation                                output
    ======== ======================================== =============
    encoder  Conv7x7 stride 2, BN; 16 bottlenecks     2048, 12x12
    decoder  5 x [Conv3x3, concat reduced skip, twice 64, 384x384
             AdaIN and Conv3x3, nearest x2]
    head     Conv3x3, sigmoid                         3, 384x384
    ======== ======================================== =============

    Parameters
    ----------
    side : int
        Height and width of the training pictures: references are resized to it.
    style : bool
        False leaves the style network out; the code must then be given or stored.

    Attributes
    ----------
    default_code : float32 tensor, shape (1, 64)
        The guidance where none is given; zeros until it is set. A checkpoint brings
        none: set it to `code` of a good picture.

    Notes
    -----
    Works on blue, green, red inside; takes and gives red, green, blue. Instance
    normalisation looks at the whole picture, so tiles show seams.
    """

    multiple_of = 32
    receptive_field = None
    global_ops = True
    default_code: Tensor

    def __init__(self, *, side: int = 384, style: bool = True) -> None:
        super().__init__()
        self.encoder = _Encoder()
        below = [width for _, width in _LEVELS[1:]]
        self.decoder = nn.ModuleList(
            _Level(lower, skip, width)
            for lower, (skip, width) in zip([*below, None], _LEVELS, strict=True)
        )
        self.head = ReflectConv(64, 3)
        self.style = StyleNet(side) if style else None
        self.register_buffer("default_code", torch.zeros(1, _CODE))

    def code(self, reference: Tensor, domain: int = HIGH_QUALITY) -> Tensor:
        """Return the code of a picture.

        Parameters
        ----------
        reference : float tensor, shape (B, 3, H, W), in [0, 1], red first
            Resized to the side of the training pictures.
        domain : 0 or 1
            Which head: of low or of high quality.

        Returns
        -------
        float tensor, shape (B, 64)

        Raises
        ------
        ValueError
            The network was built without its style network.
        """
        if self.style is None:
            raise ValueError("built without the style network: give a code")
        side = self.style.side
        if reference.shape[-2:] != (side, side):
            reference = F.interpolate(
                reference,
                [side, side],
                mode="bilinear",
                align_corners=False,
                antialias=True,
            )
        code: Tensor = self.style(reference.flip(1), domain)
        return code

    def forward(
        self,
        image: Tensor,
        reference: Tensor | None = None,
        code: Tensor | None = None,
    ) -> Tensor:
        """Enhance a batch.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1], red first
        reference : float tensor, shape (B or 1, 3, H', W'), optional
            A high-quality picture to follow.
        code : float tensor, shape (B, 64) or (1, 64), optional
            Its code, from `code`; before ``reference``. `default_code` if neither is
            given.

        Returns
        -------
        float tensor, same shape as ``image``, in [0, 1]
        """
        if code is None:
            code = self.default_code if reference is None else self.code(reference)
        x: Tensor | None = None
        skips = self.encoder(pad_to_multiple(image, self.multiple_of).flip(1))
        for level in reversed(range(len(skips))):
            x = self.decoder[level](x, skips[level], code)
        out = torch.sigmoid(self.head(x)).flip(1)
        return crop_to(out, image)
