from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import warnings
from functools import partial

import cv2
import nibabel
import numpy as np
import PIL.Image
import pydicom.data
import pytest
import skimage
import tifffile

import medenh
from medenh.errors import (
    OutputError,
    RefusedError,
    UnreadableError,
    UnsupportedError,
    UsageError,
)
from medenh.formats.array import from_array
from medenh.pipeline import openvino_cache
from medenh.zoo import cache as zoo_cache

IDENTITY = {"model": "identity"}


@pytest.fixture
def path(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    return tmp_path / "a.png"


def test_importing_medenh_is_cheap():
    code = (
        "import sys, medenh; dir(medenh);"
        "assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there():
    for name in medenh.__all__:
        assert getattr(medenh, name) is not None
    assert medenh.models.create is not None
    with pytest.raises(AttributeError):
        _ = medenh.nothing


def test_every_room_is_there_without_an_import_of_its_own():
    rooms = medenh._ROOMS
    assert {"errors", "losses", "training", "types"} < set(rooms)
    code = (
        f"import sys, medenh; before = set(sys.modules); rooms = {rooms};"
        "assert not any(f'medenh.{room}' in before for room in rooms);"
        "print(*[getattr(medenh, room).__name__ for room in rooms])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [f"medenh.{room}" for room in rooms]


@pytest.mark.parametrize(
    "shape", [(20, 30), (20, 30, 1), (20, 30, 3), (4, 20, 30), (4, 20, 30, 3)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, bool])
def test_arrays_keep_shape_type_and_values(shape, dtype):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 2 if dtype is bool else 200, shape).astype(dtype)
    before = array.copy()
    same = medenh.enhance(array, model="identity")
    assert same.dtype == array.dtype
    assert np.array_equal(same, array)
    assert np.array_equal(array, before)


def test_an_array_is_enhanced_and_strength_blends():
    array = np.random.default_rng(0).random((64, 64)).astype(np.float32) * 0.3
    array[0, 0] = 1.0
    full = medenh.enhance(array, model="clahe")
    half = medenh.enhance(array, model="clahe", strength=0.5)
    assert not np.allclose(full, array, atol=0.02)
    np.testing.assert_allclose(half, array + 0.5 * (full - array), atol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5), (0, 4), (1, 2, 3, 4, 3)])
def test_arrays_that_are_no_images_are_refused(shape):
    with pytest.raises(UsageError):
        medenh.enhance(np.zeros(shape, np.uint8), model="identity")


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "RGBA", "F"])
def test_pictures_of_pillow_are_taken_as_arrays(mode):
    shape = (20, 30, len(mode)) if mode.startswith("RGB") else (20, 30)
    dtype = {"I;16": np.uint16, "F": np.float32}.get(mode, np.uint8)
    array = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    picture = PIL.Image.fromarray(array)
    assert picture.mode == mode
    for enhance in (medenh.enhance, medenh.load_model("identity").enhance):
        same = enhance(picture, **IDENTITY if enhance is medenh.enhance else {})
        assert same.dtype == array.dtype
        assert np.array_equal(same, array)


@pytest.mark.parametrize("dtype", [">u2", "<u2", "i4"])
def test_pictures_of_pillow_of_any_order_of_bytes_keep_their_numbers(tmp_path, dtype):
    array = np.random.default_rng(0).integers(0, 4000, (20, 30)).astype(dtype)
    order = ">" if dtype.startswith(">") else "<"
    tifffile.imwrite(tmp_path / "a.tif", array, byteorder=order)
    with PIL.Image.open(tmp_path / "a.tif") as picture:
        same = medenh.enhance(picture, **IDENTITY)
    assert np.array_equal(same, array)


@pytest.mark.parametrize(
    ("mode", "to"), [("1", "L"), ("P", "RGB"), ("LA", "RGBA"), ("RGBa", "RGBA")]
)
def test_other_modes_of_pillow_are_refused_with_what_to_do(mode, to):
    picture = PIL.Image.new(mode, (30, 20))
    with pytest.raises(UsageError, match=re.escape(f'image.convert("{to}")')):
        medenh.enhance(picture, **IDENTITY)
    assert medenh.enhance(picture.convert(to), **IDENTITY).shape[:2] == (20, 30)


