"""Figures of one picture, or of one pair, on one common range of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medenh.errors import InputError, NonFiniteError, UsageError, counted, spelled
from medenh.evaluation.result import Better, Column
from medenh.formats.viewing import viewing_of
from medenh.metrics.registry import METRICS, Metric
from medenh.types import FloatArray, Image, Modality, UnitRange

__all__ = [
    "NO_REFERENCE",
    "PAIRED",
    "PSNR_CAP_DB",
    "Doubt",
    "columns_of",
    "describe_range",
    "doubt_of",
    "guessed_depth",
    "measure_image",
    "millimetres_apart",
    "on_range_of",
    "unit_frame",
]

BoolArray = NDArray[np.bool_]

PAIRED = ("psnr", "ssim", "de2000")
NO_REFERENCE = ("niqe", "sharpness", "cnr", "contrast", "noise")
_FAR_BELOW, _MANY = 0.25, 0.01  # noise and overshoot are not so many values [chosen]
_TOO_BRIGHT = 2.0  # on 0-1; networks without a limit overshoot by less [chosen]
_BLACK = 0.01  # share of white below which no reference tells a scale [chosen]
_FAR_APART = 4.0  # whites; nearer ones leave a change of brightness visible [chosen]
_LOOKED_AT = 1 << 20  # values
PSNR_CAP_DB = 100.0  # equal pictures have no finite PSNR, and a mean needs one
_DIGITS = {
    "psnr": 2,
    "consistency": 2,
    "de2000": 2,
    "niqe": 2,
    "cnr": 2,
    "mae": 4,
    "noise": 4,
    "flat-bias": 5,
}


def columns_of(metrics: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of metrics, by their names in the registry."""
    return tuple(_column(METRICS[name]) for name in metrics)


def _column(metric: Metric) -> Column:
    better: Better = "none"
    if metric.better == "higher" or metric.better == "lower":
        better = metric.better
    return Column(
        name=metric.name,
        title=metric.title,
        unit=metric.unit,
        better=better,
        digits=_DIGITS.get(metric.name, 3),
    )


def describe_range(image: Image) -> str:
    """Return what 0 and 1 of a picture are, in words: "0-255 (8-bit)"."""
    low, high = image.unit_range.low, image.unit_range.high
    joint = "-" if low >= 0 else " to "
    words = " ".join(part for part in (image.units, _depth(image)) if part)
    return f"{low:g}{joint}{high:g} ({words})"


def _depth(image: Image) -> str:
    reason, dtype = image.unit_range.reason, image.storage.dtype
    if "bit" in reason:
        return reason
    return ", ".join(part for part in (reason, str(dtype)) if part)


def guessed_depth(image: Image, reference: Image | None) -> int | None:
    """Return the bits that a picture was taken for by its values.

    None where the file tells its depth, the picture is black and so tells nothing, or
    it is measured on its reference's range.
    """
    known = image.unit_range
    if reference is not None:
        known = on_range_of(image, reference).unit_range
        if known is not image.unit_range:
            return None
    if not known.guessed or not image.pixels.any():
        return None
    return round(math.log2(known.high + 1))


Doubt = Literal["", "white", "percentiles", "negative", "polarity"]


def doubt_of(image: Image, reference: Image | None) -> Doubt:
    """Return why the scale of a picture beside its reference may be another.

    Returns
    -------
    str
        "white": it has a white, and its reference percentiles in its place, as a
        volume scaled to 0-1 beside one in a scanner's numbers. "percentiles": the other
        way, as a DICOM without a window beside a PNG of 8 bits. "negative": it is taken
        for one on 0-1, and many of its values lie far below. "polarity": its larger
        values are darker and its reference's brighter, or the other way, and the ends
        of its depth tell how they belong together. "": none of these.
    """
    if reference is None:
        return ""
    known = on_range_of(image, reference).unit_range
    turned = known.inverted != reference.unit_range.inverted
    moved = known.low != reference.unit_range.low
    if turned and moved and known is not image.unit_range:
        return "polarity"
    measured = _has_percentiles(known), _has_percentiles(reference.unit_range)
    if measured[0] != measured[1]:
        return "percentiles" if measured[0] else "white"
    on_unit = image.pixels.dtype.kind == "f" and (known.low, known.high) == (0.0, 1.0)
    if on_unit and (image.pixels < -_FAR_BELOW).mean() > _MANY:
        return "negative"
    return ""


