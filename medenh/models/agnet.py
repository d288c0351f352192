"""AG-Net: attention guided network for segmentation of the retina.

After Zhang et al., "Attention Guided Network for Retinal Image Segmentation", MICCAI
2019, with the layer sizes of its published code (which carries no licence: nothing of
it is here). MAGE-Net takes its decoder's features to preserve structures.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.models.layers import box_mean, check_weights, crop_to, pad_to_multiple

__all__ = ["AGNet", "AGNetOutputs", "AttentionGuidedFilter", "enlarge"]


class AGNetOutputs(NamedTuple):
    """What `AGNet.outputs` gives, coarse to fine.

    Attributes
    ----------
    sides : tuple of four float32 tensors, shape (B, K, H, W)
        Logits of each decoder level at the size of the image.
    features : tuple of four tensors
        u5 (8b, H/8), u6 (4b, H/4), u7 (2b, H/2), u8 (b, H), of the padded image.
    """

    sides: tuple[Tensor, ...]
    features: tuple[Tensor, ...]


class AttentionGuidedFilter(nn.Module):
    """Carry a coarse map to a guide's size along the guide's edges, by weight.

    In every 5x5 window the map is fitted as ``A * guide + b``, channel by channel;
    A and b are averaged over windows, enlarged and applied to the full guide.

    Parameters
    ----------
    exact : bool
        The published form, in float64, for weights that were trained with it. Its
        weights are normalised over the whole batch, so that an image's answer depends
        on its company (slightly) and A is not a least-squares slope. The default is
        ours: means weighted by the attention, each image alone, float32.
    epsilon : float
        Regularisation of the slope.

    Notes
    -----
    He, Sun and Tang, "Guided Image Filtering", TPAMI 2013, with weights. Never under
    autocast: differences of second moments need the digits.
    """

    def __init__(self, *, exact: bool = False, epsilon: float = 1e-2) -> None:
        super().__init__()
        self.exact = exact
        self.epsilon = epsilon

    def forward(self, guide: Tensor, x: Tensor, full: Tensor, weight: Tensor) -> Tensor:
        """Filter ``x``.

        Parameters
        ----------
        guide, x : float tensors, shape (B, C, h, w)
        full : float tensor, shape (B, C, 2h, 2w)
            The guide at the size of the result.
        weight : float tensor, shape (B, 1, h, w), at least 0

        Returns
        -------
        float32 tensor, shape (B, C, 2h, 2w)
        """
        dtype = torch.float64 if self.exact else torch.float32
        with torch.autocast(x.device.type, enabled=False):
            fit = self._fit_published if self.exact else self._fit
            slope, offset = fit(guide.to(dtype), x.to(dtype), weight.to(dtype))
            slope = enlarge(_box_mean(slope), 2)
            offset = enlarge(_box_mean(offset), 2)
            return (slope * full.to(dtype) + offset).float()

    def _fit(self, guide: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        weight = weight + 1e-12  # a sigmoid may be 0 over a whole window
        total = _box_mean(weight)
        guide_mean = _box_mean(weight * guide) / total
        x_mean = _box_mean(weight * x) / total
        product = _box_mean(weight * guide * x) / total - guide_mean * x_mean
        variance = _box_mean(weight * guide.square()) / total - guide_mean.square()
        slope = product / (variance.clamp(min=0.0) + self.epsilon)
        return slope, x_mean - slope * guide_mean

    def _fit_published(
        self, guide: Tensor, x: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        weight = weight.abs() + 1e-12
        share = weight / weight.sum()
        # pixels of each window, fewer at the borders
        count = F.avg_pool2d(torch.ones_like(weight), 5, 1, 2, divisor_override=1)
        guide_mean, x_mean = _box_mean(weight * guide), _box_mean(weight * x)
        shared = count * _box_mean(share * weight * guide)
        heavy = weight.square() * guide
        product = _box_mean(heavy * x) - shared * x_mean
        variance = _box_mean(heavy * guide) - shared * guide_mean
        slope = product / (variance.abs() + self.epsilon)
        return slope, (x_mean - slope * guide_mean) / _box_mean(weight)


class _AttentionGate(nn.Module):
    """Weight of every pixel, from the guide and the map that it is to carry."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.guide = nn.Conv2d(channels, channels, 1)
        self.input = nn.Conv2d(channels, channels, 1)
        self.weight = nn.Conv2d(channels, 1, 1)

    def forward(self, guide: Tensor, x: Tensor) -> Tensor:
        hidden = torch.relu(self.guide(guide) + self.input(x))
        return torch.sigmoid(self.weight(hidden))


