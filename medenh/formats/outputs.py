"""Folders that runs wrote their outputs into, told by what lies there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = [
    "DEGRADE_JOURNAL",
    "JOURNAL_STEM",
    "RECORDS",
    "has_journal",
    "is_output_folder",
    "label_masks",
]

JOURNAL_STEM = ".medenh-journal"  # of `enhance`; a shard's part and .jsonl follow
DEGRADE_JOURNAL = ".medenh-degrade.jsonl"
RECORDS = "records.jsonl"
_SCHEMA = b'"medenh.degradation/'
_HEAD_BYTES = 4096
_MASKS_FOLDER = "masks"  # into which `degrade --masks` writes
_LONGEST_LINE = 1 << 20  # bytes; a record of one picture has thousands


def has_journal(_folder: Path, names: Sequence[str]) -> bool:
    """Tell of a folder, by the names of its files, whether `enhance` wrote into it."""
    return any(one.startswith(JOURNAL_STEM) and one.endswith(".jsonl") for one in names)


def is_output_folder(folder: Path, names: Sequence[str]) -> bool:
    """Tell of a folder with files of these names whether runs wrote into it.

    Of `enhance`, or of `degrade`: other programs may have a `records.jsonl` too.
    """
    if has_journal(folder, names) or DEGRADE_JOURNAL in names:
        return True
    if RECORDS not in names or not (folder / RECORDS).is_file():
        return False
    try:
        with (folder / RECORDS).open("rb") as file:
            return _SCHEMA in file.read(_HEAD_BYTES)
    except OSError:
        return False


def label_masks(
    folder: Path, below: Sequence[str], names: Sequence[str]
) -> frozenset[Path]:
    """Return the label masks that `degrade` wrote below a folder, by its records.

    Parameters
    ----------
    folder : path
    below, names : sequence of str
        Its subfolders and files.
    """
    if _MASKS_FOLDER not in below:
        return frozenset()
    told = [folder / name for name in (RECORDS, DEGRADE_JOURNAL) if name in names]
    files = [path for path in told if path.is_file()]  # a pipe would never end
    return frozenset(folder / mask for path in files for mask in _masks_in(path))


def _masks_in(records: Path) -> Iterator[str]:
    """Yield the names of label masks in a file of records, if it is one."""
    try:
        with records.open("rb") as file:
            while line := file.readline(_LONGEST_LINE):
                if _SCHEMA in line[:_HEAD_BYTES]:
                    yield from _masks_of(line)
    except OSError:
        return


def _masks_of(line: bytes) -> Iterator[str]:
    try:
        told = json.loads(line)["label_masks"]
        yield from [str(one["name"]) for one in told]
    except (ValueError, LookupError, TypeError, RecursionError):
        return  # torn by a kill, older, or of another program