def _has_percentiles(known: UnitRange) -> bool:
    return known.reason.startswith("percentiles")


def measure_image(
    image: Image,
    reference: Image | None,
    metrics: Sequence[str],
    *,
    region: BoolArray | None = None,
    modality: str | None = None,
) -> dict[str, float | None]:
    """Measure a picture or volume: the mean over its frames.

    Parameters
    ----------
    image : Image
        What is judged.
    reference : Image or None
        What it is judged by; None for metrics without reference.
    metrics : sequence of str
        Keys of `METRICS`.
    region : bool array, shape (frames or 1, H, W), optional
        Where to measure; all if not given. Frames without such a place are left out.
    modality : str, optional
        Kind of picture, for metrics that compare with a model of it; the image's own
        if not given.

    Returns
    -------
    dict
        Metric -> figure; None where it is undefined. PSNR is at most 100 dB.

    Raises
    ------
    InputError
        Sizes, frames or units differ.
    NonFiniteError
        NaN or infinity where it is measured.

    Notes
    -----
    Both pictures go through the reference's range, so that a shift of values is seen
    and not normalised away; where their files store other types of numbers (8 bits
    against 16), each goes through its own, unless that was found in its own pixels. A
    grey picture compared with a colour one counts as R = G = B.
    """
    kind = modality or (None if image.modality == Modality.UNKNOWN else image.modality)
    if reference is not None:
        _check_sizes(image, reference)
        image = on_range_of(image, reference)
    totals: dict[str, list[float]] = {name: [] for name in metrics}
    for frame in range(image.frames):
        mask = None if region is None else region[min(frame, len(region) - 1)]
        if mask is not None and not mask.any():
            continue
        pair = [_numbers(image, frame, mask)]
        if reference is not None:
            pair.append(_numbers(reference, frame, mask))
        pixels, white = _alike(pair)
        for name in metrics:
            totals[name].append(_figure(METRICS[name], pixels, white, mask, kind))
    return {name: _mean(values) for name, values in totals.items()}


def _check_sizes(image: Image, reference: Image) -> None:
    if (image.height, image.width) != (reference.height, reference.width):
        ways = [viewing_of(one).orientation for one in (image, reference)]
        turned = f"; Exif says they are turned, {ways[0]} and {ways[1]}"
        raise InputError(
            f"{image.width} x {image.height} pixels, its reference "
            f"{reference.width} x {reference.height}",
            path=image.source,
            hint="only pictures of one size compare"
            + (turned if ways[0] != ways[1] else ""),
        )
    if image.frames != reference.frames:
        raise InputError(
            f"{counted(image.frames, 'frame')}, its reference {reference.frames}",
            path=image.source,
        )
    if image.units != reference.units:
        one, two = (i.units or "grey levels" for i in (image, reference))
        raise InputError(
            f"in {one}, its reference in {two}",
            path=image.source,
            hint=_how_units_agree(image, reference),
        )


def _how_units_agree(image: Image, reference: Image) -> str:
    """Return what to do with a pair of which one has a unit; "" if nothing is known."""
    if image.format == "npy" and reference.units:
        return (
            "arrays whose numbers go to -50 and below are taken for these with "
            f"{spelled(modality='ct')}; of others make a file like the reference: "
            "medenh.write(array, path, like=reference)"
        )
    if {image.format, reference.format} & {"png", "jpeg", "bmp"}:
        return (
            "compare pictures made in one way: the model identity writes the other "
            "as PNG, as its window shows it"
        )
    return ""