def test_the_hint_for_a_palette_keeps_its_opacity():
    picture = PIL.Image.new("P", (30, 20))
    picture.info["transparency"] = 0
    with pytest.raises(UsageError, match=re.escape('image.convert("RGBA")')):
        medenh.enhance(picture, **IDENTITY)


@pytest.mark.parametrize("source", [[1, 2], 5, None, [np.zeros((4, 4))], {1: 2}])
def test_what_is_no_picture_is_refused_with_what_is_one(source):
    with pytest.raises(UsageError, match=r"a path, .*\(H, W, 3\)"):
        medenh.enhance(source)
    with pytest.raises(UsageError, match=r"a path, .*\(H, W, 3\)"):
        medenh.load_model("identity").enhance(source)


@pytest.mark.parametrize(
    "source",
    [
        b"a",
        memoryview(np.zeros((2, 3), np.uint8)),
        io.BytesIO(b"a"),
        pydicom.Dataset(),
        nibabel.Nifti1Image(np.zeros((2, 3, 4)), None),
    ],
)
def test_files_that_are_in_memory_are_to_be_written(source):
    degrade = partial(medenh.degrade, recipe="dpe")
    for door in (medenh.enhance, medenh.load_model("identity").enhance, degrade):
        with pytest.raises(UsageError, match="write it to a file"):
            door(source)
    with pytest.raises(UsageError, match=f"{type(source).__name__} is no path"):
        medenh.read(source)


def test_the_dictionary_of_a_sample_is_no_list_of_paths():
    sample = {"image": np.zeros((4, 4), np.uint8)}
    for door in (medenh.enhance, partial(medenh.enhance, output="out")):
        with pytest.raises(UsageError, match="dict cannot be enhanced"):
            door(sample)
    with pytest.raises(UsageError, match="dict is no path"):
        medenh.read(sample)


@pytest.mark.parametrize("make", [np.array, PIL.Image.fromarray, from_array])
def test_several_pictures_in_memory_are_enhanced_one_by_one(make):
    picture = make(np.zeros((20, 30), np.uint8))
    with pytest.raises(UsageError, match=r"one by one: \[model\.enhance\(one\)"):
        medenh.enhance([picture, picture])


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_whose_channels_come_first_are_told_to_turn(channels):
    batch = np.zeros((2, channels, 20, 30), np.float32)
    for door in (medenh.enhance, partial(medenh.degrade, recipe="dpe")):
        with pytest.raises(medenh.MedenhError, match=r"moveaxis\(array, 1, -1\)"):
            door(batch)
    assert medenh.enhance(np.moveaxis(batch, 1, -1), **IDENTITY).shape[1:3] == (20, 30)


def test_what_a_notebook_shows_of_models_is_a_line_each():
    model = medenh.load_model("fast-general", device="cpu", engine="torch")
    assert repr(model) == f"<medenh.Model {model.card.full_id}, torch fp32, cpu>"
    assert repr(medenh.load_model("clahe", device="cpu")).endswith(
        "classical fp32, cpu>"
    )
    cards = medenh.list_models(modality="fundus")
    shown = repr(cards)
    for card in cards:
        assert f"<ModelCard {card.full_id}: {card.task}, " in shown
    assert len(shown) < 200 * len(cards)


@pytest.mark.parametrize("name", ["CT_small.dcm", "J2K_pixelrep_mismatch.dcm"])
def test_what_is_read_needs_its_file_no_more(name, tmp_path):
    """Written as it would be with the file still there, header and all."""
    source = tmp_path / "in.dcm"
    shutil.copy(pydicom.data.get_testdata_file(name), source)
    image = medenh.read(source)
    medenh.write(medenh.enhance(image, **IDENTITY), tmp_path / "with.dcm")
    shutil.copy(pydicom.data.get_testdata_file("MR_small.dcm"), source)
    medenh.write(medenh.enhance(image, **IDENTITY), tmp_path / "replaced.dcm")
    source.unlink()
    medenh.write(medenh.enhance(image, **IDENTITY), tmp_path / "without.dcm")
    expected = (tmp_path / "with.dcm").read_bytes()
    assert (tmp_path / "replaced.dcm").read_bytes() == expected
    assert (tmp_path / "without.dcm").read_bytes() == expected


