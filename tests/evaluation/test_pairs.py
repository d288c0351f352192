from __future__ import annotations

import hashlib
import json

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Pil
from scipy import ndimage, stats

import medenh
from medenh import formats
from medenh.errors import InputError, NothingReadableError, UsageError
from medenh.evaluation.comparing import best_row
from medenh.evaluation.output import summarise, to_json
from medenh.metrics.registry import METRICS
from medenh.tasks import read_mask


@pytest.fixture
def folders(make_folder, picture):
    clean = {f"im{i}.png": picture(i, noise=2) for i in range(6)}
    good = {f"im{i}.enhanced.png": picture(i + 50, noise=5) for i in range(6)}
    poor = {f"im{i}.bmp": picture(i + 90, noise=20) for i in range(6)}
    return (
        make_folder("enhanced", good),
        make_folder("clean", clean),
        make_folder("poor", poor),
    )


def test_figures_baselines_and_tests(folders):
    enhanced, clean, poor = folders
    found = medenh.evaluate(enhanced, clean, baselines=[poor])
    assert [row.name for row in found.rows] == ["enhanced", "poor"]
    assert found.files == tuple(f"im{i}.png" for i in range(6))
    one, two = (list(row.scores["psnr"].values()) for row in found.rows)
    tests = found.tests["poor"]["psnr"]
    assert tests.wilcoxon_p == pytest.approx(stats.wilcoxon(one, two).pvalue)
    assert tests.t_p == pytest.approx(stats.ttest_rel(one, two).pvalue)
    assert tests.difference > 5
    assert (found.region, found.data_range) == ("whole", "0-255 (8-bit)")
    document = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert document["pairs"] == 6
    assert document["metrics"]["psnr"]["mean"] == pytest.approx(np.mean(one))
    assert set(document["baselines"]) == {"poor"}


def test_result_does_not_depend_on_workers(folders):
    enhanced, clean, _ = folders
    # the guard of spawned processes holds under pytest: its main module is importable
    one = medenh.evaluate(enhanced, clean, workers=1)
    two = medenh.evaluate(enhanced, clean, workers=2)
    assert one.rows == two.rows


def test_volumes_are_compared_voxel_by_voxel_whatever_their_spacing(tmp_path):
    """The coarsest axis becomes the frames, and may be another one in each file."""
    rng = np.random.default_rng(0)
    voxels = (ndimage.gaussian_filter(rng.random((20, 24, 28)), 2) * 1e4).astype("i2")
    inside = (voxels > voxels.mean()).astype("u1")
    for folder, data, spacing in (
        ("clean", voxels, (3, 1, 1)),
        ("same", voxels, (1, 1, 1)),
        ("masks", inside, (1, 2, 1)),
    ):
        (tmp_path / folder).mkdir()
        volume = nibabel.Nifti1Image(data, np.diag([*spacing, 1.0]))
        nibabel.save(volume, tmp_path / folder / "a.nii")
    pair = tmp_path / "same", tmp_path / "clean"
    (row,) = medenh.evaluate(*pair).rows
    assert list(row.scores["ssim"].values()) == [pytest.approx(1)]
    pictures = medenh.evaluate(*pair).pictures
    shown = [pictures.get("a.nii", row) for row in ("enhanced", "reference")]
    np.testing.assert_array_equal(*shown)
    found = medenh.evaluate(*pair, region="mask", masks=tmp_path / "masks")
    assert not found.failed


