from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage import color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from medenh.errors import InputError, NonFiniteError, UsageError
from medenh.evaluation.measuring import (
    PSNR_CAP_DB,
    describe_range,
    doubt_of,
    measure_image,
    on_range_of,
)
from medenh.formats.array import from_array
from medenh.types import Image, Storage, UnitRange

PAIRED = ("psnr", "ssim", "de2000", "mae")


def test_agrees_with_scikit_image(picture):
    a, b = picture(1, noise=10), picture(2, noise=3)
    found = measure_image(from_array(a), from_array(b), PAIRED)
    assert found["psnr"] == pytest.approx(
        peak_signal_noise_ratio(b, a, data_range=255), rel=1e-6
    )
    similar = structural_similarity(
        a, b, data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )  # fmt: skip
    assert found["ssim"] == pytest.approx(similar, rel=1e-4)
    colours = color.deltaE_ciede2000(color.rgb2lab(a), color.rgb2lab(b)).mean()
    assert found["de2000"] == pytest.approx(colours, rel=1e-3)
    assert found["mae"] == pytest.approx(np.abs(a / 255 - b / 255).mean(), rel=1e-6)


def test_equal_pictures_have_a_finite_psnr(picture):
    image = from_array(picture())
    assert measure_image(image, image, ("psnr",)) == {"psnr": 100.0}


def test_sixteen_bits_use_the_reference_range(picture):
    a, b = picture(1, dtype=np.uint16), picture(2, dtype=np.uint16)
    high = from_array(b)
    assert describe_range(high) == "0-65535 (16-bit)"
    found = measure_image(from_array(a), high, ("psnr",))
    expected = peak_signal_noise_ratio(b, a, data_range=65535)
    assert found["psnr"] == pytest.approx(expected, abs=1e-3)
    # a darker answer must not be stretched to its own depth
    dark = from_array((a // 32).astype(np.uint16))
    assert dark.unit_range.high < 65535
    assert measure_image(dark, high, ("psnr",))["psnr"] < 8


def test_eight_bit_answer_to_a_sixteen_bit_reference_keeps_its_own_white(picture):
    low, high = picture(1), picture(1, dtype=np.uint16)
    found = measure_image(from_array(low), from_array(high), ("psnr",))
    assert found["psnr"] > 50


def test_grey_saved_as_rgb_compares_with_grey(picture):
    a, b = picture(1, channels=1), picture(2, channels=1)
    plain = measure_image(from_array(a), from_array(b), ("psnr", "ssim"))
    rgb = np.repeat(a[..., None], 3, 2)
    mixed = measure_image(from_array(rgb), from_array(b), ("psnr", "ssim"))
    assert mixed["psnr"] == pytest.approx(plain["psnr"], rel=1e-9)
    assert mixed["ssim"] == pytest.approx(plain["ssim"], rel=1e-5)


def test_volumes_are_the_mean_over_frames(picture):
    a = np.stack([picture(i, channels=1, noise=4 + i) for i in range(3)])
    b = np.stack([picture(9, channels=1)] * 3)
    whole = measure_image(from_array(a), from_array(b), ("psnr", "mae"))
    single = [
        measure_image(from_array(x), from_array(y), ("psnr", "mae"))
        for x, y in zip(a, b, strict=True)
    ]
    for name, value in whole.items():
        assert value == pytest.approx(np.mean([one[name] for one in single]))


def test_inverted_pictures_compare_as_they_look(picture):
    a, b = picture(1, channels=1), picture(2, channels=1)

    def image(pixels, inverted):
        return Image(
            pixels=pixels[None, ..., None],
            unit_range=UnitRange(0, 255, inverted),
            storage=Storage(np.dtype(np.uint8)),
        )

    same = measure_image(image(a, False), image(b, False), ("psnr",))
    turned = measure_image(image(255 - a, True), image(b, False), ("psnr",))
    assert turned == same


@pytest.mark.parametrize("found", ["percentiles 0.5-99.5", "window"])
@pytest.mark.parametrize("intercept", [0, -1024])
def test_polarities_of_12_bits_compare_at_the_ends_of_their_depth(
    picture, found, intercept
):
    """The reference's range was read in the numbers of the other polarity."""
    shown = picture(1, channels=1).astype(np.int32) * 5 + 300
    shift = picture(1, channels=1).astype(np.int32) * 5 + 400

    def image(stored, inverted):
        native = stored + intercept
        low, high = np.percentile(native, [1, 99]).tolist()
        return Image(
            pixels=native[None, ..., None],
            unit_range=UnitRange(low, high, inverted, found),
            storage=Storage(np.dtype(np.uint16), 1.0, intercept, 0, 4095),
            format="dicom",
        )

    for one, other in ((False, True), (True, False)):
        standard = image(4095 - shown if one else shown, one)
        same = image(4095 - shown if other else shown, other)
        moved = image(4095 - shift if other else shift, other)
        plain = image(4095 - shift if one else shift, one)
        assert measure_image(same, standard, ("psnr",))["psnr"] == PSNR_CAP_DB
        expected = measure_image(plain, standard, ("psnr",))["psnr"]
        assert expected < 40
        found_psnr = measure_image(moved, standard, ("psnr",))["psnr"]
        assert found_psnr == pytest.approx(expected, abs=1e-3)
        assert doubt_of(same, standard) == "polarity"
        assert doubt_of(plain, standard) == ""


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.float32])
def test_a_picture_without_a_depth_has_that_of_its_reference(picture, kind):
    """The numbers of NIfTI say nothing of 12 bits: all was cut off beside MONOCHROME1.

    A slope for each slice, in which no depth is told, mirrors the range in itself.
    """
    shown = picture(1, channels=1).astype(np.int32) * 5 + 300
    found = "percentiles 0.5-99.5"
    standard = Image(
        pixels=(4095 - shown)[None, ..., None],
        unit_range=UnitRange(1000, 3500, True, found),
        storage=Storage(np.dtype(np.uint16), 1.0, 0.0, 0, 4095),
        format="dicom",
    )
    answer = from_array(shown.astype(kind))
    unsaid = replace(answer.unit_range, low=400, high=2000, reason=found)
    answer = replace(answer, unit_range=unsaid, format="nifti")
    assert measure_image(answer, standard, ("psnr",))["psnr"] == PSNR_CAP_DB
    assert doubt_of(answer, standard) == "polarity"
    slopes = np.array([1.0, 2.0]).reshape(2, 1, 1, 1)
    standard = replace(standard, storage=replace(standard.storage, slope=slopes))
    turned = on_range_of(answer, standard).unit_range
    assert (turned.low, turned.high, turned.inverted) == (1000, 3500, False)


