"""Data packs as benchmark sets: what of them is measured, and damaged ones."""

from __future__ import annotations

import csv
import io
import tarfile

import cv2
import pytest

import medenh

COLUMNS = ("file", "shard", "split", "quality", "group", "labels")


@pytest.fixture
def pack(tmp_path, picture):
    """Three pictures of split test in two shards, one of split train; no masks."""
    folder = tmp_path / "derm"
    folder.mkdir()
    rows = []
    for index, (shard, split) in enumerate(
        [("a.tar", "test"), ("a.tar", "train"), ("b.tar", "test"), ("b.tar", "test")]
    ):
        name = f"images/{index}.png"
        content = cv2.imencode(".png", picture(index))[1].tobytes()
        with tarfile.open(folder / shard, "a") as tar:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        rows.append((name, shard, split, "good", f"g{index}", ""))
    with (folder / "manifest.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([COLUMNS, *rows])
    return folder


def test_held_back_pictures_of_a_pack_are_measured(pack):
    found = medenh.evaluate_protocol("gauss-0.1", pack)
    assert found.files == tuple(f"derm/images/{i}.png" for i in (0, 2, 3))
    assert not found.failed


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda pack: (pack / "a.tar").unlink(), "cannot read this part"),
        (lambda pack: (pack / "a.tar").write_bytes(b"no tar"), "cannot read this part"),
        (
            lambda pack: (pack / "manifest.csv").write_text(
                (pack / "manifest.csv").read_text().replace("images/0", "images/9")
            ),
            "not in the pack",
        ),
    ],
    ids=["no shard", "damaged shard", "no member"],
)
def test_what_is_damaged_in_a_pack_costs_its_pictures_only(pack, damage, what):
    damage(pack)
    found = medenh.evaluate_protocol("gauss-0.1", pack)
    assert len(found.failed) == 1
    assert what in found.failed[0]["error"]
    scores = found.rows[0].scores["psnr"]
    assert {"derm/images/2.png", "derm/images/3.png"} <= set(scores)
