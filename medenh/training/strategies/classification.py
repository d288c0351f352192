"""Classification: whole clean images and their class; AUC on held-back images."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import nn

from medenh.tasks.scoring import score_classification
from medenh.training.strategies.base import Batch, Measured, Tensors, autocast
from medenh.training.strategies.labelled import Labelled
from medenh.training.update import Losses, Networks

__all__ = ["Classification"]

_SMOOTHING = 0.1


class Classification(Labelled):
    """Learn the class of a picture; classes are drawn evenly.

    A batch is pictures and class numbers.
    """

    figures = ("auc", "balanced_accuracy")

    def draw(self, step: int, positions: range) -> Batch:
        """Return pictures (B, 3, S, S) and class numbers (B,)."""
        samples = [self.sampler.sample(step, position) for position in positions]
        return {
            "image": np.stack([s[0] for s in samples]),
            "label": np.array([s[1] for s in samples], np.int64),
        }

    def losses(self, network: nn.Module, batch: Tensors) -> Losses:
        """Return the cross-entropy with smoothed labels."""
        with autocast(batch["image"].device.type, self.config.precision):
            logits = network(batch["image"])
        loss = F.cross_entropy(
            logits.float(), batch["label"], label_smoothing=_SMOOTHING
        )
        return Losses({"cross_entropy": loss})

    def validate(self, networks: Networks, device: str) -> Measured:
        """Return AUC and balanced accuracy on the held-back images."""
        guesses = np.stack(self.answers(networks.average, device))
        labels = np.array([image.label for image in self.held], np.int64)
        scores = score_classification(guesses, labels)
        return Measured({name: scores[name] for name in self.figures})
