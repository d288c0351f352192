from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib import cbook

from medenh.reports.boxplots import box_plot


def values_of(seed, count=40):
    return np.random.default_rng(seed).standard_t(2, count)


def draw(rows, **options):
    return box_plot(rows, **{"subject": "b", "digits": 2} | options)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_are_those_of_matplotlib(seed):
    values = values_of(seed)
    box = draw({"a": values}).boxes[0]
    (expected,) = cbook.boxplot_stats(values)
    low, high = values.min(), values.max()
    margin = 0.03 * (high - low)

    def at(value):
        return 100 * (value - low + margin) / (high - low + 2 * margin)

    keys = ("whislo", "q1", "med", "q3", "whishi")
    found = (box.low, box.first, box.median, box.third, box.high)
    assert found == pytest.approx([at(expected[key]) for key in keys], abs=0.011)
    assert sorted(box.points) == pytest.approx(
        sorted(at(value) for value in expected["fliers"]), abs=0.011
    )


def test_rows_share_one_axis_and_the_first_gives_the_line():
    plot = draw({"a": [0.0, 1.0, 2.0], "b": [2.0, 3.0, 4.0]})
    first, second = plot.boxes
    assert first.high == second.low
    assert plot.line == first.median
    assert [box.subject for box in plot.boxes] == [False, True]
    assert second.y > first.y


def test_ticks_lie_where_they_say():
    for seed in range(5):
        values = values_of(seed) * 10.0 ** (seed - 3)
        low, high = values.min(), values.max()
        margin = 0.03 * (high - low)
        ticks = draw({"a": values}).ticks
        assert len({label for _, label in ticks}) == len(ticks) >= 2
        for at, label in ticks:
            value = float(label.replace("\N{MINUS SIGN}", "-"))
            where = 100 * (value - low + margin) / (high - low + 2 * margin)
            assert where == pytest.approx(at, abs=0.02)


@pytest.mark.parametrize("value", [0.0, 3.0, -1e9, 1e-9])
def test_equal_figures_stand_in_the_middle(value):
    plot = draw({"a": [value] * 3})
    assert plot.boxes[0].median == pytest.approx(50)
    assert plot.boxes[0].first == plot.boxes[0].third


def test_infinite_figures_are_counted_and_not_drawn():
    plot = draw({"a": [1.0, 2.0, math.inf], "b": [math.inf]})
    assert plot.boxes[0].words.endswith("and 1 infinite")
    assert "n = 2" in plot.boxes[0].words
    assert not plot.boxes[1].drawn
    assert draw({"a": [math.inf], "b": []}) is None
    assert draw({}) is None


def test_thousands_of_outliers_stay_few():
    values = np.concatenate([np.zeros(10_000), np.linspace(1, 100, 2000)])
    points = draw({"a": values}).boxes[0].points
    assert len(points) <= 60
    assert max(points) > 95
