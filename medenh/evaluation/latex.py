"""The table of an evaluation's means as LaTeX, for a paper; it needs no package."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from medenh.evaluation.comparing import best_rows
from medenh.evaluation.output import Mean, means_of, summarise
from medenh.evaluation.result import Evaluation
from medenh.formats.files import atomic_output

__all__ = ["LATEX_BEGINS", "write_latex"]

LATEX_BEGINS = b"% medenh evaluate"  # an older file of this may be replaced

_ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", "none": ""}
_ESCAPES = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        # in the fonts that LaTeX has by itself these are other signs
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        # first in a line they would belong to the end of the one before
        "[": "{[}",
        "*": "{*}",
    }
)


def write_latex(evaluation: Evaluation, path: str | Path) -> None:
    """Write a ``tabular``: a line a row, of means with their 95 % intervals.

    The best of a column is bold, where the page marks it. A mean over fewer files than
    were measured has its n, what is undefined is a dash. Comments before the table tell
    what it is of, and the notes.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    names, rows = means_of(evaluation)
    best = _best(evaluation)
    lines = [*map(_comment, _comments(evaluation))]
    lines += [rf"\begin{{tabular}}{{l{'r' * len(names)}}}", r"\hline"]
    lines += [_line(["method", *_headings(evaluation, names)]), r"\hline"]
    for row, means in rows:
        cells = [
            _cell(mean, len(evaluation.files), is_best=row.name in best.get(name, ()))
            for name, mean in zip(names, means, strict=True)
        ]
        lines.append(_line([_escaped(row.name), *cells]))
    lines += [r"\hline", r"\end{tabular}"]
    with atomic_output(path) as partial:
        partial.write_bytes("".join(f"{line}\n" for line in lines).encode())


def _comments(evaluation: Evaluation) -> Iterator[str]:
    what = f"protocol {evaluation.protocol}: " if evaluation.protocol else ""
    yield (
        f"medenh evaluate: {what}{evaluation.title}, n = {len(evaluation.files)}, "
        f"region {evaluation.region}, range {evaluation.data_range}; mean "
        "[95 % interval], bold is best"
    )
    yield from (f"{row.name}: {row.note}" for row in evaluation.rows if row.note)
    yield from (f"note: {note}" for note in evaluation.notes)
    if evaluation.failed:
        yield f"{len(evaluation.failed)} failed"


def _comment(text: str) -> str:
    return f"% {_readable(' '.join(text.split()))}"


def _headings(evaluation: Evaluation, names: list[str]) -> Iterator[str]:
    columns = {column.name: column for column in evaluation.columns}
    for name in names:
        column = columns.get(name)
        unit = f", {_escaped(column.unit)}" if column and column.unit else ""
        arrow = _ARROWS[column.better] if column else ""
        yield f"{_escaped(name)}{unit}{arrow}"


def _best(evaluation: Evaluation) -> dict[str, frozenset[str]]:
    """Return the names of the best rows, column by column."""
    rows = evaluation.rows
    return {
        column.name: best_rows(
            rows, column, {row.name: summarise(row, column.name) for row in rows}
        )
        for column in evaluation.columns
    }


def _cell(mean: Mean, files: int, *, is_best: bool) -> str:
    if mean.value is None or not mean.is_known:
        return "--"
    text = _number(mean.value, mean.digits)
    if is_best:
        text = rf"\mathbf{{{text}}}"
    if mean.low is not None and mean.high is not None:
        ends = (_number(end, mean.digits) for end in (mean.low, mean.high))
        text += rf"\ [{', '.join(ends)}]"
    fewer = mean.n is not None and mean.n < files
    return f"${text}$" + (f" ($n = {mean.n}$)" if fewer else "")


def _number(value: float, digits: int) -> str:
    if math.isinf(value):
        return r"\infty" if value > 0 else r"-\infty"
    return f"{value:.{digits}f}"


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return _readable(" ".join(text.split())).translate(_ESCAPES)


def _readable(text: str) -> str:
    """Return a text of which bytes that are no UTF-8 are written out."""
    return text.encode("utf-8", "backslashreplace").decode()
