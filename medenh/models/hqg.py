"""HQG-Net: enhancement guided by a high-quality image (He et al., IEEE TNNLS, 2024).

What the paper's figures fix is followed: an enhancer whose four decoder levels are
normalised under a code of a high-quality guidance image and of the input itself. What
they leave open (variational head, padding, widths) is our choice, and so is a fourth
skip connection, at full size: the figure draws three. The paper's text was not at hand,
and its released code is another network: `hqg_legacy`. Weights are this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.adalin import AdaLIN, NormBlock, channel_statistics
from medenh.models.layers import (
    ReflectConv,
    UpsampleConv,
    check_weights,
    crop_to,
    pad_to_multiple,
)

__all__ = ["CODE", "HQGNet"]

CODE = 64  # length of the guidance code v_z, known
_CONTENT = 16  # length of the content code v_y, known
_REFERENCE_SIDE = 384


class _Residual(nn.Module):
    """Pre-activation residual block; a 1x1 short cut where the channels change."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = ReflectConv(inputs, outputs)
        self.second = ReflectConv(outputs, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.first(F.leaky_relu(x, 0.2))
        out = self.second(F.leaky_relu(out, 0.2))
        total: Tensor = out + self.shortcut(x)
        return total


class _Merge(nn.Module):
    """Nearest x2, concat the skip, pre-activation residual block.

    The two halves are convolved apart, so that the enlarged map is never made.
    """

    def __init__(self, below: int, skip: int) -> None:
        super().__init__()
        self.below = UpsampleConv(below, skip, bias=False, reflect=True)
        self.skip = ReflectConv(skip, skip)
        self.second = ReflectConv(skip, skip)
        self.shortcut_below = nn.Conv2d(below, skip, 1, bias=False)
        self.shortcut_skip = nn.Conv2d(skip, skip, 1, bias=False)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        lower, level = F.leaky_relu(below, 0.2), F.leaky_relu(skip, 0.2)
        out = self.second(F.leaky_relu(self.below(lower) + self.skip(level), 0.2))
        short = F.interpolate(self.shortcut_below(below), scale_factor=2.0)
        total: Tensor = out + short + self.shortcut_skip(skip)
        return total


class _Encoder(nn.Module):
    """Stem, then residual blocks with 2x2 average pooling after each."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = ReflectConv(inputs, widths[0])
        self.blocks = nn.ModuleList(
            _Residual(a, b) for a, b in pairwise((widths[0], *widths))
        )

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the maps before each pooling, and the last one pooled."""
        x = self.stem(x)
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
            x = F.avg_pool2d(x, 2)
        return maps, x


class HQGNet(nn.Module):
    """Enhancer, guidance encoder, and the codes between them.

    Stages of the preset "small" (6,071,923 parameters, of which the guidance encoder
    has 1,240,960, without the variational head) for a 256x256 input:

    ========= ======================================= ============
    stage     operation                               output
    ========= ======================================= ============
    guidance  Conv3x3, 4 x [residual block, mean      code, 64
              pooling], mean, linear
    encoder   Conv3x3, 4 x [residual block, mean      256, 16x16
              pooling]
    content   mean, linear                            code, 16
    decoder   4 x [nearest x2, concat skip, residual  32, 256x256
              block, V_IN under both codes]
    head      Conv1x1, sigmoid                        3, 256x256
    ========= ======================================= ============

    Parameters
    ----------
    widths, guidance_widths : sequence of int
        Channels of each level of the enhancer and of the guidance encoder.
    variational : bool
        The guidance code is a normal distribution, sampled in training; False gives a
        plain code. Whether the paper samples is not known.
    unshuffle : bool
        The enhancer works on a 2x2 pixel-unshuffled picture: a quarter of the cost.
    residual : bool
        The head gives a gain and an offset of every pixel, x * (1 + gain) + offset, in
        place of the picture [our choice]: doing nothing is easy, a dark part gets
        brighter by a factor, and detail need not pass through the network.
    statistics_side : int
        Pictures with a longer side are normalised with the statistics of a copy shrunk
        to it, so that whole and tiles agree and memory stays bounded.

    Attributes
    ----------
    statistics_side : int
        As given. A picture no longer than that is its own copy: `forward` takes one
        pass, where `condition` and `local` together take two.
    default_code : float32 tensor, shape (1, 64)
        The guidance where none is given: the mean code of the high-quality training
        images; zeros until training sets it. Pairs that guide themselves leave it as
        it is (`guided.pair_reference` of training).

    Notes
    -----
    Outside training, ``forward(x) == local(x, condition(x))``. `local` is exact on
    tiles with a halo of `receptive_field`.
    """

    multiple_of = 16
    receptive_field = 128
    global_ops = True
    default_code: Tensor

    def __init__(
        self,
        *,
        widths: Sequence[int] = (32, 64, 128, 256),
        guidance_widths: Sequence[int] = (32, 64, 128, 256),
        variational: bool = True,
        unshuffle: bool = False,
        residual: bool = False,
        statistics_side: int = 512,
    ) -> None:
        super().__init__()
        self.variational = variational
        self.residual = residual
        self._factor = 2 if unshuffle else 1
        self.multiple_of = 16 * self._factor
        self.receptive_field = 128 * self._factor
        self.statistics_side = statistics_side
        planes = 3 * self._factor**2
        self.guidance = _Encoder(3, guidance_widths)
        self.code_mean = nn.Linear(guidance_widths[-1], CODE)
        self.code_log_variance = (
            nn.Linear(guidance_widths[-1], CODE) if variational else None
        )
        self.encoder = _Encoder(planes, widths)
        self.content = nn.Linear(widths[-1], _CONTENT)
        below = [*widths[1:], widths[-1]]
        self.decoder = nn.ModuleList(
            _Merge(b, c) for b, c in zip(below, widths, strict=True)
        )
        self.norms = nn.ModuleList(NormBlock(c, CODE + _CONTENT) for c in widths)
        self.head = nn.Conv2d(widths[0], planes * (2 if residual else 1), 1)
        if residual:  # begins as one that changes nothing
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(cast(Tensor, self.head.bias))
        self._statistics_sizes = [2 * c for c in reversed(widths)]
        self.register_buffer("default_code", torch.zeros(1, CODE))

    def encode(self, reference: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the distribution of the guidance code of high-quality images.

        Parameters
        ----------
        reference : float tensor, shape (B, 3, H, W), in [0, 1]
            Any size; nothing is resized.

        Returns
        -------
        mean, log_variance : float tensors, shape (B, 64)
            None for the second one of a network that is not variational.
        """
        x = pad_to_multiple(reference, 16) * 2 - 1
        pooled = self.guidance(x)[1].mean((2, 3))
        mean: Tensor = self.code_mean(pooled)
        if self.code_log_variance is None:
            return mean, None
        return mean, self.code_log_variance(pooled)

    def code(self, reference: Tensor) -> Tensor:
        """Return the guidance code of one or more images, for inference.

        Parameters
        ----------
        reference : float tensor, shape (B, 3, H, W), in [0, 1]
            Shrunk or enlarged until its longer side is 384.

        Returns
        -------
        float tensor, shape (B, 64)
        """
        height, width = reference.shape[-2:]
        scale = _REFERENCE_SIDE / max(height, width)
        size = [max(1, round(height * scale)), max(1, round(width * scale))]
        resized = F.interpolate(
            reference, size, mode="bilinear", align_corners=False, antialias=True
        )
        return self.encode(resized)[0]

    @staticmethod
    def sample_code(
        mean: Tensor,
        log_variance: Tensor | None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw a code, (B, 64), from what `encode` gave; the mean if it has no spread.

        ``generator`` must live on the device of ``mean``.
        """
        if log_variance is None:
            return mean
        noise = torch.empty_like(mean).normal_(generator=generator)
        return mean + torch.exp(log_variance / 2) * noise

    def forward(self, image: Tensor, code: Tensor | None = None) -> Tensor:
        """Enhance a batch.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        code : float tensor, shape (B, 64) or (1, 64), optional
            Guidance; `default_code` if not given.

        Returns
        -------
        float tensor, same shape as ``image``
            In [0, 1]; of a residual network unclamped in training mode, where a clamp
            would stop gradients.
        """
        if not self.training and max(image.shape[-2:]) > self.statistics_side:
            return self.local(image, self.condition(image, code))
        return self.enhance(image, self.default_code if code is None else code)

    def enhance(self, image: Tensor, code: Tensor) -> Tensor:
        """Enhance a batch under a code, each picture with statistics of its own.

        The path of training; shapes as in `forward`.
        """
        check_weights(self, torch.float64)
        x = pad_to_multiple(image, self.multiple_of)
        maps, deepest = self._encode_image(x)
        out, _ = self._decode(maps, deepest, self._join(code, deepest))
        return crop_to(self._picture(out, x), image)

    def condition(self, image: Tensor, code: Tensor | None = None) -> Tensor:
        """Gather what `local` must know of a whole picture, in float32.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        code : float tensor, shape (B, 64) or (1, 64), optional
            Guidance; `default_code` if not given.

        Returns
        -------
        float32 tensor, shape (B, K)
            Both codes (80), then `channel_statistics` of each level, deepest first.
        """
        check_weights(self)
        with torch.autocast(image.device.type, enabled=False):
            x = _shrink_and_pad(image.float(), self.statistics_side, self.multiple_of)
            maps, deepest = self._encode_image(x)
            guide = self.default_code if code is None else code
            both = self._join(guide.float(), deepest)
            _, statistics = self._decode(maps, deepest, both)
        return torch.cat([both, *statistics], 1)

    def local(self, image: Tensor, condition: Tensor) -> Tensor:
        """Enhance a picture, or tiles of it, under a condition of the whole.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        condition : float tensor, shape (B, K)
            From `condition`.

        Returns
        -------
        float tensor, same shape as ``image``, in [0, 1]
        """
        codes = CODE + _CONTENT
        both = condition[:, :codes]
        statistics = torch.split(condition[:, codes:], self._statistics_sizes, 1)
        x = pad_to_multiple(image, self.multiple_of)
        maps, deepest = self._encode_image(x)
        out, _ = self._decode(maps, deepest, both, statistics)
        out = self._picture(out, x)
        return crop_to(out, image)

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the enhancer's encoder maps, one a level, finest first."""
        return self._encode_image(pad_to_multiple(image, self.multiple_of))[0]

    @torch.no_grad()
    def clamp_rho(self) -> None:
        """Put each rho back into [0, 1]; call it after every optimiser step."""
        for module in self.modules():
            if isinstance(module, AdaLIN):
                module.rho.clamp_(0.0, 1.0)

    def _encode_image(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        x = x * 2 - 1
        if self._factor > 1:
            x = F.pixel_unshuffle(x, self._factor)
        maps: tuple[list[Tensor], Tensor] = self.encoder(x)
        return maps

    def _join(self, code: Tensor, deepest: Tensor) -> Tensor:
        """Return guidance and content code together, (B, 80)."""
        content = self.content(deepest.mean((2, 3)))
        return torch.cat([code.expand(content.shape[0], -1), content], 1)

    def _decode(
        self,
        maps: list[Tensor],
        deepest: Tensor,
        code: Tensor,
        given: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the head's maps and the statistics of each level before its norm."""
        x, used = deepest, []
        for step, level in enumerate(reversed(range(len(maps)))):
            x = self.decoder[level](x, maps[level])
            statistics = channel_statistics(x) if given is None else given[step]
            used.append(statistics)
            x = self.norms[level](x, code, statistics)
        return self.head(x), used

    def _picture(self, out: Tensor, x: Tensor) -> Tensor:
        """Return the picture that the head's maps stand for."""
        if self._factor > 1:
            out = F.pixel_shuffle(out, self._factor)
        out = out.float()
        if not self.residual:
            return torch.sigmoid(out)
        gain, offset = out.chunk(2, 1)
        picture = x * (1 + gain) + offset
        return picture if self.training else picture.clamp(0.0, 1.0)


def _shrink_and_pad(image: Tensor, side: int, multiple: int) -> Tensor:
    """Shrink to a longer side of at most ``side``, then pad as `pad_to_multiple` does.

    Without a branch on the size: a traced network would keep the one it was traced in.
    """
    height, width = image.shape[-2:]
    divisor = _larger(_larger(height, width), side)
    height = _larger((height * side + divisor // 2) // divisor, 1)
    width = _larger((width * side + divisor // 2) // divisor, 1)
    image = F.adaptive_avg_pool2d(image, (height, width))
    bottom, right = -height % multiple, -width % multiple
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(image, (0, right, 0, bottom), mode=mode)


def _larger(a: int, b: int) -> int:
    return (a + b + abs(a - b)) // 2
