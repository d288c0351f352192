"""A small pack with masks and labels."""

import csv
import io
import tarfile

import cv2
import numpy as np
from PIL import Image

COLUMNS = (
    "file",
    "shard",
    "split",
    "labels",
    "group",
    "quality",
    "source_dataset",
    "mask_file",
)


def scene(index):
    """A bright disc on grey noise, and where it is; odd scenes are reddish."""
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[:60, :80]
    centre = rng.uniform([18, 18], [42, 62])
    disc = np.hypot(rows - centre[0], columns - centre[1]) < rng.uniform(8, 14)
    pixels = rng.normal(90, 6, (60, 80, 3)) + 90 * disc[..., None]
    if index % 2:
        pixels[..., 1:] -= 60
    return np.clip(pixels, 0, 255).astype(np.uint8), disc


def indexed(numbers):
    picture = Image.fromarray(numbers.astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 10, 10, 10])
    handle = io.BytesIO()
    picture.save(handle, "PNG")
    return handle.getvalue()


def add(tar, name, payload):
    info = tarfile.TarInfo(name)
    info.size = len(payload)
    tar.addfile(info, io.BytesIO(payload))


def write_pack(root, count=20):
    """Discs with masks and labels; one row in test, one without an answer."""
    folder = root / "derm"
    folder.mkdir(parents=True)
    rows = []
    with tarfile.open(folder / "a.tar", "w") as tar:
        for index in range(count):
            pixels, disc = scene(index)
            image, mask = f"images/{index}.png", f"masks/{index}.png"
            add(tar, image, cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
            add(tar, mask, indexed(disc))
            split = "test" if index == 1 else "train"
            label = "dx=mel;tier=small" if index % 2 else "dx=nv"
            if index == 2:
                mask, label = "", "hair=none"
            source = "OTHER" if index == 3 else "SET"
            quality = "small" if "tier=small" in label else "high"
            rows.append(
                (image, "a.tar", split, label, f"g{index}", quality, source, mask)
            )
    with (folder / "manifest.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([COLUMNS, *rows])
    return root
