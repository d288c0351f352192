"""Full-reference metrics against scikit-image, SciPy and published values."""

import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import color
from skimage import metrics as reference_metrics
from skimage.transform import downscale_local_mean

from medenh.errors import NonFiniteError, UsageError
from medenh.metrics import delta_e2000, mae, ms_ssim, psnr, ssim
from medenh.metrics.ciede2000 import Lab, ciede2000

ALL = [psnr, mae, ssim, ms_ssim, delta_e2000]
NEAR = [psnr, mae, ssim, delta_e2000]  # those that look no further than 5 px


@pytest.fixture(scope="module", params=["grey plane", "grey", "colour"])
def pair(request):
    from skimage.data import retina

    clean = (retina()[400:592, 400:600] / 255).astype(np.float32)
    rough = clean * 0.8 + np.random.default_rng(0).normal(0, 0.03, clean.shape)
    both = rough.clip(0, 1).astype(np.float32), clean
    pick = {"grey plane": (..., 1), "grey": (..., slice(1, 2)), "colour": ...}
    return tuple(picture[pick[request.param]] for picture in both)


def test_psnr_is_scikit_images(pair):
    wanted = reference_metrics.peak_signal_noise_ratio(pair[1], pair[0], data_range=1)
    assert psnr(*pair) == pytest.approx(wanted, abs=1e-5)
    scaled = [np.rint(picture * 255).astype(np.uint8) for picture in pair]
    assert psnr(*scaled, data_range=255) == pytest.approx(wanted, abs=0.02)


def test_mae_is_the_mean_difference(pair):
    wanted = np.abs(pair[0].astype(float) - pair[1]).mean()
    assert mae(*pair) == pytest.approx(wanted, rel=1e-5)


def test_ssim_is_scikit_images_mean_over_channels(pair):
    planes = [np.atleast_3d(picture).astype(float) for picture in pair]
    wanted = np.mean(
        [
            reference_metrics.structural_similarity(
                planes[0][..., channel],
                planes[1][..., channel],
                data_range=1,
                gaussian_weights=True,
                use_sample_covariance=False,
            )
            for channel in range(planes[0].shape[2])
        ]
    )
    assert ssim(*pair) == pytest.approx(wanted, abs=1e-9)


def test_masked_ssim_is_the_mean_of_the_map(pair):
    one, other = (np.atleast_3d(picture).astype(float) for picture in pair)
    mask = np.zeros(one.shape[:2], bool)
    mask[30:90, 20:150] = True
    _, similarity = reference_metrics.structural_similarity(
        one,
        other,
        data_range=1,
        channel_axis=2,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )
    assert ssim(*pair, mask=mask) == pytest.approx(similarity[mask].mean(), abs=1e-9)


