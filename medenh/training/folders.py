"""Folders of the user's own images to learn from, with partners, masks and labels."""

from __future__ import annotations

import csv
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import formats
from medenh.errors import InputError, UsageError
from medenh.formats.names import Listing, key_of, list_pictures
from medenh.tasks.masks import read_mask
from medenh.tasks.table import Task
from medenh.training.data import CleanImage, coverage, reduced
from medenh.types import Image

__all__ = ["load_folder"]

_log = logging.getLogger(__name__)


def load_folder(
    root: str,
    max_side: int,
    *,
    low: str = "",
    masks: str = "",
    labels: str = "",
    task: Task | None = None,
) -> list[CleanImage]:
    """Read a folder into memory; of volumes every frame is an image.

    Parameters
    ----------
    root : str
        Folder, or a file.
    max_side : int
        Larger images are reduced to this long side.
    low : str
        Folder of real low-quality partners: same names, same shapes.
    masks, labels : str
        Answers to ``task``: masks of the same names, or a CSV of file and label.
    task : Task, optional
        Only images with an answer to it.

    Returns
    -------
    list of CleanImage
        In the order of their names; the first folder of a relative name is the group
        (patient), or else the name itself. Unreadable files are left out and logged.

    Raises
    ------
    UsageError
        A pair differs in shape, or nothing has a partner or an answer.
    """
    listing = list_pictures(Path(root))
    partners = list_pictures(Path(low)) if low else None
    truths = list_pictures(Path(masks)) if masks and task else None
    known = _read_labels(Path(labels), task) if labels and task else {}
    for path, error in listing.rejected:
        _log.warning("%s is left out: %s", path, error.what)
    images: list[CleanImage] = []
    lonely = unanswered = 0
    for key in listing.files:
        if partners is not None and key not in partners.files:
            lonely += 1
            continue
        name = listing.name_of(key)
        try:
            frames = _frames(name, key, listing, max_side)
            if partners is not None:
                frames = _paired(frames, partners.files[key], max_side)
        except InputError as error:
            _log.warning("%s is left out: %s", name, error.what)
            continue
        answered = _answered(frames, key, truths, known, task, max_side)
        unanswered += not answered
        images += answered
    for count, what in ((lonely, "partner"), (unanswered, "answer")):
        if count and images:
            _log.warning(
                "%d of %d files in %s have no %s and are left out",
                count,
                len(listing.files),
                root,
                what,
            )
    if not images:
        wanted = " with a partner" if low else " with an answer" if task else ""
        raise UsageError(f"no image{wanted} to learn from", path=root)
    return images


def _frames(name: str, key: str, listing: Listing, max_side: int) -> list[CleanImage]:
    image = formats.read(listing.files[key])
    group = Path(name).parts[0] if "/" in name else key
    return [
        CleanImage(
            f"{name}#{index}" if index else name,
            str(image.modality),
            "train",
            group,
            pixels,
        )
        for index, pixels in enumerate(_levels(image, max_side))
    ]


def _levels(image: Image, max_side: int) -> list[NDArray[Any]]:
    """Return the frames as 8-bit or, where the file is deeper, 16-bit levels."""
    shallow = image.pixels.dtype == np.uint8
    white, dtype = (255, np.uint8) if shallow else (65535, np.uint16)
    unit = np.moveaxis(image.to_unit(), 1, -1)
    return [reduced(np.rint(one * white).astype(dtype), max_side) for one in unit]


def _paired(frames: list[CleanImage], path: Path, max_side: int) -> list[CleanImage]:
    lows = _levels(formats.read(path), max_side)
    shapes = [frame.pixels.shape for frame in frames], [one.shape for one in lows]
    if shapes[0] != shapes[1]:
        raise UsageError(
            f"{shapes[1][0]} here, {shapes[0][0]} in its clean partner", path=path
        )
    return [replace(f, low=one) for f, one in zip(frames, lows, strict=True)]


def _answered(
    frames: list[CleanImage],
    key: str,
    truths: Listing | None,
    known: dict[str, int],
    task: Task | None,
    max_side: int,
) -> list[CleanImage]:
    if task is None:
        return frames
    if task.kind == "classification":
        label = next(
            (known[key] for key in (key, Path(key).name) if key in known), None
        )
        return [] if label is None else [replace(f, label=label) for f in frames]
    if truths is None or key not in truths.files or len(frames) > 1:
        return []
    planes = coverage(read_mask(truths.files[key]), task, max_side)
    if planes.shape[:2] != frames[0].pixels.shape[:2]:
        raise UsageError("mask and image differ in size", path=truths.files[key])
    return [replace(frames[0], mask=planes)]


def _read_labels(path: Path, task: Task) -> dict[str, int]:
    """Return class numbers by key, whole and of the bare name where that is enough.

    Labels are class names or numbers.
    """
    words = {name: k for k, name in enumerate(task.classes)}
    words |= {str(k): k for k in range(len(task.classes))}
    words |= {pair.partition("=")[2]: k for pair, k in task.labels.items()}
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle))
    except OSError as error:
        raise UsageError(f"cannot read the labels: {error}", path=path) from error
    if rows and not {"file", "label"} <= set(rows[0]):
        raise UsageError("wants the columns file and label", path=path)
    unknown = [row["label"] for row in rows if row["label"] not in words]
    if unknown:
        raise UsageError(
            f"label {unknown[0]!r} is none of {', '.join(task.classes)}", path=path
        )
    known: dict[str, int] = {}
    by_name: dict[str, set[int]] = {}
    for row in rows:
        key, label = key_of(row["file"]), words[row["label"]]
        if known.setdefault(key, label) != label:
            raise UsageError(f"two labels for {row['file']!r}", path=path)
        by_name.setdefault(Path(key).name, set()).add(label)
    # a row may stand for a file in another folder, where no other name is meant
    sole = {name: min(labels) for name, labels in by_name.items() if len(labels) == 1}
    return sole | known
