"""Colour spaces, one implementation for all methods: sRGB, D65, 2 degrees.

OpenCV's Lab differs from this one in the second decimal; mixing the two would show in
CIEDE2000, which has the same Lab on planes, quicker and one way only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.types import FloatArray

__all__ = ["LUMA", "lab_to_rgb", "luma", "rgb_to_lab", "strips"]

LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as the papers' degradations use it

_STRIP_PIXELS = 1 << 19  # bounds the temporaries of scikit-image's conversions


def strips(height: int, width: int, *, pixels: int = _STRIP_PIXELS) -> list[slice]:
    """Return slices of rows that hold about ``pixels`` pixels each.

    Examples
    --------
    >>> strips(5, 100, pixels=200)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    rows = max(1, pixels // max(width, 1))
    return [slice(at, min(at + rows, height)) for at in range(0, height, rows)]


def rgb_to_lab(rgb: NDArray[Any]) -> FloatArray:
    """Convert sRGB to CIE L*a*b*.

    Parameters
    ----------
    rgb : float array, shape (H, W, 3), in [0, 1]

    Returns
    -------
    float32 array, shape (H, W, 3)
        L* in [0, 100], a* and b* about [-110, 110].

    Notes
    -----
    IEC 61966-2-1 to XYZ, white 0.95047, 1, 1.08883 (scikit-image's ``rgb2lab``).
    """
    from skimage.color import rgb2lab

    lab = np.empty(rgb.shape, np.float32)
    for rows in strips(*rgb.shape[:2]):
        lab[rows] = rgb2lab(rgb[rows])
    return lab


def lab_to_rgb(lab: NDArray[Any]) -> FloatArray:
    """Convert CIE L*a*b* to sRGB; colours outside the gamut are clipped.

    Parameters
    ----------
    lab : float array, shape (H, W, 3)

    Returns
    -------
    float32 array, shape (H, W, 3), in [0, 1]
    """
    from skimage.color import lab2xyz, xyz2rgb

    rgb = np.empty(lab.shape, np.float32)
    for rows in strips(*lab.shape[:2]):
        # lab2rgb warns at negative Z, which a changed L* makes in saturated colours
        xyz = np.maximum(lab2xyz(_with_positive_z(lab[rows])), 0.0)
        rgb[rows] = np.clip(xyz2rgb(xyz), 0.0, 1.0)
    return rgb


def _with_positive_z(lab: NDArray[Any]) -> NDArray[Any]:
    """Return Lab with b* held where Z stays positive: Z is negative beyond it."""
    limit = 199.999 * (lab[..., 0] + 16.0) / 116.0
    held = lab.copy()
    np.minimum(lab[..., 2], limit, out=held[..., 2])
    return held


def luma(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the luma plane (Rec. 601) of RGB pixels, or the plane of grey ones.

    Parameters
    ----------
    pixels : float array, shape (H, W), (H, W, 1) or (H, W, 3)

    Returns
    -------
    float array, shape (H, W)
    """
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[-1] == 1:
        return pixels[..., 0]
    plane: NDArray[Any] = pixels @ np.asarray(LUMA, pixels.dtype)
    return plane