def millimetres_apart(image: Image, reference: Image) -> float:
    """Return how far apart the headers of two files place the same voxel.

    Parameters
    ----------
    image, reference : Image
        Of one size.

    Returns
    -------
    float
        Millimetres at the corner where it is most; 0 below a tenth of a voxel, and
        where one of the files tells no place or they are of different formats, which
        count axes in different ways.
    """
    here, there = image.geometry.affine, reference.geometry.affine
    if here is None or there is None or image.format != reference.format:
        return 0.0
    sides = (image.width, image.height, image.geometry.depth or image.frames)
    corners = np.array(list(product(*((0, side - 1) for side in sides))), np.float64)
    moved = corners @ (here - there)[:3, :3].T + (here - there)[:3, 3]
    furthest = float(np.linalg.norm(moved, axis=1).max())
    steps = np.linalg.norm(there[:3, :3], axis=0)
    return furthest if furthest > 0.1 * steps.min() else 0.0


def on_range_of(image: Image, reference: Image) -> Image:
    """Return the image under the reference's range, where both store alike.

    Floats beside integers are on 0-1 or hold the reference's numbers; where they do not
    lie in 0-1, as the unclipped answers of a network, how bright they are tells which.
    """
    one, two = image.pixels.dtype, reference.pixels.dtype
    floats_beside_integers = one.kind == "f" and two.kind in "iu" and not image.units
    # a range found in the pixels would hide a shift of them; 16-bit files have depths
    found = _has_percentiles(image.unit_range) or (
        image.unit_range.guessed and one != np.uint16
    )
    no_levels = one.kind == "b" and two.kind != "b"
    if no_levels or _goes_beyond(image, two) or _are_other_numbers(image, reference):
        return image
    if not found:
        if one.kind in "iu" and two.kind in "iu" and one.itemsize != two.itemsize:
            return image
        if (one.kind == "f") != (two.kind == "f") and not image.units:
            return image
    elif floats_beside_integers and _on_unit_scale(image, reference):
        return replace(image, unit_range=UnitRange(0.0, 1.0, reason="0-1"))
    common = reference.unit_range
    if image.unit_range.inverted != common.inverted:
        common = _turned_over(common, image, reference)
    return replace(image, unit_range=common)


def _goes_beyond(image: Image, other: np.dtype[Any]) -> bool:
    """Tell whether integers that have percentiles are of more depth than a type.

    As those of a DICOM of 12 bits beside 8: its numbers are not the other's, and on the
    other's range all but its black is white.
    """
    integers = image.pixels.dtype.kind in "iu" and other.kind in "iu"
    if not integers or not _has_percentiles(image.unit_range):
        return False
    return image.unit_range.high > np.iinfo(other).max


def _are_other_numbers(image: Image, reference: Image) -> bool:
    """Tell whether one of two is a DICOM, and the other what is seen of it, rescaled.

    As a PNG whose 0 to 65535 were made of a DICOM's 12 bits, or of the part of its 16
    that a window shows. It goes beyond the DICOM's depth, but for a hundredth of the
    values, which may overshoot. Or its white is far from the DICOM's, and its brightest
    values are nearer to white than to the DICOM's, by ratio.
    """
    for made, source in ((image, reference), (reference, image)):
        told = made.pixels.dtype.kind in "iu" and not _has_percentiles(made.unit_range)
        if source.format != "dicom" or made.format == "dicom" or source.units:
            continue
        white = max(source.unit_range.high, 1.0)
        apart, limit = made.unit_range.high / white, _largest_number(source)
        if apart >= _FAR_APART:
            bright = max(_brightest(source), _BLACK * white)
            limit = min(limit, bright * math.sqrt(apart))
        return told and _brightest(made) > limit
    return False


def _largest_number(image: Image) -> float:
    """Return the largest number that a DICOM's depth holds, rescaled or not."""
    storage = image.storage
    ends = np.multiply.outer((storage.minimum, storage.maximum), storage.slope)
    return max(float((ends + storage.intercept).max()), storage.maximum)


def _turned_over(known: UnitRange, image: Image, reference: Image) -> UnitRange:
    """Return a reference's range in the numbers of a picture of the other polarity.

    The smallest number of its depth is what the largest is in the other picture: so
    DICOM's MONOCHROME1 and 2, and TIFF's WhiteIsZero, are made of each other. Where
    its file tells no depth, as NIfTI and floats, it has the reference's.
    """
    ends = _ends(image)
    if ends is None:
        ends = _ends(reference)
    if ends is None:
        ends = known.low + known.high
    return replace(
        known, low=ends - known.high, high=ends - known.low, inverted=not known.inverted
    )


