"""An evaluation as JSON, CSV and text: the same figures as on the page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

from medenh import metrics
from medenh.evaluation.result import Column, Evaluation, Row
from medenh.formats.files import atomic_output
from medenh.metrics import PairedTests, Summary

__all__ = [
    "CSV_BEGINS",
    "JSON_BEGINS",
    "SUMMARY_BEGINS",
    "Mean",
    "as_text",
    "is_latex",
    "means_of",
    "plain",
    "summarise",
    "to_json",
    "write_csv",
    "write_summary",
]

# how the files begin that are written here: an older one may be replaced
JSON_BEGINS = b'{\n  "title":'
CSV_BEGINS = b"file,row"
SUMMARY_BEGINS = b"row,files"


def summarise(row: Row, column: str) -> Summary | None:
    """Return a row's column over the files; None where no file has a figure.

    Parameters
    ----------
    row : Row
    column : str
        Name of the column; one that the row lacks is as one without figures.
    """
    figures = row.scores.get(column, {}).values()
    summary = metrics.summarise([math.nan if v is None else v for v in figures])
    return None if math.isnan(summary.mean) else summary


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return the document of ``evaluate --json``: strict JSON, no NaN, no infinity.

    Parameters
    ----------
    evaluation : Evaluation

    Returns
    -------
    dict
        With a protocol ``{"protocol", "n", "rows": {ROW: {...}}}``, else
        ``{"pairs", "metrics": {...}, "baselines": {ROW: {...}}}``, where ``metrics``
        are those of the subject. Both have ``tests``, ``against_identity``,
        ``region``, ``data_range``, ``columns``, ``unmatched``, ``failed``,
        ``passed_over``, ``notes``, ``settings`` and ``seconds``. A column is
        ``{"mean", "std", "ci95", "median", "n", "per_file"}``, a score of the whole set
        ``{"value", "ci95", "n"}``. What is undefined or infinite is null; ``infinite``
        names the files of infinite figures, which have no part in mean, std and ci95.
    """
    found: dict[str, Any] = {row.name: _row(row, evaluation) for row in evaluation.rows}
    document: dict[str, Any] = {"title": evaluation.title}
    if evaluation.protocol is not None:
        document |= {"protocol": evaluation.protocol, "n": len(evaluation.files)}
        document["rows"] = found
    else:
        document["pairs"] = len(evaluation.files)
        document["metrics"] = found.pop(evaluation.subject, {})
        document["baselines"] = found
    document |= {
        "subject": evaluation.subject,
        "tests": _tests(evaluation.tests),
        "against_identity": _tests(evaluation.against_identity),
        "columns": {column.name: _column(column) for column in evaluation.columns},
        "tasks": evaluation.tasks,
        "region": evaluation.region,
        "data_range": evaluation.data_range,
        "unmatched": evaluation.unmatched,
        "failed": evaluation.failed,
        "passed_over": evaluation.passed_over,
        "notes": evaluation.notes,
        "settings": evaluation.settings,
        "seconds": round(evaluation.seconds, 3),
    }
    strict: dict[str, Any] = plain(document)
    return strict


def write_csv(evaluation: Evaluation, path: str | Path) -> None:
    """Write one line a file and row: file, row, a field a column.

    Figures have full precision; undefined ones are empty, infinite ones ``inf``. Names
    that a spreadsheet would run as a formula have an apostrophe before them (OWASP, CSV
    injection).

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    lines = [["file", "row", *(column.name for column in evaluation.columns)]]
    for file in evaluation.files:
        for row in evaluation.rows:
            scores = (row.scores.get(column.name, {}) for column in evaluation.columns)
            names = (_not_a_formula(file), _not_a_formula(row.name))
            lines.append([*names, *(_field(s.get(file)) for s in scores)])
    _write_lines(lines, path)


def is_latex(path: str | Path) -> bool:
    """Tell by its name whether a summary is LaTeX, and not CSV."""
    return Path(path).suffix.lower() == ".tex"


def write_summary(evaluation: Evaluation, path: str | Path) -> None:
    """Write one line a row: row, files, then mean, ends of the interval, n a column.

    Scores of the whole set follow the columns: value, ends, n. What is undefined is
    empty; names are written as `write_csv` writes them. Under a name in ``.tex`` it is
    the table of `medenh.evaluation.latex.write_latex`.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    if is_latex(path):
        from medenh.evaluation.latex import write_latex  # it needs this module

        write_latex(evaluation, path)
        return
    names, rows = means_of(evaluation)
    head = ["row", "files"]
    for name in names:
        head += [name, f"{name}.low", f"{name}.high", f"{name}.n"]
    lines = [head]
    for row, means in rows:
        line = [_not_a_formula(row.name), str(len(evaluation.files))]
        for mean in means:
            line += map(_field, (mean.value, mean.low, mean.high))
            line.append("" if mean.n is None else str(mean.n))
        lines.append(line)
    _write_lines(lines, path)


