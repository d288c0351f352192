"""Each method against an independent implementation, or against what it is for."""

import numpy as np
import pytest
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from medenh.classical import METHODS
from medenh.classical.clahe import equalise
from medenh.classical.lime import edge_weights, illumination, smooth

cv2 = pytest.importorskip("cv2")


def retina(side):
    from skimage.data import retina as picture

    crop = picture()[205:1205, 205:1205] / 255
    return cv2.resize(crop.astype(np.float32), (side, side), None, 0, 0, cv2.INTER_AREA)


def psnr(image, reference):
    error = np.mean(np.square(image - reference, dtype=np.float64))
    return -10 * np.log10(max(error, 1e-12))


@pytest.fixture(scope="module")
def noisy():
    clean = retina(384)
    noise = np.random.default_rng(0).normal(0, 0.06, clean.shape)
    return clean, (clean + noise).astype(np.float32).clip(0, 1)


class TestClahe:
    @pytest.mark.parametrize("clip", [1.0, 2.0, 4.0, 40.0])
    @pytest.mark.parametrize("shape", [(384, 384), (256, 320), (301, 397)])
    def test_agrees_with_opencv_on_8_bits(self, clip, shape):
        grey = np.rint(retina(400)[: shape[0], : shape[1], 1] * 255).astype(np.uint8)

        theirs = cv2.createCLAHE(clip, (8, 8)).apply(grey) / 255
        ours = equalise((grey / 255).astype(np.float32), clip=clip)

        assert np.abs(ours - theirs).max() < 1.01 / 255  # it rounds, we do not

    def test_agrees_on_the_number_of_tiles(self):
        grey = np.rint(retina(384)[..., 1] * 255).astype(np.uint8)
        theirs = cv2.createCLAHE(3.0, (4, 4)).apply(grey) / 255
        unit = (grey / 255).astype(np.float32)
        assert np.abs(equalise(unit, clip=3.0, tiles=4) - theirs).mean() < 1 / 255
        assert np.abs(equalise(unit, clip=3.0, tiles=8) - theirs).mean() > 2 / 255

    def test_8_and_16_bits_are_enhanced_alike(self):
        fine = np.rint(retina(384)[..., 1] * 65535)
        deep = (fine / 65535).astype(np.float32)
        shallow = (np.rint(fine / 257) / 255).astype(np.float32)

        difference = np.abs(equalise(deep) - equalise(shallow))

        assert difference.mean() < 0.005
        assert equalise(deep).std() > 1.1 * deep.std()

    def test_depth_survives(self):
        deep = np.linspace(0.2, 0.4, 300 * 300, dtype=np.float32).reshape(300, 300)
        assert np.unique(equalise(deep)).size > 10_000

    def test_maps_do_not_fold_values(self):
        ramp = np.sort(np.random.default_rng(0).random((1, 64 * 64), np.float32))
        out = equalise(ramp.reshape(64, 64), tiles=1, clip=5.0)
        assert (np.diff(out.ravel()) >= 0).all()

    def test_colour_keeps_hue(self):
        from medenh.colour import rgb_to_lab

        pixels = retina(256) * np.float32(0.8)
        before, after = (rgb_to_lab(p) for p in (pixels, METHODS["clahe"](pixels)))

        inside = (METHODS["clahe"](pixels) > 0.02).all(2)
        inside &= (METHODS["clahe"](pixels) < 0.98).all(2)
        shift = np.abs(before[inside][:, 1:] - after[inside][:, 1:])
        assert np.median(shift) < 0.1
        assert after[inside][:, 0].std() > before[inside][:, 0].std()


