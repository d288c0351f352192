"""Cut a frame into tiles and put it together again; plain index arithmetic.

A tile has a core, which it answers for, and a halo around it, which it only sees. With
a halo as wide as the network's receptive field, cores laid side by side are the whole
image's answer. Where no halo is wide enough (global statistics), tiles overlap and are
feathered, which hides the seams but is not exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medenh.types import FloatArray

__all__ = ["Span", "Tile", "feather", "make_grid", "make_spans", "round_up"]


@dataclass(frozen=True, slots=True)
class Span:
    """One tile along one axis: start <= core_start < core_stop <= stop."""

    start: int
    stop: int
    core_start: int
    core_stop: int

    @property
    def seen(self) -> slice:
        """What the network sees, halo and all."""
        return slice(self.start, self.stop)

    @property
    def core(self) -> slice:
        """What the tile answers for."""
        return slice(self.core_start, self.core_stop)

    @property
    def inner(self) -> slice:
        """The core, counted from the tile's own edge."""
        return slice(self.core_start - self.start, self.core_stop - self.start)


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a frame."""

    rows: Span
    columns: Span

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return (
            self.rows.stop - self.rows.start,
            self.columns.stop - self.columns.start,
        )


def round_up(number: int, multiple: int) -> int:
    """Return the smallest multiple that is not below ``number``.

    Examples
    --------
    >>> round_up(121, 16)
    128
    """
    return -(-number // multiple) * multiple


def make_spans(length: int, core: int, halo: int, multiple: int = 1) -> list[Span]:
    """Return spans whose cores cover an axis once, in order.

    Parameters
    ----------
    length : int
        Pixels along the axis, at least 1.
    core : int
        Largest core wanted; cores are made equal, so that no sliver is left over.
    halo : int
        Pixels seen on each side, where the image has them.
    multiple : int
        Every tile starts on a multiple of this, so that a network that halves its
        input meets the same grid as on the whole image.

    Returns
    -------
    list of Span

    Examples
    --------
    >>> [(s.start, s.core_start, s.core_stop, s.stop) for s in make_spans(10, 5, 2)]
    [(0, 0, 5, 7), (3, 5, 10, 10)]
    """
    halo = round_up(halo, multiple)
    count = -(-length // max(core, 1))
    core = round_up(-(-length // count), multiple)
    return [
        Span(
            start=max(0, begin - halo),
            stop=min(length, begin + core + halo),
            core_start=begin,
            core_stop=min(length, begin + core),
        )
        for begin in range(0, length, core)
    ]


def make_grid(
    height: int, width: int, *, core: int, halo: int, multiple: int = 1
) -> list[Tile]:
    """Return the tiles of a frame, row by row; a single one where it fits a core."""
    rows = make_spans(height, core, halo, multiple)
    columns = make_spans(width, core, halo, multiple)
    return [Tile(row, column) for row in rows for column in columns]


def feather(spans: Sequence[Span]) -> dict[Span, FloatArray]:
    """Return each span's weights along the axis: ramps that add up to one everywhere.

    Parameters
    ----------
    spans : sequence of Span
        All spans of one axis, as `make_spans` gives them.

    Returns
    -------
    dict of float32 arrays, each as long as its span
    """
    length = max(span.stop for span in spans)
    raw = {span: _trapezoid(span, length) for span in spans}
    total = np.zeros(length)
    for span, weights in raw.items():
        total[span.seen] += weights
    return {
        span: (weights / total[span.seen]).astype(np.float32)
        for span, weights in raw.items()
    }


def _trapezoid(span: Span, length: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return weights that fall linearly to the span's inner edges, never to zero."""
    position = np.arange(span.start, span.stop, dtype=np.float64) + 0.5
    weights = np.ones_like(position)
    if span.start > 0:
        ramp = 2.0 * (span.core_start - span.start) + 1.0
        weights = np.minimum(weights, (position - span.start + 0.5) / ramp)
    if span.stop < length:
        ramp = 2.0 * (span.stop - span.core_stop) + 1.0
        weights = np.minimum(weights, (span.stop - position + 0.5) / ramp)
    return weights
