"""Light and colour against scikit-image and arithmetic."""

import numpy as np
import pytest
from skimage import color, data

from medenh.degradations.light import (
    Brightness,
    ColourGains,
    Contrast,
    Exposure,
    Gamma,
    Offset,
    Saturation,
)
from medenh.degradations.operator import Scene
from medenh.degradations.shading import LightSpot, LinearRamp, Vignette

NEUTRAL = [
    Brightness(0.0),
    Contrast(1.0),
    Saturation(1.0),
    Exposure(1.0),
    Gamma(1.0),
    Offset(0.0),
    ColourGains(1.0, 1.0, 1.0),
    LinearRamp(30.0, 1.0, 1.0),
    LightSpot((0.4, 0.5), (1.0, 0.5), 20.0, 1.0, 1.0),
    Vignette((0.4, 0.5), 0.0),
]


def _picture(channels=3):
    photo = data.retina()[300:400, 400:550].astype(np.float32) / 255
    return np.ascontiguousarray(photo[..., :channels])


@pytest.mark.parametrize("operator", NEUTRAL, ids=lambda one: one.name)
@pytest.mark.parametrize("channels", [1, 3])
def test_neutral_parameters_change_nothing(operator, channels):
    x = _picture(channels)
    np.testing.assert_allclose(operator.apply(x, Scene()), x, atol=1e-6)


def test_brightness_is_hsv_value():
    x = _picture()
    hsv = color.rgb2hsv(x)
    hsv[..., 2] = np.clip(hsv[..., 2] + 0.3, 0, 1)
    ours = Brightness(0.3).apply(x, Scene())
    np.testing.assert_allclose(ours, color.hsv2rgb(hsv), atol=1e-5)
    black = Brightness(0.3).apply(np.zeros((2, 2, 3), np.float32), Scene())
    np.testing.assert_allclose(black, 0.3, atol=1e-6)


def test_contrast_is_about_the_mean_inside_the_field():
    x = _picture()
    mean = x.mean((0, 1), dtype=np.float64)
    ours = Contrast(0.4).apply(x, Scene())
    np.testing.assert_allclose(ours, (x - mean) * 0.4 + mean, atol=1e-5)
    field = np.zeros(x.shape[:2], np.float32)
    field[20:80, 30:90] = 1
    mean = x[20:80, 30:90].mean((0, 1))
    ours = Contrast(0.0).apply(x, Scene(field=field))
    np.testing.assert_allclose(ours[50, 50], mean, atol=1e-5)


def test_saturation_keeps_luma():
    x = _picture() * 0.5 + 0.2
    weights = np.array([0.299, 0.587, 0.114])
    for factor in (0.0, 0.5, 1.4):
        ours = Saturation(factor).apply(x, Scene())
        np.testing.assert_allclose(ours @ weights, x @ weights, atol=1e-5)
    assert np.ptp(Saturation(0.0).apply(x, Scene()), axis=-1).max() < 1e-6


def test_ramps_reach_their_factors():
    flat = np.full((101, 151, 1), 0.5, np.float32)
    ramp = LinearRamp(0.0, 1.3, 0.5).apply(flat, Scene()) / 0.5
    np.testing.assert_allclose(ramp[:, -1], 1.3, atol=1e-3)
    np.testing.assert_allclose(ramp[:, 0], 0.5, atol=1e-3)
    upward = LinearRamp(90.0, 1.2, 0.8).apply(flat, Scene()) / 0.5
    assert upward[0, 70, 0] > upward[-1, 70, 0]
    corner = Vignette((0.5, 0.5), 0.4).apply(flat, Scene()) / 0.5
    assert corner[50, 75, 0] == pytest.approx(1.0, abs=1e-3)
    assert corner[0, 0, 0] == pytest.approx(0.6, abs=0.01)
    spot = LightSpot((0.5, 0.5), (0.2, 0.2), 0.0, 1.3, 0.5).apply(flat, Scene()) / 0.5
    assert spot[50, 75, 0] == pytest.approx(1.3, abs=1e-3)
    assert spot[0, 0, 0] == pytest.approx(0.5, abs=1e-3)