def test_polarities_of_a_guessed_depth_compare_at_its_ends():
    levels = np.linspace(0, 4000, 64).reshape(1, 8, 8, 1).astype(np.uint16)
    storage = Storage(np.dtype(np.uint16), 1.0, 0.0, 0, 65535)
    depth = UnitRange(0, 4095, reason="12-bit", guessed=True)
    standard = Image(pixels=levels, unit_range=depth, storage=storage)
    turned = Image(
        pixels=4095 - levels, unit_range=replace(depth, inverted=True), storage=storage
    )
    assert measure_image(turned, standard, ("psnr",))["psnr"] == PSNR_CAP_DB
    assert doubt_of(turned, standard) == ""


@pytest.mark.parametrize("inverted", [False, True])
def test_12_bits_without_a_window_are_not_read_on_the_range_of_8(picture, inverted):
    """They came out white, whatever they show: no numbers of theirs are the other's."""
    shown = picture(1, channels=1)[None, ..., None].astype(np.uint16) * 12 + 300
    stored = 4095 - shown if inverted else shown
    low, high = np.percentile(stored, [0.5, 99.5]).tolist()
    deep = Image(
        pixels=stored,
        unit_range=UnitRange(low, high, inverted, "percentiles 0.5-99.5"),
        storage=Storage(np.dtype(np.uint16), 1.0, 0.0, 0, 4095),
        format="dicom",
    )
    seen = np.moveaxis(deep.to_unit(), 1, -1)  # as `convert` writes it
    made = from_array(np.rint(seen[0] * 255).astype(np.uint8))

    assert measure_image(deep, made, ("psnr",))["psnr"] > 50
    assert measure_image(made, deep, ("psnr",))["psnr"] > 50
    assert doubt_of(deep, made) == "percentiles"
    assert doubt_of(made, deep) == "white"
    assert doubt_of(deep, deep) == ""


