"""Degrading folders: names, bytes that depend on names alone, records, resumption."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import nibabel
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import pydicom
import pytest
import skimage
import tifffile
from degrade_folder import contents, make_folder, photo, save_ct

from medenh import formats, intensity
from medenh.degradations import Record, apply, degrade
from medenh.errors import (
    NothingReadableError,
    OutputError,
    UnreadableError,
    UsageError,
)
from medenh.formats.discover import discover
from medenh.pipeline.degrade import degrade_files, foresee_degrade, plan_degrade
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.degrade_records import files_of
from medenh.tasks.masks import mask_orientation, read_mask
from medenh.types import Modality, Storage


def asked(*recipes, **more):
    return DegradeOptions(recipes=recipes or ("dpe",), **{"workers": 1, **more})


def records_of(root):
    lines = (root / "records.jsonl").read_bytes().splitlines()
    return [Record.from_json(line) for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("degrade") / "in")


@pytest.fixture(scope="module")
def done(folder):
    out = folder.parent / "done"
    summary = degrade_files([folder], out, asked())
    assert not summary.failed
    return out


def test_pictures_unlike_what_a_recipe_is_for_are_warned_about(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for name in ("retina.jpg", "astronaut.png"):
        shutil.copy(Path(skimage.__file__).parent / "data" / name, root / name)
    options = asked("cofe-111", copies=2, size=128)
    summary = degrade_files([root], tmp_path / "out", options)
    assert len(summary.written) == 4  # nothing is refused
    said = {
        (one.input.name, warning) for one in summary.written for warning in one.warnings
    }
    ((name, warning),) = said
    assert name == "astronaut.png"
    assert "no medical picture" in warning
    assert "cofe-111 was made for fundus" in warning
    told = asked("cofe-111", size=128, modality="fundus")
    summary = degrade_files([root], tmp_path / "told", told)
    assert not any(one.warnings for one in summary.written)


def test_a_severity_that_nothing_follows_is_told_once_a_recipe(tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text('[[steps]]\noperator = "gaussian-noise"\nsigma = 0.1\n')
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), photo())
    recipes = ("gauss-0.1", "dpe", str(own))
    options = asked(*recipes, copies=2, severity=3.0)
    plan = plan_degrade([picture], tmp_path / "out", options)
    foreseen = [word for task in plan.to_json()["work"] for word in task["warnings"]]
    summary = degrade_files([picture], tmp_path / "out", options)
    said = [word for one in summary.written for word in one.warnings]
    assert said == foreseen
    assert len(said) == 2
    for word, name in zip(said, ("gauss-0.1", "mine.toml"), strict=True):
        assert f"severity changes nothing in {name}:" in word
    plain = degrade_files([picture], tmp_path / "plain", asked(*recipes, copies=2))
    assert not any(one.warnings for one in plain.written)
    with pytest.warns(UserWarning, match=r"severity changes nothing in gauss-0\.1"):
        degrade(photo(), "gauss-0.1", severity=3)


def test_a_step_that_changes_nothing_is_told(tmp_path):
    noise = np.random.default_rng(0).integers(-200, 200, (1, 32, 32), np.int16)
    thin = tmp_path / "slice.npy"
    np.save(thin, noise)
    several = tmp_path / "volume.npy"
    np.save(several, np.concatenate([noise, noise[:, ::-1], noise[:, :, ::-1]]))
    asked_for = asked("ct-thick-slice", modality="ct")
    summary = degrade_files([thin, several], tmp_path / "out", asked_for)
    said = {one.input.name: one.warnings for one in summary.written}
    (warning,) = said["slice.npy"]
    assert "ct-thick-slice changed nothing" in warning
    assert said["volume.npy"] == ()


def test_a_folder_is_mirrored_and_jpeg_becomes_png(folder, done):
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    names = (names - {"sub/camera.jpg"}) | {"sub/camera.png"}
    assert set(contents(done)) == names | {"records.jsonl"}
    for record in records_of(done):
        clean = formats.read(
            [
                folder / n
                for n in (record.source, *(m.name for m in record.more_sources))
            ]
        )
        low = formats.read(
            [done / n for n in (record.output, *(m.name for m in record.more_outputs))]
        )
        assert low.pixels.shape == clean.pixels.shape
        assert low.pixels.dtype == clean.pixels.dtype
        assert low.units == clean.units
        assert (low.pixels != clean.pixels).any()


def test_records_tell_all_and_apply_makes_the_pixels_again(folder, done):
    records = records_of(done)
    assert [r.source for r in records] == [
        "a.png",
        "b.bmp",
        "deep.png",
        "n.npy",
        "t.tif",
        "series/1.dcm",
        "sub/a.png",
        "sub/camera.jpg",
        "sub/v.nii.gz",
    ]
    record = records[2]
    assert record.format == "png"
    assert record.source_sha256 == formats.files.sha256_file(folder / "deep.png")
    assert record.output_sha256 == formats.files.sha256_file(done / "deep.png")
    clean = formats.read(folder / "deep.png")
    low = formats.read(done / "deep.png")
    np.testing.assert_array_equal(apply(clean, record).pixels, low.pixels)
    unit = [np.float64(i.pixels) / 65535 for i in (clean, low)]
    psnr = -10 * np.log10(np.mean((unit[0] - unit[1]) ** 2))
    assert record.metrics["psnr_in"] == pytest.approx(psnr, abs=1e-4)
    assert 0 < record.metrics["ssim_in"] < 1


def test_equal_pictures_of_different_names_are_degraded_differently(done):
    a, b = (r for r in records_of(done) if r.source.endswith("a.png"))
    assert a.source_sha256 == b.source_sha256
    assert a.steps != b.steps


def test_neither_order_nor_the_rest_of_the_folder_changes_bytes(folder, done, tmp_path):
    some = tmp_path / "some"
    (some / "sub").mkdir(parents=True)
    for name in ("sub/camera.jpg", "t.tif"):
        shutil.copy(folder / name, some / name)
    degrade_files([some], tmp_path / "out", asked())
    expected = contents(done)
    for name in ("sub/camera.png", "t.tif"):
        assert (tmp_path / "out" / name).read_bytes() == expected[name]
    inputs = [folder / "t.tif", folder / "a.png"]
    degrade_files(inputs, tmp_path / "named", asked())
    assert (tmp_path / "named" / "a.png").read_bytes() == expected["a.png"]


def test_two_processes_write_the_same_bytes(folder, tmp_path):
    more = {"copies": 2, "pairs": True}
    one = asked("dpe", "gauss-0.1", **more)
    two = asked("dpe", "gauss-0.1", **more, workers=2)
    degrade_files([folder], tmp_path / "1", one)
    degrade_files([folder], tmp_path / "2", two)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert len(records_of(tmp_path / "1")) == 9 * 2 * 2


def test_names_carry_recipe_and_copy_only_where_there_are_several(folder, tmp_path):
    image = folder / "a.png"

    def names(**more):
        recipes = more.pop("recipes", ("dpe",))
        plan = plan_degrade([image], tmp_path / "o", asked(*recipes, **more))
        return [name for task in plan.tasks for name in task.outputs + task.references]

    assert names() == ["a.png"]
    assert names(copies=2) == ["a.d0.png", "a.d1.png"]
    assert names(recipes=("dpe", "jpeg"), copies=1) == ["a.dpe.png", "a.jpeg.png"]
    assert names(pairs=True) == ["low/a.png", "high/a.png"]
    assert names(format="tiff", copies=2) == ["a.d0.tif", "a.d1.tif"]


def test_pairs_have_equal_names_and_shapes_and_the_clean_is_clean(folder, tmp_path):
    degrade_files([folder], tmp_path, asked(pairs=True))
    low, high = (
        {p.relative_to(tmp_path / kind): p for p in (tmp_path / kind).rglob("*.*")}
        for kind in ("low", "high")
    )
    assert low.keys() == high.keys()
    for name, path in high.items():
        clean, degraded = formats.read(path), formats.read(low[name])
        assert clean.pixels.shape == degraded.pixels.shape
        assert clean.pixels.dtype == degraded.pixels.dtype
    for name in ("series/1.dcm", "n.npy", "sub/v.nii.gz"):
        same = (tmp_path / "high" / name).read_bytes()
        assert same == (folder / name).read_bytes()
    jpeg = formats.read(folder / "sub" / "camera.jpg").pixels
    png = formats.read(tmp_path / "high" / "sub" / "camera.png").pixels
    np.testing.assert_array_equal(jpeg, png)


def test_dicom_outputs_are_derived_images_that_say_degraded(folder, done):
    source = pydicom.dcmread(folder / "series" / "1.dcm")
    made = pydicom.dcmread(done / "series" / "1.dcm")
    assert made.ImageType[0] == "DERIVED"
    assert made.SOPInstanceUID != source.SOPInstanceUID
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert (made.RescaleSlope, made.RescaleIntercept) == (1, -1024)
    said = made.DerivationDescription
    assert said.startswith("Degraded by medenh")
    assert "recipe dpe" in said
    assert "seed=0" in said
    series = {pydicom.dcmread(p).SeriesInstanceUID for p in (done / "series").iterdir()}
    assert len(series) == 1


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
@pytest.mark.parametrize(
    ("recipe", "shown"), [("dpe", (36, 48)), ("cofe-001", (48, 48))]
)
def test_resized_pictures_are_seen_like_their_source(tmp_path, recipe, shown, ending):
    srgb = PIL.ImageCms.createProfile("sRGB")
    profile = PIL.ImageCms.ImageCmsProfile(srgb).tobytes()
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    retina = PIL.Image.fromarray(skimage.data.retina()[::8, ::8]).resize((128, 96))
    (tmp_path / "in").mkdir()
    clean = tmp_path / "in" / f"a.{ending}"
    retina.save(clean, exif=turned, icc_profile=profile, dpi=(300, 300))
    degrade_files([clean], tmp_path / "out", asked(recipe, size=48, pairs=True))
    written = [one for one in (tmp_path / "out").rglob("a.*") if one.is_file()]
    assert len(written) == 2
    for path in written:
        with PIL.Image.open(path) as opened:
            assert opened.info["icc_profile"] == profile
            assert opened.getexif()[0x0112] == 6
            assert float(opened.info["dpi"][0]) < 300
            assert PIL.ImageOps.exif_transpose(opened).size == shown


def test_size_is_refused_where_geometry_would_not_hold(folder, tmp_path):
    with pytest.raises(UsageError, match="geometry"):
        degrade_files([folder], tmp_path / "o", asked(size=32))
    assert not (tmp_path / "o").exists()
    ct = folder / "series" / "1.dcm"
    summary = degrade_files([ct], tmp_path / "o", asked(size=32, format="png"))
    assert not summary.failed
    assert formats.read(tmp_path / "o" / "1.png").pixels.shape[1:3] == (32, 32)
    assert records_of(tmp_path / "o")[0].size == 32


def test_bad_files_are_listed_and_the_rest_goes_on(folder, tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    shutil.copy(folder / "a.png", inputs)
    (inputs / "empty.png").touch()
    whole = (folder / "deep.png").read_bytes()
    (inputs / "half.png").write_bytes(whole[: len(whole) // 2])
    summary = degrade_files([inputs], tmp_path / "out", asked(copies=2))
    assert sorted(f.path.name for f in summary.failed) == ["empty.png", "half.png"]
    assert len(summary.written) == 2
    assert summary.exit_code() == 1
    assert summary.inputs == 3
    alone = degrade_files([inputs / "half.png"], tmp_path / "o", asked())
    assert alone.exit_code() == 3
    (tmp_path / "none").mkdir()
    with pytest.raises(NothingReadableError):
        degrade_files([tmp_path / "none"], tmp_path / "o", asked())


@pytest.mark.parametrize("bad", ["1.dcm", "2.dcm"])
def test_a_damaged_slice_costs_itself_alone(folder, tmp_path, bad):
    shutil.copytree(folder / "series", tmp_path / "in")
    whole = (tmp_path / "in" / bad).read_bytes()
    (tmp_path / "in" / bad).write_bytes(whole[:-900])
    summary = degrade_files([tmp_path / "in"], tmp_path / "out", asked())
    assert [f.path.name for f in summary.failed] == [bad]
    sound = {"1.dcm", "2.dcm", "3.dcm"} - {bad}
    assert {p.name for p in (tmp_path / "out").glob("*.dcm")} == sound
    record = records_of(tmp_path / "out")[0]
    assert {record.source, *(one.name for one in record.more_sources)} == sound
    again = degrade_files(
        [tmp_path / "in"],
        tmp_path / "again",
        DegradeOptions(workers=1),
        replay=tmp_path / "out" / "records.jsonl",
    )
    assert not again.failed
    assert contents(tmp_path / "again") == contents(tmp_path / "out")
    before = contents(tmp_path / "out")
    rerun = degrade_files([tmp_path / "in"], tmp_path / "out", asked())
    assert [f.path.name for f in rerun.failed] == [bad]
    assert contents(tmp_path / "out") == before
    (tmp_path / "in" / bad).write_bytes(whole)
    mended = degrade_files([tmp_path / "in"], tmp_path / "out", asked())
    assert [f.error.path for f in mended.failed] == [tmp_path / "out" / bad]
    assert contents(tmp_path / "out") == before
    skip = asked(on_exists="skip")
    mended = degrade_files([tmp_path / "in"], tmp_path / "out", skip)
    assert not mended.failed
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 3
    assert len(records_of(tmp_path / "out")) == 1


@pytest.fixture
def grown(folder, tmp_path):
    """Return a function: the series but its first slice, degraded; then all of it."""

    def grown(**options):
        shutil.copytree(folder / "series", tmp_path / "in")
        (tmp_path / "in" / "1.dcm").unlink()
        summary = degrade_files([tmp_path / "in"], tmp_path / "out", asked(**options))
        assert not summary.failed
        shutil.copy(folder / "series" / "1.dcm", tmp_path / "in")
        return tmp_path / "in", tmp_path / "out"

    return grown


@pytest.mark.parametrize("pairs", [False, True])
def test_a_series_that_grew_is_not_replaced_unasked(grown, pairs):
    inputs, out = grown(pairs=pairs)
    before = contents(out)
    again = degrade_files([inputs], out, asked(pairs=pairs))
    assert contents(out) == before
    assert [f.path.name for f in again.failed] == ["1.dcm"]
    own = out / "low" / "1.dcm" if pairs else out / "1.dcm"
    assert again.failed[0].error.path == own
    assert "had 2 files" in again.failed[0].reason
    assert again.exit_code() == 1


@pytest.mark.parametrize("format", ["same", "nifti"])
def test_skip_degrades_a_series_that_grew_again_as_a_whole(grown, tmp_path, format):
    inputs, out = grown(format=format)
    options = asked(on_exists="skip", format=format)
    again = degrade_files([inputs], out, options)
    assert not again.failed
    if format == "same":  # the volume is named after its first slice
        assert "made again as a whole" in again.written[0].warnings[0]
        degrade_files([inputs], tmp_path / "fresh", options)
        assert contents(out) == contents(tmp_path / "fresh")
    last = degrade_files([inputs], out, options)
    assert [skip.reason for skip in last.skipped] == ["done"] * 3


@pytest.mark.parametrize("change", ["output", "request"])
def test_skip_replaces_nothing_else_and_names_new_slices(grown, change):
    inputs, out = grown()
    options = asked(on_exists="skip")
    if change == "output":
        (out / "2.dcm").write_bytes((out / "2.dcm").read_bytes() + b" ")
    else:
        options = asked(on_exists="skip", seed=5)
    before = contents(out)
    again = degrade_files([inputs], out, options)
    assert contents(out) == before
    assert [f.path.name for f in again.failed] == ["1.dcm"]
    assert [skip.reason for skip in again.skipped] == ["exists"] * 2


def test_a_volume_tells_which_slices_it_was_made_without(folder, tmp_path):
    shutil.copytree(folder / "series", tmp_path / "in")
    (tmp_path / "in" / "3.dcm").unlink()
    degrade_files([tmp_path / "in"], tmp_path / "out", asked(format="nifti"))
    shutil.copy(folder / "series" / "3.dcm", tmp_path / "in")
    before = contents(tmp_path / "out")
    for policy, seed, kept in (("error", 0, "done"), ("skip", 5, "exists")):
        options = asked(format="nifti", on_exists=policy, seed=seed)
        again = degrade_files([tmp_path / "in"], tmp_path / "out", options)
        assert [f.path.name for f in again.failed] == ["3.dcm"]
        assert [skip.reason for skip in again.skipped] == [kept] * 2
    assert contents(tmp_path / "out") == before


def test_the_same_command_again_does_nothing(folder, done, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    before = contents(out)
    for policy in ("error", "skip", "overwrite", "rename"):
        summary = degrade_files([folder], out, asked(on_exists=policy))
        assert not summary.written
        assert {skip.reason for skip in summary.skipped} == {"done"}
        assert summary.exit_code() == 0
    assert contents(out) == before


def test_what_is_in_the_way_is_kept_unless_told_otherwise(folder, tmp_path):
    image, out = folder / "a.png", tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    summary = degrade_files([image], out, asked())
    assert isinstance(summary.failed[0].error, OutputError)
    assert degrade_files([image], out, asked(on_exists="skip")).skipped
    assert (out / "a.png").read_bytes() == b"mine"
    assert not (out / "records.jsonl").exists()
    for _ in range(2):  # the second time it is known
        degrade_files([image], out, asked(on_exists="rename"))
        assert [r.output for r in records_of(out)] == ["a-1.png"]
    assert (out / "a.png").read_bytes() == b"mine"
    degrade_files([image], out, asked(on_exists="overwrite"))
    assert (out / "a.png").read_bytes() != b"mine"
    assert [r.output for r in records_of(out)] == ["a.png", "a-1.png"]


def test_another_seed_or_setting_is_another_request(folder, tmp_path):
    image, out = folder / "a.png", tmp_path / "out"
    degrade_files([image], out, asked())
    for change in ({"seed": 1}, {"severity": 2}, {"modality": "fundus"}):
        summary = degrade_files([image], out, asked(on_exists="overwrite", **change))
        assert len(summary.written) == 1
    assert len(records_of(out)) == 1


def test_a_records_file_of_something_else_is_never_touched(folder, tmp_path):
    (tmp_path / "records.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(UsageError, match="line 1"):
        degrade_files([folder / "a.png"], tmp_path, asked())
    assert (tmp_path / "records.jsonl").read_text() == '{"mine": 1}\n'


def test_outputs_that_collide_are_refused(folder, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(folder / "a.png", tmp_path / "in" / "x.png")
    shutil.copy(folder / "sub" / "camera.jpg", tmp_path / "in" / "x.jpg")
    summary = degrade_files([tmp_path / "in"], tmp_path / "out", asked())
    assert len(summary.written) == len(summary.failed) == 1
    assert "as well" in summary.failed[0].reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"recipes": ()},
        {"recipes": ("nope",)},
        {"recipes": ("dpe", "dpe")},
        {"recipe_options": {"mode": "exact"}},
        {"severity": 0.5},
        {"copies": 0},
        {"seed": -1},
        {"size": 0},
        {"format": "gif"},
        {"workers": 0},
        {"mask": "missing"},
    ],
)
def test_wrong_requests_are_usage_errors(folder, tmp_path, wrong):
    from pathlib import Path

    if "mask" in wrong:
        wrong = {"mask": Path("missing")}
    with pytest.raises(UsageError):
        degrade_files(
            [folder], tmp_path / "o", DegradeOptions(**{"recipes": ("dpe",), **wrong})
        )
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("bad", ["in", "in/a.png", "x.png", None])
def test_places_that_cannot_be_the_output(folder, tmp_path, bad):
    out = None if bad is None else folder.parent / bad
    if bad == "x.png":
        out = tmp_path / bad
    with pytest.raises(UsageError):
        degrade_files([folder], out, asked())


def test_a_dash_is_no_folder(folder, tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="pipe"):
        degrade_files([folder], Path("-"), asked())
    assert not Path("-").exists()


def test_masks_keep_what_is_outside_and_are_found_by_name(folder, tmp_path):
    inputs, masks = tmp_path / "in", tmp_path / "masks"
    inputs.mkdir()
    masks.mkdir()
    field = np.zeros((48, 56), np.uint8)
    field[10:30, 10:40] = 255
    for name in ("a", "b", "c"):
        cv2.imwrite(str(inputs / f"{name}.png"), photo(seed=1))
    cv2.imwrite(str(masks / "a.png"), field)
    cv2.imwrite(str(masks / "b_mask.png"), field[:-1])
    cv2.imwrite(str(inputs / "caf\u00e9.png"), photo(seed=1))
    cv2.imwrite(str(masks / "cafe\u0301.png"), field)  # as macOS stores it
    out = tmp_path / "out"
    summary = degrade_files([inputs], out, asked(mask=masks))
    assert {p.name for p in out.glob("*.png")} == {"a.png", "caf\u00e9.png"}
    assert {f.path.name: f.error.code for f in summary.failed} == {
        "b.png": "usage",
        "c.png": "unreadable",
    }
    both = [inputs / "a.png", inputs / "b.png"]
    summary = degrade_files(both, tmp_path / "two", asked(mask=masks))
    assert (len(summary.written), summary.exit_code()) == (1, 1)
    clean, low = (formats.read(d / "a.png").pixels[0] for d in (inputs, out))
    changed = (clean != low).any(axis=-1)
    assert not changed[field == 0].any()
    assert changed[field > 0].mean() > 0.9
    replay = out / "records.jsonl"
    plain = DegradeOptions(workers=1)
    bare = degrade_files([inputs], tmp_path / "r", plain, replay=replay)
    assert "--mask" in bare.failed[0].reason
    again = degrade_files(
        [inputs], tmp_path / "r", DegradeOptions(workers=1, mask=masks), replay=replay
    )
    assert not again.failed
    assert contents(tmp_path / "r") == contents(out)


def lesion(shape, centre, radius):
    rows, columns = np.indices(shape)
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize(
    ("size", "shape"), [(33, (28, 33)), (97, (83, 97)), (56, None)]
)
def test_label_masks_stay_on_their_pictures_at_another_size(size, shape, tmp_path):
    inputs, masks, out = (tmp_path / name for name in ("in", "labels", "out"))
    inputs.mkdir()
    masks.mkdir()
    where = lesion((48, 56), (12, 40), 8)
    cv2.imwrite(str(inputs / "a.png"), np.where(where, 250, 20).astype(np.uint8))
    indexed = PIL.Image.fromarray(where.astype(np.uint8) * 7)
    indexed.putpalette([0, 0, 0] * 7 + [0, 0, 0])  # the number counts, not the colour
    indexed.save(masks / "a_mask.png")
    options = asked("gauss-0.1", size=size, pairs=True, masks=masks, copies=2)
    summary = degrade_files([inputs], out, options)
    assert not summary.failed
    high = cv2.imread(str(out / "high" / "a.d1.png"), cv2.IMREAD_UNCHANGED)
    along = cv2.imread(str(out / "masks" / "a.d1.png"), cv2.IMREAD_UNCHANGED)
    assert along.shape == high.shape == (shape or (48, 56))
    assert set(np.unique(along)) == {0, 7}
    assert overlap(along == 7, high > 135) > 0.95
    again = degrade_files([inputs], out, options)
    assert (len(again.written), len(again.skipped)) == (0, 2)
    replay = out / "records.jsonl"
    bare = degrade_files(
        [inputs], tmp_path / "r", DegradeOptions(workers=1), replay=replay
    )
    assert "--masks" in bare.failed[0].reason
    whole = DegradeOptions(workers=1, masks=masks)
    assert not degrade_files([inputs], tmp_path / "r", whole, replay=replay).failed
    assert contents(tmp_path / "r") == contents(out)


@pytest.mark.parametrize("field", [False, True])
def test_label_masks_are_cropped_with_the_field_of_a_fundus(field, tmp_path):
    eye = cv2.resize(skimage.data.retina(), (300, 300), interpolation=cv2.INTER_AREA)
    picture = np.zeros((310, 420, 3), np.uint8)
    picture[5:305, 40:340] = eye
    where = lesion((310, 420), (120, 230), 30)
    picture[where] = (0, 255, 0)
    cv2.imwrite(str(tmp_path / "eye.png"), picture[..., ::-1])
    beyond = where | lesion((310, 420), (10, 400), 8)
    np_labels = beyond.astype(np.uint16) * 300
    cv2.imwrite(str(tmp_path / "labels.png"), np_labels)
    options = {"size": 128, "pairs": True, "masks": tmp_path / "labels.png"}
    if field:
        disc = lesion((310, 420), (155, 190), 140)
        cv2.imwrite(str(tmp_path / "field.png"), disc.astype(np.uint8) * 255)
        options["mask"] = tmp_path / "field.png"
    out = tmp_path / "out"
    summary = degrade_files([tmp_path / "eye.png"], out, asked("cofe-111", **options))
    assert not summary.failed
    high = cv2.imread(str(out / "high" / "eye.png")).astype(int)
    along = cv2.imread(str(out / "masks" / "eye.png"), cv2.IMREAD_UNCHANGED)
    assert along.dtype == np.uint16
    assert overlap(along == 300, high[..., 1] - high[..., 2] > 127) > 0.95


def test_label_masks_beside_pictures_are_no_pictures(tmp_path):
    inputs, labels, out = (tmp_path / name for name in ("in", "labels", "out"))
    for name in ("a.png", "sub/b.png", "masks/c.png"):  # the last is a picture
        (inputs / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(inputs / name), photo())
        (labels / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(labels / name), (photo()[..., 0] > 128).astype(np.uint8))
    assert not degrade_files([inputs], out, asked(masks=labels)).failed

    def found_in(*roots):
        found = discover(roots)
        names = [item.relative[0].as_posix() for item in found.items]
        return sorted(names), found.kinds.get("label masks that degrade wrote")

    pictures = ["a.png", "masks/c.png", "sub/b.png"]
    assert found_in(out) == (pictures, 3)
    assert found_in(tmp_path)[1] == 3
    assert found_in(out / "masks")[0] == ["a.png", "c.png", "masks/c.png", "sub/b.png"]
    assert found_in(out / "masks" / "a.png", out) == (["a.png", *pictures], 2)
    again = degrade_files([out], tmp_path / "again", asked())
    assert len(again.written) == 3
    assert again.to_json()["passed_over"]["label masks that degrade wrote"] == 3
    (out / "records.jsonl").write_bytes(b'{"schema":"medenh.degradation/1","label_m')
    assert found_in(out)[1] is None  # torn, and nothing else is known


@pytest.mark.parametrize(("kind", "kept"), [("same", 6), ("tiff", 6), ("npy", 1)])
def test_label_masks_are_to_be_seen_as_their_pictures(kind, kept, tmp_path):
    inputs, labels, out = (tmp_path / name for name in ("in", "labels", "out"))
    inputs.mkdir()
    labels.mkdir()
    turned = PIL.Image.Exif()
    turned[274] = 6
    mask = PIL.Image.fromarray((photo()[..., 0] > 128).astype(np.uint8))
    for name, exif in (("alike", turned), ("plain", PIL.Image.Exif())):
        PIL.Image.fromarray(photo()).save(inputs / f"{name}.jpg", exif=turned)
        mask.save(labels / f"{name}.png", exif=exif)
    options = asked("gauss-0.1", masks=labels, format=kind, copies=2)
    summary = degrade_files([inputs], out, options)
    for name in ("alike", "plain"):
        path = out / "masks" / f"{name}.d0.png"
        assert mask_orientation(path) == kept
        np.testing.assert_array_equal(read_mask(path), np.asarray(mask))
    said = [
        one.input.stem
        for one in summary.written
        for word in one.warnings
        if "label mask is to be seen another way up" in word
    ]
    assert said == ["plain"]  # once
    replay = out / "records.jsonl"
    options = DegradeOptions(workers=1, masks=labels)
    again = degrade_files([inputs], tmp_path / "again", options, replay=replay)
    assert (len(again.written), again.failed) == (4, [])


def test_pictures_whose_label_masks_do_not_fit_are_not_made(tmp_path):
    inputs, masks = tmp_path / "in", tmp_path / "labels"
    inputs.mkdir()
    masks.mkdir()
    for name in ("a", "b", "c"):
        cv2.imwrite(str(inputs / f"{name}.png"), photo())
    cv2.imwrite(str(masks / "a.png"), np.zeros((48, 56), np.uint8))
    cv2.imwrite(str(masks / "b.png"), np.zeros((47, 56), np.uint8))
    out = tmp_path / "out"
    summary = degrade_files([inputs], out, asked(size=32, masks=masks))
    reasons = {one.path.name: one.reason for one in summary.failed}
    assert sorted(reasons) == ["b.png", "c.png"]
    assert "the label mask is 56 x 47, the picture 56 x 48" in reasons["b.png"]
    made = {path.relative_to(out).as_posix() for path in out.rglob("*.png")}
    assert made == {"a.png", "masks/a.png"}


def test_what_is_foreseen_is_what_a_run_does(folder, tmp_path):
    inputs, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(folder, inputs)
    whole = (inputs / "a.png").read_bytes()
    (inputs / "cut.png").write_bytes(whole[: len(whole) // 2])
    one = min((inputs / "series").iterdir())
    (inputs / "series" / "damaged.dcm").write_bytes(one.read_bytes()[:-500])
    options = asked(copies=2)
    plan = plan_degrade([inputs], out, options)
    foresee_degrade(plan, options)
    assert not out.exists()
    done = degrade_files([inputs], out, options)
    assert {"cut.png", "damaged.dcm"} <= {one.path.name for one in done.failed}
    told, failed = (
        {(one.path, one.error.code) for one in these}
        for these in (plan.failed, done.failed)
    )
    assert told == failed
    assert plan.not_made == done.not_made
    made = [task.outputs for task in plan.tasks]
    written = [[n for n, _ in files_of(one.record)] for one in done.written]
    assert sorted(map(sorted, made)) == sorted(map(sorted, written))


@pytest.mark.parametrize("option", ["mask", "masks"])
def test_masks_that_do_not_fit_are_foreseen(folder, tmp_path, option):
    cv2.imwrite(str(tmp_path / "m.png"), np.ones((5, 5), np.uint8))
    options = asked(**{option: tmp_path / "m.png"})
    plan = plan_degrade([folder / "a.png"], tmp_path / "out", options)
    foresee_degrade(plan, options)
    assert not plan.tasks
    assert "mask is 5 x 5" in plan.failed[0].reason


def test_what_cannot_be_deidentified_is_foreseen(folder, tmp_path):
    options = asked(deidentify="basic")
    plan = plan_degrade([folder / "a.png"], tmp_path / "out", options)
    foresee_degrade(plan, options)
    assert not plan.tasks
    assert "only DICOM headers can be de-identified" in plan.failed[0].reason


def test_a_photograph_is_no_mask(folder, tmp_path):
    picture, mask = folder / "a.png", tmp_path / "mask.png"
    cv2.imwrite(str(picture), photo(seed=1))
    noise = np.random.default_rng(0).normal(128, 30, (48, 56, 3))
    cv2.imwrite(str(mask), noise.clip(0, 255).astype(np.uint8))
    summary = degrade_files([picture], tmp_path / "out", asked(mask=mask))
    assert [one.error.code for one in summary.failed] == ["input"]
    assert summary.failed[0].reason.startswith(f"{mask}: a photograph, not a mask")


@pytest.mark.parametrize("on", [(255, 255, 255), (20, 230, 250), (255, 0, 0)])
def test_coloured_masks_with_soft_edges_are_taken(folder, tmp_path, on):
    picture, mask = folder / "a.png", tmp_path / "mask.png"
    cv2.imwrite(str(picture), photo(seed=1))
    field = np.zeros((48, 56, 3), np.uint8)
    field[10:30, 10:40] = on
    cv2.imwrite(str(mask), cv2.GaussianBlur(field, None, 1))
    summary = degrade_files([picture], tmp_path / "out", asked(mask=mask))
    assert len(summary.written) == 1


def test_a_full_disk_is_an_output_error(folder, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OutputError("cannot be written: no space left", path=tmp_path)

    monkeypatch.setattr("medenh.formats.writers.write", full)
    summary = degrade_files([folder / "a.png"], tmp_path / "out", asked())
    assert summary.failed[0].error.code == "output"
    assert summary.exit_code() == 1
    assert not list((tmp_path / "out").iterdir())


def test_the_summary_has_the_documented_shape(folder, tmp_path):
    summary = degrade_files([folder / "a.png"], tmp_path, asked(seed=7))
    document = json.loads(json.dumps(summary.to_json()))
    assert (document["recipe"], document["seed"], document["inputs"]) == ("dpe", 7, 1)
    assert (document["written"], document["skipped"], document["failed"]) == (1, 0, [])
    entry = document["files"][0]
    assert entry["record"]["schema"] == "medenh.degradation/1"
    assert entry["psnr_in"] == entry["record"]["metrics"]["psnr_in"]
    assert summary.mean_psnr() == pytest.approx(entry["psnr_in"])


def test_multi_frame_dicom_stays_one_file(tmp_path):
    save_ct(tmp_path / "m.dcm", 5, frames=3)
    summary = degrade_files([tmp_path / "m.dcm"], tmp_path / "out", asked())
    assert not summary.failed
    assert formats.read(tmp_path / "out" / "m.dcm").frames == 3
    wrong = degrade_files([tmp_path / "m.dcm"], tmp_path / "o", asked(format="png"))
    assert "frames" in wrong.failed[0].reason


def test_a_hidden_damage_of_the_journal_costs_nothing(folder, done, tmp_path):
    """Torn lines are passed over, and what they told is done again."""
    out = tmp_path / "out"
    shutil.copytree(done, out)
    lines = (out / "records.jsonl").read_bytes().splitlines(keepends=True)
    (out / "records.jsonl").unlink()
    journal = b"".join(reversed(lines[:4])) + lines[4][: len(lines[4]) // 2]
    (out / ".medenh-degrade.jsonl").write_bytes(journal)
    for line in lines[4:]:
        record = Record.from_json(line)
        for name in (record.output, *(m.name for m in record.more_outputs)):
            (out / name).unlink()
    degrade_files([folder], out, asked(on_exists="skip"))
    assert contents(out) == contents(done)


def test_unreadable_records_are_refused(folder, tmp_path):
    records = tmp_path / "r.jsonl"
    plain = DegradeOptions(workers=1)
    for text in ("", "{", '{"schema": "other"}'):
        records.write_text(text)
        with pytest.raises(UsageError):
            degrade_files([folder], tmp_path / "o", plain, replay=records)
    with pytest.raises(UsageError, match="--seed"):
        degrade_files([folder], tmp_path / "o", DegradeOptions(seed=1), replay=records)


def test_replay_says_which_files_are_missing_or_differ(folder, done, tmp_path):
    inputs = tmp_path / "in"
    shutil.copytree(folder, inputs)
    cv2.imwrite(str(inputs / "a.png"), photo(seed=99))
    (inputs / "b.bmp").unlink()
    (inputs / "t.tif").rename(inputs / "moved.tif")
    (inputs / "unrelated.png").touch()
    out = tmp_path / "out"
    replay = done / "records.jsonl"
    summary = degrade_files([inputs], out, DegradeOptions(workers=1), replay=replay)
    reasons = {f.path.name: f for f in summary.failed}
    assert set(reasons) == {"a.png", "b.bmp"}
    assert "content differs" in reasons["a.png"].reason
    assert isinstance(reasons["b.bmp"].error, UnreadableError)
    assert (out / "t.tif").read_bytes() == (done / "t.tif").read_bytes()
    assert summary.exit_code() == 1


def test_ct_that_only_the_user_knows_is_degraded_in_hounsfield_units(tmp_path):
    # no air: nothing in them says that they are Hounsfield units
    hu = np.random.default_rng(0).uniform(-800, 500, (4, 40, 48)).astype(np.float32)
    path = tmp_path / "ct.nii"
    nibabel.Nifti1Image(hu.T, np.eye(4)).to_filename(path)
    image = formats.read(path)
    assert image.units == ""
    window = intensity.soft_tissue_range()
    known = replace(image, modality=Modality.CT, units="HU", unit_range=window)
    expected = degrade(known, "ct-low-dose", seed=1, name=path.name)[0].pixels
    told = degrade(image, "ct-low-dose", seed=1, name=path.name, modality="ct")[0]
    assert told.units == "HU"
    np.testing.assert_array_equal(told.pixels, expected)
    degrade_files([path], tmp_path / "out", asked("ct-low-dose", seed=1, modality="ct"))
    written = formats.read(tmp_path / "out" / path.name)
    np.testing.assert_array_equal(written.pixels, expected)


@pytest.mark.parametrize("ending", [".npy", ".tif", ".nii"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_ct_recipes_take_signed_numbers_of_any_file_for_hounsfield_units(
    tmp_path, ending, dtype
):
    """Nothing else does: there is no air in this part of a scan."""
    hu = np.random.default_rng(0).normal(40, 60, (5, 40, 48)).round().astype(dtype)
    path = tmp_path / f"liver{ending}"
    if ending == ".npy":
        np.save(path, hu)
    elif ending == ".tif":
        tifffile.imwrite(path, hu)
    else:
        nibabel.Nifti1Image(hu.T, np.eye(4)).to_filename(path)
    degrade_files([path], tmp_path / "out", asked("ct-low-dose", seed=1))
    (record,) = records_of(tmp_path / "out")
    assert record.scale == (0.0, 1.0)
    found = formats.read(tmp_path / "out" / path.name).pixels
    if ending != ".nii":  # where pixels have a size, noise is another
        wanted = degrade(hu, "ct-low-dose", seed=1, name=path.name)[0]
        np.testing.assert_array_equal(found[..., 0], wanted)
    again = tmp_path / "again"
    records = tmp_path / "out" / "records.jsonl"
    plain = DegradeOptions(workers=1)
    assert not degrade_files([path], again, plain, replay=records).failed
    assert (again / "records.jsonl").read_bytes() == records.read_bytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_integers_that_fill_their_range_do_not_cut_off_what_becomes_brighter(
    tmp_path, order
):
    """As nibabel saves floats: its largest value is the largest integer."""
    rng = np.random.default_rng(0)
    head = nibabel.Nifti1Header(endianness=order)
    tissue = rng.uniform(700, 1000, (40, 48, 5))
    scaled = nibabel.Nifti1Image(tissue, np.diag([2.0, 2, 3, 1]), head)
    scaled.set_data_dtype(np.int16)
    path = tmp_path / "t1.nii.gz"
    scaled.to_filename(path)
    before = nibabel.load(path)
    degrade_files([path], tmp_path / "out", asked("mri-bias", severity=5.0))
    after = nibabel.load(tmp_path / "out" / path.name)
    exact = formats.read(path)
    exact = replace(exact, storage=Storage(np.dtype(np.float32)))
    wanted = degrade(exact, "mri-bias", severity=5.0, name=path.name)[0].pixels
    found, step = after.get_fdata(), before.dataobj.slope
    assert found.max() > 1.1 * before.get_fdata().max()
    np.testing.assert_allclose(found, wanted[..., 0].T, atol=0.51 * step)
    assert after.dataobj.slope == step
    assert after.get_data_dtype() == np.dtype(np.int32).newbyteorder(order)
    np.testing.assert_array_equal(after.affine, before.affine)
    records, again = tmp_path / "out" / "records.jsonl", tmp_path / "again"
    plain = DegradeOptions(workers=1)
    assert not degrade_files([path], again, plain, replay=records).failed
    assert contents(again)[path.name] == contents(tmp_path / "out")[path.name]


def test_integers_with_room_keep_their_type(tmp_path):
    path = tmp_path / "t1.nii"
    counts = np.random.default_rng(0).integers(700, 1000, (40, 48, 5)).astype(np.int16)
    scaled = nibabel.Nifti1Image(counts, np.eye(4))
    scaled.header.set_slope_inter(0.5, 1.0)
    scaled.to_filename(path)
    degrade_files([path], tmp_path / "out", asked("mri-bias", severity=5.0))
    after = nibabel.load(tmp_path / "out" / path.name)
    assert after.get_data_dtype() == np.int16
    assert after.get_fdata().max() > 1.1 * nibabel.load(path).get_fdata().max()


OWN = '[[steps]]\noperator = "gaussian-noise"\nsigma = { mild = 0.02, strong = 0.2 }\n'


@pytest.mark.parametrize("workers", [1, 2])
def test_a_recipe_of_a_file_is_taken_as_one_by_name(folder, tmp_path, workers):
    own = tmp_path / "grain.toml"
    own.write_text(OWN)
    root = tmp_path / "out"
    summary = degrade_files([folder], root, asked(str(own), workers=workers))
    assert summary.written
    assert not summary.failed
    records = records_of(root)
    assert {one.preset for one in records} == {"grain.toml"}
    assert {len(one.recipe_sha256) for one in records} == {64}
    own.unlink()  # the records hold all that was drawn
    again = tmp_path / "again"
    replayed = degrade_files(
        [folder], again, DegradeOptions(workers=1), replay=root / "records.jsonl"
    )
    assert not replayed.failed
    assert contents(again) == contents(root)


def test_a_recipe_that_changed_is_another_one(folder, tmp_path):
    own, root = tmp_path / "grain.toml", tmp_path / "out"
    own.write_text(OWN)
    first = degrade_files([folder], root, asked(str(own)))
    same = degrade_files([folder], root, asked(str(own)))
    assert len(same.skipped) >= len(first.written)
    assert not same.written
    own.write_text(OWN.replace("0.02", "0.03"))
    other = degrade_files([folder], root, asked(str(own)))
    assert not other.written
    assert "already there" in str(other.failed[0].error)
    made = degrade_files([folder], root, asked(str(own), on_exists="overwrite"))
    assert len(made.written) == len(first.written)


def test_recipes_of_files_and_names_stand_in_the_names_of_pictures(tmp_path):
    own = tmp_path / "grain.toml"
    own.write_text(OWN)
    clean = tmp_path / "a.png"
    cv2.imwrite(str(clean), photo())
    degrade_files([clean], tmp_path / "out", asked(str(own), "gauss-0.1"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a.grain.png", "a.gauss-0.1.png", "records.jsonl"}
    other = tmp_path / "other" / "grain.toml"
    other.parent.mkdir()
    other.write_text(OWN)
    with pytest.raises(UsageError, match="two recipes are named grain"):
        degrade_files([clean], tmp_path / "two", asked(str(own), str(other)))


def test_a_depth_that_is_told_holds_for_all_and_in_replays(tmp_path):
    """Else a dark file of 16 bits is one of fewer, and gets less noise."""
    inputs = tmp_path / "in"
    inputs.mkdir()
    bright = photo(seed=1).astype(np.uint16) * 257
    for name, pixels in (("bright", bright), ("dark", bright // 20)):
        cv2.imwrite(str(inputs / f"{name}.png"), pixels)

    def spread(folder):
        pairs = [
            formats.read(one / "dark.png").pixels.astype(float)
            for one in (inputs, folder)
        ]
        return (pairs[1] - pairs[0]).std()

    guessed = degrade_files([inputs], tmp_path / "guessed", asked("gauss-0.1"))
    (warning,) = guessed.warnings
    assert "1 as 12 bits, dark.png for one; 1 as 16 bits, bright.png" in warning
    assert guessed.to_json()["warnings"] == [warning]
    options = asked("gauss-0.1", bits=16)
    told = degrade_files([inputs], tmp_path / "told", options)
    assert told.warnings == []
    assert spread(tmp_path / "told") > 5 * spread(tmp_path / "guessed")
    assert len(degrade_files([inputs], tmp_path / "told", options).skipped) == 2
    other = degrade_files([inputs], tmp_path / "told", asked("gauss-0.1", bits=14))
    assert len(other.failed) == 2
    replay = tmp_path / "told" / "records.jsonl"
    plain = DegradeOptions(workers=1)
    degrade_files([inputs], tmp_path / "again", plain, replay=replay)
    assert contents(tmp_path / "again") == contents(tmp_path / "told")


@pytest.mark.parametrize("recipe", ["gauss-0.1", "mri-mixed", "gaussian-blur"])
def test_a_volume_has_a_mask_of_each_frame(recipe, tmp_path):
    """Outside nothing changes; the mask's own header may tell another coarsest axis."""
    numbers = np.random.default_rng(0).integers(100, 900, (24, 20, 6)).astype(np.int16)
    brain = np.zeros(numbers.shape, np.uint8)
    for at in range(1, 5):  # nothing at the ends
        brain[4 : 12 + at, 3:17, at] = 2
    header = nibabel.Nifti1Header()
    header["pixdim"][1:4] = 1, 1, 3
    volume, masks, out = tmp_path / "v.nii", tmp_path / "masks", tmp_path / "out"
    masks.mkdir()
    nibabel.save(nibabel.Nifti1Image(numbers, None, header), volume)
    nibabel.save(
        nibabel.Nifti1Image(brain, np.diag([4, 1, 1, 1])), masks / "v_mask.nii.gz"
    )
    summary = degrade_files([volume], out, asked(recipe, mask=masks))
    assert not summary.failed, summary.failed
    low = np.asarray(nibabel.load(out / "v.nii").dataobj)
    changed = low != numbers
    assert not changed[brain == 0].any()
    assert changed[brain > 0].mean() > 0.5
    (record,) = records_of(out)
    assert 0 < record.metrics["psnr_in"] < 60
    again = tmp_path / "again"
    replayed = degrade_files(
        [volume],
        again,
        DegradeOptions(workers=1, mask=masks),
        replay=out / "records.jsonl",
    )
    assert not replayed.failed, replayed.failed
    assert (again / "v.nii").read_bytes() == (out / "v.nii").read_bytes()

    frames = np.ascontiguousarray(numbers.transpose(2, 1, 0))
    inside = brain.transpose(2, 1, 0) > 0
    found, _ = degrade(frames, recipe, mask=inside)
    np.testing.assert_array_equal(found[~inside], frames[~inside])


