"""A DICOM series is many files: one bad slice costs one, and all are counted."""

from __future__ import annotations

import hashlib
import os
import time

import nibabel
import numpy as np
import pytest
from fakes_pipeline import FakeModels, FakeRunner
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medenh import formats
from medenh.errors import UsageError
from medenh.pipeline.degrade import degrade_files
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.engine import Engine
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.plan import make_plan
from medenh.pipeline.results import Listener

COUNT = 5


def save_slice(path, index, rows=12, series="1.2.3.2"):
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    made.SOPInstanceUID = f"1.2.3.4.{index + 1}"
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3.1", series
    made.Modality, made.InstanceNumber = "CT", index + 1
    made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.ImagePositionPatient = [0, 0, 2.5 * index]
    made.PixelSpacing = [0.7, 0.7]
    made.RescaleSlope, made.RescaleIntercept = 1, -1024
    made.Rows, made.Columns = rows, 16
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelRepresentation = 0
    rng = np.random.default_rng(index)
    made.PixelData = rng.integers(0, 4000, (rows, 16)).astype("<u2").tobytes()
    made.save_as(path, enforce_file_format=True)
    return path


def damage(path):
    """Cut the pixels short; the header stays whole."""
    path.write_bytes(path.read_bytes()[:-100])


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for index in range(COUNT):
        save_slice(root / f"{index}.dcm", index)
    return root


def enhance(folder, out, runner=None, listener=None, **options):
    asked = EnhanceOptions(**options)
    models = FakeModels(runner or FakeRunner(lambda x: x * 0.9))
    plan = make_plan([folder], out, asked, models=models)
    return Engine(asked, models, listener=listener).run(plan)


def digests(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("*.*")
        if not path.name.startswith(".")
    }


def names(found, attribute="path"):
    return sorted(getattr(one, attribute).name for one in found)


def test_each_slice_of_a_series_is_counted(folder, tmp_path):
    heard = []

    class Count(Listener):
        def started(self, total):
            heard.append(total)

        def written(self, results, image, enhanced):
            heard.append(len(results))

    summary = enhance(folder, tmp_path / "out", listener=Count())
    assert heard == [COUNT, COUNT]
    document = summary.to_json()
    assert (document["inputs"], document["written"]) == (COUNT, COUNT)
    for index, file in enumerate(document["files"]):
        assert file["input"].endswith(f"in/{index}.dcm")
        assert file["output"].endswith(f"out/{index}.dcm")
        assert file["fidelity"] == document["files"][0]["fidelity"]
    again = enhance(folder, tmp_path / "out")
    assert (again.inputs, len(again.skipped), len(again.written)) == (COUNT, COUNT, 0)


def test_a_series_in_two_folders_is_warned_about(folder, tmp_path):
    for place in ("a", "b"):
        (folder / place).mkdir()
    for index in range(COUNT):
        path = folder / f"{index}.dcm"
        path.rename(folder / "ab"[index % 2] / path.name)
    summary = enhance(folder, tmp_path / "out")
    assert len(summary.written) == COUNT
    assert all("which has 5 in 2 folders" in r.warnings[0] for r in summary.written)
    asked = DegradeOptions(recipes=("dpe",), workers=1)
    made = degrade_files([folder], tmp_path / "low", asked)
    assert len(made.written) == 2
    assert all("which has 5 in 2 folders" in r.warnings[0] for r in made.written)


@pytest.mark.parametrize("given", ["folder", "files"])
def test_a_series_alone_can_become_one_named_file(folder, tmp_path, given):
    (folder / "notes.txt").write_text("not a picture")
    inputs = [folder] if given == "folder" else sorted(folder.glob("*.dcm"))
    asked, models = EnhanceOptions(), FakeModels(FakeRunner(lambda x: x))
    target = tmp_path / "made" / "brain.nii.gz"
    target.parent.mkdir()
    plan = make_plan(inputs, target, asked, models=models)
    summary = Engine(asked, models).run(plan)
    assert (summary.inputs, len(summary.written)) == (COUNT, COUNT)
    assert {one.output for one in summary.written} == {target}
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    volume = np.asarray(nibabel.load(target).dataobj)
    assert volume.shape == (16, 12, COUNT)
    assert summary.passed_over == ({".txt": 1} if given == "folder" else {})


