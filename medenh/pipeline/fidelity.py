"""How far an output is from its input, and whether a card's limits allow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from medenh import intensity
from medenh.errors import RefusedError, spelled
from medenh.intensity import cut_off_share, dim_volumes
from medenh.metrics.fidelity import (
    brightness_excess,
    clipped_share,
    mean_shift,
    structure_correlation,
)
from medenh.pipeline.looks import is_grey, looks_like_mask, strange_looks
from medenh.pipeline.sharpness import is_sharp
from medenh.types import FloatArray, Image, Modality

if TYPE_CHECKING:
    from medenh.zoo.manifest import ModelCard

__all__ = [
    "check_input",
    "cut_off",
    "describe",
    "measure",
    "measure_spread",
    "no_picture",
    "told_apart",
    "warnings_of",
]

# [chosen] of 388 good outputs of bundled models, 28 of real low-quality pictures among
# them, none was above 0.011; a colour Doppler that was washed out had 0.22
_WASHED_OUT = 0.05
_TISSUE_HU, _TISSUE_SIGMA = 300.0, 4.0  # [chosen] around water; px, against noise
# [measured] of 3,249 pictures of the data packs one is below, and 25 of 33 of their
# emptiest places, cut out
_BLANK = 4 / 255
_SAMPLE = 8  # every so many rows and columns tell how even a picture is
_KEEP_VALUES = ("denoise", "identity")  # tasks that leave levels what they are
_CUT_OFF = 1e-3  # [chosen] share of values from which it is told
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
        values newly at black or white), ``mean_shift`` (in [0, 1]),
        ``brightness_excess`` (above 0 where bright parts must have been washed out).
        Of CT in Hounsfield units also ``flat_bias_hu``, by how much the means of flat
        tissue moved, unless there is none inside the window.
        Means over at most nine frames of a volume; for the structure each frame counts
        by its contrast, since near-empty slices at the ends have little to keep. The
        shift is that of the frame which moved most: opposite ones would cancel out.
    """
    structure, clipped, shift, excess, contrast = [], [], [], [], []
    for index in _frames_of(before):
        old, new = _unit(before, index), _unit(after, index)
        structure.append(structure_correlation(new, old))
        clipped.append(clipped_share(new, old))
        shift.append(mean_shift(new, old))
        excess.append(brightness_excess(new, old))
        contrast.append(float(old.std()) + 1e-9)
    return {
        "structure_correlation": round(
            float(np.average(structure, weights=contrast)), 6
        ),
        "clipped_share": round(float(np.mean(clipped)), 6),
        "mean_shift": round(float(max(shift, key=abs)), 6),
        "brightness_excess": round(float(np.mean(excess)), 6),
        **_moved_tissue(before, after),
    }


def _moved_tissue(before: Image, after: Image) -> dict[str, float]:
    """Return by how many Hounsfield units flat tissue moved, if that is known."""
    if before.units != "HU":
        return {}
    from scipy.ndimage import gaussian_filter

    from medenh.metrics.flat import flat_bias

    bias, step = [], _step(before)
    for index in _frames_of(before):
        pixels = before.pixels[index, ::step, ::step, 0].astype(np.float32)
        # air is flat, too, and may lie inside a wide window
        tissue = np.abs(gaussian_filter(pixels, _TISSUE_SIGMA)) < _TISSUE_HU
        if tissue.any():
            old, new = _unit(before, index), _unit(after, index)
            bias.append(flat_bias(new, old, data_range=1.0, mask=tissue))
    known = [one for one in bias if np.isfinite(one)]
    if not known:
        return {}
    window = before.unit_range.high - before.unit_range.low
    return {"flat_bias_hu": round(float(np.mean(known)) * window, 6)}


