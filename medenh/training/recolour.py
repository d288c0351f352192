"""Pictures in colours or tones of no data set."""

from __future__ import annotations

import numpy as np

from medenh.colour import luma
from medenh.types import FloatArray

__all__ = ["lifted", "recoloured", "retoned"]

_FLAT = 0.02  # a square with less between its extremes shows nothing
_INVERTED = 0.15  # share of pictures turned into their negatives
_LEAST_TURN = np.pi / 4  # of the hues; less would look like the picture itself
_LIFT = (0.05, 0.5)  # what black becomes
_KNOTS = np.array((0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0))  # of the brightest tone
_STEEPEST = 1.6  # a steeper curve would show the picture's own noise and rounding


def recoloured(pixels: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return a picture with turned hues and another curve of tones, black to white.

    A network that guesses the exposure of a picture knows it from the pictures it
    learnt from. What it should do with a stain or a lamp that none of them shows has
    to be learnt as well: such pictures mostly use the whole range [chosen].

    Parameters
    ----------
    pixels : float32 array, shape (H, W, 1 or 3), in [0, 1]
    rng : Generator

    Returns
    -------
    float32 array, same shape, in [0, 1]
        Grey pictures come back as they are, because other tones alone do not look
        unlike them, and so do nearly flat ones.
    """
    if pixels.shape[2] == 1:
        return pixels
    grey = luma(pixels)
    low, high = np.quantile(grey, (0.005, 0.995))
    if high - low < _FLAT or not np.ptp(pixels, axis=2).any():
        return pixels
    tones = np.clip((grey - low) / (high - low), 0.0, 1.0)
    if rng.random() < _INVERTED:
        tones = 1.0 - tones
    black, white = rng.uniform(0.0, 0.06), rng.uniform(0.9, 1.0)
    tones = black + (white - black) * tones ** np.exp(rng.uniform(-0.5, 0.5))
    turn = _turn_about_grey(rng.uniform(_LEAST_TURN, 2 * np.pi - _LEAST_TURN))
    chroma = (pixels - grey[..., None]) @ turn.T
    gain = rng.uniform(0.3, 1.7) * min((white - black) / (high - low), 3.0)
    out: FloatArray = (tones[..., None] + gain * chroma).clip(0, 1).astype(np.float32)
    return out


def retoned(pixels: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return a grey picture whose tones went through a random curve; black stays.

    Such are other contrasts of the same head: tissue that was bright becomes dark, or
    as bright as its neighbour. A denoiser that never saw large dark tissue takes it for
    air and blackens it; with such pictures less so [measured, docs/experiments.md].

    Parameters
    ----------
    pixels : float32 array, shape (H, W, 1 or 3), in [0, 1]
    rng : Generator

    Returns
    -------
    float32 array, same shape, in [0, 1]
        Colour pictures come back as they are, and so do nearly black ones.
    """
    from scipy.interpolate import PchipInterpolator

    top = float(pixels.max())
    if pixels.shape[2] != 1 or top < _FLAT:
        return pixels
    tones = rng.uniform(0.0, 1.0, _KNOTS.size)
    tones[:2] = 0.0, rng.uniform(0.03, 0.2)  # air stays air
    reach = _STEEPEST * np.diff(_KNOTS)
    for index in range(2, _KNOTS.size):
        before = tones[index - 1]
        step = np.clip(tones[index] - before, -reach[index - 1], reach[index - 1])
        tones[index] = before + step
    curve = PchipInterpolator(_KNOTS, tones)
    out: FloatArray = (top * curve(pixels / top)).clip(0, 1).astype(np.float32)
    return out


def lifted(pixels: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return a grey picture whose black is a random grey, and white stays white.

    It shows tissue from edge to edge, as a slice of a spine or a knee may, where
    pictures of heads have air around. A denoiser that saw air in all of them takes
    large dark tissue for it [measured, docs/experiments.md].

    Parameters
    ----------
    pixels : float32 array, shape (H, W, 1 or 3), in [0, 1]
    rng : Generator

    Returns
    -------
    float32 array, same shape, in [0, 1]
        Colour pictures come back as they are.
    """
    if pixels.shape[2] != 1:
        return pixels
    black = np.float32(rng.uniform(*_LIFT))
    return black + (1 - black) * pixels


def _turn_about_grey(angle: float) -> FloatArray:
    """Return the rotation of (R, G, B) about the axis of greys, shape (3, 3)."""
    cos, sin = np.cos(angle), np.sin(angle) / np.sqrt(3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float64)
    turn: FloatArray = cos * np.eye(3) + sin * cross + (1 - cos) / 3
    return turn
