"""What an evaluation found; what the report, the CSV and the JSON are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from medenh.metrics import PairedTests
from medenh.types import FloatArray

__all__ = ["Column", "Evaluation", "Pictures", "Row", "SetScore"]

Better = Literal["higher", "lower", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One measure of every file: a metric, or a score of a downstream task.

    Attributes
    ----------
    name : str
        Key in JSON and CSV: "psnr", "vessels-fundus.iou".
    title, unit : str
        For people: "PSNR", "dB".
    better : str
        Which direction is better.
    digits : int
        Decimals worth showing.
    """

    name: str
    title: str
    unit: str = ""
    better: Better = "higher"
    digits: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SetScore:
    """A score of a whole set of files: AUC of a classifier, share of a score regained.

    Attributes
    ----------
    name, title : str
        "pneumonia-xray.auc", "vessels-fundus.iou.recovered".
    value : float or None
        None where it means nothing (one class only; nothing was lost).
    ci95 : tuple of two floats, or None
        Bootstrap interval over files.
    n : int or None
        Files it stands for.
    """

    name: str
    title: str
    value: float | None
    ci95: tuple[float, float] | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method: doing nothing, a model, a baseline folder, a bound.

    Attributes
    ----------
    name : str
        Model id, "identity", "enhanced", a baseline's folder name, "oracle-affine".
    scores : mapping
        Column name -> file -> value; None where undefined for that file.
    set_scores : tuple of SetScore
        Scores of the whole set.
    seconds : float or None
        Time the model took for all files.
    note : str
        What a reader must know: "bound, not a method", "sees the reference".
    is_bound : bool
        It shows what could be had, and cannot be the best: an oracle, the clean
        pictures.
    """

    name: str
    scores: Mapping[str, Mapping[str, float | None]] = field(repr=False)
    set_scores: tuple[SetScore, ...] = ()
    seconds: float | None = None
    note: str = ""
    is_bound: bool = False


class Pictures(Protocol):
    """Where a report gets pictures from, one file at a time."""

    def get(self, file: str, row: str) -> FloatArray | None:
        """Return a picture, shape (H, W, C) in [0, 1], or None where there is none.

        ``row`` is a row's name, "degraded" (what the methods were given) or
        "reference" (the clean one).
        """
        ...

    def overlay(self, file: str, row: str, task: str) -> NDArray[np.bool_] | None:
        """Return what a task found, shape (H, W); row "mask" is the truth."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Evaluation:
    """Everything measured; printed, it is a table of means.

    Attributes
    ----------
    title : str
    protocol : str or None
        Name of the frozen protocol; None for folders of the user's own pairs.
    subject : str
        Name of the row that the paired tests compare with the others.
    columns : tuple of Column
    rows : tuple of Row
        In the order to show; the do-nothing row first where there is one.
    files : tuple of str
        Relative names, in order.
    tests : mapping
        Row name -> column name -> paired tests of the subject against that row.
    against_identity : mapping
        Row name -> column name -> paired tests of that row against doing nothing;
        empty without such a row.
    region : str
        "whole", "fov" or "mask".
    data_range : str
        What 0 and 1 of the measured pictures were, in words: "0-255 (8-bit)".
    unmatched : mapping
        "enhanced", "reference", "masks"... -> files without partner; "not in low" ->
        files that are measured, but have none in that folder.
    failed : tuple of mappings
        {"path", "error", "code"} of files that could not be measured.
    passed_over : mapping
        What the folders hold that is no picture: kind -> number of files.
    tasks : tuple of str
        Names of the downstream tasks scored.
    settings : mapping
        Versions, hashes, seed, recipe, options: everything needed to repeat it.
    notes : tuple of str
        What a reader must know of the whole: a protocol for another kind of picture.
    seconds : float
    pictures : Pictures or None
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    files: tuple[str, ...]
    subject: str
    protocol: str | None = None
    tests: Mapping[str, Mapping[str, PairedTests]] = field(default_factory=dict)
    against_identity: Mapping[str, Mapping[str, PairedTests]] = field(
        default_factory=dict
    )
    region: str = "whole"
    data_range: str = ""
    unmatched: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    failed: tuple[Mapping[str, str], ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    pictures: Pictures | None = None

    def row(self, name: str) -> Row:
        """Return a row by name; KeyError where there is none."""
        return {row.name: row for row in self.rows}[name]

    def __repr__(self) -> str:
        from medenh.evaluation.output import as_text  # it needs this module

        return as_text(self)
