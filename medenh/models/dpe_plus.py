"""DPE-plus: DPE's gated U-net behind a global exposure estimate. Ours, not the paper's.

DPE's degradation is a global affine map of the whole picture plus faint noise; a
network of DPE's receptive field cannot see the two scalars on a large image. Here they
are estimated from a thumbnail (`condition`), and the local network only adds what the
affine map cannot give (`local`): noise, quantisation, shading.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.layers import (
    GatedConv,
    ResidualBlock,
    check_weights,
    crop_to,
    pad_to_multiple,
)

__all__ = ["DPEPlusNet", "ExposureEstimator", "MixedFilters"]

_THUMBNAIL = 128
_CELLS = _THUMBNAIL // 2
_LUMA = (0.299, 0.587, 0.114)
_QUANTILES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.995)


class ExposureEstimator(nn.Module):
    """Guess the brightness and contrast that a picture had before it was degraded.

    It sees a thumbnail of 128x128, standardised to zero mean and unit deviation (so
    that its content looks alike however dark it came), as mean, largest and smallest
    value of 64x64 cells; quantiles of those cells; and the scalars that were taken
    away. Its answer is a blend of two affine maps: one that gives the picture a guessed
    mean and deviation, one that gives its darkest and brightest cells guessed values.

    The thumbnail comes first because extremes grow with the size of a picture, by its
    noise and its finest detail: what was learnt at one size would mislead at another.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = (9, width, 2 * width, 3 * width, 4 * width)
        self.features = nn.Sequential()
        for a, b in pairwise(widths):
            self.features.append(nn.Conv2d(a, b, 3, stride=2, padding=1))
            self.features.append(nn.LeakyReLU(0.1))
            self.features.append(ResidualBlock(b))
        last = nn.Linear(128, 11)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        inputs = 8 * width + 5 + 3 * len(_QUANTILES)
        self.guess = nn.Sequential(
            nn.Linear(inputs, 128),
            nn.LeakyReLU(0.1),
            nn.Linear(128, 128),
            nn.LeakyReLU(0.1),
            last,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return gain and offset per channel.

        Parameters
        ----------
        image : float32 tensor, shape (B, 3, H, W), in [0, 1]

        Returns
        -------
        float32 tensor, shape (B, 6)
            Gain of R, G, B, then offset of R, G, B: ``image * gain + offset`` has the
            exposure of the estimated original.
        """
        image = F.adaptive_avg_pool2d(image, _THUMBNAIL)
        luma = _luma(image)
        mean = luma.mean((1, 2))
        centred = luma - mean.view(-1, 1, 1)
        deviation = (centred.square().mean((1, 2)) + 1e-7).sqrt()
        average = F.avg_pool2d(image, 2)
        largest = F.max_pool2d(image, 2)
        smallest = -F.max_pool2d(-image, 2)
        quantiles = torch.cat(
            [
                _quantiles(_luma(average)),
                _quantiles(largest.amax(1)),
                _quantiles(smallest.amin(1)),
            ],
            1,
        )
        black, white = (
            quantiles[:, -len(_QUANTILES)],
            quantiles[:, 2 * len(_QUANTILES) - 1],
        )
        cells = torch.cat([average, largest, smallest], 1)
        cells = (cells - mean.view(-1, 1, 1, 1)) / deviation.view(-1, 1, 1, 1)
        features = self.features(cells).float()
        scalars = [mean, deviation, deviation.log(), black, white]
        inputs = torch.cat(
            [
                features.mean((2, 3)),
                features.amax((2, 3)),
                torch.stack(scalars, 1),
                (quantiles - mean.unsqueeze(1)) / deviation.unsqueeze(1),
            ],
            1,
        )
        guess = self.guess(inputs).float()
        return _affine(guess, mean, deviation, black, white)


def _luma(image: Tensor) -> Tensor:
    return (image * image.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1)


def _quantiles(cells: Tensor) -> Tensor:
    """Return the values of (B, 64, 64) cells at `_QUANTILES`, shape (B, len)."""
    ordered = torch.sort(cells.flatten(1), dim=1)[0]
    last = _CELLS * _CELLS - 1
    return torch.stack([ordered[:, round(q * last)] for q in _QUANTILES], 1)


def _affine(
    guess: Tensor, mean: Tensor, deviation: Tensor, black: Tensor, white: Tensor
) -> Tensor:
    """Turn the 11 guessed numbers into gain and offset of each channel, (B, 6)."""
    # map one: a mean and a deviation
    gain_one = 0.2 * torch.exp(guess[:, 0].clamp(-4.0, 1.5)) / deviation
    offset_one = torch.sigmoid(guess[:, 1] - 0.5) - gain_one * mean
    # map two: values of the darkest and the brightest cells
    low, high = 0.3 * guess[:, 2], 0.95 + 0.3 * guess[:, 3]
    gain_two = (high - low) / (white - black).clamp_min(2e-3)
    offset_two = low - gain_two * black
    share = torch.sigmoid(guess[:, 4])
    gain = (share * gain_two + (1 - share) * gain_one).clamp(0.05, 100.0)
    offset = share * offset_two + (1 - share) * offset_one
    gains = gain.unsqueeze(1) * torch.exp(0.1 * guess[:, 5:8].clamp(-10.0, 10.0))
    # the trim of a channel turns about the mean, not about zero
    shift = (gain.unsqueeze(1) - gains) * mean.unsqueeze(1)
    offsets = offset.unsqueeze(1) + shift + 0.1 * guess[:, 8:11]
    gains, offsets = _only_upwards(gains, offsets, mean.unsqueeze(1))
    # a blank picture tells nothing of its exposure and is left as it is
    known = ((white - black - 0.002) / 0.006).clamp(0.0, 1.0).unsqueeze(1)
    return torch.cat([known * gains + (1 - known), known * offsets], 1)


def _only_upwards(
    gains: Tensor, offsets: Tensor, mean: Tensor
) -> tuple[Tensor, Tensor]:
    """Keep gains and offsets, (B, 3), from lowering contrast or mean on the whole.

    The degradation only takes away: a picture that was better than the guess keeps
    what it has, and the trims between channels stay.
    """
    targets = gains * mean + offsets
    gains = gains * (1.0 / gains.mean(1, keepdim=True)).clamp_min(1.0)
    targets = targets + (mean - targets.mean(1, keepdim=True)).clamp_min(0.0)
    return gains, targets - gains * mean


class MixedFilters(nn.Module):
    """Linear filters of a picture, each by a share for every place and channel.

    What a network gives out through fewer channels than a block of unshuffled pixels
    has values cannot be every change of a block: its fine noise stays. A filter changes
    all of them, with what the gain tells added, and the features say how much of it
    goes where. The shares begin at zero, so a trained network that is given filters
    begins as it was.

    Parameters
    ----------
    channels, features : int
        Channels of what is filtered, and of the change to it; of the features.
    count : int
        Filters, of 3x3 places.

    Notes
    -----
    This project's own; after the kernels that networks predict for each pixel (Bako et
    al., ACM TOG 36(4), 2017), but with few kernels, learnt, and only their shares
    predicted.
    """

    def __init__(self, channels: int, features: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.filters = nn.Conv2d(channels, channels * count, 3, padding=1)
        self.told = nn.Parameter(torch.zeros(channels * count))
        self.shares = nn.Conv2d(features, channels * count, 1)
        nn.init.zeros_(self.shares.weight)
        nn.init.zeros_(self.shares.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, features: Tensor, log_gain: Tensor) -> Tensor:
        """Return the change: (B, channels, H, W), (B, features, H, W), (B, 1)."""
        filtered = self.filters(x) + (log_gain * self.told)[:, :, None, None]
        filtered = filtered * self.shares(features)
        first, *rest = filtered.chunk(self.count, 1)
        change: Tensor = sum(rest, first)
        return change


class DPEPlusNet(nn.Module):
    """A global affine correction from a thumbnail, refined by a local gated U-net.

    Stages of `local` for a 256x256 input, at the default widths:

    ======== ===================================== ============
    stage    operation                             output
    ======== ===================================== ============
    correct  image * gain + offset                 3, 256x256
    stem     pixel-unshuffle of both, Conv3x3      48, 128x128
    encoder  RB, Conv3x3 stride 2, ReLU, RB        64, 64x64
    decoder  RB(gate), ConvT2x2, ReLU, + gate, RB  48, 128x128
    head     Conv3x3, + corrected, pixel-shuffle   3, 256x256
    ======== ===================================== ============

    Parameters
    ----------
    widths : tuple of int
        Channels of the local network, at 1 / `unshuffle` of the size and at half of
        that each time. More than two levels were of no use: the answer of the lower
        ones became nothing, or nearly so, in training.
    unshuffle : int
        Side of the blocks of pixels that become channels.
    pair : bool
        Show the local network the picture before the correction too. With the gain,
        which it is told, the corrected one says as much, for less work.
    filters : int
        Linear filters of the corrected picture, see `MixedFilters`: of use where
        it has fewer channels than a block has values (48 in colour, at 4).
    lean : bool
        Half the work where the size is largest: skips carry features as they are,
        without gates, the first level has a residual block on its way up alone, and
        stem and head look at one block of pixels (Conv1x1).
    estimator_width : int
        Width of the exposure estimator.

    Notes
    -----
    ``forward(x) == local(x, condition(x))``. `condition` looks at the whole picture
    and is cheap; `local` is exact on tiles with a halo of `receptive_field`.
    """

    multiple_of = 16  # more than two levels want: the trained models' padding
    global_ops = True

    def __init__(
        self,
        *,
        widths: tuple[int, ...] = (48, 64),
        unshuffle: int = 2,
        pair: bool = True,
        filters: int = 0,
        lean: bool = False,
        estimator_width: int = 32,
    ) -> None:
        super().__init__()
        self.unshuffle = unshuffle
        # blocks, gates and the step down reach 5 places at each level, stem and head
        # one each; and a pixel knows all of its place of the lowest level
        sides = [unshuffle << level for level in range(len(widths))]
        self.receptive_field = 2 * unshuffle + 5 * sum(sides) + sides[-1]
        self.pair = pair
        self.estimator = ExposureEstimator(estimator_width)
        blocks = unshuffle**2
        # lean: what the gain tells is the same for every place, so it is added after
        seen = (6 if pair else 3) * blocks + (not lean)
        self.told = nn.Parameter(torch.zeros(widths[0])) if lean else None
        reach = 1 if lean else 3
        self.stem = nn.Conv2d(seen, widths[0], reach, padding=reach // 2)
        self.encoder = nn.ModuleList(ResidualBlock(c) for c in widths)
        self.gates = nn.ModuleList(
            nn.Identity() if lean else GatedConv(c) for c in widths
        )
        if lean:
            self.encoder[0] = nn.Identity()
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, stride=2)
            for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.decoder = nn.ModuleList(ResidualBlock(c) for c in widths[::-1])
        self.head = nn.Conv2d(widths[0], 3 * blocks, reach, padding=reach // 2)
        # training starts at the global solution
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.mixed = MixedFilters(3 * blocks, widths[0], filters) if filters else None

    def condition(self, image: Tensor) -> Tensor:
        """Estimate gain and offset of the whole picture, in float32 outside training.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]

        Returns
        -------
        float32 tensor, shape (B, 6)
        """
        check_weights(self)
        enabled = self.training and torch.is_autocast_enabled(image.device.type)
        with torch.autocast(image.device.type, enabled=enabled):
            estimate: Tensor = self.estimator(image.float())
        return estimate

    def local(self, image: Tensor, condition: Tensor) -> Tensor:
        """Enhance a batch, or tiles of it, under a condition of the whole picture.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        condition : float tensor, shape (B, 6)
            From `condition`.

        Returns
        -------
        float tensor, same shape as ``image``, in [0, 1] (unclamped while training)
        """
        x = pad_to_multiple(image, self.multiple_of)
        out = self._refined(x, self.corrected(x, condition), condition)
        # in blocks of pixels: many channels are what a processor adds and cuts the
        # fastest, and the answer is the same
        out = out if self.training else out.clamp(0.0, 1.0)
        return crop_to(F.pixel_shuffle(out, self.unshuffle), image)

    def corrected(self, image: Tensor, condition: Tensor) -> Tensor:
        """Return the picture under gain and offset alone, unclamped."""
        return image * condition[:, :3, None, None] + condition[:, 3:, None, None]

    def best_condition(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the least-squares gain and offset of each pair, shape (B, 6)."""
        x, y = low.flatten(1), high.flatten(1)
        x_mean, y_mean = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
        covariance = ((x - x_mean) * (y - y_mean)).mean(1, keepdim=True)
        variance = (x - x_mean).square().mean(1, keepdim=True).clamp_min(1e-7)
        gain = (covariance / variance).clamp(0.05, 100.0)
        return torch.cat([gain, y_mean - gain * x_mean], 1).repeat_interleave(3, 1)

    def refined(self, image: Tensor, condition: Tensor) -> Tensor:
        """Enhance a batch of whole pictures: `local`, by the trainer's name for it."""
        return self.local(image, condition)

    def _refined(self, x: Tensor, corrected: Tensor, condition: Tensor) -> Tensor:
        """Return the corrected picture with the local change, pixels as channels."""
        blocks = F.pixel_unshuffle(corrected, self.unshuffle)
        seen = blocks
        if self.pair:
            seen = torch.cat([x, corrected.clamp(-0.5, 1.5)], 1)
            seen = F.pixel_unshuffle(seen, self.unshuffle)
        log_gain = condition[:, :3].mean(1, keepdim=True).log() * 0.5
        if self.told is not None:
            features = self.stem(seen) + (log_gain * self.told)[:, :, None, None]
        else:
            plane = log_gain[:, :, None, None].expand(-1, -1, *seen.shape[2:])
            features = self.stem(torch.cat([seen, plane.to(seen.dtype)], 1))
        skips = []
        for level, (block, gate) in enumerate(
            zip(self.encoder, self.gates, strict=True)
        ):
            if level:
                features = torch.relu(self.down[level - 1](features))
            features = block(features)
            skips.append(gate(features))
        lowest, *blocks_up = self.decoder
        features = lowest(skips.pop())
        for up, block in zip(self.up, blocks_up, strict=True):
            features = block(torch.relu(up(features)) + skips.pop())
        change: Tensor = self.head(features).float()
        if self.mixed is not None:
            change = change + self.mixed(blocks, features, log_gain).float()
        return blocks + change

    def forward(self, image: Tensor) -> Tensor:
        """Enhance a batch: (B, 3, H, W) in [0, 1], same out."""
        return self.local(image, self.condition(image))
