import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from medenh.losses.similarity import ssim_loss


def test_agrees_with_scikit_image():
    rng = np.random.default_rng(0)
    x = rng.random((40, 50, 3), np.float32)
    y = np.clip(x + rng.normal(0, 0.2, x.shape), 0, 1).astype(np.float32)
    expected, maps = structural_similarity(
        x, y, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    planes = [torch.from_numpy(np.moveaxis(one, -1, 0)[None].copy()) for one in (x, y)]
    found = ssim_loss(*planes)
    assert found.item() == pytest.approx(1 - maps[5:-5, 5:-5].mean(), rel=1e-4)
    assert expected == pytest.approx(1 - found.item(), abs=0.02)


def test_equal_pictures_cost_nothing_and_small_ones_work():
    x = torch.rand(1, 1, 6, 7, requires_grad=True)
    assert ssim_loss(x, x).item() == pytest.approx(0, abs=1e-6)
    ssim_loss(x, torch.rand(1, 1, 6, 7)).backward()
    assert torch.isfinite(x.grad).all()