def test_tensors_are_refused_with_how_to_turn_them():
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(3, 20, 30)
    for enhance in (medenh.enhance, medenh.load_model("identity").enhance):
        with pytest.raises(UsageError, match=r"tensor\.permute\(1, 2, 0\)\.detach"):
            enhance(tensor)
    with pytest.raises(UsageError, match="several of torch"):
        medenh.enhance([tensor, tensor])


def test_images_are_compared_by_identity(path):
    image = medenh.read(path)
    assert image == image
    assert image != medenh.read(path)
    assert image in {image}
    low, _ = medenh.degrade(image, "gauss-0.1")
    assert low not in (image, None)
    assert image.geometry != medenh.read(path).geometry


def float_picture(dtype):
    array = np.random.default_rng(0).random((64, 64, 3)).astype(dtype)
    array[:8], array[8:16] = 0, 1
    return array


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("model", ["unsharp", "clahe"])
@pytest.mark.parametrize("strength", [1, 0.7])
def test_floats_in_0_to_1_stay_in_it_exactly(dtype, model, strength):
    out = medenh.enhance(float_picture(dtype), model=model, strength=strength)
    assert 0 <= out.min() <= out.max() <= 1
    skimage.img_as_ubyte(out)


def test_floats_outside_of_0_to_1_are_not_cut():
    array = float_picture(np.float64)
    array[20, 20], array[21, 21] = -0.004, 1.004  # overshoot of a resampled picture
    out = medenh.enhance(array, model="stretch", strength=0.5)
    assert out.min() < 0
    assert out.max() > 1
    array = 3.0 * float_picture(np.float64) - 1.0
    low = medenh.enhance(array, model="unsharp")
    assert low.min() < -0.5
    assert low.max() > 1.5


def test_a_path_gives_an_image(path):
    image = medenh.enhance(path, model="identity")
    assert isinstance(image, medenh.Image)
    assert np.array_equal(image.pixels, medenh.read(path).pixels)


def test_a_path_with_an_output_gives_the_path(path, tmp_path):
    out = tmp_path / "b.png"
    assert medenh.enhance(path, out, model="clahe") == out
    in_memory = medenh.enhance(path, model="clahe")
    assert np.array_equal(medenh.read(out).pixels, in_memory.pixels)


def test_an_array_with_an_output_is_written(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (20, 30), np.uint8)
    out = medenh.enhance(array, tmp_path / "b.png", model="identity")
    assert np.array_equal(medenh.read(out).pixels[0, ..., 0], array)


def test_a_folder_gives_a_summary(path, tmp_path):
    summary = medenh.enhance(path.parent, tmp_path / "out", model="identity")
    assert [result.input for result in summary.written] == [path]


def test_an_iterable_of_paths_gives_a_summary_however_long_it_is(path, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    bad = medenh.enhance([tmp_path / "bad.png"], tmp_path / "out", **IDENTITY)
    assert [type(failure.error) for failure in bad.failed] == [UnreadableError]
    for names in ("a.png", "[ab]*.png"):
        found = medenh.enhance(tmp_path.glob(names), tmp_path / "out2", **IDENTITY)
        done = [*found.written, *found.skipped]
        assert [one.output for one in done] == [tmp_path / "out2" / "a.png"]


def test_one_bad_file_raises_its_own_error(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UnreadableError):
        medenh.enhance(tmp_path / "bad.png", tmp_path / "out.png", model="identity")


def test_unknown_options_and_models_are_refused(path):
    with pytest.raises(UsageError, match="strenght"):
        medenh.enhance(path, strenght=0.5)
    with pytest.raises(UsageError, match="unknown model"):
        medenh.enhance(path, model="clahee")
    with pytest.raises(UsageError, match="modality"):
        medenh.enhance(np.zeros((8, 8)), modality="fundsu")


def test_a_loaded_model_takes_what_enhance_takes(path):
    model = medenh.load_model("clahe")
    assert model.card.id == "clahe"
    array = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    assert np.array_equal(model.enhance(array), medenh.enhance(array, model="clahe"))
    image = medenh.read(path)
    expected = medenh.enhance(path, model="clahe").pixels
    assert np.array_equal(model.enhance(path).pixels, expected)
    assert np.array_equal(model.enhance(image).pixels, expected)
    with pytest.raises(UsageError, match="without a network"):
        _ = model.network


def test_a_loaded_model_follows_what_it_is_told_of_its_pictures():
    array = np.random.default_rng(0).integers(0, 4096, (40, 50), np.uint16)
    told = medenh.load_model("clahe", bits=14).enhance(array)
    assert np.array_equal(told, medenh.enhance(array, model="clahe", bits=14))
    assert not np.array_equal(told, medenh.enhance(array, model="clahe"))
    assert medenh.load_model("hqg", modality="endoscopy").card.id == "hqg-endo"


def test_pictures_told_to_show_something_else_are_not_done(path, tmp_path):
    out = tmp_path / "out"
    medenh.enhance([path.parent], out, model="stretch")
    same = medenh.enhance([path.parent], out, model="stretch")
    assert len(same.skipped) == 1
    other = medenh.enhance([path.parent], out, model="stretch", modality="ct")
    assert not other.skipped
    assert "already there" in str(other.failed[0].error)


def test_models_are_listed_by_modality():
    assert "clahe" in {card.id for card in medenh.list_models("fundus")}
    with pytest.raises(UsageError):
        medenh.list_models("fundsu")


@pytest.mark.parametrize("shape", [(20, 30, 4), (3, 20, 30, 4)])
def test_opacity_is_carried_along_and_not_taken_for_a_width(shape):
    array = np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)
    colour = medenh.enhance(array[..., :3], model="clahe")
    out = medenh.enhance(array, model="clahe")
    assert np.array_equal(out[..., 3], array[..., 3])
    assert np.array_equal(out[..., :3], colour)


