"""Colour transfer: bring a picture to the mean colour and contrast of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medenh.classical.common import BoolArray
from medenh.classical.photograph import illuminated_field
from medenh.colour import lab_to_rgb, rgb_to_lab
from medenh.errors import UsageError
from medenh.types import FloatArray

__all__ = ["colours_of", "ref_color"]

_FLAT = 0.1  # deviation in L*a*b* that is no contrast, and no colour
_DARK = 18.0  # mean L*; of 1,153 good photographs 2 are darker [measured]


def ref_color(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    lightness: float,
    a: float,
    b: float,
    lightness_spread: float,
    a_spread: float,
    b_spread: float,
    limit: float,
) -> FloatArray:
    """Give L*, a* and b* the means and standard deviations of a reference.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
        Grey ones, stored as colours or not, have their lightness alone changed.
    mask : bool array, shape (H, W), or None
        Without one the field of view is looked for.
    lightness, a, b : float
        Means of the reference; L* is 0 to 100. Of one channel 100 is its white.
    lightness_spread, a_spread, b_spread : float
        Standard deviations of the reference. Of one without colours, all of whose
        means and deviations of a* and b* are next to nothing, lightness alone is taken.
    limit : float
        At least 1. Contrasts change by a factor in [1 / limit, limit], those of dark
        pictures by more: below a mean L* of 18 the upper end grows by 18 / mean.

    Returns
    -------
    float32 array, shape (H, W, C)
        A picture without contrast is given back as it is.

    Notes
    -----
    Reinhard et al., IEEE Computer Graphics and Applications 21(5), 2001. Chosen: CIE
    L*a*b* in place of the logarithms of cone responses, the field of view, the limit.
    Contrast goes with the light: of a tenth of it, which is brought up tenfold, a
    limit as of other pictures would leave one flat colour.
    """
    field = illuminated_field(pixels) if mask is None else mask
    planes = _planes(pixels)
    mean, deviation = _statistics(planes, field)
    if deviation[0] < _FLAT:
        return pixels
    wanted = np.array([lightness, a, b])[: len(mean)]
    spread = np.array([lightness_spread, a_spread, b_spread])[: len(mean)]
    without = max(spread[1:].max(initial=0.0), np.abs(wanted[1:]).max(initial=0.0))
    if without < _FLAT or deviation[1:].max(initial=0.0) < _FLAT:
        wanted[1:], spread[1:] = mean[1:], deviation[1:]
    largest = limit * max(1.0, _DARK / max(float(mean[0]), 1e-9))
    gain = np.clip(spread / np.maximum(deviation, 1e-9), 1.0 / limit, largest)
    moved = (planes - mean.astype(np.float32)) * gain.astype(np.float32)
    moved += wanted.astype(np.float32)
    np.clip(moved[..., 0], 0.0, 100.0, out=moved[..., 0])
    out = moved / np.float32(100.0) if moved.shape[2] == 1 else lab_to_rgb(moved)
    out[~field] = pixels[~field]
    return out


def colours_of(reference: FloatArray) -> dict[str, float]:
    """Return the options of `ref_color` that are a reference's means and deviations.

    Parameters
    ----------
    reference : float32 array, shape (H, W, 3), in [0, 1]
        Its field of view counts.

    Raises
    ------
    UsageError
        It has no contrast: all that follows it would be of one grey.
    """
    mean, deviation = _statistics(_planes(reference), illuminated_field(reference))
    if deviation[0] < _FLAT:
        raise UsageError(
            "the reference has a single brightness", hint="give a good image"
        )
    names = ("lightness", "a", "b")
    means = dict(zip(names, mean.tolist(), strict=True))
    spreads = {
        f"{name}_spread": value
        for name, value in zip(names, deviation.tolist(), strict=True)
    }
    return means | spreads


def _planes(pixels: FloatArray) -> FloatArray:
    """Return L*, a*, b*; of one channel 100 times it."""
    return rgb_to_lab(pixels) if pixels.shape[2] == 3 else np.float32(100.0) * pixels


def _statistics(
    planes: FloatArray, field: BoolArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inside = planes[field]
    return inside.mean(axis=0, dtype=np.float64), inside.std(axis=0, dtype=np.float64)
