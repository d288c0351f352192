"""The library's short names: what goes in, what comes out, what is refused."""

import warnings
from pathlib import Path

import cv2
import nibabel
import numpy as np
import PIL.Image
import pytest
import torch

import medenh
from medenh import degradations
from medenh.degradations.api import as_field
from medenh.degradations.training import degrade_crop
from medenh.errors import InputError, NonFiniteError, OutOfMemoryError, UsageError


def ramp(shape, dtype):
    top = 1.0 if np.dtype(dtype).kind == "f" else min(np.iinfo(dtype).max, 60000)
    values = np.linspace(0.05 * top, 0.95 * top, int(np.prod(shape)))
    return values.reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    "shape", [(20, 30), (20, 30, 1), (20, 30, 3), (4, 20, 30), (2, 20, 30, 3)]
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8", ">u2"])
def test_arrays_keep_shape_and_type_and_replay(shape, dtype):
    clean = ramp(shape, dtype)
    low, record = medenh.degrade(clean, "gauss-0.1", seed=2)
    assert low.shape == clean.shape
    assert low.dtype == clean.dtype
    assert (low != clean).any()
    np.testing.assert_array_equal(degradations.apply(clean, record), low)
    as_dict = record.model_dump(mode="json", by_alias=True)
    np.testing.assert_array_equal(degradations.apply(clean, as_dict), low)


def test_sixteen_bits_stay_sixteen():
    clean = ramp((64, 64), "u2")
    low, _ = medenh.degrade(clean, "dpe", seed=1)
    assert len(np.unique(low)) > 300


def test_nan_and_infinity_stay_where_they_are():
    clean = ramp((32, 32), "f4")
    clean[3, 4], clean[5, 6] = np.nan, np.inf
    low, record = medenh.degrade(clean, "gauss-0.1")
    assert np.isnan(low[3, 4])
    assert np.isinf(low[5, 6])
    assert np.isfinite(low).sum() == low.size - 2
    np.testing.assert_array_equal(degradations.apply(clean, record), low)
    with pytest.raises(NonFiniteError):
        medenh.degrade(np.full((8, 8), np.nan), "dpe")


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.zeros((8, 8), complex), "complex"),
        (np.zeros((0, 8), np.uint8), "shape"),
        (np.zeros(8, np.uint8), "shape"),
        (np.zeros((2, 8, 8, 2), np.uint8), "shape"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array, word):
    with pytest.raises(InputError) as refused:
        medenh.degrade(array, "dpe")
    assert word in str(refused.value)


@pytest.mark.parametrize("frames", [(), (2,)])
def test_the_alpha_of_an_array_stays_as_it_is(frames):
    clean = ramp((*frames, 16, 20, 4), "u1")
    low, record = medenh.degrade(clean, "dpe", seed=1)
    assert low.shape == clean.shape
    np.testing.assert_array_equal(low[..., 3], clean[..., 3])
    colours, _ = medenh.degrade(clean[..., :3], "dpe", seed=1)
    np.testing.assert_array_equal(low[..., :3], colours)
    np.testing.assert_array_equal(degradations.apply(clean, record), low)
    small, _ = medenh.degrade(clean, "dpe", seed=1, size=8)
    assert small.shape == (*frames, 6, 8, 3)


