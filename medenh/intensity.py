"""Units <-> [0, 1]: the only place that knows both. Always invertible.

A model sees `to_unit(pixels)`. What it changed there is added to the native pixels
(`from_unit`), so that values outside the range and digits beyond float32 survive, and
a model that changes nothing gives back the file's own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.errors import InputError, UsageError, spelled
from medenh.types import FloatArray, Image, Storage, UnitRange

__all__ = [
    "NO_AIR_HU",
    "SOFT_TISSUE_HU",
    "array_range",
    "bit_depth_range",
    "cut_off_share",
    "dim_volumes",
    "float_range",
    "from_unit",
    "lies_in_unit",
    "may_be_hounsfield",
    "on_grid",
    "percentile_range",
    "soft_tissue_range",
    "to_stored",
    "to_unit",
    "told_bits",
    "told_range",
    "volumes_range",
    "without_holes",
]

SOFT_TISSUE_HU = (-160.0, 240.0)  # the window 40 / 400 of abdomen and chest
NO_AIR_HU = -1500.0  # below what noise makes of air: padding [C]

_FAT_HU = -50  # any part of the body has some below

_BLOCK = 262_144  # values converted at a time: memory of that size is used again
_SAMPLE = 2_000_000  # values looked at for percentiles: enough, and bounded
_SAMPLE_OF_MANY = 200_000  # of each of many volumes, at the least
_COUNTED = 2**16  # of them at a time: what is in the cache is counted quickly
_DEPTHS = (8, 10, 12, 14, 16)  # bits of the detectors and converters in use
_DEEPEST = (1 << _DEPTHS[-1]) - 1
_ROUNDING = 0.01  # resampled pictures pass 0 and 1 by this much anywhere
_OVERSHOOT = 0.25  # and by this much in a few values
_PERCENTILES = "percentiles 0.5-99.5"
_DIM = 8.0  # [measured] times that the brightest volume may be brighter
_TINY = 0.05  # no picture on a scale of 0-1 stays below it


def to_unit(pixels: NDArray[Any], unit_range: UnitRange) -> FloatArray:
    """Map native pixels to [0, 1].

    Parameters
    ----------
    pixels : array, shape (frames, height, width, channels), native units
    unit_range : UnitRange
        Native values that become 0 and 1; values outside are clipped.

    Returns
    -------
    float32 array, shape (frames, channels, height, width), in [0, 1]
        Contiguous. NaN becomes 0; 1 where the range is inverted.
    """
    low, high = unit_range.low, unit_range.high
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 1))
    unit: NDArray[Any]
    if planes.dtype.kind in "iu" and planes.dtype.itemsize <= 2:
        unit = planes.astype(np.float32)
    else:
        # float32 would lose the digits of large offsets before they are subtracted
        with np.errstate(invalid="ignore"):  # a signalling NaN warns
            unit = planes.astype(np.float64)
    unit -= low
    unit /= high - low
    np.clip(unit, 0.0, 1.0, out=unit)
    if unit.dtype != np.float32:
        np.nan_to_num(unit, copy=False, nan=0.0)
        unit = unit.astype(np.float32)
    if unit_range.inverted:
        np.subtract(1.0, unit, out=unit)
    return unit


def from_unit(image: Image, enhanced: FloatArray) -> NDArray[Any]:
    """Add what a model changed to an image's native pixels.

    Parameters
    ----------
    image : Image
        The image the model was given.
    enhanced : float32 array, shape (frames, channels, height, width), in [0, 1]
        The model's answer.

    Returns
    -------
    array, same shape and type as ``image.pixels``
        On the grid of values the file can store, inside its limits; frozen pixels,
        and those of CT that are below all air, are untouched. Where ``unit_range`` is
        0-1, values in it stay in it exactly.
    """
    out = np.empty_like(image.pixels)
    rows = max(1, _BLOCK // (image.width * image.channels))
    for frame in range(image.frames):
        for top in range(0, image.height, rows):
            part = np.s_[frame : frame + 1, top : top + rows]
            answer = enhanced[frame : frame + 1, :, top : top + rows]
            piece = replace(
                image,
                pixels=image.pixels[part],
                storage=image.storage.of(part[0]),
                frozen=None if image.frozen is None else image.frozen[part],
                alpha=None,
            )
            out[part] = _add_change(piece, answer)
    return out


def _add_change(image: Image, enhanced: FloatArray) -> NDArray[Any]:
    """Do `from_unit` for some rows of one frame, so that copies stay small."""
    pixels, unit_range = image.pixels, image.unit_range
    change = enhanced - to_unit(pixels, unit_range)
    if unit_range.inverted:
        np.negative(change, out=change)
    moved = np.moveaxis(change, 1, -1)
    wide = pixels.dtype.itemsize > 2 or pixels.dtype.kind == "f"
    native: NDArray[Any] = pixels.astype(np.float64 if wide else np.float32)
    native += moved * np.asarray(unit_range.high - unit_range.low, native.dtype)
    if (unit_range.low, unit_range.high) == (0.0, 1.0):
        # rounding must not pass limits that other programs hold floats to
        inside = (pixels >= 0.0) & (pixels <= 1.0)
        np.clip(native, 0.0, 1.0, out=native, where=inside)
    out = on_grid(native, pixels.dtype, image.storage)
    keep = ~np.any(moved, axis=-1)
    if image.frozen is not None:
        keep |= image.frozen
    if image.units == "HU":  # padding that no header tells
        keep |= (pixels < NO_AIR_HU).all(axis=-1)
    out[keep] = pixels[keep]
    return out


def on_grid(
    native: NDArray[Any], dtype: np.dtype[Any], storage: Storage
) -> NDArray[Any]:
    """Return native values rounded and clipped to what the file can store.

    Parameters
    ----------
    native : array, native units
    dtype : numpy dtype
        Type of the result: that of the native pixels of such a file.
    storage : Storage
        Type, slope, intercept and limits of the file.
    """
    if storage.dtype.kind == "f":
        return _in_floats(native, dtype)
    stored = (native - storage.intercept) / storage.slope
    np.rint(stored, out=stored)
    np.clip(stored, storage.minimum, storage.maximum, out=stored)
    return (stored * storage.slope + storage.intercept).astype(dtype)


def _in_floats(native: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return values in a type of floats; none becomes infinite that was not."""
    with np.errstate(over="ignore"):
        out = native.astype(dtype)
    spilled = np.isinf(out)
    if spilled.any():
        spilled &= np.isfinite(native)
        out[spilled] = np.copysign(np.finfo(dtype).max, native[spilled])
    return out


