"""Masks that a recogniser of the zoo draws on clean images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medenh.tasks.recogniser import Recogniser, load
from medenh.training.data import CleanImage
from medenh.training.sampler import to_unit

__all__ = ["with_pseudo_masks"]


def with_pseudo_masks(images: list[CleanImage], task: str) -> list[CleanImage]:
    """Return the images with the recogniser's answer as their mask.

    Parameters
    ----------
    images : list of CleanImage
    task : str
        A segmentation, key of `medenh.tasks.TASKS`. Its probabilities, 0 to 255,
        become the coverage, so doubt stays doubt.

    Raises
    ------
    UsageError, WeightsError
        No such task, or its weights are missing.

    Notes
    -----
    T-MAGE-Net learns vessels from masks of a network trained elsewhere [paper].
    """
    recogniser = load(task)
    return [replace(image, mask=_mask(recogniser, image)) for image in images]


def _mask(recogniser: Recogniser, image: CleanImage) -> NDArray[np.uint8]:
    guess = recogniser.predict(to_unit(image.pixels))
    levels: NDArray[np.uint8] = np.rint(guess * 255).astype(np.uint8)
    return levels