@pytest.mark.parametrize("dtype", ["u2", "i2", "f4"])
def test_arrays_of_the_other_byte_order_get_the_same_range(dtype):
    array = np.random.default_rng(0).integers(0, 900, (40, 50)).astype(f"<{dtype}")
    swapped = array.astype(f">{dtype}")
    out = medenh.enhance(swapped, model="clahe")
    assert out.dtype == swapped.dtype
    assert np.array_equal(out, medenh.enhance(array, model="clahe"))


def save_dicom(path):
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    made.SOPInstanceUID, made.Modality = "1.2.3.4", "DX"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.Rows = made.Columns = 32
    made.SamplesPerPixel, made.PixelRepresentation = 1, 0
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PhotometricInterpretation = 15, "MONOCHROME2"
    made.PixelData = np.arange(1024, dtype="<u2").tobytes()
    made.save_as(path, enforce_file_format=True)
    return path


def uid_of(path):
    from pydicom import dcmread

    return dcmread(path).SOPInstanceUID


def test_two_models_never_give_one_dicom_image_the_same_uid(tmp_path):
    source = save_dicom(tmp_path / "a.dcm")
    image = medenh.read(source)
    uids = {"source": uid_of(source)}
    for model in ("clahe", "identity"):
        by_path = medenh.enhance(source, tmp_path / f"p-{model}.dcm", model=model)
        by_image = medenh.enhance(image, tmp_path / f"i-{model}.dcm", model=model)
        loaded = medenh.load_model(model).enhance(image)
        medenh.write(loaded, tmp_path / f"m-{model}.dcm")
        assert loaded.provenance.model == model
        uids[model] = uid_of(by_path)
        assert uid_of(by_image) == uids[model]
        assert uid_of(tmp_path / f"m-{model}.dcm") == uids[model]
    twice = medenh.enhance(medenh.enhance(image, model="identity"), model="clahe")
    medenh.write(twice, tmp_path / "twice.dcm")
    uids["twice"] = uid_of(tmp_path / "twice.dcm")
    assert len(set(uids.values())) == 4


def test_strict_refuses_in_memory_too(path):
    image = medenh.read(path)
    with pytest.raises(RefusedError, match="fundus"):
        medenh.enhance(image, model="ben-graham", modality="ct", strict=True)
    with pytest.raises(RefusedError, match="looks like no medical picture"):
        medenh.enhance(path, model="ben-graham", strict=True)
    assert medenh.enhance(path, model="ben-graham", modality="fundus", strict=True)


def test_strict_refuses_results_outside_the_limits_in_memory(path, monkeypatch):
    monkeypatch.setattr(
        "medenh.pipeline.fidelity.warnings_of", lambda figures, card: ["too much"]
    )
    with pytest.raises(RefusedError, match="too much"):
        medenh.load_model("stretch", strict=True).enhance(path)
    assert medenh.load_model("stretch").enhance(path) is not None


