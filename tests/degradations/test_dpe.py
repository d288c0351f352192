import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageEnhance
from skimage import data

from medenh.degradations import dpe, rng_for


def _parameters(brightness=1.0, contrast=1.0, first=True, sigma=0.0):
    return dpe.DpeParameters(brightness, contrast, first, sigma, 7)


def _picture():
    return data.retina()[300:700, 200:640]


@pytest.mark.parametrize("first", [True, False])
def test_equals_pillow_within_one_level(first):
    """ColorJitter is Pillow's ImageEnhance; the published code uses it."""
    picture = _picture()
    expected = PillowImage.fromarray(picture)
    steps = [(ImageEnhance.Brightness, 0.43), (ImageEnhance.Contrast, 0.71)]
    for enhance, factor in steps if first else steps[::-1]:
        expected = enhance(expected).enhance(factor)
    ours = dpe.apply(picture.astype(np.float32) / 255, _parameters(0.43, 0.71, first))
    levels = np.abs(np.rint(ours * 255) - np.asarray(expected, dtype=float))
    assert levels.max() <= 1
    assert (levels > 0).mean() < 0.01


def test_neutral_factors_change_nothing():
    picture = _picture().astype(np.float32) / 255
    np.testing.assert_array_equal(dpe.apply(picture, _parameters()), picture)


def test_both_orders_are_one_affine_map():
    picture = _picture().astype(np.float32) / 255
    a = dpe.apply(picture, _parameters(0.5, 0.6, True))
    b = dpe.apply(picture, _parameters(0.5, 0.6, False))
    assert np.abs(a - b).max() * 255 <= 1.5


def test_noise_is_one_sided_and_faint():
    picture = np.full((64, 64, 3), 0.5, np.float32)
    sigma = 0.1**1.5
    noisy = dpe.apply(picture, _parameters(sigma=sigma), quantise=False)
    change = noisy - picture
    assert change.min() >= 0
    assert change.mean() == pytest.approx(sigma / 4, rel=0.05)  # [0, 1] scale


def test_depth_survives_without_quantising():
    ramp = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64, 1)
    out = dpe.apply(ramp, _parameters(0.3, 0.5), quantise=False)
    assert len(np.unique(out)) > 4000


def test_draws_depend_on_the_name_alone():
    first = dpe.sample(rng_for("a/b.png", seed=1))
    assert first == dpe.sample(rng_for("a/b.png", seed=1))
    assert first != dpe.sample(rng_for("a/c.png", seed=1))
    assert first != dpe.sample(rng_for("a/b.png", seed=2))
    assert first != dpe.sample(rng_for("a/b.png", seed=1, draw=1))


def test_factors_stay_in_the_published_ranges():
    draws = [dpe.sample(rng_for(str(i))) for i in range(500)]
    for values in ([d.brightness for d in draws], [d.contrast for d in draws]):
        assert 0.1 <= min(values) < 0.12
        assert 0.78 < max(values) <= 0.8
    assert max(d.sigma for d in draws) <= 0.1**1.5
    assert {d.brightness_first for d in draws} == {True, False}
