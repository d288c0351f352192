from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import cv2
import nibabel
import numpy as np
import PIL.Image
import pytest
from fakes_pipeline import FakeModels, FakeRunner, box, make_card

from medenh import formats
from medenh.errors import (
    InputError,
    NothingReadableError,
    RefusedError,
    UsageError,
)
from medenh.pipeline.engine import Engine
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.plan import make_plan
from medenh.pipeline.results import Failure, Listener, exit_code_of
from medenh.zoo.card import Limits


def write_images(folder, count=6, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        shape = (40 + 8 * (index % 2), 50, 3)
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 255, shape, np.uint8))
    volume = rng.integers(-900, 900, (21, 22, 9)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "volume.nii.gz")
    wide = rng.integers(0, 65535, (30, 31), np.uint16)
    cv2.imwrite(str(folder / "wide.png"), wide)


def write_bad_images(folder):
    good = (folder / "0.png").read_bytes()
    (folder / "3bad.png").write_bytes(good[: len(good) // 2])
    (folder / "bad1.png").write_bytes(b"")
    (folder / "bad2.nii.gz").write_bytes(b"\x1f\x8b" + b"\0" * 40)
    (folder / "bad3.npy").write_bytes(b"\x93NUMPY\x01\x00rubbish")


def enhance(inputs, out, models=None, listener=None, **options):
    budget = options.pop("budget_bytes", None)
    stop = options.pop("stop", None)
    asked = EnhanceOptions(**options)
    plan = make_plan([inputs], out, asked)
    engine = Engine(
        asked,
        models or FakeModels(FakeRunner(box)),
        listener=listener,
        stop=stop,
        budget_bytes=budget,
    )
    return engine.run(plan)


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path / "in")
    return tmp_path / "in"


def test_all_is_written_and_nothing_else_is_left(folder, tmp_path):
    summary = enhance(folder, tmp_path / "out")
    assert summary.exit_code() == 0
    assert len(summary.written) == summary.inputs == 8
    assert set(digests(tmp_path / "out")) == set(digests(folder))
    hidden = [p.name for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]
    assert hidden == [".medenh-journal.jsonl"]


def test_doing_nothing_keeps_every_pixel(folder, tmp_path):
    enhance(folder, tmp_path / "out", FakeModels(FakeRunner()))
    for path in folder.iterdir():
        before, after = formats.read(path), formats.read(tmp_path / "out" / path.name)
        assert before.pixels.dtype == after.pixels.dtype
        assert np.array_equal(before.pixels, after.pixels)


def test_inputs_are_not_touched(folder, tmp_path):
    before = digests(folder)
    enhance(folder, tmp_path / "out")
    assert digests(folder) == before


@pytest.mark.parametrize("batch", ["auto", 3])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("budget_bytes", [1, 1 << 30])
def test_the_same_bytes_however_the_work_is_cut(
    folder, tmp_path, monkeypatch, batch, workers, budget_bytes
):
    monkeypatch.setenv("OMP_NUM_THREADS", str(workers))
    enhance(folder, tmp_path / "plain")
    count = 1 if batch == "auto" else batch
    models = FakeModels(FakeRunner(box, workers=workers), batch=count)
    enhance(folder, tmp_path / "cut", models, batch=batch, budget_bytes=budget_bytes)
    assert digests(tmp_path / "cut") == digests(tmp_path / "plain")


def test_frames_of_several_files_share_a_batch_where_asked(folder, tmp_path):
    runner = FakeRunner(box)
    enhance(folder, tmp_path / "out", FakeModels(runner, batch=3), batch=3)
    colour = [shape for shape in runner.shapes if shape[1] == 3]
    assert max(shape[0] for shape in colour) > 1


def test_shards_together_are_the_whole(folder, tmp_path):
    enhance(folder, tmp_path / "whole")
    for index in (1, 2, 3):
        enhance(folder, tmp_path / "parts", shard=(index, 3))
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")


def test_bad_files_cost_only_themselves(folder, tmp_path):
    enhance(folder, tmp_path / "clean")
    write_bad_images(folder)
    summary = enhance(folder, tmp_path / "poisoned")
    assert summary.exit_code() == 1
    assert digests(tmp_path / "poisoned") == digests(tmp_path / "clean")
    assert {f.path.name for f in summary.failed} == {
        "3bad.png",
        "bad1.png",
        "bad2.nii.gz",
        "bad3.npy",
    }
    assert all(failure.reason for failure in summary.failed)


def test_one_bad_frame_does_not_cost_the_batch_it_is_in(folder, tmp_path):
    def refuse_dark(x):
        answer = x.copy()
        answer[x.mean(axis=(1, 2, 3)) < 0.1] = np.nan
        return answer

    cv2.imwrite(str(folder / "2dark.png"), np.ones((40, 50, 3), np.uint8))
    models = FakeModels(FakeRunner(refuse_dark), batch=8)
    summary = enhance(folder, tmp_path / "out", models, batch=8)
    assert [f.path.name for f in summary.failed] == ["2dark.png"]
    assert summary.failed[0].error.code == "non-finite"
    assert len(summary.written) == 8
    assert not (tmp_path / "out" / "2dark.png").exists()


def test_only_bad_files_are_nothing_readable(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"no image")
    assert enhance(tmp_path / "in", tmp_path / "out").exit_code() == 3


def test_an_empty_folder_is_nothing_readable(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(NothingReadableError):
        enhance(tmp_path / "in", tmp_path / "out")


def test_memory_that_never_suffices_is_exit_code_five(folder, tmp_path):
    models = FakeModels(FakeRunner(faults={"always": MemoryError()}))
    summary = enhance(folder, tmp_path / "out", models)
    assert summary.exit_code() == 5
    assert digests(tmp_path / "out") == {}


def test_a_fault_of_the_model_is_an_error_of_the_file(folder, tmp_path):
    runner = FakeRunner(faults={2: ZeroDivisionError("oh")})
    summary = enhance(folder, tmp_path / "out", FakeModels(runner))
    assert len(summary.failed) == 1
    assert "ZeroDivisionError" in summary.failed[0].reason


def test_a_second_run_has_nothing_to_do(folder, tmp_path):
    enhance(folder, tmp_path / "out")
    before = digests(tmp_path / "out")
    runner = FakeRunner(box)
    summary = enhance(folder, tmp_path / "out", FakeModels(runner))
    assert runner.calls == 0
    assert summary.exit_code() == 0
    assert len(summary.skipped) == 8
    assert {skip.reason for skip in summary.skipped} == {"done"}
    assert digests(tmp_path / "out") == before


def test_a_second_run_does_what_is_missing_or_changed(folder, tmp_path):
    out = tmp_path / "out"
    enhance(folder, out)
    before = digests(out)
    (out / "0.png").unlink()
    (out / "1.png").write_bytes(b"damaged")
    write_images(tmp_path / "other", seed=1)
    (folder / "2.png").write_bytes((tmp_path / "other" / "2.png").read_bytes())
    summary = enhance(folder, out, on_exists="overwrite")
    assert {r.output.name for r in summary.written} == {"0.png", "1.png", "2.png"}
    after = digests(out)
    assert after.pop("2.png") != before.pop("2.png")
    assert after == before


def test_other_settings_do_not_count_as_done(folder, tmp_path):
    enhance(folder, tmp_path / "out")
    summary = enhance(folder, tmp_path / "out", strength=0.5)
    assert len(summary.failed) == 8
    assert summary.failed[0].error.code == "output"
    assert summary.exit_code() == 1


def test_renamed_outputs_are_done_in_the_next_run_too(folder, tmp_path):
    enhance(folder, tmp_path / "out")
    first = enhance(folder, tmp_path / "out", strength=0.5, on_exists="rename")
    again = enhance(folder, tmp_path / "out", strength=0.5, on_exists="rename")
    assert (len(first.written), len(again.written)) == (8, 0)


def test_strict_refuses_what_the_card_does_not_cover(folder, tmp_path):
    card = make_card(input={"min_size": 60})
    summary = enhance(folder, tmp_path / "out", FakeModels(card=card), strict=True)
    assert summary.exit_code() == 6
    assert not (tmp_path / "out").exists()
    summary = enhance(folder, tmp_path / "out", FakeModels(card=card))
    assert summary.exit_code() == 0
    assert all("60" in result.warnings[0] for result in summary.written)


def test_pictures_that_look_like_something_else_are_told_and_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (90, 99, 3), np.uint8)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), noise)
    models = FakeModels(card=make_card(modalities=("fundus",)))
    loose = enhance(tmp_path / "in", tmp_path / "loose", models)
    warning = "looks like no medical picture"
    assert warning in loose.to_json()["files"][0]["warnings"][0]
    strict = enhance(tmp_path / "in", tmp_path / "strict", models, strict=True)
    assert strict.exit_code() == 6
    assert warning in strict.failed[0].reason
    assert "fidelity" not in strict.failed[0].to_json()  # the input is what is wrong
    assert not (tmp_path / "strict").exists()
    any_picture = enhance(tmp_path / "in", tmp_path / "any", strict=True)
    assert not any_picture.written[0].warnings


