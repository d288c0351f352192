"""Folders that runs wrote their outputs into, told by what lies there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "DEGRADE_JOURNAL",
    "JOURNAL_STEM",
    "RECORDS",
    "has_journal",
    "is_output_folder",
]

JOURNAL_STEM = ".medenh-journal"  # of `enhance`; a shard's part and .jsonl follow
DEGRADE_JOURNAL = ".medenh-degrade.jsonl"
RECORDS = "records.jsonl"
_SCHEMA = b'"medenh.degradation/'
_HEAD_BYTES = 4096


def has_journal(_folder: Path, names: Sequence[str]) -> bool:
    """Tell of a folder, by the names of its files, whether `enhance` wrote into it."""
    return any(one.startswith(JOURNAL_STEM) and one.endswith(".jsonl") for one in names)


def is_output_folder(folder: Path, names: Sequence[str]) -> bool:
    """Tell of a folder with files of these names whether runs wrote into it.

    Of `enhance`, or of `degrade`: other programs may have a `records.jsonl` too.
    """
    if has_journal(folder, names) or DEGRADE_JOURNAL in names:
        return True
    if RECORDS not in names:
        return False
    try:
        with (folder / RECORDS).open("rb") as file:
            return _SCHEMA in file.read(_HEAD_BYTES)
    except OSError:
        return False