@pytest.mark.parametrize(
    "options", [{"shard": (1, 2)}, {"format": "png"}, {"on_exists": "skip"}]
)
def test_options_of_files_are_refused_in_memory(path, options):
    with pytest.raises(UsageError, match="memory"):
        medenh.enhance(np.zeros((8, 8)), model="identity", **options)
    with pytest.raises(UsageError, match="memory"):
        medenh.enhance(path, model="identity", **options)
    with pytest.raises(UsageError, match="memory"):
        medenh.load_model("identity", **options)


def test_a_volume_for_a_png_is_refused_before_the_model_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("medenh.pipeline.loading.make_runner", lambda *a: 1 / 0)
    with pytest.raises(UnsupportedError, match="frames"):
        medenh.enhance(np.zeros((3, 20, 30)), tmp_path / "x.png", model="clahe")


def test_half_precision_arrays_are_arrays_too():
    array = np.random.default_rng(0).random((40, 50)).astype(np.float16)
    same = medenh.enhance(array, model="identity")
    assert same.dtype == np.float16
    assert np.array_equal(same, array)
    full = medenh.enhance(array.astype(np.float32), model="clahe")
    half = medenh.enhance(array, model="clahe")
    np.testing.assert_allclose(half, full, atol=2e-3)


def test_an_array_never_replaces_a_file_unasked(tmp_path):
    target = tmp_path / "x.png"
    pixels = np.full((20, 30), 90, np.uint8)
    medenh.enhance(pixels, target, model="identity")
    before = target.read_bytes()
    with pytest.raises(OutputError, match="already there"):
        medenh.enhance(255 - pixels, target, model="identity")
    assert target.read_bytes() == before
    medenh.enhance(255 - pixels, target, model="identity", on_exists="overwrite")
    assert target.read_bytes() != before


def test_a_file_is_what_the_user_says_it_is(tmp_path):
    path = tmp_path / "x.png"
    medenh.enhance(np.full((20, 30), 90, np.uint8), path, model="identity")
    image = medenh.enhance(path, model="identity", modality="fundus")
    assert image.modality == "fundus"
    with pytest.raises(RefusedError):
        medenh.enhance(path, model="ben-graham", modality="ct", strict=True)


MASKED_DOORS = {
    "enhance": lambda array, tmp_path: medenh.enhance(array, **IDENTITY),
    "enhance into a file": lambda array, tmp_path: medenh.enhance(
        array, tmp_path / "x.npy", **IDENTITY
    ),
    "Model.enhance": lambda array, tmp_path: medenh.load_model("identity").enhance(
        array
    ),
    "degrade": lambda array, tmp_path: medenh.degrade(array, "dpe"),
    "degrade, mask": lambda array, tmp_path: medenh.degrade(
        array.data, "dpe", mask=array
    ),
    "write": lambda array, tmp_path: medenh.write(array, tmp_path / "x.npy"),
    "metrics": lambda array, tmp_path: medenh.metrics.psnr(array, array.data),
    "metrics, mask": lambda array, tmp_path: medenh.metrics.psnr(
        array.data, array.data, mask=array
    ),
    "classical": lambda array, tmp_path: medenh.classical.METHODS["stretch"](
        array[..., None]
    ),
}


@pytest.mark.parametrize("door", MASKED_DOORS)
def test_masked_values_are_never_taken_for_values(door, tmp_path):
    array = np.ma.masked_less(np.linspace(0, 1, 40 * 50).reshape(40, 50), 0.2)
    with pytest.raises(UsageError, match="masked") as caught:
        MASKED_DOORS[door](array, tmp_path)
    assert "filled" in caught.value.hint
    assert not list(tmp_path.iterdir())
    MASKED_DOORS[door](np.ma.masked_array(array.data), tmp_path)  # nothing is lost


def test_a_masked_array_filled_with_nan_keeps_its_holes():
    array = np.ma.masked_less(np.linspace(0, 1, 40 * 50).reshape(40, 50), 0.2)
    enhanced = medenh.enhance(array.filled(np.nan), model="clahe")
    assert np.array_equal(np.isnan(enhanced), array.mask)


