"""medenh train: train a network of the zoo from a TOML configuration."""

from __future__ import annotations

import logging
import math
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medenh.cli.console import write
from medenh.cli.options import Quiet, named_folder
from medenh.paths import portable_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from medenh.errors import MedenhError
    from medenh.training.config import TrainConfig

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("train")(_train)


def _train(
    config: Annotated[
        str | None,
        typer.Argument(
            help="A .toml file, a run's config.json, or the name of a built-in "
            "configuration."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Run folder; runs/NAME by default.",
            parser=named_folder,
            metavar="PATH",
        ),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Setting to change; may be given several times.",
        ),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Stop after this long, reading included, but not before one step; "
            "--resume continues.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in OUT, by its own configuration if none is named.",
        ),
    ] = False,
    tune: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Start from this model of the zoo: its network and weights and, if no "
            "configuration is named, the one that it was trained by.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("-d", "--device", help="auto, cpu, cuda, cuda:1 or mps.")
    ] = ("auto"),
    list_configs: Annotated[
        bool,
        typer.Option(
            "--list",
            help="List configurations, sweeps, strategies, losses, tasks, networks.",
        ),
    ] = False,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Train all variants of a sweep: a .toml file or a name.",
        ),
    ] = None,
    print_config: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Print a built-in configuration or sweep."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train a network on data packs: to enhance images, or to recognise for a task.

    The run folder gets last.pt (state), best.safetensors (weights), log.csv, curve.png,
    samples.png and config.json.
    """
    from medenh.errors import UsageError
    from medenh.training.config_file import load_config, named_config, named_configs

    if list_configs:
        from medenh.models import ARCHITECTURES
        from medenh.tasks.table import TASKS
        from medenh.training.config import LOSSES
        from medenh.training.strategies import STRATEGIES
        from medenh.training.sweep import named_sweeps

        write("configurations: " + ", ".join(named_configs()))
        write("sweeps: " + ", ".join(named_sweeps()))
        write("strategies: " + ", ".join(STRATEGIES))
        terms = [f"[{name}] {', '.join(LOSSES[name])}" for name in LOSSES]
        write("losses: " + "; ".join(terms))
        for task in TASKS.values():
            write(f"task {task.name} ({task.kind}): {', '.join(task.classes)}")
        for name, (_, presets) in sorted(ARCHITECTURES.items()):
            write(f"network {name}: presets {', '.join(presets)}")
        return
    if print_config is not None:
        from medenh.training.sweep import named_sweep, named_sweeps

        find = named_sweep if print_config in named_sweeps() else named_config
        write(find(print_config).removesuffix("\n"))
        return
    if sweep is not None:
        if config is not None or tune is not None or resume:
            raise UsageError(
                "a sweep names its own configuration, and continues without --resume"
            )
        changed = override or []
        _sweep(
            sweep, output, changed, max_minutes=max_minutes, device=device, quiet=quiet
        )
        return
    source = config if tune else _source(config, output if resume else None)
    settings = load_config(source, override, tuned=tune or "")
    run_dir = output or _usual_folder(settings.name)
    # what takes long before the first step says so
    logging.getLogger("medenh.training").setLevel(logging.INFO)
    _run(
        settings,
        run_dir,
        resume=resume,
        max_minutes=max_minutes,
        device=device,
        quiet=quiet,
    )


def _source(config: str | None, resumed: Path | None) -> str:
    """Return the configuration that was named, or that of the run to resume."""
    from medenh.errors import UsageError

    if config is not None:
        return config
    if resumed is not None and (resumed / "config.json").is_file():
        return str(resumed / "config.json")
    if resumed is not None:
        raise UsageError(
            "holds no config.json of a run to resume; name a configuration",
            path=resumed,
        )
    raise UsageError(
        "name a configuration", hint="medenh train --list shows the built-in ones"
    )


def _usual_folder(name: str) -> Path:
    """Return where a configuration's run goes by its name, which no system may mind."""
    return Path("runs", *map(portable_name, name.split("/")))


