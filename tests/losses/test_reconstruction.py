import numpy as np
import pytest
import torch

from medenh.losses.reconstruction import charbonnier, gradient_l1, log_mse


def _pair():
    torch.manual_seed(0)
    return torch.rand(3, 3, 8, 9), torch.rand(3, 3, 8, 9)


def test_charbonnier_is_l1_for_large_and_smooth_for_small_differences():
    a, b = _pair()
    l1 = (a - b).abs().mean()
    assert charbonnier(a, b, epsilon=1e-6).item() == pytest.approx(l1.item(), rel=1e-4)
    a.requires_grad_(True)
    charbonnier(a, a.detach().clone()).backward()
    assert torch.equal(a.grad, torch.zeros_like(a))


def test_gradient_ignores_brightness_and_counts_edges():
    a, b = _pair()
    assert gradient_l1(a, a + 0.3).item() == pytest.approx(0, abs=1e-6)
    d = (a - b).numpy()
    expected = np.abs(np.diff(d, axis=2)).mean() + np.abs(np.diff(d, axis=3)).mean()
    assert gradient_l1(a, b).item() == pytest.approx(expected, rel=1e-5)


def test_log_mse_is_the_mean_psnr_up_to_its_factor():
    a, b = _pair()
    mse = ((a - b) ** 2).mean((1, 2, 3))
    psnr = (-10 * torch.log10(mse)).mean().item()
    ours = -10 / np.log(10) * log_mse(a, b, floor=0.0).item()
    assert ours == pytest.approx(psnr, rel=1e-5)
