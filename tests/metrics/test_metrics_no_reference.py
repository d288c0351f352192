"""Metrics of one image: they find what was put in, and follow what got worse."""

import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import gaussian_filter
from skimage import data

from medenh.errors import UsageError
from medenh.metrics import (
    automatic_cnr,
    cnr,
    contrast,
    fundus_quality,
    niqe,
    noise,
    sharpness,
)
from medenh.metrics.natural_statistics import _aggd, fit_gaussian, patch_features

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def retina():
    return data.retina()[300:812, 300:812].astype(np.float32) / 255


def _fit(sample):
    """Return shape and scales of an asymmetric generalised Gaussian, by its moments."""
    values = np.asarray(sample, np.float64).ravel()
    below, above = values[values < 0], values[values >= 0]
    moments = (
        np.square(below).sum() / max(below.size, 1),
        np.square(above).sum() / max(above.size, 1),
        np.abs(values).mean(),
        np.square(values).mean(),
    )
    return tuple(float(found[0]) for found in _aggd(*map(np.atleast_1d, moments)))


def _blurred(image, sigma):
    return gaussian_filter(image, (sigma, sigma, 0)[: image.ndim])


def _noisy(image, sigma):
    return np.clip(image + np.random.default_rng(1).normal(0, sigma, image.shape), 0, 1)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_fit_finds_the_generalised_gaussian_it_was_drawn_from(shape, scale):
    sample = stats.gennorm.rvs(shape, scale=scale, size=200_000, random_state=0)
    alpha, left, right = _fit(sample)
    # moments of heavy tails are less sure; the scale follows the shape
    tolerance = 0.08 if shape < 1 else 0.03
    assert alpha == pytest.approx(shape, rel=tolerance)
    assert left == pytest.approx(scale, rel=tolerance)
    assert right == pytest.approx(scale, rel=tolerance)


def test_fit_finds_the_two_sides_of_an_asymmetric_one():
    rng = np.random.default_rng(2)
    # an AGGD has its sides in proportion to their scales
    size, left, right, shape = 400_000, 1.0, 2.5, 1.4
    on_left = rng.random(size) < left / (left + right)
    half = np.abs(stats.gennorm.rvs(shape, size=size, random_state=rng))
    sample = np.where(on_left, -left * half, right * half)
    assert _fit(sample) == pytest.approx((shape, left, right), rel=0.03)


def test_fit_of_next_to_nothing_is_defined():
    for sample in (np.zeros(10), np.ones(10), -np.ones(3)):
        assert np.isfinite(_fit(sample)).all()


def test_features_of_patches_are_those_of_the_patches_alone(retina):
    from medenh.metrics.natural_statistics import _normalised

    features = patch_features(retina)
    assert features.shape == (15 * 15, 36)
    plane = (255 * (retina @ [0.299, 0.587, 0.114])).astype(np.float32)
    coefficients = _normalised(plane)[0]
    first = coefficients[:64, :64]
    alpha, left, right = _fit(first)
    assert features[0, :2] == pytest.approx((alpha, (left + right) / 2), rel=1e-3)
    across = _fit(first * coefficients[:64, 1:65])
    assert features[0, [2, 4, 5]] == pytest.approx(across, rel=1e-3)


@pytest.mark.parametrize("modality", ["fundus", "unknown", None])
def test_niqe_rises_with_blur_noise_and_lost_contrast(retina, modality):
    clean = niqe(retina, modality=modality)
    assert 0 < clean < 15
    blurred = [niqe(_blurred(retina, s), modality=modality) for s in (1.5, 3)]
    noisy = [niqe(_noisy(retina, s), modality=modality) for s in (0.04, 0.12)]
    assert clean < blurred[0]
    assert clean < blurred[1]
    assert clean < noisy[0] < noisy[1]
    pale = 0.4 + 0.25 * (retina - 0.4)
    assert niqe(pale, modality=modality) > clean


def test_niqe_measures_the_field_and_not_its_surround(retina):
    framed = np.zeros((640, 640, 3), np.float32)
    framed[64:576, 64:576] = retina
    alone = niqe(retina, modality="fundus")
    assert niqe(framed, modality="fundus") == pytest.approx(alone, abs=0.5)
    mask = np.zeros((512, 512), bool)
    mask[:, 256:] = True
    half = niqe(retina[:, 256:], modality="fundus")
    assert niqe(retina, mask=mask, modality="fundus") == pytest.approx(half, abs=0.05)


def test_niqe_of_too_little_is_not_a_number(retina):
    assert np.isnan(niqe(retina[:63]))
    assert np.isnan(niqe(np.full((128, 128), 0.5)))
    mask = np.zeros((512, 512), bool)
    mask[100:150] = True
    assert np.isnan(niqe(retina, mask=mask))
    assert np.isfinite(niqe(retina[200:264, 200:264]))  # one patch


@pytest.mark.parametrize("metric", [niqe, sharpness, fundus_quality])
def test_figures_of_a_few_pixels_are_not_a_number(metric, retina):
    for spot in (np.s_[0, 0], np.s_[250:254, 250:254]):
        mask = np.zeros(retina.shape[:2], bool)
        mask[spot] = True
        assert np.isnan(metric(retina, mask=mask))
    assert np.isnan(metric(retina[250:251, 250:251]))
    assert np.isnan(metric(retina[250:262, 250:262]))


