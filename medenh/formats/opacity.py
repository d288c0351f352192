"""Opacity: which value is opaque, other types, and colours multiplied by it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.formats.array import plain_storage
from medenh.types import Image, UnitRange

__all__ = ["as_type", "multiplied", "straight"]

_GUESSED = ("percentiles", "constant", "empty")  # ranges that are no scale
_ROUNDING = 0.01


def as_type(image: Image, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return an image's opacity in unsigned integers, the largest of which is opaque.

    Unsigned integers of at most 16 bits are opaque at their largest value, all others
    where the picture is white.
    """
    alpha = image.alpha
    if alpha is None or alpha.dtype == dtype:
        return alpha
    share = alpha.astype(np.float64) / _opaque(alpha, image.unit_range)
    np.nan_to_num(share, copy=False, nan=0.0)
    levels: NDArray[Any] = np.rint(np.clip(share, 0.0, 1.0) * np.iinfo(dtype).max)
    return levels.astype(dtype)


def straight(pixels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Return colours that were multiplied by their opacity as they are without it.

    Parameters
    ----------
    pixels : array, shape (frames, height, width, channels)
    alpha : array, shape (frames, height, width)
        Of the same type. Where it is 0 colours stay as they are.
    """
    out = np.empty_like(pixels)
    whole = _opaque(alpha)
    for plain, colours, veil in zip(out, pixels, alpha, strict=True):
        seen = np.where(veil > 0, veil, whole).astype(np.float64)[..., None]
        plain[:] = _of_type(colours * (whole / seen), pixels.dtype)
    return out


def multiplied(
    pixels: NDArray[Any], alpha: NDArray[Any], before: NDArray[Any]
) -> NDArray[Any]:
    """Return colours multiplied by their opacity.

    Parameters
    ----------
    pixels, alpha : array
        As `straight` returns and takes them.
    before : array
        Multiplied colours that `straight` was given: where what it made of them has
        not changed they come back to the bit.
    """
    out = np.empty_like(pixels)
    whole = _opaque(alpha)
    for veiled, colours, veil in zip(out, pixels, alpha, strict=True):
        share = np.clip(veil.astype(np.float64) / whole, 0.0, 1.0)[..., None]
        veiled[:] = _of_type(colours * share, pixels.dtype)
    if before.shape == pixels.shape and before.dtype == pixels.dtype:
        same = _bits(straight(before, alpha)) == _bits(pixels)
        np.copyto(out, before, where=same)
    return out


def _opaque(alpha: NDArray[Any], scale: UnitRange | None = None) -> float:
    """Return the opaque value: of a picture's scale, where its own type tells none."""
    if alpha.dtype.kind == "b":
        return 1.0
    if alpha.dtype.kind == "u" and alpha.dtype.itemsize <= 2:
        return float(np.iinfo(alpha.dtype).max)
    floats = alpha.dtype.kind == "f"
    guessed = scale is not None and floats and scale.reason.startswith(_GUESSED)
    if scale is not None and not guessed:
        return max(scale.high, 1.0)
    if not floats:
        return float(np.iinfo(alpha.dtype).max)
    highest = np.max(alpha, initial=0.0, where=np.isfinite(alpha))
    if highest <= 1.0 + _ROUNDING:
        return 1.0
    return max(intensity.float_range(alpha).high, 1.0)


def _of_type(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):
        return intensity.on_grid(values, dtype, plain_storage(dtype))


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as what they are in memory: NaN equals itself there."""
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
