"""Supervised: reconstruction losses on (degraded, clean) pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from medenh.training.config import TrainConfig
from medenh.training.objectives import Answer, answer, reconstruction
from medenh.training.strategies.base import Batch, Tensors, autocast
from medenh.training.strategies.paired import Paired, share_of, stack
from medenh.training.update import Losses, Update

__all__ = ["Supervised"]


class Conditioned(Protocol):
    """A network that corrects the whole picture first, then what is left of it.

    `dpe-plus` and `fieldnet`: ``network(x) == refined(x, condition(x))`` where the
    sides of x are multiples of what the network wants.
    """

    def condition(self, image: Tensor) -> Tensor:
        """Estimate the correction from the picture."""

    def best_condition(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the correction in hindsight."""

    def corrected(self, image: Tensor, condition: Tensor) -> Tensor:
        """Return the picture after the correction alone."""

    def refined(self, image: Tensor, condition: Tensor) -> Tensor:
        """Return the picture after both."""


class Supervised(Paired):
    """Learn to undo degradations from pairs alone.

    Networks with a `condition` of the whole picture may learn it from extra samples
    (`condition_batch`), and be given it at times (`teacher_share`).
    """

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        super().__init__(config, device)
        self._extra = config.condition_batch

    def draw(self, step: int, positions: range) -> Batch:
        """Return the sides of a batch, and those of the condition's own."""
        batch = super().draw(step, positions)
        if self._extra:
            whole, side = self.config.batch, self.config.condition_size
            share = self.config.condition_whole_share
            several = share_of(self._extra, positions, whole)
            more = [self.pairs.sample(step, whole + i, side, share) for i in several]
            small = stack(more)
            batch |= {"small_low": small["low"], "small_high": small["high"]}
        return batch

    def take_step(
        self, step: int, batches: Sequence[Tensors], update: Update
    ) -> dict[str, float]:
        """Update the network, then perhaps the task."""
        return self.update_network(step, batches, update, self.losses)

    def losses(self, network: nn.Module, batch: Tensors) -> Losses:
        """Return the reconstruction terms, of the exposure estimate too."""
        config, low = self.config, batch["low"]
        with autocast(low.device.type, config.precision):
            if config.teacher_share:
                share = config.teacher_share
                taught = _with_teacher(
                    cast(Conditioned, network), low, batch["high"], share
                )
                found = Answer((taught,), ())
            else:
                found = answer(network, low)
        if not self._extra:
            return self.pair_losses(found, batch)
        small = self._condition_terms(network, batch["small_low"], batch["small_high"])
        return self.pair_losses(found, batch, small, alone=False)

    def _condition_terms(
        self, network: nn.Module, low: Tensor, high: Tensor
    ) -> dict[str, Tensor]:
        conditioned = cast(Conditioned, network)
        with autocast(low.device.type, self.config.precision):
            condition = conditioned.condition(low)
        image = conditioned.corrected(low, condition.float())
        terms = reconstruction((image,), high, self.config.loss)
        return {"condition": torch.stack(list(terms.values())).sum()}


def _with_teacher(
    network: Conditioned, low: Tensor, high: Tensor, share: float
) -> Tensor:
    """Run a batch whose first samples have the best condition in hindsight."""
    taught = round(share * len(low))
    with torch.no_grad(), torch.autocast(low.device.type, enabled=False):
        best = network.best_condition(low[:taught], high[:taught])
    condition = best
    if taught < len(low):
        condition = torch.cat([best, network.condition(low[taught:]).float()])
    return network.refined(low, condition)
