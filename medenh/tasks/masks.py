"""Label masks: numbers as they stand in the file, and the classes they mean."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medenh.errors import UnreadableError
from medenh.tasks.table import Task

__all__ = ["class_masks", "read_mask"]


def read_mask(source: str | Path | bytes) -> NDArray[np.int32]:
    """Read a label mask.

    Parameters
    ----------
    source : path or bytes
        PNG or another raster file, or its content. Of indexed files the index counts,
        not the colour, which other readers return.

    Returns
    -------
    int32 array, shape (H, W)
        Label numbers; of a colour file the largest channel. Opacity does not count.

    Raises
    ------
    UnreadableError
        It is no picture, or damaged.
    """
    path = None if isinstance(source, bytes) else Path(source)
    try:
        handle = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
        with Image.open(handle) as picture:
            numbers = np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError(f"not a readable mask: {error}", path=path) from error
    if numbers.ndim == 3:
        if numbers.shape[-1] in (2, 4):  # the last is opacity
            numbers = numbers[..., :-1]
        numbers = numbers.max(-1)
    return numbers.astype(np.int32)


def class_masks(numbers: NDArray[np.int32], task: Task) -> NDArray[np.bool_]:
    """Return where each class of a task is.

    Parameters
    ----------
    numbers : int array, shape (H, W)
        Label numbers.
    task : Task
        A segmentation; its `positive` tells the numbers of each class.

    Returns
    -------
    bool array, shape (H, W, K)
    """
    planes = [
        np.isin(numbers, values) if values else numbers != 0 for values in task.positive
    ]
    return np.stack(planes, -1)
