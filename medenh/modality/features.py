"""Figures of a thumbnail that tell one kind of medical picture from another."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.colour import luma
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["SIDE", "features", "without_border"]

SIDE = 96  # px: the longer side of the thumbnail

_SHORTEST = 16  # px: the shorter side of the thumbnail
_BLACK = 0.06  # [chosen] of the brightest: darker is a border
_LIT = 0.02  # [chosen] least share of a row that is not, where a picture begins
_RINGS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0, 1.15, 1.5)
_SIGMAS = (0.7, 1.4, 2.8, 5.6)  # px of the thumbnail
_HUES = 8
_DIRECTIONS = 8

_Figures = list[float]


def features(picture: FloatArray) -> NDArray[np.float64]:
    """Return the figures of a picture.

    Parameters
    ----------
    picture : float32 array, shape (H, W, 1 or 3), in [0, 1]
        Grey or RGB, any size.

    Returns
    -------
    float64 array, shape (154,)
        All finite, whatever the picture: levels and colours, the surround and its
        shape, fineness and direction of texture, symmetry, and the coarse layout.
    """
    colour = _thumbnail(picture)
    grey = luma(colour)
    figures = [
        *_levels(colour, grey),
        *_hues(colour, grey),
        *_surround(grey),
        *_rings(grey),
        *_texture(grey),
        *_directions(grey),
        *_symmetry(grey),
        *_layout(colour, grey),
    ]
    return np.nan_to_num(np.array(figures, np.float64))


def without_border(picture: FloatArray) -> FloatArray:
    """Return the part of a picture that lies inside a black border; all if it has none.

    Parameters
    ----------
    picture : float32 array, shape (H, W, C), in [0, 1]

    Returns
    -------
    float32 array, shape (h, w, C)
        A view. Black is below 6 % of the 99th percentile.
    """
    bright = picture.max(axis=2)
    lit = bright > _BLACK * np.percentile(bright, 99)
    rows, columns = (
        np.flatnonzero(lit.mean(axis=axis, dtype=np.float64) > _LIT) for axis in (1, 0)
    )
    if not rows.size or not columns.size:
        return picture
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _thumbnail(picture: FloatArray) -> FloatArray:
    """Return a picture in RGB, its longer side `SIDE`."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = [max(_SHORTEST, round(side * scale)) for side in (width, height)]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(picture), size, interpolation=method)
    if small.ndim == 2:
        small = small[..., None]
    return np.broadcast_to(small, (*small.shape[:2], 3)).astype(np.float32)


def _levels(colour: FloatArray, grey: FloatArray) -> _Figures:
    """Return means and spreads of the channels, levels of grey, and colourfulness."""
    chroma = colour.max(axis=2) - colour.min(axis=2)
    red, green, blue = (colour[..., index].ravel() for index in range(3))
    levels = np.rint(grey * 255).astype(np.int64)
    return [
        *colour.mean(axis=(0, 1)),
        *colour.std(axis=(0, 1)),
        *np.percentile(grey, (1, 10, 25, 50, 75, 90, 99)),
        chroma.mean(),
        *np.percentile(chroma, (50, 90, 99)),
        _agreement(red, green),
        _agreement(green, blue),
        np.count_nonzero(np.bincount(levels.ravel())) / 256,
    ]


def _hues(colour: FloatArray, grey: FloatArray) -> _Figures:
    """Return the shares of hues, and logarithms of red and blue over green."""
    hue, _, saturation = cv2.split(cv2.cvtColor(colour, cv2.COLOR_RGB2HSV))
    chroma = colour.max(axis=2) - colour.min(axis=2)
    shares, _ = np.histogram(hue, _HUES, (0, 360), weights=chroma)
    inside = grey >= np.percentile(grey, 40)
    red, green, blue = (colour[..., index][inside] + 0.02 for index in range(3))
    warm, cold = np.log(red / green), np.log(blue / green)
    # a trace of colour has no hue worth speaking of
    return [
        *(shares / (shares.sum() + 0.01 * chroma.size)),
        saturation[inside].mean(),
        warm.mean(),
        warm.std(),
        cold.mean(),
        cold.std(),
    ]


