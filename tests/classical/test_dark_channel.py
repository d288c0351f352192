"""Dark-channel methods against plain versions of their formulas, and at their task."""

import numpy as np
import pytest
from scipy import ndimage

from medenh.classical import METHODS
from medenh.classical.dark_channel import dark_channel, scaled
from medenh.classical.dpfr import reflectance
from medenh.classical.photograph import illuminated_field

cv2 = pytest.importorskip("cv2")

NAMES = ("dcp", "dcp-illum", "dpfr")


def retina(side):
    from skimage.data import retina as picture

    crop = picture()[205:1205, 205:1205] / 255
    return cv2.resize(crop.astype(np.float32), (side, side), None, 0, 0, cv2.INTER_AREA)


def psnr(image, reference):
    return -10 * np.log10(np.mean(np.square(image - reference, dtype=np.float64)))


def plain_guided(guide, plane, radius, eps):
    def mean(values):
        return ndimage.uniform_filter(values, 2 * radius + 1, mode="reflect")

    guide, plane = guide.astype(np.float64), plane.astype(np.float64)
    a = mean(guide * plane) - mean(guide) * mean(plane)
    a /= mean(guide**2) - mean(guide) ** 2 + eps
    b = mean(plane) - a * mean(guide)
    return mean(a) * guide + mean(b)


def plain_least(pixels, side):
    return ndimage.minimum_filter(
        pixels.min(axis=2).astype(np.float64), side, mode="constant", cval=np.inf
    )


def grey(pixels):
    return pixels @ np.array([0.299, 0.587, 0.114])