def measure_spread(image: Image, spread: FloatArray) -> dict[str, float]:
    """Return how large a map of uncertainty is in the field of view.

    Parameters
    ----------
    image : Image
        What was enhanced.
    spread : float32 array, shape (frames, height, width)
        Standard deviation of the answers, in [0, 1].

    Returns
    -------
    dict of str to float
        ``uncertainty_mean`` and ``uncertainty_p95`` (95th percentile), over at most
        nine frames of a volume, where the picture is in its dark surround.
    """
    from medenh.classical.photograph import lit_field  # loads SciPy

    step = _step(image)
    found = [
        spread[index, ::step, ::step][lit_field(_unit(image, index))]
        for index in _frames_of(image)
    ]
    values = np.concatenate(found)
    return {
        "uncertainty_mean": round(float(values.mean(dtype=np.float64)), 6),
        "uncertainty_p95": round(float(np.percentile(values, 95)), 6),
    }


def _frames_of(image: Image) -> list[int]:
    """Return which frames are looked at."""
    count = min(image.frames, _MOST_FRAMES)
    return [
        int(i)
        for i in np.unique(np.linspace(0, image.frames - 1, count).round().astype(int))
    ]


def _step(image: Image) -> int:
    return int(np.ceil(np.sqrt(image.height * image.width / _MOST_PIXELS)))


