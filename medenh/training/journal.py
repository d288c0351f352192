"""What a run writes down beside its state: log.csv, curve.png, samples.png."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medenh.training import plots
from medenh.training.checkpoint import writing
from medenh.training.config import TrainConfig
from medenh.training.strategies import Measured

__all__ = ["Journal", "Progress"]

_LOG_EVERY = 20
_COLUMNS = ["step", "loss", "lr", "images_per_s"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a display may want to show after some steps.

    Attributes
    ----------
    losses : dict of str to float
        Means of the terms over the steps since the last report that had them.
    figures : dict of str to float
        What the validation measured; empty when this step had none.
    """

    step: int
    steps: int
    loss: float
    images_per_second: float
    losses: dict[str, float]
    figures: dict[str, float]


class Journal:
    """Writes log.csv, curve.png and samples.png, and tells the display.

    Parameters
    ----------
    config : TrainConfig
    run_dir : path
    figures : tuple of str
        Names of what a validation measures.
    on_progress : callable
    step : int
        Steps that the run has behind it.
    seen : dict of str to list of float, optional
        `Journal.seen` of the run that goes on.
    """

    def __init__(
        self,
        config: TrainConfig,
        run_dir: Path,
        figures: tuple[str, ...],
        on_progress: Callable[[Progress], None],
        step: int,
        seen: dict[str, list[float]] | None = None,
    ) -> None:
        self._config, self._run_dir, self._figures = config, run_dir, figures
        self._on_progress = on_progress
        self._since, self._last = time.monotonic(), step
        self._seen: dict[str, list[float]] = seen or {}
        self._log = run_dir / "log.csv"

    @property
    def seen(self) -> dict[str, list[float]]:
        """Finite values of each term since the last row, for the run's state."""
        return self._seen

    def note(
        self,
        step: int,
        losses: dict[str, float],
        rate: float,
        measured: Measured,
        measuring_s: float = 0.0,
    ) -> None:
        """Remember a step's losses, and write what there is to write.

        ``measuring_s``: seconds that a validation took, which are no training.
        """
        for name, value in losses.items():
            kept = self._seen.setdefault(name, [])
            if math.isfinite(value):
                kept.append(value)
        if not measured.figures and step % _LOG_EVERY:
            return
        means = {n: sum(v) / len(v) if v else math.nan for n, v in self._seen.items()}
        self._seen = {}
        now, config = time.monotonic(), self._config
        learnt_s = max(now - self._since - measuring_s, 1e-9)
        speed = config.batch * (step - self._last) / learnt_s
        self._since, self._last = now, step
        figures, loss = measured.figures, means["loss"]
        values = {"step": step, "loss": loss, "lr": rate, "images_per_s": speed}
        clash = set(self._figures) & set(means)  # SSIM is a loss and a figure
        terms = {f"loss_{n}" if n in clash else n: v for n, v in means.items()}
        with writing(self._run_dir):
            self._add_row(values | figures | terms)
            if measured.grid is not None:
                plots.save_grid(self._run_dir / "samples.png", measured.grid)
            if measured.figures:
                curve = self._run_dir / "curve.png"
                plots.save_curve(self._log, curve, self._figures)
        self._on_progress(Progress(step, config.steps, loss, speed, means, figures))

    def forget_later_rows(self) -> None:
        """Leave out rows of steps that were lost when the run was killed."""
        rows, names = self._rows()
        kept = [r for r in rows if _step(r) <= self._last]
        if len(kept) < len(rows):
            with writing(self._log):
                self._write(kept, names)

    def _add_row(self, values: dict[str, float]) -> None:
        """Add a row; what it does not hold is empty, what is new gets a column."""
        rows, names = self._rows()
        new = [name for name in values if name not in names]
        row = {name: f"{value:.6g}" for name, value in values.items()}
        if new or not rows:
            self._write([*rows, row], [*names, *new])
            return
        with self._log.open("a", newline="", encoding="utf-8") as handle:
            csv.DictWriter(handle, names, restval="").writerow(row)

    def _rows(self) -> tuple[list[dict[str, str]], list[str]]:
        names = [*_COLUMNS, *self._figures]
        if not self._log.exists():
            return [], names
        with self._log.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            return list(reader), list(reader.fieldnames or names)

    def _write(self, rows: list[dict[str, str]], names: list[str]) -> None:
        with self._log.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, names, restval="")
            writer.writeheader()
            writer.writerows(rows)


def _step(row: dict[str, str]) -> float:
    """Return a row's step; infinite where the row was not written to its end."""
    whole = None not in row.values() and row["step"].isdigit()
    return int(row["step"]) if whole else math.inf
