"""Median, bilateral and total variation: plain versions, and what they are for."""

import numpy as np
import pytest
from scipy import ndimage

from medenh.classical import METHODS

pytest.importorskip("cv2")

NAMES = ("median", "bilateral", "tv")
MEASURING = ("bilateral", "tv")
RNG = np.random.default_rng(11)


def psnr(image, reference):
    error = np.mean(np.square(image - reference, dtype=np.float64))
    return -10 * np.log10(max(error, 1e-12))


def scene(height, width, channels=1):
    """Slopes and two edges."""
    y, x = np.mgrid[:height, :width]
    out = 0.3 + 0.1 * np.sin(y / 17) + 0.1 * np.cos(x / 23)
    out += 0.3 * (np.hypot(y - height / 2, x - width / 2) < min(height, width) / 3)
    return (out[..., None] * np.linspace(1, 0.7, channels)).astype(np.float32)


def rough(height, width, channels=1, sigma=0.05):
    clean = scene(height, width, channels)
    noise = np.random.default_rng(0).normal(0, sigma, clean.shape)
    return clean, (clean + noise).clip(0, 1).astype(np.float32)


def with_impulses(clean, share):
    """Make a share of the values black or white."""
    drawn = np.random.default_rng(0).random(clean.shape)
    out = clean.copy()
    out[drawn < share / 2], out[drawn > 1 - share / 2] = 0, 1
    return out


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 9), (5, 2), (33, 17)])
@pytest.mark.parametrize("channels", [1, 3])
def test_widest_settings_work_at_any_size(size, channels):
    pixels = RNG.random((*size, channels), np.float32)
    widest = {
        "median": {"radius": 2},
        "bilateral": {"sigma": 1, "strength": 20, "space": 10},
        "tv": {"sigma": 1, "strength": 10},
    }
    for name, options in widest.items():
        out = METHODS[name](pixels, **options)
        assert out.shape == pixels.shape
        assert np.isfinite(out).all()
        assert pixels.min() - 1e-6 <= out.min() <= out.max() <= pixels.max() + 1e-6


def test_photon_counts_keep_their_sum_under_tv_and_lose_some_under_nlm():
    expected = 0.5 + 3.0 * (scene(96, 80)[..., 0] > 0.5)
    counts = np.random.default_rng(0).poisson(expected).astype(np.float32)
    pixels = (counts / counts.max())[..., None]
    mean = {
        name: METHODS[name](pixels).mean() / pixels.mean() for name in ("tv", "nlm")
    }
    assert mean["tv"] == pytest.approx(1, abs=1e-4)
    assert 0.95 < mean["nlm"] < 0.995  # as its notes say


@pytest.mark.parametrize("name", NAMES)
def test_depth_survives(name):
    deep = np.linspace(0.2, 0.4, 300 * 300, dtype=np.float32).reshape(300, 300, 1)
    options = {} if name == "median" else {"sigma": 0.01}
    assert np.unique(METHODS[name](deep, **options)).size > 10_000


