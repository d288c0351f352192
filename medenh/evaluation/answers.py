"""What is true of a picture: masks and labels, from files of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medenh.tasks import Task, class_masks, read_mask
from medenh.tasks.labels import class_of

__all__ = ["Answers"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answers:
    """What is true of one picture.

    Attributes
    ----------
    masks : mapping
        Task -> bool array (H, W, K).
    labels : mapping
        Task -> class number.
    """

    masks: Mapping[str, BoolArray] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_files(
        cls, mask: Path | None, label: str | None, tasks: Sequence[Task]
    ) -> Answers:
        """Return the answers of a mask file and the text of a label.

        Raises
        ------
        UsageError
            The label is none of a task's.
        InputError
            The mask cannot be read.
        """
        masks, labels = {}, {}
        for task in tasks:
            if task.kind == "classification" and label is not None:
                labels[task.name] = class_of(label, task)
            elif task.kind == "segmentation" and mask is not None:
                masks[task.name] = class_masks(read_mask(mask), task)
        return cls(masks, labels)