def test_a_loaded_model_goes_to_another_process():
    model = medenh.load_model("clahe", strength=0.5)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    again = pickle.loads(pickle.dumps(model))
    assert again.card == model.card
    np.testing.assert_array_equal(again.enhance(pixels), model.enhance(pixels))
    full = medenh.load_model("clahe").enhance(pixels)
    assert (full != model.enhance(pixels)).any()


def test_nan_alone_comes_back_without_a_word():
    empty = np.full((40, 50), np.nan, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(medenh.enhance(empty, model="clahe")).all()


@pytest.fixture
def mask(tmp_path):
    labels = np.zeros((64, 64), np.uint8)
    labels[10:30, 10:40], labels[35:60, 20:50] = 1, 2
    cv2.imwrite(str(tmp_path / "mask.png"), labels)
    return tmp_path / "mask.png"


@pytest.mark.parametrize("output", ["out.png", None])
def test_what_a_run_says_about_one_file_is_a_warning(mask, output):
    target = output and mask.with_name(output)
    with pytest.warns(UserWarning, match="mask") as caught:
        medenh.enhance(mask, target, model="clahe")
    assert {one.filename for one in caught} == {__file__}


def test_a_loaded_model_says_of_a_file_what_enhance_says(mask):
    def told(function, *args, **options):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            function(*args, **options)
        assert {one.filename for one in caught} == {__file__}
        return [str(one.message) for one in caught]

    expected = told(medenh.enhance, mask, model="clahe")
    assert any("mask" in word for word in expected)
    assert told(medenh.load_model("clahe").enhance, mask) == expected


def test_arrays_are_not_looked_at(mask):
    labels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        medenh.enhance(labels, model="clahe")


def test_a_good_file_is_enhanced_without_a_word(path, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        medenh.enhance(path, tmp_path / "out.png", **IDENTITY)


def test_files_of_different_guessed_depths_are_warned_about(tmp_path):
    """One detector, and a picture that happens to stay dark."""
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name, top in (("a", 3000), ("b", 900), ("c", 3500)):
        pixels = rng.integers(0, top, (40, 40)).astype(np.uint16)
        pixels[0, 0] = top
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), pixels)
    made = medenh.enhance([tmp_path / "in"], tmp_path / "out", model="clahe")
    (warning,) = made.warnings
    assert "1 as 10 bits, b.png for one; 2 as 12 bits, a.png for one" in warning
    assert "--bits 12" in warning
    assert made.to_json()["warnings"] == [warning]
    told = medenh.enhance([tmp_path / "in"], tmp_path / "told", model="clahe", bits=12)
    assert told.warnings == []
    ranges = [entry["range"] for entry in told.to_json()["files"]]
    assert ranges == [{"low": 0.0, "high": 4095.0, "reason": "12 bits, told"}] * 3
    with pytest.raises(UsageError, match="bits must be 8 to 16"):
        medenh.enhance([tmp_path / "in"], tmp_path / "x", bits=4)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (np.zeros((8, 8), np.uint8), {"model": None}, "model is a word, not NoneType"),
        (np.zeros((8, 8), np.uint8), {"device": 0}, "device is a word, not 0"),
        (np.zeros((8, 8), np.uint8), {"strength": "a"}, "strength must be in 0..1"),
        (b"bytes of a file", {}, "^bytes cannot be enhanced"),
        (io.BytesIO(b"bytes of a file"), {}, "BytesIO cannot be enhanced"),
    ],
)
def test_what_is_of_the_wrong_kind_is_named(source, options, words):
    with pytest.raises(UsageError, match=words):
        medenh.enhance(source, **{**IDENTITY, **options})


def test_a_loaded_model_is_called_and_no_name_of_one():
    loaded = medenh.load_model("identity")
    with pytest.raises(UsageError, match=r"loaded\.enhance"):
        medenh.enhance(np.zeros((8, 8), np.uint8), model=loaded)


def test_anything_that_is_a_path_to_python_is_one(path, tmp_path):
    class Place:
        def __init__(self, name):
            self.name = name

        def __fspath__(self):
            return str(self.name)

    expected = medenh.read(path).pixels
    image = medenh.enhance(Place(path), **IDENTITY)
    np.testing.assert_array_equal(image.pixels, expected)
    made = medenh.enhance(Place(path), Place(tmp_path / "b.png"), **IDENTITY)
    assert made == tmp_path / "b.png"
    made = medenh.enhance([Place(path)], Place(tmp_path / "c.png"), **IDENTITY)
    assert [result.output for result in made.written] == [tmp_path / "c.png"]


