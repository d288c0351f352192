"""NAFNet: the fair baseline of image restoration, without activation functions.

Chen et al., "Simple Baselines for Image Restoration", ECCV 2022.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.errors import UsageError
from medenh.models.layers import crop_to, pad_to_multiple

__all__ = ["NAFBlock", "NAFNet"]

_EPSILON = 1e-6
_MEAN_SIGMA, _MEAN_RADIUS = 4.0, 12  # px


class _ChannelNorm(nn.Module):
    """Layer normalisation over the channels of every pixel ("LayerNorm2d")."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        normed = F.layer_norm(last, self.weight.shape, self.weight, self.bias, _EPSILON)
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

    def for_inference(self) -> nn.Module:
        """Return the block with its scales in its convolutions."""
        return _FoldedBlock(self)


class _FoldedBlock(nn.Module):
    """A `NAFBlock` with less to do, and nothing moved about in memory.

    The norms' weights and biases are part of the convolutions after them, ``beta`` and
    ``gamma`` of those before them. The two factors of a gate come from convolutions of
    their own, so that no map is cut in two. Pixels are standardised in place: torch's
    layer norm wants the channels last, and OpenVINO then turned every map four times
    a block, half of its time.
    """

    def __init__(self, block: NAFBlock) -> None:
        super().__init__()
        self.standardise = _Standardise(block.beta)
        self.expand1 = _halves(_after_norm(block.expand1, block.norm1))
        self.depthwise = _halves(block.depthwise)
        self.attention = block.attention
        self.reduce1 = _scaled(block.reduce1, block.beta)
        self.expand2 = _halves(_after_norm(block.expand2, block.norm2))
        self.reduce2 = _scaled(block.reduce2, block.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c, H, W) to the same shape."""
        normed = self.standardise(x)
        first, second = (
            depthwise(expand(normed))
            for depthwise, expand in zip(self.depthwise, self.expand1, strict=True)
        )
        y = first * second
        y = y * self.attention(y.mean((2, 3), keepdim=True))
        x = x + self.reduce1(y)
        normed = self.standardise(x)
        out: Tensor = x + self.reduce2(
            self.expand2[0](normed) * self.expand2[1](normed)
        )
        return out


class _Standardise(nn.Module):
    """Zero mean and unit variance over the channels of every pixel.

    Means are convolutions: those add in float32 in bf16 too, where OpenVINO's own means
    do not (2 dB between its bf16 and its float32).
    """

    average: Tensor

    def __init__(self, like: Tensor) -> None:
        super().__init__()
        average = torch.full_like(like, 1 / like.shape[1], requires_grad=False)
        self.register_buffer("average", average, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        centred = x - F.conv2d(x, self.average)
        variance = F.conv2d(centred * centred, self.average)
        return centred * torch.rsqrt(variance + _EPSILON)


def _conv_of(weight: Tensor, bias: Tensor, groups: int) -> nn.Conv2d:
    conv = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        weight.shape[-1],
        padding=(weight.shape[-1] - 1) // 2,
        groups=groups,
        device=weight.device,
        dtype=weight.dtype,
    ).requires_grad_(False)
    conv.weight.copy_(weight)
    _bias(conv).copy_(bias)
    return conv


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None  # every convolution of a block has one
    return conv.bias


def _after_norm(conv: nn.Conv2d, norm: _ChannelNorm) -> nn.Conv2d:
    """Return a 1x1 convolution that does the norm's scaling too."""
    weight = conv.weight * norm.weight[None, :, None, None]
    return _conv_of(weight, _bias(conv) + conv.weight[:, :, 0, 0] @ norm.bias, 1)


def _scaled(conv: nn.Conv2d, scale: Tensor) -> nn.Conv2d:
    """Return a convolution that multiplies its channels too."""
    weight = conv.weight * scale.reshape(-1, 1, 1, 1)
    return _conv_of(weight, _bias(conv) * scale.flatten(), 1)


def _halves(conv: nn.Conv2d) -> nn.ModuleList:
    """Return a convolution as two, of the first and the second half of its outputs."""
    groups = 1 if conv.groups == 1 else conv.groups // 2
    parts = zip(conv.weight.chunk(2), _bias(conv).chunk(2), strict=True)
    return nn.ModuleList(_conv_of(weight, bias, groups) for weight, bias in parts)


class _Enlarge(nn.Conv2d):
    """Conv1x1 to four times the channels wanted, then pixel shuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, 4 * outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, 2 H, 2 W)."""
        return F.pixel_shuffle(super().forward(x), 2)

    def for_inference(self) -> nn.Module:
        """Return the transposed convolution that is the same."""
        outputs, inputs = self.weight.shape[0] // 4, self.weight.shape[1]
        conv = nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False)
        conv = conv.to(self.weight)
        taps = self.weight.reshape(outputs, 2, 2, inputs).permute(3, 0, 1, 2)
        conv.requires_grad_(False).weight.copy_(taps)
        return conv


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
    mean_tolerance : float
        Changes of the local mean of up to this much, a share of the range, are left
        out, and larger ones are smaller by it; 0 leaves the answer as it is [our
        choice, for denoisers]. Noise hardly moves a mean over some pixels, so a small
        change of it is an error of the network, and measurements in flat tissue rest on
        it; a large one undoes what the noise did (photon starvation).

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
        mean_tolerance: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= mean_tolerance < 1:
            raise UsageError(f"mean_tolerance={mean_tolerance} is not in 0 to 1")
        self.mean_tolerance = mean_tolerance
        self.multiple_of = 2 ** len(encoder)
        widths = [width << level for level in range(len(encoder))]
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.encoder = nn.ModuleList(
            _blocks(c, count) for c, count in zip(widths, encoder, strict=True)
        )
        self.down = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, stride=2) for c in widths)
        self.middle = _blocks(2 * widths[-1], middle)
        self.up = nn.ModuleList(_Enlarge(2 * c, c) for c in reversed(widths))
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
            features = blocks(up(features) + skips.pop())
        change = self.head(features)
        if self.mean_tolerance:
            change = change - _local_mean(change).clamp(
                -self.mean_tolerance, self.mean_tolerance
            )
        out = crop_to(x + change, image)
        return out if self.training else out.clamp(0.0, 1.0)


def _local_mean(x: Tensor) -> Tensor:
    """Return means in Gaussians of 4 px, edge pixels repeated beyond the edge.

    In float32, as lower precisions have fewer digits than a tolerance needs. Each
    channel is a picture of its own: for convolutions of three groups a CPU takes
    minutes in bf16, torch on the way back and OpenVINO on the way there.
    """
    offsets = torch.arange(-_MEAN_RADIUS, _MEAN_RADIUS + 1, device=x.device)
    taps = torch.exp(-0.5 * (offsets / _MEAN_SIGMA) ** 2)
    taps = taps / taps.sum()
    r = _MEAN_RADIUS
    with torch.autocast(x.device.type, enabled=False):
        planes = x.float().flatten(0, 1).unsqueeze(1)
        planes = F.pad(planes, (0, 0, r, r), "replicate")
        planes = F.conv2d(planes, taps.view(1, 1, -1, 1))
        planes = F.pad(planes, (r, r, 0, 0), "replicate")
        planes = F.conv2d(planes, taps.view(1, 1, 1, -1))
    return planes.reshape(x.shape).to(x.dtype)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(channels) for _ in range(count)))
