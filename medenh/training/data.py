"""Images to learn from: packs and folders, in memory.

A pack is a folder with `manifest.csv` (file, shard, split, quality, group...) and
uncompressed tar shards.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UsageError, counted
from medenh.opencv import cv2
from medenh.tasks.masks import class_masks, read_mask
from medenh.tasks.table import Task
from medenh.text_files import read_text

__all__ = [
    "MODALITY_OF_PACK",
    "CleanImage",
    "check_masks",
    "coverage",
    "decode_image",
    "digest_of",
    "find_label",
    "has_answer",
    "hold_back",
    "is_grey",
    "load_pack",
    "open_shard",
    "read_member",
    "read_rows",
    "reduced",
    "split_holdout",
    "tell_parts",
]


_log = logging.getLogger(__name__)


class _Grouped(Protocol):
    @property
    def group(self) -> str: ...


_Image = TypeVar("_Image", bound=_Grouped)
_COLUMNS = ("file", "shard", "split", "quality", "group", "labels")
_LARGE_SHARE = 0.25  # held back, from which on three times as asked is told [chosen]
MODALITY_OF_PACK = {
    "fundus": "fundus",
    "xray": "xray",
    "ct": "ct",
    "mri": "mri",
    "derm": "dermoscopy",
    "micro": "microscopy",
    "endo": "endoscopy",
    "us": "ultrasound",
}


@dataclass(frozen=True, slots=True)
class CleanImage:
    """One image of a pack, reduced and in memory.

    Attributes
    ----------
    name : str
        "pack/file", the seed of everything drawn for it.
    modality, split, group : str
        Group is the patient, lesion or sequence: never on both sides of a split.
    pixels : uint8 or uint16 array, shape (H, W, C)
        C is 1 or 3 (RGB).
    dataset : str
        Source data set.
    low : array like pixels, or None
        Its real low-quality partner.
    mask : uint8 array, shape (H, W, K), or None
        Coverage of each class of a task, 0 to 255.
    label : int or None
        Class number of a task.
    digest : str
        Hash of picture, partner and answer, as they were read.
    """

    name: str
    modality: str
    split: str
    group: str
    pixels: NDArray[Any]
    dataset: str = ""
    low: NDArray[Any] | None = None
    mask: NDArray[np.uint8] | None = None
    label: int | None = None
    digest: str = ""


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Return the manifest of a pack, a dictionary a row.

    Raises
    ------
    UsageError
        It cannot be read, or lacks a column that every pack has.
    """
    manifest = folder / "manifest.csv"
    text = read_text(
        manifest,
        "the pack",
        "data.root, or for a built-in configuration MEDENH_DATA, names the folder of "
        "the packs",
    )
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows, names = list(reader), reader.fieldnames or []
    except csv.Error as error:
        raise UsageError(f"cannot read the pack: {error}", path=manifest) from error
    lacking = [name for name in _COLUMNS if name not in names]
    if lacking:
        raise UsageError(
            f"the manifest lacks the columns {', '.join(lacking)}", path=manifest
        )
    return rows


