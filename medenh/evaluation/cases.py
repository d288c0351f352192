"""Clean pictures to degrade: the user's folder, with masks and labels beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from medenh import formats
from medenh.errors import UsageError
from medenh.evaluation.answers import Answers
from medenh.formats.array import from_array
from medenh.formats.outputs import is_output_folder
from medenh.formats.pairing import Listing, list_pictures, passed_over
from medenh.formats.viewing import viewing_of
from medenh.tasks import Task
from medenh.tasks.labels import read_labels
from medenh.types import FloatArray, Image, Modality

__all__ = ["Case", "Clean", "DataSet", "choose", "eight_bits", "read_folder"]

_Chosen = TypeVar("_Chosen")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clean:
    """A clean picture and what is known of it.

    Attributes
    ----------
    image : Image
    field : float32 array, shape (H, W), or None
        Field of view, where it is known.
    answers : Answers
        Of the downstream tasks.
    """

    image: Image
    field: FloatArray | None = None
    answers: Answers = dataclasses.field(default_factory=Answers)


class Case(Protocol):
    """One clean picture, not yet read; picklable.

    Attributes
    ----------
    name : str
        Relative name: it seeds the degradation.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    def read(self, tasks: Sequence[Task]) -> Clean:
        """Read it, with the answers of some tasks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """Clean pictures of one kind.

    Attributes
    ----------
    cases : tuple of Case
    modality : Modality
    tasks : tuple of str
        Tasks that at least one case has an answer to.
    unmatched : mapping
        Files without partner, as in `Evaluation.unmatched`.
    rejected : tuple of (path, error)
        Files that are no pictures.
    passed_over : mapping
        As in `Evaluation.passed_over`.
    settings : mapping
        Where it came from, for the record.
    """

    cases: tuple[Case, ...]
    modality: Modality = Modality.UNKNOWN
    tasks: tuple[str, ...] = ()
    unmatched: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    rejected: tuple[tuple[Path, Exception], ...] = ()
    passed_over: Mapping[str, int] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileCase:
    """A picture of a folder.

    Attributes
    ----------
    name : str
    path : path
    mask : path or None
        Truth of a segmentation.
    label : str or None
        Truth of a classification.
    """

    name: str
    path: Path
    mask: Path | None = None
    label: str | None = None

    def read(self, tasks: Sequence[Task]) -> Clean:
        """Read it, with the answers of some tasks."""
        image = formats.read(self.path)
        answers = Answers.of_files(self.mask, self.label, tasks)
        return Clean(image=image, answers=answers)


def read_folder(
    root: Path, masks: Path | None, labels: Path | None, tasks: Sequence[Task]
) -> DataSet:
    """List the pictures of a folder, or one file, with masks and labels by name.

    Subfolders that runs wrote their outputs into hold no clean pictures: they are
    passed over.

    Raises
    ------
    UsageError, NothingReadableError
        As `list_pictures` and `read_labels` raise them.
    """
    pictures = list_pictures(root, is_output=is_output_folder, labels=labels)
    truths = list_pictures(masks, labels=labels) if masks else None
    known = read_labels(labels, tasks) if labels else {}
    cases = tuple(
        FileCase(
            pictures.name_of(key),
            path,
            truths.files.get(key) if truths else None,
            known.get(key),
        )
        for key, path in pictures.files.items()
    )
    asked = tuple(
        task.name for task in tasks if any(_has_answer(case, task) for case in cases)
    )
    return DataSet(
        cases=cases,
        tasks=asked,
        unmatched=_unmatched(pictures, truths, known if labels else None),
        rejected=tuple(pictures.rejected),
        passed_over=passed_over([pictures, *([truths] if truths else [])]),
        settings={"data": str(root), "masks": str(masks) if masks else None},
    )


def _has_answer(case: FileCase, task: Task) -> bool:
    return (case.label if task.kind == "classification" else case.mask) is not None


def _unmatched(
    pictures: Listing, truths: Listing | None, labels: Mapping[str, str] | None
) -> dict[str, tuple[str, ...]]:
    left: dict[str, tuple[str, ...]] = {}
    there = set(pictures.files)
    if truths is not None:
        known = set(truths.files)
        left["not in masks"] = pictures.names_of(there - known - truths.damaged)
        left["masks"] = truths.names_of(known - there - pictures.damaged)
    if labels is not None:
        left["not in labels"] = pictures.names_of(there - set(labels))
        left["labels"] = tuple(sorted(set(labels) - there - pictures.damaged))
    return {name: names for name, names in left.items() if names}


def choose(cases: Sequence[_Chosen], limit: int | None) -> tuple[_Chosen, ...]:
    """Return some cases, the same at every call, spread over all; in their order."""
    if limit is None or limit >= len(cases):
        return tuple(cases)
    if limit < 1:
        raise UsageError("limit must be at least 1")
    chosen = np.random.default_rng(0).permutation(len(cases))[:limit]
    return tuple(cases[index] for index in sorted(chosen))


def eight_bits(image: Image) -> Image:
    """Return a picture as 8-bit levels of its display range."""
    limits = image.unit_range
    plain = (limits.low, limits.high, limits.inverted) == (0.0, 255.0, False)
    if image.pixels.dtype == np.uint8 and plain:
        return image
    unit = np.moveaxis(image.to_unit(), 1, -1)
    levels: NDArray[np.uint8] = np.rint(unit * 255).astype(np.uint8)
    return replace(
        from_array(levels),
        modality=image.modality,
        source=image.source,
        header=viewing_of(image),
    )