def test_a_mask_of_one_volume_holds_for_every_time(tmp_path):
    rng = np.random.default_rng(0)
    numbers = rng.integers(100, 900, (24, 20, 6, 3)).astype(np.int16)
    brain = np.zeros(numbers.shape[:3], np.uint8)
    brain[4:12, 3:17, 1:5] = 1
    volume, mask, place = tmp_path / "v.nii", tmp_path / "m.nii", np.diag([1, 1, 3, 1])
    nibabel.save(nibabel.Nifti1Image(numbers, place), volume)
    nibabel.save(nibabel.Nifti1Image(brain, place), mask)
    summary = degrade_files([volume], tmp_path / "out", asked(mask=mask))
    assert not summary.failed, summary.failed
    low = np.asarray(nibabel.load(tmp_path / "out" / "v.nii").dataobj)
    changed = low != numbers
    assert not changed[brain == 0].any()
    assert (changed[brain > 0].mean(axis=0) > 0.5).all()
    planes = formats.read(mask, axis=2).pixels[..., 0] > 0
    image = formats.read(volume)
    degraded, record = degrade(image, "gauss-0.1", mask=planes)
    again = apply(image, record, mask=planes)
    np.testing.assert_array_equal(again.pixels, degraded.pixels)
    different = (degraded.pixels != image.pixels).reshape(3, 6, 20, 24)
    assert not different[:, ~planes].any()
    assert different.any(axis=(1, 2, 3)).all()