def test_frames_where_a_mask_is_empty_are_left_out(tmp_path):
    rng = np.random.default_rng(0)
    clean = rng.random((40, 44, 5)).astype(np.float32)
    low = clean + rng.normal(0, 0.05, clean.shape) * np.arange(1, 6)
    mask = np.zeros(clean.shape, np.uint8)
    mask[5:30, 8:40, 1:4] = 1
    for name, data in (("clean", clean), ("low", low.astype("f4")), ("mask", mask)):
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / f"{name}.nii")
    low_file, clean_file = tmp_path / "low.nii", tmp_path / "clean.nii"
    options = {"metrics": "psnr", "region": "mask", "masks": tmp_path / "mask.nii"}

    def figure(planes):
        here = np.where(np.isin(np.arange(5), planes), mask, 0).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(here, np.eye(4)), tmp_path / "mask.nii")
        found = medenh.evaluate(low_file, clean_file, **options)
        assert not found.failed
        (value,) = found.row("enhanced").scores["psnr"].values()
        return value

    alone = [figure([k]) for k in (1, 2, 3)]
    assert alone[0] > alone[1] > alone[2]
    assert figure([1, 2, 3]) == pytest.approx(np.mean(alone))
    nibabel.save(nibabel.Nifti1Image(0 * mask, np.eye(4)), tmp_path / "mask.nii")
    (empty,) = medenh.evaluate(low_file, clean_file, **options).failed
    assert "the mask is empty" in empty["error"]


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_each_page_of_a_stack_has_the_page_of_its_mask(tmp_path, options):
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 3000, (3, 30, 40), np.uint16)
    low = clean + np.arange(3, dtype=np.uint16)[:, None, None] * 100
    mask = np.zeros(clean.shape, np.uint16)
    mask[1, :9, :9], mask[2, 20:, 20:] = 1, 2
    for name, data in (("clean", clean), ("low", low), ("mask", mask)):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, data, photometric="minisblack", **options)
    found = medenh.evaluate(
        tmp_path / "low.tif",
        tmp_path / "clean.tif",
        metrics="mae",
        region="mask",
        masks=tmp_path / "mask.tif",
    )
    assert not found.failed
    assert found.row("enhanced").scores["mae"]["clean.tif"] == pytest.approx(150 / 4095)
    with pytest.raises(InputError, match="holds 3 pages"):
        read_mask(tmp_path / "mask.tif")


def test_a_mask_of_one_volume_holds_for_every_time(tmp_path):
    """As a brain's mask does of fMRI; by hand it stood once for each time."""
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 900, (24, 20, 6, 4)).astype(np.int16)
    low = clean + rng.integers(-90, 90, clean.shape).astype(np.int16)
    one = np.zeros(clean.shape[:3], np.uint8)
    one[5:15, 3:17, 1:4] = 1
    low[one == 0] = 0  # of which nothing counts
    each = np.repeat(one[..., None], 4, axis=3)
    place = np.diag([1, 1, 3, 1])
    for name, data in {"clean": clean, "low": low, "one": one, "each": each}.items():
        nibabel.save(nibabel.Nifti1Image(data, place), tmp_path / f"{name}.nii")
    images = tmp_path / "low.nii", tmp_path / "clean.nii"
    told = [
        medenh.evaluate(*images, region="mask", masks=tmp_path / mask)
        for mask in ("one.nii", "each.nii")
    ]
    assert told[0].rows == told[1].rows
    assert told[0].rows[0].scores["psnr"]["clean.nii"] > 20
    nibabel.save(nibabel.Nifti1Image(one[..., :4], place), tmp_path / "one.nii")
    other = medenh.evaluate(*images, region="mask", masks=tmp_path / "one.nii")
    assert "the mask has 4 frames, the picture 24" in other.failed[0]["error"]


def test_a_mask_may_hold_smaller_copies_of_itself(tmp_path):
    labels = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(labels, metadata=None)
        tiff.write(labels[::2, ::2].copy(), subfiletype=1, metadata=None)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), labels)


def test_headers_that_place_a_pair_apart_are_noted(tmp_path):
    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 900, (20, 24, 6)).astype(np.int16)
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    turned = affine.copy()
    turned[0, 0], turned[0, 3] = -2.0, 38.0  # the first voxel where the last was
    moved, nearly = affine.copy(), affine.copy()
    moved[2, 3], nearly[2, 3] = 180.0, 0.15
    places = {"clean": affine, "same": affine, "turned": turned, "moved": moved}
    for folder, place in (places | {"nearly": nearly}).items():
        (tmp_path / folder).mkdir()
        data = voxels[::-1] if folder == "turned" else voxels
        nibabel.save(nibabel.Nifti1Image(data, place), tmp_path / folder / "a.nii")

    def notes(folder):
        found = medenh.evaluate(tmp_path / folder, tmp_path / "clean", metrics="psnr")
        assert not found.failed
        assert tuple(to_json(found)["notes"]) == found.notes
        return found.notes

    assert notes("same") == notes("nearly") == ()
    (told,) = notes("turned")
    assert "by their headers, 1 of the files lie elsewhere" in told
    assert f"38 mm apart ({tmp_path / 'turned' / 'a.nii'})" in told
    assert "180 mm" in notes("moved")[0]


