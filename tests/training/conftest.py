import csv
import io
import tarfile

import cv2
import numpy as np
import pytest
from labelled_pack import write_pack


def _picture(rng, colour):
    base = cv2.GaussianBlur(rng.random((72, 90, 3 if colour else 1)), (0, 0), 4)
    base = base.reshape(72, 90, -1)
    base = (base - base.min()) / (base.max() - base.min())
    return np.rint(base * 255).astype(np.uint8)


@pytest.fixture
def pack_root(tmp_path):
    """Two small packs in the shape of the project's data."""
    for pack, colour in (("fundus", True), ("xray", False)):
        folder = tmp_path / "data" / pack
        folder.mkdir(parents=True)
        rng = np.random.default_rng(len(pack))
        rows = []
        with tarfile.open(folder / "a.tar", "w") as tar:
            for index in range(24):
                name = f"images/{index}.png"
                payload = cv2.imencode(".png", _picture(rng, colour))[1].tobytes()
                info = tarfile.TarInfo(name)
                info.size = len(payload)
                tar.addfile(info, io.BytesIO(payload))
                quality = "reject" if index == 0 else "good"
                split = "val" if index == 1 else "train"
                rows.append((name, "a.tar", split, "", f"g{index}", quality))
        with (folder / "manifest.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["file", "shard", "split", "labels", "group", "quality"])
            writer.writerows(rows)
    return tmp_path / "data"


@pytest.fixture
def tiny_settings(pack_root):
    """Overrides that make the built-in configuration run in seconds."""
    return [
        f"data.root='{pack_root.as_posix()}'",
        "data.packs=['fundus','xray']",
        "data.size=32",
        "data.max_side=64",
        "data.holdout_share=0.2",
        "network.preset=tiny",
        "precision=fp32",
        "batch=4",
        "steps=12",
        "condition_batch=2",
        "condition_size=32",
        "validate_every=6",
        "optimiser.warmup_steps=2",
    ]


@pytest.fixture
def labelled_root(tmp_path):
    """A pack of discs with masks and labels."""
    return write_pack(tmp_path / "data")
