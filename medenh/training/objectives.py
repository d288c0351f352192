"""Reconstruction terms by their weights, and the answers of networks that give more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.errors import UsageError
from medenh.losses.laplacian import edge
from medenh.losses.reconstruction import charbonnier, gradient_l1, log_mse
from medenh.losses.similarity import ssim_loss
from medenh.training.sections import LossConfig

__all__ = ["Answer", "answer", "reconstruction", "segmentation_term"]

_TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "charbonnier": charbonnier,
    "gradient": gradient_l1,
    "edge": edge,
    "log_mse": log_mse,
    "ssim": ssim_loss,
}


class Answer:
    """What a network says of a batch.

    Attributes
    ----------
    images : tuple of float32 tensors, shape (B, 3, H, W)
        Every stage's picture, the last one the result.
    sides : tuple of float32 tensors, shape (B, K, H, W)
        Logits of a network that segments on the side.
    """

    def __init__(self, images: tuple[Tensor, ...], sides: tuple[Tensor, ...]) -> None:
        self.images = tuple(image.float() for image in images)
        self.sides = tuple(side.float() for side in sides)

    @property
    def enhanced(self) -> Tensor:
        """The result, float32."""
        return self.images[-1]


def answer(network: nn.Module, low: Tensor) -> Answer:
    """Return all that a network says of a batch (`MAGENet.outputs`, or its picture)."""
    if hasattr(network, "outputs"):
        found = cast(Any, network).outputs(low)
        return Answer(found.images, found.sides)
    return Answer((network(low),), ())


def reconstruction(
    images: tuple[Tensor, ...], reference: Tensor, weights: LossConfig
) -> dict[str, Tensor]:
    """Return the weighted terms of every stage's picture, added up over the stages.

    Parameters
    ----------
    images : tuple of float32 tensors, shape (B, C, H, W)
    reference : float32 tensor, same shape
    weights : LossConfig
        0 leaves the computation out.
    """
    terms: dict[str, Tensor] = {}
    for name, term in _TERMS.items():
        weight = getattr(weights, name)
        if weight:
            each = [weight * term(image, reference) for image in images]
            terms[name] = each[0] if len(each) == 1 else torch.stack(each).sum()
    return terms


def segmentation_term(sides: tuple[Tensor, ...], coverage: Tensor) -> Tensor:
    """Return the cross-entropy of softmax logits, added up over the sides.

    Parameters
    ----------
    sides : tuple of float32 tensors, shape (B, 1 + K, H, W)
        The first class is the background.
    coverage : float32 tensor, shape (B, K, H, W), in [0, 1]

    Raises
    ------
    UsageError
        The network segments another number of classes.

    Notes
    -----
    T-MAGE-Net's segmentation loss; its formula is not known. Cross-entropy of each
    side as AG-Net takes it [code], with shares of classes as target [our choice].
    """
    classes = coverage.shape[1]
    if sides[0].shape[1] != 1 + classes:
        raise UsageError(
            f"the network segments {sides[0].shape[1] - 1} classes beside the "
            f"background, and the masks have {classes}",
            hint="network.options.structures, or loss.segmentation=0",
        )
    background = (1 - coverage.sum(1, keepdim=True)).clamp_min(0)
    target = torch.cat([background, coverage], 1)
    target = target / target.sum(1, keepdim=True).clamp_min(1e-6)
    return torch.stack([F.cross_entropy(side, target) for side in sides]).sum()
