"""X-ray: counting statistics, scatter, polarity."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
from skimage import data
from skimage.util import random_noise

from medenh.degradations import RECIPES, Scene, degrade_image
from medenh.degradations.xray_detector import XrayDetector, XrayGrid
from medenh.types import Image, Modality, Storage, UnitRange

SCENE = Scene()
IDEAL = XrayDetector(
    peak_attenuation=3.0,
    photons=1e13,
    dose=1.0,
    read_noise=0.0,
    scatter=0.0,
    scatter_px=30.0,
    blur_px=0.0,
    noise_seed=2,
)


@pytest.fixture(scope="module")
def shown():
    return (data.camera()[::4, ::3, None] / 255).astype(np.float32)


def test_full_dose_without_faults_changes_nothing(shown):
    np.testing.assert_allclose(IDEAL.apply(shown, SCENE), shown, atol=1e-5)


@pytest.mark.parametrize("level", [0.2, 0.7])
def test_noise_of_the_line_integral_is_one_over_root_counts(level):
    flat = np.full((300, 300, 1), level, np.float32)
    low = replace(IDEAL, photons=4000.0, dose=0.5).apply(flat, SCENE)
    counts = 2000 * np.exp(-3.0 * level)
    assert low.std() * 3.0 == pytest.approx(counts**-0.5, rel=0.02)
    assert low.mean() == pytest.approx(level, abs=2e-3)
    electronic = replace(IDEAL, photons=4000.0, dose=0.5, read_noise=10.0)
    expected = np.sqrt(counts + 100) / counts
    assert electronic.apply(flat, SCENE).std() * 3 == pytest.approx(expected, rel=0.03)


def test_counts_are_those_of_scikit_image():
    flat = np.full((300, 300), 0.5, np.float32)
    low = replace(IDEAL, photons=256.0).apply(flat[..., None], SCENE)
    ours = np.exp(-3.0 * low)  # back to the share that passed
    passed = np.full((300, 300), np.exp(-1.5))
    theirs = random_noise(np.append(passed, 1.0), "poisson", rng=0)  # 256 levels
    assert ours.std() == pytest.approx(theirs[:-1].std() * np.sqrt(2 / 256), rel=0.9)
    assert ours.mean() == pytest.approx(passed.mean(), rel=0.01)


def test_scatter_takes_contrast_and_keeps_exposure(shown):
    veiled = replace(IDEAL, scatter=1.0).apply(shown, SCENE)
    assert veiled.std() < 0.9 * shown.std()
    mean = np.exp(-3.0 * shown).mean()
    assert np.exp(-3.0 * veiled).mean() == pytest.approx(mean, rel=0.02)
    flat = np.full((40, 50, 1), 0.4, np.float32)
    np.testing.assert_allclose(
        replace(IDEAL, scatter=2.0).apply(flat, SCENE), flat, atol=1e-4
    )


def test_scatter_spreads_as_a_gaussian():
    passed = np.ones((160, 160), np.float32)
    passed[70:90, 70:90] = np.exp(-3.0)
    shown = (-np.log(passed) / 3.0)[..., None].astype(np.float32)
    low = replace(IDEAL, scatter=1.0, scatter_px=20.0).apply(shown, SCENE)[..., 0]
    stray = scipy.ndimage.gaussian_filter(passed, 20.0, mode="reflect")
    np.testing.assert_allclose(np.exp(-3.0 * low), (passed + stray) / 2, atol=4e-3)


def test_the_detector_blurs_the_light(shown):
    low = replace(IDEAL, blur_px=1.2).apply(shown, SCENE)[..., 0]
    light = scipy.ndimage.gaussian_filter(np.exp(-3.0 * shown[..., 0]), 1.2)
    np.testing.assert_allclose(np.exp(-3.0 * low), light, atol=2e-3)


def test_grid_lines_have_their_period():
    flat = np.full((64, 64, 1), 0.5, np.float32)
    lines = XrayGrid(0.02, 4.0, 0.3, "row").apply(flat, SCENE)[..., 0] - 0.5
    spectrum = np.abs(np.fft.rfft(lines[:, 0]))
    assert np.argmax(spectrum) == 16
    assert lines.std(axis=1).max() < 1e-6
    turned = XrayGrid(0.02, 4.0, 0.3, "column").apply(flat, SCENE)[..., 0] - 0.5
    np.testing.assert_array_equal(turned, lines.T)


def test_photographic_polarity_sees_the_same_body():
    """MONOCHROME1 stores dense as dark: noise still belongs to the dense parts."""
    levels = np.linspace(100, 900, 200).astype(np.uint16)
    pixels = np.repeat(levels[None, :, None, None], 200, axis=2)

    def low(inverted):
        stored = (1023 - pixels) if inverted else pixels
        image = Image(
            pixels=stored,
            unit_range=UnitRange(0, 1023, inverted=inverted),
            storage=Storage(np.dtype(np.uint16), minimum=0, maximum=1023),
            modality=Modality.XRAY,
        )
        pair = degrade_image(image, RECIPES["xray-low-dose"], name="p", severity=0.5)
        return pair.low.pixels.astype(int)

    np.testing.assert_allclose(1023 - low(True), low(False), atol=1)


@pytest.mark.parametrize("name", [n for n in RECIPES if n.startswith("xray")])
def test_deep_pictures_stay_deep(name):
    photo = data.camera()[::4, ::4] / 255.0 + np.linspace(0, 0.004, 128)
    ramp = np.rint(np.minimum(photo, 1.0) * 4095).astype(np.uint16)
    image = Image(
        pixels=ramp[None, ..., None],
        unit_range=UnitRange(0, 4095),
        storage=Storage(np.dtype(np.uint16), minimum=0, maximum=4095),
        modality=Modality.XRAY,
    )
    low = degrade_image(image, RECIPES[name], name="d", severity=0.5).low.pixels
    assert low.dtype == np.uint16
    assert low.max() <= 4095
    assert len(np.unique(low)) > 300  # not rounded to 8 bits
