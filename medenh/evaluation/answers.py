"""What is true of a picture: masks and labels, from files of the user's."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UsageError
from medenh.formats.names import key_of
from medenh.tasks import Task, class_masks, read_mask

__all__ = ["Answers", "read_labels"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answers:
    """What is true of one picture.

    Attributes
    ----------
    masks : mapping
        Task -> bool array (H, W, K).
    labels : mapping
        Task -> class number.
    """

    masks: Mapping[str, BoolArray] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_files(
        cls, mask: Path | None, label: str | None, tasks: Sequence[Task]
    ) -> Answers:
        """Return the answers of a mask file and the text of a label.

        Raises
        ------
        UsageError
            The label is none of a task's.
        InputError
            The mask cannot be read.
        """
        masks, labels = {}, {}
        for task in tasks:
            if task.kind == "classification" and label is not None:
                labels[task.name] = _class_of(label, task)
            elif task.kind == "segmentation" and mask is not None:
                masks[task.name] = class_masks(read_mask(mask), task)
        return cls(masks, labels)


def _class_of(label: str, task: Task) -> int:
    """Return the class of a label: its name, its number, or a pack's "key=value"."""
    if label in task.classes:
        return task.classes.index(label)
    if label in task.labels:
        return task.labels[label]
    if label.isdigit() and int(label) < len(task.classes):
        return int(label)
    raise UsageError(
        f"{label!r} is no label of task {task.name}",
        hint=f"one of {', '.join(task.classes)}, or its number from 0",
    )


def read_labels(path: Path, tasks: Sequence[Task]) -> dict[str, str]:
    """Return the labels of a CSV with columns file and label: name -> label.

    Raises
    ------
    UsageError
        It cannot be read, lacks a column, holds a label of no class, or two labels of
        one name.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read the labels: {error}", path=path) from error
    if not rows or not {"file", "label"} <= set(rows[0]):
        raise UsageError("labels need the columns file and label", path=path)
    labels: dict[str, str] = {}
    for row in rows:
        key, label = key_of(row["file"] or ""), (row["label"] or "").strip()
        if labels.setdefault(key, label) != label:
            raise UsageError(f"two labels for {row['file']!r}", path=path)
    for task in tasks:
        if task.kind == "classification":
            for key, label in labels.items():
                _check_label(label, task, path, key)
    return labels


def _check_label(label: str, task: Task, path: Path, key: str) -> None:
    try:
        _class_of(label, task)
    except UsageError as error:
        raise UsageError(
            f"{error.what} (of {key!r})", path=path, hint=error.hint
        ) from (error)
