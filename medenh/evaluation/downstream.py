"""Downstream tasks: what recognisers see in every row of an evaluation.

They know nothing of enhancement: they learnt from clean pictures. The figure that
matters is the share of the lost score that enhancement brings back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from medenh.errors import InputError, WeightsError
from medenh.evaluation.answers import Answers
from medenh.evaluation.pictures import PictureFolder, keep_overlay
from medenh.evaluation.regained import CLEAN, mean_regained, set_figures
from medenh.evaluation.result import Column, Row, SetScore
from medenh.tasks import Task, load, score_segmentation
from medenh.tasks.recogniser import Recogniser
from medenh.types import FloatArray

__all__ = ["Recognisers"]

BoolArray = NDArray[np.bool_]

_SCORES = {"auc": "AUC", "iou": "IoU", "dice": "Dice"}  # of segmentations, a file


class Recognisers:
    """Asks recognisers about pictures of several rows, and scores what they say.

    They run on the CPU, where their answers are the same on every machine.

    Parameters
    ----------
    names : sequence of str
        Tasks.
    optional : bool
        Go without the tasks whose weights cannot be had; ``missing`` tells why.

    Raises
    ------
    UsageError
        There is no such task.
    WeightsError
        A recogniser's weights cannot be had.
    """

    def __init__(self, names: Sequence[str], *, optional: bool = False) -> None:
        self._optional = optional
        self.missing: dict[str, str] = {}
        self._recognisers: list[Recogniser] = []
        for name in names:
            try:
                self._recognisers.append(load(name))
            except WeightsError as error:
                if not optional:
                    raise
                self.missing[name] = error.what
        self.tasks: tuple[Task, ...] = tuple(one.task for one in self._recognisers)
        # row -> column -> file -> score of a segmentation
        self._scores: dict[str, dict[str, dict[str, float | None]]] = {}
        # task -> row -> file -> probabilities; task -> file -> class
        self._guesses: dict[str, dict[str, dict[str, FloatArray]]] = {}
        self._labels: dict[str, dict[str, int]] = {}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The scores that single files have."""
        return tuple(column for task in self.shown for column in _columns(task))

    @property
    def shown(self) -> tuple[Task, ...]:
        """The tasks to show: those asked for, else those that any file answered."""
        if not self._optional:
            return self.tasks
        return tuple(task for task in self.tasks if self._answered(task))

    def _answered(self, task: Task) -> bool:
        if task.kind == "classification":
            return task.name in self._labels
        names = {column.name for column in _columns(task)}
        return any(not names.isdisjoint(scores) for scores in self._scores.values())

    def ask(
        self,
        file: str,
        row: str,
        unit: FloatArray,
        answers: Answers,
        *,
        field: BoolArray | None = None,
        folder: PictureFolder | None = None,
    ) -> None:
        """Ask all tasks that have an answer about one picture of one row.

        Parameters
        ----------
        file, row : str
        unit : float32 array, shape (H, W, C), in [0, 1]
        answers : Answers
        field : bool array, shape (H, W), optional
            Field of view; pixels outside do not count.
        folder : PictureFolder, optional
            Where overlays are kept.

        Raises
        ------
        InputError
            The truth is of another size.
        """
        for recogniser in self._recognisers:
            name = recogniser.task.name
            if name in answers.labels:
                guess = recogniser.predict(unit, field=field)
                self._guesses.setdefault(name, {}).setdefault(row, {})[file] = guess
                self._labels.setdefault(name, {})[file] = answers.labels[name]
            elif name in answers.masks:
                truth = answers.masks[name]
                _check_size(file, truth, unit)
                guess = recogniser.predict(unit, field=field)
                self._score(file, row, recogniser, guess, truth, field)
                if folder is not None:
                    found = guess >= np.array(recogniser.thresholds, np.float32)
                    keep_overlay(folder.path, file, row, name, np.any(found, axis=-1))
                    keep_overlay(
                        folder.path, file, "mask", name, np.any(truth, axis=-1)
                    )

    def _score(
        self,
        file: str,
        row: str,
        recogniser: Recogniser,
        guess: FloatArray,
        truth: BoolArray,
        field: BoolArray | None,
    ) -> None:
        scores = self._scores.setdefault(row, {})
        task = recogniser.task
        for index, threshold in enumerate(recogniser.thresholds):
            figures = score_segmentation(
                guess[..., index], truth[..., index], region=field, threshold=threshold
            )
            for score in _SCORES:
                known = math.isfinite(figures[score])
                by_file = scores.setdefault(_name(task, index, score), {})
                by_file[file] = figures[score] if known else None

    def scores(self, row: str) -> dict[str, dict[str, float | None]]:
        """Return the scores of single files: column -> file -> value."""
        found = dict(self._scores.get(row, {}))
        for name, by_row in self._guesses.items():
            if row in by_row:
                found[f"{name}.right"] = {
                    file: float(guess[self._labels[name][file]])
                    for file, guess in by_row[row].items()
                }
        return found

    def clean_row(self) -> Row:
        """Return the row of the clean pictures: what there was to lose."""
        return Row(
            name=CLEAN,
            scores=self.scores(CLEAN),
            set_scores=self.set_scores(CLEAN, lost=None),
            note="the clean pictures",
            is_bound=True,
        )

    def set_scores(self, row: str, *, lost: str | None) -> tuple[SetScore, ...]:
        """Return the scores of the whole set in a row.

        Parameters
        ----------
        row : str
        lost : str or None
            The row of the degraded pictures, for the share that comes back.
        """
        found: list[SetScore] = []
        for task in self.tasks:
            if task.kind == "classification":
                found += self._of_pictures(task, row, lost)
            elif lost is not None and row not in (lost, CLEAN):
                found += self._of_pixels(task, row, lost)
        return tuple(found)

    def _of_pixels(self, task: Task, row: str, lost: str) -> Iterator[SetScore]:
        for index in range(len(task.classes)):
            column, title = _name(task, index, "iou"), _title(task, index, "IoU")
            three = [
                self._scores.get(n, {}).get(column, {}) for n in (CLEAN, lost, row)
            ]
            values = [[scores.get(file) for scores in three] for file in three[2]]
            full = [[v for v in line if v is not None] for line in values]
            table = np.array([line for line in full if len(line) == 3], float)
            if table.size:
                yield mean_regained(column, title, table.T)

    def _of_pictures(self, task: Task, row: str, lost: str | None) -> list[SetScore]:
        name = task.name
        by_row = self._guesses.get(name, {})
        shown = {who: by_row[who] for who in (row, lost, CLEAN) if who in by_row}
        files = [f for f in by_row.get(row, {}) if all(f in g for g in shown.values())]
        if not files:
            return []
        labels = np.array([self._labels[name][file] for file in files])
        guesses = {
            who: np.stack([by_file[file] for file in files])
            for who, by_file in shown.items()
        }
        return set_figures(task, labels, guesses, row, lost=lost)


def _columns(task: Task) -> Iterator[Column]:
    if task.kind == "classification":
        title = f"{task.title}: probability of the right class"
        yield Column(name=f"{task.name}.right", title=title)
        return
    for index in range(len(task.classes)):
        for score, word in _SCORES.items():
            name = _name(task, index, score)
            yield Column(name=name, title=_title(task, index, word))


def _title(task: Task, index: int, score: str) -> str:
    which = f", {task.classes[index]}" if len(task.classes) > 1 else ""
    return f"{task.title}{which}: {score}"


def _name(task: Task, index: int, score: str) -> str:
    if len(task.classes) == 1:
        return f"{task.name}.{score}"
    return f"{task.name}.{task.classes[index].replace(' ', '-')}.{score}"


def _check_size(file: str, truth: BoolArray, unit: FloatArray) -> None:
    if truth.shape[:2] != unit.shape[:2]:
        raise InputError(
            f"its mask is {truth.shape[1]} x {truth.shape[0]} pixels, "
            f"the picture {unit.shape[1]} x {unit.shape[0]}",
            path=file,
        )
