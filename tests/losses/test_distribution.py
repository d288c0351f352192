import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch.distributions import Normal, kl_divergence

from medenh.losses.distribution import code_consistency, code_kl, intensity_distance


def test_kl_is_the_closed_form_of_torch():
    torch.manual_seed(0)
    mean, log_variance = torch.randn(6, 64), torch.randn(6, 64)
    theirs = kl_divergence(Normal(mean, torch.exp(log_variance / 2)), Normal(0.0, 1.0))
    found = code_kl(mean, log_variance, free=0.0).item()
    assert found == pytest.approx(theirs.mean().item(), rel=1e-5)


def test_kl_is_zero_at_the_prior_and_free_below_the_free_bits():
    zeros = torch.zeros(3, 64)
    assert code_kl(zeros, zeros).item() == 0
    mean = torch.full((3, 64), 0.3, requires_grad=True)  # 0.045 nats a dimension
    code_kl(mean, zeros).backward()
    assert mean.grad.abs().max() == 0
    assert code_kl(mean + 0.1, zeros).item() > 0


def test_code_consistency_moves_the_output_not_the_guide():
    found, guide = torch.randn(4, 64, requires_grad=True), torch.randn(1, 64)
    guide.requires_grad_(True)
    code_consistency(found, guide).backward()
    assert found.grad.abs().sum() > 0
    assert guide.grad is None


def test_intensity_distance_is_the_wasserstein_distance():
    rng = np.random.default_rng(0)
    x, y = rng.beta(2, 5, (2, 3, 24, 20)), rng.beta(4, 3, (2, 3, 31, 18))
    expected = np.mean(
        [
            wasserstein_distance(x[i, c].ravel(), y[i, c].ravel())
            for i in range(2)
            for c in range(3)
        ]
    )
    found = intensity_distance(torch.from_numpy(x), torch.from_numpy(y))
    assert found.item() == pytest.approx(expected, rel=5e-3)


def test_intensity_distance_of_a_shift_is_the_shift():
    image = torch.rand(1, 3, 16, 16) * 0.5
    assert intensity_distance(image + 0.25, image).item() == pytest.approx(0.25)
    assert intensity_distance(image.flip(3), image).item() == pytest.approx(0, abs=1e-6)
