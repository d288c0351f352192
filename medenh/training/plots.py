"""Pictures of a run: learning curve and sample grid, as PNG."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from medenh.types import FloatArray

__all__ = ["save_curve", "save_grid"]


def save_grid(path: Path, grid: FloatArray) -> None:
    """Write an RGB picture in [0, 1] as 8-bit PNG."""
    bgr = np.rint(np.clip(grid[..., ::-1], 0, 1) * 255).astype(np.uint8)
    cv2.imwrite(str(path), bgr)


def save_curve(log: Path, path: Path, figures: tuple[str, ...]) -> None:
    """Draw the loss and what validation measured over steps, from a log.csv."""
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    with log.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    steps = [int(row["step"]) for row in rows]
    losses = [float(row["loss"]) for row in rows]
    scored = [row for row in rows if row[figures[0]]]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(steps, losses, linewidth=0.6)
    left.set(xlabel="step", ylabel="training loss")
    at = [int(row["step"]) for row in scored]
    for name in figures:
        values = [float(row[name]) for row in scored]
        right.plot(at, values, marker=".", label=name.replace("_", " "))
    right.set(xlabel="step", ylabel="validation")
    right.legend()
    figure.savefig(path, dpi=110)
