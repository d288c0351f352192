"""Local average subtraction after B. Graham: makes fundus photographs comparable."""

from __future__ import annotations

from medenh.classical.common import BoolArray, field_radius, masked_gaussian
from medenh.classical.photograph import lit_field
from medenh.types import FloatArray

__all__ = ["ben_graham"]


def ben_graham(
    pixels: FloatArray, mask: BoolArray | None, *, gain: float, scale: float
) -> FloatArray:
    """Return 0.5 + gain (x - local average of x), inside the field of view.

    Notes
    -----
    Deviations from the 2015 report: the picture is not resized (the average's sigma
    is the field's radius over ``scale`` instead of 10 px at radius 300), the average
    sees the field only, and nothing of the field is cut off.
    """
    field = lit_field(pixels) if mask is None else mask
    everything = bool(field.all())
    sigma = max(0.3, field_radius(field) / scale)
    average = masked_gaussian(pixels, sigma, None if everything else field)
    detail: FloatArray = gain * (pixels - average) + 0.5
    if not everything:
        detail[~field] = pixels[~field]
    return detail
