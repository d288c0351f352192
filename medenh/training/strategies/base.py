"""What the loop asks of a strategy, and what strategies share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medenh.training.config import TrainConfig
from medenh.training.update import Losses, Networks, Update
from medenh.types import FloatArray

__all__ = ["Batch", "Measured", "OneNetwork", "Strategy", "Tensors", "autocast"]

Batch = dict[str, NDArray[Any]]
Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a validation found.

    Attributes
    ----------
    figures : dict of str to float
        Named as in `Strategy.figures`.
    grid : float32 array, shape (H, W, 3), in [0, 1], or None
        Sample pictures.
    """

    figures: dict[str, float]
    grid: FloatArray | None = None


class Strategy(Protocol):
    """One way to train: what a batch is, what a step does, what good means.

    It reads its data when it is made; what a network marks on them, it marks on the
    device.
    """

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None: ...

    @classmethod
    def figures_of(cls, config: TrainConfig) -> tuple[str, ...]:
        """Return `figures` of a run with this configuration, before data are read."""

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of what `validate` measures.

        The first is the score by which the best weights are chosen; higher is better.
        """

    def companions(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return the networks beside the one that is trained, by name.

        Those with parameters that want a gradient get an optimiser.
        """

    def draw(self, step: int, positions: range) -> Batch:
        """Return arrays for some positions of a step's batch.

        They depend on seed, step and position alone.
        """

    def names(self, step: int, positions: range) -> list[str]:
        """Return the names of the images in that part of a batch."""

    def digests(self) -> dict[str, str]:
        """Return a hash of what was read of each image of the run, by its name."""

    def take_step(
        self, step: int, batches: Sequence[Tensors], update: Update
    ) -> dict[str, float]:
        """Update the networks on a step's micro-batches; return the losses, named."""

    def validate(self, networks: Networks, device: str) -> Measured:
        """Measure `figures` of `networks.average` on held-back images."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs beside networks and optimisers."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""


class OneNetwork:
    """Strategies whose step is one update of one network by one loss."""

    figures: tuple[str, ...] = ()

    @classmethod
    def figures_of(cls, config: TrainConfig) -> tuple[str, ...]:
        """Return the names of what `validate` measures."""
        return cls.figures

    def companions(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return none."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: there is none."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over nothing."""

    def losses(self, network: nn.Module, batch: Tensors) -> Losses:
        """Return the terms of a micro-batch's loss."""
        raise NotImplementedError

    def take_step(
        self, step: int, batches: Sequence[Tensors], update: Update
    ) -> dict[str, float]:
        """Update the network."""
        return update("network", self.losses, batches)


def autocast(device: str, precision: str) -> torch.autocast:
    """Return the context of a forward pass: the configuration's short type, or none."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, dtype, enabled=precision != "fp32")
