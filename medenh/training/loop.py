"""The training loop; reads from top to bottom.

Every sample depends on (seed, step, position), and the state holds networks, averages
and optimisers, so a resumed run takes the steps an undisturbed one would have taken.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medenh import models
from medenh.errors import MedenhError, OutputError, UsageError
from medenh.training import plots
from medenh.training.batches import batches_ahead, count_workers
from medenh.training.checkpoint import (
    load_state,
    save_state,
    save_weights,
    start_from,
    weights_file,
)
from medenh.training.config import TrainConfig
from medenh.training.distributed import World, join
from medenh.training.sections import OptimiserConfig
from medenh.training.strategies import STRATEGIES, Batch, Measured, Strategy
from medenh.training.update import Networks, NonFiniteLossError, Update

__all__ = ["Progress", "TrainResult", "train"]

_LOG_EVERY = 20
_COLUMNS = ["step", "loss", "lr", "images_per_s"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a display may want to show after some steps.

    Attributes
    ----------
    losses : dict of str to float
        The terms of the last step.
    figures : dict of str to float
        What the validation measured; empty when this step had none.
    """

    step: int
    steps: int
    loss: float
    images_per_second: float
    losses: dict[str, float]
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
    should_stop: Callable[[], bool] = lambda: False,
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
    should_stop : callable
        Asked after every step; True ends the run as `max_minutes` does.

    Raises
    ------
    UsageError
        No images, nothing to resume from, a state of another configuration.
    MedenhError
        The loss became NaN or infinite; names the step and its images.

    Notes
    -----
    Under `torchrun` each process takes its part of every batch, and the first one
    validates and writes.
    """
    deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes

    def out_of_time() -> bool:
        return time.monotonic() > deadline or should_stop()

    world = join(device)
    try:
        if world.leads:
            _prepare_folder(run_dir, config, resume=resume)
        return _train(config, run_dir, world, out_of_time, on_progress, resume=resume)
    finally:
        world.leave()


def _train(
    config: TrainConfig,
    run_dir: Path,
    world: World,
    out_of_time: Callable[[], bool],
    on_progress: Callable[[Progress], None],
    *,
    resume: bool,
) -> TrainResult:
    strategy = STRATEGIES[config.strategy](config)
    update = _build(config, strategy, world)
    step, best = 0, -math.inf
    if resume:
        state = load_state(run_dir / "last.pt")
        _check_same(state["config"], config)
        update.load_state_dict(state["update"])
        strategy.load_state_dict(state["strategy"])
        step, best = state["step"], state["best"]
    journal = _Journal(config, run_dir, strategy.figures, on_progress, step)

    parts = [world.part(positions) for positions in _micro_batches(config)]
    saved = time.monotonic()
    for batches in batches_ahead(
        strategy,
        range(step, config.steps),
        parts,
        workers=count_workers(config.data.workers, world.device),
        pin=world.device.startswith("cuda"),
    ):
        update.set_rate(_rate_at(step, config.optimiser, config.steps))
        torch.manual_seed(_noise_seed(config.seed, step, world.rank))
        tensors = [_to_device(batch, world.device) for batch in batches]
        losses = _take_step(strategy, step, tensors, update, parts)
        update.networks.move_average(config.optimiser.ema, step)
        step += 1

        measured = Measured({})
        if world.leads and (step % config.validate_every == 0 or step == config.steps):
            measured = strategy.validate(update.networks, world.device)
            score = measured.figures[strategy.figures[0]]
            if score > best:
                best = score
                save_weights(run_dir / "best.safetensors", update.networks.average)
        if world.leads:
            rate = update.optimisers["network"].param_groups[0]["lr"]
            journal.note(step, losses, rate, measured)
        stop = world.any(out_of_time()) or step >= config.steps
        due = time.monotonic() - saved > 60 * config.checkpoint_minutes
        if world.leads and (stop or due):
            state = {
                "update": update.state_dict(),
                "strategy": strategy.state_dict(),
                "step": step,
                "best": best,
                "config": json.dumps(config.model_dump(mode="json")),
            }
            save_state(run_dir / "last.pt", state)
            saved = time.monotonic()
        if stop:
            break
    return TrainResult(step, strategy.figures[0], best, step >= config.steps)


def _prepare_folder(run_dir: Path, config: TrainConfig, *, resume: bool) -> None:
    """Make the folder; refuse to overwrite a run."""
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
    described = json.dumps(config.model_dump(mode="json"), indent=1)
    (run_dir / "config.json").write_text(described)


def _check_same(stored: str, config: TrainConfig) -> None:
    """Refuse to resume with what would make the state another run's.

    Steps, validation and checkpoints may change: a run may be made longer.
    """
    free = {"steps", "validate_every", "checkpoint_minutes", "accumulate"}
    before: dict[str, Any] = json.loads(stored)
    now = config.model_dump(mode="json")
    changed = [k for k in now if k not in free and before.get(k) != now[k]]
    if changed:
        raise UsageError(
            f"the run to resume was made with other settings: {', '.join(changed)}",
            hint="give the same configuration, or another folder",
        )


def _build(config: TrainConfig, strategy: Strategy, world: World) -> Update:
    """Return networks and optimisers as they stand at step 0."""
    torch.manual_seed(config.seed)
    network = models.create(
        config.network.architecture, config.network.preset, **config.network.options
    )
    if config.network.start_from:
        start_from(weights_file(config.network.start_from), network)
    everything = {"network": network, **strategy.companions(network)}
    for one in everything.values():
        one.to(world.device)
        one.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        world.align(one)
    network = everything.pop("network")
    scaler = None
    if config.precision == "fp16":
        scaler = torch.amp.GradScaler(torch.device(world.device).type)
    networks = Networks(network, everything)
    return Update.create(networks, config.optimiser, config.promote, scaler)


def _micro_batches(config: TrainConfig) -> list[range]:
    """Return the positions of a batch's parts."""
    each = config.batch // config.accumulate
    return [range(i * each, (i + 1) * each) for i in range(config.accumulate)]


