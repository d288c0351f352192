"""Fundus photographs for tests: real ones of the project's packs, and a made-up one."""

import csv
import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "fundus"
needs_photographs = pytest.mark.skipif(
    not (FOLDER / "manifest.csv").exists(), reason=f"no fundus pack in {FOLDER}"
)


def photographs(shard, count):
    """Yield RGB uint8 photographs of a shard, evenly spread."""
    with (FOLDER / "manifest.csv").open(newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["shard"] == shard]
    with tarfile.open(FOLDER / shard) as tar:
        for row in rows[:: max(1, len(rows) // count)][:count]:
            file = tar.extractfile(row["file"])
            yield np.array(Image.open(io.BytesIO(file.read())).convert("RGB"))


def made_up(side=512, *, radius=None, centre=None, shape=None, seed=0):
    """Return a disc of smooth colours and vessels-like lines on black, RGB uint8."""
    rng = np.random.default_rng(seed)
    shape = shape or (side, side)
    radius = radius or min(shape) // 2 - 2
    centre = centre or (shape[1] // 2, shape[0] // 2)
    rough = rng.random((12, 12, 3)) * [60, 45, 30] + [150, 90, 50]
    picture = cv2.resize(rough, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    picture = picture.clip(0, 255).astype(np.uint8)
    for _ in range(25):
        start, end = rng.integers(0, shape[1], 2), rng.integers(0, shape[0], 2)
        points = [(int(start[i]), int(end[i])) for i in (0, 1)]
        cv2.line(picture, points[0], points[1], (120, 50, 30), 2)
    mask = np.zeros(shape, np.uint8)
    cv2.circle(mask, centre, radius, 255, -1)
    picture[mask == 0] = 0
    return picture, mask