class TestLime:
    @staticmethod
    def exact(plane, strength, sigma):
        """Solve (I + alpha sum_d D' W D) t = plane by sparse LU."""
        height, width = plane.shape
        index = np.arange(plane.size).reshape(plane.shape)
        across = edge_weights(plane, sigma)[:, :-1].ravel()
        down = edge_weights(np.ascontiguousarray(plane.T), sigma).T[:-1].ravel()
        pairs = [
            (index[:, :-1].ravel(), index[:, 1:].ravel(), across),
            (index[:-1].ravel(), index[1:].ravel(), down),
        ]
        matrix = sparse.eye(plane.size, format="csc")
        for one, other, weight in pairs:
            edges = np.arange(one.size)
            difference = sparse.csc_matrix(
                (
                    np.r_[-np.ones(one.size), np.ones(one.size)],
                    (np.r_[edges, edges], np.r_[one, other]),
                ),
                shape=(one.size, plane.size),
            )
            weights = sparse.diags(weight.astype(np.float64))
            matrix = matrix + strength * (difference.T @ weights @ difference)
        return spsolve(matrix.tocsc(), plane.ravel().astype(np.float64)).reshape(
            height, width
        )

    def test_fast_solver_is_close_to_the_exact_one(self):
        noise = np.random.default_rng(0).normal(0, 0.01, (128, 128, 3))
        pixels = (retina(128) * 0.4 + noise).clip(0, 1).astype(np.float32)
        brightest = pixels.max(axis=2)
        wanted = self.exact(brightest, 0.15, 2.0).clip(1e-3, 1)

        light = illumination(brightest, alpha=0.15, smoothing=2.0)

        theirs, ours = (
            (pixels / t[..., None] ** 0.8).clip(0, 1) for t in (wanted, light)
        )
        assert psnr(ours, theirs) > 57  # 52 at half the strength, 54 at 1.5 times

    def test_map_is_smooth_in_range_and_keeps_the_mean(self):
        brightest = retina(200).max(axis=2)
        light = illumination(brightest, alpha=0.15, smoothing=2.0)
        assert light.min() >= np.float32(1e-3)
        assert light.max() <= 1
        assert light.mean() == pytest.approx(brightest.mean(), rel=0.05)
        assert np.abs(np.diff(light)).mean() < 0.5 * np.abs(np.diff(brightest)).mean()

    def test_rows_solve_their_tridiagonal_systems(self):
        rng = np.random.default_rng(3)
        plane = rng.random((3, 6), np.float32)
        weights = rng.random((3, 6), np.float32)
        weights[:, -1] = 0
        none = np.zeros((6, 3), np.float32)

        wanted = plane.astype(np.float64)
        for share in (16 / 63, 4 / 63, 1 / 63):
            for row in range(3):
                step = np.diff(np.eye(6), axis=0)
                system = np.eye(6) + 1.5 * share * 2 * (
                    step.T @ np.diag(weights[row, :-1].astype(np.float64)) @ step
                )
                wanted[row] = np.linalg.solve(system, wanted[row])

        np.testing.assert_allclose(smooth(plane, weights, none, 2.0), wanted, rtol=1e-5)

    def test_darkened_picture_is_brought_back_towards_the_original(self):
        pixels = retina(200)
        dark = pixels * np.float32(0.3)
        out = METHODS["lime"](dark)
        assert abs(out.mean() - pixels.mean()) < abs(dark.mean() - pixels.mean())

    def test_gamma_zero_changes_nothing(self):
        pixels = retina(64)
        np.testing.assert_allclose(METHODS["lime"](pixels, gamma=0), pixels, atol=1e-6)


