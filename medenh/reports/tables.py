"""Tables of a page: what a cell says, and what it sorts by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from medenh.errors import UsageError

__all__ = ["Cell", "Table", "Value", "figure_text", "p_text", "table_view"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell, or a heading, that says more than one value.

    Attributes
    ----------
    text : str
        What it says; a dash where empty.
    sort : str, float or None
        What it sorts by; None sorts last.
    below : str
        A second line, in small letters.
    mark : str
        A star with this meaning: "best".
    link : str
        A page beside this one.
    """

    text: str
    sort: str | float | None = None
    below: str = ""
    mark: str = ""
    link: str = ""


Value: TypeAlias = str | int | float | Cell | None


@dataclass(frozen=True, slots=True)
class Table:
    """A sortable table.

    Attributes
    ----------
    title : str
        Heading.
    columns : sequence of str or Cell
        Names of the columns.
    rows : sequence of sequences of str, int, float, Cell or None
        Cells; numbers are right-aligned and sort as numbers, None is a dash.
    caption : str
        What the numbers are, in a sentence.
    """

    title: str
    columns: Sequence[str | Cell]
    rows: Sequence[Sequence[Value]]
    caption: str = ""


def figure_text(value: float | None, digits: int, *, signed: bool = False) -> str:
    """Return a figure as text; empty where there is none.

    Examples
    --------
    >>> figure_text(-1.25, 1), figure_text(2.0, 2, signed=True), figure_text(None, 2)
    ('−1.2', '+2.00', '')
    """
    if value is None or math.isnan(value):
        return ""
    text = "∞" if math.isinf(value) else f"{abs(value):.{digits}f}"
    if not text.strip("0."):  # nothing but zeros has no sign
        return text
    return ("\N{MINUS SIGN}" if value < 0 else "+" if signed else "") + text


def p_text(p: float) -> str:
    """Return a p as people write it, never as 0; empty where there is none.

    Examples
    --------
    >>> p_text(0.0312), p_text(1e-9), p_text(float("nan"))
    ('0.031', '< 0.001', '')
    """
    if math.isnan(p):
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def table_view(table: Table) -> dict[str, Any]:
    """Return a table as the templates want it: cells by column, then by row.

    Raises
    ------
    UsageError
        A row is not as long as the table is wide.
    """
    width = len(table.columns)
    for row in table.rows:
        if len(row) != width:
            raise UsageError(
                f"table {table.title!r} has {width} columns, but a row of {len(row)}"
            )
    columns = [[row[i] for row in table.rows] for i in range(width)]
    cells = [
        [_cell(value, _decimals(column)) for value in column] for column in columns
    ]
    return {
        "title": table.title,
        "caption": table.caption,
        "columns": [
            _heading(name) | {"numeric": _is_numeric(column)}
            for name, column in zip(table.columns, columns, strict=True)
        ],
        "rows": [list(row) for row in zip(*cells, strict=True)],
    }


def _heading(name: str | Cell) -> dict[str, str]:
    if isinstance(name, Cell):
        return {"name": name.text, "below": name.below}
    return {"name": name, "below": ""}


def _is_numeric(values: Sequence[Value]) -> bool:
    keys = [value.sort if isinstance(value, Cell) else value for value in values]
    present = [key for key in keys if key is not None]
    return bool(present) and all(isinstance(key, int | float) for key in present)


def _decimals(values: Sequence[Value]) -> int:
    """Return how many decimals a column needs: 0.891, 24.13, 1234."""
    numbers = [abs(v) for v in values if isinstance(v, float) and math.isfinite(v)]
    largest = max(numbers, default=0.0)
    return 3 if largest < 2 else 2 if largest < 1000 else 0


def _cell(value: Value, decimals: int) -> dict[str, str]:
    """Return the text of a cell and what it sorts by; empty sorts last."""
    if isinstance(value, Cell):
        sort = _sort_key(value.sort)
        return {"text": value.text, "sort": sort, "below": value.below} | {
            "mark": value.mark,
            "link": value.link,
        }
    text = figure_text(value, decimals) if isinstance(value, float) else value
    return {
        "text": "" if text is None else str(text),
        "sort": _sort_key(value),
        "below": "",
        "mark": "",
        "link": "",
    }


def _sort_key(value: str | float | None) -> str:
    """Return what the script can sort by."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value) if isinstance(value, float) else str(value)
