"""Limits of fidelity: how far an enhancer's right answers are from what it gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medenh.metrics.fidelity import clipped_share, mean_shift, structure_correlation
from medenh.training.config import TrainConfig
from medenh.training.data import CleanImage
from medenh.training.sampler import eight_bits, to_unit
from medenh.training.sections import DataConfig
from medenh.training.sources import Sources
from medenh.training.validation import degraded_copy
from medenh.types import FloatArray

__all__ = ["FEWEST", "Usual", "limits_on", "usual_pictures"]

FEWEST = 50  # [chosen] pictures of all groups
_MOST = 240  # [chosen] of all groups: an answer to one of a large picture takes seconds
_FEWEST_OF_GROUP = 30  # [chosen]
_MARGIN = 1.1  # [chosen] new pictures may be a little more extreme


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """Pictures of one modality that a run learnt to enhance, degraded by one recipe.

    Attributes
    ----------
    images : list of CleanImage
    data : DataConfig or None
        Its one recipe degrades them; None where they are of low quality, or have a
        partner that is.
    """

    images: list[CleanImage]
    data: DataConfig | None

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[FloatArray]:
        """Yield the pictures, (H, W, C) in [0, 1], each made when it is its turn."""
        for image in self.images:
            if image.low is not None:
                yield to_unit(image.low)
            elif self.data is None:
                yield to_unit(image.pixels)
            else:
                yield eight_bits(degraded_copy(image, self.data))


def usual_pictures(config: TrainConfig, sources: Sources) -> list[Usual]:
    """Return what a run learnt to enhance, some 240 pictures in groups.

    Of each recipe and modality there are as many: what a run saw seldom is a right use,
    too. Pictures that it learnt from are among them, since those held back are few; of
    a limit, unlike of a figure, nothing is claimed but what it lets pass.
    """
    data = config.data
    clean = sources.learnt + sources.held
    parts: list[tuple[list[CleanImage], DataConfig | None]] = [
        ([image for image in clean if image.low is not None], None),
        *((clean, _only(recipe, data)) for recipe in data.recipes),
        *((sources.real, _only(recipe, data)) for recipe in data.real_recipes),
    ]
    if not data.real_recipes:
        parts.append((sources.real, None))
    groups = [
        Usual(images, how) for part, how in parts for images in _by_modality(part)
    ]
    most = max(_FEWEST_OF_GROUP, _MOST // max(len(groups), 1))
    return [Usual(_some(group.images, most), group.data) for group in groups]


def _only(recipe: str, data: DataConfig) -> DataConfig:
    return data.model_copy(update={"recipes": {recipe: 1.0}})


def _by_modality(images: Iterable[CleanImage]) -> list[list[CleanImage]]:
    parts: dict[str, list[CleanImage]] = {}
    for image in images:
        parts.setdefault(image.modality, []).append(image)
    return list(parts.values())


def _some(images: list[CleanImage], most: int) -> list[CleanImage]:
    order = np.random.default_rng(0).permutation(len(images))
    return [images[i] for i in order[:most]]


def limits_on(
    groups: Sequence[Iterable[FloatArray]],
    enhance: Callable[[FloatArray], FloatArray],
) -> dict[str, float]:
    """Return bounds that all answers keep, a tenth further out, rounded outwards.

    What they catch is an answer beyond anything that undoing the degradation takes.
    Answers are rounded to 8 bits, as in most files: more is black or white then.

    Parameters
    ----------
    groups : sequence of iterables of float32 array, shape (H, W, C), in [0, 1]
    enhance : callable
        The model.

    Returns
    -------
    dict of str to float
        Fields of `medenh.zoo.card.Limits`.
    """
    figures = [
        _figures(picture, eight_bits(np.clip(enhance(picture), 0, 1)))
        for group in groups
        for picture in group
    ]
    lost, clipped, shift = _MARGIN * np.max(figures, axis=0)
    return {
        "min_structure_correlation": max(-1.0, math.floor(1000 * (1 - lost)) / 1000),
        "max_clipped": _at_most(clipped),
        "max_mean_shift": _at_most(shift),
    }


def _figures(before: FloatArray, after: FloatArray) -> tuple[float, float, float]:
    """Return structure lost, the share that was clipped and how far the mean moved."""
    return (
        1 - structure_correlation(after, before),
        clipped_share(after, before),
        abs(mean_shift(after, before)),
    )


def _at_most(share: float) -> float:
    """Return a share rounded up, at most 1; never 0, which rounding surpasses."""
    return min(1000, max(1, math.ceil(1000 * share))) / 1000
