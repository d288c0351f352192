"""CLAHE of value, luma and channels, against the detour over the colour spaces."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import hsv2rgb, rgb2hsv

from medenh.classical import METHODS
from medenh.classical.clahe import equalise

cv2 = pytest.importorskip("cv2")

NAMES = ("clahe-hsv", "clahe-ycc", "clahe-rgb")


def colours(height=160, width=200):
    """Smooth colours of every hue, some grey, some black."""
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 1, (height, width, 3))
    out = 0.45 + 1.5 * ndimage.gaussian_filter(noise, (9, 9, 0))
    out[:30, :40] = out[:30, :40, :1]
    out[-20:, -30:] = 0
    return out.clip(0, 1).astype(np.float32)


def test_value_agrees_with_the_way_through_hsv():
    pixels = colours()
    hsv = rgb2hsv(pixels)
    hsv[..., 2] = equalise(pixels.max(axis=2), clip=3.0)

    out = METHODS["clahe-hsv"](pixels, clip=3.0)

    np.testing.assert_allclose(out, hsv2rgb(hsv), atol=1e-5)
    assert np.abs(out - pixels).mean() > 0.03


def test_luma_agrees_with_opencvs_way_through_ycc():
    pixels = colours()
    ycc = cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)
    ycc[..., 0] = equalise(np.ascontiguousarray(ycc[..., 0]))
    wanted = cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB).clip(0, 1)

    out = METHODS["clahe-ycc"](pixels)

    # a value at the border between two bins may fall into either
    assert np.abs(out - wanted).mean() < 1e-4
    assert np.abs(out - wanted).max() < 0.01
    assert np.abs(out - pixels).mean() > 0.03


def test_channels_agree_with_opencv_on_8_bits():
    levels = np.rint(255 * colours(256, 320)).astype(np.uint8)
    clahe = cv2.createCLAHE(2.0, (8, 8))
    theirs = np.stack(
        [clahe.apply(np.ascontiguousarray(levels[..., c])) for c in range(3)], axis=2
    )

    out = METHODS["clahe-rgb"]((levels / 255).astype(np.float32))

    # tiles that hold one value alone keep it here
    assert np.abs(out - theirs / 255)[:200, :250].max() < 1.01 / 255


@pytest.mark.parametrize("name", NAMES)
def test_grey_is_equalised_as_by_clahe_in_one_channel_and_in_three(name):
    grey = colours()[..., :1]
    options = {"clip": 3, "tiles": 4}
    wanted = METHODS["clahe"](grey, **options)
    np.testing.assert_allclose(METHODS[name](grey, **options), wanted, atol=1e-6)
    three = METHODS[name](grey.repeat(3, 2), **options)
    np.testing.assert_allclose(three, wanted.repeat(3, 2), atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_8_and_16_bits_are_enhanced_alike_and_depth_survives(name):
    fine = np.rint(65535 * colours())
    deep = METHODS[name]((fine / 65535).astype(np.float32))
    coarse = METHODS[name]((np.rint(fine / 257) / 255).astype(np.float32))
    assert np.abs(deep - coarse).mean() < 0.005
    assert np.unique(deep[..., 1]).size > 10_000


def test_black_among_colours_is_no_division_by_zero():
    pixels = colours()
    pixels[40:44, 40:44] = 0
    with np.errstate(all="raise"):
        out = METHODS["clahe-hsv"](pixels)
    assert np.ptp(out[40:44, 40:44], axis=2).max() == 0
