"""Chains: weight-free methods one after the other, each on the last one's answer."""

from __future__ import annotations

import numpy as np

from medenh.classical.colour_transfer import colours_of, ref_color
from medenh.classical.common import BoolArray
from medenh.classical.denoise import tv
from medenh.classical.flat_field import flat_field
from medenh.classical.photograph import illuminated_field
from medenh.classical.point import stretch
from medenh.types import FloatArray

__all__ = ["colours_of", "flat_field_ref_color", "tv_flat_field", "tv_stretch"]


def tv_stretch(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    sigma: float | None,
    strength: float,
    low: float,
    high: float,
) -> FloatArray:
    """Denoise by `tv`, then `stretch`: noise makes no ends of the range."""
    clean = tv(pixels, mask, sigma=sigma, strength=strength)
    return stretch(clean, mask, low=low, high=high, black=None, white=None)


def tv_flat_field(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    sigma: float | None,
    strength: float,
    light: float,
    floor: float,
) -> FloatArray:
    """Denoise by `tv`, then even the light by `flat_field`.

    ``light`` is the sigma of the light's Gaussian as a share of the diagonal.
    """
    clean = np.clip(tv(pixels, mask, sigma=sigma, strength=strength), 0.0, 1.0)
    return flat_field(clean, mask, sigma=light, floor=floor)


def flat_field_ref_color(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    light: float,
    floor: float,
    **colours: float,
) -> FloatArray:
    """Even the light by `flat_field`, then bring the colours to `ref_color`'s.

    ``light`` is the sigma of the light's Gaussian as a share of the diagonal, the
    other options are those of `ref_color`.
    """
    field = illuminated_field(pixels) if mask is None else mask
    even = np.clip(flat_field(pixels, field, sigma=light, floor=floor), 0.0, 1.0)
    return ref_color(even, mask, **colours)
