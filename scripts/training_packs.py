"""Images of the training packs, for the scripts that fit a metric's figures on them."""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

__all__ = ["MODALITIES", "Row", "manifest", "pictures", "stored"]

Row = dict[str, str]

# folder of a pack -> the modality's name
MODALITIES = {
    "fundus": "fundus",
    "xray": "xray",
    "ct": "ct",
    "mri": "mri",
    "derm": "dermoscopy",
    "micro": "microscopy",
    "endo": "endoscopy",
    "us": "ultrasound",
}


def manifest(pack: Path) -> list[Row]:
    """Return the rows of a pack's manifest."""
    with (pack / "manifest.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def stored(pack: Path, rows: Sequence[Row]) -> Iterator[tuple[Row, bytes]]:
    """Yield rows of a manifest and the bytes of their files, shard by shard."""
    for shard in sorted({row["shard"] for row in rows}):
        with tarfile.open(pack / shard) as archive:
            for row in (row for row in rows if row["shard"] == shard):
                member = archive.extractfile(row["file"])
                if member is None:
                    raise FileNotFoundError(f"{row['file']} is not in {shard}")
                yield row, member.read()


def pictures(
    pack: Path, wanted: Callable[[Row], bool]
) -> Iterator[tuple[Row, np.ndarray]]:
    """Yield rows and their pixels, uint8, RGB or grey as stored; shard by shard.

    Images of 16 bits are left out: their window is a choice, not a fact.
    """
    rows = [row for row in manifest(pack) if wanted(row) and row.get("bits") != "16"]
    for row, data in stored(pack, rows):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        yield row, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
