"""Blur against SciPy; unit sums, no shift, no leak into a field."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from medenh.degradations import psf
from medenh.degradations.blur import (
    DefocusBlur,
    GaussianBlur,
    MotionBlur,
    TrajectoryBlur,
    ZoomBlur,
)
from medenh.degradations.operator import Scene

ALL = [
    GaussianBlur(2.5),
    DefocusBlur(4.3, 0.5),
    MotionBlur(15.0, 30.0, sigma=5.0),
    MotionBlur(12.0, 100.0),
    TrajectoryBlur(25.0, 0.4, 0.1, 5),
]


def _picture(channels=3):
    photo = data.retina()[400:600, 500:650].astype(np.float32) / 255
    return np.ascontiguousarray(photo[..., :channels])


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_scipy(channels):
    x = _picture(channels)
    ours = GaussianBlur(2.0).apply(x, Scene())
    theirs = ndimage.gaussian_filter(x, (2, 2, 0), mode="reflect", truncate=4)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    kernel = psf.shake_kernel(20.0, inertia=0.5, shake=0.2, seed=3)
    ours = TrajectoryBlur(20.0, 0.5, 0.2, 3).apply(x, Scene())
    theirs = ndimage.convolve(x, kernel[..., None], mode="reflect")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("operator", ALL, ids=lambda one: one.name)
def test_the_mean_is_conserved_and_nothing_moves(operator):
    x = _picture()
    assert operator.apply(x, Scene()).mean() == pytest.approx(x.mean(), rel=2e-3)
    dot = np.zeros((101, 101, 1), np.float32)
    dot[50, 50] = 1.0
    spread = operator.apply(dot, Scene())[..., 0]
    assert spread.sum() == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(ndimage.center_of_mass(spread), (50, 50), atol=0.02)


@pytest.mark.parametrize("operator", [*ALL, ZoomBlur(1.2)], ids=lambda one: one.name)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 37, 3), (5, 4, 3)])
def test_pictures_smaller_than_the_kernel_pass(operator, shape):
    x = np.full(shape, 0.4, np.float32)
    np.testing.assert_allclose(operator.apply(x, Scene()), x, atol=1e-5)


@pytest.mark.parametrize("operator", [*ALL, ZoomBlur(1.2)], ids=lambda one: one.name)
def test_a_dark_surround_does_not_leak_into_the_field(operator):
    y, x = np.mgrid[:120, :120]
    field = (np.hypot(x - 60, y - 60) < 50).astype(np.float32)
    flat = np.float32(0.7) * field[..., None]
    blurred = operator.apply(flat, Scene(field=field))
    np.testing.assert_allclose(blurred[field > 0], 0.7, atol=1e-4)


def test_kernels_have_the_asked_size():
    disc = psf.disc_kernel(10.0)
    assert 1 / disc.max() == pytest.approx(np.pi * 100, rel=0.05)  # its area
    line = psf.line_kernel(20.0, 0.0)
    across = np.flatnonzero(line.sum(0) > 1e-3)
    assert across[-1] - across[0] == pytest.approx(21, abs=1)
    assert line.sum(1).max() == pytest.approx(1.0)  # one row
    half = psf.line_kernel(40.0, 0.0, sigma=5.0).sum(0)
    head = np.flatnonzero(half > 0.01)[0]
    np.testing.assert_allclose(  # falls along the path like a Gaussian
        half[head + 3] / half[head + 1], np.exp(-(9 - 1) / 50), rtol=0.05
    )


def test_a_longer_shake_spreads_wider():
    def width(length):
        spread = []
        for seed in range(20):
            kernel = psf.shake_kernel(length, inertia=0.3, shake=0.1, seed=seed)
            at = np.indices(kernel.shape) - kernel.shape[0] // 2
            spread.append(np.sqrt((np.square(at).sum(0) * kernel).sum()))
        return np.mean(spread)

    assert width(50.0) == pytest.approx(2 * width(25.0), rel=0.1)
