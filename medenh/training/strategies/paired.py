"""What strategies on (degraded, clean) pairs share: data, validation, the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from medenh.training.config import TrainConfig
from medenh.training.objectives import Answer, reconstruction, segmentation_term
from medenh.training.sampler import PairSampler
from medenh.training.strategies.base import Batch, Measured, Tensors
from medenh.training.strategies.promotion import FindLosses, Promoted, two_levels
from medenh.training.task_validation import TaskValidation
from medenh.training.update import Losses, Networks, Update
from medenh.training.validation import PairValidation

__all__ = ["Paired", "share_of", "stack"]


class Paired(Promoted):
    """Learn from pairs; `figures`, `draw` and `validate` of such strategies."""

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        super().__init__(config, device)
        learnt = self.sources.learnt
        self._upper: PairSampler | None = None
        if self.promotion is not None and self.promotion.alternates:
            learnt, upper = two_levels(learnt)
            self._upper = PairSampler(upper, config.data, config.seed)
        self.pairs = PairSampler(learnt, config.data, config.seed)
        self._validation = PairValidation(self.sources.held, config.data)
        self._scores = self.task_scores(self._validation.images, device)

    @classmethod
    def figures_of(cls, config: TrainConfig) -> tuple[str, ...]:
        """Return the names of what `validate` measures."""
        return (*PairValidation.figures, *TaskValidation.figures_of(config))

    def draw(self, step: int, positions: range) -> Batch:
        """Return low and high, (B, 3, S, S), and masks and labels where known."""
        batch = stack([self.pairs.sample(step, position) for position in positions])
        if self._upper and self.promotion and self.promotion.turn(step):
            upper = [self._upper.sample(step, position) for position in positions]
            batch |= self.promotion.upper(stack(upper))
        return batch

    def names(self, step: int, positions: range) -> list[str]:
        """Return the names of the images in a part of a batch."""
        return [self.pairs.name(step, position) for position in positions]

    def validate(self, networks: Networks, device: str) -> Measured:
        """Return PSNR and SSIM of answers and inputs, and what a task says of them."""
        answers = self._validation.answers(networks.average, device)
        figures, grid = self._validation.measure(answers)
        if self._scores is not None:
            figures |= self._scores.run(answers)
        return Measured(figures, grid)

    def pair_losses(
        self,
        answer: Answer,
        batch: Tensors,
        more: dict[str, Tensor] | None = None,
        *,
        alone: bool = True,
    ) -> Losses:
        """Return the supervised terms, and others beside them.

        Parameters
        ----------
        alone : bool
            All terms reach the network through its last picture only.
        """
        terms = reconstruction(answer.images, batch["high"], self.config.loss)
        weight = self.config.loss.segmentation
        if answer.sides and weight and "mask" in batch:
            terms["segmentation"] = weight * segmentation_term(
                answer.sides, batch["mask"]
            )
        terms |= more or {}
        enhanced = answer.enhanced
        single = alone and len(answer.images) == 1 and not answer.sides
        return Losses(terms, None, enhanced if single else None, enhanced)

    def update_network(
        self,
        step: int,
        batches: Sequence[Tensors],
        update: Update,
        losses: FindLosses,
    ) -> dict[str, float]:
        """Update the network, with the task beside it, and perhaps the task."""
        promotion = self.promotion
        if promotion is None:
            return update("network", losses, batches)
        logged = update("network", promotion.beside(losses, step, update), batches)
        return logged | promotion.teach(step, batches, update, losses)


def stack(samples: list[dict[str, Any]]) -> Batch:
    """Return a batch of samples with equal keys."""
    return {name: np.stack([s[name] for s in samples]) for name in samples[0]}


def share_of(extra: int, positions: range, batch: int) -> range:
    """Return which of ``extra`` samples beside a batch belong to a part of it.

    At least one, so that every part has all the terms.
    """
    first, last = (extra * p // batch for p in (positions.start, positions.stop))
    return range(first, max(last, first + 1))
