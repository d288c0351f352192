"""What the structure and wavelet terms must and must not answer to."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from textures import texture

from medenh.losses.bands import wavelet
from medenh.losses.correlation import local_correlation, structure
from medenh.losses.lighting import illumination

LOSSES = [structure, wavelet]


@pytest.mark.parametrize("loss", LOSSES)
def test_equal_pictures_cost_nothing(loss):
    x = texture(0)
    assert loss(x, x.clone()).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_contrast_is_free_and_other_structure_is_not(loss):
    x = texture(0)
    assert loss(2 * (x - 0.5) + 0.5, x).item() < 0.02
    assert loss(x + 0.2, x).item() < 1e-3
    assert loss(texture(1), x).item() > 0.5


def test_wavelet_sees_an_edge_that_moved():
    square = torch.full((1, 1, 64, 64), 0.3)
    square[..., 20:40, 20:40] = 0.7
    moved = square.roll(3, 3)
    assert wavelet(moved, square) > 10 * wavelet(1.3 * (square - 0.5) + 0.5, square)


@pytest.mark.parametrize("loss", LOSSES)
def test_flat_pictures_stay_finite(loss):
    x = torch.zeros(1, 3, 32, 40, requires_grad=True)
    value = loss(x, torch.full((1, 3, 32, 40), 0.7))
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-4)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [(4, 4), (9, 30), (31, 33)])
def test_small_and_odd_pictures(loss, size):
    x = torch.rand(1, 3, *size, requires_grad=True)
    loss(x, torch.rand(1, 3, *size)).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_black_surround_costs_nothing(loss):
    x, y = texture(0, side=64), texture(1, side=64)
    inside = torch.zeros(1, 1, 64, 64)
    inside[..., 24:40, 24:40] = 1
    assert loss(x * inside, y * inside) < 0.25 * loss(x, y)


def test_local_correlation_equals_scipy():
    x, y = texture(0, side=40), texture(2, side=40)

    def mean(a):
        sigma, radius = (0, 0, 1.5, 1.5), (0, 0, 5, 5)
        return gaussian_filter(a, sigma, radius=radius)[..., 5:-5, 5:-5]

    a, b = x.double().numpy(), y.double().numpy()
    covariance = mean(a * b) - mean(a) * mean(b)
    variances = (mean(a * a) - mean(a) ** 2) * (mean(b * b) - mean(b) ** 2)
    expected = (covariance + 4.5e-4) / (np.sqrt(variances) + 4.5e-4)
    np.testing.assert_allclose(local_correlation(x, y), expected, atol=1e-5)


def test_illumination_is_zero_where_light_is_even():
    assert illumination(torch.full((1, 3, 40, 56), 0.4)) < 1e-6
    ramp = torch.linspace(0, 1, 64).expand(2, 3, 64, 64)
    assert illumination(ramp) > 0.15
    # twice the slope, twice the loss; brightness is nothing
    half = illumination(0.5 * ramp + 0.3)
    assert half.item() == pytest.approx(illumination(ramp).item() / 2, rel=1e-4)