def _run(
    settings: TrainConfig,
    run_dir: Path,
    *,
    resume: bool,
    max_minutes: float | None,
    device: str,
    quiet: bool,
) -> None:
    """Train under a progress display on stderr."""
    from rich.console import Console

    from medenh.cli.interrupt import interruptible
    from medenh.cli.progress import Meter
    from medenh.device import pick_device
    from medenh.training import loop

    # under torchrun the first one tells
    silent = quiet or os.environ.get("RANK", "0") != "0"
    console = Console(stderr=True, quiet=silent, markup=False, emoji=False)
    measured = ""
    started = threading.Event()
    again = interruptible(
        "the same command with --resume goes on from here", started=started
    )
    with again as stop, Meter(settings.name, quiet=silent, unit="steps") as meter:
        if not resume:
            meter.update(0, settings.steps)

        def show(progress: loop.Progress) -> None:
            nonlocal measured
            if progress.figures:
                name, value = next(iter(progress.figures.items()))
                measured = f", validation {name} {value:.4g}"
            meter.update(
                progress.step,
                progress.steps,
                f"loss {progress.loss:.4f}, "
                f"{progress.images_per_second:.1f} images/s{measured}",
            )

        result = loop.train(
            settings,
            run_dir,
            resume=resume,
            max_minutes=max_minutes,
            device=pick_device(device).name,
            on_progress=show,
            should_stop=_asked_after_a_step(stop, started),
        )
        if stop.is_set():
            raise KeyboardInterrupt
    state = "finished" if result.finished else "stopped; --resume goes on"
    best = f"{result.best:.4g}" if math.isfinite(result.best) else "none"
    others = {"for doing nothing": result.identity, "at the start": result.start}
    known = [f"{value:.4g} {of}" for of, value in others.items() if value is not None]
    if known:
        best += f" ({', '.join(known)})"
    console.print(
        f"{state} at step {result.step}; best validation {result.score} "
        f"{best}; {run_dir}"
    )


def _asked_after_a_step(
    stop: threading.Event, started: threading.Event
) -> Callable[[], bool]:
    """Return what tells whether to stop, and that there is a state to save by now."""

    def asked() -> bool:
        started.set()
        return stop.is_set()

    return asked


def _sweep(
    source: str,
    output: Path | None,
    overrides: list[str],
    *,
    max_minutes: float | None,
    device: str,
    quiet: bool,
) -> None:
    """Train all runs of a sweep, telling each on stderr; exit code 1 if one fails.

    Those that fail are told even if ``quiet``.
    """
    from rich.console import Console

    from medenh.cli.interrupt import interruptible
    from medenh.device import pick_device
    from medenh.training.sweep import SweepRun, load_sweep, run_sweep

    sweep = load_sweep(source)
    folder = output or _usual_folder(sweep.name)
    console = Console(stderr=True, quiet=quiet, markup=False, emoji=False)
    errors = Console(stderr=True, markup=False, emoji=False)

    started = threading.Event()

    def tell(run: SweepRun) -> None:
        started.clear()  # it reads its images first
        console.print(f"{run.number}/{run.runs}: {run.variant}, seed {run.seed}")

    diverged: list[SweepRun] = []

    def tell_diverged(run: SweepRun, how: str) -> None:
        diverged.append(run)
        errors.print(f"diverged: {run.variant}, seed {run.seed}: {how}")

    failed: list[SweepRun] = []

    def tell_failed(run: SweepRun, error: MedenhError) -> None:
        failed.append(run)
        errors.print(f"failed: {run.variant}, seed {run.seed}: {error}")

    with interruptible("the same command goes on", started=started) as stop:
        finished = run_sweep(
            sweep,
            folder,
            overrides=overrides,
            max_minutes=max_minutes,
            device=pick_device(device).name,
            on_run=tell,
            on_diverged=tell_diverged,
            on_failed=tell_failed,
            should_stop=_asked_after_a_step(stop, started),
        )
        if stop.is_set():
            raise KeyboardInterrupt
    state = "finished" if finished else "stopped; the same command goes on"
    if failed:
        state = f"{len(failed)} failed; the same command tries them again"
    summary = folder / "summary.csv"
    console.print(f"{state}; {summary if summary.exists() else 'no run measured'}")
    if diverged or failed:
        raise typer.Exit(1)