def as_text(evaluation: Evaluation) -> str:
    """Return an evaluation in a few lines: means with intervals, a line a row."""
    what = f"protocol {evaluation.protocol}: " if evaluation.protocol else ""
    head = f"{what}{evaluation.title}, n = {len(evaluation.files)}"
    names, rows = means_of(evaluation)
    table = [["", *names]]
    table += [[row.name, *map(_in_short, means)] for row, means in rows]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(wide) for cell, wide in zip(line, widths, strict=True))
        for line in table
    ]
    failed = [f"{len(evaluation.failed)} failed"] if evaluation.failed else []
    notes = [f"note: {note}" for note in evaluation.notes]
    return "\n".join(line.rstrip() for line in (head, *lines, *failed, *notes))


class Mean(NamedTuple):
    """A mean over the files, or a score of the set.

    Attributes
    ----------
    value : float or None
        None, or NaN, where it is undefined.
    low, high : float or None
        Ends of the interval.
    n : int or None
        Files it stands for.
    digits : int
        Decimals worth showing.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int | None
    digits: int

    @property
    def is_known(self) -> bool:
        """Whether there is a figure; it may be infinite."""
        return _is_figure(self.value)


def means_of(
    evaluation: Evaluation,
) -> tuple[list[str], list[tuple[Row, list[Mean]]]]:
    """Return the names of columns, then of scores of the set; and each row's means."""
    sets = (score.name for row in evaluation.rows for score in row.set_scores)
    names = list(dict.fromkeys([*(c.name for c in evaluation.columns), *sets]))
    digits = {column.name: column.digits for column in evaluation.columns}
    lines = []
    for row in evaluation.rows:
        found = _row(row, evaluation)
        means = [_mean(found.get(name), digits.get(name, 3)) for name in names]
        lines.append((row, means))
    return names, lines


def _mean(found: Mapping[str, Any] | None, digits: int) -> Mean:
    """Return value, interval and count of a column or score, as JSON has them."""
    if found is None:
        return Mean(None, None, None, None, digits)
    value = found["mean"] if "mean" in found else found["value"]
    low, high = found["ci95"] or (None, None)
    return Mean(value, low, high, found["n"], digits)


def _in_short(mean: Mean) -> str:
    value, low, high, _, digits = mean
    if not mean.is_known:
        return "-"
    ends = "" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{ends}"


def _write_lines(lines: Iterable[Iterable[str]], path: str | Path) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    with atomic_output(path) as partial:
        # names may hold bytes that are no UTF-8; they are written escaped
        partial.write_bytes(text.getvalue().encode("utf-8", "backslashreplace"))


def _is_figure(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def _not_a_formula(name: str) -> str:
    # the writer quotes a line feed, and in Python 3.11 leaves a lone return as it is
    name = name.replace("\r", "\\r")
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t")) else name


def _field(value: float | None) -> str:
    return repr(float(value)) if value is not None and _is_figure(value) else ""


def _row(row: Row, evaluation: Evaluation) -> dict[str, Any]:
    """Return columns and scores of the set, by name; then time and note."""
    document: dict[str, Any] = {
        column.name: _scores(row, column.name, evaluation)
        for column in evaluation.columns
    }
    document |= {
        score.name: {"value": score.value, "ci95": score.ci95, "n": score.n}
        for score in row.set_scores
    }
    if row.seconds is not None:
        document["seconds"] = round(row.seconds, 3)
    if row.note:
        document["note"] = row.note
    return document


def _scores(row: Row, column: str, evaluation: Evaluation) -> dict[str, Any]:
    summary = summarise(row, column)
    scores = row.scores.get(column, {})
    per_file = {file: scores.get(file) for file in evaluation.files}
    infinite = [f for f, v in per_file.items() if v is not None and math.isinf(v)]
    document: dict[str, Any] = dict.fromkeys(("mean", "std", "ci95", "median"))
    document |= {"n": 0, "per_file": per_file}
    if summary is not None:
        document |= {"mean": summary.mean, "median": summary.median}
        document["n"] = summary.n - summary.n_undefined
        if document["n"] - summary.n_infinite > 1:  # one figure has no spread
            document |= {"std": summary.std, "ci95": summary.ci95}
    return document | ({"infinite": infinite} if infinite else {})


def _tests(
    tests: Mapping[str, Mapping[str, PairedTests]],
) -> dict[str, dict[str, dict[str, Any]]]:
    return {
        name: {column: found._asdict() for column, found in by_column.items()}
        for name, by_column in tests.items()
    }


def _column(column: Column) -> dict[str, str]:
    return {"title": column.title, "unit": column.unit, "better": column.better}


def plain(value: Any) -> Any:
    """Return what JSON knows: numpy's numbers and paths become Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, PathLike):
        return fspath(value)
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | None) else str(value)