def _ends(image: Image) -> float | None:
    """Return the smallest and the largest number of a picture's depth, added up.

    None where its file tells no depth, or one of each slice.
    """
    own, storage = image.unit_range, image.storage
    if "bit" in own.reason:
        return own.low + own.high
    if image.format != "dicom":
        return None
    ends = np.multiply(storage.slope, storage.minimum + storage.maximum)
    ends = np.unique(ends + 2 * np.asarray(storage.intercept))
    return float(ends[0]) if ends.size == 1 and np.isfinite(ends[0]) else None


def _on_unit_scale(image: Image, reference: Image) -> bool:
    """Tell whether a picture is as bright on 0-1 as its reference, not in its numbers.

    The nearer one by ratio: of 8 bits they are a factor of 255 apart. On 0-1 none is
    brighter than 2, so that beside a bright reference only an answer of 8 bits that is
    a hundred times too dark could be mistaken.
    """
    white = max(reference.unit_range.high, 1.0)
    least = _BLACK * white  # a black reference tells nothing
    bright = max(_brightest(reference), least)
    return _brightest(image) < min(math.sqrt(bright * (bright / white)), _TOO_BRIGHT)


def _brightest(image: Image) -> float:
    """Return what all but the brightest hundredth of the finite values lie below.

    Of about a million values, evenly spread: volumes have more.
    """
    step = image.pixels.size // _LOOKED_AT | 1  # odd, so that rows are not cut alike
    some = image.pixels.reshape(-1)[::step]
    finite = some[np.isfinite(some)]
    return max(float(np.percentile(finite, 99)), 0.0) if finite.size else 0.0


def unit_frame(image: Image, frame: int) -> FloatArray:
    """Return one frame in [0, 1], float32, shape (H, W, C)."""
    one = replace(image, pixels=image.pixels[frame : frame + 1])
    return np.ascontiguousarray(np.moveaxis(one.to_unit()[0], 0, -1))


def _numbers(
    image: Image, frame: int, mask: BoolArray | None
) -> tuple[NDArray[Any], float]:
    """Return a frame (H, W, C) and the number that is white in it."""
    pixels = image.pixels[frame]
    if pixels.dtype.kind == "f":
        inside = pixels if mask is None else pixels[mask]
        if not np.isfinite(inside).all():
            raise NonFiniteError(
                "holds NaN or infinity",
                path=image.source,
                hint=f"repair it, or measure with {spelled(region='mask')}",
            )
    plain = UnitRange(0.0, 255.0)
    limits = image.unit_range
    if pixels.dtype == np.uint8 and (limits.low, limits.high) == (0.0, 255.0):
        return (255 - pixels if limits.inverted else pixels), plain.high
    return unit_frame(image, frame), 1.0


def _alike(
    pair: list[tuple[NDArray[Any], float]],
) -> tuple[list[NDArray[Any]], float]:
    """Return frames of one scale and number of channels, and their white."""
    white = max(scale for _, scale in pair)
    channels = max(pixels.shape[2] for pixels, _ in pair)
    out = []
    for pixels, scale in pair:
        frame = pixels if scale == white else pixels * np.float32(white / scale)
        if frame.shape[2] != channels:
            frame = np.repeat(frame, channels, axis=2)
        out.append(frame)
    return out, white


def _figure(
    metric: Metric,
    pixels: list[NDArray[Any]],
    white: float,
    mask: BoolArray | None,
    modality: str | None,
) -> float:
    if metric.needs_reference and len(pixels) < 2:
        raise UsageError(f"{metric.name} compares with a reference, and there is none")
    other = pixels[1] if metric.needs_reference else None
    value = metric(pixels[0], other, data_range=white, mask=mask, modality=modality)
    return min(value, PSNR_CAP_DB) if metric.unit == "dB" else value


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else None
