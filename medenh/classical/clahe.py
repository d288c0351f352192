"""CLAHE on floats: maps made from a histogram, applied to unquantised values.

What of a colour is equalised differs: lightness (`clahe`), green, the value of HSV, the
luma, or each channel.

OpenCV's 16-bit CLAHE has 65536 bins, so that its clip limit leaves the picture almost
as it was; here the strength is the same at every depth.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from medenh.classical.common import BoolArray, on_lightness
from medenh.colour import luma
from medenh.types import FloatArray

__all__ = [
    "clahe",
    "clahe_green",
    "clahe_hsv",
    "clahe_rgb",
    "clahe_ycc",
    "equalise",
]

_SMALLEST_TILE = 8  # px a side: fewer values make no histogram
_FOREGROUND = 0.25  # share a tile needs to have a map of its own


def clahe(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    clip: float,
    tiles: int,
    bins: int,
) -> FloatArray:
    """Equalise the lightness locally; see `equalise`."""
    return on_lightness(
        pixels, lambda plane: equalise(plane, mask, clip=clip, tiles=tiles, bins=bins)
    )


def clahe_green(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    clip: float,
    tiles: int,
    bins: int,
) -> FloatArray:
    """Equalise green (or grey) locally, leaving red and blue; see `equalise`.

    Notes
    -----
    Setiawan et al., ICISS 2013, whose abstract names the channel; tiles and clip
    limit are chosen here.
    """
    green = 1 if pixels.shape[2] == 3 else 0
    out = pixels.copy()
    out[..., green] = equalise(
        np.ascontiguousarray(pixels[..., green]),
        mask,
        clip=clip,
        tiles=tiles,
        bins=bins,
    )
    return out


def clahe_hsv(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    clip: float,
    tiles: int,
    bins: int,
) -> FloatArray:
    """Equalise the brightest channel locally, keeping the ratios; see `equalise`.

    That is the value of HSV, whose hue and saturation are ratios of the channels, so no
    other colour space is needed. Black, which has neither, becomes grey.
    """
    value = pixels.max(axis=2)
    wanted = equalise(value, mask, clip=clip, tiles=tiles, bins=bins)
    black = value == 0.0
    gain: FloatArray = wanted / np.maximum(value, np.finfo(np.float32).tiny)
    out: FloatArray = pixels * gain[..., None]
    out[black] = wanted[black][:, None]
    return out


def clahe_ycc(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    clip: float,
    tiles: int,
    bins: int,
) -> FloatArray:
    """Equalise the luma locally, keeping the chroma of YCbCr; see `equalise`.

    Chroma are differences from the luma, so all channels move by as much as it does.
    """
    plane: FloatArray = luma(pixels)
    change: FloatArray = (
        equalise(plane, mask, clip=clip, tiles=tiles, bins=bins) - plane
    )
    out: FloatArray = pixels + change[..., None]
    return out


def clahe_rgb(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    clip: float,
    tiles: int,
    bins: int,
) -> FloatArray:
    """Equalise each channel by itself locally; see `equalise`."""
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(pixels, 2, 0)]
    return np.stack(
        [equalise(one, mask, clip=clip, tiles=tiles, bins=bins) for one in planes],
        axis=2,
    )


def equalise(
    plane: FloatArray,
    mask: BoolArray | None = None,
    *,
    clip: float = 2.0,
    tiles: int = 8,
    bins: int = 256,
) -> FloatArray:
    """Return the contrast-limited, adaptively equalised plane.

    Parameters
    ----------
    plane : float32 array, shape (H, W), in [0, 1]
    mask : bool array, shape (H, W), optional
        Background has no part in the histograms.
    clip : float
        Largest slope of a map, as in OpenCV. MATLAB's limit c is 1 + c (bins - 1).
    tiles : int
        Along each side; fewer in pictures too small for them.
    bins : int
        Of the histograms. Values between bins are interpolated.

    Returns
    -------
    float32 array, shape (H, W), in [0, 1]

    Notes
    -----
    Zuiderveld, Graphics Gems IV, 1994, with the clip limit and the sharing out of
    OpenCV's ``createCLAHE``, so that 8-bit pictures come out as there but for its
    rounding. Deviation: a tile whose values all fall into one bin keeps them, so that
    a black surround stays black.
    """
    height, width = plane.shape
    grid = tuple(max(1, min(tiles, side // _SMALLEST_TILE)) for side in plane.shape)
    tile = (-(-height // grid[0]), -(-width // grid[1]))
    position = plane * np.float32(bins - 1)
    maps = _tile_maps(position, mask, grid, tile, clip, bins)
    out = np.empty_like(plane)
    for rows in _bands(height, grid[0], tile[0]):
        top, bottom, down = _neighbours(rows, grid[0], tile[0])
        for columns in _bands(width, grid[1], tile[1]):
            left, right, across = _neighbours(columns, grid[1], tile[1])
            upper = maps[top, [left, right]][:, None]
            lower = maps[bottom, [left, right]][:, None]
            tables = upper + down[:, None] * (lower - upper)
            out[rows, columns] = _look_up(position[rows, columns], tables, across)
    return out


def _tile_maps(
    position: FloatArray,
    mask: BoolArray | None,
    grid: tuple[int, ...],
    tile: tuple[int, int],
    clip: float,
    bins: int,
) -> FloatArray:
    """Return the map of every tile, shape (rows, columns, bins), in [0, 1]."""
    nearest = np.rint(position).astype(np.int16)
    pad = [(0, n * t - s) for n, t, s in zip(grid, tile, position.shape, strict=True)]
    if any(after for _, after in pad):
        nearest = np.pad(nearest, pad, mode="reflect")
        mask = None if mask is None else np.pad(mask, pad, mode="reflect")
    counts = np.zeros((*grid, bins), np.int64)
    for row, column in np.ndindex(*grid):
        place = (
            slice(row * tile[0], (row + 1) * tile[0]),
            slice(column * tile[1], (column + 1) * tile[1]),
        )
        values = nearest[place].ravel() if mask is None else nearest[place][mask[place]]
        counts[row, column] = np.bincount(values, minlength=bins)
    total = counts.sum(axis=(0, 1))
    counts[counts.sum(axis=2) < _FOREGROUND * tile[0] * tile[1]] = total
    return _maps(counts, clip, bins)


def _maps(counts: NDArray[np.int64], clip: float, bins: int) -> FloatArray:
    """Clip histograms, share out what was clipped, and add up."""
    size = counts.sum(axis=-1, keepdims=True)
    limit = np.maximum(1, np.floor(clip * size / bins)).astype(np.int64)
    clipped = np.minimum(counts, limit)
    share, rest = np.divmod(size - clipped.sum(axis=-1, keepdims=True), bins)
    step = np.maximum(1, bins // np.maximum(rest, 1))
    at = np.arange(bins)
    clipped += share + ((at % step == 0) & (at // step < rest))
    maps: FloatArray = (np.cumsum(clipped, axis=-1) / size).astype(np.float32)
    flat = counts.max(axis=-1) == size[..., 0]
    maps[flat] = np.linspace(0.0, 1.0, bins, dtype=np.float32)
    return maps


def _bands(side: int, count: int, tile: int) -> list[slice]:
    """Cut a side at the tiles' centres: between two, the same maps are blended."""
    centres = [-(-tile * (2 * at + 1) // 2) for at in range(count)]
    cuts = [0, *(at for at in centres if at < side), side]
    return [slice(low, high) for low, high in pairwise(cuts) if high > low]


def _neighbours(band: slice, count: int, tile: int) -> tuple[int, int, FloatArray]:
    """Return the two tiles a band lies between, and its weights of the second."""
    at = np.arange(band.start, band.stop) / tile - 0.5
    first = int(np.floor((at[0] + at[-1]) / 2))
    weight = np.clip(at - first, 0.0, 1.0).astype(np.float32)
    return max(first, 0), min(first + 1, count - 1), weight


def _look_up(
    position: FloatArray, tables: FloatArray, across: FloatArray
) -> FloatArray:
    """Blend the values of the left and right tables of each row at ``position``.

    ``tables`` has shape (2, rows, bins).
    """
    rows, bins = tables.shape[1:]
    low = np.minimum(position.astype(np.int32), bins - 2)
    part = position - low
    low += (np.arange(rows, dtype=np.int32) * bins)[:, None]
    sides = []
    for table in tables:
        flat = np.ascontiguousarray(table).ravel()
        value = flat[low]
        value += part * (flat[low + 1] - value)
        sides.append(value)
    blended: FloatArray = sides[0] + across * (sides[1] - sides[0])
    return blended
