"""What a frozen recogniser says of enhanced held-back images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medenh.tasks.recogniser import Recogniser, load
from medenh.tasks.scoring import area_under_curve
from medenh.training.data import CleanImage
from medenh.training.sampler import to_unit
from medenh.types import FloatArray

__all__ = ["TaskValidation"]

_TINY = 1e-6


class TaskValidation:
    """Scores of the zoo's recogniser, which no run changes, on answers of a network.

    Parameters
    ----------
    task : str
        As `medenh.tasks.find_task` takes it.
    images : list of CleanImage
        With their masks or labels, in the order of the answers.
    """

    figures = ("task_auc", "task_loss")

    def __init__(self, task: str, images: list[CleanImage]) -> None:
        self._recogniser: Recogniser = load(task)
        self._images = images

    def run(self, answers: list[FloatArray]) -> dict[str, float]:
        """Return the area under the curve and the cross-entropy, means over classes.

        Of a segmentation over all pixels of all images together. NaN where only one
        class is there.
        """
        guesses = [self._recogniser.predict(answer) for answer in answers]
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
        if self._recogniser.task.kind == "classification":
            loss = -np.log(likely[true]).mean()
        else:
            loss = -np.log(np.where(true, likely, 1 - likely)).mean()
        return {"task_auc": area, "task_loss": float(loss)}

    def _truth(self, image: CleanImage) -> NDArray[np.bool_]:
        if image.mask is not None:
            return np.asarray(to_unit(image.mask) >= 0.5)
        classes = np.arange(len(self._recogniser.task.classes))
        return np.asarray(classes[None] == image.label)
