"""Classification: whole clean images and their class; AUC on held-back images."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.tasks.recogniser import Recogniser
from medenh.tasks.scoring import score_classification
from medenh.tasks.table import get_task
from medenh.training.config import TrainConfig
from medenh.training.labelled import LabelledSampler, load_parts
from medenh.training.strategies.base import Batch, autocast
from medenh.types import FloatArray

__all__ = ["Classification"]

_SMOOTHING = 0.1


class Classification:
    """Learn the class of a picture; classes are drawn evenly.

    A batch is pictures and class numbers.
    """

    figures = ("auc", "balanced_accuracy")

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._task = get_task(config.task)
        learnt, self._held = load_parts(config.data, self._task)
        self._sampler = LabelledSampler(
            learnt, config.data, config.augment, config.seed
        )

    def draw(self, step: int) -> Batch:
        """Return pictures (B, 3, S, S) and class numbers (B,)."""
        samples = [self._sampler.sample(step, i) for i in range(self._config.batch)]
        labels = np.array([s[1] for s in samples], np.int64)
        return [np.stack([s[0] for s in samples]), labels]

    def loss(self, network: nn.Module, batch: list[Tensor]) -> Tensor:
        """Return the cross-entropy with smoothed labels."""
        pictures, labels = batch
        with autocast(pictures.device.type, self._config.precision):
            logits = network(pictures)
        return F.cross_entropy(logits.float(), labels, label_smoothing=_SMOOTHING)

    def validate(
        self, network: nn.Module, device: str
    ) -> tuple[list[float], FloatArray | None]:
        """Return AUC and balanced accuracy on the held-back images."""
        recogniser = Recogniser(self._task, network.eval(), (), device)
        guesses = np.stack([recogniser.predict(image.pixels) for image in self._held])
        labels = np.array([image.label for image in self._held], np.int64)
        scores = score_classification(guesses, labels)
        return [scores["auc"], scores["balanced_accuracy"]], None
