"""Box plots as data: where boxes, whiskers, points and ticks stand, in per cent.

The template draws them; widths in per cent let a plot shrink to a phone while its
letters stay readable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medenh.reports.tables import figure_text

__all__ = ["Box", "BoxPlot", "box_plot"]

_MOST_POINTS = 60  # drawn beyond the whiskers of one box
_MARGIN = 0.03  # of the axis, left and right of the data
_ROW_HEIGHT = 44  # CSS pixels
_AXIS_HEIGHT = 26


@dataclass(frozen=True, slots=True)
class Box:
    """One row's figures; positions in per cent of the axis.

    Attributes
    ----------
    name : str
        The row.
    subject : bool
        True for the row that the others are compared with.
    y : int
        Top of its strip, CSS pixels.
    low, first, median, third, high : float
        Lower whisker, quartiles, upper whisker; NaN where nothing is drawn.
    points : tuple of float
        Figures beyond the whiskers.
    words : str
        The same for who cannot see it.
    """

    name: str
    subject: bool
    y: int
    low: float
    first: float
    median: float
    third: float
    high: float
    points: tuple[float, ...]
    words: str

    @property
    def drawn(self) -> bool:
        """False where there is no finite figure."""
        return not math.isnan(self.median)


@dataclass(frozen=True, slots=True)
class BoxPlot:
    """One measure over all rows.

    Attributes
    ----------
    boxes : tuple of Box
    ticks : tuple of (position in per cent, label)
    line : float
        Median of the first row, a line through all strips; NaN for none.
    height : int
        CSS pixels.
    """

    boxes: tuple[Box, ...]
    ticks: tuple[tuple[float, str], ...]
    line: float
    height: int


def box_plot(
    rows: Mapping[str, Sequence[float]], *, subject: str, digits: int
) -> BoxPlot | None:
    """Return the plot of one measure; None where no row has a finite figure.

    Parameters
    ----------
    rows : mapping of str to sequences of float
        Figures of each row. Infinite ones are not drawn, but counted in the words.
    subject : str
        Row to stand out.
    digits : int
        Decimals in the words.

    Notes
    -----
    Boxes go from the first to the third quartile (linear interpolation), whiskers to
    the outermost figures within 1.5 times that distance (J. W. Tukey, Exploratory
    Data Analysis, 1977).
    """
    finite = {name: _finite(values) for name, values in rows.items()}
    everything = np.concatenate([*finite.values(), np.empty(0)])
    if not everything.size:
        return None
    axis = _axis(float(everything.min()), float(everything.max()))
    boxes = tuple(
        _box(name, figures, axis, digits=digits, place=place, subject=name == subject)
        for place, (name, figures) in enumerate(rows.items())
    )
    return BoxPlot(
        boxes=boxes,
        ticks=_ticks(axis),
        line=boxes[0].median,
        height=_ROW_HEIGHT * len(boxes) + _AXIS_HEIGHT,
    )


def _finite(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]


def _axis(low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis; never of no length."""
    margin = _MARGIN * (high - low) or 0.05 * abs(high) or 0.05
    return low - margin, high + margin


def _ticks(axis: tuple[float, float]) -> tuple[tuple[float, str], ...]:
    from matplotlib.ticker import MaxNLocator

    values = [
        float(value)
        for value in MaxNLocator(nbins=5).tick_values(*axis)
        if axis[0] <= value <= axis[1]
    ]
    step = values[1] - values[0] if len(values) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if not math.isclose(round(step, digits), step):  # 0.25: one digit is not enough
        digits += 1
    return tuple((_percent(v, axis), figure_text(v, digits)) for v in values)


def _percent(value: float, axis: tuple[float, float]) -> float:
    return round(100.0 * (value - axis[0]) / (axis[1] - axis[0]), 2)


def _box(
    name: str,
    figures: Sequence[float],
    axis: tuple[float, float],
    *,
    digits: int,
    place: int,
    subject: bool,
) -> Box:
    values = _finite(figures)
    five, points = _five_numbers(values)
    words = "no finite figure"
    if values.size:
        first, median, third = (figure_text(v, digits) for v in five[1:4])
        words = f"median {median}, quartiles {first} and {third}, n = {values.size}"
    infinite = int(np.isinf(np.asarray(figures, np.float64)).sum())
    if infinite:
        words += f", and {infinite} infinite"
    low, first_at, middle, third_at, high = (_percent(v, axis) for v in five)
    return Box(
        name,
        subject,
        _ROW_HEIGHT * place,
        low,
        first_at,
        middle,
        third_at,
        high,
        points=tuple(dict.fromkeys(_percent(float(v), axis) for v in points)),
        words=words,
    )


def _five_numbers(
    values: NDArray[np.float64],
) -> tuple[list[float], NDArray[np.float64]]:
    """Return whiskers and quartiles in order, and the outermost points beyond."""
    if not values.size:
        return [math.nan] * 5, values
    first, median, third = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
    reach = 1.5 * (third - first)
    is_inside = (values >= first - reach) & (values <= third + reach)
    inside, beyond = values[is_inside], np.sort(values[~is_inside])
    half = _MOST_POINTS // 2
    if beyond.size > _MOST_POINTS:
        beyond = np.concatenate([beyond[:half], beyond[-half:]])
    # a quartile between figures may lie beyond the last figure inside the reach
    low, high = min(float(inside.min()), first), max(float(inside.max()), third)
    return [low, first, median, third, high], beyond