def without_scale(picture, *, depth=4095, inverted=False, window=None):
    """Return a picture of 300 to 3360 that has no white but what is seen of it."""
    shown = picture(1, channels=1)[None, ..., None].astype(np.uint16) * 12 + 300
    stored = depth - shown if inverted else shown
    low, high = window or np.percentile(stored, [0.5, 99.5]).tolist()
    reason = "window" if window else "percentiles 0.5-99.5"
    return Image(
        pixels=stored,
        unit_range=UnitRange(low, high, inverted, reason),
        storage=Storage(np.dtype(np.uint16), 1.0, 0.0, 0, depth),
        format="dicom",
    )


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"inverted": True},
        {"window": (500.0, 2600.0)},
        {"window": (1000.0, 3000.0), "inverted": True},
        {"depth": 65535},
        {"depth": 65535, "window": (500.0, 2600.0)},
    ],
    ids=str,
)
def test_pngs_of_16_bits_that_show_a_dicom_are_on_their_own_scale(picture, how):
    """`enhance --format png` writes them; they scored 4 to 7 dB beside their DICOM."""
    deep = without_scale(picture, **how)
    seen = np.moveaxis(deep.to_unit(), 1, -1)[0]
    made = from_array(np.rint(seen * 65535).astype(np.uint16))
    noisy = np.clip(seen + np.random.default_rng(0).normal(0, 0.02, seen.shape), 0, 1)
    worse = from_array(np.rint(noisy * 65535).astype(np.uint16))

    for one, two in ((deep, made), (made, deep)):
        assert measure_image(one, two, ("psnr",))["psnr"] > 90
    for one, two in ((deep, worse), (worse, deep)):
        assert 33 < measure_image(one, two, ("psnr",))["psnr"] < 36
    doubt = "" if "window" in how else "white"
    assert doubt_of(made, deep) == doubt


def test_pngs_that_hold_the_numbers_of_a_dicom_stay_on_its_range(picture):
    """A shift of them counts; more depth than they need is no other scale."""
    for depth in (4095, 65535):
        deep = without_scale(picture, depth=depth)
        white = deep.unit_range.high - deep.unit_range.low
        for gain, shift in ((1, 0), (1, 200), (1.25, 0)):
            numbers = np.rint(deep.pixels[0] * gain + shift).astype(np.uint16)
            numbers[0, 0] = 60000  # a speck, that makes white of its own 65535
            given = measure_image(from_array(numbers), deep, ("mae",))["mae"]
            moved = np.clip(numbers - deep.unit_range.low, 0, white) / white
            there = np.clip(deep.pixels[0] - deep.unit_range.low, 0, white) / white
            assert given == pytest.approx(np.abs(moved - there).mean(), abs=1e-4)


def test_region_leaves_the_rest_out(picture):
    a = picture(1)
    b = a.copy()
    b[:24] = 0
    region = np.zeros((1, 48, 48), bool)
    region[0, 30:] = True
    found = measure_image(from_array(b), from_array(a), ("psnr",), region=region)
    assert found == {"psnr": 100.0}


def test_nan_is_an_error_only_where_it_is_measured(picture):
    good = picture(1).astype(np.float32) / 255
    bad = good.copy()
    bad[0, 0] = np.nan
    with pytest.raises(NonFiniteError, match="NaN"):
        measure_image(from_array(bad), from_array(good), ("psnr",))
    with pytest.raises(NonFiniteError, match="NaN"):
        measure_image(from_array(good), from_array(bad), ("psnr",))
    region = np.ones((1, 48, 48), bool)
    region[0, 0, 0] = False
    found = measure_image(from_array(bad), from_array(good), ("psnr",), region=region)
    assert found == {"psnr": 100.0}


