import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medenh import intensity
from medenh.errors import InputError
from medenh.formats.dicom.meaning import native_pixels
from medenh.types import Geometry, Image, Storage, UnitRange


def _image(pixels, unit_range, storage=None, **more):
    return Image(
        pixels=pixels,
        unit_range=unit_range,
        storage=storage or Storage(pixels.dtype, **_limits(pixels.dtype)),
        **more,
    )


def _limits(dtype):
    if dtype.kind not in "iu":
        return {}
    info = np.iinfo(dtype)
    return {"minimum": info.min, "maximum": info.max}


DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("inverted", [False, True])
def test_an_unchanged_answer_gives_back_the_same_numbers(dtype, inverted):
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        pixels = rng.normal(0, 1e5, (2, 9, 7, 1)).astype(kind)
    else:
        info = np.iinfo(kind)
        pixels = rng.integers(
            info.min, info.max, (2, 9, 7, 1), dtype=kind, endpoint=True
        )
    image = _image(pixels, UnitRange(10, 90, inverted))
    back = image.from_unit(image.to_unit())
    assert back.pixels.dtype == kind
    np.testing.assert_array_equal(back.pixels, pixels)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_in_0_to_1_stay_in_it_exactly(dtype):
    rng = np.random.default_rng(0)
    pixels = rng.random((1, 60, 50, 1)).astype(dtype)
    pixels[0, 0], pixels[0, 1] = -0.004, 1.004
    answer = rng.integers(0, 2, (1, 1, 60, 50)).astype(np.float32)
    back = _image(pixels, UnitRange(0, 1)).from_unit(answer).pixels
    assert 0 <= back[0, 2:].min() <= back[0, 2:].max() <= 1
    assert back[0, :2].min() < 0
    assert back[0, :2].max() > 1


