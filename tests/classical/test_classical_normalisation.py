"""Casts, uneven light and local contrast: known ones undone, formulas longhand."""

import numpy as np
import pytest
from scipy import ndimage

from medenh.classical import METHODS
from medenh.classical.colour_constancy import minkowski_means
from medenh.classical.retinex import multi_scale_retinex

cv2 = pytest.importorskip("cv2")

BLACK_DISC = np.hypot(*np.mgrid[-1:1:121j, -1:1:121j]) > 0.85


def retina(side):
    from skimage.data import retina as picture

    crop = picture()[205:1205, 205:1205] / 255
    return cv2.resize(crop.astype(np.float32), (side, side), None, 0, 0, cv2.INTER_AREA)


def texture(height, width, channels=1, seed=0):
    """Noise that is smooth over a few pixels, in [0, 1]."""
    rough = np.random.default_rng(seed).random((height, width, channels))
    out = ndimage.gaussian_filter(rough, (1.5, 1.5, 0))
    low, high = out.min(axis=(0, 1)), out.max(axis=(0, 1))
    return ((out - low) / (high - low)).astype(np.float32)


def blocks(plane, count=8):
    """Return the means of count x count blocks."""
    rows, columns = (side // count for side in plane.shape)
    cut = plane[: rows * count, : columns * count]
    return cut.reshape(count, rows, count, columns).mean(axis=(1, 3))


def fine_ramp(channels):
    """300 x 300 values as of a deep file: none alike."""
    ramp = np.linspace(0.2, 0.4, 300 * 300, dtype=np.float32).reshape(300, 300, 1)
    return ramp * np.linspace(1.0, 0.8, channels, dtype=np.float32)


@pytest.mark.parametrize(
    "name",
    [
        "clahe-green",
        "lcn",
        "msr",
        "msrcp",
        "msrcr",
        "shades-of-gray",
        "gray-world",
        "flat-field",
    ],
)
def test_depth_survives(name):
    out = METHODS[name](fine_ramp(3))
    assert np.unique(out[..., 1]).size > 10_000


@pytest.mark.parametrize(
    "name", ["lcn", "msr", "msrcp", "msrcr", "flat-field", "ref-color"]
)
def test_even_field_in_a_black_surround_gets_no_rim(name):
    pixels = np.where(BLACK_DISC, 0.0, 0.4)[..., None].astype(np.float32)
    pixels = pixels * np.array([1.0, 0.7, 0.5], np.float32)
    np.testing.assert_allclose(METHODS[name](pixels), pixels, atol=1e-5)


@pytest.mark.parametrize("name", ["msrcp", "flat-field"])
def test_one_gain_for_all_channels_of_a_pixel(name):
    pixels = 0.1 + 0.4 * texture(64, 80, 3)
    out = METHODS[name](pixels)
    gain = out / pixels
    unclipped = out.max(axis=2) < 1.0
    assert unclipped.mean() > 0.5
    assert np.ptp(gain[..., 0]) > 0.1
    np.testing.assert_allclose(
        gain[unclipped], gain[unclipped][:, :1].repeat(3, 1), rtol=1e-4
    )


class TestClaheGreen:
    @pytest.mark.parametrize("shape", [(384, 384), (301, 397)])
    def test_green_agrees_with_opencv_and_the_others_stay(self, shape):
        levels = np.rint(retina(400)[: shape[0], : shape[1]] * 255).astype(np.uint8)
        pixels = (levels / 255).astype(np.float32)
        green = np.ascontiguousarray(levels[..., 1])

        out = METHODS["clahe-green"](pixels)

        theirs = cv2.createCLAHE(2.0, (8, 8)).apply(green) / 255
        assert np.abs(out[..., 1] - theirs).max() < 1.01 / 255
        np.testing.assert_array_equal(out[..., [0, 2]], pixels[..., [0, 2]])

    def test_grey_is_equalised_as_by_clahe(self):
        pixels = retina(200)[..., 1:2]
        out = METHODS["clahe-green"](pixels, clip=3, tiles=4)
        np.testing.assert_array_equal(out, METHODS["clahe"](pixels, clip=3, tiles=4))
        assert out.std() > 1.1 * pixels.std()

    def test_8_and_16_bits_are_enhanced_alike(self):
        fine = np.rint(retina(384) * 65535)
        deep = METHODS["clahe-green"]((fine / 65535).astype(np.float32))
        coarse = (np.rint(fine / 257) / 255).astype(np.float32)
        assert np.abs(deep - METHODS["clahe-green"](coarse)).mean() < 0.005


class TestColourConstancy:
    CAST = np.array([1.0, 0.8, 0.65], np.float32)

    def test_gray_world_makes_means_equal_and_keeps_the_overall_one(self):
        pixels = retina(128) ** 0.5 * 0.4
        means = METHODS["gray-world"](pixels, limit=10).mean(axis=(0, 1))
        np.testing.assert_allclose(means, pixels.mean(), rtol=1e-5)

    @pytest.mark.parametrize("power", [1.0, 2.5, 6.0, 20.0])
    def test_minkowski_means_agree_with_the_formula(self, power):
        values = np.random.default_rng(0).random((1000, 3), np.float32) * self.CAST
        exact = values.astype(np.float64)
        wanted = np.linalg.norm(exact, power, axis=0) / 1000 ** (1 / power)
        np.testing.assert_allclose(minkowski_means(values, power), wanted, rtol=1e-5)

    @pytest.mark.parametrize("power", [1.0, 6.0, 20.0])
    def test_means_of_that_power_are_equal_afterwards(self, power):
        pixels = 0.5 * texture(90, 70, 3) * self.CAST
        out = METHODS["shades-of-gray"](pixels, power=power)
        means = minkowski_means(out.reshape(-1, 3), power)
        level = np.mean(pixels.astype(np.float64) ** power) ** (1 / power)
        np.testing.assert_allclose(means, level, rtol=1e-4)

    @pytest.mark.parametrize("name", ["shades-of-gray", "gray-world"])
    def test_known_cast_is_undone(self, name):
        scene = 0.6 * np.random.default_rng(0).random((200, 201, 3), np.float32)
        out = METHODS[name](scene * self.CAST)
        np.testing.assert_allclose(out / out.mean(), scene / scene.mean(), atol=0.03)

    def test_bright_skin_tells_the_light_better_than_a_large_lesion(self):
        skin = (0.5 + 0.2 * texture(80, 80)) * np.ones(3, np.float32)
        scene = skin.copy()
        scene[:, :40] = (0.3, 0.1, 0.08)

        def error(name):
            out = METHODS[name](scene * self.CAST)[:, 40:]
            return np.ptp(out.mean(axis=(0, 1)) / out.mean())

        assert error("shades-of-gray") < 0.5 * error("gray-world")

    @pytest.mark.parametrize("limit", [1.0, 1.5, 2.0])
    def test_gains_are_limited(self, limit):
        pixels = np.full((8, 8, 3), [0.5, 0.05, 0.0], np.float32)
        out = METHODS["gray-world"](pixels, limit=limit)
        wanted = np.array([0.5 / min(limit, 0.5 / 0.55 * 3), 0.05 * limit, 0.0])
        np.testing.assert_allclose(out[0, 0], wanted, rtol=1e-5)

    @pytest.mark.parametrize("name", ["shades-of-gray", "gray-world"])
    def test_grey_comes_back(self, name):
        grey = texture(40, 30)
        np.testing.assert_array_equal(METHODS[name](grey), grey)
        colour = grey.repeat(3, 2)
        np.testing.assert_allclose(METHODS[name](colour), colour, atol=1e-6)

    def test_high_powers_of_dark_pictures_do_not_underflow(self):
        pixels = texture(50, 50, 3) * self.CAST
        small = np.float32(1e-4)
        dark = METHODS["shades-of-gray"](pixels * small, power=20)
        bright = METHODS["shades-of-gray"](pixels * np.float32(0.5), power=20)
        np.testing.assert_allclose(dark / small, bright / 0.5, atol=1e-4)


class TestFlatField:
    @pytest.mark.parametrize("masked", [False, True])
    def test_agrees_with_the_plain_formula(self, masked):
        pixels = 0.2 + 0.3 * texture(97, 120, 3)
        mask = np.ones((97, 120), bool)
        if masked:
            mask = np.hypot(*(np.mgrid[:97, :120] - np.array([[[48]], [[60]]]))) < 45
        luma = pixels.astype(np.float64) @ [0.299, 0.587, 0.114]
        total, area = (
            ndimage.gaussian_filter(v, 0.1 * np.hypot(97, 120), mode="reflect")
            for v in (luma * mask, mask.astype(np.float64))
        )
        light = np.divide(total, area, out=np.ones_like(total), where=mask)
        wanted = np.where(
            mask[..., None], pixels * (light[mask].mean() / light)[..., None], pixels
        )

        out = METHODS["flat-field"](pixels, mask)

        np.testing.assert_allclose(out, wanted, atol=2e-3)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_known_vignette_is_undone(self, channels):
        scene = 0.4 + 0.2 * texture(240, 320, channels)
        y, x = np.mgrid[-1:1:240j, -1:1:320j]
        vignette = (1 - 0.3 * (x * x + y * y))[..., None].astype(np.float32)
        seen = scene * vignette

        out = METHODS["flat-field"](seen)

        before, after = (blocks(p[..., 0]) for p in (seen, out))
        assert after.std() / after.mean() < 0.5 * before.std() / before.mean()
        before, after = before[1:-1, 1:-1], after[1:-1, 1:-1]
        assert after.std() / after.mean() < 0.25 * before.std() / before.mean()
        assert out.mean() == pytest.approx(seen.mean(), rel=0.05)

    def test_floor_limits_the_gain(self):
        pixels = np.full((60, 300, 1), 0.5, np.float32)
        pixels[:, :100] = 0.04
        gain = METHODS["flat-field"](pixels)[:, 0] / pixels[:, 0]
        held = METHODS["flat-field"](pixels, floor=0.5)[:, 0] / pixels[:, 0]
        assert gain.min() > 2.5
        np.testing.assert_allclose(held, 2.0, rtol=1e-4)


class TestLcn:
    def test_agrees_with_the_plain_formula(self):
        pixels = 0.2 + 0.5 * texture(101, 120, 3)
        sigma = 60 / 4 / np.sqrt(12)

        def mean(values, weight):
            total, area = (
                ndimage.gaussian_filter(v, sigma, mode="reflect")
                for v in (values * weight, weight)
            )
            return total / area

        exact = pixels.astype(np.float64)
        everywhere = np.ones(exact.shape[:2])
        away = np.abs(exact[..., 1] - mean(exact[..., 1], everywhere))
        background = away < 0.5 * np.sqrt(mean(away**2, everywhere))
        weight = np.where(background & (exact[..., 1] < 0.75), 1.0, 1e-3)
        wanted = np.empty_like(exact)
        for channel in range(3):
            plane = exact[..., channel]
            detail = plane - mean(plane, weight)
            detail /= np.maximum(np.sqrt(mean(detail**2, weight)), 0.01)
            detail = (detail - detail.mean()) / detail.std()
            wanted[..., channel] = plane.mean() + 0.07 * detail

        out = METHODS["lcn"](pixels)

        assert np.abs(out - wanted.clip(0, 1)).mean() < 2e-3

    def test_drifts_of_light_and_contrast_are_undone(self):
        noise = texture(240, 240)[..., 0] - 0.5
        y, x = np.mgrid[0:1:240j, 0:1:240j]
        seen = (0.3 + 0.3 * y + (0.05 + 0.25 * x) * noise).astype(np.float32)

        out = METHODS["lcn"](seen[..., None], floor=1e-3)[..., 0]

        def drift(plane):
            means = blocks(plane).mean(axis=1)
            return np.ptp(means) / plane.std()

        def contrast(plane):
            fine = plane - ndimage.gaussian_filter(plane, 8)
            return fine[:, 180:].std() / fine[:, :60].std()

        assert drift(out) < 0.2 * drift(seen)
        assert contrast(seen) > 2.5
        assert 0.7 < contrast(out) < 1.4
        assert out.std() == pytest.approx(0.07, rel=0.01)
        assert out.mean() == pytest.approx(seen.mean(), abs=1e-3)

    def test_a_lesion_does_not_darken_its_surroundings(self):
        pixels = 0.35 + 0.1 * texture(240, 240)
        y, x = np.mgrid[:240, :240] - 120
        radius = np.hypot(y, x)
        pixels[radius < 8] += 0.3
        ring, far = (radius > 11) & (radius < 18), radius > 60

        def halo(**options):
            out = METHODS["lcn"](pixels, **options)[..., 0]
            return abs(out[ring].mean() - out[far].mean())

        assert halo() < 0.7 * halo(spread=5)

    def test_faint_noise_of_a_flat_picture_is_not_raised(self):
        noise = np.random.default_rng(0).normal(0, 1e-4, (64, 64, 1))
        out = METHODS["lcn"]((0.5 + noise).astype(np.float32))
        assert out.std() < 15 * 1e-4  # 0.07 over 0.01 over a half

    def test_pictures_without_background_are_normalised_too(self):
        pixels = 0.8 + 0.1 * texture(100, 100)
        out = METHODS["lcn"](pixels, contrast=0.02)
        assert out.std() == pytest.approx(0.02, rel=0.01)


class TestMsr:
    @pytest.mark.parametrize("clipped", [0.0, 5.0])
    def test_agrees_with_the_plain_formula(self, clipped):
        slope = np.linspace(0.3, 1, 150, dtype=np.float32)[:, None]
        pixels = 0.1 + 0.5 * texture(128, 150, 3) * slope
        values = 255 * pixels.astype(np.float64)
        surrounds = [
            ndimage.gaussian_filter(values, (s / 4, s / 4, 0), mode="reflect")
            for s in (15, 80, 250)
        ]
        detail = np.log(values + 1) - np.mean(np.log1p(surrounds), axis=0)
        low, high = np.percentile(detail, [clipped, 100 - clipped])

        out = METHODS["msr"](pixels, clipped=clipped)

        wanted = ((detail - low) / (high - low)).clip(0, 1)
        np.testing.assert_allclose(out, wanted, atol=0.02)

    def test_grey_comes_out_as_by_msrcp_in_one_channel_and_in_three(self):
        grey = 0.2 + 0.6 * texture(100, 120)
        one = METHODS["msr"](grey)
        np.testing.assert_allclose(one, METHODS["msrcp"](grey), atol=1e-4)
        three = METHODS["msr"](grey.repeat(3, 2))
        np.testing.assert_allclose(three, one.repeat(3, 2), atol=1e-5)

    def test_a_channel_without_light_is_no_noise_in_full_contrast(self):
        pixels = 0.2 + 0.6 * texture(100, 120, 3)
        pixels[..., 2] = 0.01 + 1e-4 * texture(100, 120)[..., 0]
        out = METHODS["msr"](pixels)
        assert out[..., 2].std() < 0.1 * out[..., 1].std()

    def test_plain_colour_is_given_back(self):
        pixels = np.full((40, 50, 3), [0.7, 0.3, 0.2], np.float32)
        np.testing.assert_array_equal(METHODS["msr"](pixels), pixels)


class TestMsrcp:
    def test_agrees_with_the_plain_formula(self):
        pixels = (
            0.1
            + 0.5
            * texture(128, 150, 3)
            * np.linspace(0.3, 1, 150, dtype=np.float32)[:, None]
        )
        intensity = 255 * pixels.astype(np.float64).mean(axis=2)
        detail = np.mean(
            [
                np.log(intensity + 1)
                - np.log(ndimage.gaussian_filter(intensity, s / 4, mode="reflect") + 1)
                for s in (15, 80, 250)
            ],
            axis=0,
        )
        low, high = np.percentile(detail, [1, 99])
        wanted = ((detail - low) / (high - low)).clip(0, 1) * 255
        factor = np.minimum(255 / (255 * pixels.max(axis=2)), wanted / intensity)

        out = METHODS["msrcp"](pixels)

        np.testing.assert_allclose(out, factor[..., None] * pixels, atol=0.02)

    def test_retinex_of_one_scale_is_a_difference_of_logarithms(self):
        plane = texture(60, 70)[..., 0]
        out = multi_scale_retinex(plane, [3.0])
        surround = ndimage.gaussian_filter(255.0 * plane, 3.0, mode="reflect")
        wanted = np.log(255.0 * plane + 1) - np.log(surround + 1)
        np.testing.assert_allclose(out, wanted, atol=2e-3)

    def test_uneven_light_is_evened(self):
        scene = 0.3 + 0.5 * texture(160, 160)
        shade = np.linspace(0.15, 1, 160, dtype=np.float32)[:, None]
        seen = scene * shade

        def likeness(picture):
            return np.corrcoef(picture.ravel(), scene.ravel())[0, 1]

        assert likeness(METHODS["msrcp"](seen)) > 2 * likeness(seen)
        narrow = METHODS["msrcp"](seen, small=15, medium=15, large=15)
        assert likeness(narrow) > 0.8

    @pytest.mark.parametrize("clipped", [1.0, 5.0])
    def test_that_share_becomes_black_and_white(self, clipped):
        out = METHODS["msrcp"](0.2 + 0.6 * texture(100, 120), clipped=clipped)
        assert (out < 1e-6).mean() == pytest.approx(clipped / 100, abs=2e-3)
        assert (out > 1 - 1e-6).mean() == pytest.approx(clipped / 100, abs=2e-3)

    def test_surrounds_grow_with_the_picture(self):
        large = retina(512)
        small = cv2.resize(large, (256, 256), None, 0, 0, cv2.INTER_AREA)
        wanted = METHODS["msrcp"](small)

        def distance(**options):
            out = METHODS["msrcp"](large, **options)
            reduced = cv2.resize(out, (256, 256), None, 0, 0, cv2.INTER_AREA)
            return np.abs(reduced - wanted).mean()

        assert distance() < 0.5 * distance(small=7.5, medium=40, large=125)


class TestMsrcr:
    @staticmethod
    def longhand(pixels, alpha=125.0):
        """Return the published retinex with its beta of 46, before gain and offset."""
        values = 255 * pixels.astype(np.float64)
        factor = min(pixels.shape[:2]) / 512
        retinex = sum(
            np.log(values + 1)
            - np.log(
                ndimage.gaussian_filter(values, (s * factor, s * factor, 0)) + 1,
            )
            for s in (15, 80, 250)
        )
        total = values.sum(axis=2, keepdims=True) + 3
        return retinex / 3 * 46 * (np.log(alpha * (values + 1)) - np.log(total))

    @pytest.mark.parametrize(("alpha", "spread"), [(125.0, 2.0), (20.0, 1.0)])
    def test_agrees_with_the_plain_formula(self, alpha, spread):
        pixels = (
            0.1
            + 0.5
            * texture(128, 150, 3)
            * np.linspace(0.3, 1, 150, dtype=np.float32)[:, None]
        ) * np.array([1.0, 0.7, 0.5], np.float32)
        wanted = self.longhand(pixels, alpha)
        wanted = 0.5 + (wanted - wanted.mean()) / (2 * spread * wanted.std())

        out = METHODS["msrcr"](pixels, alpha=alpha, spread=spread)

        np.testing.assert_allclose(out, wanted.clip(0, 1), atol=0.03)
        assert np.abs(out - wanted.clip(0, 1)).mean() < 4e-3

    def test_grey_comes_out_alike_in_one_channel_and_in_three(self):
        grey = 0.2 + 0.6 * texture(100, 120)
        three = METHODS["msrcr"](grey.repeat(3, 2))
        np.testing.assert_allclose(
            three, METHODS["msrcr"](grey).repeat(3, 2), atol=1e-5
        )

    def test_plain_colour_is_given_back(self):
        pixels = np.full((40, 50, 3), [0.7, 0.3, 0.2], np.float32)
        np.testing.assert_array_equal(METHODS["msrcr"](pixels), pixels)

    def test_the_surround_has_no_part_in_mean_and_deviation(self):
        mask = ~BLACK_DISC
        pixels = (0.2 + 0.6 * texture(121, 121, 3)).astype(np.float32)
        out = METHODS["msrcr"](np.where(mask[..., None], pixels, 0), mask)[mask]
        assert out.mean() == pytest.approx(0.5, abs=0.01)
        assert out.std() == pytest.approx(1 / 4, abs=0.02)

    def test_smaller_spread_is_more_contrast(self):
        pixels = 0.2 + 0.6 * texture(100, 120, 3)
        wide, usual, narrow = (
            METHODS["msrcr"](pixels, spread=spread).std() for spread in (6, 2, 1)
        )
        assert wide == pytest.approx(1 / 12, rel=0.02)
        assert narrow > 1.5 * usual > 4 * wide

    def test_uneven_light_is_evened(self):
        scene = 0.3 + 0.5 * texture(160, 160)
        shade = np.linspace(0.15, 1, 160, dtype=np.float32)[:, None]
        seen = scene * shade

        def likeness(picture):
            return np.corrcoef(picture.ravel(), scene.ravel())[0, 1]

        assert likeness(METHODS["msrcr"](seen)) > 2 * likeness(seen)
