"""What a picture got wrong: residual maps, and overlays of what a task found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medenh.evaluation.result import Evaluation
from medenh.reports.album import Album, open_mask
from medenh.reports.pictures import (
    CRISP_BELOW,
    coloured,
    data_uri,
    fit,
    gradient,
    scale_top,
)
from medenh.reports.ranking import baseline
from medenh.reports.tables import figure_text
from medenh.types import FloatArray

__all__ = [
    "MAX_SIDE",
    "Legend",
    "Scale",
    "Shown",
    "draw_overlays",
    "draw_residuals",
    "source",
]

MAX_SIDE = 512  # pixels
_MAP_SIDE = 384
_QUALITY = 82  # of WebP; larger pictures only, small ones are lossless
_RESIDUALS = "RdBu_r"

# Okabe and Ito's colours that stay apart for colour-blind eyes, on a dimmed picture
_COLOURS = {
    "found": (0.0, 0.62, 0.45),
    "found, true": (0.0, 0.62, 0.45),
    "found, not true": (0.84, 0.37, 0.0),
    "missed": (0.34, 0.71, 0.91),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture: its short name, its data URI, a line below."""

    name: str
    source: str
    below: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the colours of residual maps mean; the fields are the template's."""

    meaning: str
    gradient: str
    ticks: tuple[str, ...]
    clipped: bool


@dataclass(frozen=True, slots=True)
class Legend:
    """A colour of an overlay, and what it stands for."""

    colour: str
    meaning: str


def source(pixels: FloatArray) -> str:
    """Return a picture as a data URI."""
    small = max(pixels.shape[:2]) < CRISP_BELOW
    return data_uri(pixels, None if small else _QUALITY)


def draw_residuals(
    album: Album, left: str, right: str
) -> tuple[tuple[Shown, ...], Scale | None]:
    """Return signed differences to the reference, or to the input without one."""
    to = "reference" if "reference" in album else left
    against = album[to]
    maps = {
        f"{album[key].title} \N{MINUS SIGN} {against.title}": (
            album[key].pixels - against.pixels
        ).mean(axis=2)
        for key in dict.fromkeys((left, right))
        if key != to and album[key].pixels.shape == against.pixels.shape
    }
    if not maps:
        return (), None
    sizes = {name: np.abs(values) for name, values in maps.items()}
    top = scale_top(sizes)
    shown = tuple(
        Shown(
            name,
            source(coloured(0.5 + 0.5 * fit(values, _MAP_SIDE) / top, _RESIDUALS)),
            f"mean size {100 * float(sizes[name].mean()):.2f} %",
        )
        for name, values in maps.items()
    )
    scale = Scale(
        meaning="Difference of the picture to what it is compared with",
        gradient=gradient(_RESIDUALS),
        ticks=tuple(figure_text(v, 0, signed=True) + " %" for v in _ends(top)),
        clipped=any(float(size.max()) > top for size in sizes.values()),
    )
    return shown, scale


def _ends(top: float) -> tuple[float, float, float]:
    return -100.0 * top, 0.0, 100.0 * top


def draw_overlays(
    evaluation: Evaluation, file: str, album: Album
) -> tuple[tuple[Shown, ...], tuple[Legend, ...]]:
    """Return what each task found before and after, laid over the pictures."""
    pictures = evaluation.pictures
    base = baseline(evaluation)
    if pictures is None:
        return (), ()
    shown: list[Shown] = []
    legend: dict[str, Legend] = {}
    for task in evaluation.tasks:
        truth = open_mask(pictures, file, "mask", task)
        for row in dict.fromkeys((base.name if base else "", evaluation.subject)):
            background = album.get(row) or (row == "identity" and album.get("degraded"))
            found = open_mask(pictures, file, row, task)
            if not background or found is None:
                continue
            parts = _parts(found, truth)
            if any(
                area.shape != background.pixels.shape[:2] for area in parts.values()
            ):
                continue
            shown.append(
                Shown(
                    f"{task}, {background.title}",
                    source(fit(_painted(background.pixels, parts), MAX_SIDE)),
                )
            )
            legend |= {name: Legend(_css(_COLOURS[name]), name) for name in parts}
    return tuple(shown), tuple(legend.values())


def _parts(
    found: NDArray[np.bool_], truth: NDArray[np.bool_] | None
) -> dict[str, NDArray[np.bool_]]:
    """Return areas by their meaning, a key of `_COLOURS`."""
    if truth is None or truth.shape != found.shape:
        return {"found": found}
    return {
        "found, true": found & truth,
        "found, not true": found & ~truth,
        "missed": truth & ~found,
    }


def _painted(pixels: FloatArray, parts: Mapping[str, NDArray[np.bool_]]) -> FloatArray:
    """Return a dimmed grey picture with the areas in their colours."""
    grey = 0.6 * pixels.mean(axis=2, keepdims=True)
    painted = np.repeat(grey, 3, axis=2)
    for name, area in parts.items():
        painted[area] = 0.25 * painted[area] + 0.75 * np.array(
            _COLOURS[name], np.float32
        )
    return painted


def _css(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