def cut_off_share(before: Image, after: Image) -> float:
    """Return the share of values newly at a limit of the file short of white or black.

    Parameters
    ----------
    before, after : Image
        Of equal shape, range and storage.

    Returns
    -------
    float
        0 unless frames have rescales of their own, as slices of PET: the largest value
        that such a one can store is often the brightest in the slice, however dim.
    """
    slope, intercept = after.storage.slope, after.storage.intercept
    if not isinstance(slope, np.ndarray) or not isinstance(intercept, np.ndarray):
        return 0.0
    stored = np.array([after.storage.minimum, after.storage.maximum])
    lost = 0
    for index in range(after.frames):
        step = float(slope[index, 0, 0, 0])
        low, high = np.sort(stored * step + float(intercept[index, 0, 0, 0]))
        old, new, near = before.pixels[index], after.pixels[index], abs(step) / 2
        if high < after.unit_range.high:
            lost += int(((new > high - near) & (old <= high - near)).sum())
        if low > after.unit_range.low:
            lost += int(((new < low + near) & (old >= low + near)).sum())
    return lost / after.pixels.size


def to_stored(pixels: NDArray[Any], storage: Storage) -> NDArray[Any]:
    """Return native pixels as the numbers a file stores.

    Parameters
    ----------
    pixels : array, shape (frames, height, width, channels), native units
    storage : Storage
        Type, slope, intercept and limits of the file.

    Returns
    -------
    array of ``storage.dtype``, same shape
    """
    if storage.is_plain and pixels.dtype == storage.dtype:
        return pixels
    out = np.empty(pixels.shape, storage.dtype)
    for frame in range(len(pixels)):  # wide numbers of a whole volume take much memory
        part = slice(frame, frame + 1)
        out[part] = _frame_to_stored(pixels[part], storage.of(part))
    return out


