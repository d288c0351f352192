"""The training loop; reads from top to bottom.

Every sample depends on (seed, step, position), and the state holds weights, averages
and optimiser, so a resumed run takes the steps an undisturbed one would have taken.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from medenh import models
from medenh.errors import MedenhError, OutputError
from medenh.losses.reconstruction import charbonnier, gradient_l1, log_mse
from medenh.training import plots
from medenh.training.checkpoint import (
    load_state,
    save_state,
    save_weights,
    start_from,
)
from medenh.training.config import LossConfig, OptimiserConfig, TrainConfig
from medenh.training.data import Sampler, load_pack, split_holdout
from medenh.training.validation import Validation
from medenh.types import FloatArray

__all__ = ["Progress", "TrainResult", "train"]

_LOG_EVERY = 20
_COLUMNS = ["step", "loss", "lr", "images_per_s", "psnr", "psnr_identity"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a display may want to show after some steps."""

    step: int
    steps: int
    loss: float
    images_per_second: float
    psnr: float | None


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended.

    Attributes
    ----------
    step : int
        Steps done.
    best_psnr : float
        Best validation PSNR in dB; -inf before the first validation.
    finished : bool
        False when `max_minutes` stopped it; resume goes on.
    """

    step: int
    best_psnr: float
    finished: bool


def train(
    config: TrainConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    device: str = "cpu",
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> TrainResult:
    """Train a network, leaving checkpoints, weights, log and curve in a folder.

    Parameters
    ----------
    config : TrainConfig
    run_dir : path
        Gets last.pt (state), best.safetensors (averaged weights, fp16), log.csv,
        curve.png, samples.png, config.json.
    resume : bool
        Go on from ``run_dir/last.pt``.
    max_minutes : float, optional
        Stop cleanly after this long; the state is saved.
    device : str
        torch device.
    on_progress : callable
        Called every few steps.

    Raises
    ------
    UsageError
        No images, nothing to resume from, a state of another configuration.
    MedenhError
        The loss became NaN or infinite; names the step.
    """
    deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
    _prepare_folder(run_dir, config, resume=resume)
    sampler, validation = _load_data(config)
    network, average, optimiser = _build(config, device)
    step, best = 0, -math.inf
    if resume:
        state = load_state(run_dir / "last.pt")
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, best = state["step"], state["best"]

    def save() -> None:
        state = {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": step,
            "best": best,
        }
        save_state(run_dir / "last.pt", state)

    saved, since, last_logged = time.monotonic(), time.monotonic(), step
    for batch in _batches(sampler, step, config):
        _set_lr(optimiser, _lr_at(step, config.optimiser, config.steps))
        sides = [_to_device(side, device) for side in batch]
        loss = _step(network, optimiser, sides, config)
        step += 1
        _update_average(average, network, config.optimiser.ema, step)

        psnr = None
        if step % config.validate_every == 0 or step == config.steps:
            psnr, grid = validation.run(average, device)
            plots.save_grid(run_dir / "samples.png", grid)
            if psnr > best:
                best = psnr
                save_weights(run_dir / "best.safetensors", average)
        if psnr is not None or step % _LOG_EVERY == 0:
            now = time.monotonic()
            speed = config.batch * (step - last_logged) / max(now - since, 1e-9)
            since, last_logged = now, step
            lr = optimiser.param_groups[0]["lr"]
            identity = None if psnr is None else validation.identity_psnr
            _log(run_dir / "log.csv", [step, loss, lr, speed, psnr, identity])
            on_progress(Progress(step, config.steps, loss, speed, psnr))
        if psnr is not None:
            plots.save_curve(run_dir / "log.csv", run_dir / "curve.png")
        stop = time.monotonic() > deadline or step >= config.steps
        if stop or time.monotonic() - saved > 60 * config.checkpoint_minutes:
            save()
            saved = time.monotonic()
        if stop:
            break
    return TrainResult(step, best, step >= config.steps)


def _prepare_folder(run_dir: Path, config: TrainConfig, *, resume: bool) -> None:
    """Make the folder; refuse to overwrite a run or to resume a different one."""
    described = json.dumps(config.model_dump(), indent=1)
    known = run_dir / "config.json"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder: {error}", path=run_dir) from error
    if (run_dir / "last.pt").exists() and not resume:
        raise OutputError(
            "holds a run already", path=run_dir, hint="--resume, or another folder"
        )
    if not resume:
        (run_dir / "log.csv").unlink(missing_ok=True)
    known.write_text(described)


def _build(
    config: TrainConfig, device: str
) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
    """Return the network, its average and the optimiser, as they stand at step 0."""
    torch.manual_seed(config.seed)
    network = models.create(
        config.network.architecture, config.network.preset, **config.network.options
    ).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.network.start_from:
        start_from(Path(config.network.start_from), network)
    average = deepcopy(network).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=config.optimiser.lr,
        weight_decay=config.optimiser.weight_decay,
        betas=(0.9, 0.99),
    )
    return network, average, optimiser


def _load_data(config: TrainConfig) -> tuple[Sampler, Validation]:
    images = []
    for pack in config.data.packs:
        folder = Path(config.data.root) / pack
        images += load_pack(
            folder, config.data.qualities, ("train",), config.data.max_side
        )
    train_images, held = split_holdout(images, config.data.holdout_share)
    return Sampler(train_images, config.data, config.seed), Validation(held)


def _batches(
    sampler: Sampler, first: int, config: TrainConfig
) -> Iterator[list[FloatArray]]:
    """Draw the batches of the remaining steps, one ahead, on a thread of its own.

    Yields degraded and clean, and where the configuration has a condition batch also
    its degraded and clean.
    """

    def draw(step: int) -> list[FloatArray]:
        sides = [*sampler.batch(step, config.batch)]
        if config.condition_batch:
            extra, side = config.condition_batch, config.condition_size
            sides += sampler.small_batch(step, config.batch, extra, side)
        return sides

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(draw, first)
        for step in range(first, config.steps):
            batch = ahead.result()
            if step + 1 < config.steps:
                ahead = pool.submit(draw, step + 1)
            yield batch


def _to_device(batch: FloatArray, device: str) -> Tensor:
    return torch.from_numpy(batch).to(device, memory_format=torch.channels_last)


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    sides: list[Tensor],
    config: TrainConfig,
) -> float:
    """Take one optimiser step and return the loss."""
    network.train()
    low, high = sides[:2]
    bf16 = config.precision == "bf16"
    with torch.autocast(low.device.type, torch.bfloat16, enabled=bf16):
        if config.teacher_share:
            enhanced = _with_teacher(cast(Any, network), low, high, config)
        else:
            enhanced = network(low)
    loss = _loss(enhanced.float(), high, config.loss)
    if config.condition_batch:
        low, high = sides[2:]
        with torch.autocast(low.device.type, torch.bfloat16, enabled=bf16):
            affine = (
                cast(Any, network).condition(low).float().unsqueeze(-1).unsqueeze(-1)
            )
        loss = loss + _loss(low * affine[:, :3] + affine[:, 3:], high, config.loss)
    if not torch.isfinite(loss):
        raise MedenhError(
            "the loss is no longer finite", hint="a smaller learning rate, or fp32"
        )
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.clip)
    optimiser.step()
    return loss.item()


def _with_teacher(
    network: Any, low: Tensor, high: Tensor, config: TrainConfig
) -> Tensor:
    """Run a batch whose first samples have the best condition in hindsight."""
    taught = round(config.teacher_share * len(low))
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


def _lr_at(step: int, config: OptimiserConfig, steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then cosine to zero."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    span = max(1, steps - config.warmup_steps)
    return (
        config.lr * 0.5 * (1 + math.cos(math.pi * (step - config.warmup_steps) / span))
    )


def _set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = lr


@torch.no_grad()
def _update_average(
    average: nn.Module, network: nn.Module, decay: float, step: int
) -> None:
    """Move the averaged weights; the average is shorter while the run is young."""
    keep = min(decay, (1 + step) / (10 + step))
    for a, b in zip(average.parameters(), network.parameters(), strict=True):
        a.lerp_(b.detach(), 1 - keep)


def _log(path: Path, values: list[float | int | None]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as handle:
        writer = csv.writer(handle)
        if new:
            writer.writerow(_COLUMNS)
        writer.writerow(["" if v is None else f"{v:.6g}" for v in values])
