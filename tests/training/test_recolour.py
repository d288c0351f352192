"""Pictures in colours of no data set."""

import numpy as np
import pytest
from skimage.color import rgb2lab
from skimage.data import retina
from skimage.transform import resize

from medenh.training.recolour import lifted, recoloured, retoned


@pytest.fixture(scope="module")
def eye():
    return resize(retina(), (64, 64), anti_aliasing=True).astype(np.float32)


def hue(pixels):
    """Return the mean direction of colour in CIELAB, in radians."""
    lab = rgb2lab(pixels).reshape(-1, 3).mean(0)
    return np.arctan2(lab[2], lab[1])


def luma(pixels):
    return pixels @ np.array((0.299, 0.587, 0.114))


def test_uses_the_range_from_black_to_white_in_other_hues(eye):
    dull = 0.2 + 0.2 * eye
    for seed in range(20):
        out = recoloured(dull, np.random.default_rng(seed))
        assert out.shape == eye.shape
        assert out.dtype == np.float32
        assert 0 <= out.min() < 0.1
        assert 0.85 < out.max() <= 1
        low, high = np.quantile(luma(out), (0.01, 0.99))
        assert high - low > 0.5
        assert np.cos(hue(out) - hue(dull)) < 0.9


def test_keeps_the_order_of_tones_or_turns_it(eye):
    signs = set()
    for seed in range(30):
        out = recoloured(eye, np.random.default_rng(seed))
        order = np.corrcoef(luma(eye).ravel(), luma(out).ravel())[0, 1]
        assert abs(order) > 0.8
        signs.add(np.sign(order))
    assert signs == {-1, 1}


@pytest.mark.parametrize(
    "pixels",
    [
        np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16, 1),
        np.repeat(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16, 1), 3, 2),
        np.full((16, 16, 3), (0.8, 0.2, 0.1), np.float32),
    ],
    ids=["one channel", "grey in three", "flat"],
)
def test_leaves_what_has_no_colours_or_tones(pixels):
    out = recoloured(pixels, np.random.default_rng(0))
    np.testing.assert_array_equal(out, pixels)


def test_a_grey_picture_gets_other_tones_and_black_stays_black():
    ramp = np.linspace(0, 0.8, 400, dtype=np.float32).reshape(20, 20, 1)
    darker = brighter = 0
    for seed in range(20):
        out = retoned(ramp, np.random.default_rng(seed))
        assert out.dtype == np.float32
        assert out.min() == out[0, 0, 0] == 0.0
        assert 0 < out.max() <= 0.8 + 1e-6
        steps = np.diff(out.ravel()) / np.diff(ramp.ravel())
        assert np.abs(steps).max() < 4, "noise would show"
        assert out.ravel()[:40].max() < 2 * ramp.ravel()[:40].max(), "air stays air"
        darker += bool((steps < -0.1).any())
        brighter += bool(np.abs(out - ramp).max() > 0.1)
    assert darker > 10
    assert brighter > 15


def test_colours_and_black_pictures_keep_their_tones(eye):
    for pixels in (eye, np.zeros((8, 8, 1), np.float32)):
        np.testing.assert_array_equal(retoned(pixels, np.random.default_rng(0)), pixels)


def test_lifted_pictures_have_no_black_and_the_same_order_of_tones():
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16, 1)
    blacks = set()
    for seed in range(20):
        out = lifted(ramp, np.random.default_rng(seed))
        assert out.dtype == np.float32
        assert out.max() == 1
        assert (np.diff(out.ravel()) > 0).all()
        blacks.add(round(float(out.min()), 2))
    assert min(blacks) >= 0.05
    assert max(blacks) <= 0.5
    assert len(blacks) > 10


def test_colour_pictures_are_not_lifted(eye):
    np.testing.assert_array_equal(lifted(eye, np.random.default_rng(0)), eye)
