"""Black surrounds of scopes are found and left alone."""

from functools import cache

import numpy as np
import pytest
from skimage import data, draw

from medenh import degradations
from medenh.degradations import RECIPES
from medenh.degradations.surround import find_surround
from medenh.types import Image, Storage, UnitRange

SCOPES = sorted(n for n, r in RECIPES.items() if r.framing == "surround")


@cache
def _tissue(height=288, width=384):
    return np.ascontiguousarray(data.retina()[400 : 400 + height, 400 : 400 + width])


def _octagon(height=288, width=384):
    """A picture in an octagon, the surround black with compression noise."""
    inside = np.zeros((height, width), bool)
    rows = np.array([10, 10, 70, height - 60, height - 8, height - 8, height - 60, 70])
    columns = np.array([90, 300, 355, 355, 300, 90, 40, 40])
    inside[draw.polygon(rows, columns)] = True
    noise = np.random.default_rng(0).integers(4, 16, (height, width, 1))
    return np.where(inside[..., None], _tissue(), noise).astype(np.uint8), inside


def _found(picture):
    pixels = picture.reshape(1, *picture.shape[:2], -1)
    top = np.iinfo(picture.dtype).max
    image = Image(
        pixels=pixels,
        unit_range=UnitRange(0, top),
        storage=Storage(picture.dtype, minimum=0, maximum=top),
    )
    found = find_surround(image)
    return None if found is None else found[1] > 0


def test_an_octagon_is_found():
    picture, inside = _octagon()
    field = _found(picture)
    assert (field == inside).mean() > 0.99
    assert not field[:8].any()
    sixteen = _found(picture.astype(np.uint16) * 257)
    np.testing.assert_array_equal(sixteen, field)


def test_a_dark_lumen_at_the_border_stays_inside():
    picture, inside = _octagon()
    lumen = np.zeros(inside.shape, bool)
    lumen[draw.disk((10, 190), 45, shape=inside.shape)] = True
    picture[lumen & inside] = 8
    field = _found(picture)
    assert field[inside & lumen].mean() > 0.7
    assert (field == inside).mean() > 0.97


def test_lettering_beside_the_field_is_surround():
    picture, inside = _octagon()
    picture[20:28, 5:30] = 255
    field = _found(picture)
    assert not field[20:28, 5:30].any()
    assert (field == inside).mean() > 0.99


@pytest.mark.parametrize(
    "picture",
    [
        _tissue(),
        np.zeros((40, 50, 3), np.uint8),
        np.full((40, 50), 200, np.uint8),
        np.zeros((1, 1), np.uint8),
    ],
    ids=["full frame", "black", "white", "one pixel"],
)
def test_no_surround(picture):
    assert _found(picture) is None


@pytest.mark.parametrize("name", SCOPES)
def test_the_surround_is_not_changed(name):
    picture, _ = _octagon()
    field = _found(picture)
    low, record = degradations.degrade(picture, name, severity=4, name="x")
    assert record.framing.method == "surround"
    np.testing.assert_array_equal(low[~field], picture[~field])
    assert (low[field] != picture[field]).mean() > 0.005
    np.testing.assert_array_equal(degradations.apply(picture, record), low)


def test_the_users_mask_wins_and_size_resizes_before():
    picture, inside = _octagon()
    mask = np.zeros_like(inside)
    mask[100:200, 100:200] = True
    low, record = degradations.degrade(picture, "endo-smoke", mask=mask)
    assert record.framing is None
    np.testing.assert_array_equal(low[~mask], picture[~mask])
    small, record = degradations.degrade(picture, "endo-smoke", size=192)
    assert small.shape == (144, 192, 3)
    assert record.framing.box[2] < 192