def _unit(image: Image, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return one frame as (height, width, channels) in [0, 1]; large ones by samples.

    Every n-th row and column, the same of both images: what is compared stays in
    place, and a picture of 48 megapixels is not held in float twice.
    """
    step = _step(image)
    part = image.pixels[index : index + 1, ::step, ::step]
    return np.moveaxis(intensity.to_unit(part, image.unit_range)[0], 0, -1)


def check_input(
    image: Image, card: ModelCard, *, told: bool = False
) -> tuple[list[str], list[str]]:
    """Return in which ways an image is outside a model's card.

    Parameters
    ----------
    image : Image
    card : ModelCard
    told : bool
        The modality is the user's word, not the file's.

    Returns
    -------
    (list of str, list of str)
        What ``--strict`` refuses, and what is only said. The looks of a picture count
        where nothing tells its modality; a user's word is not overruled by them, and a
        file's is not doubted.
    """
    refused, said = [], []
    if image.modality is Modality.UNKNOWN:
        refused += strange_looks(image, card.id, card.modalities, hint=_auto_for)
    elif not card.suits(image.modality.value):
        made_for = ", ".join(card.modalities)
        refused.append(
            f"{card.id} was made for {made_for}, and this is {image.modality.value}"
        )
    elif told:
        said += strange_looks(image, card.id, card.modalities, hint=_auto_for)
    if card.id != "identity" and (problem := no_picture(image)):
        refused.append(problem)
    if card.task not in _KEEP_VALUES:
        said += _not_for_new_levels(image, card.id)
    if card.wants_colour and is_grey(image):
        said.append(
            f"is grey, but {card.id} is for colour: it may change light where nothing "
            "is wrong; the model auto picks another"
        )
    if card.weights is not None and (problem := _too_dim(image, card.id)):
        said.append(problem)
    smallest = card.input.min_size
    if min(image.height, image.width) < smallest:
        refused.append(
            f"{image.width}x{image.height} pixels are less than the {smallest} that "
            f"{card.id} needs"
        )
    factor = card.input.enlarged
    if factor > 1 and is_sharp(image, factor):
        refused.append(
            f"is sharp at its own size, and {card.id} is for pictures that were "
            f"enlarged {factor} times: fine detail is lost"
        )
    return refused, said


def _not_for_new_levels(image: Image, name: str) -> list[str]:
    """Return why the levels of an image had better stay what they are."""
    said = []
    if spread := _nearly_blank(image):
        said.append(
            f"is nearly blank (its values spread by {255 * spread:.1f} of 255 levels): "
            f"{name} may bring out noise, JPEG blocks and steps between levels as if "
            "they were structure"
        )
    if _is_raw(image):
        said.append(
            "is raw (FOR PROCESSING), not made for viewing: its values mean nothing "
            f"after {name}; the model auto picks one that keeps their meaning"
        )
    return said


def _nearly_blank(image: Image) -> float:
    """Return the standard deviation of an image that is nearly blank; 0 of any other.

    Of one that is the same all over nothing can be brought out.
    """
    sample = intensity.to_unit(image.pixels[:, ::_SAMPLE, ::_SAMPLE], image.unit_range)
    spread = float(sample.std(axis=(0, 2, 3), dtype=np.float64).max())
    return spread if spread < _BLANK else 0.0


def _is_raw(image: Image) -> bool:
    if image.format != "dicom":  # pydicom takes 0.1 s to load
        return False
    from medenh.formats import dicom

    return dicom.is_raw(image)


def no_picture(image: Image) -> str:
    """Return why an image holds labels, statistics or phases; "" of a picture."""
    if image.format == "dicom":
        from medenh.formats import dicom

        if kind := dicom.no_magnitude(image):
            return f"holds {kind} by its header, no magnitudes: they would change"
    if image.format == "nifti":
        from medenh.formats import nifti

        if kind := nifti.no_picture(image):
            return f"holds {kind} by the intent in its header: they would change"
    return looks_like_mask(image)


def _too_dim(image: Image, name: str) -> str:
    """Return that volumes are too dark for a network beside others; "" if none is.

    Those of a cine are frames.
    """
    dim = dim_volumes(image)
    if not dim:
        return ""
    depth = image.geometry.depth or image.frames
    kind = "frames" if depth == 1 else "volumes"
    return (
        f"{dim} of its {image.frames // depth} {kind} are 8 times or more darker than "
        f"the brightest, whose range all share: {name} sees them nearly black and may "
        "harm them; enhance them as files of their own, or with nlm (nlm-rician for "
        "magnitudes of MRI), which goes by the noise of each slice"
    )


def _auto_for(modality: str) -> str:
    """Say how the right model is found for a picture of another modality."""
    return f"; the model auto picks one for it with {spelled(modality=modality)}"


def warnings_of(figures: Mapping[str, float], card: ModelCard) -> list[str]:
    """Return in which ways a result is outside a card's limits; empty if in none."""
    limits = card.limits
    found = []
    structure = figures["structure_correlation"]
    least = limits.min_structure_correlation
    if least is not None and structure < least:
        one, other = told_apart(structure, least)
        found.append(f"structure correlation {one} is below {other}")
    clipped = figures["clipped_share"]
    if limits.max_clipped is not None and clipped > limits.max_clipped:
        one, other = told_apart(clipped, limits.max_clipped, ".1%")
        found.append(f"{one} of the values became black or white, more than {other}")
    shift = figures["mean_shift"]
    if limits.max_mean_shift is not None and abs(shift) > limits.max_mean_shift:
        one, other = told_apart(abs(shift), limits.max_mean_shift)
        way = "up" if shift > 0 else "down"
        found.append(f"the mean moved {way} by {one}, limit {other}")
    if limits.max_mean_shift is not None and figures["brightness_excess"] > _WASHED_OUT:
        found.append(
            f"the mean rose by {shift:.3f}: too much, bright parts are washed out"
        )
    return found


def cut_off(before: Image, after: Image) -> list[str]:
    """Return that values of slices are cut off at what their rescale can store.

    Both are of equal shape, range and storage.
    """
    share = cut_off_share(before, after)
    if share <= _CUT_OFF:
        return []
    return [
        f"{share:.1%} of the values are cut off at the largest or smallest that the "
        "rescale of their slice can store: make NIfTI of the series first, by the "
        "model identity"
    ]


def told_apart(value: float, limit: float, style: str = ".3f") -> tuple[str, str]:
    """Return two numbers as text, of as many digits more as it takes to differ.

    Parameters
    ----------
    value, limit : float
    style : str
        Format of both, ".3f" or ".1%" for example, in which they may look alike.
    """
    least, kind = int(style[1:-1]), style[-1]
    pairs = [
        (f"{value:.{digits}{kind}}", f"{limit:.{digits}{kind}}")
        for digits in range(least, least + 15)
    ]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])


def describe(
    problems: list[str], image: Image, figures: Mapping[str, float] | None = None
) -> RefusedError:
    """Return the refusal that --strict makes of problems, with a result's figures."""
    error = RefusedError(
        "; ".join(problems),
        path=image.source,
        hint="nothing was written; without --strict (strict=True in Python) it is "
        "enhanced all the same",
    )
    error.fidelity = dict(figures or {})
    return error