def test_more_than_one_image_becomes_no_named_file(folder, tmp_path):
    asked, models = EnhanceOptions(), FakeModels(FakeRunner())
    with pytest.raises(UsageError, match="named as a picture"):  # slices stay files
        make_plan([folder], tmp_path / "brain.dcm", asked, models=models)
    save_slice(folder / "other.dcm", 1, series="1.2.3.77")
    with pytest.raises(UsageError, match="named as a picture"):
        make_plan([folder], tmp_path / "brain.nii.gz", asked, models=models)
    (folder / "other.dcm").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="named as a picture"):
        make_plan([folder], tmp_path / "brain.nii.gz", asked, models=models)


def test_all_slices_fail_where_the_model_does(folder, tmp_path):
    runner = FakeRunner(faults={"always": ZeroDivisionError("oh")})
    summary = enhance(folder, tmp_path / "out", runner)
    assert names(summary.failed) == [f"{index}.dcm" for index in range(COUNT)]
    assert summary.inputs == COUNT


@pytest.mark.parametrize("bad", [0, 2, COUNT - 1])
def test_a_damaged_slice_does_not_cost_the_good_ones(folder, tmp_path, bad):
    damage(folder / f"{bad}.dcm")
    summary = enhance(folder, tmp_path / "out")
    good = [f"{index}.dcm" for index in range(COUNT) if index != bad]
    assert names(summary.failed) == [f"{bad}.dcm"]
    assert names(summary.written, "input") == good
    assert sorted(digests(tmp_path / "out")) == good
    assert summary.exit_code() == 1
    assert summary.inputs == COUNT
    for name in good:
        before = formats.read(folder / name)
        after = formats.read(tmp_path / "out" / name)
        assert before.pixels.shape == after.pixels.shape
        assert np.corrcoef(before.pixels.ravel(), after.pixels.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("bad", [0, 2])
def test_after_a_damaged_slice_nothing_is_done_twice(folder, tmp_path, bad):
    damage(folder / f"{bad}.dcm")
    enhance(folder, tmp_path / "out")
    before = digests(tmp_path / "out")
    for _ in range(2):
        runner = FakeRunner()
        again = enhance(folder, tmp_path / "out", runner)
        assert runner.calls == 0
        assert names(again.failed) == [f"{bad}.dcm"]
        assert again.failed[0].error.code == "unreadable"
        assert {skip.reason for skip in again.skipped} == {"done"}
        assert len(again.skipped) == COUNT - 1
        assert again.exit_code() == 1
        assert digests(tmp_path / "out") == before


@pytest.mark.parametrize("format", ["same", "nifti"])
def test_a_series_with_a_repaired_slice_is_as_one_that_grew(folder, tmp_path, format):
    """Alone the slice would get an exposure of its own, unlike its neighbours'."""
    whole = (folder / "2.dcm").read_bytes()
    damage(folder / "2.dcm")
    enhance(folder, tmp_path / "out", format=format)
    before = digests(tmp_path / "out")
    (folder / "2.dcm").write_bytes(whole)
    refused = enhance(folder, tmp_path / "out", format=format)
    assert len(refused.failed) == COUNT
    assert f"had {COUNT - 1} files" in refused.failed[0].reason
    assert digests(tmp_path / "out") == before
    asked = {"format": format, "on_exists": "skip"}
    repaired = enhance(folder, tmp_path / "out", **asked)
    assert len(repaired.written) == COUNT
    assert "made again as a whole" in repaired.written[0].warnings[0]
    enhance(folder, tmp_path / "fresh", format=format)
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")
    for policy in ("error", "skip"):
        again = enhance(folder, tmp_path / "out", format=format, on_exists=policy)
        assert (len(again.skipped), again.exit_code()) == (COUNT, 0)


def test_a_damaged_slice_copied_anew_is_still_damaged(folder, tmp_path):
    damage(folder / "2.dcm")
    enhance(folder, tmp_path / "out")
    os.utime(folder / "2.dcm", (1, 1))
    again = enhance(folder, tmp_path / "out", on_exists="skip")
    assert (len(again.skipped), names(again.failed)) == (COUNT - 1, ["2.dcm"])


def test_a_damaged_slice_that_was_taken_away_leaves_the_rest_done(folder, tmp_path):
    damage(folder / "2.dcm")
    enhance(folder, tmp_path / "out")
    (folder / "2.dcm").unlink()
    again = enhance(folder, tmp_path / "out")
    assert (len(again.skipped), again.exit_code()) == (COUNT - 1, 0)


def grow(folder):
    for index in (8, 9):
        save_slice(folder / f"{index}.dcm", index)


@pytest.mark.parametrize("format", ["same", "nifti"])
def test_a_series_that_grew_is_refused_and_each_file_hears_of_its_own_output(
    folder, tmp_path, format
):
    out = tmp_path / "out"
    enhance(folder, out, format=format)
    before = digests(out)
    grow(folder)
    again = enhance(folder, out, format=format)
    assert (len(again.failed), len(again.skipped), again.exit_code()) == (
        COUNT + 2,
        0,
        1,
    )
    assert digests(out) == before
    volume = out / "0.nii.gz"
    for failure in again.failed:
        own = volume if format == "nifti" else out / failure.path.name
        assert failure.error.path == own
        there = failure.path.stem not in "89"
        assert (f"had {COUNT} files" in failure.reason) == there
        assert ("is already there" in failure.reason) == there


@pytest.mark.parametrize("format", ["same", "nifti"])
def test_skip_makes_a_series_that_grew_again_as_a_whole_and_says_so(
    folder, tmp_path, format
):
    asked = {"format": format, "on_exists": "skip"}
    enhance(folder, tmp_path / "out", **asked)
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))  # the folder was copied again
    grow(folder)
    again = enhance(folder, tmp_path / "out", **asked)
    assert (len(again.written), again.exit_code()) == (COUNT + 2, 0)
    (warning,) = {result.warnings[0] for result in again.written}
    assert f"had {COUNT} files" in warning
    assert "made again" in warning
    enhance(folder, tmp_path / "fresh", **asked)
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")
    last = enhance(folder, tmp_path / "out", **asked)
    assert {skip.reason for skip in last.skipped} == {"done"}
    assert len(last.skipped) == COUNT + 2


