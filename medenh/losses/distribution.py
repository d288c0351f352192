"""Distances of distributions: a code from its prior, a picture's values from others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["code_consistency", "code_kl", "intensity_distance"]


_QUANTILES = 256  # at which two distributions are compared


def code_kl(mean: Tensor, log_variance: Tensor, *, free: float = 0.05) -> Tensor:
    """Return the divergence of a guidance code from N(0, I), averaged over dimensions.

    Parameters
    ----------
    mean, log_variance : float tensors, shape (B, D)
    free : float
        Nats a dimension that cost nothing, so that the code is not switched off.

    Returns
    -------
    float32 tensor, scalar
        0 at mean 0 and log-variance 0.

    Notes
    -----
    (exp t + m^2 - 1 - t) / 2. That HQG-Net's module samples is a guess; "free bits"
    after Kingma et al., NeurIPS 2016, less their constant, so that the floor is 0.
    """
    m, t = mean.float(), log_variance.float()
    each = (torch.exp(t) + m.square() - 1 - t).mean(0) / 2
    return F.relu(each - free).mean()


def code_consistency(enhanced: Tensor, guide: Tensor) -> Tensor:
    """Return the mean absolute difference of two codes, (B, D); the guide's is fixed.

    Notes
    -----
    HQG-Net's figure shows a consistency between output and guide [known]; that it is
    measured on the mean codes is our guess.
    """
    return F.l1_loss(enhanced.float(), guide.detach().float().expand_as(enhanced))


def intensity_distance(enhanced: Tensor, guide: Tensor) -> Tensor:
    """Return the 1-Wasserstein distance of intensities, a channel at a time.

    Parameters
    ----------
    enhanced, guide : float tensors, shapes (B, C, H, W) and (B, C, H', W'), in [0, 1]
        They need not show the same.

    Returns
    -------
    float32 tensor, scalar
        Mean over pictures and channels; differentiable in ``enhanced``.

    Notes
    -----
    Our choice (HQG-Net recipe, optional): a sliced distance whose slices are the
    channels. In one dimension it is the mean distance of quantiles.
    """
    found = _quantiles(enhanced.float())
    wanted = _quantiles(guide.detach().float())
    return F.l1_loss(found, wanted)


def _quantiles(image: Tensor) -> Tensor:
    """Return each channel's values at (k + 1/2) / 256, (B, C, 256)."""
    ordered = image.flatten(2).sort(2).values
    last = ordered.shape[2] - 1
    share = (torch.arange(_QUANTILES, device=image.device) + 0.5) / _QUANTILES
    place = (share * (last + 1) - 0.5).clamp(0, last)
    below = place.long()
    above = (below + 1).clamp_max(last)
    return torch.lerp(ordered[..., below], ordered[..., above], place - below)
