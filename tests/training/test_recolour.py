"""Pictures in colours of no data set."""

import numpy as np
import pytest
from skimage.color import rgb2lab
from skimage.data import retina
from skimage.transform import resize

from medenh.degradations.field_of_view import find_shown_field
from medenh.training.data import CleanImage
from medenh.training.recolour import ColourSwap, recoloured
from medenh.training.sampler import to_unit


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


def _eye(seed: int, colour: tuple[int, int, int], dataset: str) -> CleanImage:
    rng = np.random.default_rng(seed)
    pixels = (rng.uniform(0.6, 1.0, (96, 96, 1)) * colour).astype(np.uint8)
    y, x = np.mgrid[:96, :96] - 47.5
    pixels[np.hypot(x, y) > 46] = 0
    return CleanImage(str(seed), "fundus", "train", str(seed), pixels, dataset)


def _means(pixels) -> np.ndarray:
    return np.log(pixels[pixels.max(2) > 0.05]).mean(0)


def test_swapped_colours_lie_between_those_of_the_set():
    red, blue = _eye(0, (200, 80, 40), "A"), _eye(1, (60, 80, 160), "A")
    swap = ColourSwap([red, blue, _eye(2, (10, 250, 10), "B")], {"A": 1.0})
    clean = to_unit(red.pixels)
    field = find_shown_field(clean)
    own, other = _means(clean), _means(to_unit(blue.pixels))
    ways = []
    for seed in range(30):
        out = swap(clean, field, "A", np.random.default_rng(seed))
        assert out.dtype == np.float32
        assert not out[clean.max(2) == 0].any(), "black around stays black"
        way = (_means(out) - own)[[0, 2]] / (other - own)[[0, 2]]
        assert abs(way[0] - way[1]) < 0.1, "no colour but theirs"
        ways.append(way.mean())
        details = np.corrcoef(out[..., 1][field > 0.9], clean[..., 1][field > 0.9])
        assert details[0, 1] > 0.99
    assert min(ways) > -0.05
    assert 0.9 < max(ways) < 1.3
    assert np.mean(np.abs(ways) < 0.05) < 0.8


def test_sets_without_a_share_are_left_alone_and_draw_nothing():
    eye = _eye(0, (200, 80, 40), "B")
    swap = ColourSwap([eye, _eye(1, (60, 80, 160), "A")], {"A": 1.0})
    clean, rng = to_unit(eye.pixels), np.random.default_rng(3)
    assert swap(clean, None, "B", rng) is clean
    assert rng.random() == np.random.default_rng(3).random()


def test_about_the_share_of_a_set_is_swapped():
    images = [_eye(0, (200, 80, 40), "A"), _eye(1, (60, 80, 160), "A")]
    swap, clean = ColourSwap(images, {"A": 0.3}), to_unit(images[0].pixels)
    rng = np.random.default_rng(0)
    changed = [swap(clean, None, "A", rng) is not clean for _ in range(300)]
    assert 0.22 < np.mean(changed) < 0.38
