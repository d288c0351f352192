"""Colour transfer: means and spreads afterwards, and pictures that are followed."""

import itertools

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import lab2rgb, rgb2lab

from medenh.classical import METHODS
from medenh.classical.colour_transfer import colours_of
from medenh.errors import UsageError

WANTED = {"lightness": 55, "a": 12, "b": 8}
SPREAD = {"lightness_spread": 9, "a_spread": 4, "b_spread": 6}


def tissue(tint=(0.7, 0.45, 0.35), side=120, seed=0):
    noise = np.random.default_rng(seed).normal(0, 1, (side, side, 3))
    smooth = ndimage.gaussian_filter(noise, (2, 2, 0))
    return (np.array(tint) + 0.25 * smooth).clip(0.05, 0.95).astype(np.float32)


def test_agrees_with_the_plain_formula():
    pixels = tissue()
    lab = rgb2lab(pixels.astype(np.float64))
    mean, deviation = lab.mean(axis=(0, 1)), lab.std(axis=(0, 1))
    moved = (lab - mean) / deviation * list(SPREAD.values()) + list(WANTED.values())

    out = METHODS["ref-color"](pixels, limit=10, **WANTED, **SPREAD)

    np.testing.assert_allclose(out, lab2rgb(moved), atol=1e-3)
    assert np.abs(out - pixels).mean() > 0.05


def test_a_followed_picture_gives_its_means_and_spreads():
    pixels, reference = tissue(), tissue((0.6, 0.5, 0.55), seed=1)
    out = METHODS["ref-color"](pixels, **METHODS["ref-color"].following(reference))
    wanted, reached = colours_of(reference), colours_of(out)
    assert reached == pytest.approx(wanted, abs=0.05)
    assert colours_of(pixels)["b"] != pytest.approx(wanted["b"], abs=10)


def test_a_cast_over_a_picture_goes_by_the_picture_without():
    clean = tissue()
    seen = clean * np.array([0.9, 0.7, 0.5], np.float32)
    out = METHODS["ref-color"](seen, **METHODS["ref-color"].following(clean))
    assert np.abs(out - clean).mean() < 0.15 * np.abs(seen - clean).mean()


def test_nearly_white_can_be_followed():
    white = np.ones((20, 20, 3), np.float32)
    white[::2] = 0.98
    METHODS["ref-color"](tissue(), **METHODS["ref-color"].following(white))


@pytest.mark.parametrize("name", ["ref-color", "flat-field-ref-color"])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_what_has_no_contrast_is_not_followed(name, value):
    with pytest.raises(UsageError, match="a single brightness"):
        METHODS[name].following(np.full((20, 20, 3), value, np.float32))


@pytest.mark.parametrize("limit", [1.0, 1.5])
def test_gains_are_limited(limit):
    pixels = tissue()
    before = colours_of(pixels)
    out = METHODS["ref-color"](pixels, limit=limit, lightness_spread=50, lightness=50)
    after = colours_of(out)["lightness_spread"]
    assert after == pytest.approx(limit * before["lightness_spread"], rel=0.02)


def test_the_surround_has_no_part():
    y, x = np.mgrid[-1:1:120j, -1:1:120j]
    field = np.hypot(y, x) < 0.85
    pixels = np.where(field[..., None], tissue(), np.float32(0))
    inner = np.hypot(y, x) < 0.8

    found, told = METHODS["ref-color"](pixels), METHODS["ref-color"](pixels, field)

    np.testing.assert_allclose(found[inner], told[inner], atol=0.02)
    outside = np.hypot(y, x) > 0.87
    np.testing.assert_array_equal(found[outside], 0)
    assert rgb2lab(found)[inner].mean(axis=0) == pytest.approx([43, 26, 36], abs=1.5)


def test_grey_pictures_stay_grey():
    grey = tissue()[..., :1]
    three = METHODS["ref-color"](grey.repeat(3, 2))
    assert np.ptp(three, axis=2).max() < 2e-3
    assert rgb2lab(three)[..., 0].mean() == pytest.approx(43, abs=0.5)
    assert METHODS["ref-color"](grey).mean() == pytest.approx(0.43, abs=0.005)


def test_a_grey_reference_takes_no_colours_away():
    pixels, grey = tissue(), np.repeat(tissue(seed=2)[..., :1], 3, axis=2)
    for name in ("ref-color", "flat-field-ref-color"):
        out = METHODS[name](pixels, **METHODS[name].following(grey))
        wanted, reached, own = (colours_of(one) for one in (grey, out, pixels))
        assert reached["lightness"] == pytest.approx(wanted["lightness"], abs=2)
        for key in ("a", "b"):
            assert reached[key] == pytest.approx(own[key], abs=2)


def test_depth_survives():
    out = METHODS["ref-color"](tissue(side=200))
    assert np.unique(out[..., 1]).size > 10_000


def test_other_methods_follow_nothing():
    with pytest.raises(UsageError, match="clahe does not use a reference"):
        METHODS["clahe"].following(tissue())


@pytest.mark.parametrize("light", [0.3, 0.1, 0.07])
@pytest.mark.parametrize("name", ["ref-color", "flat-field-ref-color"])
def test_a_photograph_of_little_light_is_not_flat(name, light):
    picture = tissue()
    lit = METHODS[name](picture)
    dark = METHODS[name](picture * np.float32(light))
    assert dark[..., 1].std() > 0.3 * lit[..., 1].std()
    assert np.corrcoef(dark[..., 1].ravel(), lit[..., 1].ravel())[0, 1] > 0.9


def test_a_hair_of_light_changes_a_hair():
    picture, method = tissue(side=60), METHODS["ref-color"]
    lights = np.geomspace(0.5, 0.07, 100, dtype=np.float32)
    found = [method(picture * light) for light in lights]
    steps = [np.abs(b - a).mean() for a, b in itertools.pairwise(found)]
    assert max(steps) < 0.004


def test_a_dark_reference_keeps_a_dark_picture():
    dark = tissue() * np.float32(0.1)
    out = METHODS["ref-color"](dark, **METHODS["ref-color"].following(dark))
    np.testing.assert_allclose(out, dark, atol=1e-3)