def test_what_the_user_says_is_doubted_but_not_overruled(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (90, 99, 3), np.uint8)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), noise)
    models = FakeModels(card=make_card(modalities=("fundus",)))
    told = {"strict": True, "modality": "fundus"}
    summary = enhance(tmp_path / "in", tmp_path / "out", models, **told)
    assert summary.exit_code() == 0
    assert "looks like" in summary.written[0].warnings[0]


def test_what_a_file_says_is_not_doubted(tmp_path):
    rng = np.random.default_rng(0)
    volume = rng.integers(-900, 900, (60, 62, 3)).astype(np.int16)
    volume[:8] = -1000
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "in" / "ct.nii.gz")
    assert formats.read(tmp_path / "in" / "ct.nii.gz").modality == "ct"
    for modality, code in (("ct", 0), ("mri", 6)):
        models = FakeModels(card=make_card(modalities=(modality,)))
        out = tmp_path / modality
        summary = enhance(tmp_path / "in", out, models, strict=True)
        assert summary.exit_code() == code
        assert not any(result.warnings for result in summary.written)


def test_strict_refuses_results_outside_the_limits(folder, tmp_path):
    card = make_card(limits=Limits(max_mean_shift=0.1))
    models = FakeModels(FakeRunner(lambda x: x * 0.5), card=card)
    loose = enhance(folder, tmp_path / "loose", models)
    assert any("mean" in warning for r in loose.written for warning in r.warnings)
    strict = enhance(folder, tmp_path / "strict", models, strict=True)
    refused = {f.path.name for f in strict.failed}
    assert refused == {r.input.name for r in loose.written if r.warnings}
    assert all(f.error.code == "refused" for f in strict.failed)
    figures = {r.input.name: r.to_json()["fidelity"] for r in loose.written}
    for failure in strict.failed:
        assert failure.to_json()["fidelity"] == figures[failure.path.name]
    assert not any((tmp_path / "strict" / name).exists() for name in refused)