def test_niqe_takes_known_kinds_of_images_only(retina):
    assert niqe(retina, modality="unknown") == niqe(retina)
    assert niqe(retina, modality="fundus") != niqe(retina)
    for wrong in ("eye", "all", "Fundus", ""):
        with pytest.raises(UsageError, match=r"unknown modality.*fundus, xray"):
            niqe(retina, modality=wrong)


def test_one_patch_has_no_covariance():
    single = fit_gaussian(np.ones((1, 36)))
    assert not single.covariance.any()
    with pytest.raises(UsageError, match="sharpest"):
        patch_features(np.ones((64, 64)), sharpest=1.0)


def test_sharpness_falls_with_every_step_of_blur(retina):
    figures = [sharpness(_blurred(retina, s)) for s in (0, 0.3, 0.6, 1, 1.5, 2.5, 4)]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > 1.25 * figures[-1]


def test_sharpness_knows_detail_from_contrast_and_from_noise(retina):
    plain = sharpness(retina)
    assert sharpness(0.2 + 0.5 * retina) == pytest.approx(plain, rel=0.01)
    blurred = _blurred(retina, 2.0)
    assert sharpness(_noisy(blurred, 0.02)) == pytest.approx(
        sharpness(blurred), rel=0.15
    )
    assert np.isnan(sharpness(np.full((40, 40), 0.3)))


@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("shape", [(300, 200), (300, 200, 3)])
def test_noise_put_in_is_found(sigma, shape):
    smooth = np.linspace(0.3, 0.7, shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
    image = np.broadcast_to(smooth, shape) + RNG.normal(0, sigma, shape)
    assert noise(image, data_range=1.0) == pytest.approx(sigma, rel=0.08)
    assert noise(255 * image, data_range=255) == pytest.approx(sigma, rel=0.08)


def test_noise_is_found_beside_structure_and_surround(retina):
    blurred = _blurred(retina, 1.0)
    before = noise(blurred)
    assert before < 0.004
    assert noise(_noisy(blurred, 0.03)) == pytest.approx(0.03, rel=0.1)
    framed = np.zeros((900, 900, 3))
    framed[200:712, 200:712] = _noisy(blurred, 0.03)
    assert noise(framed) == pytest.approx(0.03, rel=0.15)
    assert np.isnan(noise(np.zeros((2, 9))))


def test_contrast_is_the_deviation_of_the_luma(retina):
    plane = retina.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert contrast(retina) == pytest.approx(plane.std(), rel=1e-5)
    assert contrast(0.5 * retina) == pytest.approx(plane.std() / 2, rel=1e-5)


def test_cnr_of_given_regions_is_its_definition():
    image = np.zeros((20, 40))
    image[:, :20] = RNG.normal(0.3, 0.02, (20, 20))
    image[:, 20:] = 0.5
    left = np.arange(40)[None, :].repeat(20, 0) < 20
    wanted = abs(0.5 - image[left].mean()) / image[left].std()
    assert cnr(image, ~left, left) == pytest.approx(wanted, rel=1e-4)
    assert cnr(image, left, ~left) == np.inf
    assert np.isnan(cnr(image, ~left, ~left))
    with pytest.raises(UsageError, match="empty"):
        cnr(image, left, left & False)


@pytest.mark.parametrize(("step", "sigma"), [(0.4, 0.02), (0.2, 0.02), (0.2, 0.05)])
def test_automatic_cnr_is_the_step_over_the_noise(step, sigma):
    image = np.full((200, 200), 0.3)
    image[60:140, 60:140] += step
    image += RNG.normal(0, sigma, image.shape)
    assert automatic_cnr(image) == pytest.approx(step / sigma, rel=0.12)
    assert np.isnan(automatic_cnr(np.full((20, 20), 0.5)))


def test_quality_of_a_photograph_falls_with_what_graders_dislike():
    image = data.retina().astype(np.float32) / 255
    good = fundus_quality(image)
    assert 0.6 < good <= 1
    ramp = np.linspace(0.1, 1, image.shape[1], dtype=np.float32)[None, :, None]
    worse = {
        "blur": _blurred(image, 16),
        "dark": image * 0.2,
        "haze": 0.25 * image + 0.5,
        "shadow": image * ramp**3,
    }
    for name, picture in worse.items():
        assert fundus_quality(picture) < good - 0.2, name


def test_quality_does_not_depend_on_size_nor_surround():
    image = data.retina().astype(np.float32) / 255
    half = image[:1410, :1410].reshape(705, 2, 705, 2, 3).mean(axis=(1, 3))
    good = fundus_quality(image)
    assert fundus_quality(half) == pytest.approx(good, abs=0.05)
    framed = np.pad(image, ((0, 0), (300, 300), (0, 0)))
    assert fundus_quality(framed) == pytest.approx(good, abs=0.15)


def test_quality_of_no_field_is_not_a_number():
    assert np.isnan(fundus_quality(np.zeros((200, 200, 3))))
    assert np.isfinite(fundus_quality(np.full((200, 200), 0.4)))
