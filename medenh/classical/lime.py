"""LIME: divide by a structure-aware map of the illumination."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medenh.classical.common import BoolArray
from medenh.colour import strips
from medenh.types import FloatArray

__all__ = ["edge_weights", "illumination", "lime", "smooth"]

_EPS = 1e-3
_PASSES = 3


def lime(
    pixels: FloatArray,
    mask: BoolArray | None,
    *,
    alpha: float,
    gamma: float,
    smoothing: float,
) -> FloatArray:
    """Return R = I / T^gamma, with one illumination map T for all channels."""
    light = illumination(pixels.max(axis=2), alpha=alpha, smoothing=smoothing)
    return pixels / (light[..., None] ** np.float32(gamma))


def illumination(
    brightest: FloatArray, *, alpha: float, smoothing: float, radius: int | None = None
) -> FloatArray:
    """Return the illumination map, in [0.001, 1].

    Parameters
    ----------
    brightest : float32 array, shape (H, W), in [0, 1]
        The brightest channel: the map before it is smoothed.
    alpha : float
        Weight of smoothness.
    smoothing : float
        Sigma of the Gaussian of the weights, px.
    radius : int, optional
        Where that Gaussian is cut off, px; by default at its sigma.

    Notes
    -----
    Guo, Li, Ling, IEEE TIP 26(2), 2017: the sped-up solver with weighting strategy
    III. Deviations: forward differences and mirrored borders, so that the system is
    symmetric; it is solved by the separable fast global smoother (Min et al., IEEE
    TIP 23(12), 2014) at lambda = 2 alpha, 35 to 50 dB from the exact solution.
    """
    across = edge_weights(brightest, smoothing, radius)
    down = edge_weights(np.ascontiguousarray(brightest.T), smoothing, radius)
    light: FloatArray = smooth(brightest, across, down, 2.0 * alpha)
    np.clip(light, _EPS, 1.0, out=light)
    return light


def edge_weights(
    plane: FloatArray, sigma: float, radius: int | None = None
) -> FloatArray:
    """Return the weight of the edge from each pixel to the next in its row.

    1 / (|G * d| + eps) / (|d| + eps), d the forward difference; 0 in the last column.
    G is cut off at ``radius`` px, by default at its sigma.
    """
    from medenh.opencv import cv2

    difference = np.zeros_like(plane)
    np.subtract(plane[:, 1:], plane[:, :-1], out=difference[:, :-1])
    side = 2 * (max(1, round(sigma)) if radius is None else radius) + 1
    mean = cv2.GaussianBlur(
        difference, (side, side), sigma, borderType=cv2.BORDER_REFLECT
    )
    smooth_edge: FloatArray = np.abs(mean).reshape(plane.shape) + np.float32(_EPS)
    sharp_edge: FloatArray = np.abs(difference) + np.float32(_EPS)
    weight: FloatArray = np.float32(1.0) / (smooth_edge * sharp_edge)
    weight[:, -1] = 0.0
    return weight


def smooth(
    plane: FloatArray, across: FloatArray, down: FloatArray, strength: float
) -> FloatArray:
    """Solve row-wise and column-wise in turn, with a falling strength.

    Parameters
    ----------
    plane : float32 array, shape (H, W)
    across : float32 array, shape (H, W)
        Weights along the rows, from `edge_weights`.
    down : float32 array, shape (W, H)
        Weights along the columns, transposed.
    strength : float
        Lambda of the smoother.
    """
    out = plane
    for turn in range(1, _PASSES + 1):
        share = 1.5 * 4.0 ** (_PASSES - turn) / (4.0**_PASSES - 1.0) * strength
        out = _solve_rows(out, across, share)
        out = _solve_rows(np.ascontiguousarray(out.T), down, share).T
    return np.ascontiguousarray(out)


def _solve_rows(plane: FloatArray, weights: FloatArray, share: float) -> FloatArray:
    """Solve (I + share * Laplacian of the weights) u = plane in every row.

    The rows of a strip make one tridiagonal system: the weight of a row's last edge,
    which would lead to the next row, is 0.
    """
    from scipy.linalg.lapack import dptsv

    out = np.empty_like(plane)
    for rows in strips(*plane.shape):
        edge: NDArray[np.float64] = share * weights[rows].ravel().astype(np.float64)
        diagonal = 1.0 + edge
        diagonal[1:] += edge[:-1]
        wanted = plane[rows].ravel().astype(np.float64)
        if wanted.size > 1:
            wanted = dptsv(diagonal, -edge[:-1], wanted[:, None])[2][:, 0]
        out[rows] = wanted.reshape(-1, plane.shape[1])
    return out
