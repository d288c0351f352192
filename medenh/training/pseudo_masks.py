"""Masks that a recogniser of the zoo draws on clean images, kept in the cache."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medenh.tasks.recogniser import Recogniser, load
from medenh.tasks.table import get_task
from medenh.training.data import CleanImage
from medenh.training.sampler import to_unit
from medenh.zoo.cache import publishing, writable_cache
from medenh.zoo.manifest import load_manifest

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
    T-MAGE-Net learns vessels from masks of a network trained elsewhere [paper]. An
    answer takes about half a second on a CPU core, so answers are kept under the hash
    of weights and pixels, and a second run finds them.
    """
    recogniser = load(task)
    weights = load_manifest().get(get_task(task).model).weights
    version = weights.sha256 if weights is not None else ""
    folder = writable_cache() / "masks" / f"{task}-{version[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    return [replace(image, mask=_mask(recogniser, image, folder)) for image in images]


def _mask(recogniser: Recogniser, image: CleanImage, folder: Path) -> NDArray[np.uint8]:
    shape = (*image.pixels.shape[:2], len(recogniser.task.classes))
    digest = hashlib.sha256(repr((shape, image.pixels.dtype.str)).encode())
    digest.update(image.pixels.tobytes())
    path = folder / f"{digest.hexdigest()[:32]}.npy"
    try:
        kept: NDArray[np.uint8] = np.load(path, allow_pickle=False)
        if kept.shape == shape and kept.dtype == np.uint8:
            return kept
    except (OSError, ValueError):
        pass  # not there yet, or damaged: it is made anew
    guess = recogniser.predict(to_unit(image.pixels))
    levels: NDArray[np.uint8] = np.rint(guess * 255).astype(np.uint8)
    with publishing(path) as part, part.open("wb") as handle:
        np.save(handle, levels, allow_pickle=False)
    return levels
