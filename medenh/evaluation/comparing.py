"""Paired tests between rows: over the files that both have figures of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from medenh.evaluation.output import summarise
from medenh.evaluation.result import Column, Row
from medenh.metrics import PairedTests, Summary, paired_tests

__all__ = ["best_row", "best_rows", "compare", "compare_all", "compare_with"]


def compare(
    subject: Row, other: Row, columns: Sequence[Column]
) -> dict[str, PairedTests]:
    """Test a row against another, column by column.

    Returns
    -------
    dict
        Column name -> tests; columns that share no file are left out.
    """
    found: dict[str, PairedTests] = {}
    for column in columns:
        one = _known(subject.scores.get(column.name, {}))
        two = _known(other.scores.get(column.name, {}))
        shared = [file for file in one if file in two]
        if shared:
            found[column.name] = paired_tests(
                [one[file] for file in shared], [two[file] for file in shared]
            )
    return found


def compare_all(
    subject: Row, rows: Sequence[Row], columns: Sequence[Column]
) -> dict[str, dict[str, PairedTests]]:
    """Test a row against every other: row name -> column name -> tests."""
    found = {
        row.name: compare(subject, row, columns)
        for row in rows
        if row.name != subject.name
    }
    return {name: tests for name, tests in found.items() if tests}


def compare_with(
    other: Row, rows: Sequence[Row], columns: Sequence[Column]
) -> dict[str, dict[str, PairedTests]]:
    """Test every row against one: row name -> column name -> tests."""
    found = {
        row.name: compare(row, other, columns) for row in rows if row.name != other.name
    }
    return {name: tests for name, tests in found.items() if tests}


def best_row(rows: Sequence[Row], column: Column) -> Row | None:
    """Return the row of the best mean in a column; None where none has a figure.

    Only rows with figures of the most files compete: a mean over the easy ones is no
    better. The first one of equals, so that order decides and not rounding.
    """
    sign = -1.0 if column.better == "lower" else 1.0
    known = [(row, summarise(row, column.name)) for row in rows]
    full = [(row, summary) for row, summary in known if summary is not None]
    most = max((summary.n - summary.n_undefined for _, summary in full), default=0)
    best: Row | None = None
    highest = -math.inf
    for row, summary in full:
        complete = summary.n - summary.n_undefined == most
        if complete and sign * summary.mean > highest:
            best, highest = row, sign * summary.mean
    return best


def best_rows(
    rows: Sequence[Row], column: Column, found: Mapping[str, Summary | None]
) -> frozenset[str]:
    """Return the names of the rows with the best mean; none where it says nothing.

    Parameters
    ----------
    rows : sequence of Row
        Bounds among them do not compete, nor do means over fewer files than others.
    column : Column
        Which direction is better.
    found : mapping
        Row name -> `summarise` of its figures in this column.

    Returns
    -------
    frozenset of str
        Empty where one row alone competes, all are equal, or some means stand without
        the infinite figures of perfect files and others with none.
    """
    ranked = {
        row.name: summary
        for row in rows
        if not row.is_bound and (summary := found.get(row.name)) is not None
    }
    most = max((s.n - s.n_undefined for s in ranked.values()), default=0)
    ranked = {n: s for n, s in ranked.items() if s.n - s.n_undefined == most}
    unequal = len({summary.n_infinite for summary in ranked.values()}) > 1
    if column.better == "none" or len(ranked) < 2 or unequal:
        return frozenset()
    means = {name: summary.mean for name, summary in ranked.items()}
    top = (max if column.better == "higher" else min)(means.values())
    best = frozenset(name for name, mean in means.items() if mean == top)
    return best if len(best) < len(means) else frozenset()


def _known(scores: Mapping[str, float | None]) -> dict[str, float]:
    return {
        file: value
        for file, value in scores.items()
        if value is not None and math.isfinite(value)
    }
