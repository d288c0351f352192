"""What the loop asks of a strategy."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medenh.types import FloatArray

__all__ = ["Batch", "Strategy", "autocast"]

Batch = list[NDArray[np.float32] | NDArray[np.int64]]


class Strategy(Protocol):
    """One way to train: what a batch is, what its loss is, what good means."""

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of what `validate` measures.

        The first is the score by which the best weights are chosen; higher is better.
        """

    def draw(self, step: int) -> Batch:
        """Return the arrays of a step's batch; they depend on seed and step only."""

    def loss(self, network: nn.Module, batch: list[Tensor]) -> Tensor:
        """Run the network on a batch; return the loss, a float32 scalar."""

    def validate(
        self, network: nn.Module, device: str
    ) -> tuple[list[float], FloatArray | None]:
        """Measure `figures` on held-back images; also a picture, (H, W, 3)."""


def autocast(device: str, precision: str) -> torch.autocast:
    """Return the context of a forward pass: bf16 where the configuration says so."""
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")