class AGNet(nn.Module):
    """Multi-scale U-net whose skips pass through an attention guided filter.

    9,335,340 parameters and 16.4 GMAC at 256x256 (b = 32, K = 2); 2,339,356 and 4.1
    with the preset "small" (b = 16). Stages for a 256x256 input and b = 32:

    ======== ============================================== =============
    stage    operation                                      output
    ======== ============================================== =============
    scales   ReLU(Conv3x3) of the picture at 1/2, 1/4, 1/8  64, 128, 256
    encoder  4 x 2 [Conv3x3, GroupNorm, ReLU] on scale      256, 32x32
             and pooled level above
    centre   2 x [Conv3x3, ReLU]                            512, 16x16
    decoder  4 x [attention guided filter x2,               32, 256x256
             3 x [Conv3x3, GroupNorm, ReLU]]
    sides    4 x [Conv1x1, bilinear]; their mean            K, 256x256
    ======== ============================================== =============

    Parameters
    ----------
    width : int
        Channels b of the first level.
    classes : int
        Number of classes K; the paper's two are background and vessel (softmax).
    exact : bool
        See `AttentionGuidedFilter`.
    inputs : int
        Channels of the picture: 3, or more of an unshuffled one.

    Notes
    -----
    Sizes and order from the published code. Sides are mapped to classes before they
    are enlarged: the same numbers (both are linear, bilinear weights sum to 1), less
    work. GroupNorm sees the whole picture, so tiles are not exact.
    """

    multiple_of = 16
    receptive_field = None
    global_ops = True

    def __init__(
        self,
        *,
        width: int = 32,
        classes: int = 2,
        exact: bool = False,
        inputs: int = 3,
    ) -> None:
        super().__init__()
        b = width
        self.feature_widths = (8 * b, 4 * b, 2 * b, b)
        self.scales = nn.ModuleList(
            nn.Conv2d(inputs, c, 3, padding=1) for c in (2 * b, 4 * b, 8 * b)
        )
        self.encoder = nn.ModuleList(
            _norm_convs(inputs, outputs, 2)
            for inputs, outputs in (
                (inputs, b),
                (3 * b, 2 * b),
                (6 * b, 4 * b),
                (12 * b, 8 * b),
            )
        )
        self.centre = nn.Sequential(
            nn.Conv2d(8 * b, 16 * b, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(16 * b, 16 * b, 3, padding=1, bias=False),
            nn.ReLU(),
        )
        self.gates = nn.ModuleList(_AttentionGate(2 * c) for c in self.feature_widths)
        self.filter = AttentionGuidedFilter(exact=exact)
        self.decoder = nn.ModuleList(
            _norm_convs(2 * c, c, 3) for c in self.feature_widths
        )
        self.heads = nn.ModuleList(
            nn.Conv2d(c, classes, 1) for c in self.feature_widths
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map images to logits, the mean of the four sides.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]

        Returns
        -------
        float32 tensor, shape (B, K, H, W)
        """
        sides = self.outputs(image).sides
        return (sides[0] + sides[1] + sides[2] + sides[3]) / 4

    def outputs(self, image: Tensor) -> AGNetOutputs:
        """Return the logits of every side and the decoder's features.

        Parameters
        ----------
        image : float tensor, shape (B, 3, H, W), in [0, 1]
        """
        check_weights(self)
        x, guides = self._encode(pad_to_multiple(image, self.multiple_of))
        features, sides = [], []
        for level, full in enumerate(guides):
            guide = _halve(full)
            weight = self.gates[level](guide, x)
            x = self.decoder[level](self.filter(guide, x, full, weight))
            features.append(x)
            side = enlarge(self.heads[level](x).float(), 8 >> level)
            sides.append(crop_to(side, image))
        return AGNetOutputs(tuple(sides), tuple(features))

    def _encode(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the centre, (B, 16b, H/16, W/16), and the guides, coarse to fine."""
        features = self.encoder[0](image)
        guides = [torch.cat([features, features], 1)]
        for level, scale in enumerate(self.scales, start=1):
            small = F.interpolate(
                image, scale_factor=0.5**level, mode="bilinear", align_corners=False
            )
            seen = torch.relu(scale(small))
            pooled = F.max_pool2d(features, 2)
            features = self.encoder[level](torch.cat([seen, pooled], 1))
            guides.append(torch.cat([seen, features], 1))
        centre: Tensor = self.centre(F.max_pool2d(features, 2))
        return centre, guides[::-1]


def _norm_convs(inputs: int, outputs: int, count: int) -> nn.Sequential:
    """Return ``count`` times [Conv3x3, GroupNorm of 32 groups (or 1), ReLU]."""
    layers = nn.Sequential()
    for index in range(count):
        channels = outputs if index else inputs
        layers.append(nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
        groups = 32 if outputs >= 32 else 1
        layers.append(nn.GroupNorm(groups, outputs, eps=1e-4))
        layers.append(nn.ReLU())
    return layers


def _box_mean(x: Tensor) -> Tensor:
    """Return the mean of the 5x5 window around every pixel, inside the picture."""
    return box_mean(x, 5)


def _halve(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Return maps enlarged bilinearly by a factor."""
    if factor == 1:
        return x
    return F.interpolate(
        x, scale_factor=float(factor), mode="bilinear", align_corners=False
    )
