"""How far an output is from its input, and whether a card's limits allow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from medenh.errors import RefusedError
from medenh.metrics.fidelity import clipped_share, mean_shift, structure_correlation
from medenh.types import Image, Modality

if TYPE_CHECKING:
    from medenh.zoo.manifest import ModelCard

__all__ = ["check_input", "describe", "measure", "warnings_of"]

_MOST_FRAMES = 9  # of a volume, evenly spread
_MOST_PIXELS = 4 << 20  # of a frame that share and shift are taken from


def measure(before: Image, after: Image) -> dict[str, float]:
    """Return how far an enhanced image is from its source.

    Parameters
    ----------
    before, after : Image
        Equal shape and range.

    Returns
    -------
    dict of str to float
        ``structure_correlation`` (1 is all structure kept), ``clipped_share`` (of
        values newly at black or white), ``mean_shift`` (in [0, 1]). Means over at
        most nine frames of a volume; for the structure each frame counts by its
        contrast, since near-empty slices at the ends have little to keep.
    """
    count = min(before.frames, _MOST_FRAMES)
    indices = np.unique(np.linspace(0, before.frames - 1, count).round().astype(int))
    structure, clipped, shift, contrast = [], [], [], []
    for index in indices:
        old, new = _unit(before, int(index)), _unit(after, int(index))
        structure.append(structure_correlation(new, old))
        clipped.append(clipped_share(new, old))
        shift.append(mean_shift(new, old))
        contrast.append(float(old.std()) + 1e-9)
    return {
        "structure_correlation": round(
            float(np.average(structure, weights=contrast)), 6
        ),
        "clipped_share": round(float(np.mean(clipped)), 6),
        "mean_shift": round(float(np.mean(shift)), 6),
    }


def _unit(image: Image, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return one frame as (height, width, channels) in [0, 1]; large ones by samples.

    Every n-th row and column, the same of both images: what is compared stays in
    place, and a picture of 48 megapixels is not held in float twice.
    """
    from medenh import intensity

    step = int(np.ceil(np.sqrt(image.height * image.width / _MOST_PIXELS)))
    part = image.pixels[index : index + 1, ::step, ::step]
    return np.moveaxis(intensity.to_unit(part, image.unit_range)[0], 0, -1)


def check_input(image: Image, card: ModelCard) -> list[str]:
    """Return in which ways an image is outside a model's card; empty if in none."""
    problems = []
    if image.modality is not Modality.UNKNOWN and not card.suits(image.modality.value):
        made_for = ", ".join(card.modalities)
        problems.append(
            f"{card.id} was made for {made_for}, and this is {image.modality.value}"
        )
    smallest = card.input.min_size
    if min(image.height, image.width) < smallest:
        problems.append(
            f"{image.width}x{image.height} pixels are less than the {smallest} that "
            f"{card.id} wants"
        )
    return problems


def warnings_of(figures: Mapping[str, float], card: ModelCard) -> list[str]:
    """Return in which ways a result is outside a card's limits; empty if in none."""
    limits = card.limits
    found = []
    structure = figures["structure_correlation"]
    least = limits.min_structure_correlation
    if least is not None and structure < least:
        found.append(f"structure correlation {structure:.3f} is below {least:g}")
    clipped = figures["clipped_share"]
    if limits.max_clipped is not None and clipped > limits.max_clipped:
        found.append(
            f"{clipped:.1%} of the values became black or white, more than "
            f"{limits.max_clipped:.1%}"
        )
    shift = figures["mean_shift"]
    if limits.max_mean_shift is not None and abs(shift) > limits.max_mean_shift:
        found.append(f"the mean moved by {shift:+.3f}, limit {limits.max_mean_shift:g}")
    return found


def describe(problems: list[str], image: Image) -> RefusedError:
    """Return the refusal that --strict makes of problems."""
    return RefusedError(
        "; ".join(problems),
        path=image.source,
        hint="nothing was written; leave out --strict to have it all the same",
    )
