"""Validation: images the run never trains on, degraded once, with fixed seeds."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from medenh.degradations import dpe
from medenh.errors import UsageError
from medenh.training.data import CleanImage
from medenh.types import FloatArray

__all__ = ["Validation"]

_MAX_IMAGES = 96
_GRID = 8


class Validation:
    """Mean PSNR over held-out images, each degraded by the draw of its own name."""

    def __init__(self, images: list[CleanImage]) -> None:
        if not images:
            raise UsageError(
                "no images are left for validation", hint="raise data.holdout_share"
            )
        order = np.random.default_rng(0).permutation(len(images))[:_MAX_IMAGES]
        self._pairs = [_make_pair(images[i]) for i in order]
        self.identity_psnr = float(np.mean([_psnr(a, b) for a, b in self._pairs]))

    @torch.no_grad()
    def run(self, network: nn.Module, device: str) -> tuple[float, FloatArray]:
        """Return the mean PSNR in dB and a picture of degraded, enhanced, clean rows.

        Returns
        -------
        psnr : float
            dB, mean over images.
        grid : float32 array, shape (3 * S, 8 * S, 3), in [0, 1]
        """
        network.eval()
        scores: list[float] = []
        columns: list[FloatArray] = []
        for low, clean in self._pairs:
            planes = np.array(np.moveaxis(low, -1, 0)[None], np.float32, order="C")
            batch = torch.from_numpy(planes).to(device)
            answer = network(batch)[0].float().cpu().numpy()
            enhanced = np.moveaxis(answer, 0, -1)
            if clean.shape[-1] == 1:
                enhanced = enhanced.mean(-1, keepdims=True)
            scores.append(_psnr(enhanced, clean))
            if len(columns) < _GRID:
                columns.append(
                    np.concatenate([_tile(x) for x in (low, enhanced, clean)])
                )
        return float(np.mean(scores)), np.concatenate(columns, axis=1)


def _make_pair(image: CleanImage) -> tuple[FloatArray, FloatArray]:
    clean = image.pixels.astype(np.float32) / 255.0
    low = dpe.apply(clean, dpe.sample(dpe.rng_for(image.name)))
    low = np.rint(low * 255.0) / np.float32(255.0)
    return np.broadcast_to(low, (*low.shape[:2], 3)), clean


def _psnr(enhanced: FloatArray, clean: FloatArray) -> float:
    error = np.mean(np.square(enhanced[..., : clean.shape[-1]] - clean), dtype=float)
    return float(-10 * np.log10(max(error, 1e-10)))


def _tile(pixels: FloatArray, side: int = 160) -> FloatArray:
    """Sample an image down to a square RGB tile by nearest neighbour."""
    rows = np.linspace(0, pixels.shape[0] - 1, side).astype(int)
    columns = np.linspace(0, pixels.shape[1] - 1, side).astype(int)
    tile = pixels[rows][:, columns]
    return np.broadcast_to(tile, (side, side, 3))