def _frame_to_stored(pixels: NDArray[Any], storage: Storage) -> NDArray[Any]:
    stored = (pixels.astype(np.float64) - storage.intercept) / storage.slope
    if storage.dtype.kind == "f":
        return stored.astype(storage.dtype)
    np.rint(stored, out=stored)
    return np.clip(stored, storage.minimum, storage.maximum).astype(storage.dtype)


def bit_depth_range(
    pixels: NDArray[Any], *, inverted: bool = False, top: int = 0
) -> UnitRange:
    """Return the range of an integer picture: its bit depth, seen from its values.

    8-bit pictures are 0-255. Others that are never negative have the smallest usual
    depth (8, 10, 12, 14 or 16 bits) that holds their largest value, whatever their
    type: detectors of fewer bits are stored in 16, and an 8-bit picture is one in int64
    too. Signed types have no white above their own largest value. Negative integers and
    what is deeper than 16 bits (Hounsfield units, sums) have no natural white: their
    percentiles are used.

    Parameters
    ----------
    pixels : array of integers or booleans
    inverted : bool
        True where larger values are darker.
    top : int
        Largest value that the file says it may hold, where it says so. The range
        covers it too.
    """
    if pixels.dtype == np.uint8:
        return UnitRange(0.0, 255.0, inverted, "8-bit")
    if pixels.dtype == np.bool_:
        return UnitRange(0.0, 1.0, inverted, "1-bit")
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > _DEEPEST:
        return percentile_range(pixels, inverted=inverted)
    known = top if top <= _DEEPEST else 0
    return _smallest_depth(pixels, inverted=inverted, top=known)


def _smallest_depth(
    pixels: NDArray[Any], *, inverted: bool = False, top: int = 0
) -> UnitRange:
    highest = max(top, int(pixels.max(initial=0)))
    bits = next((bits for bits in _DEPTHS if highest < 1 << bits), 16)
    if guessed := not 0 < top == highest:
        whole = 8 * pixels.dtype.itemsize
        reason = f"{bits}-bit" if bits == whole else f"{bits} bits in {whole}"
    else:
        reason = f"{bits} bits, told"
    white = min((1 << bits) - 1, int(np.iinfo(pixels.dtype).max))
    return UnitRange(0.0, float(white), inverted, reason, guessed)


def array_range(pixels: NDArray[Any]) -> UnitRange:
    """Return the range of an array, which no header describes: seen from its values.

    Parameters
    ----------
    pixels : array of integers, floats or booleans
        See `float_range` and `bit_depth_range`.
    """
    if pixels.dtype.kind == "f":
        return float_range(pixels)
    return bit_depth_range(pixels)


def told_range(limits: Sequence[float]) -> UnitRange:
    """Return the range that the caller says, ``data_range``.

    Raises
    ------
    UsageError
        It is no pair of finite numbers, the lower one first.
    """
    try:
        low, high = (float(one) for one in limits)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite([low, high]).all() and low < high):
        raise UsageError(
            f"data_range must be two numbers, the lower one first, not {limits!r}",
            hint="data_range=(0, 255): the values that are black and white",
        )
    return UnitRange(low, high, reason="told")


def told_bits(image: Image, bits: int) -> Image:
    """Return a picture with the bit depth that the user says, where it was guessed.

    Raises
    ------
    InputError
        Its values go beyond that depth.
    """
    known = image.unit_range
    if not known.guessed:
        return image
    top = float((1 << bits) - 1)
    highest = image.pixels.max(initial=0)
    if highest > top:
        raise InputError(
            f"its values go up to {highest:g}, and {bits} bits end at {top:g}",
            path=image.source,
            hint=f"{spelled(bits=16)}, or leave it out",
        )
    return replace(
        image, unit_range=UnitRange(0.0, top, known.inverted, f"{bits} bits, told")
    )


def float_range(pixels: NDArray[Any], *, inverted: bool = False) -> UnitRange:
    """Return the range of a picture of floats, seen from its values.

    0-1 where they lie in it, but for rounding and the overshoot of resampling at a few
    edges; 0-255 for whole numbers up to there, which are 8-bit pictures converted. All
    others, tiny physical units (an ADC map in mm²/s) among them, have no natural
    white: their percentiles are used.
    """
    finite = pixels[np.isfinite(pixels)]
    highest = float(finite.max(initial=-np.inf))
    if highest >= _TINY and lies_in_unit(finite):
        return UnitRange(0.0, 1.0, inverted, "0-1")
    whole = 1.0 < highest <= 255.0 and finite.min() >= 0.0
    if whole and np.array_equal(finite, np.rint(finite)):
        return UnitRange(0.0, 255.0, inverted, "8-bit in float")
    return percentile_range(pixels, inverted=inverted)


