"""The images of an enhancer's run, read again: learnt from, and held back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from medenh.errors import UsageError
from medenh.training.config import TrainConfig
from medenh.training.data import CleanImage
from medenh.training.sampler import eight_bits
from medenh.training.sections import DataConfig
from medenh.training.sources import load_sources
from medenh.training.strategies.unpaired import part_real, shown_low
from medenh.training.validation import PairValidation, degraded_copy
from medenh.types import FloatArray

__all__ = ["FEWEST_FOR_LIMITS", "EnhancerImages", "load_images"]

FEWEST_FOR_LIMITS = 20  # [chosen] answers; 99 of 100 are spoken of
_FEWEST_DRAWN_AGAIN = 5  # [chosen] pictures that stand for others of their kind
_UNPAIRED = ("hq-guided", "still-gan")


@dataclass(frozen=True, slots=True)
class EnhancerImages:
    """The images of a run, as publishing needs them.

    Attributes
    ----------
    learnt : list of CleanImage
        What the weights come from.
    held : list of float32 array, shape (H, W, C), in [0, 1]
        Low-quality pictures that chose the weights and taught them nothing. Of few
        clean ones, of five at the least, each is degraded several times, so that the
        answers suffice for limits.
    seen : list of CleanImage
        All of the run, as it read them.
    digests : dict of str to str
        Name -> hash of what was read.
    """

    learnt: list[CleanImage]
    held: list[FloatArray]
    seen: list[CleanImage]
    digests: dict[str, str]


def load_images(config: TrainConfig) -> EnhancerImages:
    """Read the images of an enhancer's run again.

    Raises
    ------
    UsageError
        They are not where the run found them.
    """
    for setting in ("high", "low", "real"):
        folder = getattr(config.data, setting)
        if folder and not Path(folder).exists():
            raise UsageError(
                f"data.{setting} of the run's config.json is not there",
                path=folder,
                hint="publish from where it was trained, or mend the path",
            )
    data = config.data.model_copy(update={"pseudo_masks": ""})  # of no use here
    plain = config.model_copy(update={"data": data})
    sources = load_sources(plain)
    seen = sources.learnt + sources.held + sources.real
    if config.strategy in _UNPAIRED:
        real, held = part_real(sources.real, data.holdout_share)
        shown = [pixels for pixels, _ in shown_low(held, plain)]
        return EnhancerImages(sources.learnt + real, shown, seen, sources.digests())
    validation = PairValidation(sources.held, data)
    lows = [pair.low for pair in validation.pairs]
    lows += _drawn_again(validation.images, data)
    learnt = sources.learnt + sources.real
    return EnhancerImages(learnt, lows, seen, sources.digests())


def _drawn_again(images: list[CleanImage], data: DataConfig) -> list[FloatArray]:
    """Return further degraded copies of pictures that are too few for limits."""
    count = len(images)
    if not _FEWEST_DRAWN_AGAIN <= count < FEWEST_FOR_LIMITS:
        return []
    if any(image.low is not None for image in images):
        return []
    draws = range(1, math.ceil(FEWEST_FOR_LIMITS / count))
    return [
        eight_bits(degraded_copy(image, data, draw))
        for draw in draws
        for image in images
    ]
