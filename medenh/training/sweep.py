"""Several runs that differ in some settings: an ablation as a table and a plot.

A sweep is a TOML file: `config` (what all runs start from), `changes` (for all),
`seeds`, `figures` to tabulate, `[variants]` (a name and its changes), and perhaps
`frontier`, two figures to be plotted against each other. Every variant takes the same
seeds, so runs of one seed share initial weights, batches and noise.
"""

from __future__ import annotations

import csv
import difflib
import json
import math
import shutil
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from medenh.errors import (
    MedenhError,
    OutOfMemoryError,
    OutputError,
    UsageError,
    as_ours,
    first_problem,
)
from medenh.paths import portable_name
from medenh.text_files import read_text
from medenh.training.config import TrainConfig
from medenh.training.config_file import load_config
from medenh.training.loop import changed_settings, train
from medenh.training.once import reading_once
from medenh.training.plots import save_frontier, save_sweep
from medenh.training.sections import Section
from medenh.training.strategies import STRATEGIES
from medenh.training.update import NonFiniteLossError

_DIVERGED = "diverged.txt"

__all__ = [
    "Sweep",
    "SweepRun",
    "load_sweep",
    "named_sweep",
    "named_sweeps",
    "run_sweep",
]


class Sweep(Section):
    """What a sweep file says.

    Attributes
    ----------
    config : str
        A TOML file, or the name of a built-in configuration.
    changes : list of str
        "section.key=value", for all runs.
    seeds : list of int
    figures : list of str
        Validation figures of the best weights that are tabulated; the first is plotted.
    frontier : list of two str
        Those of them for the axes of a second plot.
    variants : dict of str to list of str
    """

    name: str
    config: str
    changes: list[str] = Field(default=[])
    seeds: list[int] = Field(default=[0], min_length=1)
    figures: list[str] = Field(min_length=1)
    frontier: list[str] = Field(default=[], max_length=2)
    variants: dict[str, list[str]] = Field(min_length=1)

    @field_validator("frontier")
    @classmethod
    def _has_two_axes(cls, names: list[str], told: ValidationInfo) -> list[str]:
        if len(names) == 1:
            raise ValueError("two figures, or none")
        figures = told.data.get("figures", names)
        strange = [name for name in names if name not in figures]
        if strange:
            raise ValueError(f"{strange[0]} is not among figures")
        return names

    @field_validator("variants")
    @classmethod
    def _have_folders(cls, variants: dict[str, list[str]]) -> dict[str, list[str]]:
        folders: dict[str, str] = {}
        for name in variants:
            # to Windows and macOS "A" and "a" are one
            other = folders.setdefault(_folder_name(name).casefold(), name)
            if other != name:
                raise ValueError(f"{other!r} and {name!r} would share a folder")
        return variants


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One run of a sweep, about to start."""

    variant: str
    seed: int
    number: int
    runs: int


def named_sweeps() -> list[str]:
    """Return the names of the sweeps that come with the package."""
    folder = resources.files("medenh.training") / "sweeps"
    return sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml"))


def named_sweep(name: str) -> str:
    """Return the text of a sweep that comes with the package."""
    if name not in named_sweeps():
        known = ", ".join(named_sweeps())
        raise UsageError(f"no sweep named {name!r}", hint=f"one of {known}")
    place = resources.files("medenh.training") / "sweeps" / f"{name}.toml"
    return place.read_text("utf-8")


def load_sweep(source: str) -> Sweep:
    """Read a sweep: a TOML file, or the name of one that comes with the package.

    Raises
    ------
    UsageError
        Missing file, TOML errors, unknown keys, a variant that is no configuration, two
        variants of one folder.
    """
    path = Path(source)
    if path.suffix != ".toml":
        text = named_sweep(source)
    else:
        text = read_text(path, "the sweep")
    try:
        sweep = Sweep.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not valid TOML: {error}", path=path) from error
    except ValidationError as error:
        raise UsageError(first_problem(error), path=path) from error
    for own in sweep.variants.values():  # all are sound before the first one starts
        load_config(sweep.config, [*sweep.changes, *own])
    return sweep


@reading_once()
def run_sweep(
    sweep: Sweep,
    folder: Path,
    *,
    overrides: list[str] | None = None,
    max_minutes: float | None = None,
    device: str = "cpu",
    on_run: Callable[[SweepRun], None] = lambda _: None,
    on_diverged: Callable[[SweepRun, str], None] = lambda *_: None,
    on_failed: Callable[[SweepRun, MedenhError], None] = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train every variant with every seed, leaving tables and plots.

    Parameters
    ----------
    sweep : Sweep
    folder : path
        Gets VARIANT/seed-N with each run, runs.csv (a row a run), summary.csv (means
        over seeds with 95 % intervals), sweep.png, and frontier.png. A run whose loss
        became NaN or infinite leaves diverged.txt and is not tried again while its
        settings stay; it counts in no mean. Nor does one that is shorter than now
        asked for.
    overrides : list of str, optional
        "section.key=value", over everything else.
    max_minutes : float, optional
        For all runs together; what is left goes on when it is called again.
    device, should_stop
        As for `train`.
    on_run : callable
        Told of each run that starts.
    on_diverged : callable
        Told of each run that diverged, now or before, and how.
    on_failed : callable
        Told of each run that another error ended, and which; the others go on.

    Returns
    -------
    bool
        Whether all runs have ended.

    Raises
    ------
    UsageError
        A figure that no variant measures, or the folder of a single run, before the
        first run; or as `train`, of the first run.

    Notes
    -----
    Seeds go round before variants, so that what is there when time runs out is a
    comparison of all variants with fewer seeds. Images are read once for runs in a row
    that have the same settings of `data`.
    """
    if (folder / "last.pt").exists():
        raise UsageError(
            "is the folder of a single run", path=folder, hint="choose another folder"
        )
    _check_figures(sweep, overrides or [])
    deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    plan = [(variant, seed) for seed in sweep.seeds for variant in sweep.variants]
    done = True
    for number, (variant, seed) in enumerate(plan, 1):
        if should_stop() or (deadline is not None and time.monotonic() > deadline):
            done = False
            break
        run = SweepRun(variant, seed, number, len(plan))
        run_dir = _run_dir(folder, variant, seed)
        diverged = run_dir / _DIVERGED
        config = _config_of(sweep, variant, seed, overrides)
        if diverged.exists() and _was_run_with(run_dir, config):
            on_diverged(run, diverged.read_text(encoding="utf-8").strip())
            continue
        if diverged.exists():  # with settings that have changed since
            shutil.rmtree(run_dir)
        on_run(run)
        left = None if deadline is None else (deadline - time.monotonic()) / 60
        try:
            result = train(
                config,
                run_dir,
                resume=(run_dir / "last.pt").exists(),
                max_minutes=left,
                device=device,
                should_stop=should_stop,
            )
        except NonFiniteLossError as error:  # a result too, and no other run's
            diverged.write_text(f"{error}\n", encoding="utf-8")
            on_diverged(run, str(error))
            continue
        except (OutputError, OutOfMemoryError):
            raise
        except Exception as error:  # of this run; the others may be sound
            if number == 1 and isinstance(error, UsageError):
                raise  # most likely of all
            on_failed(run, as_ours(error, run_dir))
            done = False
            continue
        done = done and result.finished
        _tabulate(sweep, folder, overrides)
    _tabulate(sweep, folder, overrides)
    return done


