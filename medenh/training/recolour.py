"""Pictures in other colours, for networks that guess an exposure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from medenh.colour import luma
from medenh.degradations.field_of_view import find_shown_field
from medenh.training.data import CleanImage
from medenh.types import FloatArray

__all__ = ["ColourSwap", "recoloured"]

_FLAT = 0.02  # a square with less between its extremes shows nothing
_INVERTED = 0.15  # share of pictures turned into their negatives
_LEAST_TURN = np.pi / 4  # of the hues; less would look like the picture itself
_THUMBNAIL = 64  # px, of which a picture's colours are measured
_DARKEST = 1 / 255
_NARROW, _WIDE = 0.5, 2.0  # of a change of deviation


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


def _turn_about_grey(angle: float) -> FloatArray:
    """Return the rotation of (R, G, B) about the axis of greys, shape (3, 3)."""
    cos, sin = np.cos(angle), np.sin(angle) / np.sqrt(3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float64)
    turn: FloatArray = cos * np.eye(3) + sin * cross + (1 - cos) / 3
    return turn


class ColourSwap:
    """Gives a picture the colours of another one of its data set [chosen].

    A network learns the few pictures of a small set by heart: their vessels tell it
    their colours, and of a new picture by the same camera it knows nothing. Under
    other pictures' colours all that is left to learn is what the camera's share.

    Parameters
    ----------
    images : sequence of CleanImage
    shares : mapping of str to float
        Data set -> share of its samples that are changed; of others none is.
    """

    def __init__(
        self, images: Sequence[CleanImage], shares: Mapping[str, float]
    ) -> None:
        self._shares = dict(shares)
        self._known: dict[str, list[tuple[FloatArray, FloatArray]]] = defaultdict(list)
        for image in images:
            if image.dataset in shares and image.pixels.shape[2] == 3:
                thumb = _thumbnail(image.pixels)
                field = find_shown_field(thumb) if image.modality == "fundus" else None
                self._known[image.dataset].append(_colours(thumb, field))

    def __call__(
        self,
        pixels: FloatArray,
        field: FloatArray | None,
        dataset: str,
        rng: np.random.Generator,
    ) -> FloatArray:
        """Return a picture, at times in other colours.

        Parameters
        ----------
        pixels : float32 array, shape (H, W, 3), in [0, 1]
        field : float32 array, shape (H, W), or None
            Where the picture is not black; nothing changes elsewhere.
        dataset : str
        rng : Generator
            Untouched where the data set has no share.

        Returns
        -------
        float32 array, same shape, in [0, 1]
            Mean and deviation of each channel's logarithm, between half and a little
            more than all of the way to another picture's.
        """
        known = self._known.get(dataset)
        if not known or rng.random() >= self._shares[dataset]:
            return pixels
        mean, deviation = _colours(pixels, field)
        other_mean, other_deviation = known[int(rng.integers(len(known)))]
        way = rng.uniform(0.5, 1.2)
        ratio = np.clip((other_deviation / deviation) ** way, _NARROW, _WIDE)
        levels = np.log(np.maximum(pixels, _DARKEST))
        changed = (levels - mean) * ratio + mean + (other_mean - mean) * way
        out: FloatArray = np.exp(changed).clip(0, 1).astype(np.float32)
        if field is not None:
            out = pixels + field[..., None] * (out - pixels)
        return out


def _thumbnail(pixels: NDArray[Any]) -> FloatArray:
    side = (_THUMBNAIL, _THUMBNAIL)
    small = cv2.resize(pixels, side, interpolation=cv2.INTER_AREA)
    white = np.float32(np.iinfo(pixels.dtype).max)
    unit: FloatArray = small.astype(np.float32) / white
    return unit


def _colours(
    pixels: FloatArray, field: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return mean and deviation of the logarithm of each channel in a field, (3,)."""
    levels = np.log(np.maximum(pixels, _DARKEST)).reshape(-1, pixels.shape[2])
    weight = np.ones(len(levels)) if field is None else field.reshape(-1)
    mean = np.average(levels, 0, weight)
    spread = np.average((levels - mean) ** 2, 0, weight)
    return mean.astype(np.float32), np.sqrt(spread + 1e-4).astype(np.float32)
