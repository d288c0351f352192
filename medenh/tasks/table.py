"""What the recognisers recognise: the list of downstream tasks."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from medenh.errors import UsageError

__all__ = ["TASKS", "Task", "get_task"]

_PIXELS = ("auc", "iou", "dice", "accuracy", "kappa", "sensitivity", "specificity")
_PICTURES = ("auc", "accuracy", "balanced_accuracy", "kappa")


@dataclass(frozen=True, slots=True)
class Task:
    """A question that a picture can be asked.

    Attributes
    ----------
    name, title : str
        Key of `TASKS`, and one line for people.
    modality : str
        Kind of picture, a value of `medenh.types.Modality`.
    kind : "segmentation" or "classification"
        One probability a class at every pixel, or one a class for the picture.
    classes : tuple of str
        Names of the K classes.
    side : int
        Long side in pixels at which the network works.
    positive : tuple of tuple of int
        For each class the numbers of a label mask that belong to it; an empty tuple
        is every number but 0. Empty for classification.
    labels : mapping
        "key=value" of a pack's label column -> class number; classification only.
    model : str
        Id of the recogniser in the zoo.
    """

    name: str
    title: str
    modality: str
    kind: Literal["segmentation", "classification"]
    classes: tuple[str, ...]
    side: int
    model: str
    positive: tuple[tuple[int, ...], ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the figures that the task's score function returns."""
        return _PIXELS if self.kind == "segmentation" else _PICTURES


_ALL = (
    Task(
        name="vessels-fundus",
        title="Retinal vessels in colour fundus photographs",
        modality="fundus",
        kind="segmentation",
        classes=("vessel",),
        side=584,  # DRIVE's own height: its pictures are not resampled
        model="vessels-fundus",
        positive=((),),
    ),
    Task(
        name="lesions-fundus",
        title="Red and bright lesions of diabetic retinopathy",
        modality="fundus",
        kind="segmentation",
        classes=("red lesion", "bright lesion"),
        side=512,
        model="lesions-fundus",
        positive=((1, 2), (3, 4)),  # microaneurysm, haemorrhage; hard, soft exudate
    ),
    Task(
        name="lesion-derm",
        title="Skin lesion in dermoscopic pictures",
        modality="dermoscopy",
        kind="segmentation",
        classes=("lesion",),
        side=128,
        model="lesion-derm",
        positive=((),),
    ),
    Task(
        name="nuclei-micro",
        title="Cell nuclei in H&E, bright-field and fluorescence microscopy",
        modality="microscopy",
        kind="segmentation",
        classes=("nucleus",),
        side=320,
        model="nuclei-micro",
        positive=((),),
    ),
    Task(
        name="lung-xray",
        title="Lungs in frontal chest radiographs",
        modality="xray",
        kind="segmentation",
        classes=("lung",),
        side=128,
        model="lung-xray",
        positive=((),),
    ),
    Task(
        name="polyp-endo",
        title="Polyps in colonoscopy frames",
        modality="endoscopy",
        kind="segmentation",
        classes=("polyp",),
        side=160,
        model="polyp-endo",
        positive=((),),
    ),
    Task(
        name="class-derm",
        title="Malignant or precancerous against benign skin lesion",
        modality="dermoscopy",
        kind="classification",
        classes=("benign", "malignant"),
        side=144,
        model="class-derm",
        labels={
            "dx=nv": 0,
            "dx=bkl": 0,
            "dx=df": 0,
            "dx=vasc": 0,
            "dx=mel": 1,
            "dx=bcc": 1,
            "dx=akiec": 1,
        },
    ),
    Task(
        name="pneumonia-xray",
        title="Pneumonia or tuberculosis against no finding in chest radiographs",
        modality="xray",
        kind="classification",
        classes=("no finding", "pneumonia or tuberculosis"),
        side=160,
        model="pneumonia-xray",
        labels={
            "finding=no_finding": 0,
            "finding=pneumonia": 1,
            "tuberculosis=0": 0,
            "tuberculosis=1": 1,
        },
    ),
)

TASKS: dict[str, Task] = {task.name: task for task in _ALL}


def get_task(name: str) -> Task:
    """Return a task by name.

    Raises
    ------
    UsageError
        There is no such task; close ones and all are given.
    """
    if name not in TASKS:
        word = str(name).lower()
        near = [one for one in TASKS if word and word in one]
        near = near or difflib.get_close_matches(word, TASKS, 2)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"unknown task {name!r}", hint=f"{meant}one of {', '.join(TASKS)}"
        )
    return TASKS[name]
