"""What every metric checks before it measures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.errors import NonFiniteError, UsageError

__all__ = ["checked_mask", "checked_pair"]


def checked_pair(
    image: NDArray[Any], reference: NDArray[Any], *, finite: bool = True
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two pictures as floats, shape (H, W, C); ``finite`` asks for a check.

    Raises
    ------
    UsageError
        The shapes differ, or are not those of a picture.
    NonFiniteError
        One of them holds NaN or infinity.
    """
    image, reference = np.asarray(image), np.asarray(reference)
    if image.shape != reference.shape:
        raise UsageError(
            f"pictures of shapes {image.shape} and {reference.shape} do not compare",
            hint="both must have the same size and channels",
        )
    if image.ndim not in (2, 3) or image.size == 0:
        raise UsageError(
            f"a picture of shape {image.shape} cannot be measured",
            hint="(height, width) or (height, width, channels)",
        )
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        raise UsageError(f"{image.shape[2]} channels cannot be measured", hint="1 or 3")
    return _floats(image, finite), _floats(reference, finite)


def _floats(image: NDArray[Any], finite: bool) -> NDArray[Any]:
    """Return floats with a channel axis; 32-bit floats are kept."""
    out = image if image.dtype == np.float32 else image.astype(np.float64)
    if finite and not np.isfinite(out).all():
        raise NonFiniteError("a picture to measure holds NaN or infinity")
    return out if out.ndim == 3 else out[..., None]


def checked_mask(
    mask: NDArray[Any] | None, shape: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Return the region to measure, shape (H, W); None where that is all.

    Raises
    ------
    UsageError
        Its shape is another, or nothing is in it.
    """
    if mask is None:
        return None
    region = np.asarray(mask).astype(bool)
    if region.shape != tuple(shape[:2]):
        raise UsageError(
            f"the mask's shape {region.shape} is not the picture's {tuple(shape[:2])}"
        )
    if not region.any():
        raise UsageError("the mask is empty: there is nothing to measure")
    return None if region.all() else region
