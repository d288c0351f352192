"""Segmentation: squares of clean images and their masks; Dice on held-back images."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.tasks.recogniser import Recogniser
from medenh.tasks.scoring import area_under_curve
from medenh.tasks.table import get_task
from medenh.training.config import TrainConfig
from medenh.training.labelled import LabelledImage, LabelledSampler, load_parts
from medenh.training.strategies.base import Batch, autocast
from medenh.types import FloatArray

__all__ = ["Segmentation", "bce_dice"]

_GRID, _TILE = 8, 160


class Segmentation:
    """Learn where each class of a task is; a batch is pictures and coverages."""

    figures = ("dice", "auc")

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._task = get_task(config.task)
        learnt, self._held = load_parts(config.data, self._task)
        self._sampler = LabelledSampler(
            learnt, config.data, config.augment, config.seed
        )

    def draw(self, step: int) -> Batch:
        """Return pictures (B, 3, S, S) and coverages (B, K, S, S)."""
        samples = [self._sampler.sample(step, i) for i in range(self._config.batch)]
        return [np.stack([s[0] for s in samples]), np.stack([s[1] for s in samples])]

    def loss(self, network: nn.Module, batch: list[Tensor]) -> Tensor:
        """Return binary cross-entropy plus soft Dice."""
        pictures, coverage = batch
        with autocast(pictures.device.type, self._config.precision):
            logits = network(pictures)
        return bce_dice(logits.float(), coverage)

    def validate(
        self, network: nn.Module, device: str
    ) -> tuple[list[float], FloatArray | None]:
        """Return Dice and AUC of all held-back pixels together, and sample pictures.

        Means over the classes; Dice at a probability of 0.5.
        """
        recogniser = Recogniser(self._task, network.eval(), (), device)
        guesses = [recogniser.predict(image.pixels) for image in self._held]
        truths = [_mask(image) for image in self._held]
        dices, curves = [], []
        for k in range(len(self._task.classes)):
            guess = np.concatenate([g[..., k].ravel() for g in guesses])
            truth = np.concatenate([t[..., k].ravel() for t in truths]) >= 0.5
            answer = guess >= 0.5
            overlap = 2 * np.sum(answer & truth)
            dices.append(overlap / max(1, answer.sum() + truth.sum()))
            curves.append(area_under_curve(guess, truth))
        shown = zip(self._held[:_GRID], truths, guesses, strict=False)
        columns = [_column(image.pixels, t, g) for image, t, g in shown]
        return [float(np.mean(dices)), float(np.mean(curves))], np.hstack(columns)


def bce_dice(logits: Tensor, coverage: Tensor) -> Tensor:
    """Return binary cross-entropy plus one minus the soft Dice.

    Parameters
    ----------
    logits, coverage : float tensors, shape (B, K, H, W)
        Coverage in [0, 1].

    Returns
    -------
    float tensor, scalar

    Notes
    -----
    The Dice of Milletari et al., V-Net, 3DV 2016 (squares in the denominator), over
    the whole batch, a class at a time.
    """
    bce = F.binary_cross_entropy_with_logits(logits, coverage)
    guess, over = torch.sigmoid(logits), (0, 2, 3)
    overlap = 2 * (guess * coverage).sum(over) + 1
    total = guess.square().sum(over) + coverage.square().sum(over) + 1
    return bce + (1 - overlap / total).mean()


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
