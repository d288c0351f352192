"""One minus the structural similarity, with a gradient."""

from __future__ import annotations

from torch import Tensor

from medenh.losses.pairs import check_pair
from medenh.losses.windows import gaussian_mean

__all__ = ["ssim_loss"]

_C1, _C2 = 0.01**2, 0.03**2


def ssim_loss(enhanced: Tensor, reference: Tensor) -> Tensor:
    """Return 1 - SSIM, mean over pixels, channels and batch.

    Parameters
    ----------
    enhanced, reference : float tensors, shape (B, C, H, W), in [0, 1]

    Returns
    -------
    float32 tensor, scalar
        0 for equal images, at most 2.

    Raises
    ------
    UsageError
        They are no float tensors of one shape.

    Notes
    -----
    Wang et al., IEEE TIP 2004: Gaussian window of 11 pixels, sigma 1.5, K1 = .01,
    K2 = .03, where the whole window fits.
    """
    check_pair(enhanced, reference)
    x, y = enhanced.float(), reference.float()
    mean_x, mean_y = gaussian_mean(x), gaussian_mean(y)
    var_x = gaussian_mean(x * x) - mean_x * mean_x
    var_y = gaussian_mean(y * y) - mean_y * mean_y
    covariance = gaussian_mean(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return 1 - (light * structure).mean()