def _surround(grey: FloatArray) -> _Figures:
    """Return how much is black or white, and how round what is not black is."""
    high = float(np.percentile(grey, 99)) + 1e-3
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.5)
    low = float(np.percentile(smooth, 1))
    mask = smooth > low + 0.15 * (high - low)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    shape = [0.0, 0.0, 0.0, 0.0]
    if rows.size and columns.size:
        box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        ellipse = _radii(*box.shape) <= 1
        union = (box | ellipse).sum()
        shape = [
            box.mean(),
            float((box & ellipse).sum() / union),
            float(np.log(box.shape[0] / box.shape[1])),
            box.size / mask.size,
        ]
    edge = max(1, round(0.04 * min(grey.shape)))
    inner = grey[edge:-edge, edge:-edge]
    border = (grey.sum() - inner.sum()) / (grey.size - inner.size)
    corner = max(1, round(0.08 * min(grey.shape)))
    ends = (slice(None, corner), slice(-corner, None))
    corners = [float(grey[a, b].mean()) for a in ends for b in ends]
    quarter = [side // 4 for side in grey.shape]
    centre = grey[quarter[0] : -quarter[0], quarter[1] : -quarter[1]].mean()
    return [
        *((grey < level).mean() for level in (0.03, 0.08, 0.15)),
        (grey < 0.1 * high).mean(),
        *((grey > level).mean() for level in (0.9, 0.97)),
        *shape,
        border / high,
        float(np.max(corners)) / high,
        float(np.mean(corners)) / high,
        centre / high,
        float(np.log(grey.shape[0] / grey.shape[1])),
    ]


def _rings(grey: FloatArray) -> _Figures:
    """Return mean and spread of elliptic rings around the middle."""
    high = float(np.percentile(grey, 99)) + 1e-3
    radii = _radii(*grey.shape)
    figures: _Figures = []
    for low, top in pairwise(_RINGS):
        values = grey[(radii >= low) & (radii < top)] / high
        figures += [values.mean(), values.std()] if values.size else [0.0, 0.0]
    return figures


def _radii(height: int, width: int) -> FloatArray:
    """Return distances from the middle; 1 is the ellipse that touches all sides."""
    rows = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    columns = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    radii: FloatArray = np.hypot(rows[:, None], columns)
    return radii


def _texture(grey: FloatArray) -> _Figures:
    """Return strength and sparseness of bands, unevenness, likeness of neighbours."""
    spread = float(grey.std()) + 0.01
    planes = [cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in _SIGMAS]
    figures: _Figures = [np.log(spread)]
    for fine, coarse in zip([grey, *planes[:-1]], planes, strict=True):
        band = fine - coarse
        square = np.square(band)  # powers of arrays take ten times as long
        power = float(square.mean()) ** 0.5
        tails = float(np.square(square).mean()) / (power**4 + 1e-12)
        figures += [np.log(power + 1e-3), np.log(power / spread + 1e-3)]
        figures += [np.log(tails + 1.0), (square * band).mean() / (power**3 + 1e-9)]
    centred = grey - grey.mean()
    variance = cv2.blur(centred**2, (9, 9)) - cv2.blur(centred, (9, 9)) ** 2
    local = np.sqrt(np.maximum(variance, 0)) / spread
    figures += np.percentile(local, (10, 50, 90)).tolist()
    for step in (1, 3):
        figures.append(_agreement(grey[step:].ravel(), grey[:-step].ravel()))
        figures.append(_agreement(grey[:, step:].ravel(), grey[:, :-step].ravel()))
    return figures


def _directions(grey: FloatArray) -> _Figures:
    """Return the shares of the gradient's directions, and of even ground."""
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125)
    size = np.hypot(across, down)
    angle = np.mod(np.arctan2(down, across), np.pi)
    shares, _ = np.histogram(angle, _DIRECTIONS, (0, np.pi), weights=size)
    shares = shares / (shares.sum() + 1e-6)
    return [*shares, shares.max(), (size < 0.002).mean(), (size > 0.1).mean()]


def _symmetry(grey: FloatArray) -> _Figures:
    """Return how like its mirror images a picture is."""
    flat = grey.ravel()
    turned = (grey[:, ::-1], grey[::-1], grey[::-1, ::-1])
    return [_agreement(flat, other.ravel()) for other in turned]


def _layout(colour: FloatArray, grey: FloatArray) -> _Figures:
    """Return means of light on a grid of 6 x 6, and of colour on 3 x 3."""
    light = (grey - grey.mean()) / (grey.std() + 0.02)
    red, green, blue = cv2.split(colour)
    coarse: _Figures = cv2.resize(light, (6, 6), interpolation=cv2.INTER_AREA).ravel()
    hues = [
        cv2.resize(plane, (3, 3), interpolation=cv2.INTER_AREA).ravel()
        for plane in (red - green, green - blue)
    ]
    return [*coarse, *hues[0], *hues[1]]


def _agreement(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the correlation of two vectors; 0 where one is constant."""
    first, second = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 1e-6 else 0.0