def lies_in_unit(finite: NDArray[Any]) -> bool:
    """Tell whether values lie in 0-1, but for rounding and rare overshoot.

    Parameters
    ----------
    finite : array of any shape, without NaN and infinity; not empty
    """
    lowest, highest = float(finite.min()), float(finite.max())
    if lowest >= -_ROUNDING and highest <= 1.0 + _ROUNDING:
        return True
    if lowest < -_OVERSHOOT or highest > 1.0 + _OVERSHOOT:
        return False
    outside = np.count_nonzero((finite < 0.0) | (finite > 1.0))
    return bool(outside <= 0.001 * finite.size)


def soft_tissue_range(*, inverted: bool = False) -> UnitRange:
    """Return the range of CT in Hounsfield units whose file names no window."""
    return UnitRange(*SOFT_TISSUE_HU, inverted, "soft tissue")


def may_be_hounsfield(pixels: NDArray[Any]) -> bool:
    """Tell whether numbers of CT can be Hounsfield units: some are below those of fat.

    Numbers of 8 bits cannot, nor can those that were shifted so that air is 0.
    """
    finite = pixels if pixels.dtype.kind in "iu" else pixels[np.isfinite(pixels)]
    return pixels.dtype.itemsize >= 2 and bool(finite.min(initial=0) <= _FAT_HU)


