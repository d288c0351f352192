"""What an image shows, where its file does not tell and the choice of model asks."""

from __future__ import annotations

from medenh.modality import OTHER, recognise
from medenh.pipeline.loading import ModelSource
from medenh.types import Image, Modality
from medenh.zoo.manifest import Resolution

__all__ = ["SURE", "choose_model"]

SURE = 0.8  # probability from which on `auto` goes by looks


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


def _measures(image: Image) -> bool:
    """Tell whether values are measurements, as in a map of diffusion or a PET slice."""
    deep = image.format == "dicom" and image.storage.dtype.itemsize > 1
    return image.format == "nifti" or deep
