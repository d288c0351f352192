"""Losses of an enhanced batch against its reference, all (B, C, H, W) -> scalar.

All raise UsageError where the two are no float tensors of one shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medenh.losses.pairs import check_pair

__all__ = ["charbonnier", "gradient_l1", "log_mse"]


def charbonnier(
    enhanced: Tensor, reference: Tensor, *, epsilon: float = 1e-3
) -> Tensor:
    """Return mean sqrt(d^2 + epsilon^2), a smooth L1."""
    check_pair(enhanced, reference)
    return torch.sqrt((enhanced - reference).square() + epsilon**2).mean()


def gradient_l1(enhanced: Tensor, reference: Tensor) -> Tensor:
    """Return the mean absolute difference of forward differences along both axes."""
    check_pair(enhanced, reference)
    difference = enhanced - reference
    rows = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
    columns = (difference[..., 1:] - difference[..., :-1]).abs().mean()
    return rows + columns


def log_mse(enhanced: Tensor, reference: Tensor, *, floor: float = 1e-5) -> Tensor:
    """Return the mean over images of ln(mean squared error + floor).

    The mean PSNR that protocols report, up to its factor. ``floor`` (50 dB) keeps
    images that are already right from pulling at the others.
    """
    check_pair(enhanced, reference)
    per_image = (enhanced - reference).square().mean((1, 2, 3))
    return torch.log(per_image + floor).mean()
