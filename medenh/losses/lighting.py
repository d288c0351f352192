"""Illumination loss: how unevenly a picture is lit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["illumination"]


def illumination(image: Tensor, grids: Sequence[int] = (8, 4)) -> Tensor:
    """Return how far block means are from the picture's mean, averaged over grids.

    Parameters
    ----------
    image : float tensor, shape (B, C, H, W), in [0, 1]
    grids : sequence of int
        Blocks along each side. 8 and 4 are blocks of 48 and 96 pixels at 384.

    Returns
    -------
    float32 tensor, scalar

    Notes
    -----
    StillGAN and HQG-Net's released code [code]: block means less the mean, enlarged
    bicubically, mean absolute value. Theirs maps by (v + 1) / 2 first, which halves
    the loss for [0, 1]. Leave it out where uneven brightness is anatomy.
    """
    image = image.float()
    mean = image.mean((2, 3), keepdim=True)
    size = [image.shape[2], image.shape[3]]
    terms = []
    for grid in grids:
        blocks = F.adaptive_avg_pool2d(image, grid) - mean
        field = F.interpolate(blocks, size, mode="bicubic", align_corners=False)
        terms.append(field.abs().mean())
    return torch.stack(terms).mean()