@pytest.mark.parametrize("change", ["output", "input", "request"])
@pytest.mark.parametrize("format", ["same", "nifti"])
def test_skip_neither_replaces_what_else_is_there_nor_is_silent_about_new_slices(
    folder, tmp_path, format, change
):
    out, asked = tmp_path / "out", {"format": format, "on_exists": "skip"}
    enhance(folder, out, **asked)
    grow(folder)
    if change == "output":
        first = out / ("0.nii.gz" if format == "nifti" else "0.dcm")
        first.write_bytes(first.read_bytes() + b" ")
    elif change == "input":
        save_slice(folder / "3.dcm", 30)
    else:
        asked["strength"] = 0.5
    before = digests(out)
    again = enhance(folder, out, **asked)
    assert digests(out) == before
    assert names(again.failed) == ["8.dcm", "9.dcm"]
    assert {skip.reason for skip in again.skipped} == {"exists"}
    assert (len(again.skipped), again.exit_code()) == (COUNT, 1)


def test_skip_makes_a_series_again_that_lost_an_output(folder, tmp_path):
    out = tmp_path / "out"
    enhance(folder, out, on_exists="skip")
    before = digests(out)
    (out / "3.dcm").unlink()
    again = enhance(folder, out, on_exists="skip")
    assert len(again.written) == COUNT
    assert "outputs are gone" in again.written[0].warnings[0]
    assert digests(out) == before