def test_pictures_that_exif_turns_otherwise_are_noted(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)

    def save(name, way, *, mask=False):
        path = tmp_path / name / "a.png"
        path.parent.mkdir()
        told = Pil.Exif()
        told[274] = way
        shown = pixels[..., 0] // 128 if mask else pixels
        Pil.fromarray(shown).save(path, exif=told if way > 1 else None)
        return path

    def notes(one, other, **more):
        found = medenh.evaluate(
            tmp_path / one, tmp_path / other, metrics="psnr", **more
        )
        assert not found.failed
        return found.notes

    for name, way in {"up": 1, "same": 1, "down": 3, "aside": 6}.items():
        save(name, way)
    for name, way in {"mask": 1, "mask-down": 3}.items():
        save(name, way, mask=True)
    told = "1 of the files have another Exif orientation than what they are compared"
    assert notes("up", "same") == ()
    assert notes("down", "up")[0].startswith(told)
    assert str(tmp_path / "down" / "a.png") in notes("down", "up")[0]
    masked = {"region": "mask", "masks": tmp_path / "mask"}
    assert notes("up", "same", **masked) == ()
    assert notes("down", "down", **masked)[0].startswith(told)
    assert notes("down", "down", region="mask", masks=tmp_path / "mask-down") == ()
    Pil.fromarray(np.rot90(pixels)).save(tmp_path / "up" / "a.png")
    (failed,) = medenh.evaluate(tmp_path / "up", tmp_path / "aside").failed
    assert "Exif says they are turned, 1 and 6" in failed["error"]


def test_hounsfield_units_are_those_of_the_reference(tmp_path):
    """NIfTI only lets guess them, by its air: noise there had parted a pair."""
    rng = np.random.default_rng(0)
    clean = rng.integers(-160, 240, (24, 24, 6)).astype(np.int16)
    clean[:8] = -1000
    noisy = clean.astype(np.float32) + 4
    noisy[:8] += rng.normal(0, 100, noisy[:8].shape)
    for folder, numbers in (("clean", clean), ("low", noisy)):
        (tmp_path / folder).mkdir()
        volume = nibabel.Nifti1Image(numbers, np.eye(4))
        nibabel.save(volume, tmp_path / folder / "a.nii")
    assert formats.read(tmp_path / "clean" / "a.nii").units == "HU"
    assert formats.read(tmp_path / "low" / "a.nii").units == ""
    for enhanced, reference in (("low", "clean"), ("clean", "low")):
        found = medenh.evaluate(tmp_path / enhanced, tmp_path / reference)
        assert not found.failed
    pair = medenh.evaluate(tmp_path / "low", tmp_path / "clean", metrics="psnr")
    shift = pair.row("enhanced").scores["psnr"]["a.nii"]
    changed = (clean >= -160) & (clean < 240)  # inside the window, 400 HU wide
    error = np.where(changed, 4 / 400, 0.0)
    expected = -10 * np.log10(np.mean(error**2))
    assert shift == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_arrays_in_hounsfield_units_are_measured_in_the_window_of_ct(tmp_path, kind):
    """As the same numbers in NIfTI and DICOM are; percentiles hold air and bone."""
    rng = np.random.default_rng(0)
    volume = rng.normal(40, 30, (40, 44, 5))
    volume[:10], volume[10:12] = -1000, 900
    noisy = volume + rng.normal(0, 20, volume.shape)
    for name, numbers in (("clean", volume), ("noisy", noisy)):
        stored = np.rint(numbers).astype(kind)
        nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), tmp_path / f"{name}.nii")
        frames = np.ascontiguousarray(stored.transpose(2, 1, 0))
        np.save(tmp_path / f"{name}.npy", frames)

    def psnr(one, other, **options):
        found = medenh.evaluate(
            tmp_path / one, tmp_path / other, metrics=["psnr"], **options
        )
        assert not found.failed, found.failed
        (value,) = found.row("enhanced").scores["psnr"].values()
        return value, found

    expected, _ = psnr("noisy.nii", "clean.nii")
    told, found = psnr("noisy.npy", "clean.npy", modality="ct")
    assert told == pytest.approx(expected, abs=1e-6)
    assert found.data_range.startswith("-160 to 240 (HU")
    assert psnr("noisy.npy", "clean.nii", modality="ct")[0] == pytest.approx(expected)
    assert psnr("noisy.npy", "clean.npy")[0] > expected + 5
    shown = found.pictures.get(found.files[0], "reference")
    assert shown.mean() == pytest.approx(
        np.clip((frames[2] + 160) / 400, 0, 1).mean(), abs=0.05
    )