def _config_of(
    sweep: Sweep, variant: str, seed: int, overrides: list[str] | None
) -> TrainConfig:
    settings = [*sweep.changes, *sweep.variants[variant], *(overrides or [])]
    return load_config(sweep.config, [*settings, f"seed={seed}"])


def _was_run_with(run_dir: Path, config: TrainConfig) -> bool:
    """Tell whether a run had these settings, but for those that make no other run."""
    try:
        before = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    before["precision"] = config.precision  # there it says what "auto" became
    return not changed_settings(before, config)


def _check_figures(sweep: Sweep, overrides: list[str]) -> None:
    known: dict[str, None] = {}  # in the order of a log's columns
    for own in sweep.variants.values():
        config = load_config(sweep.config, [*sweep.changes, *own, *overrides])
        figures = STRATEGIES[config.strategy].figures_of(config)
        known |= dict.fromkeys(figures)
    for name in sweep.figures:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise UsageError(
                f"figures: {name!r} is measured by no variant of the sweep",
                hint=f"did you mean {near[0]}?"
                if near
                else f"one of {', '.join(known)}",
            )


def _folder_name(variant: str) -> str:
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in variant)
    return portable_name(plain)


def _run_dir(folder: Path, variant: str, seed: int) -> Path:
    return folder / _folder_name(variant) / f"seed-{seed}"