_FIRST_USE = """
import hashlib, sys, threading, warnings
import numpy as np, torch
import medenh
torch.manual_seed(0)
expected = torch.rand(1)
torch.manual_seed(0)
before, answers = list(warnings.filters), {}
pixels = np.random.default_rng(0).integers(0, 120, (96, 96, 3), np.uint8)

def work(name):
    answers[name] = medenh.enhance(pixels, model="fast-general").tobytes()

threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for one in threads: one.start()
for one in threads: one.join()
work("later")
assert len(set(answers.values())) == 1 and len(answers) == 5, "other pixels"
assert warnings.filters == before, "warning filters"
assert torch.equal(torch.rand(1), expected), "random numbers"
"""


def test_threads_that_use_a_model_first_leave_all_as_it_was(tmp_path):
    """Conversion is one for all threads; the caller's state stays the caller's."""
    environment = os.environ | {"MEDENH_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_USE],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


def test_a_cache_filled_in_advance_may_be_for_reading_only(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 120, (64, 64, 3), np.uint8)
    monkeypatch.setenv("MEDENH_CACHE", str(tmp_path))
    first = medenh.enhance(pixels, model="fast-general")
    kept = sorted((tmp_path / "openvino").glob("*.xml"))
    assert kept

    def refuse(*_, **__):
        raise AssertionError("converted again")

    monkeypatch.setattr(openvino_cache, "_convert", refuse)
    monkeypatch.setattr(zoo_cache, "_can_write", lambda *_, **__: False)
    np.testing.assert_array_equal(medenh.enhance(pixels, model="fast-general"), first)


def test_reading_dicom_leaves_warnings_of_others_alone(path):
    """Those of Pillow on bombs, say, which a service may have made errors."""
    medenh.read(pydicom.data.get_testdata_file("CT_small.dcm"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        medenh.read(pydicom.data.get_testdata_file("CT_small.dcm"))
        for module in ("PIL.Image", "numpy", "a.service"):
            with pytest.raises(UserWarning):
                warnings.warn_explicit("mine", UserWarning, "a.py", 1, module)


def test_numbers_that_a_picture_format_does_not_hold_are_told_of(tmp_path):
    depth = np.linspace(0, 1, 40 * 40, dtype=np.float32).reshape(40, 40)
    depth[3:5, 3:5] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", depth)
    source, words = tmp_path / "nan.tif", "become black or white in PNG: 4"
    with pytest.warns(UserWarning, match=words):
        medenh.enhance(source, tmp_path / "nan.png", **IDENTITY)
    again = medenh.read(source), tmp_path / "again.png"
    with pytest.warns(UserWarning, match=words) as caught:
        medenh.enhance(*again, **IDENTITY)
    assert {one.filename for one in caught} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        medenh.enhance(source, tmp_path / "again.tif", **IDENTITY)


def test_what_a_file_loses_of_an_array_is_told(tmp_path):
    depth = np.linspace(0, 1, 40 * 40, dtype=np.float32).reshape(40, 40)
    depth[3:5, 3:5] = np.nan
    with pytest.warns(UserWarning, match="become black or white in PNG: 4"):
        medenh.enhance(depth, tmp_path / "a.png", **IDENTITY)
    with pytest.warns(UserWarning, match="JPEG is lossy"):
        medenh.enhance(np.zeros((40, 40), "u1"), tmp_path / "a.jpg", **IDENTITY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        medenh.enhance(depth, tmp_path / "a.npy", **IDENTITY)


def test_colours_that_come_first_are_told_to_be_taken_for_frames():
    colours = np.random.default_rng(0).integers(0, 255, (3, 40, 50), np.uint8)
    model = medenh.load_model("identity")
    for enhance in (
        lambda array: medenh.enhance(array, **IDENTITY),
        model.enhance,
        lambda array: medenh.degrade(array, "dpe"),
    ):
        with pytest.warns(UserWarning, match=r"taken for 3 grey frames.*moveaxis"):
            enhance(colours)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            enhance(colours[..., None])
            enhance(np.moveaxis(colours, 0, -1))
            enhance(colours[:2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        medenh.enhance(colours, modality="mri", **IDENTITY)
