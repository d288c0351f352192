"""Validation: images the run never trains on, degraded once, with fixed seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medenh.degradations.field_of_view import find_shown_field
from medenh.errors import UsageError
from medenh.metrics import psnr, ssim
from medenh.training.data import CleanImage
from medenh.training.sampler import degraded, eight_bits, pick_recipe, to_unit
from medenh.training.sections import DataConfig
from medenh.types import FloatArray

__all__ = ["Pair", "PairValidation", "degraded_copy", "enhance", "sample_grid"]

_GRID = 8
_TILE = 160


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A held-back image, degraded.

    Attributes
    ----------
    low, high : float32 arrays, shape (H, W, C), in [0, 1]
    region : bool array, shape (H, W), or None
        Where it is measured: a fundus photograph's field of view.
    """

    low: FloatArray
    high: FloatArray
    region: NDArray[np.bool_] | None


class PairValidation:
    """PSNR and SSIM of held-out images, each degraded by the draw of its own name.

    Parameters
    ----------
    images : list of CleanImage
    config : DataConfig
        Its recipes degrade them, each as often as in training; images with a real
        partner keep it.

    Attributes
    ----------
    images : list of CleanImage
        Those that are measured.
    pairs : list of Pair
        The same, degraded.
    """

    figures = ("psnr", "psnr_identity", "ssim", "ssim_identity")

    def __init__(self, images: list[CleanImage], config: DataConfig) -> None:
        if not images:
            raise UsageError(
                "no images are left for validation", hint="raise data.holdout_share"
            )
        order = np.random.default_rng(0).permutation(len(images))
        self.images = [images[i] for i in order[: config.validation_images]]
        self.pairs = [_make_pair(image, config) for image in self.images]
        self._identity = _means(self.pairs, [pair.low for pair in self.pairs])

    def answers(self, network: nn.Module, device: str) -> list[FloatArray]:
        """Return what a network makes of the degraded images, each (H, W, C)."""
        return [enhance(network, pair.low, device) for pair in self.pairs]

    def measure(self, answers: list[FloatArray]) -> tuple[dict[str, float], FloatArray]:
        """Return the figures, and a picture of degraded, enhanced, clean rows.

        Parameters
        ----------
        answers : list of float32 array
            From `answers`.

        Returns
        -------
        figures : dict of str to float
            PSNR in dB and SSIM, means over images, inside the field of view of fundus
            photographs; of the network's answers and of doing nothing.
        grid : float32 array, shape (3 * S, 8 * S, 3), in [0, 1]
        """
        found = _means(self.pairs, answers)
        figures = {
            "psnr": found[0],
            "psnr_identity": self._identity[0],
            "ssim": found[1],
            "ssim_identity": self._identity[1],
        }
        rows = [
            (pair.low, answer, pair.high)
            for pair, answer in zip(self.pairs[:_GRID], answers, strict=False)
        ]
        return figures, sample_grid(rows)


@torch.no_grad()
def enhance(network: nn.Module, pixels: FloatArray, device: str) -> FloatArray:
    """Return a network's answer to one picture, (H, W, C) in [0, 1]."""
    network.eval()
    colour = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    planes = np.array(np.moveaxis(colour, -1, 0)[None], np.float32, order="C")
    answer = network(torch.from_numpy(planes).to(device))[0].float().clamp(0, 1)
    enhanced: FloatArray = np.moveaxis(answer.cpu().numpy(), 0, -1)
    grey = pixels.shape[-1] == 1
    return enhanced.mean(-1, keepdims=True) if grey else enhanced


def sample_grid(columns: Sequence[Sequence[FloatArray]]) -> FloatArray:
    """Return pictures side by side, one column an image."""
    tiles = [np.concatenate([_tile(one) for one in column]) for column in columns]
    return np.concatenate(tiles, axis=1)


def degraded_copy(image: CleanImage, config: DataConfig) -> FloatArray:
    """Return an image degraded by the draw of its own name, (H, W, C) in [0, 1]."""
    clean = to_unit(image.pixels)
    digest = hashlib.sha256(f"validation/{image.name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    recipe = pick_recipe(config.recipes, config, image.modality, rng)
    field = find_shown_field(clean) if image.modality == "fundus" else None
    side = max(clean.shape[:2])
    return degraded(clean, recipe, rng, image.modality, field, side, config)


def _make_pair(image: CleanImage, config: DataConfig) -> Pair:
    clean, region = to_unit(image.pixels), None
    if image.modality == "fundus":
        region = find_shown_field(clean) > 0.5
    if image.low is not None:
        return Pair(to_unit(image.low), clean, region)
    return Pair(eight_bits(degraded_copy(image, config)), clean, region)


def _means(pairs: list[Pair], answers: list[FloatArray]) -> tuple[float, float]:
    values = [
        (
            min(100.0, psnr(answer, pair.high, data_range=1.0, mask=pair.region)),
            ssim(answer, pair.high, data_range=1.0, mask=pair.region),
        )
        for pair, answer in zip(pairs, answers, strict=True)
    ]
    means = np.mean(values, axis=0)
    return float(means[0]), float(means[1])


def _tile(pixels: FloatArray) -> FloatArray:
    """Sample an image down to a square RGB tile by nearest neighbour."""
    rows = np.linspace(0, pixels.shape[0] - 1, _TILE).astype(int)
    columns = np.linspace(0, pixels.shape[1] - 1, _TILE).astype(int)
    tile = pixels[rows][:, columns]
    return np.broadcast_to(tile, (_TILE, _TILE, 3))