@pytest.mark.parametrize("name", NAMES)
def test_grey_comes_out_alike_in_one_channel_and_in_three(name):
    grey = rough(60, 70)[1]
    three = METHODS[name](grey.repeat(3, 2))
    np.testing.assert_allclose(three, METHODS[name](grey).repeat(3, 2), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_even_field_in_a_surround_of_noise_stays_even(name):
    mask = np.hypot(*(np.mgrid[:60, :60] - 30)) < 20
    pixels = np.where(mask, 0.4, RNG.random((60, 60)))[..., None].astype(np.float32)
    np.testing.assert_array_equal(METHODS[name](pixels, mask), pixels)


@pytest.mark.parametrize("name", MEASURING)
def test_noise_is_measured_where_none_is_given(name):
    pixels = rough(160, 200, 3)[1]
    measured, told = METHODS[name](pixels), METHODS[name](pixels, sigma=0.05)
    np.testing.assert_allclose(measured, told, atol=5e-3)
    assert METHODS[name](pixels, sigma=0) is pixels


@pytest.mark.parametrize("name", MEASURING)
@pytest.mark.parametrize("light", [1.0, 0.1])
def test_noise_goes_and_edges_stay(name, light):
    clean, seen = (p * np.float32(light) for p in rough(160, 200, 3))
    out = METHODS[name](seen)
    blurred = ndimage.gaussian_filter(seen, (1.5, 1.5, 0))

    assert psnr(out, clean) > psnr(seen, clean) + 10
    assert psnr(out, clean) > psnr(blurred, clean) + 2


@pytest.mark.parametrize("name", MEASURING)
def test_strength_smooths_more(name):
    seen = rough(64, 80)[1]
    weak, strong = (METHODS[name](seen, strength=s) for s in (0.5, 4))
    assert np.abs(np.diff(strong, axis=0)).sum() < np.abs(np.diff(weak, axis=0)).sum()


class TestMedian:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("radius", [1, 2])
    @pytest.mark.parametrize("size", [(37, 53), (2, 3), (1, 6)])
    def test_agrees_with_scipy(self, size, radius, channels):
        pixels = RNG.random((*size, channels), np.float32)
        side = 2 * radius + 1
        wanted = ndimage.median_filter(pixels, (side, side, 1), mode="nearest")
        out = METHODS["median"](pixels, radius=radius)
        np.testing.assert_array_equal(out, wanted)

    @pytest.mark.parametrize(("share", "radius"), [(0.05, 1), (0.3, 2)])
    def test_impulses_go(self, share, radius):
        clean = scene(160, 200, 3)
        seen = with_impulses(clean, share)
        out = METHODS["median"](seen, radius=radius)
        assert psnr(out, clean) > psnr(seen, clean) + 15

    def test_wider_squares_take_more_impulses(self):
        clean = scene(160, 200)
        few, many = (with_impulses(clean, share) for share in (0.02, 0.3))

        def left(seen, radius):
            return psnr(METHODS["median"](seen, radius=radius), clean)

        assert left(few, 1) > left(few, 2)
        assert left(many, 2) > left(many, 1)


class TestBilateral:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("strength", [0.5, 3.0])
    def test_agrees_with_the_plain_formula(self, channels, strength):
        pixels = rough(29, 41, channels)[1]
        height, width, _ = pixels.shape
        around = np.pad(pixels.astype(np.float64), ((3, 3), (3, 3), (0, 0)), "reflect")
        total, weights = np.zeros(pixels.shape), np.zeros((height, width, 1))
        for down in range(-3, 4):
            for across in range(-3, 4):
                if np.hypot(down, across) > 3:
                    continue
                there = around[
                    3 + down : 3 + down + height, 3 + across : 3 + across + width
                ]
                away = np.abs(there - pixels).mean(axis=2, keepdims=True)
                weight = np.exp(
                    -(down**2 + across**2) / (2 * 2.0**2)
                    - away**2 / (2 * (strength * 0.05) ** 2)
                )
                total += weight * there
                weights += weight

        out = METHODS["bilateral"](pixels, sigma=0.05, strength=strength, space=2)

        np.testing.assert_allclose(out, total / weights, atol=1e-4)

    def test_sees_colour_that_has_no_luma(self):
        pixels = np.full((20, 40, 3), 0.5, np.float32)
        pixels[:, 20:] += np.array([0.2, -0.2 * 0.299 / 0.587, 0.0], np.float32)
        out = METHODS["bilateral"](pixels, sigma=0.01)
        np.testing.assert_allclose(out, pixels, atol=1e-3)


class TestTv:
    @staticmethod
    def gradient(plane):
        down = np.diff(plane, axis=0, append=plane[-1:])
        across = np.diff(plane, axis=1, append=plane[:, -1:])
        return np.stack([down, across])

    def energy(self, plane, seen, weight):
        length = np.sqrt(np.square(self.gradient(plane)).sum(axis=0))
        return np.square(plane - seen).sum() / 2 + weight * length.sum()

    def least(self, seen, weight, steps=2000):
        """Minimise it by projected gradients with momentum, on the dual."""
        field = ahead = np.zeros((2, *seen.shape))
        pace = 1.0
        for _ in range(steps):
            down, across = ahead
            spread = np.diff(down[:-1], axis=0, prepend=0, append=0)
            spread += np.diff(across[:, :-1], axis=1, prepend=0, append=0)
            moved = ahead + self.gradient(seen + weight * spread) / (8 * weight)
            moved /= np.maximum(1, np.sqrt(np.square(moved).sum(axis=0)))
            faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
            ahead = moved + (pace - 1) / faster * (moved - field)
            field, pace = moved, faster
        down, across = field
        spread = np.diff(down[:-1], axis=0, prepend=0, append=0)
        spread += np.diff(across[:, :-1], axis=1, prepend=0, append=0)
        return seen + weight * spread

    @pytest.mark.parametrize("weight", [0.02, 0.06, 0.1])
    def test_comes_close_to_the_least_of_the_model(self, weight):
        seen = rough(48, 60)[1]
        exact = self.least(seen[..., 0].astype(np.float64), weight)

        out = METHODS["tv"](seen, sigma=weight / 2, strength=2)[..., 0]

        reached, best, start = (
            self.energy(plane.astype(np.float64), seen[..., 0], weight)
            for plane in (out, exact, seen[..., 0])
        )
        assert best <= reached < best + 0.01 * (start - best)
        np.testing.assert_allclose(out, exact, atol=0.03)

    def test_agrees_with_scikit_image_at_that_weight(self):
        from skimage.restoration import denoise_tv_chambolle

        seen = rough(48, 60, 3)[1]
        wanted = np.stack(
            [
                denoise_tv_chambolle(seen[..., c], 0.08, eps=0, max_num_iter=100)
                for c in range(3)
            ],
            axis=-1,
        )
        out = METHODS["tv"](seen, sigma=0.04, strength=2)
        np.testing.assert_allclose(out, wanted, atol=1e-6)

    def test_half_the_contrast_is_treated_alike(self):
        seen = rough(60, 80)[1]
        half = METHODS["tv"](seen / 2)
        np.testing.assert_allclose(2 * half, METHODS["tv"](seen), atol=1e-4)

    def test_means_are_kept(self):
        seen = rough(60, 80, 3)[1]
        out = METHODS["tv"](seen, sigma=0.05)
        np.testing.assert_allclose(
            out.mean(axis=(0, 1)), seen.mean(axis=(0, 1)), atol=1e-4
        )
