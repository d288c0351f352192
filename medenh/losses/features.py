"""Distances of feature maps: of a discriminator, an encoder, or fixed filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.losses.pairs import check_pair
from medenh.models.layers import box_mean

__all__ = [
    "AnalyticFeatures",
    "FeatureExtractor",
    "Maps",
    "content_features",
    "feature_distance",
    "gradient_difference",
    "regularised_features",
]

Maps = Sequence[Tensor]

_STEPS = (1, 2, 4, 8)  # pixels between the taps of a level's filters


class FeatureExtractor(Protocol):
    """Something that sees a picture as a list of maps.

    It takes (B, 3, H, W) in [0, 1] and normalises it as it needs; its weights are
    frozen and it is in evaluation mode.
    """

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Return maps, (B, C_k, H_k, W_k), the finest first."""


class AnalyticFeatures(nn.Module):
    """Fixed filters: what a picture looks like at several scales, without weights.

    Notes
    -----
    Our choice where the papers take an ImageNet network. A map holds, for each channel:
    three undecimated Haar bands, Sobel magnitude, local mean and local deviation
    (7 x 7), (B, 6C, H, W).
    """

    haar: Tensor
    sobel: Tensor

    def __init__(self) -> None:
        super().__init__()
        low, high = torch.tensor([0.5, 0.5]), torch.tensor([-0.5, 0.5])
        pairs = ((low, low), (high, low), (low, high), (high, high))
        haar = torch.stack([torch.outer(*pair) for pair in pairs]).unsqueeze(1)
        smooth, slope = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0])
        down, along = torch.outer(slope, smooth), torch.outer(smooth, slope)
        sobel = torch.stack([down, along]).unsqueeze(1) / 8
        self.register_buffer("haar", haar, persistent=False)
        self.register_buffer("sobel", sobel, persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (B, C, H, W) in [0, 1] to one (B, 6C, H, W) map a level."""
        x, maps = image.float(), []
        with torch.autocast(x.device.type, enabled=False):
            for step in _STEPS:
                low, *details = _filter(x, self.haar, step)
                down, along = _filter(x, self.sobel, step)
                magnitude = torch.sqrt(down.square() + along.square() + 1e-8)
                mean = box_mean(x, 7)
                variance = box_mean(x.square(), 7) - mean.square()
                deviation = torch.sqrt(variance.clamp_min(1e-8))
                maps.append(torch.cat([*details, magnitude, mean, deviation], 1))
                x = low
        return maps


def _filter(x: Tensor, kernels: Tensor, step: int) -> tuple[Tensor, ...]:
    """Correlate each channel with each kernel, taps ``step`` apart."""
    channels, taps = x.shape[1], kernels.shape[-1]
    before = (taps - 1) // 2 * step
    after = (taps - 1) * step - before
    padded = F.pad(x, (before, after, before, after), mode="replicate")
    weights = kernels.repeat(channels, 1, 1, 1)
    out = F.conv2d(padded, weights, dilation=step, groups=channels)
    shape = (x.shape[0], channels, kernels.shape[0], *x.shape[2:])
    return out.reshape(shape).unbind(2)


def feature_distance(enhanced: Maps, reference: Maps, *, unit: bool = True) -> Tensor:
    """Return the mean L1 distance of maps.

    Parameters
    ----------
    enhanced, reference : sequence of float tensors, shape (B, C_k, H_k, W_k)
    unit : bool
        Scale each place's vector to length one first, which makes the distance
        comparable between feature networks (Zhang et al., LPIPS, CVPR 2018); DPE's
        code compares maps as they are [code].
    """
    terms = []
    for x, y in zip(enhanced, reference, strict=True):
        x, y = x.float(), y.float()
        if unit:
            x, y = (F.normalize(one, dim=1, eps=1e-6) for one in (x, y))
        terms.append(F.l1_loss(x, y))
    return torch.stack(terms).mean()


def content_features(enhanced: Maps, source: Maps) -> Tensor:
    """Return 1 - cosine of instance-normalised maps, averaged over maps.

    Parameters
    ----------
    enhanced, source : sequence of float tensors, shape (B, C_k, H_k, W_k)
        An encoder's maps; HQG-Net's recipe takes levels 2 to 4 of two encoders and the
        mean of both results. The encoder's weights must not learn from it.

    Returns
    -------
    float32 tensor, scalar
        0 for equal maps, about 1 for unrelated ones.

    Notes
    -----
    HQG-Net's abstract names a feature term over several encoders [known]; the form is
    our choice. Normalisation makes it blind to tone, which is what must change.
    """
    terms = [
        1 - _cosine(x.float(), y.float()) for x, y in zip(enhanced, source, strict=True)
    ]
    return torch.stack([term.mean() for term in terms]).mean()


def _cosine(x: Tensor, y: Tensor) -> Tensor:
    """Return the cosine of each image's maps, channels centred and scaled, (B,)."""
    x, y = _standardise(x).flatten(1), _standardise(y).flatten(1)
    # maps flat in both pictures agree; the floor keeps the root's slope finite
    lengths = (x.square().sum(1) + 1e-4) * (y.square().sum(1) + 1e-4)
    return ((x * y).sum(1) + 1e-4) / torch.sqrt(lengths)


def _standardise(x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + 1e-5)


def gradient_difference(enhanced: Tensor, reference: Tensor) -> Tensor:
    """Return DPE's "TVd": L1 distance of forward differences, a pixel.

    Parameters
    ----------
    enhanced, reference : float tensors, shape (B, C, H, W), in [0, 1]

    Notes
    -----
    Sums along both axes over B*C*H*W [code], counted on [-1, 1] as there.
    """
    check_pair(enhanced, reference)
    difference = 2 * (enhanced.float() - reference.float())
    rows = difference.diff(dim=2).abs().sum()
    columns = difference.diff(dim=3).abs().sum()
    return (rows + columns) / difference.numel()


def regularised_features(
    enhanced: Tensor,
    reference: Tensor,
    extractor: FeatureExtractor,
    *,
    rf_mode: Literal["product", "sum"] = "product",
    feature_weight: float = 1.0,
    unit: bool = True,
) -> Tensor:
    """Return DPE's regularised feature loss.

    Parameters
    ----------
    enhanced, reference : float tensors, shape (B, 3, H, W), in [0, 1]
    extractor : FeatureExtractor
        What sees the pictures.
    rf_mode : "product" or "sum"
        The published product of `gradient_difference` and weighted `feature_distance`,
        which fades as gradients match, or their weighted sum (ours).
    feature_weight : float
    unit : bool
        See `feature_distance`.

    Notes
    -----
    DPE's own is the product of unscaled maps of `VGG19Features` [code].
    """
    check_pair(enhanced, reference)
    with torch.no_grad():
        wanted = extractor(reference)
    distance = feature_distance(extractor(enhanced), wanted, unit=unit)
    features = feature_weight * distance
    gradients = gradient_difference(enhanced, reference)
    if rf_mode == "product":
        return gradients * features
    return gradients + features
