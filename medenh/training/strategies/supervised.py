"""Supervised: reconstruction losses on (degraded, clean) pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from medenh.training.config import TrainConfig
from medenh.training.objectives import Answer, answer, reconstruction
from medenh.training.strategies.base import Batch, Tensors, autocast
from medenh.training.strategies.paired import Paired, share_of, stack
from medenh.training.update import Losses, Update

__all__ = ["Supervised"]


class Supervised(Paired):
    """Learn to undo degradations from pairs alone.

    Networks with a `condition` of the whole picture may learn it from extra samples
    (`condition_batch`), and be given it at times (`teacher_share`).
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        self._extra = config.condition_batch

    def draw(self, step: int, positions: range) -> Batch:
        """Return the sides of a batch, and those of the condition's own."""
        batch = super().draw(step, positions)
        if self._extra:
            whole, side = self.config.batch, self.config.condition_size
            several = share_of(self._extra, positions, whole)
            more = [self.pairs.sample(step, whole + i, side) for i in several]
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
                taught = _with_teacher(cast(Any, network), low, batch["high"], share)
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
        with autocast(low.device.type, self.config.precision):
            condition = cast(Any, network).condition(low)
        affine = condition.float().unsqueeze(-1).unsqueeze(-1)
        image = low * affine[:, :3] + affine[:, 3:]
        terms = reconstruction((image,), high, self.config.loss)
        return {"condition": torch.stack(list(terms.values())).sum()}


def _with_teacher(network: Any, low: Tensor, high: Tensor, share: float) -> Tensor:
    """Run a batch whose first samples have the best condition in hindsight."""
    taught = round(share * len(low))
    condition = torch.cat(
        [_best_affine(low[:taught], high[:taught]), network.condition(low[taught:])]
    )
    enhanced: Tensor = network.local(low, condition)
    return enhanced


def _best_affine(low: Tensor, high: Tensor) -> Tensor:
    """Return the least-squares gain and offset of each pair, shape (B, 6)."""
    x, y = low.flatten(1), high.flatten(1)
    x_mean, y_mean = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    covariance = ((x - x_mean) * (y - y_mean)).mean(1, keepdim=True)
    variance = (x - x_mean).square().mean(1, keepdim=True).clamp_min(1e-7)
    gain = (covariance / variance).clamp(0.05, 100.0)
    return torch.cat([gain, y_mean - gain * x_mean], 1).repeat_interleave(3, 1)