def percentile_range(
    pixels: NDArray[Any], *, inverted: bool = False, sample: int = _SAMPLE
) -> UnitRange:
    """Return the range between the percentiles 0.5 and 99.5 of the foreground.

    Background is the most frequent value at the dark end when it fills more than a
    tenth (the air of MRI, padding); it is left out, so that a small object in a large
    field is not darkened. Constant pixels get a range of one unit, or more where
    float64 tells no units apart.
    """
    flat = pixels.reshape(-1)
    if flat.size > sample:
        flat = flat[:: -(-flat.size // sample)]
    percentiles: Callable[[NDArray[Any], list[float]], Any] = np.percentile
    if flat.dtype.kind in "iu" and flat.dtype.itemsize <= 2:
        flat, percentiles = _in_order(flat), _percentiles_in_order
    else:
        flat = flat[np.isfinite(flat)].astype(np.float64)
    if flat.size == 0:
        return UnitRange(0.0, 1.0, inverted, "empty")
    floor = flat.min()
    body = flat[flat > floor]
    if body.size == 0:
        above = max(float(floor) + 1.0, float(np.nextafter(float(floor), np.inf)))
        return UnitRange(float(floor), above, inverted, "constant")
    if body.size < 0.9 * flat.size:
        lower, (upper,) = floor, percentiles(body, [99.5])
    else:
        lower, upper = percentiles(flat, [0.5, 99.5])
    if upper <= lower:
        lower, upper = floor, flat.max()
    return UnitRange(float(lower), float(upper), inverted, _PERCENTILES)


def volumes_range(
    pixels: NDArray[Any],
    depth: int | None,
    *,
    frozen: NDArray[np.bool_] | None = None,
    inverted: bool = False,
) -> UnitRange:
    """Return the least range that holds the `percentile_range` of every volume.

    Percentiles of all volumes together would cut off a bright one among many: of
    diffusion MRI the volume without weighting.

    Parameters
    ----------
    pixels : array, shape (frames, height, width, channels), native units
    depth : int or None
        Frames of one volume, of volumes that follow one another; None of a single one.
        Volumes of one value throughout have no say, unless all are.
    frozen : boolean array, shape (frames, height, width), optional
        Pixels that are left out.
    inverted : bool
        True where larger values are darker.
    """
    told = [one for one in _ranges(pixels, depth, frozen) if one.reason == _PERCENTILES]
    if not told:
        body = pixels if frozen is None else pixels[~frozen]
        return percentile_range(body, inverted=inverted)
    low, high = min(one.low for one in told), max(one.high for one in told)
    return UnitRange(low, high, inverted, _PERCENTILES)


def _ranges(
    pixels: NDArray[Any], depth: int | None, frozen: NDArray[np.bool_] | None
) -> Iterator[UnitRange]:
    """Yield the `percentile_range` of every volume; of all frames if they are none."""
    frames = len(pixels)
    if depth is None or frames % depth:
        depth = frames
    sample = max(_SAMPLE * depth // frames, _SAMPLE_OF_MANY)
    for first in range(0, frames, depth):
        part = np.s_[first : first + depth]
        body = pixels[part] if frozen is None else pixels[part][~frozen[part]]
        yield percentile_range(body, sample=sample)


def dim_volumes(image: Image) -> int:
    """Return how many volumes of an image use next to nothing of its range.

    They end in the lowest eighth of a range that is that of all volumes
    (`volumes_range`), for one that is much brighter. Volumes of one value throughout
    do not count.

    Notes
    -----
    [measured] Of two MR volumes with Rician noise that share a range, the dim one keeps
    .5 to .9 of its error after `denoise-mri` where both are as bright, .65 to 1.0 where
    the other is 8 times brighter, .9 to 2 at 32 times and 1.5 to 4 at 64.
    """
    known, depth = image.unit_range, image.geometry.depth
    shared = known.reason == _PERCENTILES and not known.inverted
    if not shared or depth is None or image.frames <= depth:
        return 0
    most = known.low + (known.high - known.low) / _DIM
    found = _ranges(image.pixels, depth, image.frozen)
    return sum(one.reason == _PERCENTILES and one.high < most for one in found)


def without_holes(frame: NDArray[Any]) -> NDArray[Any]:
    """Return a frame with holes of NaN and infinity filled by the nearest value.

    Black there would pull at what lies around it. What reaches the edge of the frame is
    a surround, black as air, and stays: values drawn out over it would deceive what
    measures noise or light.

    Parameters
    ----------
    frame : array, shape (height, width, channels)

    Returns
    -------
    array, same shape
        The frame itself where there is no hole in it.
    """
    if frame.dtype.kind != "f":
        return frame
    unknown = ~np.isfinite(frame).all(axis=-1)
    if not unknown.any() or unknown.all():
        return frame
    return _filled(frame, unknown)


def _filled(frame: NDArray[Any], unknown: NDArray[np.bool_]) -> NDArray[Any]:
    """Return (height, width, channels) with the nearest value in enclosed holes."""
    from scipy import ndimage

    parts, count = ndimage.label(unknown, np.ones((3, 3), bool))  # corners join, too
    edges = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    enclosed = np.ones(count + 1, bool)
    enclosed[0] = enclosed[edges] = False
    holes = enclosed[parts]
    if not holes.any():
        return frame
    # what is nearest to a hole lies beside it
    rows, columns = (
        slice(max(0, int(at.min()) - 1), int(at.max()) + 2) for at in np.nonzero(holes)
    )
    part, holes = frame[rows, columns], holes[rows, columns]
    nearest = ndimage.distance_transform_edt(
        unknown[rows, columns], return_distances=False, return_indices=True
    )
    filled = frame.copy()
    known = np.isfinite(part[holes])  # channels of their own
    filled[rows, columns][holes] = np.where(
        known, part[holes], part[tuple(nearest[:, holes])]
    )
    return filled


def _in_order(flat: NDArray[Any]) -> NDArray[Any]:
    """Return integers of at most 16 bits sorted: by counting, quicker than a sort."""
    lowest = np.iinfo(flat.dtype).min
    values = np.arange(lowest, np.iinfo(flat.dtype).max + 1, dtype=np.int32)
    counts = np.zeros(values.size, np.intp)
    for first in range(0, flat.size, _COUNTED):
        numbers = flat[first : first + _COUNTED].astype(np.intp)
        counts += np.bincount(numbers - lowest, minlength=counts.size)
    return np.repeat(values.astype(flat.dtype), counts)


def _percentiles_in_order(
    ordered: NDArray[Any], shares: Sequence[float]
) -> list[float]:
    """Return percentiles of sorted values as numpy does, between two if need be."""
    found = []
    for share in shares:
        place = (ordered.size - 1) * share / 100.0
        below = int(place)
        first, last = (float(one) for one in ordered[below : below + 2][[0, -1]])
        found.append(first + (last - first) * (place - below))
    return found
