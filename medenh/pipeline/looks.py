"""What an image shows, where its file does not tell and the choice of model asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from medenh.modality import OTHER, recognise
from medenh.types import Image, Modality
from medenh.zoo.manifest import Resolution

if TYPE_CHECKING:
    from medenh.pipeline.loading import ModelSource

__all__ = ["SURE", "choose_model", "strange_looks"]

SURE = 0.8  # probability from which on `auto` goes by looks
_NAMED = 0.7  # probability from which on a look is named


def choose_model(image: Image, models: ModelSource) -> tuple[Resolution, Modality]:
    """Return the model an image gets and why, and what the image is taken to show.

    Parameters
    ----------
    image : Image
    models : ModelSource
        Its looks count only where the modality decides ("auto", an alias) and neither
        file nor user tells it.

    Notes
    -----
    [chosen] Below 0.8 the modality stays unknown. docs/enhance.md tells how often that
    is, and how often a look deceives.
    """
    modality, looks = image.modality, ""
    if modality is Modality.UNKNOWN and models.by_modality:
        likeness = recognise(image)
        best = OTHER if likeness is None else likeness.best
        if likeness is not None and best != OTHER and likeness.shares[best] >= SURE:
            modality, looks = Modality(best), f"it looks like {likeness}, and "
    found = models.resolve(modality, volume=_measures(image))
    return Resolution(found.card, looks + found.reason), modality


def strange_looks(
    image: Image,
    name: str,
    modalities: Sequence[str],
    *,
    hint: Callable[[str], str] = lambda modality: "",
) -> list[str]:
    """Return in which ways an image looks unlike what something was made for.

    Parameters
    ----------
    image : Image
    name : str
        Of the model or recipe.
    modalities : sequence of str
        What it was made for; empty is anything.
    hint : callable
        What to add where the image surely looks like another modality, which it is
        given.
    """
    if not modalities:
        return []
    likeness = recognise(image)
    if likeness is None or likeness.suits(modalities):
        return []
    best, made_for = likeness.best, ", ".join(modalities)
    if likeness.shares[best] < _NAMED or best in modalities:
        return [f"does not look like what {name} was made for ({made_for})"]
    problem = f"looks like {likeness}, and {name} was made for {made_for}"
    return [problem if best == OTHER else problem + hint(best)]


def _measures(image: Image) -> bool:
    """Tell whether values are measurements, as in a map of diffusion or a PET slice."""
    deep = image.format == "dicom" and image.storage.dtype.itemsize > 1
    return image.format == "nifti" or deep
