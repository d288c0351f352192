"""The tables of an evaluation: means, scores of the set, tests, every file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from medenh.evaluation.comparing import best_rows
from medenh.evaluation.output import summarise
from medenh.evaluation.result import Column, Evaluation, Row, SetScore
from medenh.metrics import PairedTests, Summary
from medenh.reports.ranking import baseline, change, rank, score
from medenh.reports.tables import Cell, Table, Value, figure_text, p_text

__all__ = [
    "FileTable",
    "Group",
    "file_table",
    "mean_table",
    "paired_tables",
    "set_table",
]

_BETTER = {"higher": "higher is better", "lower": "lower is better", "none": ""}
_SIGNIFICANT = 0.05
_FEWEST_PAIRS = 6  # of 5 the smallest two-sided Wilcoxon p is 0.0625
_TESTS = (
    "Measure",
    "Mean difference",
    "Verdict",
    "Wilcoxon p",
    "t-test p",
    "Pairs",
)
_TESTED = (
    "two-sided p, not corrected for the number of tests. The verdict says which way "
    "the mean differs where the Wilcoxon p is below 0.05; of fewer than "
    f"{_FEWEST_PAIRS} pairs none can be. Pairs with an infinite or undefined figure "
    "are left out."
)


def mean_table(evaluation: Evaluation) -> Table:
    """Return rows by columns: means with intervals; the best one has a star."""
    columns, rows = evaluation.columns, evaluation.rows
    found = {
        column.name: {row.name: summarise(row, column.name) for row in rows}
        for column in columns
    }
    best = {c.name: best_rows(rows, c, found[c.name]) for c in columns}
    timed = any(row.seconds is not None for row in rows)
    cells: list[list[Value]] = [
        [
            row_name(row, evaluation.subject),
            *(
                _mean_cell(
                    found[column.name][row.name],
                    column,
                    files=len(evaluation.files),
                    best=row.name in best[column.name],
                )
                for column in columns
            ),
            *([_seconds_cell(row.seconds)] if timed else []),
        ]
        for row in rows
    ]
    headings = [heading(column) for column in columns]
    return Table(
        "Results",
        ["Method", *headings, *(["Seconds"] if timed else [])],
        cells,
        "Means over the files, with 95 % bootstrap intervals. ★ marks the best mean of "
        "a column; bounds, clean pictures and methods with figures of fewer files than "
        "others are not ranked. Infinite figures (equal pictures) are "
        "counted, but have no part in mean and interval."
        + (" Seconds: what the method took for all files." if timed else ""),
    )


def _seconds_cell(seconds: float | None) -> Cell:
    return Cell(figure_text(seconds, 1), seconds)


def heading(column: Column) -> Cell:
    """Return a column's title with its unit, and which direction is better."""
    unit = f" ({column.unit})" if column.unit else ""
    return Cell(column.title + unit, below=_BETTER[column.better])


def row_name(row: Row, subject: str) -> Cell:
    """Return a row's name with its note."""
    notes = [
        "does nothing" if row.name == "identity" else "",
        "method under test" if row.name == subject else "",
        row.note,
    ]
    return Cell(row.name, row.name, "; ".join(dict.fromkeys(filter(None, notes))))


def _mean_cell(
    summary: Summary | None, column: Column, *, files: int, best: bool
) -> Cell:
    if summary is None:
        return Cell("")
    defined = summary.n - summary.n_undefined
    several = defined - summary.n_infinite > 1
    below = [_interval(summary.ci95 if several else None, column.digits)]
    if defined < files:
        below.append(f"n = {defined}")
    if summary.n_infinite:
        below.append(f"{summary.n_infinite} infinite")
    return Cell(
        figure_text(summary.mean, column.digits),
        summary.mean,
        ", ".join(filter(None, below)),
        "best" if best else "",
    )


def _interval(ends: tuple[float, float] | None, digits: int) -> str:
    if ends is None:
        return ""
    return f"[{figure_text(ends[0], digits)}, {figure_text(ends[1], digits)}]"


def set_table(evaluation: Evaluation) -> Table | None:
    """Return the scores of the whole set; None where there are none."""
    titles: dict[str, str] = {
        s.name: s.title for row in evaluation.rows for s in row.set_scores
    }
    if not titles:
        return None
    rows: list[list[Value]] = []
    for row in evaluation.rows:
        scores = {one.name: one for one in row.set_scores}
        files = len(evaluation.files)
        cells = [_set_cell(scores.get(name), files) for name in titles]
        rows.append([row_name(row, evaluation.subject), *cells])
    return Table(
        "Scores of the whole set",
        ["Method", *titles.values()],
        rows,
        "One figure for all files together, with 95 % bootstrap intervals over files. "
        "A share that came back is 0 where nothing was regained, 1 where all was.",
    )


