"""FieldNet: smooth fields of colour from a thumbnail, fine detail at half the size.

This project's own, for degradations that are mostly one smooth change of colour over
the picture (uneven light, exposure, cast, haze), with blur and spots on top: see the
fundus degradation of Cofe-Net. Affine maps of colour on a coarse grid follow Gharbi et
al., "Deep Bilateral Learning", SIGGRAPH 2017, without the luminance axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.layers import check_weights, crop_to, pad_to_multiple

__all__ = ["FieldNet"]

_CELLS = 24
_QUANTILES = (0.02, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.98)


class _Block(nn.Module):
    """x + a * conv(act(conv(x))), a from the mean of every channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.leaky_relu(self.first(x), 0.1))
        out: Tensor = x + y * self.attention(y)
        return out


class _UNet(nn.Module):
    """Residual blocks at every level, added skips; up to a level of choice."""

    def __init__(
        self, inputs: int, outputs: int, widths: Sequence[int], blocks: int, stop: int
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*[_Block(c) for _ in range(blocks)]) for c in widths
        )
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        kept = list(pairwise(widths))[stop:]
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in kept)
        self.decoder = nn.ModuleList(
            nn.Sequential(*[_Block(a) for _ in range(blocks)]) for a, _ in kept
        )
        self.head = nn.Conv2d(widths[stop], outputs, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self._stop = stop

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output, and the deepest level's features."""
        x, maps = self.stem(x), []
        for level, block in enumerate(self.encoder):
            x = block(x)
            maps.append(x)
            if level < len(self.down):
                x = self.down[level](x)
        for level in reversed(range(len(self.up))):
            x = F.interpolate(self.up[level](x), scale_factor=2, mode="nearest")
            x = self.decoder[level](x + maps[self._stop + level])
        out: Tensor = self.head(x)
        return out, maps[-1]


class _Overall(nn.Module):
    """One colour map for the whole picture, from features and its own statistics.

    It gives the picture another mean, deviation and mixture of channels. The statistics
    of the picture go in and the changes come out, so that "bring it to the usual mean"
    is a linear function of what it sees.
    """

    def __init__(self, features: int, widths: Sequence[int]) -> None:
        super().__init__()
        inputs = 2 * features + 9 + 3 * len(_QUANTILES)
        self.guess = nn.Sequential()
        for before, after in pairwise([inputs, *widths]):
            self.guess.extend([nn.Linear(before, after), nn.LeakyReLU(0.1)])
        last = nn.Linear(widths[-1], 12)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.guess.append(last)

    def forward(
        self, deep: Tensor, thumb: Tensor, mean: Tensor, deviation: Tensor
    ) -> Tensor:
        """Return the changes of the matrix and the offset, float32 (B, 12)."""
        deep = deep.float()
        inputs = [deep.mean((2, 3)), deep.amax((2, 3)), mean, deviation]
        inputs += [deviation.log(), _quantiles(thumb)]
        guess = self.guess(torch.cat(inputs, 1)).float()
        matrix = 0.2 * guess[:, :9].view(-1, 3, 3)  # [:, output, input]
        scale = torch.exp(guess[:, 0:9:4])  # the diagonal
        own = torch.eye(3, device=guess.device, dtype=guess.dtype)
        matrix = matrix * (1 - own) + own * (scale.clamp(0.1, 10.0) - 1).unsqueeze(2)
        # turns about the mean, so that contrast and brightness are apart
        offset = 0.5 * guess[:, 9:] - (matrix @ mean.unsqueeze(2)).squeeze(2)
        return torch.cat([matrix.transpose(1, 2).flatten(1), offset], 1)


def _quantiles(thumb: Tensor) -> Tensor:
    """Return each channel's values at `_QUANTILES`, (B, 3 * len), over 24x24 cells."""
    cells = F.adaptive_avg_pool2d(thumb, _CELLS).flatten(2)
    ordered = torch.sort(cells, dim=2)[0]
    last = _CELLS * _CELLS - 1
    picked = [ordered[:, :, round(q * last)] for q in _QUANTILES]
    return torch.cat(picked, 1)


def _lightness(image: Tensor) -> Tensor:
    """Return 0 where a pixel is black and 1 from 1/16 of white on, (B, 1, H, W)."""
    return (image.amax(1, keepdim=True) * 16).clamp(0.0, 1.0)


def _colour_map(image: Tensor, change: Tensor, weight: Tensor) -> Tensor:
    """Fit a change linearly to a picture's channels and 1, (B, 12, 1, 1)."""
    x = torch.cat([image, torch.ones_like(image[:, :1])], 1).flatten(2)
    weighted = x * weight.flatten(2)
    ridge = 1e-4 * x.shape[2] * torch.eye(4, device=x.device, dtype=x.dtype)
    gram = weighted @ x.transpose(1, 2) + ridge
    solved = torch.linalg.solve(gram, weighted @ change.flatten(2).transpose(1, 2))
    flat: Tensor = solved.flatten(1).unsqueeze(2).unsqueeze(3)
    return flat


def _statistics(thumb: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each channel where it is not black, (B, 3) each."""
    weight = inside / inside.sum((2, 3), keepdim=True).clamp_min(1e-3)
    mean = (thumb * weight).sum((2, 3))
    centred = thumb - mean.view(-1, 3, 1, 1)
    deviation = ((centred.square() * weight).sum((2, 3)) + 1e-4).sqrt()
    return mean, deviation


class FieldNet(nn.Module):
    """Colour fields from a thumbnail, then a local network.

    Stages of the preset "default" for a 256x256 input:

    ========= ============================================== ===========
    stage     operation                                      output
    ========= ============================================== ===========
    light     mean to 96x96, as it is and standardised;      12, 24x24
              U-net 24-48-96-128 down to 12x12, up to 24x24
    overall   one colour map from its deepest features and   12
              the picture's statistics, added to the fields
    field     bilinear, x + A x + b in every pixel that is   3, 256x256
              not black
    detail    picture and result unshuffled by 2, U-net      12, 128x128
              32-48-64
    result    sum with the shuffled detail                   3, 256x256
    ========= ============================================== ===========

    Parameters
    ----------
    light_widths, detail_widths : sequence of int
        Channels of the levels of both U-nets.
    overall_widths : sequence of int
        Of the hidden layers that guess the overall colour map.
    blocks : int
        Residual blocks at each level of the second one.
    side : int
        Of the thumbnail, pixels.

    Notes
    -----
    Starts as the identity. The fields do not depend on the picture's size, so a network
    trained at one size works at another as far as light and colour go; blur and spots
    are those of the size that it was trained at. The black surround of a photograph is
    left as it is.

    ``forward(x) == local(x, condition(x))``. A condition is spread over the picture
    that it is given with: frames of a volume may share one, tiles of a picture may not.
    """

    multiple_of = 8
    receptive_field = None
    global_ops = True

    def __init__(
        self,
        *,
        light_widths: Sequence[int] = (24, 48, 96, 128),
        overall_widths: Sequence[int] = (384, 256),
        detail_widths: Sequence[int] = (32, 48, 64),
        blocks: int = 2,
        side: int = 96,
    ) -> None:
        super().__init__()
        self.side = side
        self.light = _UNet(7, 12, light_widths, 2, stop=2)
        self.overall = _Overall(light_widths[-1], overall_widths)
        self.detail = _UNet(24, 12, detail_widths, blocks, stop=0)

    def condition(self, image: Tensor) -> Tensor:
        """Return the coarse fields: a matrix and an offset for each place.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]

        Returns
        -------
        float32 tensor, shape (B, 12, side / 4, side / 4)
            Changes: the columns of the matrix for red, green and blue, the offset.
        """
        check_weights(self)
        # fields of what they are spread over, padding included
        image = pad_to_multiple(image, self.multiple_of)
        thumb = F.adaptive_avg_pool2d(image.float(), self.side)
        inside = _lightness(thumb)
        mean, deviation = _statistics(thumb, inside)
        standard = (thumb - mean.view(-1, 3, 1, 1)) / deviation.view(-1, 3, 1, 1)
        seen = torch.cat([thumb * 2 - 1, 0.5 * standard * inside, inside], 1)
        coarse, deep = self.light(seen)
        overall = self.overall(deep, thumb, mean, deviation)
        fields: Tensor = coarse.float() + overall.unsqueeze(2).unsqueeze(3)
        return fields

    def corrected(self, image: Tensor, condition: Tensor) -> Tensor:
        """Return the picture under its fields alone, unclamped.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        condition : float tensor, shape (B, 12, h, w)
        """
        size = [image.shape[-2], image.shape[-1]]
        field = F.interpolate(condition, size, mode="bilinear", align_corners=False)
        change = field[:, :3] * image[:, :1] + field[:, 3:6] * image[:, 1:2]
        change = change + field[:, 6:9] * image[:, 2:] + field[:, 9:]
        return image + _lightness(image) * change

    def best_condition(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the fields that undo a degradation best, known the clean picture.

        A colour map of the whole picture and an offset in cells of a sixteenth of the
        side, by least squares in turns: each is fitted to what the other leaves.
        """
        inside, change = _lightness(low), high - low
        share = F.adaptive_avg_pool2d(inside, 16).clamp_min(0.1)
        size = [low.shape[-2], low.shape[-1]]
        cells = torch.zeros_like(share).repeat(1, 3, 1, 1)
        for _ in range(4):
            spread = F.interpolate(cells, size, mode="bilinear")
            flat = _colour_map(low, change - spread, inside)
            left = inside * (high - self.corrected(low, flat))
            cells = F.adaptive_avg_pool2d(left, 16) / share
        side = self.side // 4
        fields = flat.repeat(1, 1, side, side)
        fields[:, 9:] += F.interpolate(cells, [side, side], mode="bilinear")
        return fields

    def refined(self, image: Tensor, condition: Tensor) -> Tensor:
        """Enhance a batch whose sides are multiples of 8 under given fields."""
        lit = self.corrected(image, condition)
        both = torch.cat([image, lit], 1) * 2 - 1
        detail = self.detail(F.pixel_unshuffle(both, 2))[0]
        out = lit + F.pixel_shuffle(detail, 2)
        return out if self.training else out.clamp(0.0, 1.0)

    def local(self, image: Tensor, condition: Tensor) -> Tensor:
        """Enhance a batch under fields that were found on it, or on others like it.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        condition : float tensor, shape (B, 12, h, w)
            From `condition`.

        Returns
        -------
        float tensor, same shape as ``image``, in [0, 1] (unclamped while training)
        """
        x = pad_to_multiple(image, self.multiple_of)
        return crop_to(self.refined(x, condition), image)

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
        return self.local(image, self.condition(image))