def test_arrays_without_air_stay_as_their_reference_is(tmp_path):
    """Noise brings soft tissue below fat, and the pair was of two units."""
    rng = np.random.default_rng(0)
    clean = rng.normal(40, 10, (40, 44)).clip(0, 80)
    noisy = clean + rng.normal(0, 40, clean.shape)
    assert noisy.min() < -50
    for name, numbers in (("clean", clean), ("noisy", noisy)):
        np.save(tmp_path / f"{name}.npy", numbers.astype(np.float32))
    scores = []
    for options in ({}, {"modality": "ct"}):
        found = medenh.evaluate(
            tmp_path / "noisy.npy", tmp_path / "clean.npy", metrics="psnr", **options
        )
        assert not found.failed, found.failed
        scores.append(found.row("enhanced").scores["psnr"])
        assert found.pictures.get(found.files[0], "enhanced") is not None
    assert scores[0] == scores[1]


def test_one_bad_pair_costs_itself_only(folders, picture):
    enhanced, clean, _ = folders
    formats.write(picture(0, side=20), clean / "im2.png")
    (enhanced / "im4.enhanced.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    found = medenh.evaluate(enhanced, clean)
    assert found.files == ("im0.png", "im1.png", "im3.png", "im5.png")
    errors = {one["path"].rpartition("/")[2]: one["error"] for one in found.failed}
    assert "48 x 48 pixels, its reference 20 x 20" in errors["im2.enhanced.png"]
    assert "im4.enhanced.png" in errors


def test_single_pair_has_no_interval_and_no_test(folders):
    enhanced, clean, poor = folders
    found = medenh.evaluate(
        enhanced / "im0.enhanced.png", clean / "im1.png", baselines=[poor / "im3.bmp"]
    )
    document = to_json(found)
    assert document["pairs"] == 1
    figures = document["metrics"]["psnr"]
    assert (figures["n"], figures["ci95"], figures["std"]) == (1, None, None)
    assert document["tests"]["im3.bmp"]["psnr"]["wilcoxon_p"] is None


def test_without_reference_only_metrics_that_need_none(folders):
    enhanced, _, poor = folders
    found = medenh.evaluate(enhanced, baselines=[poor], metrics=["contrast", "noise"])
    assert found.tests["poor"]["noise"].difference < 0
    with pytest.raises(UsageError, match="psnr compares with a reference"):
        medenh.evaluate(enhanced, metrics=["psnr"])


def test_one_name_is_not_taken_for_its_letters(folders):
    one = medenh.evaluate(
        *folders[:2], metrics="psnr", baselines=str(folders[2]), tasks=()
    )
    same = medenh.evaluate(*folders[:2], metrics=["psnr"], baselines=[folders[2]])
    assert [row.name for row in one.rows] == [row.name for row in same.rows]
    assert all(set(row.scores) == {"psnr"} for row in one.rows)
    with pytest.raises(UsageError, match="unknown task 'nothing'"):
        medenh.evaluate(*folders[:2], tasks="nothing")


def test_mask_region(folders, make_folder, picture):
    enhanced, clean, _ = folders
    mask = np.zeros((48, 48), np.uint8)
    mask[:10] = 255
    masks = make_folder("masks", {f"im{i}.png": mask for i in range(5)})
    whole = medenh.evaluate(enhanced, clean)
    found = medenh.evaluate(enhanced, clean, region="mask", masks=masks)
    assert len(found.files) == 5
    assert found.unmatched == {"not in masks": ("im5.enhanced.png",)}
    (masks / "im3.png").unlink()
    fewer = medenh.evaluate(enhanced, clean, region="mask", masks=masks)
    assert len(fewer.files) == 4
    lost = ("im3.enhanced.png", "im5.enhanced.png")
    assert fewer.unmatched == {"not in masks": lost}
    first = [one.rows[0].scores["psnr"]["im0.png"] for one in (whole, found)]
    assert first[0] != first[1]
    formats.write(np.zeros((48, 48), np.uint8), masks / "im1.png")
    formats.write(np.zeros((9, 9), np.uint8), masks / "im2.png")
    again = medenh.evaluate(enhanced, clean, region="mask", masks=masks)
    assert ["empty" in one["error"] for one in again.failed] == [True, False]
    assert "9 x 9" in again.failed[1]["error"]
    (masks / "im1.png").unlink()
    np.save(masks / "im1.npy", np.where(mask, 1, np.nan).astype(np.float32))
    (nan, _) = medenh.evaluate(enhanced, clean, region="mask", masks=masks).failed
    assert "the mask holds NaN" in nan["error"]


@pytest.mark.parametrize("surround", [0, 21])
def test_field_of_view_is_found_on_the_reference(make_folder, picture, surround):
    y, x = np.mgrid[:96, :96]
    away = np.hypot(y - 48, x - 48)
    shown = (away < 40)[..., None]
    clean = np.where(shown, picture(0, side=96), surround).astype(np.uint8)
    noisy = clean.copy()
    noisy[away > 42] = 200  # all the error lies outside
    enhanced = make_folder("enhanced", {"a.png": noisy})
    reference = make_folder("reference", {"a.png": clean})
    inside = medenh.evaluate(enhanced, reference, region="fov", metrics=["psnr"])
    assert inside.rows[0].scores["psnr"]["a.png"] == 100.0
    assert inside.region == "fov"
    outside = medenh.evaluate(enhanced, reference, metrics=["psnr"])
    assert outside.rows[0].scores["psnr"]["a.png"] < 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"region": "nowhere"},
        {"region": "mask"},
        {"metrics": ["nonsense"]},
        {"modality": "nonsense"},
        {"tasks": ["vessels-fundus"]},
    ],
)
def test_wrong_usage_is_known_before_anything_is_read(folders, wrong):
    with pytest.raises(UsageError):
        medenh.evaluate(*folders[:2], **wrong)


