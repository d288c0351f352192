"""SRResNet: the enhancement network of ESTR, on which GradProm builds.

ESTR: Liu et al., "Exploring Simple and Transferable Recognition-Aware Image
Processing", IEEE TPAMI 45(3), 2023 [code]. GradProm: Zhang and Cheng, IEEE TPAMI 2025
[paper]; that its network is ESTR's is inferred. After Ledig et al., CVPR 2017.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.errors import UsageError
from medenh.models.layers import ShuffledConv, crop_to, pad_to_multiple

__all__ = ["SRResNet", "resize_bicubic"]

_SCALES = (1, 2, 4, 8)
_KERNEL = 9  # of the first and the last convolution


class _Block(nn.Module):
    """x + Conv3x3, norm, PReLU, Conv3x3, norm; no activation after the sum."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.first_norm = _norm(norm, width)
        self.activation = nn.PReLU()
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.second_norm = _norm(norm, width)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.activation(self.first_norm(self.first(x)))
        out: Tensor = x + self.second_norm(self.second(branch))
        return out


class SRResNet(nn.Module):
    """Residual blocks on the small picture, then pixel shuffling to the large one.

    Stages at scale s for an image of 256x256, and h = 256 / s:

    ======== ============================================ ============
    stage    operation                                    output
    ======== ============================================ ============
    reduce   antialiased bicubic (``from_enlarged``)      3, h x h
    stem     Conv9x9, PReLU                               64, h x h
    blocks   5 x [Conv3x3, norm, PReLU, Conv3x3, norm; +] 64, h x h
    trunk    Conv3x3, PReLU; + stem                       64, h x h
    up       log2(s) x [Conv3x3, pixel shuffle 2, PReLU]  64, 256x256
    tail     Conv9x9                                      3, 256x256
    head     (tanh(z) + 1) / 2, or picture + z            3, 256x256
    ======== ============================================ ============

    With ``norm="bn"``: 438,666, 586,379, 734,092 and 881,805 parameters at s = 1, 2, 4
    and 8; 1,254,036, 1,401,749, 1,549,462 and 1,697,175 in the preset "ledig".

    Parameters
    ----------
    scale : 1, 2, 4 or 8
        1 denoises; the others super-resolve.
    blocks, width, channels : int
        Residual blocks, features, and channels of the picture.
    norm : "none" or "bn"
        Batch normalisation couples the images of a batch: "none" is our choice, "bn"
        what ESTR has [code].
    head : "residual" or "tanh"
        "residual" adds to the picture, starts as the identity (as bicubic enlargement
        where the picture comes small) and is our choice; "tanh" cannot
        represent pure black and white, and is ESTR's [code].
    trunk : "prelu" or "bn"
        What follows the convolution after the blocks: ESTR's, or Ledig's [code].
    from_enlarged : bool
        What an xN network is given. True: a picture that was enlarged already, as the
        recipes bicubic-xN and every file leave it, because a file keeps its geometry
        through the pipeline; the network reduces it by ``scale`` with the same
        antialiased bicubic filter and super-resolves that, so output and input
        have one shape. False: the small picture; the output is ``scale`` times as
        large. Without effect at scale 1; the parameters are the same.

    Raises
    ------
    UsageError
        A scale, norm, head or trunk that there is none of.
    """

    global_ops = False

    def __init__(
        self,
        *,
        scale: int = 1,
        blocks: int = 5,
        width: int = 64,
        channels: int = 3,
        norm: Literal["none", "bn"] = "none",
        head: Literal["residual", "tanh"] = "residual",
        trunk: Literal["prelu", "bn"] = "prelu",
        from_enlarged: bool = True,
    ) -> None:
        super().__init__()
        _check("scale", scale, _SCALES)
        _check("norm", norm, ("none", "bn"))
        _check("head", head, ("residual", "tanh"))
        _check("trunk", trunk, ("prelu", "bn"))
        self.scale, self.residual = scale, head == "residual"
        self.reduces = scale > 1 and from_enlarged
        self.enlarges = scale > 1 and not from_enlarged
        self.multiple_of = scale if self.reduces else 1
        self.receptive_field = _receptive_field(scale, blocks, reduces=self.reduces)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, _KERNEL, padding=_KERNEL // 2), nn.PReLU()
        )
        self.blocks = nn.Sequential(*(_Block(width, norm) for _ in range(blocks)))
        self.trunk = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.PReLU() if trunk == "prelu" else nn.BatchNorm2d(width),
        )
        self.up = nn.Sequential()
        for level in range(scale.bit_length() - 1, 0, -1):
            self.up.append(nn.Conv2d(width, 4 * width, 3, padding=1))
            # the last one is the tail's: one slope for all commutes with it
            self.up.append(nn.PixelShuffle(2) if level > 1 else nn.Identity())
            self.up.append(nn.PReLU())
        if scale > 1:
            self.tail: nn.Conv2d = ShuffledConv(width, channels, _KERNEL)
        else:
            self.tail = nn.Conv2d(width, channels, _KERNEL, padding=_KERNEL // 2)
        if self.residual:
            nn.init.zeros_(self.tail.weight)
            nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Enhance a batch.

        Parameters
        ----------
        image : float tensor, shape (B, C, H, W), in [0, 1]

        Returns
        -------
        float tensor, in [0, 1]
            Same shape; (B, C, scale * H, scale * W) with ``from_enlarged=False``. The
            residual head does not clamp while training: a clamp has no gradient where
            it acts.
        """
        padded = pad_to_multiple(image, self.multiple_of)
        small = padded
        if self.reduces:
            height, width = padded.shape[-2:]
            small = resize_bicubic(padded, height // self.scale, width // self.scale)
        stem = self.stem(small)
        features = self.up(stem + self.trunk(self.blocks(stem)))
        z = self.tail(features).float()
        out = self._add(z, padded) if self.residual else torch.tanh(z) * 0.5 + 0.5
        return out if self.enlarges else crop_to(out, image)

    def _add(self, z: Tensor, picture: Tensor) -> Tensor:
        if self.enlarges:
            height, width = picture.shape[-2:]
            picture = resize_bicubic(picture, height * self.scale, width * self.scale)
        out = picture + z
        return out if self.training else out.clamp(0.0, 1.0)


def resize_bicubic(image: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, C, H, W) with the filter of the recipes bicubic-xN.

    Keys' bicubic, a = -0.5, stretched where it reduces; weights beyond the border are
    left out and the rest normalised.
    """
    return F.interpolate(
        image, (height, width), mode="bicubic", align_corners=False, antialias=True
    )


def _norm(name: str, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if name == "bn" else nn.Identity()


def _receptive_field(scale: int, blocks: int, *, reduces: bool) -> int:
    """Return how far an output pixel sees to each side, in pixels of the input."""
    end = _KERNEL // 2
    small = end + 2 * blocks + 1  # stem, blocks, trunk: in small pixels
    steps = [scale >> level for level in range(scale.bit_length() - 1)]
    # in output pixels: the tail, each upsampler at its own size, the small picture,
    # and up to a small pixel between an output pixel's place and its small pixel's
    large = end + sum(steps) + small * scale + (scale if scale > 1 else 0)
    if reduces:
        return large + 2 * scale  # half the width of the reducing filter
    return -(-large // scale)


def _check(option: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        names = ", ".join(str(name) for name in known)
        raise UsageError(f"srresnet has no {option} {value!r}", hint=f"one of {names}")
