"""Point spread functions: disc, line, random walk.

All have unit sum and their centroid in the middle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["disc_kernel", "line_kernel", "shake_kernel"]

_WALK_LENGTH = 60.0  # px, and
_WALK_STEPS = 500  # of the random walk before it is scaled; reference: 2000 [code]


def disc_kernel(radius: float, softness: float = 0.0) -> FloatArray:
    """Return an anti-aliased disc of unit sum, its edge softened by a Gaussian."""
    half = int(np.ceil(radius + 3 * softness))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    cover = np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0)
    kernel: FloatArray = cover.astype(np.float32)
    kernel[half, half] = max(kernel[half, half], np.float32(0.5))  # radius below 0.5
    if softness > 0:
        side = 2 * round(3 * softness) + 1
        cv2.GaussianBlur(
            kernel, (side, side), softness, dst=kernel, borderType=cv2.BORDER_CONSTANT
        )
    kernel /= kernel.sum()
    return kernel


def line_kernel(
    length: float, angle_deg: float, *, sigma: float | None = None
) -> FloatArray:
    """Return a straight path of unit sum, see `MotionBlur`."""
    along = np.linspace(0.0, length, int(np.ceil(4 * length)) + 1)
    weights = np.ones_like(along)
    if sigma is not None and sigma > 0:
        weights = np.exp(-0.5 * np.square(along / sigma))
    angle = np.deg2rad(angle_deg)
    return _splat(along * np.cos(angle), -along * np.sin(angle), weights)


def shake_kernel(
    length: float, *, inertia: float, shake: float, seed: int
) -> FloatArray:
    """Return a random walk of unit sum, see `TrajectoryBlur`.

    Notes
    -----
    The walk has steps of one length; each turns a little at random and back to the
    start, and at times almost round (Boracchi & Foi 2012, with the constants of their
    public code [recalled]). It is scaled to its length at the end.
    """
    rng = np.random.default_rng(seed)
    step = _WALK_LENGTH / _WALK_STEPS
    nervous = float(rng.uniform(0.0, 0.1))
    jolts = (rng.random(_WALK_STEPS) < shake * nervous).tolist()
    turns = (np.pi + rng.uniform(-0.5, 0.5, _WALK_STEPS)).tolist()
    noise = rng.standard_normal((_WALK_STEPS, 2)) * float(rng.uniform(0.0, 10.0))
    drift = (noise[:, 0] + 1j * noise[:, 1]).tolist()
    heading = complex(np.exp(2j * np.pi * rng.random())) * step
    place, path = 0j, [0j]
    for jolt, turn, push in zip(jolts, turns, drift, strict=True):
        change = nervous * (push - inertia * place) * step
        if jolt:
            change += 2 * heading * complex(np.exp(1j * turn))
        heading += change
        heading *= step / (abs(heading) or step)
        place += heading
        path.append(place)
    points = np.array(path) * (length / _WALK_LENGTH)
    return _splat(points.real, points.imag, np.ones(len(points)))


def _splat(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> FloatArray:
    """Draw weighted points, bilinear, centroid in the middle; sum 1."""
    weights = weights / weights.sum()
    x = x - (x * weights).sum()
    y = y - (y * weights).sum()
    half = int(np.ceil(max(np.abs(x).max(), np.abs(y).max()))) + 1
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for dx in (0, 1):
        for dy in (0, 1):
            share = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top))
            np.add.at(kernel, (top + dy + half, left + dx + half), weights * share)
    return kernel.astype(np.float32)