def test_photographs_are_no_region(folders):
    enhanced, clean, poor = folders
    found = medenh.evaluate(enhanced, clean, region="mask", masks=poor)
    assert not found.files
    assert {f["code"] for f in found.failed} == {"input"}
    assert all("a photograph, not a mask" in f["error"] for f in found.failed)
    assert {f["path"] for f in found.failed} == {str(p) for p in poor.iterdir()}


def test_masks_without_use_are_refused(folders):
    with pytest.raises(UsageError, match="masks are for"):
        medenh.evaluate(*folders[:2], masks=folders[1])


def test_no_pair_at_all(folders, make_folder):
    other = make_folder("other", {"else.png": np.zeros((4, 4), np.uint8)})
    with pytest.raises(NothingReadableError, match="no file has a partner"):
        medenh.evaluate(folders[0], other)


def test_pictures_of_the_report_come_from_the_files(folders):
    enhanced, clean, poor = folders
    found = medenh.evaluate(enhanced, clean, baselines=[poor])
    pixels = found.pictures.get("im0.png", "reference")
    expected = formats.read(clean / "im0.png").pixels[0] / 255
    assert pixels == pytest.approx(expected, abs=1e-6)
    assert found.pictures.get("im0.png", "poor").shape == (48, 48, 3)
    assert found.pictures.get("im0.png", "degraded") is None
    assert found.pictures.get("nothing", "enhanced") is None