def _collect(
    sweep: Sweep, folder: Path, overrides: list[str] | None
) -> tuple[dict[str, dict[str, list[float]]], list[list[object]]]:
    """Return the figures of every variant's finished runs, and a row of each run."""
    found: dict[str, dict[str, list[float]]] = {}
    rows: list[list[object]] = []
    for variant in sweep.variants:
        for seed in sweep.seeds:
            run_dir = _run_dir(folder, variant, seed)
            if (run_dir / _DIVERGED).exists():
                nothing = [""] * (1 + len(sweep.figures))
                rows.append([variant, seed, "diverged", *nothing])
                continue
            steps = _config_of(sweep, variant, seed, overrides).steps
            best = _best_row(run_dir, steps)
            if best is None:
                continue
            values = [float(best.get(name) or "nan") for name in sweep.figures]
            rows.append([variant, seed, best["step"], best["steps"], *values])
            kept = found.setdefault(variant, {name: [] for name in sweep.figures})
            for name, value in zip(sweep.figures, values, strict=True):
                kept[name].append(value)
    return found, rows


def _tabulate(sweep: Sweep, folder: Path, overrides: list[str] | None) -> None:
    """Write what the finished runs found."""
    found, rows = _collect(sweep, folder, overrides)
    if rows:
        head = ["variant", "seed", "step", "steps", *sweep.figures]
        _write(folder / "runs.csv", head, rows)
    if not found:
        return
    summary: list[list[object]] = []
    for variant, figures in found.items():
        for name, values in figures.items():
            summary.append([variant, name, len(values), *_spread(values)])
    head = ["variant", "figure", "n", "mean", "std", "ci95_low", "ci95_high"]
    _write(folder / "summary.csv", head, summary)
    save_sweep(folder / "sweep.png", found)
    if len(sweep.frontier) == 2:
        save_frontier(folder / "frontier.png", found, *sweep.frontier)


def _spread(values: list[float]) -> tuple[float, float, float, float]:
    """Return mean, deviation and the 95 % t interval of the mean; NaN from one value.

    Student's t, not the bootstrap: seeds are few.
    """
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, np.nan, np.nan, np.nan
    deviation = float(np.std(values, ddof=1))
    half = float(t.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5
    return mean, deviation, mean - half, mean + half


def _best_row(run_dir: Path, steps: int) -> dict[str, str] | None:
    """Return the row of a finished run's best validation, by what chose its weights.

    None where the run has taken fewer than ``steps`` steps; those it took are "steps".
    """
    log = run_dir / "log.csv"
    if not log.exists():
        return None
    with log.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    config = load_config(run_dir / "config.json")
    if not rows or int(rows[-1]["step"]) < max(steps, config.steps):
        return None
    score = STRATEGIES[config.strategy].figures_of(config)[0]
    scored = [row for row in rows if not math.isnan(float(row[score] or "nan"))]
    if not scored:
        return None
    best = max(scored, key=lambda row: float(row[score]))
    return {**best, "steps": rows[-1]["step"]}


def _write(path: Path, head: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(head)
        writer.writerows(rows)
