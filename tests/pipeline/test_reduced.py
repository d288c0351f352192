"""Large frames of models that know small ones: shown in small, changed in full."""

from __future__ import annotations

import numpy as np
import pytest
from fakes_pipeline import FakeRunner, make_image

from medenh.pipeline import reduced as reduced_module
from medenh.pipeline.enhancer import Contract, FrameEnhancer
from medenh.pipeline.frames import FrameTask

SMALL = Contract(largest_side=64)


def picture(dtype=np.uint8, height=301, width=203, channels=3, seed=0):
    """Smooth, with fine grain that no copy of 64 pixels shows."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    smooth = 0.45 + 0.2 * np.sin(x / 40) * np.cos(y / 55)
    pixels = smooth[..., None] + rng.uniform(-0.1, 0.1, (height, width, channels))
    white = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    return make_image((pixels * white).astype(dtype)[None])


def run(image, runner, contract=SMALL, **options):
    out = np.zeros_like(image.pixels)
    enhancer = FrameEnhancer(runner, contract, **options)
    enhancer.enhance([FrameTask(image, 0, out)])
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_changes_nothing_gives_the_same_numbers(dtype, channels):
    image = picture(dtype, channels=channels)
    runner = FakeRunner()
    assert np.array_equal(run(image, runner), image.pixels)
    assert runner.shapes == [(1, channels, 64, 43)]


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_gain_and_offset_reach_the_finest_detail(strength):
    image = picture(np.float32)

    def brighter(x):
        return x * np.float32(1.2) + np.float32(0.02)

    whole = run(image, FakeRunner(brighter), Contract(), strength=strength)
    small = run(image, FakeRunner(brighter), strength=strength)
    error = np.abs(small - whole)
    assert error.mean() < 0.004  # the grain alone, left as it was, would be .01 off
    assert error.max() < 0.05


def test_light_that_depends_on_the_place_is_evened_in_its_place():
    def fade(x):
        height, width = x.shape[2:]
        y, x_ = np.mgrid[:height, :width]
        across = (x_ + 0.5) / width + (y + 0.5) / height
        return (x * (0.6 + 0.3 * across)).astype(np.float32)

    image = picture(np.float32)
    whole = run(image, FakeRunner(fade), Contract())
    np.testing.assert_allclose(run(image, FakeRunner(fade)), whole, atol=0.05)


def test_strips_leave_no_seams(monkeypatch):
    image = picture(np.float32)
    tint = FakeRunner(lambda x: np.sqrt(x))
    whole = run(image, tint)
    monkeypatch.setattr(reduced_module, "STRIP", 203 * 7)
    assert np.array_equal(run(image, tint), whole)


def test_small_frames_are_seen_as_they_are():
    runner = FakeRunner()
    run(picture(height=64, width=50), runner)
    assert runner.shapes == [(1, 3, 64, 50)]


@pytest.mark.parametrize("size", [(400, 1), (3, 999), (65, 64)])
def test_odd_shapes(size):
    image = picture(np.float32, *size)
    out = run(image, FakeRunner(lambda x: x * np.float32(0.5)))
    np.testing.assert_allclose(out, image.pixels / 2, atol=0.08)


def test_pixels_that_are_no_numbers_spoil_nothing_else():
    image = picture(np.float32)
    image.pixels[0, 100:103, 50:60] = np.nan
    out = run(image, FakeRunner(lambda x: x * np.float32(0.5)))
    far = np.ones(out.shape[1:3], bool)
    far[80:123, 30:80] = False
    np.testing.assert_allclose(out[0][far], image.pixels[0][far] / 2, atol=0.05)


def test_tiles_that_were_asked_for_are_told_of():
    enhancer = FrameEnhancer(FakeRunner(), SMALL, tile=32)
    assert "a copy of 64 pixels" in enhancer.caveats(picture())[0]
    assert not FrameEnhancer(FakeRunner(), SMALL).caveats(picture())
    whole = FrameEnhancer(FakeRunner(), Contract(halo=None), tile=32)
    (told,) = whole.caveats(picture())
    assert "tiles of 32 pixels" in told
    assert "values differ" in told
    local = FrameEnhancer(FakeRunner(), Contract(halo=8), tile=32)
    assert not local.caveats(picture())  # exact