def _noise_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of what dropout drops and noise adds in a step."""
    return (seed * 1_000_003 + step) * 1_009 + rank


def _to_device(batch: Batch | dict[str, Tensor], device: str) -> dict[str, Tensor]:
    moved = {}
    for name, value in batch.items():
        tensor = value if isinstance(value, Tensor) else torch.from_numpy(value)
        layout = torch.channels_last if tensor.ndim == 4 else torch.preserve_format
        moved[name] = tensor.to(device, memory_format=layout, non_blocking=True)
    return moved


def _take_step(
    strategy: Strategy,
    step: int,
    tensors: list[dict[str, Tensor]],
    update: Update,
    parts: list[range],
) -> dict[str, float]:
    """Take a step; where a loss is not finite, name the images it came from."""
    for name in update.optimisers:
        update.networks[name].train()
    try:
        losses = strategy.take_step(step, tensors, update)
    except NonFiniteLossError as error:
        names = [name for part in parts for name in strategy.names(step, part)]
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise MedenhError(
            f"{error.what}, at step {step} on {shown}", hint=error.hint
        ) from error
    if update.scaler is not None:
        update.scaler.update()
    return losses


def _rate_at(step: int, config: OptimiserConfig, steps: int) -> float:
    """Return a step's learning rate against the highest: warm-up, then cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    span = max(1, steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * (step - config.warmup_steps) / span))
    last = config.final_lr / config.lr
    return last + (1 - last) * cosine


class _Journal:
    """Writes log.csv, curve.png and samples.png, and tells the display."""

    def __init__(
        self,
        config: TrainConfig,
        run_dir: Path,
        figures: tuple[str, ...],
        on_progress: Callable[[Progress], None],
        step: int,
    ) -> None:
        self._config, self._run_dir, self._figures = config, run_dir, figures
        self._on_progress = on_progress
        self._since, self._last = time.monotonic(), step

    def note(
        self, step: int, losses: dict[str, float], rate: float, measured: Measured
    ) -> None:
        """Write what there is to write after a step."""
        if not measured.figures and step % _LOG_EVERY:
            return
        now, config = time.monotonic(), self._config
        speed = config.batch * (step - self._last) / max(now - self._since, 1e-9)
        self._since, self._last = now, step
        figures, loss = measured.figures, losses["loss"]
        values = {"step": step, "loss": loss, "lr": rate, "images_per_s": speed}
        self._write(values | figures | losses)
        self._on_progress(Progress(step, config.steps, loss, speed, losses, figures))
        if measured.grid is not None:
            plots.save_grid(self._run_dir / "samples.png", measured.grid)
        if measured.figures:
            plots.save_curve(
                self._run_dir / "log.csv", self._run_dir / "curve.png", self._figures
            )

    def _write(self, values: dict[str, float]) -> None:
        """Add a row; what it does not hold is empty, what is new gets a column."""
        path = self._run_dir / "log.csv"
        rows: list[dict[str, str]] = []
        names = [*_COLUMNS, *self._figures]
        if path.exists():
            with path.open(newline="") as handle:
                reader = csv.DictReader(handle)
                rows, names = list(reader), list(reader.fieldnames or names)
        new = [name for name in values if name not in names]
        row = {name: f"{value:.6g}" for name, value in values.items()}
        fresh = bool(new) or not rows
        with path.open("w" if fresh else "a", newline="") as handle:
            writer = csv.DictWriter(handle, [*names, *new], restval="")
            if fresh:
                writer.writeheader()
                writer.writerows(rows)
            writer.writerow(row)
