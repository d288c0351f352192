"""DUAL and its fusion, against OpenCV's and against what they are for."""

import numpy as np
import pytest
from scipy import ndimage

from medenh.classical import METHODS
from medenh.classical.exposure_fusion import exposure_fusion
from medenh.classical.lime import edge_weights, illumination

cv2 = pytest.importorskip("cv2")


def retina(side):
    from skimage.data import retina as picture

    crop = picture()[205:1205, 205:1205] / 255
    return cv2.resize(crop.astype(np.float32), (side, side), None, 0, 0, cv2.INTER_AREA)


def exposures(shape, channels):
    """Return three 8-bit exposures. Their noise leaves no place without contrast."""
    rng = np.random.default_rng(1)
    scene = retina(300)[: shape[0], : shape[1], 3 - channels :]
    scene = scene[..., :channels]
    return [
        np.rint(
            255 * (gain * scene + rng.normal(0, 0.03, scene.shape)).clip(0, 1)
        ).astype(np.uint8)
        for gain in (0.5, 1.0, 1.6)
    ]


def unit(picture):
    return picture * np.float32(1 / 255)  # rounds as OpenCV does


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "shape", [(256, 256), (201, 297), (64, 65), (7, 100), (2, 2), (1, 9)]
)
def test_fusion_agrees_with_opencv_on_8_bits(shape, channels):
    taken = exposures(shape, channels)

    theirs = cv2.createMergeMertens(1, 1, 1).process(taken).reshape(*shape, channels)
    ours = exposure_fusion([unit(one) for one in taken])

    assert np.abs(ours - theirs).max() < 1e-4
    assert shape[0] < 64 or np.abs(ours - np.mean(unit(np.array(taken)), 0)).max() > 0.1


def test_grey_in_three_channels_is_fused_as_grey():
    taken = [unit(one) for one in exposures((150, 170), 1)]

    one = exposure_fusion(taken)
    three = exposure_fusion([np.repeat(grey, 3, axis=2) for grey in taken])

    np.testing.assert_array_equal(three, np.repeat(one, 3, axis=2))
    assert np.abs(three - np.mean(taken, axis=0)).mean() > 0.02  # no plain mean


@pytest.mark.parametrize("channels", [1, 3])
def test_dual_fuses_the_picture_and_both_corrections(channels):
    pixels = retina(200)[..., :channels] * np.float32(0.5)
    light, shade = (
        illumination(p.max(axis=2), alpha=0.15, smoothing=3.0, radius=7)[..., None]
        for p in (pixels, 1 - pixels)
    )
    under = np.clip(pixels / light**0.6, 0, 1)
    over = 1 - np.clip((1 - pixels) / shade**0.6, 0, 1)
    taken = [np.rint(p * 255).astype(np.uint8) for p in (pixels, under, over)]

    theirs = cv2.createMergeMertens(1, 1, 1).process(taken).reshape(pixels.shape)

    # they see 8 bits, so that flat places differ
    assert np.abs(METHODS["dual"](pixels) - theirs.clip(0, 1)).mean() < 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_the_inverse_of_a_grey_picture_is_enhanced_to_the_inverse(channels):
    grey = np.repeat(retina(200)[..., 1:2], channels, axis=2)
    difference = METHODS["dual"](1 - grey) - (1 - METHODS["dual"](grey))
    assert np.abs(difference).mean() < 1e-4
    assert np.abs(METHODS["dual"](grey) - grey).mean() > 0.02


def test_both_bad_exposures_are_brought_back_towards_the_original():
    pixels = retina(200)
    dark = pixels * np.float32(0.3)
    bright = 1 - (1 - pixels) * np.float32(0.3)
    for bad in (dark, bright):
        out = METHODS["dual"](bad)
        assert abs(out.mean() - pixels.mean()) < 0.7 * abs(bad.mean() - pixels.mean())


def test_gamma_zero_changes_nothing():
    pixels = retina(100)
    np.testing.assert_allclose(METHODS["dual"](pixels, gamma=0), pixels, atol=1e-5)


def test_depth_survives():
    y, x = np.mgrid[:200, :200]
    deep = np.rint(65535 * (0.5 + 0.05 * np.sin(x / 31) * np.cos(y / 47))) / 65535
    out = METHODS["dual"](deep[..., None].astype(np.float32))
    assert np.unique(np.rint(out * 65535)).size > 2000


def test_foreground_does_not_depend_on_the_surround():
    pixels = retina(120)
    y, x = np.mgrid[:120, :120]
    mask = np.hypot(y - 60, x - 55) < 40
    black, noise = pixels.copy(), pixels.copy()
    black[~mask] = 0
    noise[~mask] = np.random.default_rng(0).random((int((~mask).sum()), 3))

    one, other = (METHODS["dual"](p, mask) for p in (black, noise))

    np.testing.assert_array_equal(one[mask], other[mask])


@pytest.mark.parametrize(("sigma", "radius"), [(3.0, 7), (3.0, 3), (2.0, None)])
def test_weights_are_cut_off_at_their_radius(sigma, radius):
    plane = retina(60)[..., 0]
    reach = round(sigma) if radius is None else radius
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()

    step = np.diff(plane.astype(np.float64), axis=1, append=plane[:, -1:])
    mean = ndimage.correlate1d(step, taps, axis=0, mode="reflect")
    mean = ndimage.correlate1d(mean, taps, axis=1, mode="reflect")
    wanted = 1 / (np.abs(mean) + 1e-3) / (np.abs(step) + 1e-3)
    wanted[:, -1] = 0

    np.testing.assert_allclose(edge_weights(plane, sigma, radius), wanted, rtol=1e-3)
