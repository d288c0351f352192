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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medenh import models
from medenh.errors import MedenhError, OutputError
from medenh.training import plots
from medenh.training.checkpoint import (
    load_state,
    save_state,
    save_weights,
    start_from,
)
from medenh.training.config import OptimiserConfig, TrainConfig
from medenh.training.strategies import STRATEGIES, Batch, Strategy
from medenh.zoo.fetch import weights_path
from medenh.zoo.manifest import load_manifest

__all__ = ["Progress", "TrainResult", "train"]

_LOG_EVERY = 20
_COLUMNS = ["step", "loss", "lr", "images_per_s"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a display may want to show after some steps.

    Attributes
    ----------
    figures : dict of str to float
        What the validation measured; empty when this step had none.
    """

    step: int
    steps: int
    loss: float
    images_per_second: float
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended.

    Attributes
    ----------
    step : int
        Steps done.
    score : str
        Name of the figure that chooses the best weights.
    best : float
        Its best value in a validation; -inf before the first.
    finished : bool
        False when `max_minutes` stopped it; resume goes on.
    """

    step: int
    score: str
    best: float
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
        curve.png, samples.png (where there are pictures to show), config.json.
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
    strategy = STRATEGIES[config.strategy](config)
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
    for batch in _batches(strategy, step, config.steps):
        _set_lr(optimiser, _lr_at(step, config.optimiser, config.steps))
        tensors = [_to_device(side, device) for side in batch]
        torch.manual_seed(config.seed * 1_000_003 + step)  # what dropout drops
        loss = _step(strategy, network, optimiser, tensors, config.optimiser.clip)
        step += 1
        _update_average(average, network, config.optimiser.ema, step)

        figures: list[float] = []
        if step % config.validate_every == 0 or step == config.steps:
            figures = _validate(strategy, average, device, run_dir)
            if figures[0] > best:
                best = figures[0]
                save_weights(run_dir / "best.safetensors", average)
        if figures or step % _LOG_EVERY == 0:
            now = time.monotonic()
            speed = config.batch * (step - last_logged) / max(now - since, 1e-9)
            since, last_logged = now, step
            lr = optimiser.param_groups[0]["lr"]
            _log(
                run_dir / "log.csv", [step, loss, lr, speed], strategy.figures, figures
            )
            named = dict(zip(strategy.figures, figures, strict=False))
            on_progress(Progress(step, config.steps, loss, speed, named))
        if figures:
            plots.save_curve(run_dir / "log.csv", run_dir / "curve.png")
        stop = time.monotonic() > deadline or step >= config.steps
        if stop or time.monotonic() - saved > 60 * config.checkpoint_minutes:
            save()
            saved = time.monotonic()
        if stop:
            break
    return TrainResult(step, strategy.figures[0], best, step >= config.steps)


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
        start_from(_weights_file(config.network.start_from), network)
    average = deepcopy(network).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=config.optimiser.lr,
        weight_decay=config.optimiser.weight_decay,
        betas=(0.9, 0.99),
    )
    return network, average, optimiser


def _weights_file(name: str) -> Path:
    """Return a safetensors file by its path or by the id of a model of the zoo."""
    if name.endswith(".safetensors"):
        return Path(name)
    return weights_path(load_manifest().get(name))


def _batches(strategy: Strategy, first: int, steps: int) -> Iterator[Batch]:
    """Draw the batches of the remaining steps, one ahead, on a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(strategy.draw, first)
        for step in range(first, steps):
            batch = ahead.result()
            if step + 1 < steps:
                ahead = pool.submit(strategy.draw, step + 1)
            yield batch


def _to_device(side: NDArray[np.float32] | NDArray[np.int64], device: str) -> Tensor:
    layout = torch.channels_last if side.ndim == 4 else torch.preserve_format
    return torch.from_numpy(side).to(device, memory_format=layout)


def _step(
    strategy: Strategy,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: list[Tensor],
    clip: float,
) -> float:
    """Take one optimiser step and return the loss."""
    network.train()
    loss = strategy.loss(network, batch)
    if not torch.isfinite(loss):
        raise MedenhError(
            "the loss is no longer finite", hint="a smaller learning rate, or fp32"
        )
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()
    return loss.item()


def _validate(
    strategy: Strategy, average: nn.Module, device: str, run_dir: Path
) -> list[float]:
    """Return what the strategy measures, leaving its sample pictures, if any."""
    figures, grid = strategy.validate(average, device)
    if grid is not None:
        plots.save_grid(run_dir / "samples.png", grid)
    return figures


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
    """Move the averaged weights; the average is shorter while the run is young.

    Running statistics of batch normalisation are averaged along; they belong to them.
    """
    keep = min(decay, (1 + step) / (10 + step))
    ours, theirs = average.state_dict(), network.state_dict()
    for name, value in ours.items():
        if value.is_floating_point():
            value.lerp_(theirs[name], 1 - keep)


def _log(
    path: Path, values: list[float], names: tuple[str, ...], figures: list[float]
) -> None:
    """Add a row; figures of the validation are empty in rows without one."""
    new = not path.exists()
    with path.open("a", newline="") as handle:
        writer = csv.writer(handle)
        if new:
            writer.writerow([*_COLUMNS, *names])
        cells = [f"{value:.6g}" for value in (*values, *figures)]
        writer.writerow([*cells, *[""] * (len(names) - len(figures))])
