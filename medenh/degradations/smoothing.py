"""Smooth additive fields: discs blurred by Gaussians cut off at a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["blur_plane", "disc", "odd", "window_taps"]

_MIRROR = cv2.BORDER_REFLECT_101  # without repeating the edge pixel
_Plane = NDArray[np.float64]

_NODES_PER_WINDOW = 40  # of the coarse grid: less than half a level of 255 off [M]
_COARSEST_DIRECT = 2  # px between nodes; up to here every pixel is filtered


def odd(window: int) -> int:
    """Return an odd window: even ones grow by one, as in Cofe-Net's code."""
    return window + 1 - window % 2


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> _Plane:
    """Return a disc, shape (H, W), 1 inside; `centre` is (x, y).

    A whole radius makes Cofe-Net's disc with hard edges, distance <= radius; a
    fractional one is anti-aliased, so that small discs of scaled spots keep their area.
    """
    x = np.arange(shape[1], dtype=np.float64)[None, :] - centre[0]
    y = np.arange(shape[0], dtype=np.float64)[:, None] - centre[1]
    if radius == int(radius):
        inside = np.square(x) + np.square(y) <= radius * abs(radius)
        return inside.astype(np.float64)
    return np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0)


def window_taps(window: float, sigma: float) -> _Plane:
    """Return the taps of a Gaussian cut off at a window, sum 1, odd length.

    A fractional window weighs its outermost taps by the part it covers; a whole odd
    one gives OpenCV's kernel.
    """
    half = max((window - 1.0) / 2.0, 0.0)
    reach = int(np.ceil(half - 1e-9))
    place = np.arange(-reach, reach + 1)
    cover = np.clip(half + 1.0 - np.abs(place), 0.0, 1.0)
    taps = cover * np.exp(-np.square(place) / (2.0 * max(sigma, 1e-6) ** 2))
    result: _Plane = taps / taps.sum()
    return result


def blur_plane(plane: _Plane, window: tuple[int, int], sigma: float) -> FloatArray:
    """Blur a plane by a Gaussian cut off at an odd window (width, height).

    Parameters
    ----------
    plane : float64 array, shape (H, W)
    window : tuple of int
        Width and height, odd.
    sigma : float
        In pixels.

    Notes
    -----
    The border is mirrored without repeating the edge pixel. Wide windows are evaluated
    on a grid of a fortieth of the window and interpolated linearly.
    """
    if min(window) // _NODES_PER_WINDOW <= _COARSEST_DIRECT:
        across, down = (window_taps(side, sigma) for side in window)
        blurred = cv2.sepFilter2D(
            plane.astype(np.float32), -1, across, down, borderType=_MIRROR
        )
        return np.asarray(blurred, np.float32)
    filter_x, between_x = _coarse(plane.shape[1], window[0], sigma)
    filter_y, between_y = _coarse(plane.shape[0], window[1], sigma)
    coarse = (filter_y @ plane) @ filter_x.T
    fine: FloatArray = (between_y @ coarse @ between_x.T).astype(np.float32)
    return fine


def _coarse(side: int, window: int, sigma: float) -> tuple[_Plane, _Plane]:
    """Return a matrix that filters an axis at nodes, and one that interpolates."""
    taps = window_taps(window, sigma)
    reach = len(taps) // 2
    step = max(1, window // _NODES_PER_WINDOW)
    nodes = np.arange(0, side - 1 + step, step)
    place = np.abs(nodes[:, None] + np.arange(-reach, reach + 1)) % max(2 * side - 2, 1)
    place = np.minimum(place, 2 * side - 2 - place) if side > 1 else place * 0
    filtered = np.zeros((len(nodes), side))
    rows = np.broadcast_to(np.arange(len(nodes))[:, None], place.shape)
    np.add.at(filtered, (rows, place), np.broadcast_to(taps, place.shape))
    at = np.arange(side) / step
    below = np.minimum(at.astype(int), max(len(nodes) - 2, 0))
    between = np.zeros((side, len(nodes)))
    every = np.arange(side)
    between[every, below] = 1.0 - (at - below)
    if len(nodes) > 1:
        between[every, below + 1] += at - below
    return filtered, between
