"""What strategies that teach recognisers share: data, and answers on what is held."""

from __future__ import annotations

from torch import nn

from medenh.tasks.recogniser import Recogniser
from medenh.tasks.table import get_task
from medenh.training.config import TrainConfig
from medenh.training.labelled import LabelledSampler, load_parts
from medenh.training.once import once
from medenh.training.strategies.base import OneNetwork
from medenh.types import FloatArray

__all__ = ["Labelled"]


class Labelled(OneNetwork):
    """Learn a task from pictures whose masks or classes are known."""

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        self.config = config
        self.task = get_task(config.task)
        learnt, self.held = once(load_parts, config.data, self.task)
        self._digests = {one.name: one.digest for one in (*learnt, *self.held)}
        self.sampler = LabelledSampler(
            learnt, config.data, config.augment, config.seed, self.task.modality
        )

    def names(self, step: int, positions: range) -> list[str]:
        """Return the names of the images in a part of a batch."""
        return [self.sampler.name(step, position) for position in positions]

    def digests(self) -> dict[str, str]:
        """Return a hash of what was read of each image, by its name."""
        return self._digests

    def answers(self, network: nn.Module, device: str) -> list[FloatArray]:
        """Return what a network says of each held-back image, as `Recogniser` does."""
        recogniser = Recogniser(self.task, network.eval(), (), device)
        return [recogniser.predict(image.pixels) for image in self.held]
