"""Scores of a whole set, with intervals, and the share of a lost score regained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from medenh.evaluation.result import SetScore
from medenh.tasks import Task, recovered_share, score_classification
from medenh.types import FloatArray

__all__ = ["CLEAN", "mean_regained", "set_figures"]

CLEAN = "reference"  # the row of the clean pictures
_PICTURES = {"auc": "AUC", "accuracy": "accuracy", "kappa": "kappa"}
_REGAINED = ("auc", "accuracy")  # whose share that comes back is shown
_RESAMPLES = 1000
_COMES_BACK = "share of the loss that comes back"

Figure = Callable[[NDArray[np.intp]], float | None]


def mean_regained(column: str, title: str, table: NDArray[np.float64]) -> SetScore:
    """Return the share of a lost mean score that comes back.

    Parameters
    ----------
    column : str
        Name of the score.
    title : str
        The task and the score in words: "Retinal vessels: IoU".
    table : float array, shape (3, files)
        Scores of the clean, the degraded and the enhanced pictures.
    """

    def share(chosen: NDArray[np.intp]) -> float | None:
        clean, before, mine = table[:, chosen].mean(1).tolist()
        return recovered_share(clean, before, mine)

    return _resampled(
        f"{column}.recovered", f"{title}, {_COMES_BACK}", table.shape[1], share
    )


def set_figures(
    task: Task,
    labels: NDArray[np.intp],
    guesses: Mapping[str, FloatArray],
    row: str,
    *,
    lost: str | None,
) -> list[SetScore]:
    """Return AUC, accuracy and kappa of a row, and the shares that come back.

    Parameters
    ----------
    task : Task
    labels : int array, shape (files,)
    guesses : mapping
        Row -> probabilities, shape (files, classes): of the row itself, of ``lost``
        and of the clean pictures where they are known.
    row : str
    lost : str or None
        The row of the degraded pictures.
    """

    def score_of(score: str, who: str) -> Figure:
        def figure(chosen: NDArray[np.intp]) -> float | None:
            return score_classification(guesses[who][chosen], labels[chosen])[score]

        return figure

    found = []
    for score, word in _PICTURES.items():
        mine = score_of(score, row)
        name, title = f"{task.name}.{score}", f"{task.title}: {word}"
        found.append(_resampled(name, title, len(labels), mine))
        if score not in _REGAINED or row in (lost, CLEAN):
            continue
        if lost is not None and lost in guesses and CLEAN in guesses:
            words = f"{title}, {_COMES_BACK}"
            share = _share(score_of(score, CLEAN), score_of(score, lost), mine)
            found.append(_resampled(f"{name}.recovered", words, len(labels), share))
    return found


def _share(clean: Figure, lost: Figure, mine: Figure) -> Figure:
    def share(chosen: NDArray[np.intp]) -> float | None:
        figures = (figure(chosen) for figure in (clean, lost, mine))
        return recovered_share(*(math.nan if f is None else f for f in figures))

    return share


def _resampled(
    name: str,
    title: str,
    count: int,
    figure: Figure,
) -> SetScore:
    """Return a figure of a set with its percentile bootstrap interval over files."""
    value = _finite(figure(np.arange(count)))
    if value is None or count < 2:
        return SetScore(name=name, title=title, value=value, n=count)
    rng = np.random.default_rng(0)
    drawn = [
        _finite(figure(rng.integers(count, size=count))) for _ in range(_RESAMPLES)
    ]
    known = [one for one in drawn if one is not None]
    if len(known) < 0.95 * _RESAMPLES:  # too often undefined to mean something
        return SetScore(name=name, title=title, value=value, n=count)
    low, high = np.quantile(known, [0.025, 0.975])
    ends = (float(low), float(high))
    return SetScore(name=name, title=title, value=value, ci95=ends, n=count)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
