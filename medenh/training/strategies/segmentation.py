"""Segmentation: squares of clean images and their masks; Dice on held-back images."""

from __future__ import annotations

import numpy as np
from torch import nn

from medenh.losses.segmentation import bce_dice
from medenh.tasks.recogniser import Recogniser
from medenh.tasks.scoring import area_under_curve
from medenh.tasks.table import get_task
from medenh.training.config import TrainConfig
from medenh.training.labelled import LabelledImage, LabelledSampler, load_parts
from medenh.training.strategies.base import (
    Batch,
    Measured,
    OneNetwork,
    Tensors,
    autocast,
)
from medenh.training.update import Losses, Networks
from medenh.types import FloatArray

__all__ = ["Segmentation"]

_GRID, _TILE = 8, 160


class Segmentation(OneNetwork):
    """Learn where each class of a task is; a batch is pictures and coverages."""

    figures = ("dice", "auc")

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        self._config = config
        self._task = get_task(config.task)
        learnt, self._held = load_parts(config.data, self._task)
        self._digests = {one.name: one.digest for one in (*learnt, *self._held)}
        self._sampler = LabelledSampler(
            learnt, config.data, config.augment, config.seed
        )

    def draw(self, step: int, positions: range) -> Batch:
        """Return pictures (B, 3, S, S) and coverages (B, K, S, S)."""
        samples = [self._sampler.sample(step, position) for position in positions]
        return {
            "image": np.stack([s[0] for s in samples]),
            "mask": np.stack([s[1] for s in samples]),
        }

    def names(self, step: int, positions: range) -> list[str]:
        """Return the names of the images in a part of a batch."""
        return [self._sampler.name(step, position) for position in positions]

    def digests(self) -> dict[str, str]:
        """Return a hash of what was read of each image, by its name."""
        return self._digests

    def losses(self, network: nn.Module, batch: Tensors) -> Losses:
        """Return binary cross-entropy plus soft Dice."""
        with autocast(batch["image"].device.type, self._config.precision):
            logits = network(batch["image"])
        return Losses({"bce_dice": bce_dice(logits.float(), batch["mask"])})

    def validate(self, networks: Networks, device: str) -> Measured:
        """Return Dice and AUC of all held-back pixels together, and sample pictures.

        Means over the classes; Dice at a probability of 0.5.
        """
        recogniser = Recogniser(self._task, networks.average.eval(), (), device)
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
