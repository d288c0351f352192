"""The pictures of one file of an evaluation, by what made them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medenh.errors import MedenhError
from medenh.evaluation.result import Evaluation, Pictures
from medenh.reports.pictures import rgb
from medenh.types import FloatArray

__all__ = ["Album", "Picture", "first_of", "open_album", "open_mask"]

_MOST_ROWS = 8  # pictures of rows a file


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and the name it goes by on the page."""

    title: str
    pixels: FloatArray


# key ("degraded", a row's name, "reference") -> picture
Album = dict[str, Picture]


def open_album(evaluation: Evaluation, file: str) -> Album:
    """Return what was given, what the rows made of it, and the reference.

    Pictures that can no longer be read are left out.
    """
    album: Album = {}
    pictures = evaluation.pictures
    if pictures is None:
        return album
    given = _get(pictures, file, "degraded")
    if given is not None:
        album["degraded"] = Picture("Input", given)
    for name in _shown_rows(evaluation):
        pixels = _get(pictures, file, name)
        if pixels is None:
            continue
        if given is not None and name == "identity" and np.array_equal(given, pixels):
            album["degraded"] = Picture("Input (identity)", given)
        else:
            album[name] = Picture(name, pixels)
    reference = _get(pictures, file, "reference")
    if reference is not None:
        album["reference"] = Picture("Reference", reference)
    return album


def _shown_rows(evaluation: Evaluation) -> list[str]:
    """Return rows in order; of too many, the subject and the first ones."""
    names = [row.name for row in evaluation.rows]
    kept = set(names[: _MOST_ROWS - 1]) | {evaluation.subject}
    return [name for name in names if name in kept]


def _get(pictures: Pictures, file: str, row: str) -> FloatArray | None:
    # a file that went away must not cost the page of all others
    with contextlib.suppress(MedenhError, OSError):
        pixels = pictures.get(file, row)
        return None if pixels is None else rgb(pixels)
    return None


def open_mask(
    pictures: Pictures, file: str, row: str, task: str
) -> NDArray[np.bool_] | None:
    """Return what a task found, or the truth; None where there is none."""
    with contextlib.suppress(MedenhError, OSError):
        return pictures.overlay(file, row, task)
    return None


def first_of(album: Album, *keys: str) -> str:
    """Return the first key that has a picture; any where none has."""
    return next((key for key in keys if key in album), next(iter(album)))