def test_what_a_strict_run_accepted_is_done_for_one_that_is_not(folder, tmp_path):
    card = make_card(limits=Limits(max_mean_shift=0.1))
    models = FakeModels(FakeRunner(lambda x: x * 0.5), card=card)
    out = tmp_path / "out"
    dark = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32) // 8
    cv2.imwrite(str(folder / "dark.png"), dark)  # halved, it moves by little
    strict = enhance(folder, out, models, strict=True)
    assert [r.input.name for r in strict.written] == ["dark.png"]
    assert strict.failed
    loose = enhance(folder, out, models)
    assert not loose.failed
    assert {s.path for s in loose.skipped} == {r.input for r in strict.written}
    assert {r.input for r in loose.written} == {f.path for f in strict.failed}
    again = enhance(folder, out, models, strict=True)  # what nobody judged strictly
    assert {s.path for s in again.skipped} == {r.input for r in strict.written}
    assert {f.path for f in again.failed} == {r.input for r in loose.written}


def test_fidelity_is_measured(folder, tmp_path):
    same = enhance(folder, tmp_path / "same", FakeModels(FakeRunner()))
    for result in same.written:
        assert result.fidelity == {
            "structure_correlation": pytest.approx(1.0),
            "clipped_share": 0.0,
            "mean_shift": 0.0,
            "brightness_excess": 0.0,
        }
    changed = enhance(folder, tmp_path / "changed", FakeModels(FakeRunner(box)))
    assert min(r.fidelity["structure_correlation"] for r in changed.written) < 0.95


