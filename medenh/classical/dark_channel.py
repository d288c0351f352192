"""Dehazing by the dark channel, and the same on inverted pictures: uneven light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medenh.classical.common import BoolArray, guided_filter
from medenh.classical.photograph import illuminated_field
from medenh.colour import luma
from medenh.types import FloatArray

__all__ = [
    "dark_channel",
    "dcp",
    "dcp_illum",
    "scaled",
    "transmission",
]

_HAZIEST = 1e-3  # share of the pixels that the light of the haze is read from
_DARKEST = 1e-3  # light of the haze in a channel, as a divisor


def dcp(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    omega: float,
    window: float,
    eps: float,
    floor: float,
) -> FloatArray:
    """Return (I - A) / t + A: the picture I without haze of the light A.

    ``window`` is in px at a shorter side of 512 px, and grows with it.

    Notes
    -----
    He, Sun, Tang, IEEE TPAMI 33(12), 2011; the transmission t is refined by the guided
    filter (2013) in place of soft matting. Deviations: A is the mean of the 0.1 % of
    the pixels with the brightest dark channel, not the brightest of them; the window
    grows with the picture.
    """
    side = scaled(window, pixels, 512)
    light = _haze_light(pixels, dark_channel(pixels, side, mask), mask)
    divisor: FloatArray = np.maximum(light, np.float32(_DARKEST))
    seen = transmission(
        pixels / divisor, pixels, mask, omega=omega, side=side, radius=4 * side, eps=eps
    )
    through: FloatArray = np.maximum(seen, np.float32(floor))
    return (pixels - light) / through[..., None] + light


def _haze_light(
    pixels: FloatArray, dark: FloatArray, mask: BoolArray | None
) -> FloatArray:
    """Return the mean colour where the dark channel is brightest, shape (C,)."""
    inside = pixels.reshape(-1, pixels.shape[2]) if mask is None else pixels[mask]
    values = dark.ravel() if mask is None else dark[mask]
    count = max(1, round(_HAZIEST * values.size))
    limit = np.partition(values, values.size - count)[values.size - count]
    # all of the limit's value, as which of them were to count would be chance
    light: NDArray[np.float64] = inside[values >= limit].mean(axis=0, dtype=np.float64)
    return light.astype(np.float32)


def dcp_illum(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    omega: float,
    window: float,
    radius: float,
    eps: float,
    floor: float,
) -> FloatArray:
    """Return I / t: dehazing of the inverted picture, inverted back.

    ``window`` and ``radius`` are in px at a shorter side of 1000 px, and grow with it.
    Without a mask the field of view is looked for.

    Notes
    -----
    After Savelli et al., IEEE CBMS 2017, with the constants of a public toolkit
    (IETK) but for the floor of t and the scaling by size, which are chosen here. With
    light A = 1 it is dividing by a smoothed local maximum of the channels. Deviations:
    square windows, and a surround that windows do not see, in place of a white one.
    """
    field = illuminated_field(pixels) if mask is None else mask
    seen = transmission(
        np.float32(1.0) - pixels,
        pixels,
        field,
        omega=omega,
        side=scaled(window, pixels, 1000),
        radius=scaled(radius, pixels, 1000),
        eps=eps,
    )
    even = pixels / np.clip(seen, np.float32(floor), np.float32(1.0))[..., None]
    even[~field] = pixels[~field]
    return even


def dark_channel(
    pixels: FloatArray, side: int, mask: BoolArray | None = None
) -> FloatArray:
    """Return the smallest value of any channel in a square around each pixel.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C)
    side : int
        Of the square, px; an even one is taken as one more. It sees the picture, and
        the foreground, only.
    mask : bool array, shape (H, W), optional

    Returns
    -------
    float32 array, shape (H, W)
        0 in the background.
    """
    from medenh.opencv import cv2

    least = pixels.min(axis=2)
    if mask is not None:
        least = np.where(mask, least, np.float32(np.inf))
    around = np.ones((side | 1, side | 1), np.uint8)  # odd: a pixel is its centre
    dark = np.asarray(cv2.erode(least, around), np.float32).reshape(least.shape)
    return dark if mask is None else np.where(mask, dark, np.float32(0.0))


def transmission(
    hazy: FloatArray,
    guide: FloatArray,
    mask: BoolArray | None,
    *,
    omega: float,
    side: int,
    radius: int,
    eps: float,
) -> FloatArray:
    """Return the share of light that haze lets through: 1 - omega (dark channel).

    Parameters
    ----------
    hazy : float32 array, shape (H, W, C)
        The picture over the colour of the haze.
    guide : float32 array, shape (H, W, C), in [0, 1]
        The transmission is smoothed along the edges of its luma.
    mask : bool array, shape (H, W), or None
    omega : float
        Share of the haze that is to go.
    side, radius : int
        Of the dark channel's squares, and of the smoothing, px.
    eps : float
        As in `guided_filter`.

    Returns
    -------
    float32 array, shape (H, W)
        About [0, 1]; the smoothing overshoots a little.
    """
    share = np.float32(1.0) - np.float32(omega) * dark_channel(hazy, side, mask)
    return guided_filter(luma(guide), share, radius, eps, mask)


def scaled(
    size: float, pixels: FloatArray, reference: float, *, shrinks: bool = True
) -> int:
    """Return a size told for a shorter side of ``reference`` px in this picture's px.

    At least 1, and where it does not shrink at least the size itself.
    """
    factor: float = min(pixels.shape[:2]) / reference
    return max(1, round(size * (factor if shrinks else max(1.0, factor))))
