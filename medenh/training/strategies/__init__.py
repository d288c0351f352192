"""Ways to train, one a file: what a batch is, what its loss is, what good means."""

from __future__ import annotations

from collections.abc import Callable

from medenh.training.config import TrainConfig
from medenh.training.strategies.base import Batch, Strategy
from medenh.training.strategies.classification import Classification
from medenh.training.strategies.restoration import Restoration
from medenh.training.strategies.segmentation import Segmentation

__all__ = ["STRATEGIES", "Batch", "Strategy"]

# name in the configuration -> strategy, which reads its data when it is made
STRATEGIES: dict[str, Callable[[TrainConfig], Strategy]] = {
    "restoration": Restoration,
    "segmentation": Segmentation,
    "classification": Classification,
}
