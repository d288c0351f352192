"""The tensors and pictures behind the reference vectors of HQG-Net's released code.

The recipe: each tensor from a generator seeded with crc32 of its key. The values it
leads to were recorded from the released code itself.
"""

import math
import zlib

import torch

from medenh.zoo.layouts import hqg_legacy_layout


def _tensor(key, shape):
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    name = key.rsplit(".", 1)[-1]
    if name == "num_batches_tracked":
        return torch.tensor(0)
    if name == "running_var":
        return 1 + 0.1 * torch.rand(shape, generator=generator)
    noise = torch.randn(shape, generator=generator)
    if name == "running_mean":
        return 0.1 * noise
    if len(shape) >= 2:
        return noise * math.sqrt(2 / math.prod(shape[1:]))
    return 1 + 0.1 * noise if name == "weight" else 0.05 * noise


def filled_state():
    """Return the whole state dict, 484 entries."""
    entries = hqg_legacy_layout().entries
    return {key: _tensor(key, shape) for key, (shape, _) in entries.items()}


def pictures():
    """Return picture and reference as the released code sees them: blue first."""
    axis = torch.arange(384.0)
    i, j, c = torch.meshgrid(axis, axis, torch.arange(3.0), indexing="ij")
    x = 0.5 + 0.5 * torch.sin(0.05 * i + 0.03 * j + c)
    r = 0.5 + 0.5 * torch.cos(0.02 * i - 0.04 * j + 2 * c)
    return x.permute(2, 0, 1)[None], r.permute(2, 0, 1)[None]
