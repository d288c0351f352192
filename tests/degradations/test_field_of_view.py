"""Discs of fundus photographs: found, cropped, put back."""

import numpy as np
import pytest
from fundus_pictures import made_up, needs_photographs, photographs

from medenh import degradations
from medenh.degradations.engine import degrade_image, replay_image
from medenh.degradations.field_of_view import disc_weights, find_field
from medenh.errors import UsageError


def _image(pixels):
    return degradations.api._as_image(pixels, "display", None)


def _pair(pixels, recipe="cofe-111", **options):
    return degrade_image(_image(pixels), degradations.find_recipe(recipe), **options)


def _unit(picture):
    return picture.astype(np.float32) / 255


@pytest.mark.parametrize(
    ("shape", "centre", "radius"),
    [
        ((600, 700), (340, 310), 240),
        ((400, 700), (350, 200), 300),  # cut above and below
        ((601, 601), (300, 300), 299),  # touches all four sides
        ((512, 512), (256, 256), 256),  # a cleaned square
    ],
)
def test_the_disc_is_found(shape, centre, radius):
    picture, _ = made_up(shape=shape, centre=centre, radius=radius)
    found = find_field(_unit(picture))
    assert found.method in ("hough", "rows")
    assert np.allclose(found.centre, centre, atol=4)
    assert abs(found.radius - radius) <= 5
    left, top, width, height = found.box
    assert left >= 0
    assert top >= 0
    assert left + width <= shape[1]
    assert top + height <= shape[0]


def test_fall_backs_are_said():
    box = np.zeros((300, 400, 3), np.uint8)
    box[60:240, 50:380] = 120
    assert find_field(_unit(box)).method == "box"
    assert np.allclose(find_field(_unit(box)).box, (50, 60, 330, 180), atol=4)
    for nothing in (
        np.full((200, 200, 3), 90, np.uint8),
        np.zeros((100, 120, 3), np.uint8),
        np.full((8, 3, 3), 90, np.uint8),
    ):
        found = find_field(_unit(nothing))
        assert found.method == "frame"
        assert found.box == (0, 0, nothing.shape[1], nothing.shape[0])


def test_disc_weights_have_the_area_of_the_disc():
    weights = disc_weights((101, 121), (60.3, 50.2), 40.4)
    assert weights.sum() == pytest.approx(np.pi * 40.4**2, rel=1e-3)
    assert ((weights > 0) & (weights < 1)).any()


@pytest.mark.parametrize("recipe", ["cofe-111", "fundus-plus"])
@pytest.mark.parametrize("mode", ["scaled", "exact"])
def test_nothing_changes_outside_the_field(recipe, mode):
    rng = np.random.default_rng(0)
    photo, mask = made_up(shape=(420, 560), radius=180, centre=(300, 200))
    photo[mask == 0] = rng.integers(0, 9, (int((mask == 0).sum()), 3))  # a dim surround
    options = {"mode": mode} if recipe == "cofe-111" else {}
    pair = _pair(photo, recipe, name="x", options=options)
    y, x = np.mgrid[:420, :560]
    far = np.hypot(x - 300, y - 200) > 180 * 1.03 + 5
    low = pair.low.pixels[0]
    np.testing.assert_array_equal(low[far], photo[far])
    assert (low[~far] != photo[~far]).mean() > 0.5
    assert pair.high.pixels is pair.low.pixels or pair.high.pixels.shape[1:3] == (
        420,
        560,
    )
    again = replay_image(_image(photo), pair.record)
    np.testing.assert_array_equal(again.low.pixels, pair.low.pixels)


def test_with_a_size_the_square_is_cropped_black_outside():
    photo, _ = made_up(shape=(420, 560), radius=180, centre=(300, 200))
    photo[:30, :40] = 255  # writing on the surround
    pair = _pair(photo, size=128)
    assert pair.low.pixels.shape == pair.high.pixels.shape == (1, 128, 128, 3)
    y, x = np.mgrid[:128, :128] - 63.5
    outside = np.hypot(x, y) > 66
    assert pair.high.pixels[0][outside].max() == 0
    assert pair.low.pixels[0][outside].max() == 0
    assert pair.record.framing.size == 128
    again = replay_image(_image(photo), pair.record)
    np.testing.assert_array_equal(again.low.pixels, pair.low.pixels)


def test_a_given_mask_is_used_as_it_is():
    picture, mask = made_up(256)
    soft = mask.copy()
    soft[100:140, 100:140] = 128
    low, record = degradations.degrade(
        picture, "cofe-001", mask=soft, options={"mode": "exact"}
    )
    full = degradations.degrade(
        picture, "cofe-001", mask=mask, options={"mode": "exact"}
    )[0]
    assert record.framing.method == "mask"
    half = full[100:140, 100:140].astype(int) * 128 / 255
    assert np.abs(low[100:140, 100:140] - half).max() <= 12  # mean inside differs
    with pytest.raises(UsageError, match="mask"):
        degradations.apply(picture, record)
    again = degradations.apply(picture, record, mask=soft)
    np.testing.assert_array_equal(again, low)
    with pytest.raises(UsageError, match="empty"):
        degradations.degrade(picture, "cofe-001", mask=np.zeros((256, 256), np.uint8))


def test_a_record_of_a_larger_picture_is_refused():
    photo, _ = made_up(shape=(420, 560), radius=180, centre=(300, 200))
    record = degradations.degrade(photo, "cofe-001")[1]
    with pytest.raises(UsageError, match="larger"):
        degradations.apply(photo[:200, :200], record)


@pytest.mark.shared
@needs_photographs
@pytest.mark.parametrize("shard", ["drive-test.tar", "vessels-train.tar"])
def test_discs_of_photographs_are_found(shard):
    found = [find_field(_unit(photo)) for photo in photographs(shard, 10)]
    assert sum(one.method in ("hough", "rows") for one in found) >= 9
