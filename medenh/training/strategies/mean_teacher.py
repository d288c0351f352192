"""Mean teacher (T-MAGE-Net): pairs, and agreement with an average on real images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.training.config import TrainConfig
from medenh.training.objectives import Answer, answer
from medenh.training.sampler import SingleSampler
from medenh.training.strategies.base import Batch, Tensors, autocast
from medenh.training.strategies.paired import Paired, share_of
from medenh.training.update import Losses, Update

__all__ = ["MeanTeacher", "consistency", "consistency_weight"]

_REAL_SEED = 1  # real images are drawn apart from pairs


class MeanTeacher(Paired):
    """The student learns from pairs, and to agree with its own average on real images.

    Guo et al., "Bridging Synthetic and Real Images", IEEE TMI 2023, section III. The
    teacher is the run's averaged weights; it sees a noisy copy of what the student
    sees. A batch is pairs (low, high, mask) and real images.
    """

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        super().__init__(config, device)
        self._real = SingleSampler(
            self.sources.real,
            config.data,
            config.seed + _REAL_SEED,
            config.data.real_recipes,
        )

    def draw(self, step: int, positions: range) -> Batch:
        """Return pairs and their part of the real images."""
        batch = super().draw(step, positions)
        several = share_of(self.config.teacher.batch, positions, self.config.batch)
        real = [self._real.sample(step, i)["image"] for i in several]
        return batch | {"real": np.stack(real)}

    def names(self, step: int, positions: range) -> list[str]:
        """Return the names of the images in a part of a batch, the real ones last."""
        several = share_of(self.config.teacher.batch, positions, self.config.batch)
        real = [self._real.name(step, i) for i in several]
        return super().names(step, positions) + real

    def take_step(
        self, step: int, batches: Sequence[Tensors], update: Update
    ) -> dict[str, float]:
        """Update the student; the loop's average, which is the teacher, follows."""
        weight = consistency_weight(
            step,
            self.config.teacher.weight,
            self.config.teacher.ramp,
            self.config.steps,
        )
        teacher = update.networks.average
        losses = partial(self.losses, teacher=teacher, weight=weight)
        return self.update_network(step, batches, update, losses)

    def losses(
        self, network: nn.Module, batch: Tensors, *, teacher: nn.Module, weight: float
    ) -> Losses:
        """Return supervised terms on the pairs and the consistency on real images."""
        low, precision = batch["low"], self.config.precision
        with autocast(low.device.type, precision):
            found = answer(network, low)
        more = {}
        if weight and "real" in batch:
            real = batch["real"]
            noisy = _noisy(real, self.config.teacher.noise)
            with autocast(low.device.type, precision):
                student = answer(network, real)
                with torch.no_grad():
                    taught = answer(teacher, noisy)
            more["consistency"] = weight * consistency(student, taught)
        return self.pair_losses(found, batch, more, alone=False)


def consistency(student: Answer, teacher: Answer) -> Tensor:
    """Return the squared differences of every stage's picture and side's classes.

    Notes
    -----
    MSE of pictures and of softmax probabilities, summed over stages and scales. The
    paper's background section gives MSE; its final formula is not known.
    """
    terms = [
        F.mse_loss(mine, theirs)
        for mine, theirs in zip(student.images, teacher.images, strict=True)
    ]
    terms += [
        F.mse_loss(mine.softmax(1), theirs.softmax(1))
        for mine, theirs in zip(student.sides, teacher.sides, strict=True)
    ]
    return torch.stack(terms).sum()


def consistency_weight(step: int, largest: float, ramp: float, steps: int) -> float:
    """Return the weight at a step: a Gaussian rise over a share of the run.

    ``largest * exp(-5 (1 - t)^2)`` with t the part of the ramp that is done, at most 1
    (T-MAGE-Net names the Gaussian warm-up; formula of the mean teacher's code).
    """
    part = min(1.0, step / max(1.0, ramp * steps))
    return largest * math.exp(-5 * (1 - part) ** 2)


def _noisy(image: Tensor, sigma: float) -> Tensor:
    """Return the image with Gaussian noise, cut off at one sigma, in [0, 1]."""
    noise = (torch.randn_like(image) * sigma).clamp(-sigma, sigma)
    return (image + noise).clamp(0, 1)
