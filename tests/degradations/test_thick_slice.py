"""Thick slices: between frames of volumes, never between volumes."""

import numpy as np
import pytest
import scipy.ndimage

from medenh.degradations import Scene
from medenh.degradations.thick_slice import CtThickSlice, MriAnisotropy


def volumes(times=1, depth=7):
    return np.random.default_rng(0).random((times * depth, 6, 5, 1), np.float32)


@pytest.mark.parametrize("width", [3, 5])
def test_a_box_along_the_slices(width):
    frames = volumes()
    low = CtThickSlice(float(width)).apply(frames, Scene(depth=7))
    theirs = scipy.ndimage.uniform_filter1d(frames, width, axis=0, mode="nearest")
    np.testing.assert_allclose(low, theirs, atol=1e-6)


def test_half_slices_count_half():
    impulse = np.zeros((7, 1, 1, 1), np.float32)
    impulse[3] = 1.0
    low = CtThickSlice(2.0).apply(impulse, Scene(depth=7)).ravel()
    np.testing.assert_allclose(low, [0, 0, 0.25, 0.5, 0.25, 0, 0])
    np.testing.assert_array_equal(
        CtThickSlice(1.0).apply(impulse, Scene(depth=7)), impulse
    )


@pytest.mark.parametrize("operator", [CtThickSlice(3.0), MriAnisotropy(3.0, "slice")])
def test_times_do_not_mix(operator):
    frames = volumes(times=3)
    whole = operator.apply(frames, Scene(depth=7))
    parts = [operator.apply(frames[at : at + 7], Scene(depth=7)) for at in (0, 7, 14)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert np.abs(whole - frames).max() > 0.1


def test_a_single_slice_stays():
    frame = volumes(depth=1)
    np.testing.assert_array_equal(CtThickSlice(4.0).apply(frame, Scene()), frame)


def test_more_thickness_is_worse():
    frames = scipy.ndimage.gaussian_filter(volumes(depth=20), (1, 0, 0, 0))
    for kind in (CtThickSlice, lambda f: MriAnisotropy(f, "slice")):
        errors = [
            np.square(kind(factor).apply(frames, Scene(depth=20)) - frames).mean()
            for factor in (2.0, 3.0, 5.0)
        ]
        assert errors == sorted(errors)


def test_single_pictures_lose_an_axis_inside():
    rng = np.random.default_rng(0)
    frame = volumes(depth=1)
    drawn = {MriAnisotropy.sample(rng, frame[0], Scene(), None).axis for _ in range(20)}
    assert drawn == {"row", "column"}
    assert MriAnisotropy.sample(rng, frame[0], Scene(depth=4), None).axis == "slice"
    down = MriAnisotropy(3.0, "row").apply(frame, Scene())
    assert np.abs(np.diff(down, axis=1)).mean() < np.abs(np.diff(frame, axis=1)).mean()
    across = MriAnisotropy(3.0, "column").apply(frame.swapaxes(1, 2), Scene())
    np.testing.assert_allclose(across.swapaxes(1, 2), down, atol=1e-6)
