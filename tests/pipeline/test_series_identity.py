"""UIDs of outputs over runs that see other neighbours, engines, threads or shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from degrade_folder import save_ct
from fakes_pipeline import FakeModels, FakeRunner

import medenh
from medenh.pipeline.degrade import degrade_files
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.engine import Engine
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.plan import make_plan

MR = "1.2.840.10008.5.1.4.1.1.4"


def save_mr(path: Path, number: int, series: str = "1.2.3.2") -> None:
    """Write a slice whose grey range is the series', and brighter than the last."""
    made = pydicom.dcmread(save_ct(path, number))
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = MR
    made.Modality, made.SeriesInstanceUID = "MR", series
    made.SOPInstanceUID = f"{series}.{number}"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    del made.RescaleSlope, made.RescaleIntercept
    made.PixelData = (made.pixel_array // 2 + 60 * number).astype("<u2").tobytes()
    made.save_as(path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for number in range(6):
        save_mr(root / f"{number}.dcm", number)
    return root


def outputs(root):
    return {path.name: pydicom.dcmread(path) for path in sorted(root.rglob("*.dcm"))}


def contents(root):
    return {path.name: path.read_bytes() for path in sorted(root.rglob("*.dcm"))}


def check_apart(first, second):
    """Files of equal names have equal UIDs only where they have equal pixels."""
    assert first.keys() & second.keys()
    for name in first.keys() & second.keys():
        one, other = first[name], second[name]
        assert not np.array_equal(one.pixel_array, other.pixel_array)
        assert one.SOPInstanceUID != other.SOPInstanceUID
        assert one.SeriesInstanceUID == other.SeriesInstanceUID


def test_a_slice_enhanced_alone_is_another_object_than_in_its_series(folder, tmp_path):
    medenh.enhance(folder, tmp_path / "all", model="clahe")
    medenh.enhance(folder / "0.dcm", tmp_path / "alone" / "0.dcm", model="clahe")
    together = outputs(tmp_path / "all")
    assert len({one.SOPInstanceUID for one in together.values()}) == 6
    check_apart(together, outputs(tmp_path / "alone"))


def test_fewer_slices_degraded_are_other_objects(folder, tmp_path):
    options = DegradeOptions(recipes=("mri-rician",), workers=1)
    degrade_files([folder], tmp_path / "all", options)
    for number in (4, 5):
        (folder / f"{number}.dcm").unlink()
    degrade_files([folder], tmp_path / "few", options)
    check_apart(outputs(tmp_path / "all"), outputs(tmp_path / "few"))


def test_another_engine_makes_another_series(folder, tmp_path):
    found = []
    for name in ("torch", "openvino"):
        runner = FakeRunner(lambda x: x * 0.9)
        runner.engine = name
        asked = EnhanceOptions()
        models = FakeModels(runner)
        plan = make_plan([folder], tmp_path / name, asked, models=models)
        Engine(asked, models).run(plan)
        made = outputs(tmp_path / name)
        assert all(f"engine={name}" in m.DerivationDescription for m in made.values())
        found.append({one.SeriesInstanceUID for one in made.values()})
    assert [len(series) for series in found] == [1, 1]
    assert found[0] != found[1]


def test_shards_and_reruns_write_the_same_files(folder, tmp_path):
    for number in range(3):
        save_mr(folder / f"b{number}.dcm", number, series="1.2.3.7")
    medenh.enhance(folder, tmp_path / "whole", model="clahe")
    for index in (1, 2):
        medenh.enhance(folder, tmp_path / "split", model="clahe", shard=(index, 2))
    whole = contents(tmp_path / "whole")
    assert len(whole) == 9
    assert contents(tmp_path / "split") == whole
    (tmp_path / "whole" / "2.dcm").unlink()
    again = medenh.enhance(
        folder, tmp_path / "whole", model="clahe", on_exists="overwrite"
    )
    assert not again.failed
    assert contents(tmp_path / "whole") == whole
