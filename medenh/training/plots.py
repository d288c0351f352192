"""Pictures of a run: learning curve and sample grid, as PNG."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["save_curve", "save_frontier", "save_grid", "save_sweep"]


def save_grid(path: Path, grid: FloatArray) -> None:
    """Write an RGB picture in [0, 1] as 8-bit PNG."""
    bgr = np.rint(np.clip(grid[..., ::-1], 0, 1) * 255).astype(np.uint8)
    # not imwrite: why a file cannot be written it tells no one but stderr
    path.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())


def save_curve(log: Path, path: Path, figures: tuple[str, ...]) -> None:
    """Draw the loss and what validation measured over steps, from a log.csv.

    A figure has a panel, with that of doing nothing ("..._identity") beside it.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    with log.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    steps = [int(row["step"]) for row in rows]
    losses = [float(row["loss"]) for row in rows]
    scored = [row for row in rows if row[figures[0]]]
    shown = [name for name in figures if not name.endswith("_identity")]
    panels = 1 + len(shown)
    figure = Figure(figsize=(4.5 * panels, 3.6), layout="constrained")
    first, *others = figure.subplots(1, panels)
    first.plot(steps, losses, linewidth=0.6)
    first.set(xlabel="step", ylabel="training loss")
    at = [int(row["step"]) for row in scored]
    for axes, name in zip(others, shown, strict=True):
        for line in (name, f"{name}_identity"):
            if line in figures:
                values = [float(row[line]) for row in scored]
                axes.plot(at, values, marker=".", label=line.replace("_", " "))
        axes.set(xlabel="step", ylabel="validation")
        axes.legend(loc="upper left")  # to look for the best place is slow
    figure.savefig(path, dpi=110)


def save_sweep(path: Path, found: dict[str, dict[str, list[float]]]) -> None:
    """Draw the figures of every variant: each seed a point, and their mean.

    Parameters
    ----------
    path : path
    found : dict
        Variant -> figure -> values, one a seed. A figure has a panel.
    """
    from matplotlib.figure import Figure

    names = list(next(iter(found.values())))
    size = (3 + 5 * len(names), 0.5 * len(found) + 1.2)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for row, figures in enumerate(reversed(found.values())):
            values = figures[name]
            axes.plot(values, [row] * len(values), "o", color="#4477aa", alpha=0.6)
            axes.plot([np.mean(values)], [row], "|", color="black", markersize=18)
        axes.set(yticks=[], xlabel=name.replace("_", " "))
        axes.grid(axis="x", alpha=0.3)
    for row, variant in enumerate(reversed(found)):
        panels[0].annotate(
            variant, (0, row), xycoords=("axes fraction", "data"), xytext=(-6, 0),
            textcoords="offset points", ha="right", va="center",
        )  # fmt: skip
    figure.savefig(path, dpi=110, bbox_inches="tight")


def save_frontier(
    path: Path, found: dict[str, dict[str, list[float]]], along: str, up: str
) -> None:
    """Draw two figures against each other: a variant's mean over seeds a point.

    Bars are the standard deviation (n - 1), as in summary.csv; one seed has none.
    Variants that differ in a number at their end ("sum 1e-3", "sum 3e-3") are joined.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    families: dict[str, list[str]] = {}
    for variant in found:
        families.setdefault(_family(variant), []).append(variant)
    for variants in families.values():
        x = [found[variant][along] for variant in variants]
        y = [found[variant][up] for variant in variants]
        axes.errorbar(
            [np.mean(v) for v in x], [np.mean(v) for v in y],
            xerr=[_deviation(v) for v in x], yerr=[_deviation(v) for v in y],
            fmt="o-", linewidth=1, elinewidth=0.7, capsize=2,
        )  # fmt: skip
        for variant, across, upward in zip(variants, x, y, strict=True):
            axes.annotate(
                variant, (float(np.mean(across)), float(np.mean(upward))),
                xytext=(5, 4), textcoords="offset points", fontsize=8,
            )  # fmt: skip
    axes.set(xlabel=along.replace("_", " "), ylabel=up.replace("_", " "))
    axes.set_title("mean and standard deviation over seeds", fontsize=9)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _family(variant: str) -> str:
    """Return a variant's name without the number at its end."""
    name, _, last = variant.rpartition(" ")
    try:
        float(last)
    except ValueError:
        return variant
    return name or variant
