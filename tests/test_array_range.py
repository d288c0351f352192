"""How black and white of arrays are chosen, and told."""

import warnings

import cv2
import numpy as np
import pytest

import medenh
from medenh.errors import UsageError

GUESSED = "black and white of the array were guessed"


@pytest.fixture
def dim():
    """Return a dim picture of 8 bits as floats that tell nothing."""
    return np.random.default_rng(0).integers(0, 255, (40, 50)) / 3


@pytest.mark.parametrize("dtype", ["u2", "i2", "u4", "i4", "u8", "i8", "f8"])
def test_an_8_bit_picture_is_enhanced_alike_in_any_type(dim, dtype):
    whole = np.floor(dim).astype(dtype)
    expected = medenh.enhance(whole.astype(np.uint8), model="lime")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enhanced = medenh.enhance(whole, model="lime")
    np.testing.assert_allclose(enhanced, expected, atol=0.5)


def test_a_guessed_range_of_an_array_is_told_of_and_can_be_given(dim, tmp_path):
    expected = medenh.enhance(dim / 255, model="lime") * 255
    model = medenh.load_model("lime")
    with pytest.warns(UserWarning, match=GUESSED) as said:
        guessed = medenh.enhance(dim, model="lime")
    with pytest.warns(UserWarning, match=GUESSED) as also_said:
        again = model.enhance(dim)
    assert [one.filename for one in (*said, *also_said)] == [__file__, __file__]
    np.testing.assert_array_equal(again, guessed)
    assert abs(guessed - expected).max() > 5
    with pytest.warns(UserWarning, match=GUESSED):
        medenh.enhance(dim, tmp_path / "a.npy", model="lime")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for told in (
            medenh.enhance(dim, model="lime", data_range=(0, 255)),
            model.enhance(dim, data_range=(0, 255)),
            medenh.load_model("lime", data_range=(0, 255)).enhance(dim),
        ):
            np.testing.assert_allclose(told, expected, atol=1e-3)
        medenh.enhance(dim.astype(np.float16) > 40, model="lime")


def test_hounsfield_units_are_seen_through_the_window_that_is_told():
    array = np.linspace(-1000, 1000, 64 * 64).reshape(64, 64).astype(np.int16)
    enhanced = medenh.enhance(array, model="lime", data_range=(-160, 240))
    changed = enhanced != array
    assert changed.any()
    assert array[changed].min() >= -160
    assert array[changed].max() <= 240
    with pytest.warns(UserWarning, match=GUESSED):
        medenh.enhance(array, model="lime")


@pytest.fixture
def path(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    return tmp_path / "a.png"


def test_files_and_images_have_ranges_of_their_own(path, tmp_path):
    image, model = medenh.read(path), medenh.load_model("identity")
    for door in (
        lambda: medenh.enhance(path, data_range=(0, 1)),
        lambda: medenh.enhance(path, tmp_path / "a.png", data_range=(0, 1)),
        lambda: medenh.enhance([path, path], tmp_path, data_range=(0, 1)),
        lambda: medenh.enhance(image, data_range=(0, 1)),
        lambda: model.enhance(path, data_range=(0, 1)),
        lambda: medenh.degrade(image, "dpe", data_range=(0, 1)),
    ):
        with pytest.raises(UsageError, match="data_range is for arrays"):
            door()
