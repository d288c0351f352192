"""What recognisers say of enhanced held-back images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from medenh.tasks.recogniser import Recogniser, load
from medenh.tasks.scoring import area_under_curve
from medenh.training.config import TrainConfig
from medenh.training.data import CleanImage
from medenh.training.sampler import to_unit
from medenh.types import FloatArray

__all__ = ["TaskValidation"]

_TINY = 1e-6
_FIGURES = ("task_auc", "task_loss")


class TaskValidation:
    """Scores of recognisers on a network's answers to images with masks or labels.

    Two where one learns along (HQG-Net's paper asks for both): the zoo's, which learnt
    from good pictures and no run changes, and the one that learns (``joint_``). And one
    that the network was not trained with, where it is named (``held_out_``).

    Parameters
    ----------
    task : str
        As `medenh.tasks.find_task` takes it.
    images : list of CleanImage
        With their masks or labels, in the order of the answers.
    device : str
        Where the recognisers run.
    joint : torch.nn.Module, optional
        The recogniser of the task that learns along, on ``device``.
    held_out : str
        Another recogniser of the task, by its id; empty for none.
    """

    def __init__(
        self,
        task: str,
        images: list[CleanImage],
        device: str = "cpu",
        joint: nn.Module | None = None,
        held_out: str = "",
    ) -> None:
        fixed = load(task, device=device)
        self._recognisers: dict[str, Recogniser] = {"": fixed}
        if joint is not None:
            self._recognisers["joint_"] = replace(fixed, network=joint)
        if held_out:
            self._recognisers["held_out_"] = load(held_out, device=device)
        self._images = images

    @staticmethod
    def figures_of(config: TrainConfig) -> tuple[str, ...]:
        """Return the names of the figures: none where images come without answers."""
        if not config.promote.task or config.promote.loss != "supervised":
            return ()
        promote = config.promote
        which = {"": True, "joint_": promote.train, "held_out_": promote.held_out}
        return tuple(
            first + name for first, asked in which.items() if asked for name in _FIGURES
        )

    def run(self, answers: list[FloatArray]) -> dict[str, float]:
        """Return the area under the curve and the cross-entropy, means over classes.

        Of a segmentation over all pixels of all images together. NaN where only one
        class is there.
        """
        return {
            first + name: value
            for first, recogniser in self._recognisers.items()
            for name, value in self._scores(recogniser, answers).items()
        }

    def _scores(
        self, recogniser: Recogniser, answers: list[FloatArray]
    ) -> dict[str, float]:
        guesses = [recogniser.predict(answer) for answer in answers]
        truths = [self._truth(image) for image in self._images]
        flat = np.concatenate([g.reshape(-1, g.shape[-1]) for g in guesses])
        true = np.concatenate([t.reshape(-1, t.shape[-1]) for t in truths])
        areas = [
            area_under_curve(flat[:, k], true[:, k])
            for k in range(flat.shape[1])
            if 0 < true[:, k].sum() < len(true)
        ]
        area = float(np.mean(areas)) if areas else float("nan")
        likely = np.clip(flat, _TINY, 1 - _TINY)
        if recogniser.task.kind == "classification":
            loss = -np.log(likely[true]).mean()
        else:
            loss = -np.log(np.where(true, likely, 1 - likely)).mean()
        return {"task_auc": area, "task_loss": float(loss)}

    def _truth(self, image: CleanImage) -> NDArray[np.bool_]:
        if image.mask is not None:
            return np.asarray(to_unit(image.mask) >= 0.5)
        classes = np.arange(len(self._recognisers[""].task.classes))
        return np.asarray(classes[None] == image.label)
