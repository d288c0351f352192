"""Flat areas: a shift of them is measured, whatever happens to edges and noise."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medenh.metrics import flat_bias

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def slice_of_ct():
    """Flat tissue left, texture right, air around."""
    picture = np.zeros((200, 240))
    picture[20:180, 20:220] = 0.4
    picture[20:180, 130:220] += 0.1 * RNG.standard_normal((160, 90))
    picture[60:100, 40:90] = 0.6
    return picture.clip(0, 0.99)


def test_a_shift_of_tissue_is_measured_and_not_what_texture_loses(slice_of_ct):
    moved = slice_of_ct + 0.01 * (slice_of_ct > 0)
    assert flat_bias(moved, slice_of_ct, data_range=1) == pytest.approx(0.01, rel=1e-4)
    smoothed = slice_of_ct.copy()
    smoothed[20:180, 130:220] = 0.45  # moves the mean of the texture alone
    assert flat_bias(smoothed, slice_of_ct) < 1e-3  # it moved by 0.05
    air = np.where(slice_of_ct == 0, 0.2, slice_of_ct)
    assert flat_bias(air, slice_of_ct) < 1e-6


def test_shifts_to_either_side_do_not_cancel(slice_of_ct):
    moved = slice_of_ct.copy()
    moved[20:100] += 0.01
    moved[100:180] -= 0.01
    assert 0.007 < flat_bias(moved, slice_of_ct, data_range=1) < 0.01


def test_noise_leaves_what_its_local_means_have(slice_of_ct):
    noise = 0.05 * RNG.standard_normal(slice_of_ct.shape)
    noisy = (slice_of_ct + noise).clip(0, 1)
    left = np.abs(gaussian_filter(noise, 8)).mean()
    assert flat_bias(noisy, slice_of_ct) == pytest.approx(left, rel=0.4)


def test_nothing_flat_inside_is_undefined(slice_of_ct):
    assert np.isnan(flat_bias(np.ones((50, 50)), np.zeros((50, 50))))
    thin = np.zeros(slice_of_ct.shape, bool)
    thin[90:93] = True
    assert np.isnan(flat_bias(slice_of_ct, slice_of_ct, mask=thin))


def test_large_pictures_are_measured_on_means_of_blocks(slice_of_ct):
    large = np.kron(slice_of_ct, np.ones((9, 9))).astype(np.float32)
    moved = large + np.float32(0.02) * (large > 0)
    assert flat_bias(moved, large) == pytest.approx(0.02, rel=1e-3)
