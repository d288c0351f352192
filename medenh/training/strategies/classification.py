"""Classification: whole clean images and their class; AUC on held-back images."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import nn

from medenh.tasks.recogniser import Recogniser
from medenh.tasks.scoring import score_classification
from medenh.tasks.table import get_task
from medenh.training.config import TrainConfig
from medenh.training.labelled import LabelledSampler, load_parts
from medenh.training.strategies.base import (
    Batch,
    Measured,
    OneNetwork,
    Tensors,
    autocast,
)
from medenh.training.update import Losses, Networks

__all__ = ["Classification"]

_SMOOTHING = 0.1


class Classification(OneNetwork):
    """Learn the class of a picture; classes are drawn evenly.

    A batch is pictures and class numbers.
    """

    figures = ("auc", "balanced_accuracy")

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        self._config = config
        self._task = get_task(config.task)
        learnt, self._held = load_parts(config.data, self._task)
        self._digests = {one.name: one.digest for one in (*learnt, *self._held)}
        self._sampler = LabelledSampler(
            learnt, config.data, config.augment, config.seed
        )

    def draw(self, step: int, positions: range) -> Batch:
        """Return pictures (B, 3, S, S) and class numbers (B,)."""
        samples = [self._sampler.sample(step, position) for position in positions]
        return {
            "image": np.stack([s[0] for s in samples]),
            "label": np.array([s[1] for s in samples], np.int64),
        }

    def names(self, step: int, positions: range) -> list[str]:
        """Return the names of the images in a part of a batch."""
        return [self._sampler.name(step, position) for position in positions]

    def digests(self) -> dict[str, str]:
        """Return a hash of what was read of each image, by its name."""
        return self._digests

    def losses(self, network: nn.Module, batch: Tensors) -> Losses:
        """Return the cross-entropy with smoothed labels."""
        with autocast(batch["image"].device.type, self._config.precision):
            logits = network(batch["image"])
        loss = F.cross_entropy(
            logits.float(), batch["label"], label_smoothing=_SMOOTHING
        )
        return Losses({"cross_entropy": loss})

    def validate(self, networks: Networks, device: str) -> Measured:
        """Return AUC and balanced accuracy on the held-back images."""
        recogniser = Recogniser(self._task, networks.average.eval(), (), device)
        guesses = np.stack([recogniser.predict(image.pixels) for image in self._held])
        labels = np.array([image.label for image in self._held], np.int64)
        scores = score_classification(guesses, labels)
        return Measured({name: scores[name] for name in self.figures})
