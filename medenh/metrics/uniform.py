"""Fidelity measures under the signature that the registry calls."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from medenh.metrics._arrays import checked_mask, checked_pair, checked_range
from medenh.metrics.fidelity import clipped_share, mean_shift, structure_correlation
from medenh.types import FloatArray

__all__ = ["clipped", "shift", "structure"]


def structure(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return `structure_correlation`; the data range changes nothing."""
    if data_range is not None:
        checked_range(data_range)
    return structure_correlation(image, reference, mask=mask)


def clipped(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return `clipped_share` of two images in [0, data_range]."""
    return clipped_share(*_unit_pair(image, reference, data_range, mask))


def shift(
    image: NDArray[Any],
    reference: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return `mean_shift` of two images in [0, data_range]."""
    return mean_shift(*_unit_pair(image, reference, data_range, mask))


def _unit_pair(
    image: NDArray[Any],
    reference: NDArray[Any],
    data_range: float | None,
    mask: NDArray[Any] | None,
) -> tuple[FloatArray, FloatArray]:
    """Return both images over the data range, float32; only the mask's pixels."""
    one, other = checked_pair(image, reference)
    white = checked_range(data_range, one, other)
    region = checked_mask(mask, one.shape)
    if region is not None:
        one, other = one[region], other[region]
    return (one / white).astype("float32"), (other / white).astype("float32")