@contextmanager
def open_shard(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a pack's tar file.

    Raises
    ------
    UsageError
        It is missing or damaged, also where that shows only while it is read.
    """
    try:
        with tarfile.open(path) as tar:
            yield tar
    except (OSError, tarfile.TarError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"cannot read this part of the pack: {reason}", path=path
        ) from error


def load_pack(
    folder: Path,
    qualities: list[str],
    splits: tuple[str, ...],
    max_side: int,
    task: Task | None = None,
) -> list[CleanImage]:
    """Read the clean images of a pack into memory.

    Parameters
    ----------
    folder : path
        Holds manifest.csv and the shards it names.
    qualities : list of str
        Values of the quality column to take.
    splits : tuple of str
        Of "train", "val", "test".
    max_side : int
        Larger images are reduced (area average) to this long side.
    task : Task, optional
        Only images with an answer to it, and their answers too.
    """
    rows = [
        row
        for row in read_rows(folder)
        if row["quality"] in qualities
        and row["split"] in splits
        and (task is None or has_answer(row, task))
    ]
    _log.info("reading %s of %s", counted(len(rows), "image"), folder)
    images = []
    for shard in sorted({row["shard"] for row in rows}):
        with open_shard(folder / shard) as tar:
            for row in rows:
                if row["shard"] == shard:
                    images.append(_read(tar, row, folder, max_side, task))
    return images


def _read(
    tar: tarfile.TarFile,
    row: dict[str, str],
    folder: Path,
    max_side: int,
    task: Task | None,
) -> CleanImage:
    data = read_member(tar, row["file"], folder)
    pixels = decode_image(data, row, folder)
    digest = digest_of(pixels)
    pixels = reduced(pixels, max_side)
    if pixels.shape[2] == 3 and is_grey(pixels):
        pixels = pixels[..., :1].copy()
    mask = label = None
    if task is not None and task.kind == "segmentation":
        numbers = read_mask(read_member(tar, row["mask_file"], folder))
        mask = coverage(numbers, task, max_side)
        digest = digest_of(numbers, digest)
    elif task is not None:
        label = find_label(row, task)
        digest = f"{digest}/{label}"
    return CleanImage(
        f"{folder.name}/{row['file']}",
        MODALITY_OF_PACK.get(folder.name, folder.name),
        row["split"],
        row["group"],
        pixels,
        row.get("source_dataset", ""),
        mask=mask,
        label=label,
        digest=digest,
    )


def read_member(tar: tarfile.TarFile, name: str, folder: Path) -> bytes:
    """Return the bytes of a file in a shard.

    Raises
    ------
    UsageError
        The manifest names a file that is not there.
    """
    try:
        member = tar.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise UsageError(
            "named in the manifest, but not in the pack", path=folder / name
        )
    return member.read()


def has_answer(row: Mapping[str, str], task: Task) -> bool:
    """Say whether a manifest's row holds an answer to a task."""
    if task.kind == "classification":
        return find_label(row, task) is not None
    return bool(row.get("mask_file"))


def find_label(row: Mapping[str, str], task: Task) -> int | None:
    """Return the class number of a manifest's row."""
    found = [task.labels[p] for p in row["labels"].split(";") if p in task.labels]
    return found[0] if found else None


def digest_of(pixels: NDArray[Any], before: str = "") -> str:
    """Return a hash of an array's shape, type and values, and of a hash before it."""
    digest = hashlib.sha256(repr((before, pixels.shape, pixels.dtype.str)).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def coverage(
    numbers: NDArray[np.int32], task: Task, max_side: int
) -> NDArray[np.uint8]:
    """Return the coverage of a task's classes, 0 to 255, reduced like its picture."""
    planes = class_masks(numbers, task).astype(np.uint8) * np.uint8(255)
    return np.asarray(reduced(planes, max_side), np.uint8)


def check_masks(masks: Iterable[NDArray[Any]], task: Task) -> None:
    """Refuse masks that tell nothing apart: without a pixel of a class, or only such.

    Parameters
    ----------
    masks : iterable of array, shape (H, W, K)
        Coverage of a task's classes; at least one.
    task : Task

    Raises
    ------
    UsageError
        That is so of all classes. Of one among several it is warned about.
    """
    lowest, highest = zip(*((m.min((0, 1)), m.max((0, 1))) for m in masks), strict=True)
    flat = np.min(lowest, 0) == np.max(highest, 0)
    names = [name for name, one in zip(task.classes, flat, strict=True) if one]
    if flat.all():
        raise UsageError(
            f"all masks to learn {task.name} from are of one value throughout: there "
            "is nothing to tell apart",
            hint="masks are 0 where there is nothing and another number where there is",
        )
    if names:
        _log.warning(
            "no mask to learn from tells %s from the rest: it is not learnt",
            " and ".join(names),
        )


def reduced(pixels: NDArray[Any], max_side: int) -> NDArray[Any]:
    """Return (H, W, C) pixels with a long side of at most ``max_side``."""
    height, width = pixels.shape[:2]
    scale = max_side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels.reshape(pixels.shape[0], pixels.shape[1], -1)  # OpenCV drops it


def decode_image(data: bytes, row: dict[str, str], folder: Path) -> NDArray[np.uint8]:
    """Return a pack's image as 8-bit (H, W, C), RGB or grey.

    Raises
    ------
    UsageError
        The pack holds a damaged image.
    """
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise UsageError("the pack holds a damaged image", path=folder / row["file"])
    pixels = _to_display(decoded, row)
    return pixels.reshape(pixels.shape[0], pixels.shape[1], -1)


def _to_display(pixels: NDArray[Any], row: dict[str, str]) -> NDArray[np.uint8]:
    """Return 8-bit RGB or grey; 16-bit HU + 1024 through a soft-tissue window."""
    if pixels.ndim == 3:
        return np.ascontiguousarray(pixels[..., 2::-1], np.uint8)
    if pixels.dtype == np.uint16:
        values = pixels.astype(np.float32)
        if "kernel=" in row["labels"]:
            low, high = 1024.0 - 160.0, 1024.0 + 240.0
        else:
            low, high = np.percentile(values, [0.5, 99.5])
        scaled: NDArray[Any] = (
            np.clip((values - low) / max(high - low, 1.0), 0, 1) * 255
        )
        levels: NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
        return levels
    return pixels.astype(np.uint8, copy=False)


def is_grey(pixels: NDArray[Any]) -> bool:
    """Say whether an RGB image is a grey one saved in colour (JPEG noise aside)."""
    spread = pixels.max(2).astype(int) - pixels.min(2)
    return bool(np.percentile(spread, 99) <= 2)


def hold_back(
    images: list[_Image], share: float, purpose: str = "holdout"
) -> tuple[list[_Image], list[_Image]]:
    """Part images as `split_holdout` does, but of two groups or more never all alike.

    Where the hashes would leave one side empty, it gets the group next to the border.
    """
    rest, chosen = split_holdout(images, share, purpose)
    lots = {image.group: _lot(image.group, purpose) for image in images}
    if len(lots) < 2 or (rest and chosen):
        return rest, chosen
    nearest = min(lots, key=lambda group: abs(lots[group] - share))
    alone = [image for image in images if image.group == nearest]
    others = [image for image in images if image.group != nearest]
    return (others, alone) if rest else (alone, others)


def tell_parts(learnt: list[_Image], held: list[_Image], share: float) -> None:
    """Log the sizes of both parts; warn where far more than asked is held back."""
    first = counted(len(learnt), "image")
    _log.info("%s to learn from, %d held back", first, len(held))
    found = len(held) / (len(learnt) + len(held))
    if found <= max(_LARGE_SHARE, 3 * share):
        return
    groups = list(dict.fromkeys(image.group for image in held))
    more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""
    _log.warning(
        "%d of %d images (%.0f%%) are held back where data.holdout_share asks for %g, "
        "since patients (first folders) stay together: those of %s%s",
        len(held),
        len(learnt) + len(held),
        100 * found,
        share,
        ", ".join(groups[:3]),
        more,
    )


def split_holdout(
    images: list[_Image], share: float, purpose: str = "holdout"
) -> tuple[list[_Image], list[_Image]]:
    """Part images by a hash of their group: (the rest, about ``share`` of them).

    No group is on both sides. ``purpose`` names an independent parting.
    """
    rest: list[_Image] = []
    chosen: list[_Image] = []
    for image in images:
        (chosen if _lot(image.group, purpose) < share else rest).append(image)
    return rest, chosen


def _lot(group: str, purpose: str) -> float:
    digest = hashlib.sha256(f"{purpose}/{group}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32
