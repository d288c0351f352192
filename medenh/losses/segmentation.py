"""Where each class is: loss of segmentation logits against coverages."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["bce_dice"]


def bce_dice(logits: Tensor, coverage: Tensor) -> Tensor:
    """Return binary cross-entropy plus one minus the soft Dice.

    Parameters
    ----------
    logits, coverage : float tensors, shape (B, K, H, W)
        Coverage in [0, 1].

    Returns
    -------
    float tensor, scalar

    Notes
    -----
    The Dice of Milletari et al., V-Net, 3DV 2016 (squares in the denominator), over
    the whole batch, a class at a time.
    """
    bce = F.binary_cross_entropy_with_logits(logits, coverage)
    guess, over = torch.sigmoid(logits), (0, 2, 3)
    overlap = 2 * (guess * coverage).sum(over) + 1
    total = guess.square().sum(over) + coverage.square().sum(over) + 1
    return bce + (1 - overlap / total).mean()
