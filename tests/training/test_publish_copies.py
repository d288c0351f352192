"""Pictures that a run has seen are no test, whatever they are called."""

import shutil

import cv2
import nibabel
import numpy as np
import pytest
from labelled_pack import scene, write_pack
from published_runs import pack_with_tests

from medenh.errors import UsageError
from medenh.publishing import copies
from medenh.publishing.copies import refuse_copies
from medenh.training.data import load_pack
from medenh.training.folders import load_folder
from medenh.training.sections import DataConfig

_SIDE = 64  # below the long side of a scene


def _folder(folder, indices, name="{}.png"):
    folder.mkdir()
    for index in indices:
        path = folder / name.format(index)
        cv2.imwrite(str(path), scene(index)[0][..., ::-1])
    return folder


def _refuse(place, seen, limit=None, **data):
    refuse_copies([place], seen, DataConfig(max_side=_SIDE, **data), limit)


def test_copies_are_named_and_the_first_alone(tmp_path):
    seen = load_folder(str(_folder(tmp_path / "high", range(8))), _SIDE)
    _refuse(_folder(tmp_path / "others", range(20, 24)), seen)
    again = _folder(tmp_path / "again", range(2, 12), "x{}.bmp")
    with pytest.raises(UsageError, match="6 of these 10") as caught:
        _refuse(again, seen)
    assert "x2.bmp is 2.png" in caught.value.what
    assert caught.value.what.endswith("and 3 more")
    for index in range(4):
        (tmp_path / "others" / f"{index}.txt").write_text("none")
    (tmp_path / "others" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    _refuse(tmp_path / "others", seen)


def test_black_pictures_are_no_copies(tmp_path):
    for name in ("high", "others"):
        _folder(tmp_path / name, [len(name)])
        cv2.imwrite(str(tmp_path / name / "black.png"), np.zeros((60, 80), np.uint8))
    _refuse(tmp_path / "others", load_folder(str(tmp_path / "high"), _SIDE))


def test_a_pack_is_told_by_its_test_pictures(tmp_path):
    root = pack_with_tests(tmp_path / "data")
    seen = load_pack(root / "derm", ["high"], ("train",), _SIDE)
    _refuse(root / "derm", seen)
    other = write_pack(tmp_path / "other")  # picture 1 alone is in split test there
    fitting = (other / "derm" / "manifest.csv").read_text().replace("small", "high")
    (other / "derm" / "manifest.csv").write_text(fitting)
    learnt = load_folder(str(_folder(tmp_path / "high", [1, 2])), _SIDE)
    with pytest.raises(UsageError, match=r"derm/images/1.png is 1.png"):
        _refuse(other / "derm", learnt)
    _refuse(other / "derm", learnt[1:])
    with pytest.raises(UsageError, match=r"4.png is derm/images/4.png"):
        _refuse(
            _folder(tmp_path / "out", [4, 30]),
            load_pack(root / "derm", ["high"], ("test",), _SIDE),
        )


def test_what_is_not_measured_is_not_asked(tmp_path, monkeypatch):
    read = []
    whole = copies._contents
    monkeypatch.setattr(
        copies, "_contents", lambda case, side: read.append(case) or whole(case, side)
    )
    _refuse(_folder(tmp_path / "many", range(9)), [], limit=2)
    assert len(read) == 2


def test_pairs_are_known_by_either_side_and_in_their_own_range(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("high", "low"):
        (tmp_path / name).mkdir()
        for index in range(2):
            values = rng.normal(100, 30, (40, 50, 1)) * (1 if name == "high" else 0.7)
            image = nibabel.Nifti1Image(values.astype(np.float32), np.eye(4))
            nibabel.save(image, tmp_path / name / f"{index}.nii.gz")
    high, low = str(tmp_path / "high"), str(tmp_path / "low")
    seen = load_folder(high, _SIDE, low=low)
    for side in ("high", "low"):
        copy = tmp_path / f"copy-{side}"
        copy.mkdir()
        shutil.copy(tmp_path / side / "1.nii.gz", copy / "x.nii.gz")
        with pytest.raises(UsageError, match=r"is 1\.nii\.gz"):
            _refuse(copy, seen, high=high, low=low)


def test_pairs_of_16_bits_are_known_by_the_dark_one_alone(tmp_path):
    rng = np.random.default_rng(0)
    for name, white in (("high", 65535), ("low", 9000)):
        (tmp_path / name).mkdir()
        for index in range(2):
            values = rng.integers(0, white, (40, 50)).astype(np.uint16)
            cv2.imwrite(str(tmp_path / name / f"{index}.png"), values)
    high, low = str(tmp_path / "high"), str(tmp_path / "low")
    seen = load_folder(high, _SIDE, low=low)
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "low" / "1.png", tmp_path / "copy" / "x.png")
    with pytest.raises(UsageError, match=r"is 1\.png \(low\)"):
        _refuse(tmp_path / "copy", seen, high=high, low=low)
    _refuse(tmp_path / "copy", seen[:1], high=high, low=low)
