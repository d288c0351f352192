"""Ways to train, one a file: what a batch is, what its loss is, what good means."""

from __future__ import annotations

from medenh.training.strategies.adversarial import Adversarial
from medenh.training.strategies.base import Batch, Measured, Strategy
from medenh.training.strategies.classification import Classification
from medenh.training.strategies.hq_guided import HQGuided
from medenh.training.strategies.mean_teacher import MeanTeacher
from medenh.training.strategies.segmentation import Segmentation
from medenh.training.strategies.still_gan import StillGan
from medenh.training.strategies.supervised import Supervised

__all__ = ["STRATEGIES", "Batch", "Measured", "Strategy"]

# name in the configuration -> strategy
STRATEGIES: dict[str, type[Strategy]] = {
    "supervised": Supervised,
    "adversarial": Adversarial,
    "mean-teacher": MeanTeacher,
    "hq-guided": HQGuided,
    "still-gan": StillGan,
    "segmentation": Segmentation,
    "classification": Classification,
}
