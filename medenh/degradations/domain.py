"""Image <-> the numbers operators work on, see `Scene.domain`.

What an operator changed is added to the native pixels, so that untouched pixels keep
their value bit for bit, HU stay HU, and depth, slope and limits of the file hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.degradations.operator import Domain
from medenh.formats.array import plain_storage
from medenh.types import FloatArray, Image, Modality, Storage

__all__ = [
    "clip_to_domain",
    "from_domain",
    "in_hounsfield",
    "scale_for",
    "to_domain",
]

_TWELVE_BITS, _OFFSET_HU = 4095.0, 1024.0
_AIR_HU = -1000.0


def scale_for(image: Image, domain: Domain) -> tuple[float, float]:
    """Return the native values that are 0 and 1 of a domain.

    "display": the picture's own range, widened to all its values, except the window
    of CT in HU, to which it is clipped as a viewer would. "hu": HU themselves; levels
    of a CT picture without units are HU + 1024 where it has 12 bits in 16, as such
    slices are commonly stored, else a soft-tissue window [C]. "magnitude": 0
    and the brightest tissue (99.5th percentile of the foreground) [C].

    Frozen pixels say nothing of the range: padding lies far outside it.
    """
    if domain == "hu":
        if image.units == "HU":
            return 0.0, 1.0
        if image.pixels.dtype == np.uint16 and image.unit_range.high == _TWELVE_BITS:
            return _OFFSET_HU, _OFFSET_HU + 1.0
        black, white = image.unit_range.low, image.unit_range.high
        lowest, highest = intensity.SOFT_TISSUE_HU
        per_hu = (white - black) / (highest - lowest)
        zero = black - lowest * per_hu
        return zero, zero + per_hu
    if domain == "magnitude":
        brightest = intensity.percentile_range(_measured(image)).high
        return 0.0, brightest if brightest > 0 else 1.0
    low, high = image.unit_range.low, image.unit_range.high
    whole = image.pixels.dtype == np.uint8 and (low, high) == (0.0, 255.0)
    if image.units == "HU" or whole:
        return low, high
    measured = _measured(image)
    finite = measured[np.isfinite(measured)]
    if finite.size:
        low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return low, high


def in_hounsfield(image: Image) -> Image:
    """Return a picture for recipes of CT as Hounsfield units, where it may hold these.

    NIfTI, TIFF and npy do not say it, and too little air to tell it by is in a part of
    a slice. DICOM says it.
    """
    kinds = (Modality.UNKNOWN, Modality.CT)
    unsaid = image.units == "" and image.format != "dicom" and image.modality in kinds
    if not unsaid or image.channels > 1 or image.unit_range.inverted:
        return image
    if not intensity.may_be_hounsfield(image.pixels):
        return image
    return replace(image, units="HU", unit_range=intensity.soft_tissue_range())


def _measured(image: Image) -> NDArray[Any]:
    return image.pixels if image.frozen is None else image.pixels[~image.frozen]


def to_domain(image: Image, domain: Domain, scale: tuple[float, float]) -> FloatArray:
    """Return the pixels in a domain, float32, shape (F, H, W, C).

    Holes of NaN and infinity get the nearest value, see `intensity.without_holes`. What
    reaches the edge of a frame is black, in HU air.
    """
    low, high = scale
    wide = image.pixels.dtype.itemsize > 2
    kind = np.float64 if wide else np.float32
    values: NDArray[Any] = np.empty(image.pixels.shape, kind)
    for index, frame in enumerate(image.pixels):
        values[index] = intensity.without_holes(frame)
    values -= low
    values /= high - low
    if domain == "display" and image.unit_range.inverted:
        np.subtract(1.0, values, out=values)
    if image.pixels.dtype.kind == "f":
        values[~np.isfinite(values)] = _AIR_HU if domain == "hu" else 0.0
    return clip_to_domain(values.astype(np.float32, copy=False), domain)


def from_domain(
    image: Image, degraded: FloatArray, domain: Domain, scale: tuple[float, float]
) -> Image:
    """Return the image with its pixels changed as its numbers in the domain were.

    Parameters
    ----------
    image : Image
        The picture before.
    degraded : float32 array, shape (F, H, W, C)
        What became of ``to_domain(image, domain, scale)``.
    domain, scale
        As given to `to_domain`.

    Returns
    -------
    Image
        Of wider storage where the file scales its integers to its own values, so that
        brighter ones would be cut off.
    """
    low, high = scale
    room = _with_room(image)
    sign = -1.0 if domain == "display" and image.unit_range.inverted else 1.0
    out = np.empty_like(image.pixels)
    for frame in range(image.frames):
        only = slice(frame, frame + 1)
        one = replace(image, pixels=image.pixels[only], storage=room.of(only))
        before = to_domain(one, domain, scale)[0]
        change = degraded[frame].astype(np.float64) - before
        if domain == "display":  # values outside the window were clipped to it
            clipped = np.clip(one.pixels[0].astype(np.float64), low, high)
        else:
            clipped = one.pixels[0].astype(np.float64)
        native = clipped + change * (sign * (high - low))
        _cut_rounding(native, clipped, domain, scale)
        moved = intensity.on_grid(native[None], image.pixels.dtype, one.storage)[0]
        # any(axis=-1) is slow over so short an axis
        keep = np.logical_and.reduce([c == 0 for c in np.moveaxis(change, -1, 0)])
        if image.frozen is not None:
            keep |= image.frozen[frame]
        moved[keep] = one.pixels[0][keep]
        out[frame] = moved
    fits = room is image.storage or _fits(out, image.storage)
    return replace(image, pixels=out, storage=image.storage if fits else room)


def _with_room(image: Image) -> Storage:
    """Return storage of 32 bits for integers of NIfTI on a scale of their own.

    Programs that save floats so (nibabel, FSL) give the largest value the largest
    integer: noise and shading could not pass it. In 32 bits all numbers stay as stored.
    """
    storage = image.storage
    short = storage.dtype.kind in "iu" and storage.dtype.itemsize <= 2
    if image.format != "nifti" or storage.is_plain or not short:
        return storage
    wide = plain_storage(np.dtype(np.int32))
    return replace(wide, slope=storage.slope, intercept=storage.intercept)


def _fits(pixels: NDArray[Any], storage: Storage) -> bool:
    ends = (np.array([pixels.min(), pixels.max()]) - storage.intercept) / storage.slope
    stored = np.rint(ends)
    return bool(stored.min() >= storage.minimum and stored.max() <= storage.maximum)


def _cut_rounding(
    native: NDArray[Any],
    before: NDArray[Any],
    domain: Domain,
    scale: tuple[float, float],
) -> None:
    """Keep rounding from passing the limits of [0, 1] and of magnitudes, in place."""
    if domain == "display" and scale == (0.0, 1.0):
        np.clip(native, 0.0, 1.0, out=native)
    elif domain == "magnitude":
        np.maximum(native, 0.0, out=native, where=before >= 0.0)


def clip_to_domain(pixels: FloatArray, domain: Domain) -> FloatArray:
    """Return pixels inside the limits of a domain (in place where it can)."""
    if domain == "display":
        return np.clip(pixels, np.float32(0.0), np.float32(1.0), out=pixels)
    if domain == "magnitude":
        return np.maximum(pixels, np.float32(0.0), out=pixels)
    return pixels