def test_a_deeper_file_is_shown_as_it_was_measured(make_folder, picture):
    clean = make_folder("clean", {"a.png": picture(channels=1)})
    deep = make_folder("deep", {"a.png": picture(channels=1).astype(np.uint16) * 257})
    found = medenh.evaluate(deep, clean)
    assert found.rows[0].scores["psnr"]["a.png"] > 90
    shown = [found.pictures.get("a.png", row) for row in ("enhanced", "reference")]
    np.testing.assert_allclose(*shown, atol=1e-6)


def test_incomplete_baselines_are_told_and_win_nothing(folders, make_folder, picture):
    enhanced, clean, _ = folders
    some = make_folder("some", {"im0.png": formats.read(clean / "im0.png").pixels[0]})
    formats.write(picture(9), some / "other.png")
    found = medenh.evaluate(enhanced, clean, baselines=[some], metrics=["psnr"])
    assert len(found.unmatched["not in some"]) == len(found.files) - 1
    assert found.unmatched["some"] == ("other.png",)
    assert summarise(found.row("some"), "psnr").mean == 100.0
    assert best_row(found.rows, found.columns[0]).name == "enhanced"


def test_kind_of_picture_decides_what_niqe_compares_with(make_folder, picture):
    folder = make_folder("pictures", {"a.png": picture(0, side=160, noise=20)})
    figures = {
        kind: medenh.evaluate(folder, metrics=["niqe"], modality=kind)
        .rows[0]
        .scores["niqe"]["a.png"]
        for kind in (None, "fundus", "xray")
    }
    assert len(set(figures.values())) == 3
    pixels = formats.read(folder / "a.png").pixels[0]
    expected = METRICS["niqe"](pixels, data_range=255, modality="xray")
    assert figures["xray"] == pytest.approx(expected, rel=1e-9)


def test_hash_tells_whether_the_same_files_were_measured(folders):
    enhanced, clean, poor = folders
    hashes = [
        medenh.evaluate(one, clean, metrics=["mae"]).settings["sha256_of_files"]
        for one in (enhanced, poor)
    ]
    assert hashes[0]["reference"] == hashes[1]["reference"]
    assert hashes[0]["enhanced"] != hashes[1]["enhanced"]
    lines = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(clean.iterdir())
        if path.stem in {p.name.split(".")[0] for p in enhanced.iterdir()}
    )
    assert hashes[0]["reference"] == hashlib.sha256(lines.encode()).hexdigest()


def test_masks_and_labels_have_hashes(folders, make_folder, tmp_path):
    enhanced, clean, _ = folders
    names = [f"im{i}.png" for i in range(6)]
    mask = np.pad(np.ones((20, 20), np.uint8), 14)
    masks = make_folder("masks", dict.fromkeys(names, mask))
    found = medenh.evaluate(enhanced, clean, region="mask", masks=masks)
    lines = "".join(
        f"{hashlib.sha256((masks / name).read_bytes()).hexdigest()}  {name}\n"
        for name in names
    )
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert found.settings["sha256_of_files"]["masks"] == expected
    table = tmp_path / "truth.csv"
    table.write_text("file,label\nim0.png,benign\nim1.png,malignant\n")
    found = medenh.evaluate(enhanced, clean, tasks=["class-derm"], labels=table)
    line = f"{hashlib.sha256(table.read_bytes()).hexdigest()}  truth.csv\n"
    hashes = found.settings["sha256_of_files"]
    assert hashes["labels"] == hashlib.sha256(line.encode()).hexdigest()
    assert set(hashes) == {"enhanced", "reference", "labels"}


def test_a_baseline_given_twice_is_refused(folders):
    enhanced, clean, poor = folders
    with pytest.raises(UsageError, match="given twice"):
        medenh.evaluate(
            enhanced, clean, baselines=[poor, poor.parent / "x/.." / "poor"]
        )


