"""MAGE-Net: multi-stage enhancement of fundus photographs with structure preservation.

Guo et al., "Bridging Synthetic and Real Images: a Transferable and Multiple Consistency
aided Fundus Image Enhancement Framework", IEEE TMI 42(8), 2023. No code of the authors
is known; the widths are ours, chosen to meet the size that the paper implies.
T-MAGE-Net is this network trained by a teacher that is its own running average.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.errors import UsageError
from medenh.models.agnet import AGNet, enlarge
from medenh.models.layers import crop_to, pad_to_multiple
from medenh.models.mage_stages import Stage1, Stage2, SupervisedAttention

__all__ = ["MAGENet", "MAGEOutputs"]

# which of the segmenter's features u5, u6, u7, u8 each block of Stage-2 gets (ours)
_FEEDS = {
    "split": ((2, 3), (1,), (0,)),
    "all": ((0, 1, 2, 3),) * 3,
}
_SMALLER = (8, 4, 2, 1)  # u5, u6, u7, u8 against the image


class MAGEOutputs(NamedTuple):
    """What `MAGENet.outputs` gives.

    Attributes
    ----------
    images : tuple of float tensors, shape (B, 3, H, W)
        The picture of every stage, unclamped; the final one is the last.
    sides : tuple of float32 tensors, shape (B, K, H, W)
        Logits of the segmenter's four scales, coarse to fine; empty without it.
    """

    images: tuple[Tensor, ...]
    sides: tuple[Tensor, ...]


class MAGENet(nn.Module):
    """Two stages of channel attention, the second fed by a segmenter of the retina.

    Preset "default" (m = 4): 11,539,038 parameters, 111 GMAC at 256x256; "paper"
    (m = 8): 12,235,242 and 155; "half" (Stage-2 on half the size): 3,902,110 and 31.0;
    "small" (everything on a quarter of it): 1,940,616 and 3.5.
    Stages of "default" for a 256x256 input:

    ======== ============================================== =============
    stage    operation                                      output
    ======== ============================================== =============
    Stage-1  U-net of CABs; its encoder on two halves       40, 256x256
    SAM      picture Y1 = Conv1x1 + input; gated features   3; 40, 256x256
    RSP      AG-Net on the input                            256 .. 32 maps
    Stage-2  Conv3x3 of [CAB(Conv3x3), features]            56, 256x256
             3 x FAB: 4 CABs, + level of Stage-1,
             [., maps of RSP] -> Conv3x3, PReLU, CAB, +
    tail     picture Y2 = Conv3x3 + input                   3, 256x256
    ======== ============================================== =============

    Parameters
    ----------
    width, step, extra : int
        Channels n of Stage-1's first level, what each level adds, what Stage-2 adds.
    blocks : int
        CABs m of a fundus attention block.
    rsp_width : int
        Channels b of `AGNet`.
    patches : int
        1 or 2: bands of the picture that Stage-1's encoder sees apart.
    scale : int
        1 or 2: Stage-2 works on the picture's size or on half of it.
    shrink : int
        1, 2 or 4: the whole network works on the picture unshuffled by it (ours): a
        fourth or a sixteenth of the work, and as much wider a view.
    thumbnail : int
        Stage-1 sees a copy of so many pixels each way, and its features are brought to
        the picture's size (ours): light and colour of the whole are judged at one size,
        whatever the picture's. A multiple of 8 * shrink; 0: the picture itself.
    rsp, stage2 : bool
        Build the segmenter, the second stage. RSP feeds Stage-2 and needs it.
    channel_attention : bool
        False takes the attention out of every CAB.
    rsp_feed : str
        "split": features u7 and u8 to the first block, u6 to the second, u5 to the
        third; "all": all four to each.
    structures : sequence of str
        What the segmenter tells from the background: K is one more.
    gain : bool
        Pictures are ``input * (1 + gain) + offset`` of every pixel and colour instead
        of ``input + offset`` (ours): contrast comes back without the features having
        to carry the detail.
    bias : bool
        Convolutions of both stages have biases (ours; the paper's model has none).
        Without them a stage answers a picture of half the brightness with half the
        picture, but for its attention.
    checkpointing : bool
        Compute Stage-2's blocks anew in the backward pass: less memory, more time.

    Raises
    ------
    UsageError
        Options that exclude each other, or values not in the lists above.

    Notes
    -----
    Rows of the paper's table 6: ``stage2=False, rsp=False`` (S1); ``rsp=False``
    (S1, S2); the default (S1, S2, RSP); ``channel_attention=False`` (CABs removed).

    Channel attention and the segmenter's GroupNorm see the whole picture: then
    `global_ops` holds, and no halo makes tiles exact. Without both, and with
    ``patches=1``, `receptive_field` is the halo that does.
    """

    multiple_of: int
    receptive_field: int | None
    global_ops: bool

    def __init__(
        self,
        *,
        width: int = 40,
        step: int = 20,
        extra: int = 16,
        blocks: int = 4,
        rsp_width: int = 32,
        patches: int = 2,
        scale: int = 1,
        shrink: int = 1,
        thumbnail: int = 0,
        rsp: bool = True,
        stage2: bool = True,
        channel_attention: bool = True,
        rsp_feed: str = "split",
        structures: Sequence[str] = ("vessel",),
        gain: bool = False,
        bias: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        _check("patches", patches, (1, 2))
        _check("scale", scale, (1, 2))
        _check("shrink", shrink, (1, 2, 4))
        _check("rsp_feed", rsp_feed, tuple(_FEEDS))
        if rsp and not stage2:
            raise UsageError(
                "MAGE-Net's RSP feeds Stage-2, which is switched off",
                hint="set rsp = false too",
            )
        if thumbnail < 0 or thumbnail % (8 * shrink):
            raise UsageError(
                f"MAGE-Net takes no thumbnail = {thumbnail}",
                hint=f"use a multiple of {8 * shrink}",
            )
        self.global_ops = channel_attention or rsp or patches > 1 or thumbnail > 0
        local = _receptive_field(blocks, scale, shrink, stage2=stage2)
        self.receptive_field = None if self.global_ops else local
        self.multiple_of = 16 * shrink
        self.shrink = shrink
        self.thumbnail = thumbnail
        inputs = 3 * shrink**2
        widths = (width, width + step, width + 2 * step)
        self.structures = tuple(structures)
        self.stage1 = Stage1(
            widths, patches=patches, attention=channel_attention, inputs=inputs
        )
        self.sam = SupervisedAttention(width, hands_on=stage2, inputs=inputs, gain=gain)
        classes = 1 + len(self.structures)
        self.rsp = (
            AGNet(width=rsp_width, classes=classes, inputs=inputs) if rsp else None
        )
        self.feed = _FEEDS[rsp_feed] if rsp else ((), (), ())
        maps = self.rsp.feature_widths if self.rsp is not None else ()
        self.stage2 = (
            Stage2(
                width + extra,
                widths,
                blocks=blocks,
                structures=[[maps[i] for i in fed] for fed in self.feed],
                scale=scale,
                attention=channel_attention,
                checkpointing=checkpointing,
                inputs=inputs,
                gain=gain,
            )
            if stage2
            else None
        )
        if bias:
            self._add_biases()
        self._start_near_the_input()

    def _add_biases(self) -> None:
        stages = [s for s in (self.stage1, self.sam, self.stage2) if s is not None]
        for module in (m for stage in stages for m in stage.modules()):
            if isinstance(module, nn.Conv2d):
                module.bias = nn.Parameter(torch.zeros(module.out_channels))

    def _start_near_the_input(self) -> None:
        """Scale the layers that make pictures, so that training starts near x."""
        with torch.no_grad():
            self.sam.to_image.weight *= 0.1
            if self.stage2 is not None:
                self.stage2.tail.weight *= 0.1

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
        out = self.outputs(image).images[-1]
        return out if self.training else out.clamp(0.0, 1.0)

    def outputs(self, image: Tensor) -> MAGEOutputs:
        """Return the pictures of all stages, unclamped, and the segmenter's logits.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        """
        padded = pad_to_multiple(image, self.multiple_of)
        x = F.pixel_unshuffle(padded, self.shrink)
        encoded, decoded = self._context(padded)
        enhanced, handed = self.sam(decoded[0], x)
        images = [enhanced]
        maps: tuple[Tensor, ...] = ()
        sides: tuple[Tensor, ...] = ()
        if self.rsp is not None:
            sides, maps = self.rsp.outputs(x)
        if self.stage2 is not None:
            fed = [[(maps[i], _SMALLER[i]) for i in own] for own in self.feed]
            images.append(self.stage2(x, handed, (encoded, decoded), fed))
        return MAGEOutputs(
            tuple(crop_to(F.pixel_shuffle(x, self.shrink), image) for x in images),
            tuple(crop_to(enlarge(side, self.shrink), image) for side in sides),
        )

    def _context(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return what Stage-1 sees, at the size of the unshuffled picture."""
        seen = image
        if self.thumbnail:
            seen = F.adaptive_avg_pool2d(image, (self.thumbnail, self.thumbnail))
        encoded, decoded = self.stage1(F.pixel_unshuffle(seen, self.shrink))
        if self.thumbnail:
            encoded, decoded = (
                [_as_large_as(image, x, self.shrink << i) for i, x in enumerate(levels)]
                for levels in (encoded, decoded)
            )
        return encoded, decoded


def _as_large_as(image: Tensor, features: Tensor, smaller: int) -> Tensor:
    """Return features enlarged to so many times less than the picture's size."""
    height, width = image.shape[-2:]
    size = (height // smaller, width // smaller)
    return F.interpolate(features, size, mode="bilinear", align_corners=False)


def _check(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        known = " or ".join(map(repr, allowed))
        raise UsageError(f"MAGE-Net takes no {name} = {value!r}", hint=f"use {known}")


def _receptive_field(blocks: int, scale: int, shrink: int, *, stage2: bool) -> int:
    """Return the pixels an output sees on each side, without global operations."""
    cab = 2  # two 3x3 convolutions
    # stem, encoder and decoder of Stage-1, where a pixel of level i is 2^i wide; each
    # of the four bilinear steps adds a pixel of the finer level
    total = 1 + cab + 2 * (2 * cab) * (1 + 2 + 4) + 2 * (1 + 2)
    if stage2:
        fab = cab * blocks + 1 + 1 + cab
        # merge, three blocks, tail; an unshuffle adds what its square is wider
        total += scale * (1 + 3 * fab + 1) + (scale - 1)
    return -(-(shrink * total + shrink - 1) // 16) * 16
