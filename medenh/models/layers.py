"""Blocks that two or more networks share, and padding to a network's grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.errors import UsageError

__all__ = [
    "GatedConv",
    "ReflectConv",
    "ResidualBlock",
    "ShuffledConv",
    "UpsampleConv",
    "box_mean",
    "check_weights",
    "crop_to",
    "instance_norm",
    "pad_to_multiple",
]


class ResidualBlock(nn.Module):
    """x + Conv3x3(PReLU(Conv3x3(x))), zero padding, one shared slope.

    Notes
    -----
    DPE's `RB(c)`: no activation after the sum, no normalisation.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = nn.PReLU()
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c, H, W) to the same shape."""
        out: Tensor = x + self.second(self.activation(self.first(x)))
        return out


class GatedConv(nn.Module):
    """LeakyReLU(feature(x) * sigmoid(mask(x))), reflection padding.

    Notes
    -----
    DPE's residual gating; it sits on the skip connections. A 1-pixel side cannot be
    reflected and is replicated.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.feature = nn.Conv2d(channels, channels, 3)
        self.mask = nn.Conv2d(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c, H, W) to the same shape."""
        mode = "reflect" if min(x.shape[-2:]) > 1 else "replicate"
        padded = F.pad(x, (1, 1, 1, 1), mode=mode)
        gated = self.feature(padded) * torch.sigmoid(self.mask(padded))
        return F.leaky_relu(gated, 0.2)


class ReflectConv(nn.Conv2d):
    """Conv3x3 with reflection padding; a 1-pixel side is replicated."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        mode = "reflect" if min(x.shape[-2:]) > 1 else "replicate"
        return super().forward(F.pad(x, (1, 1, 1, 1), mode=mode))


class UpsampleConv(nn.Conv2d):
    """Conv3x3 of a map enlarged twice by nearest neighbour, which is never made.

    Each pixel stands there four times, so each of the four places in it sees 2x2 pixels
    under sums of the kernel's taps: 16 products where the plain way takes 36. Equal to
    it but for rounding, at the edge too.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    bias : bool
    reflect : bool
        The enlarged map is padded by reflection, else by zeros.
    """

    def __init__(
        self, inputs: int, outputs: int, *, bias: bool = True, reflect: bool = False
    ) -> None:
        super().__init__(inputs, outputs, 3, bias=bias)
        # a doubled edge, reflected, is the edge once more
        self._edge = "replicate" if reflect else "constant"

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, 2 H, 2 W)."""
        kernels = [w for rows in _places(self.weight, 2) for w in _places(rows, 3)]
        bias = None if self.bias is None else self.bias.repeat(4)
        padded = F.pad(x, (1, 1, 1, 1), mode=self._edge)
        places = F.conv2d(padded, torch.cat(kernels), bias).chunk(4, 1)
        corners = (
            places[0][..., :-1, :-1],
            places[1][..., :-1, 1:],
            places[2][..., 1:, :-1],
            places[3][..., 1:, 1:],
        )
        return F.pixel_shuffle(torch.stack(corners, 2).flatten(1, 2), 2)


class ShuffledConv(nn.Conv2d):
    """Convolution of a map enlarged twice by pixel shuffle, which is never made.

    Each of the four pixels that come from one sees the small map under kernels half as
    wide. Where few channels come out, as of a picture, that fills the processor's
    vectors four times as well. Equal to the plain way but for rounding.

    Parameters
    ----------
    inputs, outputs : int
        Channels of the large map.
    side : int
        Of the kernel on the large map: 5, 9, 13...; padding by zeros.
    """

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 4 inputs, H, W) to (B, outputs, 2 H, 2 W)."""
        outputs, inputs, side = self.weight.shape[:3]
        padded = F.pad(self.weight, (1, 1, 1, 1))
        taps = side // 2 + 1  # of the small map; every second one of the large
        # the tap for small pixel d, row r in it, seen from row p: 2 d + r - p
        kernels = [
            padded[..., 1 + r - p :: 2, 1 + s - q :: 2][..., :taps, :taps]
            for p, q in _CORNERS
            for r, s in _CORNERS
        ]
        weight = torch.stack(kernels).reshape(4, 4, outputs, inputs, taps, taps)
        weight = weight.permute(2, 0, 3, 1, 4, 5).reshape(
            4 * outputs, 4 * inputs, taps, taps
        )
        bias = None if self.bias is None else self.bias.repeat_interleave(4)
        return F.pixel_shuffle(F.conv2d(x, weight, bias, padding=taps // 2), 2)


_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def _places(weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the two taps, along a side, of the first and of the second place."""
    a, b, c = weight.unbind(dim)
    return torch.stack([a, b + c], dim), torch.stack([a + b, c], dim)


def check_weights(network: nn.Module, *also: torch.dtype) -> None:
    """Pass in silence if a network that computes in float32 within has such weights.

    Parameters
    ----------
    network : torch.nn.Module
        Under autocast weights stay as they are.
    *also : torch.dtype
        Others that its path allows.

    Raises
    ------
    UsageError
        They are of another type, as after ``.half()``: torch would say no more than
        that two types differ.
    """
    # a copy of torch.nn.DataParallel's has no parameters
    kind = next((one.dtype for one in network.parameters()), torch.float32)
    if kind != torch.float32 and kind not in also:
        raise UsageError(
            f"the network's weights are {str(kind).removeprefix('torch.')}, and parts "
            "of it compute in float32",
            hint="keep them in float32 (network.float()); for speed run the network "
            "under torch.autocast",
        )


def box_mean(x: Tensor, side: int) -> Tensor:
    """Return means over ``side`` x ``side`` pixels (odd), same shape.

    At the borders of (B, C, H, W) they are means of the pixels that are there.
    """
    if x.is_cuda:
        # PyTorch before mid-2026 gives a padded pool of channels-last maps the gradient
        # of pixels ``side // 2`` away (its issue 188344), without a word
        x = x.contiguous()
    return F.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)


def instance_norm(x: Tensor) -> Tensor:
    """Standardise each channel of each (B, C, H, W) image; biased variance, no affine.

    Unlike torch's own it takes maps of a single pixel (they become zero).
    """
    if x.shape[-1] * x.shape[-2] > 1:
        return F.instance_norm(x)
    return x - x


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad (B, C, H, W) at the bottom and right to a multiple of ``multiple``.

    Mirrors the edge; where a side is shorter than its padding the edge is replicated.
    """
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if not (bottom or right):
        return x
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(x, (0, right, 0, bottom), mode=mode)


def crop_to(x: Tensor, like: Tensor) -> Tensor:
    """Undo `pad_to_multiple`: the top-left part of ``x`` as large as ``like``."""
    if x.shape[-2:] == like.shape[-2:]:
        return x  # a traced network has no cut then, as it has no padding
    return x[..., : like.shape[-2], : like.shape[-1]]