@settings(max_examples=200, deadline=None)
@given(
    low=st.floats(-2000, 2000),
    width=st.floats(1, 5000),
    inverted=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_hounsfield_round_trip(low, width, inverted, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(-1024, 3071, (1, 5, 6, 1)).astype(np.int16)
    image = _image(pixels, UnitRange(low, low + width, inverted))
    unit = image.to_unit()
    assert unit.min() >= 0
    assert unit.max() <= 1
    np.testing.assert_array_equal(image.from_unit(unit).pixels, pixels)


def test_a_change_is_added_in_native_units_and_values_outside_the_window_survive():
    pixels = np.array([[[[-1000], [0], [100], [3000]]]], np.int16)
    image = _image(pixels, UnitRange(-160, 240))
    unit = image.to_unit()
    enhanced = unit.copy()
    enhanced[0, 0, 0, 1] += 0.1  # 0.1 of a 400 HU window
    out = image.from_unit(enhanced).pixels
    np.testing.assert_array_equal(out.ravel(), [-1000, 40, 100, 3000])


def test_padding_of_ct_that_no_header_tells_stays():
    pixels = np.array([-3024, -2000, -1400, -1000, 40, 60], np.int16)
    image = _image(pixels.reshape(1, 2, 3, 1), UnitRange(-160.0, 240.0), units="HU")
    back = image.from_unit(image.to_unit() + np.float32(0.05)).pixels.ravel()
    np.testing.assert_array_equal(back, [-3024, -2000, -1380, -980, 60, 80])
    plain = replace(image, units="")  # numbers that mean something else
    back = plain.from_unit(plain.to_unit() + np.float32(0.05)).pixels.ravel()
    assert back[1] == -1980


def test_inverted_pictures_get_darker_numbers_when_brightened():
    pixels = np.full((1, 2, 2, 1), 600, np.uint16)
    image = _image(pixels, UnitRange(0, 1000, inverted=True))
    unit = image.to_unit()
    np.testing.assert_allclose(unit, 0.4, rtol=1e-6)
    assert (image.from_unit(unit + np.float32(0.1)).pixels == 500).all()


def test_results_stay_inside_what_the_file_can_store():
    pixels = np.array([[[[5], [1000]]]], np.uint16)
    storage = Storage(np.dtype(np.uint16), minimum=0, maximum=1023)
    image = _image(pixels, UnitRange(0, 1000), storage)
    brighter = image.from_unit(image.to_unit() + np.float32(0.5)).pixels
    darker = image.from_unit(image.to_unit() - np.float32(0.5)).pixels
    np.testing.assert_array_equal(brighter.ravel(), [505, 1023])
    np.testing.assert_array_equal(darker.ravel(), [0, 500])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_floats_end_at_their_largest_number(dtype):
    largest = np.finfo(dtype).max
    pixels = np.array([[[[0.0], [0.9], [-0.9]]]]).astype(dtype) * largest
    image = _image(pixels, UnitRange(0.0, float(largest)))
    change = np.array([[[[0.25, 0.5, -0.5]]]], np.float32)
    out = image.from_unit(image.to_unit() + change).pixels
    assert out.dtype == dtype
    expected = np.array([0.25, 1.0, -1.0]) * float(largest)
    np.testing.assert_allclose(out.ravel().astype(float), expected, rtol=1e-3)


def test_frozen_pixels_never_change():
    pixels = np.full((1, 3, 3, 1), 50, np.uint8)
    frozen = np.zeros((1, 3, 3), bool)
    frozen[0, 1, 1] = True
    image = _image(pixels, UnitRange(0, 255), frozen=frozen)
    out = image.from_unit(np.ones((1, 1, 3, 3), np.float32)).pixels
    assert out[0, 1, 1, 0] == 50
    assert (out[~frozen] == 255).all()


def test_nan_is_black_for_a_model_and_stays_nan_in_the_file():
    pixels = np.array([[[[np.nan], [0.5]]]], np.float32)
    frozen = np.isnan(pixels[..., 0])
    image = _image(pixels, UnitRange(0, 1), frozen=frozen)
    unit = image.to_unit()
    np.testing.assert_array_equal(unit.ravel(), [0, 0.5])
    turned = intensity.to_unit(pixels, UnitRange(0, 1, inverted=True))
    np.testing.assert_array_equal(turned.ravel(), [1, 0.5])
    out = image.from_unit(unit + np.float32(0.1)).pixels.ravel()
    assert np.isnan(out[0])
    assert out[1] == pytest.approx(0.6)


def test_rescaled_volumes_are_read_and_stored_in_little_memory():
    layers = np.random.default_rng(0).integers(0, 4096, (300, 50, 50, 1), np.uint16)
    own = np.linspace(0.5, 2, 300).reshape(-1, 1, 1, 1)
    for slope in (1.0, own):
        storage = Storage(layers.dtype, slope, -30000.0 * (slope is not own), 0, 65535)
        tracemalloc.start()
        try:
            native = native_pixels(layers, storage)
            read = tracemalloc.get_traced_memory()[1] / native.nbytes
            tracemalloc.clear_traces()
            back = intensity.to_stored(native, storage)
            written = tracemalloc.get_traced_memory()[1] / native.nbytes
        finally:
            tracemalloc.stop()
        np.testing.assert_array_equal(back, layers)
        assert read < (1.2 if slope is not own else 3.2)
        assert written < 0.7


@settings(max_examples=200, deadline=None)
@given(
    slope=st.floats(0.001, 50).filter(lambda x: x != 1.0),
    intercept=st.floats(-5000, 5000),
)
def test_stored_numbers_survive_any_rescale(slope, intercept):
    stored = np.arange(-32768, 32768, 37, dtype=np.int16).reshape(1, 1, -1, 1)
    storage = Storage(stored.dtype, slope, intercept, -32768, 32767)
    native = (stored.astype(np.float64) * slope + intercept).astype(np.float32)
    back = intensity.to_stored(native, storage)
    assert back.dtype == np.int16
    # float32 keeps 16-bit numbers apart unless the intercept dwarfs the slope
    if abs(intercept) < 1e5 * slope:
        np.testing.assert_array_equal(back, stored)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "int64", "u8"])
def test_an_array_of_integers_has_the_range_of_its_values_in_any_type(dtype):
    dim = intensity.array_range(np.array([0, 85], dtype))
    assert (dim.low, dim.high) == (0, 127 if dtype == "int8" else 255)
    if dtype != "int8":
        assert intensity.array_range(np.array([4000], dtype)).high == 4095
        largest = intensity.array_range(np.array([20000], dtype)).high
        assert largest == (32767 if dtype == "int16" else 65535)


def test_negative_and_huge_numbers_of_arrays_have_no_natural_white():
    rng = np.random.default_rng(0)
    hounsfield = rng.integers(-1024, 1500, (40, 40)).astype(np.int16)
    for array in (hounsfield, rng.integers(0, 1 << 20, (40, 40))):
        found = intensity.array_range(array)
        assert found == intensity.percentile_range(array)


