"""Masks, means and noise against plain versions of the same formulas."""

import numpy as np
import pytest
from scipy import ndimage

from medenh.classical.common import (
    field_radius,
    filled_background,
    fov_mask,
    guided_filter,
    masked_gaussian,
    noise_sigma,
)
from medenh.colour import lab_to_rgb, luma, rgb_to_lab, strips

RNG = np.random.default_rng(7)
FILLED = ((10, 10), (15, 15), (0, 0))


@pytest.mark.parametrize("sigma", [0.5, 3.0, 40.0])
def test_masked_gaussian_is_the_normalised_convolution(sigma):
    image = ndimage.gaussian_filter(RNG.random((150, 180)), 2).astype(np.float32)
    y, x = np.mgrid[:150, :180]
    mask = np.hypot(y - 75, x - 90) < 65

    out = masked_gaussian(image, sigma, mask)

    weighted, weight = (
        ndimage.gaussian_filter(v, sigma, mode="reflect")
        for v in (image.astype(np.float64) * mask, mask.astype(np.float64))
    )
    wanted = weighted[mask] / weight[mask]
    np.testing.assert_allclose(out[mask], wanted, atol=2e-3)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("radius", "eps"), [(1, 1e-6), (5, 1e-3), (60, 0.1)])
def test_guided_filter_is_the_local_least_squares_fit(radius, eps, masked):
    guide, plane = (RNG.random((45, 70)).astype(np.float32) for _ in range(2))
    weight = np.ones((45, 70))
    if masked:
        weight[:, 50:] = 0

    def mean(values):
        total, area = (
            ndimage.uniform_filter(v, 2 * radius + 1, mode="reflect")
            for v in (values * weight, weight)
        )
        return total / np.maximum(area, 1e-9)

    lead, wanted = guide.astype(np.float64), plane.astype(np.float64)
    slope = mean(lead * wanted) - mean(lead) * mean(wanted)
    slope /= mean(lead**2) - mean(lead) ** 2 + eps
    offset = mean(wanted) - slope * mean(lead)
    expected = mean(slope) * lead + mean(offset)

    out = guided_filter(guide, plane, radius, eps, weight > 0 if masked else None)

    np.testing.assert_allclose(out[weight > 0], expected[weight > 0], atol=1e-5)


def test_guided_filter_keeps_the_edges_of_the_guide():
    step = np.repeat([0.2, 0.8], 40)[None].repeat(60, 0)
    rough = (step + RNG.normal(0, 0.05, step.shape)).astype(np.float32)
    out = guided_filter(step, rough, 8, 1e-4)
    assert np.abs(out - step).max() < 0.05
    assert np.abs(out - step).std() < 0.3 * np.abs(rough - step).std()


@pytest.mark.parametrize("channels", [1, 3])
def test_background_is_filled_from_the_nearest_foreground(channels):
    mask = np.zeros((40, 50), bool)
    mask[10:30, 15:35] = True
    pixels = RNG.random((40, 50, channels)).astype(np.float32)

    out = filled_background(pixels, mask)

    np.testing.assert_array_equal(out, np.pad(pixels[10:30, 15:35], FILLED, "edge"))
    alone = np.zeros((40, 50), bool)
    alone[3, 4] = True
    assert (filled_background(pixels, alone) == pixels[3, 4]).all()


def test_masked_gaussian_makes_no_dark_rim():
    mask = np.zeros((80, 80), bool)
    mask[20:60, 20:60] = True
    image = np.where(mask, 0.7, 0.0).astype(np.float32)
    np.testing.assert_allclose(masked_gaussian(image, 6.0, mask)[mask], 0.7, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.01, 0.06, 0.2])
def test_noise_is_estimated_within_5_percent(sigma):
    y, x = np.mgrid[:256, :256]
    clean = 0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 13)
    rough = clean + RNG.normal(0, sigma, clean.shape)
    assert noise_sigma(rough) == pytest.approx(sigma, rel=0.05)


def test_noise_is_that_of_the_foreground_at_any_size():
    mask = np.zeros((2501, 300), bool)
    mask[:, 100:] = True
    rough = np.where(mask, RNG.normal(0, 0.02, mask.shape), 0.0)
    assert noise_sigma(rough) == pytest.approx(0.02, rel=0.05)  # zeros are padding
    rough[:, :100] = RNG.normal(0, 0.3, (2501, 100))
    assert noise_sigma(rough, mask) == pytest.approx(0.02, rel=0.05)
    assert noise_sigma(np.full((64, 64), 0.3)) == 0
    assert noise_sigma(np.ones((1, 1))) == 0


def test_edges_of_a_drawn_pattern_are_no_noise():
    """Only their details are not zero: test patterns lost lines of low contrast."""
    pattern = np.full((256, 256), 0.5)
    for at, level in enumerate(np.linspace(0, 1, 9)):
        pattern[20 * at + 20 : 20 * at + 35, 30:120] = level
    pattern[40:200, 140:220:5] = 0.52
    assert noise_sigma(pattern) == 0
    rough = np.clip(pattern + RNG.normal(0, 0.02, pattern.shape), 0.2, 0.8)
    assert noise_sigma(rough) == pytest.approx(0.02, rel=0.1)  # clipped is not quiet


@pytest.mark.parametrize("side", [300, 2500])
def test_field_of_view_of_a_fundus_disc(side):
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    radius = np.hypot(x, y)
    disc = radius < 0.85
    pixels = np.where(disc, 0.3, 0.01)[..., None].astype(np.float32) * np.ones(3)
    pixels[(np.abs(x) < 0.1) & (np.abs(y) < 0.1)] = 0.0  # a hole
    pixels[(x > 0.95) & (y > 0.95)] = 0.5  # a label in the corner

    mask = fov_mask(pixels)

    assert mask[side // 2, side // 2]
    assert not mask[-1, -1]
    assert not mask[radius > 0.86].any()
    assert mask[radius < 0.82].all()
    assert field_radius(mask) == pytest.approx(0.85 * side / 2, rel=0.03)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64)])
def test_without_surround_all_is_field(size, value):
    assert fov_mask(np.full((*size, 1), value, np.float32)).all()


def test_lab_there_and_back_and_known_white():
    rgb = RNG.random((70, 90, 3), np.float32)
    np.testing.assert_allclose(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=1e-4)
    white = rgb_to_lab(np.ones((1, 1, 3), np.float32))[0, 0]
    np.testing.assert_allclose(white, [100, 0, 0], atol=0.02)
    known = rgb_to_lab(np.array([[[0.5, 0.2, 0.1]]], np.float32))[0, 0]
    assert known[0] == pytest.approx(31.788, abs=0.002)


@pytest.mark.filterwarnings("error")
def test_colours_outside_the_gamut_are_clipped_without_a_word():
    lab = np.array([[[5.0, 0.0, 90.0], [95.0, 100.0, -100.0]]], np.float32)
    rgb = lab_to_rgb(lab)
    assert rgb.min() >= 0
    assert rgb.max() <= 1


def test_strips_cover_every_row_once():
    rows = np.concatenate([np.arange(17)[part] for part in strips(17, 9, pixels=40)])
    np.testing.assert_array_equal(rows, np.arange(17))
    assert strips(3, 10_000_000) == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_luma_of_grey_is_itself():
    grey = RNG.random((4, 5))
    assert luma(grey) is grey
    np.testing.assert_array_equal(luma(grey[..., None]), grey)
    np.testing.assert_allclose(luma(np.repeat(grey[..., None], 3, 2)), grey, atol=1e-12)
