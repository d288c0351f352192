"""The two stages of MAGE-Net and their blocks (Guo et al., IEEE TMI 42(8), 2023).

The paper builds on MPRNet (Zamir et al., CVPR 2021), whose layer sizes fill what it
leaves open. "Ours" marks what neither tells. Convolutions have no bias, as there;
`MAGENet` adds them where asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = [
    "ChannelAttentionBlock",
    "FundusAttentionBlock",
    "Stage1",
    "Stage2",
    "SupervisedAttention",
]

_REDUCTION = 4


def _conv(inputs: int, outputs: int, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)


def _resize(x: Tensor, factor: float) -> Tensor:
    """Return ``x`` enlarged bilinearly by a factor, or itself."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def _corrected(image: Tensor, drawn: Tensor) -> Tensor:
    """Return ``image + offset``, or ``image * (1 + gain) + offset``.

    Parameters
    ----------
    image : tensor, shape (B, K, H, W)
    drawn : tensor, shape (B, K, H, W) or (B, 2 K, H, W)
        The offsets, and the gains after them if there are any.
    """
    channels = image.shape[1]
    if drawn.shape[1] == channels:
        return image + drawn
    return image * (1 + drawn[:, channels:]) + drawn[:, :channels]


class ChannelAttentionBlock(nn.Module):
    """CAB: x + a * y, y two convolutions, a the weight of each of y's channels.

    Parameters
    ----------
    channels : int
    attention : bool
        False leaves a = 1: our reading of "CABs removed" in the paper's table 6.

    Notes
    -----
    The slope of the PReLU is the block's own; MPRNet shares one over the network.
    """

    def __init__(self, channels: int, *, attention: bool = True) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels), nn.PReLU(), _conv(channels, channels)
        )
        hidden = channels // _REDUCTION
        self.attention = (
            nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                _conv(channels, hidden, 1),
                nn.ReLU(),
                _conv(hidden, channels, 1),
                nn.Sigmoid(),
            )
            if attention
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c, H, W) to the same shape."""
        y: Tensor = self.body(x)
        return x + (y if self.attention is None else self.attention(y) * y)


def _cabs(channels: int, count: int, attention: bool) -> nn.Sequential:
    return nn.Sequential(
        *(ChannelAttentionBlock(channels, attention=attention) for _ in range(count))
    )


class Stage1(nn.Module):
    """U-net of channel attention blocks, its encoder on each patch alone.

    Parameters
    ----------
    widths : tuple of three int
        Channels at the full size, 1/2 and 1/4.
    patches : int
        2: the encoder sees upper and lower half of the picture apart, the decoder
        joins them (paper: two sub-images, by its wording those of Stage-2, which works
        at full size; the stage and the axis are MPRNet's). 1: it sees the whole
        picture.
    attention : bool
        See `ChannelAttentionBlock`.
    inputs : int
        Channels K of the picture: 3, or more of an unshuffled one.
    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        *,
        patches: int,
        attention: bool,
        inputs: int = 3,
    ) -> None:
        super().__init__()
        self.patches = patches
        self.shallow = nn.Sequential(
            _conv(inputs, widths[0]), *_cabs(widths[0], 1, attention)
        )
        self.encoder = nn.ModuleList(_cabs(c, 2, attention) for c in widths)
        self.down = nn.ModuleList(_conv(a, b, 1) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(_cabs(c, 2, attention) for c in widths)
        self.up = nn.ModuleList(_conv(b, a, 1) for a, b in pairwise(widths))
        self.skips = nn.ModuleList(_cabs(c, 1, attention) for c in widths[:-1])

    def forward(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the features of encoder and decoder, each fine to coarse.

        Parameters
        ----------
        image : float tensor, shape (B, K, H, W)
            H a multiple of 4 * patches, W of 4.

        Returns
        -------
        two lists of three tensors
            Channels of ``widths`` at H, H/2 and H/4.
        """
        x = self.shallow(_split(image, self.patches))
        encoded: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(self.down[level - 1](_resize(x, 0.5)) if level else x)
            encoded.append(x)
        encoded = [_join(x, self.patches) for x in encoded]
        y = self.decoder[-1](encoded[-1])
        decoded: list[Tensor] = [y]
        for level in (1, 0):
            # projected before it is enlarged: the same numbers, less work
            wide = _resize(self.up[level](y), 2.0)
            y = self.decoder[level](wide + self.skips[level](encoded[level]))
            decoded.insert(0, y)
        return encoded, decoded


def _split(x: Tensor, patches: int) -> Tensor:
    """Stack horizontal bands of every picture along the batch."""
    return x if patches == 1 else torch.cat(x.chunk(patches, 2), 0)


def _join(x: Tensor, patches: int) -> Tensor:
    return x if patches == 1 else torch.cat(x.chunk(patches, 0), 2)


class SupervisedAttention(nn.Module):
    """SAM: the first stage's picture, and what it weighs of the features to hand on.

    Parameters
    ----------
    channels : int
    hands_on : bool
        False where no second stage follows.
    inputs : int
        Channels K of the picture.
    gain : bool
        See `MAGENet`.
    """

    def __init__(
        self,
        channels: int,
        *,
        hands_on: bool = True,
        inputs: int = 3,
        gain: bool = False,
    ) -> None:
        super().__init__()
        self.to_image = _conv(channels, inputs * (1 + gain), 1)
        self.value = _conv(channels, channels, 1) if hands_on else None
        self.gate = _conv(inputs, channels, 1) if hands_on else None

    def forward(self, features: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the picture, (B, K, H, W), and features of the input's shape."""
        enhanced = _corrected(image, self.to_image(features))
        if self.value is None or self.gate is None:
            return enhanced, features
        weight = torch.sigmoid(self.gate(enhanced))
        return enhanced, self.value(features) * weight + features


class FundusAttentionBlock(nn.Module):
    """FAB: channel attention blocks, context of Stage-1, structures of the retina.

    Parameters
    ----------
    channels : int
        Channels w of Stage-2.
    blocks : int
        Number m of channel attention blocks.
    context : int
        Channels of the level of Stage-1 that comes in.
    structures : sequence of int
        Channels of the segmenter's features that come in; each gets w/2 (ours).
    attention : bool
        See `ChannelAttentionBlock`.

    Notes
    -----
    The paper fixes the order; its "learnable non-linear transformation filter" is
    not specified: Conv3x3, PReLU, CAB, added, is ours, and stays without structures.
    """

    def __init__(
        self,
        channels: int,
        *,
        blocks: int,
        context: int,
        structures: Sequence[int],
        attention: bool,
    ) -> None:
        super().__init__()
        half = channels // 2
        self.body = nn.Sequential(
            *_cabs(channels, blocks, attention), _conv(channels, channels)
        )
        self.from_encoder = _conv(context, channels, 1)
        self.from_decoder = _conv(context, channels, 1)
        self.from_structures = nn.ModuleList(_conv(c, half, 1) for c in structures)
        self.mix = nn.Sequential(
            _conv(channels + half * len(structures), channels),
            nn.PReLU(),
            *_cabs(channels, 1, attention),
        )

    def forward(
        self,
        z: Tensor,
        encoded: Tensor,
        decoded: Tensor,
        factor: float,
        structures: Sequence[tuple[Tensor, float]],
    ) -> Tensor:
        """Map (B, w, h, w) to the same shape.

        Parameters
        ----------
        z : tensor
        encoded, decoded : tensors
            A level of Stage-1's encoder and decoder.
        factor : float
            What enlarges them to the size of ``z``.
        structures : sequence of (tensor, float)
            Features of the segmenter, each with its own factor.
        """
        z = z + self.body(z)
        context = self.from_encoder(encoded) + self.from_decoder(decoded)
        z = z + _resize(context, factor)
        maps = [
            _resize(project(features), own)
            for project, (features, own) in zip(
                self.from_structures, structures, strict=True
            )
        ]
        out: Tensor = z + self.mix(torch.cat([z, *maps], 1))
        return out


class Stage2(nn.Module):
    """Three fundus attention blocks without down-sampling between them.

    Parameters
    ----------
    channels : int
        Channels w of the stage.
    widths : tuple of three int
        Channels of Stage-1; its level i goes to block i (MPRNet).
    blocks : int
        See `FundusAttentionBlock`.
    structures : sequence of three sequences of int
        For each block the channels of the segmenter's features that it gets.
    scale : int
        2 works on half the size, behind a pixel unshuffle (ours); 1 is the paper's.
    attention : bool
        See `ChannelAttentionBlock`.
    checkpointing : bool
        Compute each block anew in the backward pass instead of keeping its maps.
    inputs : int
        Channels K of the picture.
    gain : bool
        See `MAGENet`.
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, int, int],
        *,
        blocks: int,
        structures: Sequence[Sequence[int]],
        scale: int,
        attention: bool,
        checkpointing: bool,
        inputs: int = 3,
        gain: bool = False,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.checkpointing = checkpointing
        self.shallow = nn.Sequential(
            _conv(inputs * scale**2, widths[0]), *_cabs(widths[0], 1, attention)
        )
        self.merge = _conv(widths[0] * (1 + scale**2), channels)
        self.fabs = nn.ModuleList(
            FundusAttentionBlock(
                channels,
                blocks=blocks,
                context=context,
                structures=fed,
                attention=attention,
            )
            for context, fed in zip(widths, structures, strict=True)
        )
        self.tail = _conv(channels, inputs * (1 + gain) * scale**2)

    def forward(
        self,
        image: Tensor,
        handed: Tensor,
        levels: tuple[list[Tensor], list[Tensor]],
        structures: Sequence[Sequence[tuple[Tensor, int]]],
    ) -> Tensor:
        """Return the enhanced picture, unclamped.

        Parameters
        ----------
        image : float tensor, shape (B, K, H, W)
        handed : tensor, shape (B, widths[0], H, W)
            What the supervised attention hands on.
        levels : two lists of three tensors
            What `Stage1` returns.
        structures : for each block a sequence of (tensor, int)
            Features of the segmenter and how much smaller than the image they are.
        """
        first = self.shallow(F.pixel_unshuffle(image, self.scale))
        z = self.merge(torch.cat([first, F.pixel_unshuffle(handed, self.scale)], 1))
        for index, fab in enumerate(self.fabs):
            fed = [(x, smaller / self.scale) for x, smaller in structures[index]]
            inputs = (z, levels[0][index], levels[1][index], 2**index / self.scale, fed)
            if self.checkpointing and self.training:
                z = checkpoint(fab, *inputs, use_reentrant=False)
            else:
                z = fab(*inputs)
        return _corrected(image, F.pixel_shuffle(self.tail(z), self.scale))
