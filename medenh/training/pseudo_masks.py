"""Masks that a recogniser of the zoo draws on clean images, kept in the cache."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medenh.formats.files import atomic_output
from medenh.tasks.recogniser import Recogniser, load
from medenh.tasks.table import get_task
from medenh.training.data import CleanImage
from medenh.training.sampler import to_unit
from medenh.zoo.cache import writable_cache
from medenh.zoo.load import recogniser_card

__all__ = ["with_pseudo_masks"]

_log = logging.getLogger(__name__)

_EVERY = 100  # images between two signs of life


def with_pseudo_masks(
    images: list[CleanImage], task: str, device: str
) -> list[CleanImage]:
    """Return the images with the recogniser's answer as their mask.

    Parameters
    ----------
    images : list of CleanImage
    task : str
        A segmentation, key of `medenh.tasks.TASKS`. Its probabilities, 0 to 255,
        become the coverage, so doubt stays doubt.
    device : str
        torch device: a GPU, where the run has one, since an answer takes about half a
        second on a CPU core.

    Raises
    ------
    UsageError, WeightsError
        No such task, or its weights are missing.
    OutputError
        The cache has no room for a mask.

    Notes
    -----
    T-MAGE-Net learns vessels from masks of a network trained elsewhere [paper]. They
    are kept under the hash of weights and pixels for a second run.
    """
    recogniser = load(task, device=device)
    weights = recogniser_card(get_task(task).model).weights
    version = weights.sha256 if weights is not None else ""
    folder = writable_cache() / "masks" / f"{task}-{version[:16]}"
    marked, drawn, begun = [], 0, time.monotonic()
    for place, image in enumerate(images, 1):
        shape = (*image.pixels.shape[:2], len(recogniser.task.classes))
        path = folder / f"{_digest(image, shape)}.npy"
        mask = _kept(path, shape)
        if mask is None:
            if drawn % _EVERY == 0:
                left = _left(drawn, len(images) - place, begun)
                _log.info(
                    "drawing masks of %s, %d of %d%s", task, place, len(images), left
                )
            mask = _draw(recogniser, image)
            with atomic_output(path) as part, part.open("wb") as handle:
                np.save(handle, mask, allow_pickle=False)
            drawn += 1
        marked.append(replace(image, mask=mask))
    return marked


def _left(done: int, rest: int, begun: float) -> str:
    """Say how long the rest takes, once some are done."""
    if not done:
        return ""
    minutes = (time.monotonic() - begun) / done * rest / 60
    return f", about {minutes:.0f} min left" if minutes >= 1 else ""


def _digest(image: CleanImage, shape: tuple[int, ...]) -> str:
    digest = hashlib.sha256(repr((shape, image.pixels.dtype.str)).encode())
    digest.update(image.pixels.tobytes())
    return digest.hexdigest()[:32]


def _kept(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Return the mask of a former run; None if it is missing or damaged."""
    try:
        kept: NDArray[np.uint8] = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        return None
    return kept if kept.shape == shape and kept.dtype == np.uint8 else None


def _draw(recogniser: Recogniser, image: CleanImage) -> NDArray[np.uint8]:
    guess = recogniser.predict(to_unit(image.pixels))
    levels: NDArray[np.uint8] = np.rint(guess * 255).astype(np.uint8)
    return levels
