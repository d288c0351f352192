"""Noise statistics against theory and scikit-image."""

import numpy as np
import pytest
from skimage.util import random_noise

from medenh.degradations.noise import (
    GaussianNoise,
    ImpulseNoise,
    PoissonGaussianNoise,
    ShotNoise,
    SpeckleNoise,
)
from medenh.degradations.operator import Scene

LEVELS = (0.0, 0.1, 0.3, 0.6, 0.9)
ALL = [
    GaussianNoise(0.1, 1),
    ShotNoise(30.0, 1),
    PoissonGaussianNoise(500.0, 0.01, 1, 2.2),
    SpeckleNoise(0.3, 1),
    ImpulseNoise(0.1, 1),
]


def _flat(level, channels=1):
    return np.full((400, 400, channels), level, np.float32)


@pytest.mark.parametrize("photons", [1000.0, 30.0, 5.0])
def test_variance_is_a_x_plus_b(photons):
    read = 0.02
    noise = PoissonGaussianNoise(photons, read, 7)
    for level in LEVELS:
        noisy = noise.apply(_flat(level), Scene()).astype(np.float64)
        expected = level / photons + read**2
        assert noisy.var() == pytest.approx(expected, rel=0.02)
        assert noisy.mean() == pytest.approx(level, abs=5e-3 / np.sqrt(photons) + 1e-4)


def test_photon_counts_are_whole_and_right():
    counts = ShotNoise(12.0, 3).apply(_flat(0.5), Scene()) * 12
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)
    share = np.bincount(np.rint(counts).astype(int).ravel(), minlength=12)[:12]
    k = np.arange(12)
    factorial = np.cumprod(np.maximum(k, 1)).astype(float)
    expected = np.exp(-6.0) * 6.0**k / factorial
    np.testing.assert_allclose(share / counts.size, expected, atol=0.002)


@pytest.mark.parametrize("mean", [40, 65, 400])
def test_many_photons_have_the_spread_and_skewness_of_poisson(mean):
    level = np.full((1000, 1000, 1), 0.8, np.float32)
    counts = ShotNoise(mean / 0.8, 5).apply(level, Scene()).astype(np.float64) * mean
    counts = np.rint(counts / 0.8)
    assert counts.mean() == pytest.approx(mean, rel=1e-3)
    assert counts.var() == pytest.approx(mean, rel=0.006)
    off = (counts - counts.mean()) / counts.std()
    assert (off**3).mean() == pytest.approx(1 / np.sqrt(mean), abs=0.01)


def test_gamma_makes_noise_in_linear_light():
    noise = PoissonGaussianNoise(2000.0, 0.0, 3, 2.2)
    light = noise.apply(_flat(0.5), Scene()).astype(np.float64) ** 2.2
    assert light.mean() == pytest.approx(0.5**2.2, rel=0.002)
    assert light.var() == pytest.approx(0.5**2.2 / 2000, rel=0.02)


def test_statistics_equal_those_of_scikit_image():
    x = _flat(0.4)

    def both(ours, **mode):
        theirs = random_noise(x, rng=5, clip=False, **mode)
        a, b = ours.apply(x, Scene()), theirs
        assert a.mean() == pytest.approx(b.mean(), abs=2e-3)
        assert a.std() == pytest.approx(b.std(), rel=0.02)

    both(GaussianNoise(0.1, 2), mode="gaussian", var=0.01)
    both(SpeckleNoise(0.3, 2), mode="speckle", var=0.09)
    both(ImpulseNoise(0.17, 2), mode="s&p", amount=0.17)


def test_impulses_are_black_or_white():
    noisy = ImpulseNoise(0.1, 1).apply(_flat(0.5), Scene())
    assert set(np.unique(noisy)) == {0.0, 0.5, 1.0}
    assert (noisy == 1).mean() == pytest.approx(0.05, rel=0.05)
    assert (noisy == 0).mean() == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("noise", ALL, ids=lambda one: one.name)
def test_streams(noise):
    """Same seed, same noise; frames differ; grey stays grey, colours are apart."""
    grey = _flat(0.4)
    first = noise.apply(grey, Scene())
    np.testing.assert_array_equal(first, noise.apply(grey, Scene()))
    assert (first != noise.apply(grey, Scene(frame=1))).any()
    as_colour = noise.apply(np.repeat(grey, 3, -1), Scene())
    np.testing.assert_array_equal(as_colour, np.repeat(first, 3, -1))
    tinted = np.repeat(grey, 3, -1) * np.array([1.0, 0.9, 0.8], np.float32)
    change = noise.apply(tinted, Scene()) - tinted
    pair = np.corrcoef(change[..., 0].ravel(), change[..., 1].ravel())
    assert abs(pair[0, 1]) < 0.02
