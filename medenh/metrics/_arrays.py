"""What every metric checks before it measures, and how it walks over an image.

Images are neither copied nor converted as a whole: a strip of rows at a time becomes
float64, so that twelve megapixels need some megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.arrays import is_pillow, unmasked
from medenh.colour import luma, strips
from medenh.errors import NonFiniteError, UsageError
from medenh.types import FloatArray, Image

__all__ = [
    "ROUNDING",
    "BoolArray",
    "checked_image",
    "checked_mask",
    "checked_pair",
    "checked_range",
    "reduced_lumas",
    "row_strips",
    "unit_luma",
]

BoolArray = NDArray[np.bool_]

ROUNDING = 1e-3  # outside [0, 1] by so little is arithmetic, not another unit
_GIVE = "give data_range=, from the darkest to the brightest value possible"
_MOST_PIXELS = 2_000_000  # of planes that are held as floats
_STRIP_PIXELS = 1 << 15  # a handful of float64 strips stays in the cache


def checked_image(image: NDArray[Any], *, finite: bool = True) -> NDArray[Any]:
    """Return a picture with a channel axis, shape (H, W, C), its numbers untouched.

    Raises
    ------
    UsageError
        The shape, or the type of the numbers, is not that of a picture, or some
        values are masked (`numpy.ma`).
    NonFiniteError
        It holds NaN or infinity, and ``finite`` asks for a check.
    """
    pixels = _plain(image)
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise UsageError(
            f"a picture of shape {pixels.shape} cannot be measured",
            hint="(height, width) or (height, width, channels); of a batch or a volume "
            "each picture by itself",
        )
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3):
        hint = "1 or 3"
        if pixels.shape[0] in (1, 3):
            hint += ", last: give array.transpose(1, 2, 0) of an array (C, H, W), and "
            hint += "tensor.permute(1, 2, 0) of a tensor"
        raise UsageError(f"{pixels.shape[2]} channels cannot be measured", hint=hint)
    if pixels.dtype.kind not in "buif":
        raise UsageError(f"pixels of type {pixels.dtype} cannot be measured")
    out = pixels if pixels.ndim == 3 else pixels[..., None]
    if finite and pixels.dtype.kind == "f":
        for rows in row_strips(out.shape):
            _refuse_non_finite(out[rows])
    return out


def checked_pair(
    image: NDArray[Any], reference: NDArray[Any], *, finite: bool = True
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two pictures of one shape as `checked_image` does.

    Raises
    ------
    UsageError
        The shapes differ, or one is not a picture.
    NonFiniteError
        One of them holds NaN or infinity.
    """
    image, reference = _plain(image), _plain(reference)
    if image.shape != reference.shape:
        raise UsageError(
            f"pictures of shapes {image.shape} and {reference.shape} do not compare",
            hint="both must have the same size and channels",
        )
    return (
        checked_image(image, finite=finite),
        checked_image(reference, finite=finite),
    )


def _plain(image: Any) -> NDArray[Any]:
    """Return an array; refuse pictures whose range of values the caller must choose."""
    if isinstance(image, Image):
        raise UsageError(
            "metrics measure arrays, not a medenh.Image",
            hint="give numpy.moveaxis(image.to_unit()[0], 0, -1), with data_range=1, "
            "or image.pixels[0] with the range of its units",
        )
    if is_pillow(image):
        raise UsageError(
            "metrics measure arrays, not a PIL image",
            hint="give numpy.asarray(image), with data_range=255 for 8 bits",
        )
    return unmasked(image)


def _refuse_non_finite(values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise NonFiniteError("a picture to measure holds NaN or infinity")


def checked_range(data_range: float | None, *pictures: NDArray[Any]) -> float:
    """Return the range of values: the one given, or that of the pictures' type.

    Raises
    ------
    UsageError
        It is not a positive number; or none is given, and the types do not tell it.
    """
    if data_range is None:
        ranges = {_range_of(pixels) for pixels in pictures}
        if len(ranges) == 1:
            return ranges.pop()
        types = " and ".join(str(pixels.dtype) for pixels in pictures)
        raise UsageError(f"pictures of {types} have no range in common", hint=_GIVE)
    if not (np.isfinite(data_range) and data_range > 0):
        raise UsageError(f"data_range={data_range} must be a positive number")
    return float(data_range)


def _range_of(pixels: NDArray[Any]) -> float:
    """Return the range that goes with the type of a picture's numbers."""
    kind, size = pixels.dtype.kind, pixels.dtype.itemsize
    if kind == "b":
        return 1.0
    if kind == "u" and size <= 2:
        return float(np.iinfo(pixels.dtype).max)
    if kind != "f":
        raise UsageError(f"{pixels.dtype} does not tell the data range", hint=_GIVE)
    low, high = float(pixels.min()), float(pixels.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise UsageError(
            f"floats from {low:g} to {high:g} are not in [0, 1], and do not tell the "
            "data range",
            hint=_GIVE,
        )
    return 1.0


def checked_mask(mask: NDArray[Any] | None, shape: tuple[int, ...]) -> BoolArray | None:
    """Return the region to measure, shape (H, W); None where that is all.

    Raises
    ------
    UsageError
        Its shape is another, or nothing is in it.
    """
    if mask is None:
        return None
    region = unmasked(mask).astype(bool)
    if region.shape != tuple(shape[:2]):
        raise UsageError(
            f"the mask's shape {region.shape} is not the picture's {tuple(shape[:2])}"
        )
    if not region.any():
        raise UsageError("the mask is empty: nothing lies inside")
    return None if region.all() else region


def row_strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Return slices of rows of a size that the cache holds."""
    yield from strips(shape[0], shape[1], pixels=_STRIP_PIXELS)


def reduced_lumas(
    image: NDArray[Any],
    reference: NDArray[Any],
    data_range: float | None,
    mask: NDArray[Any] | None,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return both lumas over the data range, and the region, shape (H, W).

    Of images of more than two megapixels the means of blocks; a block is in the region
    where half of it is.

    Raises
    ------
    UsageError, NonFiniteError
        As `checked_pair`, `checked_range` and `checked_mask`.
    """
    white = checked_range(data_range, *checked_pair(image, reference))
    one, other = unit_luma(image, white), unit_luma(reference, white)
    region = checked_mask(mask, one.shape)
    factor = int(np.ceil(np.sqrt(one.size / _MOST_PIXELS)))
    one, other = _averaged(one, factor), _averaged(other, factor)
    if region is None:
        return one, other, np.ones(one.shape, bool)
    return one, other, _averaged(region.astype(np.float32), factor) >= 0.5


def _averaged(plane: FloatArray, factor: int) -> FloatArray:
    """Return means of blocks; what is over at the end is left out."""
    if factor == 1:
        return plane
    rows, columns = (side // factor for side in plane.shape)
    cut = plane[: rows * factor, : columns * factor]
    means: FloatArray = cut.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    return means


def unit_luma(image: NDArray[Any], data_range: float | None) -> FloatArray:
    """Return the luma of a picture over its data range, float32, shape (H, W).

    Raises
    ------
    UsageError, NonFiniteError
        As `checked_image` and `checked_range`.
    """
    pixels = checked_image(image)
    scale = 1.0 / checked_range(data_range, pixels)
    plane = np.empty(pixels.shape[:2], np.float32)
    for rows in row_strips(pixels.shape):
        plane[rows] = luma(pixels[rows].astype(np.float64)) * scale
    return plane
