"""Projection and reconstruction against scikit-image."""

import numpy as np
import pytest
from skimage.data import shepp_logan_phantom
from skimage.transform import iradon, radon, resize

from medenh.degradations.radon import (
    back_project,
    filtered_back_project,
    project,
    view_angles,
)


def phantom(side):
    return resize(shepp_logan_phantom(), (side, side), anti_aliasing=True).astype(
        np.float32
    )


def relative(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)))


def middle(rows, length):
    """Return the middle bins: both detectors are centred."""
    first = (rows.shape[1] - length) // 2
    return rows[:, first : first + length]


def test_projections_are_those_of_scikit_image():
    image, angles = phantom(101), view_angles(60)  # odd: the same centre in both
    theirs = radon(image, angles, circle=False).T
    ours = middle(project(image, angles), theirs.shape[1])
    assert relative(ours, theirs) < 0.02


@pytest.mark.parametrize(("kernel", "name"), [("ramp", "ramp"), ("hann", "hann")])
def test_reconstruction_is_that_of_scikit_image(kernel, name):
    image, angles = phantom(101), view_angles(180)
    sinogram = project(image, angles)
    theirs = iradon(sinogram.T, angles, filter_name=name, circle=False, output_size=101)
    ours = filtered_back_project(sinogram, angles, image.shape, kernel=kernel)
    assert relative(ours, theirs) < 0.02


def test_reconstruction_gives_the_picture_back():
    image, angles = phantom(128), view_angles(360)
    again = filtered_back_project(project(image, angles), angles, image.shape)
    assert np.sqrt(np.mean((again - image) ** 2)) < 0.04
    assert abs(again.mean() - image.mean()) < 2e-3


@pytest.mark.parametrize("shape", [(40, 61), (31, 9), (64, 64)])
def test_every_view_sees_all_and_back_projection_is_the_transpose(shape):
    rng = np.random.default_rng(0)
    image = rng.random(shape, np.float32)
    angles = view_angles(24, first=3.0)
    sinogram = project(image, angles)
    np.testing.assert_allclose(sinogram.sum(1), image.sum(), rtol=0.03)
    weights = np.cumsum(rng.random(sinogram.shape, np.float32), axis=1)
    there = float((sinogram * weights).sum(dtype=float))
    back = float((image * back_project(weights, angles, shape)).sum(dtype=float))
    assert there == pytest.approx(back, rel=0.01)
