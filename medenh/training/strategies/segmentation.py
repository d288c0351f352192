"""Segmentation: squares of clean images and their masks; Dice on held-back images."""

from __future__ import annotations

import numpy as np
from torch import nn

from medenh.losses.segmentation import bce_dice
from medenh.tasks.scoring import area_under_curve
from medenh.training.labelled import LabelledImage
from medenh.training.strategies.base import Batch, Measured, Tensors, autocast
from medenh.training.strategies.labelled import Labelled
from medenh.training.update import Losses, Networks
from medenh.types import FloatArray

__all__ = ["Segmentation"]

_GRID, _TILE = 8, 160


class Segmentation(Labelled):
    """Learn where each class of a task is; a batch is pictures and coverages."""

    figures = ("dice", "auc")

    def draw(self, step: int, positions: range) -> Batch:
        """Return pictures (B, 3, S, S) and coverages (B, K, S, S)."""
        samples = [self.sampler.sample(step, position) for position in positions]
        return {
            "image": np.stack([s[0] for s in samples]),
            "mask": np.stack([s[1] for s in samples]),
        }

    def losses(self, network: nn.Module, batch: Tensors) -> Losses:
        """Return binary cross-entropy plus soft Dice."""
        with autocast(batch["image"].device.type, self.config.precision):
            logits = network(batch["image"])
        return Losses({"bce_dice": bce_dice(logits.float(), batch["mask"])})

    def validate(self, networks: Networks, device: str) -> Measured:
        """Return Dice and AUC of all held-back pixels together, and sample pictures.

        Means over the classes; Dice at a probability of 0.5.
        """
        guesses = self.answers(networks.average, device)
        truths = [_mask(image) for image in self.held]
        dices, curves = [], []
        for k in range(len(self.task.classes)):
            guess = np.concatenate([g[..., k].ravel() for g in guesses])
            truth = np.concatenate([t[..., k].ravel() for t in truths]) >= 0.5
            answer = guess >= 0.5
            overlap = 2 * np.sum(answer & truth)
            dices.append(overlap / max(1, answer.sum() + truth.sum()))
            curves.append(area_under_curve(guess, truth))
        shown = zip(self.held[:_GRID], truths, guesses, strict=False)
        columns = [_column(image.pixels, t, g) for image, t, g in shown]
        figures = {"dice": float(np.mean(dices)), "auc": float(np.mean(curves))}
        return Measured(figures, np.hstack(columns))


def _mask(image: LabelledImage) -> FloatArray:
    if image.mask is None:
        raise TypeError("images of a segmentation have masks")
    return image.mask


def _column(pixels: FloatArray, truth: FloatArray, guess: FloatArray) -> FloatArray:
    """Return picture, truth and answer (first class), one above the other."""
    rows = np.linspace(0, pixels.shape[0] - 1, _TILE).astype(int)
    columns = np.linspace(0, pixels.shape[1] - 1, _TILE).astype(int)
    tiles = [
        np.broadcast_to(plane[rows][:, columns], (_TILE, _TILE, 3))
        for plane in (pixels, truth[..., :1], guess[..., :1])
    ]
    return np.concatenate(tiles)
