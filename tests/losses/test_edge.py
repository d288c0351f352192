import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from medenh.losses.laplacian import edge, laplacian_residual

TAPS = [0.05, 0.25, 0.4, 0.25, 0.05]


def _smooth(image):
    rows = correlate1d(image, TAPS, axis=2, mode="nearest")
    return correlate1d(rows, TAPS, axis=3, mode="nearest")


def _residual(image):
    kept = np.zeros_like(image)
    kept[:, :, ::2, ::2] = 4 * _smooth(image)[:, :, ::2, ::2]
    return image - _smooth(kept)


@pytest.mark.parametrize("size", [(16, 24), (17, 9), (1, 5)])
def test_the_residual_is_scipys(size):
    image = np.random.default_rng(0).random((2, 3, *size))
    ours = laplacian_residual(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(ours, _residual(image), atol=1e-12)


def test_edge_is_the_charbonnier_distance_of_two_residuals():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 2, 3, 20, 31))
    difference = _residual(a) - _residual(b)
    expected = np.sqrt(difference**2 + 1e-3**2).mean()
    ours = edge(torch.from_numpy(a), torch.from_numpy(b)).item()
    assert ours == pytest.approx(expected, rel=1e-9)


def test_edge_counts_blur_and_not_a_smooth_change_of_light():
    """Both changes have the same mean square; only one touches edges."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    board = ((x // 4 + y // 4) % 2).expand(1, 1, 64, 64)
    light = torch.sin(x / 40)
    blurred = torch.nn.functional.avg_pool2d(board, 5, 1, 2, count_include_pad=False)
    light = light * (blurred - board).std() / light.std()
    inside = (..., slice(4, -4), slice(4, -4))
    lit = laplacian_residual(light.expand_as(board))[inside].abs().mean()
    soft = laplacian_residual(blurred - board)[inside].abs().mean()
    assert soft > 20 * lit


def test_autocast_takes_no_digits():
    torch.manual_seed(0)
    a, b = torch.rand(2, 1, 3, 16, 16)
    plain = edge(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(edge(a, b), plain)


def test_equal_images_have_no_gradient():
    a = torch.rand(1, 3, 8, 8, requires_grad=True)
    edge(a, a.detach().clone()).backward()
    assert torch.equal(a.grad, torch.zeros_like(a))
