"""What an image shows, where its file does not tell and the choice of model asks."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medenh.intensity import dim_volumes
from medenh.modality import OTHER, recognise
from medenh.types import Image, Modality
from medenh.zoo.manifest import Resolution

if TYPE_CHECKING:
    from medenh.pipeline.loading import ModelSource

__all__ = ["SURE", "choose_model", "is_grey", "looks_like_mask", "strange_looks"]

SURE = 0.8  # probability from which on `auto` goes by looks
_MOST_LABELS = 8  # [chosen]
_COHERENT = 0.5  # [chosen] share of neighbours that are equal, outside the background
_JUMPS = 0.2  # [chosen] share of borders that skip a value
_FLAT = 0.7  # [chosen] as _COHERENT, of pictures with more values
_FLATTEST = 0.9  # [measured] as _FLAT: blurred JPEGs have less, for their blocks of 8
_STEP = 0.05  # [measured] their median step at borders is less, in numbers of values
_MOST_FRAMES, _ROWS = 16, 64  # of a volume and of each, looked at for many labels
_WOULD_CHANGE = "its labels would change"
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
    if models.by_modality and (other := _unlike(image, models)):
        return other, modality
    if modality is Modality.UNKNOWN and models.by_modality:
        likeness = recognise(image)
        best = OTHER if likeness is None else likeness.best
        if likeness is not None and best != OTHER and likeness.shares[best] >= SURE:
            modality, looks = Modality(best), f"it looks like {likeness}, and "
    measures = _measures(image)
    found = models.resolve(modality, volume=measures)
    if models.by_modality and found.card.wants_colour and is_grey(image):
        found = models.resolve(modality, volume=measures, grey=True)
    return Resolution(found.card, looks + found.reason), modality


def is_grey(image: Image) -> bool:
    """Return whether an image shows no colour, stored as colour or not."""
    first = image.pixels[..., :1]
    return image.channels == 1 or np.array_equal(
        np.broadcast_to(first, image.pixels.shape), image.pixels, equal_nan=True
    )


def _unlike(image: Image, models: ModelSource) -> Resolution | None:
    """Return what an image gets that is none for its modality's model; None if it is.

    Raw values of detectors are made to be reckoned with, not to be looked at. The model
    of MRI knows the noise of magnitudes; a network at the brightness of a picture of
    its own, a weight-free method at any.
    """
    card, why = None, ""
    if image.format == "dicom":  # pydicom takes 0.1 s to load
        from medenh.formats import dicom

        if image.modality is Modality.XRAY and dicom.is_raw(image):
            why = "its values are raw (FOR PROCESSING)"
        elif image.modality is Modality.MRI and (kind := dicom.no_magnitude(image)):
            why = f"it holds {kind}, no magnitudes"
    if not why and image.modality is Modality.MRI:
        made_for = models.resolve(Modality.MRI, volume=True).card
        network = made_for.weights is not None and made_for.suits(Modality.MRI)
        if network and dim_volumes(image):
            why = "it holds volumes nearly black beside others"
            if not (image.pixels < 0).any():  # as magnitudes are
                card = models.weight_free(Modality.MRI)
    if not why:
        return None
    card = card or models.resolve(Modality.UNKNOWN, volume=True).card
    words = f"{why}: {card.id} in place of what is for {image.modality.value}"
    return Resolution(card, words)


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


def looks_like_mask(image: Image) -> str:
    """Return why an image must be a mask or a map of labels; empty where it is none.

    At most eight values, all of them integers, and most pixels beside one of their own
    value: a picture that is that dark, or counts of few photons, has noise. Where no
    value is left out between them, as in a dark picture without noise, neighbours must
    also differ by more than one step, as labels do that do not lie in one another; not
    in NIfTI, where no scan has three values. A step is what all differences are
    multiples of: 257 where 8 bits became 16.

    Or more values, and pieces flatter than any picture has, of which many neighbours
    differ by more than a step.
    """
    if len(np.unique(image.pixels[:, ::16, ::16])) > _MOST_LABELS:  # as nearly all
        return _looks_like_labels(image)
    values: set[float] = set()
    for frame in image.pixels:
        values.update(np.unique(frame).tolist())
        if len(values) > _MOST_LABELS:
            return _looks_like_labels(image)
    if len(values) < 2 or not _are_whole(values):
        return ""
    kinds, counts = np.unique(image.pixels, return_counts=True)
    steps = _steps(image.pixels, (kinds[counts.argmax()],))
    if not steps.size or (steps == 0).mean() < _COHERENT:
        return ""
    step = _unit_step(values)
    gapless = len(values) > 2 and max(values) - min(values) < step * len(values)
    nested = image.format == "nifti" and len(values) == 3
    if gapless and not nested and (steps > step).sum() < _JUMPS * (steps > 0).sum():
        return ""
    return f"holds {len(values)} values only and looks like a mask: {_WOULD_CHANGE}"


def _looks_like_labels(image: Image) -> str:
    """Return why an image of many values must be a map of labels; empty if it is none.

    What is flat at the ends of the range may be clipped, and counts for nothing. Blur
    and JPEG make pictures flat in pieces, too, but with small steps between them.

    Notes
    -----
    [measured] Of 3,809 pictures of eyes, endoscopy and ultrasound, as they are, in grey
    and as JPEG of quality 60 and 25, those flat in pieces had at most 0.87 of their
    neighbours equal, and median steps of at most 0.035 of the number of their values.
    NIfTI is no JPEG, and atlases there have near numbers beside one another.
    """
    step = max(1, image.height // _ROWS)
    rows = image.pixels[:: -(-image.frames // _MOST_FRAMES), ::step]
    new = np.ones(rows.shape[2], bool)  # a picture can be enlarged by repetition
    new[1:] = (rows[:, :, 1:] != rows[:, :, :-1]).any(axis=(0, 1, 3))
    rows = rows[:, :, new]
    if rows.shape[2] < 2:  # the same in all columns
        return ""
    if (rows[:, :, 1:] == rows[:, :, :-1]).mean() < _FLAT:  # as nearly all pictures
        return ""
    kinds, counts = np.unique(rows, return_counts=True)
    if not _are_whole(kinds.tolist()):
        return ""
    steps = _steps(rows, (kinds[counts.argmax()], kinds[0], kinds[-1]))
    if not steps.size or (steps == 0).mean() < _FLAT:
        return ""
    borders = steps[steps > 0] / _unit_step(kinds.tolist())
    if (borders > 1).sum() < _JUMPS * borders.size:
        return ""
    blurred = (steps == 0).mean() < _FLATTEST and image.format != "nifti"
    if blurred and np.median(borders) < _STEP * len(kinds):
        return ""
    return f"is flat in pieces and looks like a map of labels: {_WOULD_CHANGE}"


def _are_whole(values: Iterable[float]) -> bool:
    return all(float(value).is_integer() for value in values)


def _unit_step(values: Collection[float]) -> int:
    least = min(values)
    return math.gcd(*(int(value - least) for value in values))


def _steps(pixels: NDArray[Any], empty: Sequence[Any]) -> NDArray[np.float64]:
    """Return how far neighbours in a row differ, outside what some values fill."""
    before, after = (
        part.astype(np.float64) for part in (pixels[:, :, :-1], pixels[:, :, 1:])
    )
    steps = np.abs(after - before)
    return steps[(steps > 0) | ~np.isin(before, empty)]


def _measures(image: Image) -> bool:
    """Tell whether values may be measurements, as in a map of diffusion, a PET slice.

    Slices of CT and MRI come as 16-bit PNG and TIFF, too, whose headers tell nothing.
    """
    deep = image.storage.dtype.itemsize > 1
    return image.format == "nifti" or (
        deep and (image.channels == 1 or image.format == "dicom")
    )
