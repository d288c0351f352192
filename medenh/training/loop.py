"""The training loop; reads from top to bottom.

Every sample depends on (seed, step, position), and the state holds networks, averages
and optimisers, so a resumed run takes the steps an undisturbed one would have taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.backends import cudnn

from medenh import models
from medenh.device import Device, cpu_flags, has_bf16
from medenh.errors import (
    MedenhError,
    OutputError,
    UsageError,
    counted,
    is_out_of_memory,
)
from medenh.formats.files import atomic_output, open_alone, remove_stale_parts
from medenh.training.batches import batches_ahead, count_workers
from medenh.training.checkpoint import (
    BEST,
    OTHER_IMAGES,
    check_images,
    load_state,
    save_state,
    save_weights,
    start_from,
    weights_file,
    writing,
)
from medenh.training.config import TrainConfig
from medenh.training.distributed import World, join
from medenh.training.journal import Journal, Progress
from medenh.training.sections import OptimiserConfig
from medenh.training.strategies import STRATEGIES, Batch, Measured, Strategy
from medenh.training.update import (
    Networks,
    NonFiniteLossError,
    Update,
    hold_still,
)

__all__ = ["Progress", "TrainResult", "changed_settings", "train"]

_log = logging.getLogger(__name__)

# what may differ from the run that is resumed: it may be made longer, and moved
_FREE = {
    "steps",
    "validate_every",
    "checkpoint_minutes",
    "accumulate",
    "data.root",
    "data.workers",
}
_LOCK = ".medenh-train.lock"  # one run at a time; gone when it has ended
_PROBED = 1024  # draws of a first batch, as large as that
_TOO_FEW = "more than 1 value per channel"  # what torch's batch normalisation says


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
    identity : float or None
        The figure of doing nothing, in the last validation.
    start : float or None
        The figure of the weights that the run started from; None where they are random.
    """

    step: int
    score: str
    best: float
    finished: bool
    identity: float | None = None
    start: float | None = None


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
        Validate, save the state and stop cleanly when this time is over; the
        validation's own is left for it, once it is known.
    device : str
        torch device.
    on_progress : callable
        Called every few steps.
    should_stop : callable
        Asked after every step; True ends the run, its state saved.

    Raises
    ------
    UsageError
        No images, nothing to resume from, a state of another configuration, a folder
        that holds a run already.
    OutputError
        The folder cannot be written, or another run writes there.
    NonFiniteLossError
        The loss became NaN or infinite; names the step and its images.

    Notes
    -----
    Under `torchrun` each process takes its part of every batch, and the first one
    validates and writes.
    """
    deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
    if config.network.start_from and not resume:
        # known before images are read, which takes minutes
        weights_file(config.network.start_from)
    world = join(device)
    try:
        # networks compute in `precision`; what losses ask of float32, differences of
        # squares above all, does not survive the ten bits of TF32
        with (
            _claimed(run_dir, resume=resume)
            if world.leads
            else contextlib.nullcontext(),
            cudnn.flags(enabled=True, allow_tf32=False),
        ):
            return _train(
                config,
                run_dir,
                world,
                deadline,
                should_stop,
                on_progress,
                resume=resume,
            )
    finally:
        world.leave()


def _train(
    config: TrainConfig,
    run_dir: Path,
    world: World,
    deadline: float,
    should_stop: Callable[[], bool],
    on_progress: Callable[[Progress], None],
    *,
    resume: bool,
) -> TrainResult:
    parts = [world.part(positions) for positions in _micro_batches(config)]
    before = load_state(run_dir / "last.pt") if resume else None
    config = _with_precision(config, world.device, before)
    _check_same_run(before, config)
    strategy = STRATEGIES[config.strategy](config, world.device)
    update = _build(config, strategy, world, anew=before is None)
    step, best = 0, -math.inf
    images, digests = _images_of(strategy), strategy.digests()
    seen: dict[str, list[float]] = {}
    if before is not None:
        step, best, seen = _go_on(before, images, digests, update, strategy)
    if step > config.steps:
        _log.warning(
            "the run is at step %d already, beyond steps = %d: nothing is done",
            step,
            config.steps,
        )
        return TrainResult(step, strategy.figures[0], best, finished=True)
    journal = Journal(config, run_dir, strategy.figures, on_progress, step, seen)
    if world.leads:
        _prepare_folder(run_dir, resume=resume)
        with writing(run_dir / "config.json"):
            described = json.dumps(config.model_dump(mode="json"), indent=1)
            (run_dir / "config.json").write_text(described, "utf-8")
            _keep_recipes(config, run_dir)
        journal.forget_later_rows()

    saved = time.monotonic()
    start = _figure_of_start(config, before, strategy, update, world)
    del before
    validation_s = time.monotonic() - saved
    identity: float | None = None
    reached, losses = best, dict[str, float]()
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
        with _blaming({} if losses else config.network.options):
            losses = _take_step(strategy, step, tensors, update, parts)
        update.networks.move_average(config.optimiser.ema, step)
        step += 1

        # a run that time ends is worth a validation, the user's Ctrl-C is not
        asked = world.any(should_stop())
        late = world.any(time.monotonic() + validation_s > deadline)
        last = step >= config.steps or (late and not asked)
        measured = Measured({})
        if world.leads and (step % config.validate_every == 0 or last):
            begun = time.monotonic()
            measured = strategy.validate(update.networks, world.device)
            score = measured.figures[strategy.figures[0]]
            identity = measured.figures.get(f"{strategy.figures[0]}_identity")
            reached = score if score > best else best
            if score > best or best == -math.inf:  # NaN is better than no weights
                save_weights(run_dir / BEST, update.networks.average)
            # one at a stop chooses no weights for the run that goes on
            scheduled = step % config.validate_every == 0 or step >= config.steps
            best = reached if scheduled else best
            validation_s = time.monotonic() - begun
        if world.leads:
            rate = update.optimisers["network"].param_groups[0]["lr"]
            spent = validation_s if measured.figures else 0.0
            journal.note(step, losses, rate, measured, spent)
        stop = last or asked
        due = time.monotonic() - saved > 60 * config.checkpoint_minutes
        if world.leads and (stop or due):
            state = {
                "update": update.state_dict(),
                "strategy": strategy.state_dict(),
                "step": step,
                "best": best,
                "start": start,
                "images": images,
                "digests": digests,
                "seen": journal.seen,
                "config": json.dumps(config.model_dump(mode="json")),
            }
            save_state(run_dir / "last.pt", state)
            saved = time.monotonic()
        if stop:
            break
    _tell_of_task(update, world)
    done = step >= config.steps
    return TrainResult(step, strategy.figures[0], reached, done, identity, start)


def _figure_of_start(
    config: TrainConfig,
    state: dict[str, Any] | None,
    strategy: Strategy,
    update: Update,
    world: World,
) -> float | None:
    """Return the figure of the weights that a run starts from, and tell it at first."""
    if state is not None:
        return state.get("start")
    if not config.network.start_from or not world.leads:
        return None
    # a copy: some validations set what the network does without a guide
    figures = strategy.validate(deepcopy(update.networks), world.device).figures
    name = strategy.figures[0]
    _log.info("before the first step: validation %s %.4g", name, figures[name])
    return figures[name]


def _tell_of_task(update: Update, world: World) -> None:
    """Warn where a task's part was left out, or taken by chance."""
    promoter = update.promoters["network"]
    if promoter.skipped and world.leads:
        _log.warning(
            "the loss or gradient of the task was not finite %s in this run, and was "
            "left out: precision fp32 or a smaller promote.weight may help",
            counted(promoter.skipped, "time"),
        )
    if promoter.follows_noise and world.leads:
        _log.warning(
            "the gate of the task was open in half of the steps at a mean cosine near "
            "0: it followed the noise of the batches; promote.rule=project with "
            "promote.reference=ema, or a larger batch, may help"
        )


