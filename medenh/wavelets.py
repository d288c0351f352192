"""PyWavelets' orthogonal filters as fixed torch convolutions, differentiable."""

from __future__ import annotations

from functools import lru_cache

import pywt
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Details", "dwt2", "wavedec2"]

Details = tuple[Tensor, Tensor, Tensor]


def wavedec2(
    image: Tensor, wavelet: str = "haar", *, level: int = 1
) -> tuple[Tensor, list[Details]]:
    """Decompose a batch over several levels, as ``pywt.wavedec2`` does.

    Parameters
    ----------
    image : float tensor, shape (B, C, H, W)
    wavelet : str
        An orthogonal wavelet of PyWavelets.
    level : int
        How many levels.

    Returns
    -------
    approximation : float tensor, shape (B, C, h, w)
        Of the deepest level.
    details : list of (horizontal, vertical, diagonal)
        Each level's bands, the deepest first; "horizontal" is low-pass along rows and
        high-pass down columns, so it answers to horizontal edges.

    Raises
    ------
    ValueError
        Not an orthogonal wavelet.
    """
    details: list[Details] = []
    for _ in range(level):
        image, bands = dwt2(image, wavelet)
        details.insert(0, bands)
    return image, details


def dwt2(image: Tensor, wavelet: str = "haar") -> tuple[Tensor, Details]:
    """Decompose a batch once, the picture mirrored at its edges (mode "symmetric").

    Parameters
    ----------
    image : float tensor, shape (B, C, H, W)
    wavelet : str
        An orthogonal wavelet of PyWavelets.

    Returns
    -------
    approximation, (horizontal, vertical, diagonal)
        Float tensors, shape (B, C, (H + L - 1) // 2, (W + L - 1) // 2) for L taps.
    """
    kernels = _kernels(wavelet).to(image)
    taps = kernels.shape[-1]
    extended = _mirror(_mirror(image, taps, 2), taps, 3)
    channels = image.shape[1]
    weights = kernels.repeat(channels, 1, 1, 1)
    with torch.autocast(image.device.type, enabled=False):  # it must stay orthonormal
        bands = F.conv2d(extended, weights, stride=2, groups=channels)
    split = bands.reshape(bands.shape[0], channels, 4, *bands.shape[2:])
    low, horizontal, vertical, diagonal = split.unbind(2)
    return low, (horizontal, vertical, diagonal)


@lru_cache(maxsize=8)
def _kernels(wavelet: str) -> Tensor:
    """Return float64 correlation kernels of the four bands, (4, 1, L, L)."""
    found = pywt.Wavelet(wavelet)
    if not found.orthogonal:
        raise ValueError(f"{wavelet} is not an orthogonal wavelet")
    # PyWavelets convolves, torch correlates: the taps are turned around
    low = torch.tensor(found.dec_lo[::-1], dtype=torch.float64, device="cpu")
    high = torch.tensor(found.dec_hi[::-1], dtype=torch.float64, device="cpu")
    pairs = ((low, low), (high, low), (low, high), (high, high))  # down, along
    return torch.stack([torch.outer(*pair) for pair in pairs]).unsqueeze(1)


def _mirror(x: Tensor, taps: int, dim: int) -> Tensor:
    """Extend an axis with its mirror image, the edge doubled, for ``taps`` taps."""
    length = x.shape[dim]
    stop = 2 * ((length + taps - 1) // 2)
    if taps == 2 and stop == length:
        return x
    places = torch.arange(2 - taps, stop, device=x.device) % (2 * length)
    return x.index_select(dim, torch.minimum(places, 2 * length - 1 - places))
