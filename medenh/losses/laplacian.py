"""Edge loss: Charbonnier distance of Laplacian residuals, (B, C, H, W) -> scalar."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from medenh.losses.pairs import check_pair

__all__ = ["edge", "laplacian_residual"]

_TAPS = (0.05, 0.25, 0.4, 0.25, 0.05)


def laplacian_residual(image: Tensor) -> Tensor:
    """Return what a level of the Laplacian pyramid keeps of an image.

    Parameters
    ----------
    image : float tensor, shape (B, C, H, W)

    Returns
    -------
    float tensor, same shape
        The image less its smoothed, halved and re-enlarged self: 0 where it is flat,
        two pixels from the border on.

    Notes
    -----
    Burt and Adelson, IEEE Trans. Commun. 31(4), 1983, as MPRNet (CVPR 2021) uses it:
    smooth, keep every second pixel, times 4, smooth again; edges replicated, before
    and after, which leaves up to half a flat image's value in its outermost pixels.
    """
    smooth = _smooth(image)
    kept = torch.zeros_like(smooth)
    kept[..., ::2, ::2] = 4 * smooth[..., ::2, ::2]
    return image - _smooth(kept)


def edge(enhanced: Tensor, reference: Tensor, *, epsilon: float = 1e-3) -> Tensor:
    """Return mean sqrt(L(d)^2 + epsilon^2), d the difference, L the residual above.

    Notes
    -----
    MAGE-Net (IEEE TMI 42(8), 2023) adds it to `charbonnier` with weight 1, MPRNet with
    0.05. The paper speaks of a gradient but cites MPRNet, whose operator this is. L is
    linear, so the difference of two residuals is the residual of the difference.
    """
    check_pair(enhanced, reference)
    residual = laplacian_residual(enhanced - reference)
    return torch.sqrt(residual.square() + epsilon**2).mean()


def _smooth(image: Tensor) -> Tensor:
    """Filter rows and columns by the five taps, edges replicated."""
    padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
    return _filter(_filter(padded, 2), 3)


def _filter(x: Tensor, dim: int) -> Tensor:
    """Filter one axis where all taps fit; plain sums, which autocast leaves alone."""
    length = x.shape[dim] - len(_TAPS) + 1
    out = torch.zeros_like(x.narrow(dim, 0, length))
    for index, tap in enumerate(_TAPS):
        out = out + tap * x.narrow(dim, index, length)
    return out