def test_stopping_keeps_what_is_done_and_the_next_run_does_the_rest(folder, tmp_path):
    enhance(folder, tmp_path / "whole")
    stop = threading.Event()

    class StopAfterTwo(Listener):
        count = 0

        def written(self, results, image, enhanced):
            self.count += 1
            if self.count == 2:
                stop.set()

    with pytest.raises(KeyboardInterrupt):
        enhance(folder, tmp_path / "out", listener=StopAfterTwo(), stop=stop)
    done = digests(tmp_path / "out")
    whole = digests(tmp_path / "whole")
    assert 2 <= len(done) < 8
    assert done.items() <= whole.items()
    summary = enhance(folder, tmp_path / "out")
    assert len(summary.skipped) == len(done)
    assert digests(tmp_path / "out") == whole


def test_an_output_that_cannot_be_written_is_said(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0.png").mkdir()
    summary = enhance(folder, tmp_path / "out", on_exists="overwrite")
    assert [f.path.name for f in summary.failed] == ["0.png"]
    assert summary.failed[0].error.code == "output"


def test_the_summary_has_the_documented_shape(folder, tmp_path):
    (folder / "bad.png").write_bytes(b"")
    document = enhance(folder, tmp_path / "out").to_json()
    assert list(document)[:3] == ["model", "device", "precision"]
    assert (document["inputs"], document["written"], document["skipped"]) == (9, 8, 0)
    assert set(document["failed"][0]) == {"path", "error", "code"}
    assert {"input", "output", "seconds", "fidelity"} <= set(document["files"][0])
    assert [file["input"] for file in document["files"]] == sorted(
        file["input"] for file in document["files"]
    )


def test_other_formats_can_be_asked_for(folder, tmp_path):
    summary = enhance(folder, tmp_path / "out", FakeModels(FakeRunner()), format="npy")
    assert summary.exit_code() == 0
    array = np.load(tmp_path / "out" / "wide.npy")
    before = formats.read(folder / "wide.png").pixels
    assert np.array_equal(np.squeeze(array), np.squeeze(before))


def test_an_output_killed_before_its_record_is_made_again(folder, tmp_path):
    enhance(folder, tmp_path / "whole")
    enhance(folder, tmp_path / "out")
    path = tmp_path / "out" / ".medenh-journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    record = next(line for line in lines if b'"0.png", "sha256"' in line)
    path.write_bytes(b"".join(line for line in lines if line != record))
    summary = enhance(folder, tmp_path / "out")
    assert [result.output.name for result in summary.written] == ["0.png"]
    assert summary.exit_code() == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_an_output_changed_by_somebody_is_not_replaced_unasked(folder, tmp_path):
    enhance(folder, tmp_path / "out")
    (tmp_path / "out" / "0.png").write_bytes(b"mine now")
    summary = enhance(folder, tmp_path / "out")
    assert [f.path.name for f in summary.failed] == ["0.png"]
    assert (tmp_path / "out" / "0.png").read_bytes() == b"mine now"


def test_a_decoder_that_hangs_costs_its_file_only(folder, tmp_path, monkeypatch):
    release = threading.Event()
    read = formats.read

    def sometimes(paths, **options):
        if paths[0].name == "2.png":
            release.wait(30)
        return read(paths, **options)

    monkeypatch.setattr(formats, "read", sometimes)
    monkeypatch.setattr("medenh.pipeline.reading.time_limit_s", lambda paths: 0.1)
    summary = enhance(folder, tmp_path / "out")
    release.set()
    assert [f.path.name for f in summary.failed] == ["2.png"]
    assert "took more than" in summary.failed[0].reason
    assert len(summary.written) == 7


def test_a_reader_that_waits_for_its_turn_is_waited_for(folder, tmp_path, monkeypatch):
    read = formats.read

    def slowly(paths, **options):
        if paths[0].name == "2.png":
            time.sleep(1)  # computes nothing
        return read(paths, **options)

    monkeypatch.setattr(formats, "read", slowly)
    monkeypatch.setattr("medenh.pipeline.reading.time_limit_s", lambda paths: 0.4)
    assert not enhance(folder, tmp_path / "out").failed


def test_limits_are_passed_on(folder, tmp_path):
    limits = formats.Limits(max_voxels=1999)
    summary = enhance(folder, tmp_path / "out", limits=limits)
    assert {f.error.code for f in summary.failed} == {"over-budget"}
    assert [result.input.name for result in summary.written] == ["wide.png"]


def test_forced_tiles_of_a_global_model_are_said(folder, tmp_path):
    card = make_card(global_ops=True, receptive_field=None)
    models = FakeModels(FakeRunner(), card=card, tile=32)
    summary = enhance(folder, tmp_path / "out", models)
    warned = {r.input.name for r in summary.written if r.warnings}
    assert "0.png" in warned
    assert "wide.png" not in warned


def test_the_other_half_of_a_pair_counts(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    volume = np.random.default_rng(0).integers(0, 900, (9, 8, 7)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Pair(volume, np.eye(4)), folder / "v.hdr")
    assert len(enhance(folder, tmp_path / "out").written) == 1
    assert len(enhance(folder, tmp_path / "out").skipped) == 1
    image = tmp_path / "out" / "v.img"
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    assert len(enhance(folder, tmp_path / "out").failed) == 1
    content = bytearray((folder / "v.img").read_bytes())
    content[5] ^= 1
    (folder / "v.img").write_bytes(content)
    again = enhance(folder, tmp_path / "out", on_exists="overwrite")
    assert len(again.written) == 1


class ScarceMemory:
    """NumPy, without memory for pictures of 48 rows: the first few times, or ever."""

    def __init__(self, failures=float("inf")):
        self.failures = failures
        self.tries = 0

    def __getattr__(self, name):
        return getattr(np, name)

    def empty_like(self, pixels):
        if pixels.shape[1] == 48:
            self.tries += 1
            if self.tries <= self.failures:
                raise MemoryError
        return np.empty_like(pixels)


def test_memory_that_is_short_while_reading_does_not_end_the_run(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("medenh.pipeline.engine.np", ScarceMemory())
    summary = enhance(folder, tmp_path / "out", budget_bytes=1)
    assert {f.error.code for f in summary.failed} == {"out-of-memory"}
    assert len(summary.written) == 5


def test_what_had_no_memory_beside_others_is_tried_again_by_itself(
    folder, tmp_path, monkeypatch
):
    enhance(folder, tmp_path / "whole")
    scarce = ScarceMemory(failures=3)  # each of the three pictures once
    monkeypatch.setattr("medenh.pipeline.engine.np", scarce)
    told = []

    class Noting(Listener):
        def failed(self, failure):
            told.append(failure)

    summary = enhance(folder, tmp_path / "out", listener=Noting())
    assert (len(summary.written), summary.failed, told) == (8, [], [])
    assert scarce.tries == 6
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_a_picture_alone_is_tried_once(tmp_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), np.zeros((9, 9, 3), np.uint8))
    runner = FakeRunner(faults={"always": MemoryError()})
    summary = enhance(tmp_path / "in", tmp_path / "out", FakeModels(runner))
    assert summary.exit_code() == 5
    once = runner.calls
    (tmp_path / "in" / "b.png").write_bytes((tmp_path / "in" / "a.png").read_bytes())
    runner.calls = 0
    summary = enhance(tmp_path / "in", tmp_path / "out", FakeModels(runner))
    assert len(summary.failed) == 2
    assert runner.calls == 4 * once


@pytest.mark.parametrize("batch", [1, 4])
def test_seconds_of_a_file_are_work_and_not_waiting(tmp_path, monkeypatch, batch):
    monkeypatch.setattr("medenh.pipeline.engine.num_threads", lambda: 1)
    (tmp_path / "in").mkdir()
    for index in range(24):
        pixels = np.full((8, 8, 3), index, np.uint8)
        cv2.imwrite(str(tmp_path / "in" / f"{index}.png"), pixels)
    nap = 0.02

    def slow(batch):
        time.sleep(nap)
        return batch

    runner = FakeRunner(slow, workers=1)
    models = FakeModels(runner, batch=batch)
    summary = enhance(tmp_path / "in", tmp_path / "out", models, batch=batch)
    spent = [result.seconds for result in summary.written]
    workers = 2 + 1 + 2  # readers, runner, writers
    assert runner.calls * nap < sum(spent) < workers * summary.seconds
    assert min(spent) > nap / batch


def test_a_name_in_jpg_is_warned_about_once(folder, tmp_path):
    one = tmp_path / "one.jpg"
    summary = enhance(folder / "0.png", one, FakeModels(FakeRunner()))
    assert [("JPEG" in warning) for warning in summary.written[0].warnings] == [True]
    again = enhance(one, tmp_path / "two.jpg", FakeModels(FakeRunner()))
    assert again.written[0].warnings == ()


@pytest.mark.parametrize(
    ("errors", "some_done", "code"),
    [
        ([], True, 0),
        ([UsageError("no")], True, 1),
        ([UsageError("no")], False, 2),
        ([UsageError("no"), InputError("bad")], False, 1),
        ([InputError("bad"), InputError("bad")], False, 3),
        ([InputError("bad")], True, 1),
        ([RefusedError("no")], True, 6),
        ([RefusedError("no"), UsageError("no")], True, 1),
    ],
)
def test_one_file_never_makes_the_run_wrong_usage(errors, some_done, code):
    failures = [Failure(Path("a.png"), error) for error in errors]
    assert exit_code_of(failures, some_done=some_done) == code


def test_a_jpeg_of_several_pictures_is_warned_about(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    two = [PIL.Image.fromarray(pixels), PIL.Image.fromarray(pixels[::-1])]
    two[0].save(tmp_path / "stereo.jpg", "MPO", save_all=True, append_images=two[1:])
    two[0].save(tmp_path / "plain.jpg")
    data = bytearray((tmp_path / "stereo.jpg").read_bytes())
    index = data.index(b"MPF\0") + 4
    entries = index + int.from_bytes(data[index + 42 : index + 46], "little")
    data[entries + 16 : entries + 20] = (0x010001).to_bytes(4, "little")
    (tmp_path / "thumbnail.jpg").write_bytes(data)
    summary = enhance(tmp_path, tmp_path / "out")
    told = {r.input.name: " ".join(r.warnings) for r in summary.written}
    assert "holds 2 pictures" in told["stereo.jpg"]
    assert "pictures" not in told["plain.jpg"] + told["thumbnail.jpg"]
