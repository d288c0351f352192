"""Pictures of a page: scaled down, coloured, and put into the page as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UsageError
from medenh.types import FloatArray

__all__ = [
    "CRISP_BELOW",
    "coloured",
    "data_uri",
    "fit",
    "gradient",
    "rgb",
    "scale_top",
]

CRISP_BELOW = 256  # pixels; smaller images are magnified without smoothing
_SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)


def rgb(pixels: NDArray[Any]) -> FloatArray:
    """Return pixels as float32 (H, W, 3) in [0, 1].

    Raises
    ------
    UsageError
        The shape is none of (H, W), (H, W, 1) and (H, W, 3).
    """
    array = np.asarray(pixels, dtype=np.float32)
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape:
        raise UsageError(f"a report cannot show an array of shape {array.shape}")
    array = np.clip(np.nan_to_num(array), 0.0, 1.0)
    return np.broadcast_to(array, (*array.shape[:2], 3))


def fit(pixels: FloatArray, side: int) -> FloatArray:
    """Scale down to ``side`` pixels by averaging; smaller ones stay as they are."""
    height, width = pixels.shape[:2]
    if max(height, width) <= side:
        return pixels
    from skimage.transform import downscale_local_mean, resize

    scale = side / max(height, width)
    target = (max(1, round(height * scale)), max(1, round(width * scale)))
    # whole blocks first: a slide of 100 megapixels must not be filtered as it is
    factors = tuple(
        max(1, old // new) for old, new in zip((height, width), target, strict=True)
    )
    rest = pixels.shape[2:]
    cut = tuple(n // f * f for n, f in zip((height, width), factors, strict=True))
    blocks = downscale_local_mean(  # type: ignore[no-untyped-call]
        pixels[: cut[0], : cut[1]], (*factors, *(1 for _ in rest))
    )
    fitted: FloatArray = resize(  # type: ignore[no-untyped-call]
        blocks, (*target, *rest), order=1, anti_aliasing=True
    ).astype(np.float32)
    return fitted


def data_uri(pixels: NDArray[Any], quality: int | None = None) -> str:
    """Return (H, W, 3) in [0, 1] as a WebP data URI.

    Parameters
    ----------
    pixels : array, shape (H, W, 3), in [0, 1]
    quality : int, optional
        From 0 to 100; lossless if not given.
    """
    from imagecodecs import webp_encode

    bytes_ = np.rint(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)
    array = np.ascontiguousarray(bytes_)
    if quality is None:
        encoded = webp_encode(array, lossless=True)
    else:  # method 1: four times as fast as the default, for 15 % more bytes
        encoded = webp_encode(array, level=quality, lossless=False, method=1)
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode('ascii')}"


def scale_top(maps: Mapping[str, FloatArray]) -> float:
    """Return a round end of one colour scale for some maps of absolute values."""
    peak = max(float(np.percentile(values, 99.5)) for values in maps.values())
    return next((scale for scale in _SCALES if scale >= 0.999 * peak), 1.0)


def coloured(values: FloatArray, colourmap: str) -> FloatArray:
    """Return values in [0, 1] in colours, shape (H, W, 3)."""
    import matplotlib

    colours: FloatArray = matplotlib.colormaps[colourmap](values)[..., :3]
    return colours


def gradient(colourmap: str) -> str:
    """Return the stops of a CSS gradient that runs through a colour map."""
    import matplotlib
    import matplotlib.colors

    colours = matplotlib.colormaps[colourmap]
    return ", ".join(
        matplotlib.colors.to_hex(colours(position))
        for position in np.linspace(0.0, 1.0, 9)
    )
