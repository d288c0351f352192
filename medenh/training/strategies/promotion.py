"""A recogniser beside an enhancer: its loss, and how it learns along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from medenh.errors import UsageError
from medenh.training.bilevel import look_ahead_gradient
from medenh.training.config import TrainConfig
from medenh.training.data import CleanImage, split_holdout
from medenh.training.sections import PromoteConfig
from medenh.training.sources import load_sources
from medenh.training.strategies.base import Tensors
from medenh.training.task_loss import TaskLoss
from medenh.training.task_validation import TaskValidation
from medenh.training.update import Losses, Update

__all__ = ["FindLosses", "Promoted", "Promotion", "two_levels"]

_ALTERNATE_EVERY = 5  # steps of the enhancer for one of the recogniser
_UPPER = "upper "  # before the names of what only the recogniser learns from

FindLosses = Callable[[nn.Module, Tensors], Losses]


class Promotion:
    """The task of `promote`, for any strategy that enhances.

    Attributes
    ----------
    task : TaskLoss
    """

    def __init__(self, config: PromoteConfig, precision: str) -> None:
        self._config = config
        self.task = TaskLoss.from_zoo(
            config.task, config.loss, precision=precision, train=config.train
        )

    @classmethod
    def create(cls, config: TrainConfig) -> Self | None:
        """Return what the configuration asks for, or None."""
        if config.promote.rule == "off":
            return None
        return cls(config.promote, config.precision)

    @property
    def alternates(self) -> bool:
        """Whether the recogniser learns by turns, from images of its own."""
        return self._config.train and self._config.bilevel == "alternate"

    def turn(self, step: int) -> bool:
        """Say whether the recogniser learns in a step."""
        if not self._config.train:
            return False
        return not self.alternates or (step + 1) % _ALTERNATE_EVERY == 0

    def upper(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch under the names that only the recogniser looks for."""
        return {_UPPER + name: value for name, value in batch.items()}

    def beside(self, losses: FindLosses, step: int, update: Update) -> FindLosses:
        """Return the losses with the task's beside them; its weight rises at first."""
        rise = min(1.0, (step + 1) / max(1, self._config.warmup))
        update.promoters["network"].lam = self._config.weight * rise

        def with_task(network: nn.Module, batch: Tensors) -> Losses:
            found = losses(network, batch)
            auxiliary = self.task(
                _enhanced(found),
                clean=batch.get("high"),
                label=batch.get("label"),
                mask=batch.get("mask"),
            )
            return replace(found, auxiliary=auxiliary)

        return with_task

    def teach(
        self, step: int, batches: Sequence[Tensors], update: Update, losses: FindLosses
    ) -> dict[str, float]:
        """Let the recogniser take its step, where it is its turn."""
        if not self.turn(step):
            return {}
        network = update.networks["network"]
        if self._config.bilevel == "unrolled":
            return {"recogniser": self._look_ahead(batches[0], update, losses)}
        found = []
        for batch in map(self._of_the_upper_level, batches):
            with torch.no_grad():
                enhanced = _enhanced(losses(network, batch))
            found.append(self.task.learn(*_answered(enhanced, batch)))
        return {"recogniser": sum(found) / len(found)}

    def _of_the_upper_level(self, batch: Tensors) -> Tensors:
        if not self.alternates:
            return batch
        known = [name for name in batch if name.startswith(_UPPER)]
        return {name.removeprefix(_UPPER): batch[name] for name in known}

    def _look_ahead(self, batch: Tensors, update: Update, losses: FindLosses) -> float:
        """Learn from what the task would say after the enhancer's next step.

        The lower level is what the enhancer learns from: its own terms, and the task's
        on enhanced pictures alone, at the weight of this step. The upper level is the
        task's on enhanced and good pictures. Of an accumulated batch the first part is
        taken. Every pass draws the same chance: in a difference of two passes, codes or
        noise drawn anew would stand for the slope.
        """
        network = update.networks["network"]
        weight = update.promoters["network"].lam
        seed = torch.initial_seed()
        theta = [p for p in network.parameters() if p.requires_grad]
        rate = update.optimisers["network"].param_groups[0]["lr"]

        def found() -> Losses:
            torch.manual_seed(seed)
            return losses(network, batch)

        def upper() -> Tensor:
            images, label, mask = _answered(_enhanced(found()), batch)
            return self.task.supervised(images, label=label, mask=mask)

        def lower() -> Tensor:
            at = found()
            label, mask = batch.get("label"), batch.get("mask")
            with self.task.judging():
                task = self.task.supervised(_enhanced(at), label=label, mask=mask)
            own = torch.stack(list(at.terms.values())).sum()
            return own + weight * task

        return self.task.learn_by(
            upper, lambda w: look_ahead_gradient(theta, w, lower, upper, rate)
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return self.task.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.task.load_state_dict(state)


class Promoted:
    """What strategies share that a task may help.

    Attributes
    ----------
    promotion : Promotion or None
        The task that may help, where the configuration names one.
    """

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        self.config = config
        self.sources = load_sources(config, device)
        self.promotion = Promotion.create(config)

    @classmethod
    def figures_of(cls, config: TrainConfig) -> tuple[str, ...]:
        """Return the names of what `validate` measures."""
        raise NotImplementedError

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of what `validate` measures."""
        return self.figures_of(self.config)

    def task_scores(
        self, images: list[CleanImage], device: str
    ) -> TaskValidation | None:
        """Return what scores answers to images by the task, if that is asked for."""
        if not TaskValidation.figures_of(self.config):
            return None
        learns = self.promotion is not None and self.config.promote.train
        joint = self.promotion.task.network if self.promotion and learns else None
        asked = self.config.promote
        return TaskValidation(asked.task, images, device, joint, asked.held_out)

    def companions(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return the recogniser of the task that helps, if there is one."""
        return {} if self.promotion is None else {"task": self.promotion.task.network}

    def digests(self) -> dict[str, str]:
        """Return a hash of what was read of each image, by its name."""
        return self.sources.digests()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the task that helps."""
        return {} if self.promotion is None else self.promotion.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        if self.promotion is not None:
            self.promotion.load_state_dict(state)


def two_levels(
    images: list[CleanImage],
) -> tuple[list[CleanImage], list[CleanImage]]:
    """Part images for a recogniser that learns by turns: the enhancer's, its own.

    Raises
    ------
    UsageError
        One part would be empty.
    """
    lower, upper = split_holdout(images, 0.5, "levels")
    if not lower or not upper:
        raise UsageError(
            f"too few images for two levels of training: {len(images)}",
            hint="promote.bilevel=joint",
        )
    return lower, upper


def _enhanced(found: Losses) -> Tensor:
    if found.enhanced is None:
        raise TypeError("losses of an enhancer hold what it made")
    return found.enhanced


def _answered(
    enhanced: Tensor, batch: Tensors
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return enhanced and good pictures in one batch, with labels and masks.

    The good ones are the clean partners, or the unpaired references with their own
    answers; without any the enhanced ones stand alone.
    """
    label, mask = batch.get("label"), batch.get("mask")
    enhanced = enhanced.clamp(0, 1)
    if "high" in batch:
        return torch.cat([enhanced, batch["high"]]), _twice(label), _twice(mask)
    known = [batch.get("reference_label"), batch.get("reference_mask")]
    if "reference" not in batch or all(one is None for one in known):
        return enhanced, label, mask
    images = torch.cat([enhanced, batch["reference"]])
    return images, _joined(label, known[0]), _joined(mask, known[1])


def _twice(answers: Tensor | None) -> Tensor | None:
    return None if answers is None else torch.cat([answers, answers])


def _joined(mine: Tensor | None, theirs: Tensor | None) -> Tensor | None:
    return None if mine is None or theirs is None else torch.cat([mine, theirs])