def test_a_series_that_shrank_keeps_what_is_there(folder, tmp_path):
    out = tmp_path / "out"
    enhance(folder, out, on_exists="skip")
    before = digests(out)
    (folder / "4.dcm").unlink()
    again = enhance(folder, out, on_exists="skip")
    assert (len(again.skipped), again.exit_code()) == (COUNT - 1, 0)
    assert digests(out) == before


def test_slices_that_no_longer_agree_become_images_of_their_own(
    folder, tmp_path, monkeypatch
):
    read = formats.read

    def disagree(paths, **options):
        if len(paths) > 1:
            from medenh.errors import UnsupportedError

            raise UnsupportedError("differs from the series", path=paths[1])
        return read(paths, **options)

    damage(folder / "1.dcm")
    monkeypatch.setattr(formats, "read", disagree)
    summary = enhance(folder, tmp_path / "out")
    assert names(summary.failed) == ["1.dcm"]
    assert len(summary.written) == COUNT - 1
    again = enhance(folder, tmp_path / "out")
    assert (len(again.skipped), len(again.written)) == (COUNT - 1, 0)


def test_a_volume_is_made_without_the_damaged_slice(folder, tmp_path):
    damage(folder / "2.dcm")
    summary = enhance(folder, tmp_path / "out", format="nifti")
    assert names(summary.failed) == ["2.dcm"]
    assert {result.output.name for result in summary.written} == {"0.nii.gz"}
    before = digests(tmp_path / "out")
    again = enhance(folder, tmp_path / "out", format="nifti")
    assert (len(again.skipped), names(again.failed)) == (COUNT - 1, ["2.dcm"])
    assert digests(tmp_path / "out") == before


def test_a_series_over_the_budget_is_not_cut_into_slices(folder, tmp_path):
    limits = formats.Limits(max_voxels=12 * 16 * 2)
    summary = enhance(folder, tmp_path / "out", limits=limits)
    assert len(summary.failed) == COUNT
    assert {f.error.code for f in summary.failed} == {"over-budget"}


def test_a_series_killed_between_names_and_record_is_made_again(folder, tmp_path):
    enhance(folder, tmp_path / "out")
    whole = digests(tmp_path / "out")
    path = tmp_path / "out" / ".medenh-journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b"begun" in line))
    (tmp_path / "out" / "3.dcm").unlink()
    again = enhance(folder, tmp_path / "out")
    assert again.exit_code() == 0
    assert digests(tmp_path / "out") == whole


def test_two_shards_write_the_bytes_of_one_run(folder, tmp_path):
    rng = np.random.default_rng(0)
    for number in (1, 2):
        series = f"1.2.3.9.{number}"
        for index in range(2):
            save_slice(folder / f"{number}-{index}.dcm", index, 14, series)
        formats.write(
            rng.integers(0, 255, (20, 16), np.uint8), folder / f"{number}.png"
        )
        volume = nibabel.Nifti1Image(rng.random((9, 8, 5)), np.diag([1, 2, 3, 1]))
        nibabel.save(volume, folder / f"{number}.nii.gz")
    options = {"strength": 0.7, "uncertainty": True}
    whole = enhance(folder, tmp_path / "whole", **options)
    assert (whole.failed, whole.inputs) == ([], COUNT + 8)
    kinds = []
    for shard in ((2, 2), (1, 2)):
        part = enhance(folder, tmp_path / "parts", shard=shard, **options)
        kinds.append({result.input.suffix for result in part.written})
    assert kinds[0] | kinds[1] == {".dcm", ".png", ".gz"}
    assert kinds[0] & kinds[1]  # a kind that both had
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")


def test_each_slice_has_its_share_of_the_seconds(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("medenh.pipeline.engine.num_threads", lambda: 1)

    def slow(batch):
        time.sleep(0.02)
        return batch

    runner = FakeRunner(slow, workers=1)
    summary = enhance(folder, tmp_path / "out", runner)
    spent = [result.seconds for result in summary.written]
    assert len(spent) == COUNT
    assert runner.calls * 0.02 < sum(spent)
    # one image is read, run and written one after the other
    assert sum(spent) < summary.seconds