def test_labels_that_were_written_as_floats_are_inside(tmp_path):
    """As nibabel and FSL write them: 1 and 2 are no levels of 255."""
    numbers = np.random.default_rng(0).integers(100, 900, (24, 20, 6)).astype(np.int16)
    labels = np.zeros(numbers.shape)
    labels[4:12, 3:17], labels[12:18, 3:17] = 1, 2
    written = []
    for kind in (np.uint8, np.float32):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        for name, array in (("v", numbers), ("v_mask", labels.astype(kind))):
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), folder / f"{name}.nii")
        options = asked(mask=folder / "v_mask.nii")
        summary = degrade_files([folder / "v.nii"], folder / "out", options)
        assert not summary.failed, summary.failed
        written.append((folder / "out" / "v.nii").read_bytes())
    assert written[0] == written[1]


def test_a_mask_of_other_frames_than_the_volume_fails_its_file(tmp_path):
    numbers = np.random.default_rng(0).integers(100, 900, (24, 20, 6)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(numbers, np.eye(4)), tmp_path / "v.nii")
    for name, marked, word in (
        ("few", np.ones((24, 20, 4), np.uint8), "4 frames, the picture 6"),
        ("none", np.zeros((24, 20, 6), np.uint8), "is no mask"),
        ("hole", np.full((24, 20, 6), np.nan, np.float32), "NaN"),
    ):
        mask = tmp_path / f"{name}.nii"
        nibabel.save(nibabel.Nifti1Image(marked, np.eye(4)), mask)
        out = tmp_path / f"out-{name}"
        summary = degrade_files([tmp_path / "v.nii"], out, asked(mask=mask))
        assert word in summary.failed[0].reason