class TestDenoising:
    @pytest.mark.parametrize("name", ["nlm", "wavelet"])
    def test_gains_8_db_on_colour(self, name, noisy):
        clean, rough = noisy
        assert psnr(METHODS[name](rough), clean) > psnr(rough, clean) + 8

    @pytest.mark.parametrize("name", ["nlm", "wavelet"])
    def test_gains_on_grey_at_low_light(self, name, noisy):
        clean, rough = (picture[..., 1:2] / 4 for picture in noisy)
        assert psnr(METHODS[name](rough), clean) > psnr(rough, clean) + 8

    @pytest.mark.parametrize("name", ["nlm", "wavelet"])
    def test_clean_pictures_are_hardly_touched(self, name):
        y, x = np.mgrid[:128, :128]
        smooth_picture = 0.5 + 0.3 * np.sin(x / 17) * np.cos(y / 11)
        pixels = smooth_picture[..., None].astype(np.float32)
        assert psnr(METHODS[name](pixels), pixels) > 60

    @pytest.mark.parametrize("name", ["nlm", "wavelet"])
    def test_sigma_zero_changes_nothing_and_more_smooths_more(self, name, noisy):
        rough = noisy[1][:128, :128]
        run = METHODS[name]
        np.testing.assert_array_equal(run(rough, sigma=0), rough)
        assert run(rough, sigma=0.2).std() < run(rough, sigma=0.03).std()

    def test_wavelet_beats_scikit_image(self, noisy):
        from skimage.restoration import denoise_wavelet

        clean, rough = (picture[..., 1:2] for picture in noisy)
        theirs = denoise_wavelet(
            rough[..., 0], sigma=0.06, wavelet="sym8", wavelet_levels=4
        )
        assert psnr(METHODS["wavelet"](rough)[..., 0], clean[..., 0]) > psnr(
            theirs, clean[..., 0]
        )

    def test_wavelet_does_nearly_as_well_inside_a_black_surround(self):
        clean = retina(384)[64:320, 64:320, 1:2]
        noise = np.random.default_rng(0).normal(0, 0.06, clean.shape)
        rough = (clean + noise).astype(np.float32)
        framed = np.pad(rough, ((256, 256), (256, 256), (0, 0)))
        inside = METHODS["wavelet"](framed, sigma=0.06)[256:512, 256:512]
        alone = METHODS["wavelet"](rough, sigma=0.06)
        within = slice(16, -16)  # the edge is a signal, which costs 0.6 dB; it was 1.8
        assert (
            psnr(inside[within, within], clean[within, within])
            > psnr(alone[within, within], clean[within, within]) - 1.0
        )


class TestBenGraham:
    def test_agrees_with_the_plain_formula_where_there_is_no_surround(self):
        pixels = np.random.default_rng(0).random((96, 120, 3), np.float32) / 4 + 0.4
        blurred = np.stack(
            [
                ndimage.gaussian_filter(
                    pixels[..., c].astype(np.float64), 60 / 30, mode="reflect"
                )
                for c in range(3)
            ],
            axis=-1,
        )
        wanted = (4 * (pixels - blurred) + 0.5).clip(0, 1)
        np.testing.assert_allclose(METHODS["ben-graham"](pixels), wanted, atol=5e-3)

    @pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, 1.0])
    def test_constant_becomes_exactly_half(self, value):
        out = METHODS["ben-graham"](np.full((50, 60, 3), value, np.float32))
        assert (out == 0.5).all()

    def test_shading_goes_and_the_surround_stays(self):
        y, x = np.mgrid[-1:1:256j, -1:1:256j]
        field = np.hypot(x, y) < 0.9
        shade = np.where(field, 0.3 + 0.2 * x, 0.0)
        pixels = np.repeat(shade[..., None], 3, 2).astype(np.float32)

        out = METHODS["ben-graham"](pixels)

        np.testing.assert_array_equal(out[~field], 0)
        inner = np.hypot(x, y) < 0.8
        assert np.abs(out[inner] - 0.5).max() < 0.05


class TestUnsharp:
    def test_blurred_edge_gets_steeper_without_halo(self):
        step = np.repeat((np.arange(512) >= 256) * 0.5 + 0.25, 16).reshape(512, 16)
        edge = np.ascontiguousarray(
            np.tile(ndimage.gaussian_filter(step, (2, 0))[:, :1], (1, 512))
        )
        pixels = edge[..., None].astype(np.float32)

        out = METHODS["unsharp"](pixels, threshold=0, overshoot=0)[..., 0]

        assert np.diff(out, axis=0).max() > 1.1 * np.diff(edge, axis=0).max()
        assert out.max() <= pixels.max()
        assert out.min() >= pixels.min()

    def test_noise_below_the_threshold_is_left_alone(self):
        rng = np.random.default_rng(0)
        pixels = (0.5 + rng.normal(0, 0.01, (512, 512, 1))).astype(np.float32)

        def change(**options):
            return (METHODS["unsharp"](pixels, **options) - pixels).std()

        assert change() < 0.4 * change(threshold=0)

    def test_amount_zero_changes_nothing(self):
        pixels = retina(64)[..., :1]
        np.testing.assert_array_equal(METHODS["unsharp"](pixels, amount=0), pixels)


