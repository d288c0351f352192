"""Noise of magnitudes: how strong it is, and what it adds to the mean."""

import numpy as np
import pytest
from scipy import stats

from medenh.classical import METHODS
from medenh.classical.rician import rician_sigma, without_bias


def magnitudes(sigma, radius, side=256, seed=0):
    """Return a disc of tissue without noise, and as a scanner sees it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    clean = 0.4 + 0.2 * np.sin(x / 15) * np.cos(y / 11)
    clean *= np.hypot(y - side / 2, x - side / 2) < radius
    real, imaginary = rng.normal(0, sigma, (2, side, side))
    seen = np.hypot(clean + real, imaginary)
    return clean.astype(np.float32), seen.astype(np.float32)


def psnr(image, reference):
    return -10 * np.log10(np.mean(np.square(image - reference, dtype=np.float64)))


@pytest.mark.parametrize("sigma", [0.01, 0.02, 0.05])
@pytest.mark.parametrize("radius", [40, 90, 118, 400])
def test_sigma_is_estimated_within_5_percent(sigma, radius):
    """With a large background, a small one, and none."""
    _, seen = magnitudes(sigma, radius)
    assert rician_sigma(seen) == pytest.approx(sigma, rel=0.05)


def test_a_background_of_zeros_tells_nothing():
    clean, seen = magnitudes(0.03, 90)
    seen[clean == 0] = 0
    assert rician_sigma(seen) == pytest.approx(0.03, rel=0.1)


def test_masked_pixels_have_no_part_in_sigma():
    _, seen = magnitudes(0.03, 90)
    mask = np.ones_like(seen, bool)
    mask[:, 200:] = False
    seen[:, 200:] = np.random.default_rng(1).random((256, 56))
    assert rician_sigma(seen, mask) == pytest.approx(0.03, rel=0.05)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_pictures_without_noise_have_no_sigma_and_come_back(value):
    pixels = np.full((40, 40, 1), value, np.float32)
    assert rician_sigma(pixels[..., 0]) == 0
    np.testing.assert_array_equal(METHODS["nlm-rician"](pixels), pixels)


@pytest.mark.parametrize("sigma", [0.03, 0.06])
def test_bias_goes_with_the_noise(sigma):
    clean, seen = magnitudes(sigma, 90)
    out = METHODS["nlm-rician"](seen[..., None])[..., 0]
    plain = METHODS["nlm"](seen[..., None], sigma=sigma)[..., 0]
    y, x = np.mgrid[:256, :256] - 128
    outside = np.hypot(y, x) > 100

    assert seen[outside].mean() > 1.2 * sigma
    assert out[outside].mean() < 0.3 * sigma
    assert psnr(out, clean) > psnr(plain, clean) + 5
    assert psnr(plain, clean) > psnr(seen, clean)


@pytest.mark.parametrize("signal", [0.03, 0.07, 0.15, 0.5])
def test_dim_signals_keep_their_means(signal):
    rng = np.random.default_rng(2)
    real, imaginary = rng.normal(0, 0.05, (2, 200, 200))
    seen = np.hypot(signal + real, imaginary)[..., None].astype(np.float32)
    out = METHODS["nlm-rician"](seen, sigma=0.05, strength=2)
    assert out.mean() == pytest.approx(signal, abs=1.5e-3)


def test_the_bias_is_that_of_scipys_distribution():
    signals = np.array([0.0, 0.2, 1.0, 3.0, 7.9, 8.1, 20.0])
    means = (0.05 * stats.rice.mean(signals)).astype(np.float32)
    found = without_bias(means, 0.05)
    np.testing.assert_allclose(found[1:], 0.05 * signals[1:], atol=1e-4)
    assert found[0] < 1e-3
    assert without_bias(np.float32([0.0, 0.06]), 0.05).max() == 0


def test_grey_comes_out_alike_in_one_channel_and_in_three():
    grey = magnitudes(0.05, 40, side=96)[1][..., None]
    three = METHODS["nlm-rician"](grey.repeat(3, 2))
    np.testing.assert_allclose(
        three, METHODS["nlm-rician"](grey).repeat(3, 2), atol=1e-4
    )


def test_depth_survives():
    seen = magnitudes(0.002, 400, side=300)[1][..., None]
    assert np.unique(METHODS["nlm-rician"](seen)).size > 10_000
