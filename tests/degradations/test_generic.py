"""Levels of ImageNet-C, fixed presets of the papers."""

from functools import cache

import numpy as np
import pytest
from skimage import data

from medenh import degradations
from medenh.degradations import RECIPES, Scene

# Hendrycks & Dietterich 2019, levels 1 to 5, at 224 px
TABLE = {
    ("gaussian-noise", "sigma"): (0.08, 0.12, 0.18, 0.26, 0.38),
    ("shot-noise", "photons"): (60, 25, 12, 5, 3),
    ("impulse", "amount"): (0.03, 0.06, 0.09, 0.17, 0.27),
    ("speckle", "sigma"): (0.15, 0.2, 0.35, 0.45, 0.6),
    ("gaussian-blur", "sigma"): (1, 2, 3, 4, 6),
    ("defocus", "radius"): (3, 4, 6, 8, 10),
    ("defocus", "softness"): (0.1, 0.5, 0.5, 0.5, 0.5),
    ("motion-blur", "length"): (20, 30, 30, 30, 40),  # twice the radius
    ("motion-blur", "sigma"): (3, 5, 8, 12, 15),
    ("zoom-blur", "zoom"): (1.11, 1.16, 1.21, 1.26, 1.31),
    ("contrast", "factor"): (0.4, 0.3, 0.2, 0.1, 0.05),
    ("brightness", "offset"): (0.1, 0.2, 0.3, 0.4, 0.5),
    ("jpeg", "quality"): (25, 18, 15, 10, 7),
    ("pixelate", "factor"): (0.6, 0.5, 0.4, 0.3, 0.25),
}


@cache
def _photo(side=224):
    return np.ascontiguousarray(data.retina()[300 : 300 + side, 400 : 400 + side])


@pytest.mark.parametrize(("name", "parameter"), TABLE)
def test_levels_are_those_of_the_table(name, parameter):
    for level, expected in enumerate(TABLE[name, parameter], 1):
        _, record = degradations.degrade(_photo(), name, severity=level)
        (step,) = record.steps
        assert step.params[parameter] == pytest.approx(expected, rel=1e-12)


def test_between_levels_it_is_piecewise_linear():
    _, record = degradations.degrade(_photo(), "gaussian-blur", severity=4.5)
    assert record.steps[0].params["sigma"] == pytest.approx(5.0)


def test_lengths_grow_with_the_picture():
    for name, parameter in (("gaussian-blur", "sigma"), ("defocus", "radius")):
        _, small = degradations.degrade(_photo(112), name, severity=3)
        _, large = degradations.degrade(_photo(448), name, severity=3)
        ratio = large.steps[0].params[parameter] / small.steps[0].params[parameter]
        assert ratio == pytest.approx(4.0)


@pytest.mark.parametrize("name", ["defocus", "derm-blur", "micro-defocus", "pixelate"])
def test_a_crop_is_degraded_like_the_whole_picture(name):
    def drawn(side, **scene):
        rng = np.random.default_rng(4)
        pixels = np.zeros((side, side, 3), np.float32)
        kinds = RECIPES[name].plan(rng)
        return [kind.sample(rng, pixels, Scene(**scene), 0.5) for kind in kinds]

    assert drawn(128, whole_side=512) == drawn(512)
    assert drawn(128) != drawn(512)


@pytest.mark.parametrize(("name", "parameter"), TABLE)
def test_without_a_severity_the_whole_range_is_drawn(name, parameter):
    rng = np.random.default_rng(0)
    pixels = np.zeros((224, 224, 1), np.float32)
    draws = []
    for _ in range(2000):
        (kind,) = RECIPES[name].plan(rng)
        draws.append(getattr(kind.sample(rng, pixels, Scene(), None), parameter))
    levels = TABLE[name, parameter]
    assert min(levels) - 1e-9 <= min(draws) <= min(levels) + 0.02 * np.ptp(levels)
    assert max(levels) - 0.02 * np.ptp(levels) <= max(draws) <= max(levels) + 1e-9
    theory = (sum(levels) - (levels[0] + levels[-1]) / 2) / 4  # piecewise linear
    assert np.mean(draws) == pytest.approx(theory, rel=0.05)


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.3])
@pytest.mark.filterwarnings("ignore:severity changes nothing")
def test_gauss_has_its_sigma_at_any_severity(sigma):
    grey = np.full((300, 300), 0.5, np.float32)
    for severity in (None, 1, 5):
        low, _ = degradations.degrade(grey, f"gauss-{sigma}", severity=severity)
        change = low - grey
        free = (low > 0) & (low < 1)
        if sigma < 0.15:
            assert change.std() == pytest.approx(sigma, rel=0.02)
        assert low.min() >= 0
        assert low.max() <= 1
        middle = np.abs(change[free]) < sigma
        assert middle.sum() / change.size == pytest.approx(0.6827, abs=0.01)


def test_bicubic_keeps_the_size_and_takes_detail():
    clean = _photo()
    two, record = degradations.degrade(clean, "bicubic-x2")
    four, _ = degradations.degrade(clean, "bicubic-x4")
    assert two.shape == four.shape == clean.shape
    assert record.steps[0].params == {"factor": 2.0}
    rough = np.abs(np.diff(clean.astype(float), axis=0)).mean()
    assert np.abs(np.diff(four.astype(float), axis=0)).mean() < 0.8 * rough


def test_dpe_gauss_has_the_noise_the_paper_names():
    grey = np.full((300, 300), 0.5, np.float32)
    low, record = degradations.degrade(grey, "dpe-gauss", severity=5)
    params = record.steps[0].params
    assert params["gaussian"] is True
    assert low.std() == pytest.approx(params["sigma"] / 2, rel=0.02)  # [0, 1] scale
    one_sided, record = degradations.degrade(grey, "dpe", severity=5)
    assert one_sided.std() == pytest.approx(0.1**1.5 / 2 / np.sqrt(12), rel=0.02)
