"""Paired restoration: clean images, degraded on the fly; PSNR on held-back ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from medenh.losses.reconstruction import charbonnier, gradient_l1, log_mse
from medenh.training.config import LossConfig, TrainConfig
from medenh.training.data import Sampler, load_pack, split_holdout
from medenh.training.strategies.base import Batch, autocast
from medenh.training.validation import Validation
from medenh.types import FloatArray

__all__ = ["Restoration"]


class Restoration:
    """Learn to undo a degradation from (degraded, clean) squares.

    A batch is degraded and clean and, where the configuration has a condition batch,
    also its degraded and clean.
    """

    figures = ("psnr", "psnr_identity")

    def __init__(self, config: TrainConfig) -> None:
        images = []
        for pack in config.data.packs:
            folder = Path(config.data.root) / pack
            images += load_pack(
                folder, config.data.qualities, ("train",), config.data.max_side
            )
        learnt, held = split_holdout(images, config.data.holdout_share)
        self._config = config
        self._sampler = Sampler(learnt, config.data, config.seed)
        self._validation = Validation(held)

    def draw(self, step: int) -> Batch:
        """Return the sides of a batch."""
        config = self._config
        sides = [*self._sampler.batch(step, config.batch)]
        if config.condition_batch:
            extra, side = config.condition_batch, config.condition_size
            sides += self._sampler.small_batch(step, config.batch, extra, side)
        return [*sides]

    def loss(self, network: nn.Module, batch: list[Tensor]) -> Tensor:
        """Return the reconstruction loss, of the exposure estimate too."""
        config = self._config
        low, high = batch[:2]
        with autocast(low.device.type, config.precision):
            if config.teacher_share:
                share = config.teacher_share
                enhanced = _with_teacher(cast(Any, network), low, high, share)
            else:
                enhanced = network(low)
        loss = _loss(enhanced.float(), high, config.loss)
        if config.condition_batch:
            low, high = batch[2:]
            with autocast(low.device.type, config.precision):
                condition = cast(Any, network).condition(low)
            affine = condition.float().unsqueeze(-1).unsqueeze(-1)
            loss = loss + _loss(low * affine[:, :3] + affine[:, 3:], high, config.loss)
        return loss

    def validate(
        self, network: nn.Module, device: str
    ) -> tuple[list[float], FloatArray | None]:
        """Return mean PSNR of the output and of the input, and sample pictures."""
        psnr, grid = self._validation.run(network, device)
        return [psnr, self._validation.identity_psnr], grid


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


def _loss(enhanced: Tensor, reference: Tensor, weights: LossConfig) -> Tensor:
    total = weights.charbonnier * charbonnier(enhanced, reference)
    if weights.gradient:
        total = total + weights.gradient * gradient_l1(enhanced, reference)
    if weights.log_mse:
        total = total + weights.log_mse * log_mse(enhanced, reference)
    return total
