"""Data packs: a manifest and tar shards, with masks, labels and fields of view."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medenh.errors import UsageError, spelled
from medenh.evaluation.answers import Answers
from medenh.evaluation.cases import Clean, DataSet
from medenh.formats.array import from_array
from medenh.intensity import soft_tissue_range
from medenh.tasks import Task, class_masks, find_task, read_mask
from medenh.training.data import (
    MODALITY_OF_PACK,
    decode_image,
    find_label,
    has_answer,
    is_grey,
    open_shard,
    read_member,
    read_rows,
)
from medenh.types import FloatArray, Image, Modality

__all__ = ["find_pack", "is_pack", "read_set"]

_QUALITIES = ["good", "high"]
_SMALL = "small"  # clean pictures of few pixels: enough for a question of its own
_HU_OFFSET = 1024  # 16-bit CT slices of packs hold HU + 1024
# data sets whose masks answer a task; a pack also holds masks of other things
_SOURCES: Mapping[str, tuple[str, ...]] = {
    "vessels-fundus": ("DRIVE", "STARE", "CHASE_DB1", "HRF"),
    "lesions-fundus": ("IDRiD",),
    "nuclei-micro": (
        "MoNuSeg 2018",
        "2018 Data Science Bowl stage 1 (corrected masks)",
    ),
}


@dataclass(frozen=True, slots=True)
class PackCase:
    """A picture of a pack.

    Attributes
    ----------
    folder : path
    row : mapping
        Its line of the manifest.
    native : bool
        Keep 16-bit numbers (HU for CT) instead of 8-bit display levels.
    """

    folder: Path
    row: Mapping[str, str]
    native: bool

    @property
    def name(self) -> str:
        """The pack and the file in it."""
        return f"{self.folder.name}/{self.row['file']}"

    def read(self, tasks: Sequence[Task]) -> Clean:
        """Read it, with the answers of some tasks."""
        with open_shard(self.folder / self.row["shard"]) as tar:
            data = read_member(tar, self.row["file"], self.folder)
            view = self._member(tar, "fov_file")
            mask = self._member(tar, "mask_file")
        field: FloatArray | None = None
        if view is not None:
            field = (read_mask(view) != 0).astype(np.float32)
        answers = _answers(self.row, mask, tasks)
        return Clean(image=self._image(data), field=field, answers=answers)

    def _member(self, tar: tarfile.TarFile, column: str) -> bytes | None:
        name = self.row.get(column)
        return read_member(tar, name, self.folder) if name else None

    def _image(self, data: bytes) -> Image:
        modality = _modality_of(self.folder)
        if self.native and self.row.get("bits") == "16":
            numbers = read_mask(data)  # the numbers as they stand in the file
            if "kernel=" not in self.row["labels"]:
                return from_array(numbers.astype(np.uint16), modality=modality)
            hounsfield = (numbers - _HU_OFFSET).astype(np.int16)
            image = from_array(hounsfield, modality=modality)
            return replace(image, unit_range=soft_tissue_range(), units="HU")
        pixels = decode_image(data, dict(self.row), self.folder)
        if pixels.shape[2] == 3 and is_grey(pixels):
            pixels = pixels[..., :1].copy()
        return from_array(pixels, modality=modality)


def is_pack(folder: Path) -> bool:
    """Tell whether a folder is a data pack."""
    return (folder / "manifest.csv").is_file() and any(folder.glob("*.tar"))


def find_pack(modalities: Sequence[str], protocol: str) -> Path:
    """Return the installed pack for a kind of picture.

    Packs are folders in the folder that ``MEDENH_DATA`` names.

    Raises
    ------
    UsageError
        None is installed.
    """
    home = os.environ.get("MEDENH_DATA", "")
    for pack, modality in MODALITY_OF_PACK.items():
        if home and modality in modalities and is_pack(Path(home) / pack):
            return Path(home) / pack
    wanted = " or ".join(modalities) or "any"
    raise UsageError(
        f"no benchmark set for protocol {protocol} ({wanted}) is installed here",
        hint=f"give clean pictures: {spelled(data='DIR')}; or set MEDENH_DATA to the "
        "folder of data packs",
    )


def read_set(
    folder: Path, tasks: Sequence[str], *, asked: bool, native: bool
) -> DataSet:
    """Return the held-back clean pictures of a pack: split test, or val without one.

    Parameters
    ----------
    folder : path
    tasks : sequence of str
        Downstream tasks of interest.
    asked : bool
        Take only pictures that have an answer to one of them, small ones too.
    native : bool
        Keep 16-bit numbers.

    Raises
    ------
    UsageError
        A task is unknown, or no picture is left.
    """
    modality = _modality_of(folder)
    fitting = [one for one in map(find_task, tasks) if one.modality == modality]
    qualities = [*_QUALITIES, _SMALL] if asked else _QUALITIES
    rows = [row for row in read_rows(folder) if row["quality"] in qualities]
    split = "test" if any(row["split"] == "test" for row in rows) else "val"
    held = [row for row in rows if row["split"] == split]
    if asked:
        held = [row for row in held if any(_has_answer(row, t) for t in fitting)]
    if not held:
        raise UsageError(
            f"no clean picture of split {split} with an answer to the task",
            path=folder,
        )
    held.sort(key=lambda row: row["shard"])
    known = [t.name for t in fitting if any(_has_answer(row, t) for row in held)]
    return DataSet(
        cases=tuple(PackCase(folder, row, native) for row in held),
        modality=modality,
        tasks=tuple(known),
        settings={"data": str(folder), "split": split, "qualities": qualities},
    )


def _modality_of(folder: Path) -> Modality:
    return Modality(MODALITY_OF_PACK.get(folder.name, Modality.UNKNOWN))


def _has_answer(row: Mapping[str, str], task: Task) -> bool:
    sources = _SOURCES.get(task.name)
    of_task = sources is None or row.get("source_dataset") in sources
    return of_task and has_answer(row, task)


def _answers(
    row: Mapping[str, str], mask: bytes | None, tasks: Sequence[Task]
) -> Answers:
    masks, labels = {}, {}
    for task in tasks:
        if not _has_answer(row, task):
            continue
        label = find_label(row, task)
        if task.kind == "classification" and label is not None:
            labels[task.name] = label
        elif mask is not None:
            masks[task.name] = class_masks(read_mask(mask), task)
    return Answers(masks, labels)