def test_guessed_depths_are_told_and_can_be_said(make_folder, picture):
    """A dark answer of 16 bits, taken for one of 12, looks as bright as the others."""
    clean = {f"{i}.png": picture(i, noise=2) for i in range(3)}
    white = dict(zip(clean, (257, 257, 13), strict=True))
    answers = {name: pixels * np.uint16(white[name]) for name, pixels in clean.items()}
    folders = make_folder("answers", answers), make_folder("clean", clean)
    found = medenh.evaluate(*folders, metrics=["psnr"])
    assert found.row("enhanced").scores["psnr"]["2.png"] > 18
    (note,) = found.notes
    assert "1 as 12 bits, 2.png for one; 2 as 16 bits, 0.png for one" in note
    assert "--bits 16" in note
    told = medenh.evaluate(*folders, metrics=["psnr"], bits=16)
    expected = (clean["2.png"] - answers["2.png"] / 257) / 255
    psnr = -10 * np.log10(np.mean(expected**2))
    assert told.row("enhanced").scores["psnr"]["2.png"] == pytest.approx(psnr, abs=1e-3)
    assert not told.notes
    shown = told.pictures.get("2.png", "enhanced")
    np.testing.assert_allclose(shown, answers["2.png"] / 65535, atol=1e-6)
    few = medenh.evaluate(*folders, metrics=["psnr"], bits=12)
    assert [one["path"] for one in few.failed] == [
        str(folders[0] / f"{i}.png") for i in range(2)
    ]
    with pytest.raises(UsageError, match="8 to 16"):
        medenh.evaluate(*folders, bits=20)


def test_depths_that_agree_need_no_word_where_nothing_has_another(make_folder, picture):
    twelve = {f"{i}.png": picture(i) * np.uint16(16) for i in range(2)}
    subject, baseline = make_folder("a", twelve), make_folder("b", twelve)
    found = medenh.evaluate(subject, baselines=[baseline], metrics=["contrast"])
    assert not found.notes
    eight = make_folder("c", {n: (p >> 4).astype("u1") for n, p in twelve.items()})
    found = medenh.evaluate(eight, baselines=[baseline], metrics=["contrast"])
    assert "2 as 12 bits" in found.notes[0]


def test_sixteen_bits_made_of_eight_need_no_word_on_depth(make_folder, picture):
    clean = {f"{i}.png": picture(i) for i in range(2)}
    clean["black.png"] = np.zeros((48, 48, 3), np.uint8)
    wide = {name: pixels * np.uint16(257) for name, pixels in clean.items()}
    found = medenh.evaluate(
        make_folder("wide", wide),
        make_folder("clean", clean),
        baselines=[make_folder("as8", {n: p.astype("u2") for n, p in clean.items()})],
        metrics=["psnr"],
    )
    assert not found.notes
    assert all(min(row.scores["psnr"].values()) > 90 for row in found.rows)


def test_volumes_on_unit_scale_beside_numbers_without_white_are_noted(tmp_path):
    rng = np.random.default_rng(0)
    voxels = (ndimage.gaussian_filter(rng.random((20, 24, 6)), 2) * 1e4).astype("i2")
    for name, data in (
        ("clean", voxels),
        ("floats", voxels.astype("f4")),
        ("scaled", (voxels / voxels.max()).astype("f4")),
    ):
        (tmp_path / name).mkdir()
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / name / "a.nii")
    clean = tmp_path / "clean"
    assert not medenh.evaluate(tmp_path / "floats", clean, metrics=["psnr"]).notes
    (note,) = medenh.evaluate(tmp_path / "scaled", clean, metrics=["psnr"]).notes
    assert "scaled/a.nii" in note
    assert "percentiles" in note


def test_answers_from_minus_one_to_one_are_noted(make_folder, picture):
    """A network's last tanh, saved as it came; noise alone reaches less far."""
    clean = {"a.png": picture(1)}
    reference = make_folder("clean", clean)
    noise = np.random.default_rng(0).normal(0, 0.1, clean["a.png"].shape)
    answers = (
        make_folder("noisy", {"a.npy": clean["a.png"] / 255 + noise}),
        make_folder("signed", {"a.npy": clean["a.png"] / 127.5 - 1}),
    )
    notes = [medenh.evaluate(one, reference, metrics=["psnr"]).notes for one in answers]
    assert notes[0] == ()
    assert "add 1" in notes[1][0]
    assert "signed/a.npy" in notes[1][0]
