"""What counts as done: the same model, run in the same way, in whichever shard."""

from __future__ import annotations

import cv2
import nibabel
import numpy as np
import pytest
from fakes_pipeline import FakeModels, FakeRunner

from medenh.pipeline.engine import Engine
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.plan import make_plan


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for index in range(5):
        cv2.imwrite(str(root / f"{index}.png"), np.full((20, 20), index, np.uint8))
    return root


def enhance(folder, out, precision="fp32", **options):
    asked = EnhanceOptions(**options)
    runner = FakeRunner(precision=precision)
    models = FakeModels(runner)
    summary = Engine(asked, models).run(make_plan([folder], out, asked, models=models))
    return summary, runner


def test_a_folder_made_in_fp32_is_not_done_for_a_run_in_bf16(folder, tmp_path):
    enhance(folder, tmp_path / "out")
    same, _ = enhance(folder, tmp_path / "out")
    assert len(same.skipped) == 5
    other, _ = enhance(folder, tmp_path / "out", precision="bf16")
    assert len(other.failed) == 5
    redone, _ = enhance(folder, tmp_path / "out", "bf16", on_exists="overwrite")
    assert len(redone.written) == 5


def test_what_is_in_the_way_says_where_it_comes_from(folder, tmp_path):
    out = tmp_path / "out"
    enhance(folder, out)
    cv2.imwrite(str(folder / "0.png"), np.full((20, 20), 99, np.uint8))
    (out / "1.png").write_bytes(b"somebody's")
    (out / "2.png").rename(out / "kept")
    (out / "9.png").write_bytes((out / "kept").read_bytes())
    (folder / "2.png").rename(folder / "9.png")
    again, _ = enhance(folder, out)
    reasons = {one.path.name: one.reason for one in again.failed}
    assert set(reasons) == {"0.png", "1.png", "9.png"}
    assert "of another input" in reasons["0.png"]
    assert "changed since" in reasons["1.png"]
    assert "no run into this folder made it" in reasons["9.png"]
    other, _ = enhance(folder, out, "bf16")
    assert "which would not be run so now" in other.failed[2].reason
    strength, _ = enhance(folder, out, strength=0.5)
    assert "with other options" in strength.failed[2].reason
    settings, _ = enhance(folder, out, settings={"clip": 3})
    assert "with other options" in settings.failed[2].reason


@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 3), (3, None), (None, 2)])
def test_a_run_that_is_split_otherwise_finds_all_done(folder, tmp_path, before, after):
    out = tmp_path / "out"

    def shards(count):
        return [None] if count is None else [(i + 1, count) for i in range(count)]

    for shard in shards(before):
        enhance(folder, out, strength=0.5, shard=shard)
    for shard in shards(after):
        summary, runner = enhance(folder, out, strength=0.5, shard=shard)
        assert runner.calls == 0
        assert not summary.failed


def test_a_stale_record_of_another_shard_does_not_hide_a_good_one(folder, tmp_path):
    out = tmp_path / "out"
    enhance(folder, out, strength=0.5, shard=(2, 2))
    enhance(folder, out, on_exists="overwrite")
    for number in (1, 2):
        summary, runner = enhance(folder, out, shard=(number, 2))
        assert runner.calls == 0
        assert not summary.failed


def test_an_empty_shard_has_an_empty_summary(folder, tmp_path):
    summary, _ = enhance(folder, tmp_path / "out", shard=(8, 8))
    assert (summary.inputs, summary.exit_code()) == (0, 0)


@pytest.mark.parametrize("wanted", ["png", "dicom"])
def test_a_format_that_cannot_hold_it_is_known_before_the_model_runs(tmp_path, wanted):
    folder = tmp_path / "in"
    folder.mkdir()
    volume = np.zeros((9, 8, 7), np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "v.nii.gz")
    summary, runner = enhance(folder, tmp_path / "out", format=wanted)
    assert runner.calls == 0
    assert [f.error.code for f in summary.failed] == ["unsupported"]


def test_a_name_that_cannot_hold_a_volume_is_known_before_the_model_runs(tmp_path):
    path = tmp_path / "v.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 8, 7), np.int16), np.eye(4)), path)
    summary, runner = enhance(path, tmp_path / "x.png")
    assert runner.calls == 0
    assert "frames" in summary.failed[0].reason