def test_bit_depth_of_integer_pictures():
    assert intensity.bit_depth_range(np.zeros(3, np.uint8)).high == 255
    assert intensity.bit_depth_range(np.array([4095], np.uint16)).high == 4095
    signed = intensity.bit_depth_range(np.arange(-500, 500, dtype=np.int16))
    assert -500 <= signed.low < -480
    assert 480 < signed.high < 500


@pytest.mark.parametrize(
    ("largest", "high", "reason"),
    [
        (0, 255, "8 bits in 16"),
        (255, 255, "8 bits in 16"),
        (256, 1023, "10 bits in 16"),
        (1024, 4095, "12 bits in 16"),
        (4095, 4095, "12 bits in 16"),
        (4096, 16383, "14 bits in 16"),
        (16383, 16383, "14 bits in 16"),
        (16384, 65535, "16-bit"),
        (65535, 65535, "16-bit"),
    ],
)
def test_a_14_bit_picture_in_uint16_is_not_dark(largest, high, reason):
    found = intensity.bit_depth_range(np.array([0, largest], np.uint16))
    assert (found.low, found.high, found.reason) == (0, high, reason)


def test_what_the_file_says_of_its_largest_value_only_widens_the_range():
    pixels = np.array([0, 900], np.uint16)
    assert intensity.bit_depth_range(pixels, top=4095).high == 4095
    assert intensity.bit_depth_range(pixels, top=10).high == 1023
    told = intensity.bit_depth_range(pixels, top=65535)
    assert (told.high, told.reason) == (65535, "16 bits, told")


@pytest.mark.parametrize(("times", "dim"), [(4, 0), (20, 2)])
def test_volumes_that_one_bright_volume_makes_nearly_black_are_counted(times, dim):
    volumes = np.random.default_rng(4).uniform(0, 400, (4, 3, 40, 40, 1))
    volumes[1] *= times
    volumes[2] = 7.0  # an empty one is not dim
    pixels = volumes.reshape(-1, 40, 40, 1)
    of_all = intensity.volumes_range(pixels, 3)
    image = _image(pixels, of_all, geometry=Geometry(depth=3))
    assert intensity.dim_volumes(image) == dim
    window = replace(image, unit_range=replace(of_all, reason="window"))
    single = replace(image, geometry=Geometry(depth=12))
    assert intensity.dim_volumes(window) == intensity.dim_volumes(single) == 0


def test_percentiles_leave_out_a_large_dark_background():
    pixels = np.zeros(100_000)
    pixels[:2000] = np.linspace(100, 1100, 2000)
    found = intensity.percentile_range(pixels)
    assert found.low == 0
    assert 1080 < found.high < 1100


def test_a_bright_volume_among_many_is_not_cut_off():
    # as diffusion MRI has it: 1 without weighting, 63 with
    volumes = np.random.default_rng(4).normal(400, 20, (64, 3, 40, 40, 1))
    volumes[0] += 600
    volumes[5] = 1.0  # one that is empty has no say
    found = intensity.volumes_range(volumes.reshape(-1, 40, 40, 1), 3)
    assert found.low == pytest.approx(np.percentile(volumes[1], 0.5), abs=5)
    assert found.high == pytest.approx(np.percentile(volumes[0], 99.5))
    assert found.reason == "percentiles 0.5-99.5"
    one = volumes[0]
    for depth in (None, 2, 3):  # frames that are no whole volumes are one
        assert intensity.volumes_range(one, depth) == intensity.percentile_range(one)
    empty = intensity.volumes_range(np.full((4, 3, 3, 1), 7.0), 2)
    assert (empty.low, empty.high, empty.reason) == (7.0, 8.0, "constant")
    steps = np.repeat([np.nan, 7.0, 8.0, 30.0], 9).reshape(4, 3, 3, 1)
    for frozen in (None, ~np.isfinite(steps[..., 0])):
        found = intensity.volumes_range(steps, 1, frozen=frozen)
        assert (found.low, found.high) == (7.0, 30.0)  # all of them have a say


@pytest.mark.parametrize(
    "pixels", [np.zeros(10), np.full(10, np.nan), np.array([]), np.full(10, 7.0)]
)
def test_degenerate_pixels_still_have_a_range(pixels):
    found = intensity.percentile_range(pixels)
    assert found.high > found.low
    assert np.isfinite([found.low, found.high]).all()


