"""Labels of classification tasks: a CSV of file and label, and the class each means."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from medenh.errors import UsageError
from medenh.formats.pairing import key_of
from medenh.tasks.table import Task
from medenh.text_files import read_text

__all__ = ["class_of", "read_labels"]


def class_of(label: str, task: Task) -> int:
    """Return the class that a label means.

    Parameters
    ----------
    label : str
        Name of a class, its number from 0, or how packs write it: "key=value", or the
        value alone.
    task : Task
        A classification.

    Raises
    ------
    UsageError
        It is no label of the task.
    """
    if label in task.classes:
        return task.classes.index(label)
    if label in task.labels:
        return task.labels[label]
    if label.isdecimal() and int(label) < len(task.classes):
        return int(label)
    values = {pair.partition("=")[2]: k for pair, k in task.labels.items()}
    if label in values:
        return values[label]
    raise UsageError(
        f"{label!r} is no label of task {task.name}",
        hint=f"one of {', '.join(task.classes)}, or its number from 0",
    )


def read_labels(path: Path, tasks: Sequence[Task]) -> dict[str, str]:
    """Return the labels of a CSV with columns file and label.

    Parameters
    ----------
    path : path
        In UTF-8. Spaces around a label do not count, nor do rows without file and
        label.
    tasks : sequence of Task
        Every label must mean a class of each classification among them.

    Returns
    -------
    dict
        Name, as `medenh.formats.pairing.key_of` returns it -> label.

    Raises
    ------
    UsageError
        It cannot be read, lacks a column, or has a row with one of file and label, a
        label of no class, or two labels of one name that mean different classes.
    """
    tasks = [task for task in tasks if task.kind == "classification"]
    labels: dict[str, str] = {}
    classes: dict[str, list[int]] = {}
    for file, label in _rows(path):
        key = key_of(file)
        found = _classes_of(label, tasks, path, key)
        if classes.setdefault(key, found) != found:
            raise UsageError(f"two labels for {file!r}", path=path)
        labels.setdefault(key, label)
    return labels


def _rows(path: Path) -> list[tuple[str, str]]:
    """Return file and label of every row that is not empty."""
    text = read_text(path, "the labels")
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = list(reader)
    except csv.Error as error:
        raise UsageError(f"cannot read the labels: {error}", path=path) from error
    if not rows or not {"file", "label"} <= set(rows[0]):
        has = ", ".join(map(repr, reader.fieldnames or [])) or "nothing"
        raise UsageError(
            f"labels need the columns file and label; the first line has {has}",
            path=path,
            hint="write them with a comma between",
        )
    # short rows lack a value
    pairs = [(row["file"] or "", (row["label"] or "").strip()) for row in rows]
    for file, label in pairs:
        if bool(file) != bool(label):
            lacks = f"no label for {file!r}" if file else f"no file for {label!r}"
            raise UsageError(lacks, path=path)
    return [pair for pair in pairs if any(pair)]


def _classes_of(label: str, tasks: Sequence[Task], path: Path, key: str) -> list[int]:
    try:
        return [class_of(label, task) for task in tasks]
    except UsageError as error:
        raise UsageError(
            f"{error.what} (of {key!r})", path=path, hint=error.hint
        ) from error
