"""What discriminator and generator want of logits.

Logits are one tensor of any shape, or a sequence of them; terms are means over all
answers of a tensor, then over tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Logits",
    "bce_discriminator",
    "bce_generator",
    "hinge_discriminator",
    "hinge_generator",
    "lsgan_discriminator",
    "lsgan_generator",
    "r1_penalty",
]

Logits = Tensor | Sequence[Tensor]


def hinge_discriminator(real: Logits, fake: Logits) -> Tensor:
    """Return mean max(0, 1 - real) + mean max(0, 1 + fake) (Lim and Ye, 2017)."""
    return _mean(real, lambda x: F.relu(1 - x)) + _mean(fake, lambda x: F.relu(1 + x))


def hinge_generator(fake: Logits) -> Tensor:
    """Return -mean fake."""
    return -_mean(fake, lambda x: x)


def lsgan_discriminator(real: Logits, fake: Logits) -> Tensor:
    """Return half of mean (real - 1)^2 + mean fake^2 (Mao et al., ICCV 2017)."""
    total = _mean(real, lambda x: (x - 1).square()) + _mean(fake, torch.square)
    return total / 2


def lsgan_generator(fake: Logits) -> Tensor:
    """Return mean (fake - 1)^2."""
    return _mean(fake, lambda x: (x - 1).square())


def bce_discriminator(
    real: Logits, fake: Logits, *, generator: torch.Generator | None = None
) -> Tensor:
    """Return binary cross-entropy against soft random labels.

    Parameters
    ----------
    real, fake : logits
        The first axis counts the samples.
    generator : torch.Generator, optional
        On the CPU; labels depend on its state alone.

    Notes
    -----
    DPE [code]: a label a sample, 0.3 u for fake and 0.7 + 0.5 u for real, u uniform on
    [0, 1]. Labels above 1 are no probabilities, and torch refuses them: ours are
    0.7 + 0.3 u.
    """

    def against(low: float, high: float) -> Callable[[Tensor], Tensor]:
        def term(logits: Tensor) -> Tensor:
            draw = torch.rand(len(logits), generator=generator).to(logits)
            labels = low + (high - low) * draw
            labels = labels.view(-1, *[1] * (logits.ndim - 1)).expand_as(logits)
            return F.binary_cross_entropy_with_logits(logits, labels)

        return term

    return _mean(real, against(0.7, 1.0)) + _mean(fake, against(0.0, 0.3))


def bce_generator(fake: Logits) -> Tensor:
    """Return mean -log sigmoid(fake), the non-saturating loss."""
    return _mean(fake, lambda x: F.softplus(-x))


def r1_penalty(logits: Logits, images: Tensor) -> Tensor:
    """Return half the squared gradient of the logits at real images.

    Parameters
    ----------
    logits : logits
        Of the real images, with their graph; a map counts by its mean.
    images : float tensor, shape (B, C, H, W)
        They must require a gradient.

    Returns
    -------
    float tensor, scalar
        Summed over pixels, averaged over images; differentiable.

    Notes
    -----
    Mescheder et al., ICML 2018; HQG-Net's released code uses it with weight 1 [code].
    """
    tensors = [logits] if isinstance(logits, Tensor) else list(logits)
    each = torch.stack([x.float().flatten(1).mean(1) for x in tensors]).mean(0)
    (gradient,) = torch.autograd.grad(each.sum(), images, create_graph=True)
    return gradient.float().square().flatten(1).sum(1).mean() / 2


def _mean(logits: Logits, term: Callable[[Tensor], Tensor]) -> Tensor:
    """Average a term over answers, then over tensors, in float32."""
    tensors = [logits] if isinstance(logits, Tensor) else logits
    return torch.stack([term(x.float()).mean() for x in tensors]).mean()