class TestUnsharpGuided:
    @staticmethod
    def base(plane, radius, eps):
        """Return the guided filter of a plane by itself, as published."""

        def mean(values):
            return ndimage.uniform_filter(values, 2 * radius + 1, mode="reflect")

        plane = plane.astype(np.float64)
        variance = mean(plane**2) - mean(plane) ** 2
        slope = variance / (variance + eps)
        return mean(slope) * plane + mean(mean(plane) * (1 - slope))

    @pytest.mark.parametrize("gain", [0.0, 1.5, 4.0])
    def test_agrees_with_the_plain_formula(self, gain):
        pixels = retina(256)[..., 1:2]  # 4 px, where the picture is half of 512 px
        base = self.base(pixels[..., 0], 4, 1e-2)
        wanted = base + gain * (pixels[..., 0] - base)

        out = METHODS["unsharp-guided"](pixels, gain=gain)[..., 0]

        np.testing.assert_allclose(out, wanted.clip(0, 1), atol=1e-4)
        assert np.abs(out - pixels[..., 0]).mean() > 2e-3

    def test_strong_edges_have_less_of_a_halo_than_by_a_gaussian(self):
        step = np.where(np.arange(512) < 256, 0.2, 0.8)
        pixels = np.tile(step[:, None, None], (1, 512, 1)).astype(np.float32)

        def halo(name, **options):
            out = METHODS[name](pixels, **options)
            return max(out.max() - pixels.max(), pixels.min() - out.min())

        gaussian = halo("unsharp", amount=0.5, radius=4, threshold=0, overshoot=1)
        assert halo("unsharp-guided") < 0.3 * gaussian

    def test_fine_detail_is_raised_and_gain_one_changes_nothing(self):
        y, x = np.mgrid[:512, :512]
        pixels = (0.5 + 0.02 * np.sin(x) * np.sin(y))[..., None].astype(np.float32)
        out = METHODS["unsharp-guided"](pixels)
        assert out.std() == pytest.approx(1.5 * pixels.std(), rel=0.03)
        np.testing.assert_allclose(
            METHODS["unsharp-guided"](retina(64), gain=1), retina(64), atol=1e-4
        )

    def test_depth_survives_and_colour_keeps_hue(self):
        from medenh.colour import rgb_to_lab

        pixels = retina(300) * np.float32(0.5) + np.float32(0.2)
        out = METHODS["unsharp-guided"](pixels)
        assert np.unique(out[..., 1]).size > 10_000
        shift = rgb_to_lab(out)[..., 1:] - rgb_to_lab(pixels)[..., 1:]
        assert np.abs(shift).max() < 0.2


class TestGamma:
    @pytest.mark.parametrize("gamma", [0.3, 1.0, 2.2])
    def test_agrees_with_scikit_image(self, gamma):
        from skimage.exposure import adjust_gamma

        pixels = retina(128)
        out = METHODS["gamma"](pixels, gamma=gamma)
        np.testing.assert_allclose(out, adjust_gamma(pixels, gamma), atol=1e-6)

    def test_brightens_by_default_and_is_undone_by_its_inverse(self):
        pixels = retina(128)
        bright = METHODS["gamma"](pixels)
        assert bright.mean() > pixels.mean() + 0.05
        back = METHODS["gamma"](bright, gamma=1 / 0.67)
        np.testing.assert_allclose(back, pixels, atol=1e-5)


class TestStretch:
    def test_affine_changes_are_undone(self):
        pixels = METHODS["stretch"](retina(128))
        dull = pixels * np.float32(0.3) + np.float32(0.2)
        np.testing.assert_allclose(
            METHODS["stretch"](dull, low=0, high=100), pixels, atol=1e-5
        )

    def test_given_ends_replace_the_percentiles(self):
        pixels = np.array([0.2, 0.3, 0.5, 0.6], np.float32).reshape(2, 2, 1)
        out = METHODS["stretch"](pixels, black=0.2, white=0.6)
        np.testing.assert_allclose(out.ravel(), [0, 0.25, 0.75, 1], atol=1e-6)
