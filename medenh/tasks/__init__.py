"""Downstream tasks: what a recogniser sees in clean, degraded and enhanced pictures.

>>> from medenh import tasks
>>> tasks.TASKS["vessels-fundus"].kind
'segmentation'
"""

from medenh.tasks.masks import class_masks, read_mask
from medenh.tasks.recogniser import Recogniser, find_task, load
from medenh.tasks.scoring import (
    recovered_share,
    score_classification,
    score_segmentation,
)
from medenh.tasks.table import TASKS, Task, get_task

__all__ = [
    "TASKS",
    "Recogniser",
    "Task",
    "class_masks",
    "find_task",
    "get_task",
    "load",
    "read_mask",
    "recovered_share",
    "score_classification",
    "score_segmentation",
]
