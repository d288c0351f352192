"""medenh train: train a network of the zoo from a TOML configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("train")(_train)


def _train(
    config: Annotated[
        str | None,
        typer.Argument(help="A .toml file, or the name of a built-in configuration."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Run folder. Default: runs/NAME."),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting."),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Stop cleanly after this long; --resume goes on."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT.")] = False,
    device: Annotated[
        str, typer.Option("-d", "--device", help="auto, cpu, cuda...")
    ] = ("auto"),
    list_configs: Annotated[
        bool,
        typer.Option(
            "--list", help="List configurations, strategies, tasks, networks."
        ),
    ] = False,
    print_config: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Print a built-in configuration."),
    ] = None,
) -> None:
    """Train a network on packs of images: restoration, or a recogniser of a task.

    Leaves last.pt (state), best.safetensors (weights), log.csv, curve.png and
    samples.png in the run folder.
    """
    from medenh.errors import UsageError
    from medenh.training.config_file import load_config, named_config, named_configs

    if list_configs:
        from medenh.models import ARCHITECTURES
        from medenh.tasks.table import TASKS
        from medenh.training.strategies import STRATEGIES

        typer.echo("configurations: " + ", ".join(named_configs()))
        typer.echo("strategies: " + ", ".join(STRATEGIES))
        for task in TASKS.values():
            typer.echo(f"task {task.name} ({task.kind}): {', '.join(task.classes)}")
        for name, (_, presets) in sorted(ARCHITECTURES.items()):
            typer.echo(f"network {name}: presets {', '.join(presets)}")
        return
    if print_config is not None:
        typer.echo(named_config(print_config), nl=False)
        return
    if config is None:
        raise UsageError(
            "name a configuration", hint="medenh train --list shows the built-in ones"
        )
    settings = load_config(config, override)
    run_dir = output or Path("runs") / settings.name
    _run(settings, run_dir, resume=resume, max_minutes=max_minutes, device=device)


def _run(
    settings: object,
    run_dir: Path,
    *,
    resume: bool,
    max_minutes: float | None,
    device: str,
) -> None:
    """Train under a progress display on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from medenh.device import pick_device
    from medenh.training import loop
    from medenh.training.config import TrainConfig

    if not isinstance(settings, TrainConfig):
        raise TypeError("settings must be a TrainConfig")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    console = Console(stderr=True)
    measured = ""
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(settings.name, total=settings.steps, figures="")

        def show(progress: loop.Progress) -> None:
            nonlocal measured
            if progress.figures:
                name, value = next(iter(progress.figures.items()))
                measured = f", validation {name} {value:.4g}"
            figures = (
                f"loss {progress.loss:.4f}, "
                f"{progress.images_per_second:.1f} images/s{measured}"
            )
            bar.update(task, completed=progress.step, figures=figures)

        result = loop.train(
            settings,
            run_dir,
            resume=resume,
            max_minutes=max_minutes,
            device=pick_device(device).name,
            on_progress=show,
        )
    state = "finished" if result.finished else "stopped; --resume goes on"
    console.print(
        f"{state} at step {result.step}; best validation {result.score} "
        f"{result.best:.4g}; {run_dir}"
    )