def test_floats_in_zero_to_one_keep_that_range():
    assert intensity.float_range(np.array([0.2, 0.4])).high == 1.0
    assert intensity.float_range(np.array([0.0, 40.5, 41.0, 42.0])).high > 1.0
    assert intensity.float_range(np.array([-0.5, 0.5])).low < 0.0


def test_a_little_overshoot_does_not_stretch_floats_of_zero_to_one():
    ramp = np.linspace(0, 1, 10_000)
    assert intensity.float_range(ramp * 1.015 - 0.005).reason == "0-1"
    few = np.append(ramp, [1.2, -0.1])
    assert intensity.float_range(few).reason == "0-1"
    for other in (np.append(ramp, np.full(50, 1.2)), np.append(ramp, 40.0)):
        assert intensity.float_range(other).reason.startswith("percentiles")


def test_a_diffusion_map_of_tiny_numbers_is_not_black():
    adc = np.linspace(0, 0.003, 10_000)
    found = intensity.float_range(adc)
    assert 0.0029 < found.high < 0.003
    assert intensity.float_range(np.array([0.0, 0.05])).reason == "0-1"


def test_8_bit_pictures_converted_to_float_keep_their_white():
    found = intensity.float_range(np.arange(3.0, 201.0, dtype=np.float32))
    assert (found.low, found.high, found.reason) == (0, 255, "8-bit in float")
    with_nan = np.array([np.nan, 0.0, 255.0])
    assert intensity.float_range(with_nan).reason == "8-bit in float"
    for other in ([0.0, 256.0], [-1.0, 200.0], [0.5, 200.0]):
        assert intensity.float_range(np.array(other)).reason != "8-bit in float"
    assert intensity.float_range(np.array([0.0, 1.0])).reason == "0-1"


def test_the_repr_of_an_image_shows_neither_pixels_nor_header():
    image = _image(
        np.full((1, 4, 5, 1), 77, np.uint8),
        UnitRange(0, 255),
        header={"PatientName": "Doe^Jane"},
    )
    assert repr(image) == "<medenh.Image array (1, 4, 5, 1) uint8, unknown, 0 to 255>"


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
@pytest.mark.parametrize("size", [1, 2, 3, 50, 1001])
def test_percentiles_of_few_bits_are_those_of_numpy(dtype, size):
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(size)
    pixels = rng.integers(limits.min, limits.max, size, dtype, endpoint=True)
    found = intensity.percentile_range(pixels)
    if size < 20:  # the darkest value is more than a tenth: it is background
        above = pixels[pixels > pixels.min()]
        low, high = pixels.min(), np.percentile(above, 99.5) if above.size else None
    else:
        low, high = np.percentile(pixels.astype(float), [0.5, 99.5])
    if high is None or high <= low:
        assert (found.low, found.high) == (low, low + 1.0)
    else:
        np.testing.assert_allclose((found.low, found.high), (low, high), rtol=1e-12)


def test_the_bit_depth_that_the_user_says_replaces_a_guess_only():
    dim = np.full((1, 8, 8, 1), 700, np.uint16)
    guessed = _image(dim, intensity.bit_depth_range(dim))
    assert guessed.unit_range.high == 1023
    told = intensity.told_bits(guessed, 12)
    assert (told.unit_range.low, told.unit_range.high) == (0, 4095)
    known = _image(dim, intensity.bit_depth_range(dim, top=16383))
    assert intensity.told_bits(known, 12) is known
    with pytest.raises(InputError, match="go up to 700, and 9 bits end at 511"):
        intensity.told_bits(guessed, 9)
    small = np.full((1, 8, 8, 1), 7, np.uint8)
    eight = _image(small, intensity.bit_depth_range(small))
    assert intensity.told_bits(eight, 12) is eight


def test_constant_pixels_have_a_range_of_plain_numbers():
    for dtype in ("int8", "int16", "int32", "float32"):
        found = intensity.percentile_range(np.full((4, 4), -3, dtype))
        assert (found.low, found.high) == (-3, -2)
        assert type(found.low) is type(found.high) is float


def test_constant_pixels_beyond_the_whole_numbers_of_float64_have_a_range():
    for value in (2.0**53, 1e26, -1e26):
        found = intensity.percentile_range(np.full((4, 4), value))
        assert found.low == value < found.high
