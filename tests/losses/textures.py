"""Pictures that losses are tried on."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter


def texture(seed, *, side=96, contrast=0.12, batch=2):
    """Return smooth random texture around 0.5, (B, 3, side, side), float32."""
    noise = np.random.default_rng(seed).normal(size=(batch, 3, side, side))
    smooth = gaussian_filter(noise, (0, 0, 1.2, 1.2), mode="wrap")
    return torch.from_numpy(0.5 + contrast * smooth / smooth.std()).float()
