"""The images of an enhancer's run, read again: learnt from, and held back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medenh.errors import UsageError
from medenh.publishing.limits import Usual, usual_pictures
from medenh.training.config import TrainConfig
from medenh.training.data import CleanImage
from medenh.training.sources import load_sources
from medenh.training.strategies.unpaired import part_real, shown_low
from medenh.training.validation import PairValidation
from medenh.types import FloatArray

__all__ = ["EnhancerImages", "load_images"]

_UNPAIRED = ("hq-guided", "still-gan")


@dataclass(frozen=True, slots=True)
class EnhancerImages:
    """The images of a run, as publishing needs them.

    Attributes
    ----------
    learnt : list of CleanImage
        What the weights come from.
    held : list of float32 array, shape (H, W, C), in [0, 1]
        Low-quality pictures that chose the weights and taught them nothing.
    usual : list of Usual
        Low-quality pictures of all that the run learnt to enhance.
    seen : list of CleanImage
        All of the run, as it read them.
    digests : dict of str to str
        Name -> hash of what was read.
    """

    learnt: list[CleanImage]
    held: list[FloatArray]
    usual: list[Usual]
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
    usual = usual_pictures(plain, sources)
    if config.strategy in _UNPAIRED:
        real, held = part_real(sources.real, data.holdout_share)
        shown = [pixels for pixels, _ in shown_low(held, plain)]
        learnt = sources.learnt + real
        return EnhancerImages(learnt, shown, usual, seen, sources.digests())
    pairs = PairValidation(sources.held, data).pairs
    lows = [pair.low for pair in pairs]
    learnt = sources.learnt + sources.real
    return EnhancerImages(learnt, lows, usual, seen, sources.digests())