@contextlib.contextmanager
def _claimed(run_dir: Path, *, resume: bool) -> Iterator[None]:
    """Have a folder for this run alone; refuse to overwrite another, before any work.

    Where nothing comes of the run, folders that were made for it are gone.
    """
    _check_folder(run_dir)
    made = [place for place in (run_dir, *run_dir.parents) if not place.exists()]
    with writing(run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
        handle = open_alone(run_dir / _LOCK)
    try:
        if not resume and (run_dir / "last.pt").exists():
            raise UsageError(
                "holds a run already", path=run_dir, hint="--resume, or another folder"
            )
        yield
    finally:
        if os.name == "nt":  # what is open cannot be removed there
            os.close(handle)
        with contextlib.suppress(OSError):
            (run_dir / _LOCK).unlink()
        if os.name != "nt":
            os.close(handle)
        with contextlib.suppress(OSError):  # of a run, they are not empty
            for place in made:
                place.rmdir()


def _check_folder(run_dir: Path) -> None:
    """Refuse what cannot be written."""
    there = next(place for place in (run_dir, *run_dir.parents) if place.exists())
    if not there.is_dir():
        raise OutputError("cannot be written: not a folder", path=there)
    if not os.access(there, os.W_OK):
        raise OutputError("cannot be written: permission denied", path=there)


def _prepare_folder(run_dir: Path, *, resume: bool) -> None:
    if resume:
        remove_stale_parts(run_dir)  # of a run that was killed
        return
    with writing(run_dir / "log.csv"):
        (run_dir / "log.csv").unlink(missing_ok=True)


def _with_precision(
    config: TrainConfig, device: str, state: dict[str, Any] | None
) -> TrainConfig:
    """Return a configuration that says bf16 or fp32 for auto; warn of a slow one."""
    place = Device(device)
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if has_bf16(place) else "fp32"
        if state is not None:  # a run keeps what it began with
            precision = json.loads(state["config"])["precision"]
    known = place.kind != "cpu" or cpu_flags() is not None
    if precision == "bf16" and known and not has_bf16(place):
        _log.warning(
            "%s has no bf16 and imitates it, which is slow: "
            "begin a run with precision auto or fp32",
            place.describe(),
        )
    return config.model_copy(update={"precision": precision})


def _check_same_run(state: dict[str, Any] | None, config: TrainConfig) -> None:
    """Refuse to resume with what would make it another run."""
    if state is None:
        return
    if changed := changed_settings(json.loads(state["config"]), config):
        raise UsageError(
            f"the run to resume was made with other settings: {', '.join(changed)}",
            hint="give the same configuration, or another folder",
        )


def _keep_recipes(config: TrainConfig, run_dir: Path) -> None:
    """Copy the user's own recipes into the run's folder: their files may change."""
    for recipe in config.data.own_recipes().values():
        place = run_dir / "recipes" / recipe.name
        place.parent.mkdir(exist_ok=True)
        with atomic_output(place) as part:
            part.write_text(recipe.text, encoding="utf-8", newline="")


def changed_settings(before: dict[str, Any], config: TrainConfig) -> list[str]:
    """Return the names of the settings that make another run of one that was begun.

    Parameters
    ----------
    before : dict
        Its settings, as in its config.json.
    config : TrainConfig
    """
    then = _flat(_as_of_now(before))
    now = _flat(config.model_dump(mode="json"))
    names = [*now, *(name for name in then if name not in now)]
    return [
        name
        for name in names
        if name not in _FREE and then.get(name, ...) != now.get(name, ...)
    ]


def _as_of_now(config: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the defaults of what did not exist when they were written.

    A default is what the program did before there was the choice.
    """
    try:
        return TrainConfig.model_validate(config).model_dump(mode="json")
    except ValueError:  # of another version, which knew what this one does not
        return config


def _go_on(
    before: dict[str, Any],
    images: str,
    digests: dict[str, str],
    update: Update,
    strategy: Strategy,
) -> tuple[int, float, dict[str, list[float]]]:
    """Take over a state; return its step, best score and terms not yet in the log."""
    check_images(before, digests)
    if before.get("images", images) != images:
        raise UsageError(
            "the images are not those that the run began with", hint=OTHER_IMAGES
        )
    update.load_state_dict(before["update"])
    strategy.load_state_dict(before["strategy"])
    return before["step"], before["best"], before.get("seen", {})


def _images_of(strategy: Strategy) -> str:
    """Return a hash that other images, or another order of them, would change."""
    names = strategy.names(0, range(_PROBED))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _flat(tree: dict[str, Any], section: str = "") -> dict[str, Any]:
    """Return settings by their whole name, "section.key"."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{section}{name}.")
        else:
            found[section + name] = value
    return found


def _build(
    config: TrainConfig, strategy: Strategy, world: World, *, anew: bool
) -> Update:
    """Return networks and optimisers as they stand at step 0.

    Those of a run that goes on take no weights to start from: its state has them, and
    the model of the zoo may be gone.
    """
    torch.manual_seed(config.seed)
    options = config.network.options
    with _blaming(options):
        network = models.create(
            config.network.architecture, config.network.preset, **options
        )
    if getattr(network, "enlarges", False):
        raise UsageError(
            f"{config.network.architecture} would answer with larger pictures than "
            "it is given",
            hint="network.options.from_enlarged=true",
        )
    if config.network.start_from and anew:
        taken = start_from(weights_file(config.network.start_from), network)
        wanted = len(network.state_dict())
        if taken < wanted:
            _log.info(
                "%d of the network's %d tensors start from %s, the rest anew "
                "(--tune takes the network of a model, too)",
                taken,
                wanted,
                config.network.start_from,
            )
    if config.network.trained:
        hold_still(network, config.network.trained)
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


@contextlib.contextmanager
def _blaming(options: dict[str, Any]) -> Iterator[None]:
    """Say of what a network raises as it is built and first used what it was told."""
    try:
        yield
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if _TOO_FEW in str(error):
            raise UsageError(
                "batch: of one small picture at once this network's batch "
                "normalisation has nothing to take a spread from",
                hint="raise batch (or lower accumulate), or raise data.size",
            ) from error
        if isinstance(error, MedenhError) or not options or is_out_of_memory(error):
            raise
        raise UsageError(
            f"network.options: with {options} the network does not work here "
            f"({type(error).__name__}: {str(error)[:200]})",
            hint="see the presets in docs/models.md",
        ) from error


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
        raise NonFiniteLossError(
            f"{error.what}, at step {step} on {shown}", hint=error.hint
        ) from error
    if update.scaler is not None:
        update.scaler.update()
    return losses


def _rate_at(step: int, config: OptimiserConfig, steps: int) -> float:
    """Return a step's learning rate against the highest: warm-up, then a schedule."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    match config.schedule:
        case "constant":
            return 1.0
        case "drops":
            return 0.1 ** (int(done >= 2 / 3) + int(done >= 5 / 6))
        case "linear":
            left = min(1.0, 2 - 2 * done)
        case _:
            left = 0.5 * (1 + math.cos(math.pi * done))
    last = config.final_lr / config.lr
    return last + (1 - last) * left
