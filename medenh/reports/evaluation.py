"""The page of an evaluation: tables, box plots, best and worst cases, settings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medenh.errors import UsageError
from medenh.evaluation.output import plain
from medenh.evaluation.result import Column, Evaluation
from medenh.reports.boxplots import BoxPlot, box_plot
from medenh.reports.cases import CaseView, draw_cases
from medenh.reports.page import render, write_page
from medenh.reports.ranking import GROUPS, baseline, choose, score
from medenh.reports.score_tables import (
    file_table,
    heading,
    mean_table,
    paired_tables,
    set_table,
)
from medenh.reports.tables import table_view

__all__ = ["MAX_CASES", "MAX_PAGE_BYTES", "write_evaluation_report"]

MAX_CASES = 12
MAX_PAGE_BYTES = 15_000_000
_MOST_CELLS = 60_000  # of the table of files; a browser sorts these at once
_MOST_LISTED = 200  # names of files without a partner, or failed
_MOST_LETTERS = 4000  # of one setting
_TEMPLATE = "evaluation.html.j2"
_REGIONS = {
    "whole": "whole picture",
    "fov": "field of view",
    "mask": "inside the masks",
}


def write_evaluation_report(
    evaluation: Evaluation,
    path: Path,
    *,
    max_cases: int = MAX_CASES,
    limit_bytes: int = MAX_PAGE_BYTES,
) -> None:
    """Write one self-contained HTML page, whole or not at all.

    Equal evaluations give equal bytes.

    Parameters
    ----------
    evaluation : Evaluation
    path : path
        The page; replaced if it exists.
    max_cases : int
        Files to show in pictures: a third each that gained least, middling and most
        in the first column.
    limit_bytes : int
        Size to stay below: first cases are left out, then lines of the table of
        files, and the page says so.

    Raises
    ------
    UsageError
        The number of cases is negative.
    OutputError
        The page cannot be written.
    """
    if max_cases < 0:
        raise UsageError(f"a page cannot show {max_cases} cases")
    parts = _parts(evaluation)
    width = max(1, len(evaluation.columns) * (len(evaluation.rows) + 1))
    most = min(len(evaluation.files), max(1, _MOST_CELLS // width))
    parts["files"] = file_table(evaluation, most)
    page = _page(parts, ())
    while len(page) > limit_bytes and most:
        most //= 2
        parts["files"] = file_table(evaluation, most)
        page = _page(parts, ())
    places = choose(evaluation, max_cases if evaluation.pictures else 0)
    cases = draw_cases(evaluation, places, room=limit_bytes - len(page))
    write_page(path, _page(parts, cases) if cases else page)


def _page(parts: Mapping[str, Any], cases: Sequence[CaseView]) -> bytes:
    groups = {
        group: sorted(
            (case for case in cases if case.place.group == group),
            key=lambda case: case.place.position,
            reverse=group == GROUPS[2],
        )
        for group in GROUPS
    }
    shown = {name: group for name, group in groups.items() if group}
    return render(_TEMPLATE, {**parts, "groups": shown})


def _parts(evaluation: Evaluation) -> dict[str, Any]:
    """Return what the template wants, but for the files and the cases."""
    base = baseline(evaluation)
    tables = [
        mean_table(evaluation) if evaluation.rows else None,
        set_table(evaluation),
        *paired_tables(evaluation),
    ]
    return {
        "title": evaluation.title,
        "facts": _facts(evaluation),
        "notes": evaluation.notes,
        "troubles": _troubles(evaluation),
        "tables": [table_view(table) for table in tables if table is not None],
        "plots": _plots(evaluation),
        "command": _command(evaluation),
        "settings": _settings(evaluation),
        "subject": evaluation.subject,
        "compared_with": base.name if base else "",
        "ranked_by": _ranked_by(evaluation),
    }


def _ranked_by(evaluation: Evaluation) -> str:
    base = baseline(evaluation)
    if not evaluation.columns:
        return "name"
    title = evaluation.columns[0].title
    if base is None:
        return f"{title} of {evaluation.subject}"
    return f"gain in {title}: {evaluation.subject} against {base.name}"


def _facts(evaluation: Evaluation) -> dict[str, str]:
    facts = {
        "Protocol": evaluation.protocol or "own pairs",
        "Files measured": f"{len(evaluation.files):,}",
        "Method under test": evaluation.subject,
        "Region": _REGIONS.get(evaluation.region, evaluation.region),
        "Data range": evaluation.data_range,
        "Tasks": ", ".join(evaluation.tasks),
        "Without partner": f"{sum(map(len, evaluation.unmatched.values())):,}",
        "Failed": f"{len(evaluation.failed):,}",
    }
    return {name: value for name, value in facts.items() if value}


def _troubles(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return lists of files that are not in the figures, each with its heading."""
    lists = {
        _trouble(kind): list(files) for kind, files in evaluation.unmatched.items()
    }
    lists["Failed"] = [
        f"{one.get('path', '')}: {one.get('error', '')}" for one in evaluation.failed
    ]
    return [
        {
            "title": title,
            "count": len(lines),
            "lines": lines[:_MOST_LISTED],
            "rest": max(0, len(lines) - _MOST_LISTED),
        }
        for title, lines in lists.items()
        if lines
    ]


def _trouble(kind: str) -> str:
    if kind.startswith("not in "):
        return kind[:1].upper() + kind[1:]
    return f"Without partner among {kind}"


def _plots(evaluation: Evaluation) -> list[dict[str, Any]]:
    plots = []
    for column in evaluation.columns:
        plot = _plot(evaluation, column)
        if plot is not None:
            name = heading(column)
            plots.append({"title": name.text, "below": name.below, "plot": plot})
    return plots


def _plot(evaluation: Evaluation, column: Column) -> BoxPlot | None:
    figures = {
        row.name: [
            value
            for file in evaluation.files
            if (value := score(row, column.name, file)) is not None
        ]
        for row in evaluation.rows
        if column.name in row.scores  # clean pictures have scores of tasks alone
    }
    return box_plot(figures, subject=evaluation.subject, digits=column.digits)


def _command(evaluation: Evaluation) -> str:
    """Return the command that repeats it, from the settings; empty if unknown."""
    command = evaluation.settings.get("command", "")
    if isinstance(command, list | tuple):
        return shlex.join(map(str, command))
    return str(command)


def _settings(evaluation: Evaluation) -> dict[str, str]:
    """Return settings as lines: "recipe.seed" -> "0"; the longest ones cut."""
    lines = _flat("", plain(evaluation.settings))
    lines.pop("command", None)
    lines["evaluation time"] = f"{evaluation.seconds:.1f} s"
    return {name: _cut(value) for name, value in lines.items()}


def _flat(name: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict) and value:
        lines: dict[str, str] = {}
        for key, item in value.items():
            lines |= _flat(f"{name}.{key}" if name else key, item)
        return lines
    if isinstance(value, str):
        return {name: value}
    return {name: json.dumps(value, ensure_ascii=False)}


def _cut(text: str) -> str:
    if len(text) <= _MOST_LETTERS:
        return text
    return f"{text[:_MOST_LETTERS]}… (whole in the JSON)"