def test_ms_ssim_follows_its_definition(pair):
    one, other = (np.atleast_3d(picture).astype(float) for picture in pair)
    wanted = []
    for channel in range(one.shape[2]):
        x, y, product = one[..., channel], other[..., channel], 1.0
        for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
            options = {
                "data_range": 1,
                "gaussian_weights": True,
                "use_sample_covariance": False,
            }
            full = reference_metrics.structural_similarity(x, y, **options)
            # the luminance term away: K1 so large that it is 1
            contrast = reference_metrics.structural_similarity(x, y, K1=1e6, **options)
            product *= (full if scale == 4 else contrast) ** weight
            x, y = (
                downscale_local_mean(p[: p.shape[0] // 2 * 2, : p.shape[1] // 2 * 2], 2)
                for p in (x, y)
            )
        wanted.append(product)
    assert ms_ssim(*pair) == pytest.approx(np.mean(wanted), abs=1e-6)


def test_delta_e_is_scikit_images(pair):
    planes = [np.atleast_3d(picture).astype(float) for picture in pair]
    lab = [color.rgb2lab(np.broadcast_to(p, (*p.shape[:2], 3))) for p in planes]
    wanted = color.deltaE_ciede2000(*lab)
    mask = np.zeros(wanted.shape, bool)
    mask[10:50] = True
    assert delta_e2000(*pair) == pytest.approx(wanted.mean(), rel=1e-4)
    assert delta_e2000(*pair, mask=mask) == pytest.approx(wanted[mask].mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_published_pairs_of_ciede2000(one, other, wanted):
    colours = [Lab(*(np.array([v], float) for v in lab)) for lab in (one, other)]
    assert ciede2000(*colours)[0] == pytest.approx(wanted, abs=5e-5)
    assert ciede2000(*colours[::-1])[0] == pytest.approx(wanted, abs=5e-5)


def test_ciede2000_is_scikit_images_for_every_pair_of_hues():
    rng = np.random.default_rng(0)
    lab = rng.uniform((0, -110, -110), (100, 110, 110), (2, 20_000, 3))
    lab[1, :10_000] = lab[0, :10_000] + rng.normal(0, 0.1, (10_000, 3))
    lab[0, :200, 1:] = 0
    lab[1, 100:300, 1:] = 0
    wanted = color.deltaE_ciede2000(lab[0], lab[1])
    both = (Lab(*side.T) for side in lab)
    np.testing.assert_allclose(ciede2000(*both), wanted, rtol=1e-9, atol=1e-9)


def _random_pair(index):
    rng = np.random.default_rng(index)
    height, width = rng.integers(11, 140, 2)
    shape = (height, width) if index % 3 == 0 else (height, width, 3)
    smooth = gaussian_filter(rng.random(shape), (2, 2, 0)[: len(shape)])
    one = np.clip((smooth - 0.5) * 3 + rng.uniform(0.2, 0.8), 0, 1)
    noise = rng.normal(0, 10 ** rng.uniform(-2.5, -0.7), shape)
    other = np.clip(rng.uniform(0.5, 1) * one + noise, 0, 1)
    if index % 2:
        return *(np.rint(255 * p).astype(np.uint8) for p in (one, other)), 255
    dtype = (np.float32, np.float64)[index // 2 % 2]
    return one.astype(dtype), other.astype(dtype), 1.0


def _as_lab(picture, white):
    rgb = np.atleast_3d(picture).astype(float) / white
    return color.rgb2lab(np.broadcast_to(rgb, (*rgb.shape[:2], 3)))


@pytest.mark.parametrize("index", range(100))
def test_random_pairs_agree_with_scikit_image(index):
    one, other, white = _random_pair(index)
    floats = one.astype(float), other.astype(float)
    wanted = {
        psnr: reference_metrics.peak_signal_noise_ratio(*floats, data_range=white),
        mae: np.abs(floats[0] - floats[1]).mean() / white,
        ssim: reference_metrics.structural_similarity(
            *floats,
            data_range=white,
            channel_axis=2 if one.ndim == 3 else None,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        ),
        delta_e2000: color.deltaE_ciede2000(
            _as_lab(one, white), _as_lab(other, white)
        ).mean(),
    }
    for metric, value in wanted.items():
        figure = metric(one, other, data_range=white)
        assert figure == pytest.approx(value, rel=1e-5), metric


@pytest.mark.parametrize(
    ("level", "wanted"), [(0, 1.59), (64, 3.35), (128, 3.66), (200, 2.43), (245, 2.01)]
)
def test_ten_grey_levels_differ_by_known_amounts(level, wanted):
    grey = np.full((4, 4), level / 255)
    assert delta_e2000(grey + 10 / 255, grey) == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (11, 11), (12, 300), (40, 33, 3)])
def test_equal_pictures_are_perfect_at_any_size(shape):
    picture = np.random.default_rng(1).random(shape, np.float32)
    assert psnr(picture, picture) == np.inf
    assert mae(picture, picture) == 0
    assert ssim(picture, picture) == pytest.approx(1, abs=1e-12)
    assert ms_ssim(picture, picture) == pytest.approx(1, abs=1e-12)
    assert delta_e2000(picture, picture) == 0


@pytest.mark.parametrize("shape", [(1, 1), (10, 10), (30, 50, 3)])
def test_worse_pictures_score_worse_at_any_size(shape):
    rng = np.random.default_rng(1)
    picture = rng.random(shape)
    noise = rng.normal(0, 1, shape)
    near, far = ((picture + s * noise).clip(0, 1) for s in (0.05, 0.3))
    for metric in (psnr, ssim, ms_ssim):
        assert metric(near, picture) > metric(far, picture)
    for metric in (mae, delta_e2000):
        assert metric(near, picture) < metric(far, picture)


@pytest.mark.parametrize("metric", NEAR)
def test_outside_of_the_mask_does_not_count(metric):
    rng = np.random.default_rng(2)
    reference = rng.random((60, 60, 3))
    image = (reference + rng.normal(0, 0.05, reference.shape)).clip(0, 1)
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    spoilt = image.copy()
    spoilt[:10] = 0
    assert metric(spoilt, reference, mask=mask) == metric(image, reference, mask=mask)
    assert metric(spoilt, reference) != metric(image, reference)


@pytest.mark.parametrize("metric", ALL)
def test_what_does_not_compare_is_refused(metric):
    grey = np.zeros((20, 20))
    for other in (np.zeros((20, 21)), np.zeros((20, 20, 1))):
        with pytest.raises(UsageError, match="compare"):
            metric(grey, other)
    for shape in ((20,), (1, 20, 20, 3), (0, 3), (20, 20, 2)):
        with pytest.raises(UsageError, match="measured"):
            metric(np.zeros(shape), np.zeros(shape))
    with pytest.raises(NonFiniteError):
        metric(grey + np.nan, grey)


@pytest.mark.parametrize("metric", ALL)
def test_unusable_masks_are_refused(metric):
    grey = np.zeros((20, 20))
    with pytest.raises(UsageError, match="empty"):
        metric(grey, grey, mask=np.zeros((20, 20), bool))
    with pytest.raises(UsageError, match="mask"):
        metric(grey, grey, mask=np.ones((20, 19), bool))


def test_delta_e_of_networks_range_is_refused():
    with pytest.raises(UsageError, match=r"\[0, 1\]"):
        delta_e2000(np.full((4, 4), -1.0), np.zeros((4, 4)))


@pytest.mark.parametrize("metric", [psnr, ssim, ms_ssim])
@pytest.mark.parametrize("data_range", [0, -1, np.nan, np.inf])
def test_senseless_data_range_is_refused(metric, data_range):
    with pytest.raises(UsageError, match="data_range"):
        metric(np.zeros((4, 4)), np.zeros((4, 4)), data_range=data_range)


def test_no_power_of_a_negative_term():
    picture = np.random.default_rng(0).random((64, 64))
    assert ms_ssim(1 - picture, picture) == 0


@pytest.mark.parametrize("side", [8, 64])
def test_similarity_does_not_depend_on_the_unit(side):
    rng = np.random.default_rng(0)
    one, other = rng.random((2, side, side))
    mask = np.tri(side, dtype=bool)
    for options in ({}, {"mask": mask}):
        wide = ssim(4095 * one, 4095 * other, data_range=4095, **options)
        assert wide == pytest.approx(ssim(one, other, **options), rel=1e-9)
    near = (one + 0.1 * other) / 1.1
    wide = ms_ssim(4095 * near, 4095 * one, data_range=4095)
    assert wide == pytest.approx(ms_ssim(near, one), rel=1e-9)


def test_mask_of_the_multi_scale_metric_keeps_what_is_far_away_out():
    rng = np.random.default_rng(3)
    reference = rng.random((400, 200))
    image = (reference + rng.normal(0, 0.05, reference.shape)).clip(0, 1)
    mask = np.zeros(reference.shape, bool)
    mask[300:] = True
    spoilt = image.copy()
    spoilt[:150] = 0
    inside = ms_ssim(image, reference, mask=mask)
    assert ms_ssim(spoilt, reference, mask=mask) == pytest.approx(inside, abs=1e-12)
    assert inside == pytest.approx(ms_ssim(image, reference), abs=0.02)
    assert ms_ssim(spoilt, reference) < 0.9


@pytest.mark.parametrize("metric", ALL)
def test_large_pictures_need_little_memory(metric):
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (1500, 2000, 3), np.uint8)
    other = one[::-1]
    tracemalloc.start()
    try:
        metric(one, other, data_range=255)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # ms_ssim keeps both pictures at half size, as floats
    assert peak < (8 if metric is ms_ssim else 4) * one.nbytes


@pytest.mark.parametrize("metric", ALL)
def test_numbers_of_no_picture_are_refused(metric):
    for dtype in (complex, object, "U1"):
        with pytest.raises(UsageError, match="type"):
            metric(np.zeros((8, 8), dtype), np.zeros((8, 8), dtype))


@pytest.mark.parametrize("place", [np.s_[-1, -1], np.s_[-1], np.s_[:, -1]])
def test_ms_ssim_of_a_mask_in_the_last_line_of_an_odd_side(place):
    picture = gaussian_filter(np.random.default_rng(1).random((65, 65)), 1)
    mask = np.zeros(picture.shape, bool)
    mask[place] = True
    assert 0 < ms_ssim(picture, np.roll(picture, 1, 0), data_range=1, mask=mask) < 1