def test_the_range_of_an_array_can_be_told():
    clean = ramp((40, 50), "u1") / 3
    expected, _ = medenh.degrade(clean / 255, "gauss-0.1", seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, record = medenh.degrade(clean, "gauss-0.1", seed=1, data_range=(0, 255))
        medenh.degrade(clean - 1000, "ct-low-dose")
    np.testing.assert_allclose(low / 255, expected, atol=1e-5)
    again = degradations.apply(clean, record, data_range=(0, 255))
    np.testing.assert_array_equal(again, low)
    whole, _ = medenh.degrade(np.rint(clean).astype(int), "gauss-0.1", seed=1)
    np.testing.assert_allclose(whole / 255, expected, atol=0.02)
    with pytest.warns(UserWarning, match="were guessed") as said:
        guessed, _ = medenh.degrade(clean, "gauss-0.1", seed=1)
    assert said[0].filename == __file__
    assert abs(guessed / 255 - expected).max() > 0.05


def test_booleans_are_black_and_white_for_both_verbs():
    clean = ramp((40, 40), "u1") > 128
    low, record = medenh.degrade(clean, "gauss-0.3")
    assert low.dtype == medenh.enhance(clean, model="nlm").dtype == bool
    grey, _ = medenh.degrade(clean.astype(np.float32), "gauss-0.3")
    np.testing.assert_array_equal(low, grey >= 0.5)
    np.testing.assert_array_equal(degradations.apply(clean, record), low)


@pytest.mark.parametrize(
    ("kind", "top"),
    [
        (bool, 1),
        (np.uint8, 255),
        (np.uint8, 1),
        (np.uint16, 65535),
        (np.float32, 1),
        (np.float64, 255),
    ],
)
def test_masks_of_any_kind_mean_the_same(kind, top):
    clean = ramp((40, 40), "u1")
    mask = np.zeros((40, 40), kind)
    mask[10:30, 10:30] = top
    soft = mask.copy()
    soft[10:12] = top * 0.5 if top > 1 else 0
    weights = as_field(soft)
    assert weights.max() == 1
    assert set(np.unique(weights[10:12, 10:30]).round(2)) == {0.5 if top > 1 else 0.0}
    low, record = medenh.degrade(clean, "gauss-0.3", mask=mask)
    outside = mask == 0
    np.testing.assert_array_equal(low[outside], clean[outside])
    assert (low != clean)[~outside].any()
    np.testing.assert_array_equal(degradations.apply(clean, record, mask=mask), low)
    with pytest.raises(UsageError, match="mask"):
        medenh.degrade(clean, "dpe", mask=mask[1:])


def test_ct_arrays_are_hounsfield_units_where_they_are_signed():
    inside = np.hypot(*np.mgrid[-32:32, -32:32]) < 25
    clean = np.where(inside, 40, -1000).astype(np.int16)
    low, record = medenh.degrade(clean, "ct-low-dose", seed=1, severity=2)
    assert record.scale == (0.0, 1.0)
    assert record.domain == "hu"
    change = low.astype(float) - clean
    assert 1 < change[inside].std() < 500
    grey, levels = medenh.degrade(ramp((64, 64), "u1"), "ct-low-dose", seed=1)
    assert grey.dtype == np.uint8
    assert levels.scale != (0.0, 1.0)


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "F"])
def test_pictures_of_pillow_are_taken_as_arrays(mode):
    shape = (20, 30, 3) if mode == "RGB" else (20, 30)
    clean = ramp(shape, {"I;16": "u2", "F": "f4"}.get(mode, "u1"))
    picture = PIL.Image.fromarray(clean)
    assert picture.mode == mode
    low, record = medenh.degrade(picture, "gauss-0.1", seed=2)
    np.testing.assert_array_equal(low, medenh.degrade(clean, "gauss-0.1", seed=2)[0])
    np.testing.assert_array_equal(degradations.apply(picture, record), low)
    with pytest.raises(UsageError, match=r"convert\("):
        medenh.degrade(PIL.Image.new("P", (30, 20)), "dpe")


def test_what_is_no_picture_is_refused_with_what_is_one():
    record = medenh.degrade(ramp((16, 16), "u1"), "dpe")[1]
    for source, word in (
        ("a.png", r"give medenh\.read\("),
        (Path("a.png"), r"give medenh\.read\("),
        ([[1, 2], [3, 4]], "list cannot be degraded.*medenh.Image"),
        (None, "NoneType cannot be degraded"),
        (torch.zeros(3, 8, 8), r"permute\(1, 2, 0\)"),
    ):
        with pytest.raises(UsageError, match=word):
            medenh.degrade(source, "dpe")
        with pytest.raises(UsageError, match=word):
            degradations.apply(source, record)


