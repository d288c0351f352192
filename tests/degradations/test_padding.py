"""Padding: outside what was measured, so it changes neither it nor its range."""

from dataclasses import replace

import numpy as np
import pytest

from medenh.degradations import apply, degrade, degrade_image, find_recipe
from medenh.intensity import percentile_range
from medenh.types import Image, Storage

PADDING, EDGE = -30000, 24


def _picture(*, inverted):
    levels = np.random.default_rng(0).integers(900, 3000, (1, 128, 160, 1))
    return Image(
        pixels=levels.astype(np.int16),
        unit_range=percentile_range(levels, inverted=inverted),
        storage=Storage(np.dtype(np.int16), minimum=-32768, maximum=32767),
    )


def _padded(image):
    pixels, frozen = image.pixels.copy(), np.zeros(image.pixels.shape[:3], bool)
    pixels[:, :, :EDGE], frozen[:, :, :EDGE] = PADDING, True
    return replace(image, pixels=pixels, frozen=frozen)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("size", [None, 96, 240])
@pytest.mark.parametrize("recipe", ["dpe", "mri-rician"])
def test_padding_says_nothing_of_the_range(recipe, size, inverted):
    plain = _picture(inverted=inverted)
    pairs = [
        degrade_image(image, find_recipe(recipe), severity=0.5, seed=1, size=size)
        for image in (plain, _padded(plain))
    ]
    assert pairs[1].record.scale == pytest.approx(pairs[0].record.scale, rel=0.02)
    low = pairs[1].low.pixels
    edge = EDGE * low.shape[2] // plain.width
    assert (low[:, :, :edge] == PADDING).all()
    assert (low[:, :, edge:] >= 0).all()  # it bled nowhere
    inside = [float(np.std(pair.low.pixels[:, :, 2 * edge :])) for pair in pairs]
    assert inside[1] == pytest.approx(inside[0], rel=0.1)


def test_a_picture_of_padding_alone_is_kept():
    image = _padded(_picture(inverted=False))
    empty = replace(image, frozen=np.ones_like(image.frozen))
    pair = degrade_image(empty, find_recipe("dpe"), severity=0.5, size=64)
    assert set(np.unique(pair.low.pixels)) <= set(np.unique(image.pixels))


def _holed(dtype=np.float32, missing=np.nan):
    """Return a picture of two halves, and the same with a hole that is no value."""
    whole = np.full((96, 128), 400.0, dtype)
    whole[:, 64:] = 500.0
    holed = whole.copy()
    holed[40:50, 20:30] = holed[70, 90] = missing
    return whole, holed


@pytest.mark.parametrize(
    ("recipe", "missing"),
    [("gaussian-blur", np.nan), ("jpeg", np.inf), ("bicubic-x4", np.nan)],
)
def test_a_hole_of_no_values_pulls_at_nothing(recipe, missing):
    whole, holed = _holed(missing=missing)
    how = {"seed": 1, "data_range": (0, 1000)}
    (plain, _), (low, record) = (degrade(one, recipe, **how) for one in (whole, holed))
    known = np.isfinite(holed)
    np.testing.assert_array_equal(low[~known], holed[~known])
    np.testing.assert_allclose(low[known], plain[known], atol=0.5)  # black took 20
    np.testing.assert_array_equal(apply(holed, record, data_range=(0, 1000)), low)


@pytest.mark.parametrize("size", [64, 256])
def test_a_hole_stays_one_at_another_size_and_bleeds_nowhere(size):
    _, holed = _holed()
    low, _ = degrade(holed, "gaussian-blur", size=size, seed=1, data_range=(0, 1000))
    known = ~np.isnan(low)
    assert (~known).sum() == pytest.approx(101 * (size / 128) ** 2, rel=0.1)
    assert low[known].min() > 399


def test_what_surrounds_a_slice_without_values_is_air():
    rows, columns = np.ogrid[-32:32, -32:32]
    disc = np.hypot(rows, columns) < 24
    told = np.where(disc, 40.0, -1000.0).astype(np.float32)
    bare = np.where(disc, told, np.nan).astype(np.float32)
    pairs = [degrade(one, "ct-low-dose", seed=1, severity=2)[0] for one in (told, bare)]
    np.testing.assert_allclose(pairs[1][disc], pairs[0][disc], atol=0.1)
    assert np.isnan(pairs[1][~disc]).all()
