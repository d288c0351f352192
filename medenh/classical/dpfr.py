"""Double-pass fundus reflection: even light, less stray light, more contrast."""

from __future__ import annotations

import numpy as np

from medenh.classical.clahe import equalise
from medenh.classical.common import BoolArray, on_lightness
from medenh.classical.dark_channel import scaled, transmission
from medenh.classical.photograph import illuminated_field
from medenh.types import FloatArray

__all__ = ["dpfr", "reflectance"]

_SIDE = 1000.0  # the shorter side that sizes are told for, px


def dpfr(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    omega: float,
    scatter: float,
    window: float,
    radius: float,
    eps: float,
    floor: float,
    clip: float,
) -> FloatArray:
    """Invert I = L (T^2 J + 1 - T) for J, and equalise its lightness.

    Light L, transmission T of the eye's media, which light crosses twice. ``window``
    and ``radius`` are in px at a shorter side of 1000 px, and grow with it, but do not
    shrink. Without a mask the field of view is looked for.

    Notes
    -----
    Zhang, Webers, Berendschot, Signal Processing 192, 2022; the constants are those of
    the authors' public code. Deviations: the scaling by size, chosen here; the clip
    limit in OpenCV's sense; windows do not see the surround.
    """
    field = illuminated_field(pixels) if mask is None else mask
    clear = reflectance(
        pixels,
        field,
        omega=omega,
        scatter=scatter,
        side=scaled(window, pixels, _SIDE, shrinks=False),
        radius=scaled(radius, pixels, _SIDE, shrinks=False),
        eps=eps,
        floor=floor,
    )
    seen = None if field.all() else field
    out = on_lightness(clear, lambda plane: equalise(plane, seen, clip=clip))
    out[~field] = pixels[~field]
    return out


def reflectance(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    omega: float,
    scatter: float,
    side: int,
    radius: int,
    eps: float,
    floor: float,
) -> FloatArray:
    """Even the light, then take the scattered light away; `dpfr` without CLAHE.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
    omega, scatter : float
        Shares of the darkness, and of the haze, that are to go.
    side, radius, eps
        As in `transmission`.
    floor : float
        Smallest transmission that is divided by.

    Returns
    -------
    float32 array, shape (H, W, C), in [0, 1]
    """

    def seen(hazy: FloatArray, guide: FloatArray, share: float) -> FloatArray:
        through = transmission(
            hazy, guide, mask, omega=share, side=side, radius=radius, eps=eps
        )
        return np.maximum(through, np.float32(floor))[..., None]

    white = np.float32(1.0)
    even = np.clip(pixels / seen(white - pixels, pixels, omega), 0.0, 1.0)
    twice = np.square(seen(even, even, scatter))  # in through the media, and out
    clear: FloatArray = np.clip(white + (even - white) / twice, 0.0, 1.0)
    return clear