def full_field(side):
    """Return a retina without a surround."""
    pixels = retina(2 * side)[side // 2 : -side // 2, side // 2 : -side // 2]
    assert illuminated_field(pixels).all()
    return np.ascontiguousarray(pixels)


@pytest.mark.parametrize("side", [1, 2, 7, 99])
@pytest.mark.parametrize("channels", [1, 3])
def test_dark_channel_is_the_local_minimum(side, channels):
    pixels = np.random.default_rng(0).random((40, 57, channels), np.float32)
    np.testing.assert_array_equal(
        dark_channel(pixels, side), plain_least(pixels, side | 1).astype(np.float32)
    )


def test_dark_channel_does_not_see_the_background():
    pixels = np.random.default_rng(0).random((40, 57, 3), np.float32)
    mask = np.zeros((40, 57), bool)
    mask[5:30, 12:40] = True
    pixels[~mask] = 0
    out = dark_channel(pixels, 9, mask)
    inside = pixels[5:30, 12:40]
    np.testing.assert_allclose(out[5:30, 12:40], plain_least(inside, 9), atol=1e-7)
    assert not out[~mask].any()


def test_sizes_grow_with_the_picture_and_shrink_where_they_may():
    small, large = np.zeros((256, 999, 1)), np.zeros((3000, 1024, 1))
    assert scaled(15, large, 512) == 30
    assert scaled(15, small, 512) == 8
    assert scaled(15, small, 512, shrinks=False) == 15
    assert scaled(1, small[:3], 512) == 1


class TestDcp:
    @staticmethod
    def scene():
        """Return saturated blocks, each without one channel, and a white one."""
        rng = np.random.default_rng(2)
        blocks = rng.uniform(0.2, 0.9, (32, 32, 3)).astype(np.float32)
        blocks[np.arange(32)[:, None], np.arange(32), rng.integers(0, 3, (32, 32))] = 0
        blocks[4:8, 20:24] = 0.9
        return np.kron(blocks, np.ones((8, 8, 1), np.float32))

    def test_even_haze_is_taken_away(self):
        clear = self.scene()
        hazy = np.float32(0.6) * clear + np.float32(0.4 * 0.9)

        out = METHODS["dcp"](hazy)

        assert psnr(out, clear) > 20
        assert psnr(hazy, clear) < 15

    def test_agrees_with_the_plain_formula(self):
        pixels = full_field(256)
        dark = plain_least(pixels, 9)  # 15 px at 512 px are 7.5 here
        limit = np.sort(dark.ravel())[-66]
        light = pixels[dark >= limit].mean(axis=0)
        seen = 1 - 0.8 * plain_least(pixels / light, 9)
        seen = plain_guided(grey(pixels), seen, 32, 1e-3)
        wanted = (pixels - light) / np.maximum(seen, 0.1)[..., None] + light

        out = METHODS["dcp"](pixels, omega=0.8)

        np.testing.assert_allclose(out, wanted.clip(0, 1), atol=1e-4)

    def test_without_a_dark_channel_nothing_changes(self):
        pixels = self.scene()
        pixels[..., 2] = 0
        np.testing.assert_allclose(METHODS["dcp"](pixels), pixels, atol=1e-5)
        hazy = pixels * np.float32(0.5) + np.float32(0.5)
        np.testing.assert_allclose(METHODS["dcp"](hazy, omega=0), hazy, atol=1e-5)


class TestDcpIllum:
    def test_is_dividing_by_the_smoothed_local_maximum(self):
        pixels = full_field(300) * np.float32(0.5)
        brightest = ndimage.maximum_filter(
            pixels.max(axis=2), 9, mode="constant", cval=0
        )  # 25 px and 80 px at 1000 px are 8 and 24 here
        light = plain_guided(grey(pixels), brightest, 24, 1e-2).clip(0.05, 1)
        wanted = (pixels / light[..., None]).clip(0, 1)
        np.testing.assert_allclose(METHODS["dcp-illum"](pixels), wanted, atol=1e-4)

    def test_exposure_and_shading_go(self):
        pixels = full_field(300)
        shade = np.linspace(0.2, 0.7, 300, dtype=np.float32)[None, :, None]

        plain, shaded = (METHODS["dcp-illum"](p) for p in (pixels, pixels * shade))

        change = np.abs((pixels * shade).mean((0, 2)) - pixels.mean((0, 2))).mean()
        assert np.abs(shaded.mean((0, 2)) - plain.mean((0, 2))).mean() < 0.1 * change

    def test_omega_zero_changes_nothing(self):
        pixels = retina(100)
        np.testing.assert_allclose(
            METHODS["dcp-illum"](pixels, omega=0), pixels, atol=1e-6
        )


class TestDpfr:
    def test_agrees_with_the_plain_formulas(self):
        pixels = full_field(200) * np.float32(0.6)

        def seen(hazy, guide, omega):
            share = 1 - omega * plain_least(hazy, 7)
            return np.maximum(plain_guided(grey(guide), share, 15, 1e-3), 0.1)[
                ..., None
            ]

        even = (pixels / seen(1 - pixels, 1 - pixels, 0.95)).clip(0, 1)
        wanted = (1 + (even - 1) / seen(even, even, 0.55) ** 2).clip(0, 1)

        out = reflectance(
            pixels,
            None,
            omega=0.95,
            scatter=0.55,
            side=7,
            radius=15,
            eps=1e-3,
            floor=0.1,
        )

        np.testing.assert_allclose(out, wanted, atol=1e-4)

    def test_simulated_light_and_scatter_are_undone(self):
        from skimage.metrics import structural_similarity

        clear = retina(400)
        y, x = np.mgrid[-1:1:400j, -1:1:400j]
        light = 0.7 * np.exp(-(x**2 + y**2) / 0.8**2)[..., None]
        through = 0.5 * np.exp(-(x**2 + (1.5 * y) ** 2) / 1.2**2)[..., None]
        seen = (light * (through**2 * clear + 1 - through)).astype(np.float32)

        def likeness(image):
            return structural_similarity(image, clear, channel_axis=2, data_range=1)

        assert likeness(METHODS["dpfr"](seen)) > likeness(seen) + 0.05

    def test_without_model_it_is_clahe(self):
        pixels = full_field(200)
        np.testing.assert_allclose(
            METHODS["dpfr"](pixels, omega=0, scatter=0),
            METHODS["clahe"](pixels, clip=3.55),
            atol=1e-4,
        )

    def test_smaller_shares_brighten_and_darken_less(self):
        pixels = full_field(200) * np.float32(0.4)

        def brightness(**options):
            return METHODS["dpfr"](pixels, **options).mean()

        assert pixels.mean() < brightness(omega=0.6) < brightness(omega=0.8)
        assert brightness(omega=0.8) < brightness() < brightness(scatter=0.2)


@pytest.mark.parametrize("name", ["dcp-illum", "dpfr"])
def test_very_dark_fields_are_found_and_surrounds_kept(name):
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    radius = np.hypot(x, y)
    pixels = np.where(radius < 0.85, 0.05 * (1 - 0.3 * x), 0.002)[..., None]
    pixels = (pixels * [1.0, 0.6, 0.3]).astype(np.float32)

    out = METHODS[name](pixels)

    np.testing.assert_array_equal(out[radius > 0.87], pixels[radius > 0.87])
    assert out[radius < 0.8].max(axis=1).min() > 0.2


@pytest.mark.parametrize("name", NAMES)
def test_foreground_does_not_depend_on_the_surround(name):
    pixels = retina(120)
    y, x = np.mgrid[:120, :120]
    mask = np.hypot(y - 60, x - 55) < 40
    black, noise = pixels.copy(), pixels.copy()
    black[~mask] = 0
    noise[~mask] = np.random.default_rng(0).random((int((~mask).sum()), 3))

    one, other = (METHODS[name](p, mask) for p in (black, noise))

    np.testing.assert_allclose(one[mask], other[mask], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_depth_survives(name):
    y, x = np.mgrid[:200, :200]
    wave = 0.5 + 0.05 * np.sin(x / 31) * np.cos(y / 47)
    deep = np.rint(65535 * wave[..., None] * [1.0, 0.8, 0.6]) / 65535
    out = METHODS[name](deep.astype(np.float32))
    assert np.unique(np.rint(out[..., 1] * 65535)).size > 2000


@pytest.mark.parametrize("name", NAMES)
def test_grey_in_three_channels_is_enhanced_as_grey(name):
    one = retina(120)[..., 1:2]
    three = METHODS[name](np.repeat(one, 3, axis=2))
    wanted = np.repeat(METHODS[name](one), 3, axis=2)
    if name == "dpfr":  # CLAHE of L* is not that of the grey value
        options = {"omega": 0.95, "scatter": 0.55, "side": 7, "radius": 15}
        options |= {"eps": 1e-3, "floor": 0.1}
        three = reflectance(np.repeat(one, 3, axis=2), None, **options)
        wanted = np.repeat(reflectance(one, None, **options), 3, axis=2)
    np.testing.assert_allclose(three, wanted, atol=2e-6)