def _set_cell(one: SetScore | None, files: int) -> Cell:
    if one is None or one.value is None or math.isnan(one.value):
        return Cell("")
    below = [_interval(one.ci95, 3)]
    if one.n is not None and one.n < files:
        below.append(f"n = {one.n}")
    return Cell(figure_text(one.value, 3), one.value, ", ".join(filter(None, below)))


def paired_tables(evaluation: Evaluation) -> list[Table]:
    """Return the subject against every other row, and every row against doing nothing.

    What was not tested has no table.
    """
    subject = evaluation.subject
    tables = [
        _paired_table(
            evaluation,
            evaluation.tests,
            Table(
                f"Paired tests of {subject}",
                ["Against", *_TESTS],
                (),
                f"{subject} minus the other method on the same files; {_TESTED}",
            ),
        ),
        _paired_table(
            evaluation,
            evaluation.against_identity,
            Table(
                "Paired tests against doing nothing",
                ["Method", *_TESTS],
                (),
                f"The method minus identity on the same files; {_TESTED}",
            ),
        ),
    ]
    return [table for table in tables if table.rows]


def _paired_table(
    evaluation: Evaluation,
    tests: Mapping[str, Mapping[str, PairedTests]],
    empty: Table,
) -> Table:
    """Return a table with a line for each row and column that were tested."""
    rows: list[list[Value]] = [
        [
            name,
            column.title,
            _difference_cell(found.difference, column),
            _verdict(found, column),
            _p_cell(found.wilcoxon_p),
            _p_cell(found.t_p),
            _pairs_cell(found),
        ]
        for name, by_column in tests.items()
        for column in evaluation.columns
        if (found := by_column.get(column.name)) is not None
    ]
    return replace(empty, rows=rows)


def _difference_cell(difference: float, column: Column) -> Cell:
    text = figure_text(difference, column.digits, signed=True)
    if not text:
        return Cell("")
    return Cell(f"{text} {column.unit}".strip(), difference)


def _pairs_cell(tests: PairedTests) -> Cell:
    left_out = f"{tests.left_out} left out" if tests.left_out else ""
    return Cell(str(tests.pairs), tests.pairs, left_out)


def _p_cell(p: float) -> Cell:
    return Cell(text, p) if (text := p_text(p)) else Cell("")


def _verdict(tests: PairedTests, column: Column) -> str:
    if tests.pairs < _FEWEST_PAIRS:
        return "too few pairs for a verdict"
    if tests.wilcoxon_p >= _SIGNIFICANT or not tests.difference:
        return "no difference shown"
    if column.better == "none":
        return "higher" if tests.difference > 0 else "lower"
    return (
        "better" if (tests.difference > 0) == (column.better == "higher") else "worse"
    )


@dataclass(frozen=True, slots=True)
class Group:
    """Columns of one measure in the table of files: one a row, then the change."""

    title: str
    width: int


@dataclass(frozen=True, slots=True)
class FileTable:
    """Every file's figures.

    Attributes
    ----------
    groups : tuple of Group
    headings : tuple of str
        One a column, after the file's.
    lines : tuple of (file, figures as text)
    total : int
        Files in all; more than lines where some are left out.
    """

    groups: tuple[Group, ...]
    headings: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]
    total: int


def file_table(evaluation: Evaluation, most: int) -> FileTable:
    """Return the table of files; of too many, those that gained least.

    Parameters
    ----------
    evaluation : Evaluation
    most : int
        Files to show.
    """
    base = baseline(evaluation)
    compared = base is not None and any(
        row.name == evaluation.subject for row in evaluation.rows
    )
    names = [row.name for row in evaluation.rows]
    headings = [*names, *(["change"] if compared else [])]
    files = evaluation.files
    if len(files) > most:
        ranked = rank(evaluation)
        known = set(ranked)
        ranked += [file for file in files if file not in known]
        kept = set(ranked[:most])
        files = tuple(file for file in files if file in kept)
    return FileTable(
        groups=tuple(
            Group(heading(column).text, len(headings)) for column in evaluation.columns
        ),
        headings=tuple(headings) * len(evaluation.columns),
        lines=tuple((file, _line(evaluation, file, compared)) for file in files),
        total=len(evaluation.files),
    )


def _line(evaluation: Evaluation, file: str, compared: bool) -> tuple[str, ...]:
    cells: list[str] = []
    for column in evaluation.columns:
        cells.extend(
            figure_text(score(row, column.name, file), column.digits)
            for row in evaluation.rows
        )
        if compared:
            difference = change(evaluation, column, file)
            cells.append(figure_text(difference, column.digits, signed=True))
    return tuple(cells)
