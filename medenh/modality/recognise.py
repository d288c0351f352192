"""Tell the modality of a picture by its looks: a small network on hand-made figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medenh.modality.features import features, without_border
from medenh.types import Image

__all__ = ["OTHER", "Likeness", "probabilities", "recognise"]

OTHER = "other"
_NETWORK = Path(__file__).with_name("network.json")
_FURTHEST = 4.0  # standard deviations: figures further off say no more
_SMALLEST = 32  # px: smaller pictures show too little to be judged
_MOST_FRAMES = 3  # of a volume, evenly spread
_MOST_SIDE = 768  # px: of larger frames every n-th row and column is looked at

_NAMES = {
    "fundus": "a fundus photograph",
    "xray": "an X-ray",
    "ct": "a CT slice",
    "mri": "an MRI slice",
    "dermoscopy": "a dermoscopic picture",
    "microscopy": "a micrograph",
    "endoscopy": "an endoscopic picture",
    "ultrasound": "an ultrasound picture",
    OTHER: "no medical picture",
}

_Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like each kind of picture a picture looks.

    Attributes
    ----------
    shares : mapping of str to float
        Probability of each modality, and of "other": noise, drawings, photographs of
        everyday things. They add up to 1.
    """

    shares: Mapping[str, float]

    @property
    def best(self) -> str:
        """The likeliest kind."""
        return max(self.shares, key=lambda kind: self.shares[kind])

    def __str__(self) -> str:
        """Return the likeliest kind in words, with its probability."""
        return f"{_NAMES[self.best]} ({self.shares[self.best]:.2f})"

    def suits(self, modalities: Sequence[str]) -> bool:
        """Tell whether a picture may well be of one of some modalities.

        The least probability that passes is one that nearly all pictures of a modality
        have, degraded ones included. A modality whose looks were never learnt may be.
        """
        least = _network().thresholds
        return any(
            self.shares.get(kind, 1.0) >= least.get(kind, 0.0) for kind in modalities
        )


class _Network(NamedTuple):
    kinds: tuple[str, ...]
    mean: _Array
    deviation: _Array
    layers: tuple[tuple[_Array, _Array], ...]
    thresholds: Mapping[str, float]


def recognise(image: Image) -> Likeness | None:
    """Return what an image looks like.

    Parameters
    ----------
    image : Image
        Of a volume the frames at a quarter, a half and three quarters count alike.

    Returns
    -------
    Likeness or None
        None for pictures of less than 32 px a side.

    Notes
    -----
    [chosen] A network of one hidden layer on the figures of
    `medenh.modality.features`, fitted by `scripts/fit_modality.py` on eight modalities,
    clean and degraded, and on made-up pictures and photographs. How often it errs is
    in docs/enhance.md. It knows the anatomy of its training pictures only: chests of
    X-rays, brains of MRI, breasts of ultrasound.
    """
    if min(image.height, image.width) < _SMALLEST:
        return None
    count = min(image.frames, _MOST_FRAMES)
    at = {round(image.frames * (i + 1) / (count + 1) - 0.5) for i in range(count)}
    shares = np.mean([_shares(_frame(image, index)) for index in sorted(at)], axis=0)
    return Likeness(dict(zip(_network().kinds, shares.tolist(), strict=True)))


def _shares(frame: NDArray[np.float32]) -> _Array:
    """Return the probability of each kind for a frame, shape (kinds,).

    The training pictures have the borders of their sources; files as cameras and
    screens write them often have more black around. So both are looked at, with the
    border and without, and the one that is surer to be some kind of medicine counts.
    """
    network = _network()
    inner = without_border(frame)
    views = [frame] if inner.shape == frame.shape else [frame, inner]
    shares = probabilities(network, np.stack([features(view) for view in views]))
    medical = [at for at, kind in enumerate(network.kinds) if kind != OTHER]
    surest: _Array = shares[shares[:, medical].max(axis=1).argmax()]
    return surest


def _frame(image: Image, index: int) -> NDArray[np.float32]:
    """Return a frame as (height, width, channels) in [0, 1], thinned out if large."""
    from medenh import intensity

    step = -(-max(image.height, image.width) // _MOST_SIDE)
    part = image.pixels[index : index + 1, ::step, ::step]
    return np.moveaxis(intensity.to_unit(part, image.unit_range)[0], 0, -1)


def probabilities(network: Any, figures: _Array) -> _Array:
    """Return the probability of each kind, shape (N, kinds).

    Parameters
    ----------
    network : tuple with mean, deviation, layers
        Of each layer the weights, shape (in, out), and the offsets.
    figures : array, shape (N, figures)
    """
    standard = (figures - network.mean) / network.deviation
    values = np.clip(standard, -_FURTHEST, _FURTHEST)
    *hidden, last = network.layers
    for weights, offsets in hidden:
        values = np.maximum(values @ weights + offsets, 0)
    logits = values @ last[0] + last[1]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: _Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


@lru_cache(maxsize=1)
def _network() -> _Network:
    """Return the fitted network; the package's data, read once."""
    stored = json.loads(_NETWORK.read_text("utf-8"))
    layers = tuple(
        (np.array(layer["weights"]), np.array(layer["offsets"]))
        for layer in stored["layers"]
    )
    return _Network(
        kinds=tuple(stored["kinds"]),
        mean=np.array(stored["mean"]),
        deviation=np.array(stored["deviation"]),
        layers=layers,
        thresholds=stored["thresholds"],
    )