def test_sizes_frames_and_units_must_agree(picture):
    one, two = from_array(picture(side=32)), from_array(picture(side=48))
    with pytest.raises(InputError, match="32 x 32 pixels, its reference 48 x 48"):
        measure_image(one, two, ("psnr",))
    volume = from_array(np.zeros((2, 32, 32), np.uint8))
    flat = from_array(np.zeros((32, 32), np.uint8))
    with pytest.raises(InputError, match="2 frames, its reference 1"):
        measure_image(volume, flat, ("psnr",))
    with pytest.raises(UsageError, match="no"):
        measure_image(flat, None, ("psnr",))


def test_undefined_figures_are_none():
    tiny = from_array(np.zeros((4, 4), np.uint8))
    assert measure_image(tiny, None, ("niqe",)) == {"niqe": None}


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_other_numbers_do_not_hide_a_shift(dtype):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 1000, (1, 32, 32, 1)).astype(np.int16)
    clean = from_array(counts[0])
    moved = from_array((counts[0] + 100).astype(dtype))
    width = clean.unit_range.high - clean.unit_range.low
    error = measure_image(moved, clean, ["mae"])["mae"]
    # all but the few values beyond the top of the range are off by all of the shift
    assert error == pytest.approx(100 / width, rel=0.1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("in_its_numbers", [False, True])
def test_unclipped_floats_are_measured_on_the_scale_they_are_on(
    picture, dtype, in_its_numbers
):
    """A network's answer passes 0 and 1, or black and white, in many pixels."""
    clean = picture(1, noise=2, dtype=dtype)
    white = np.iinfo(dtype).max
    noise = np.random.default_rng(0).normal(0, 0.2, clean.shape)
    answer = clean / white + noise
    assert (answer < 0).mean() > 0.01
    expected = peak_signal_noise_ratio(clean / white, answer.clip(0, 1), data_range=1)
    stored = (answer * (white if in_its_numbers else 1)).astype(np.float32)
    found = measure_image(from_array(stored), from_array(clean), ("psnr",))
    assert found["psnr"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("scale", [1, 255])
def test_floats_far_too_dark_stay_on_their_scale(picture, scale):
    clean = picture(1, noise=2)
    answer = (clean / 255 * 0.03).astype(np.float32)
    expected = peak_signal_noise_ratio(clean / 255, answer, data_range=1)
    stored = from_array(answer * np.float32(scale))
    found = measure_image(stored, from_array(clean), ("psnr",))
    assert found["psnr"] == pytest.approx(expected, abs=0.01)


def test_floats_beside_a_black_reference_are_on_unit_scale():
    black = np.zeros((32, 32), np.uint8)
    noise = np.random.default_rng(0).normal(0, 0.05, black.shape)
    expected = peak_signal_noise_ratio(black / 255, noise.clip(0, 1), data_range=1)
    found = measure_image(from_array(noise), from_array(black), ("psnr",))
    assert found["psnr"] == pytest.approx(expected, abs=0.01)


def test_booleans_are_black_and_white_beside_eight_bits():
    where = np.random.default_rng(0).random((32, 32)) < 0.4
    clean = where.astype(np.uint8) * np.uint8(255)
    assert measure_image(from_array(where), from_array(clean), ("mae",))["mae"] == 0


@pytest.mark.parametrize("png_first", [True, False])
def test_pngs_beside_hounsfield_units_learn_how_to_compare(png_first):
    png = replace(from_array(np.zeros((8, 8), np.uint16)), format="png")
    scan = replace(png, units="HU", format="dicom")
    pair = (png, scan) if png_first else (scan, png)
    with pytest.raises(InputError, match=r"HU.*model identity"):
        measure_image(*pair, ("psnr",))


def test_arrays_beside_hounsfield_units_learn_how_to_get_theirs():
    answer = replace(from_array(np.zeros((8, 8), np.int16)), format="npy")
    reference = replace(answer, units="HU", format="dicom")
    with pytest.raises(InputError, match="in HU") as raised:
        measure_image(answer, reference, ("psnr",))
    assert "like=reference" in str(raised.value.hint)