@pytest.mark.parametrize(
    "chance", [{"seed": -1}, {"draw": -2}, {"seed": 0.5}, {"seed": "1"}]
)
def test_seeds_are_whole_and_not_negative(chance):
    with pytest.raises(UsageError, match=f"{next(iter(chance))}=.*from 0 on"):
        medenh.degrade(ramp((16, 16), "u1"), "dpe", **chance)


@pytest.mark.parametrize("recipe", ["gauss-0.3", "speckle", "xray-grid", "derm-mixed"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_floats_in_0_to_1_stay_in_it_exactly(recipe, dtype):
    clean = np.random.default_rng(0).random((64, 64, 3)).astype(dtype)
    clean[:8], clean[8:16] = 0, 1
    low, _ = medenh.degrade(clean, recipe, seed=1)
    assert 0 <= low.min() <= low.max() <= 1
    wide, _ = medenh.degrade(2 * clean - 1, recipe, seed=1)
    assert wide.min() < -0.5


def test_magnitudes_stay_positive_exactly():
    clean = np.random.default_rng(0).random((64, 64, 3))
    clean[:8], clean[8:16] = 0, 1
    low, _ = medenh.degrade(clean, "mri-undersampled", seed=1)
    assert low.min() >= 0
    assert low.max() > 1.2


def test_unknown_words_are_refused():
    clean = ramp((16, 16), "u1")
    with pytest.raises(UsageError, match="modality"):
        medenh.degrade(clean, "dpe", modality="fundsu")
    with pytest.raises(UsageError, match="severity"):
        medenh.degrade(clean, "dpe", severity=0)


@pytest.mark.parametrize("recipe", ["gauss-0.1", "cofe-111"])
@pytest.mark.parametrize("size", [0, -1])
def test_sizes_without_a_pixel_are_refused(recipe, size):
    with pytest.raises(UsageError, match="size must be at least 1 pixel"):
        medenh.degrade(ramp((16, 16, 3), "u1"), recipe, size=size)


def test_what_does_not_fit_into_memory_is_said_in_words(monkeypatch):
    def exhausted(*given, **options):
        raise cv2.error("Insufficient memory (Failed to allocate 120000000000 bytes)")

    monkeypatch.setattr(cv2, "resize", exhausted)
    with pytest.raises(OutOfMemoryError, match="does not fit into memory"):
        medenh.degrade(ramp((16, 16), "u1"), "gauss-0.1", size=100_000)


@pytest.mark.parametrize("recipe", [None, ["dpe"], 3])
def test_a_recipe_is_a_name(recipe):
    with pytest.raises(UsageError, match="recipe is a name"):
        medenh.degrade(ramp((16, 16), "u1"), recipe)


def test_a_photograph_is_no_mask():
    clean = ramp((16, 16, 3), "u1")
    with pytest.raises(UsageError, match="has colours"):
        medenh.degrade(clean, "gauss-0.1", mask=clean)
    _, record = medenh.degrade(clean, "gauss-0.1")
    with pytest.raises(UsageError, match="has colours"):
        degradations.apply(clean, record, mask=clean)
    plane = clean[..., 0] > 100
    low, _ = medenh.degrade(clean, "gauss-0.1", mask=plane)
    for same in (plane[..., None], np.repeat(plane[..., None], 3, axis=2)):
        again, _ = medenh.degrade(clean, "gauss-0.1", mask=same)
        np.testing.assert_array_equal(again, low)


def test_images_stay_images():
    image, record = medenh.degrade(
        medenh.degradations.api._as_image(ramp((16, 16, 3), "u1"), "display", "fundus"),
        "dpe",
    )
    assert isinstance(image, medenh.Image)
    assert record.modality == "fundus"


@pytest.mark.parametrize("name", sorted(degradations.RECIPES))
def test_crops_for_training_keep_shape_and_range(name):
    rng = np.random.default_rng(0)
    crop = rng.random((48, 64, 3), np.float32) * 0.5 + 0.25
    before = crop.copy()
    for channels in (3, 1):
        clean = np.ascontiguousarray(crop[..., :channels])
        low = degrade_crop(clean, name, rng=rng)
        assert low.shape == clean.shape
        assert low.dtype == np.float32
        assert np.isfinite(low).all()
        assert 0 <= low.min() <= low.max() <= 1
    np.testing.assert_array_equal(crop, before)


def test_crops_follow_their_generator_and_field():
    crop = np.full((32, 32, 3), 0.5, np.float32)
    field = np.zeros((32, 32), np.float32)
    field[8:, 8:] = 1

    def draw(seed):
        rng = np.random.default_rng(seed)
        return degrade_crop(crop, "gauss-0.2", rng=rng, field=field)

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()
    np.testing.assert_array_equal(draw(1)[:8], crop[:8])
    rng = np.random.default_rng(0)
    for wrong in ({"crop": crop[0]}, {"severity": 6}, {"recipe": "nope"}):
        with pytest.raises(UsageError):
            degrade_crop(**{"crop": crop, "recipe": "dpe", "rng": rng, **wrong})


@pytest.mark.parametrize("order", "<>")
def test_8_bit_volumes_are_degraded_as_the_same_numbers_of_16_bits(tmp_path, order):
    """Their darkest and brightest voxels were cut off at the percentiles."""
    numbers = np.random.default_rng(0).normal(120, 30, (32, 32, 6)).clip(0, 255).round()
    numbers[0, 0], numbers[0, 1] = 0, 255
    answers = []
    for dtype in ("u1", "i2"):
        header = nibabel.Nifti1Header(endianness=order)
        header.set_data_dtype(dtype)
        volume = nibabel.Nifti1Image(numbers.astype(dtype), np.eye(4), header)
        nibabel.save(volume, tmp_path / f"{dtype}.nii")
        clean = medenh.read(tmp_path / f"{dtype}.nii")
        low, record = medenh.degrade(clean, "gauss-0.1", seed=3)
        assert tuple(record.scale) == (0.0, 255.0)
        medenh.write(low, tmp_path / f"{dtype}.low.nii")
        back = nibabel.load(tmp_path / f"{dtype}.low.nii")
        assert back.header.endianness == order
        answers.append(back.get_fdata())
    assert np.abs(answers[0] - answers[1]).max() <= 1
    assert np.abs(answers[0] - numbers).max() > 50


@pytest.mark.parametrize("frames", [1, 5])
def test_masks_with_an_axis_of_frames_of_one_plane_are_that_plane(frames):
    volume = np.random.default_rng(0).integers(0, 900, (frames, 32, 36), np.uint16)
    plane = np.zeros((32, 36), bool)
    plane[4:20, 6:30] = True
    expected, record = medenh.degrade(volume, "gauss-0.1", mask=plane, seed=1)
    assert (expected != volume).any()
    for mask in (plane[None], np.repeat(plane[None], frames, axis=0)):
        low, _ = medenh.degrade(volume, "gauss-0.1", mask=mask, seed=1)
        np.testing.assert_array_equal(low, expected)
        again = degradations.apply(volume, record, mask=mask)
        np.testing.assert_array_equal(again, expected)
    with pytest.raises(UsageError, match=f"has 4 frames, the picture {frames}"):
        medenh.degrade(volume, "gauss-0.1", mask=np.ones((4, 32, 36)))
    for shape in ((32, 36), (frames, 32, 36)):
        with pytest.raises(UsageError, match="NaN"):
            medenh.degrade(volume, "gauss-0.1", mask=np.full(shape, np.nan))
