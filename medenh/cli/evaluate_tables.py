"""The tables of `medenh evaluate`: figures, set scores, tests; and what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from medenh.cli import console

if TYPE_CHECKING:
    from medenh.evaluation.result import Column, Evaluation, Row, SetScore
    from medenh.metrics import PairedTests, Summary

__all__ = ["write_lists", "write_tables"]


def write_tables(found: Evaluation) -> None:
    """Write an evaluation to stdout, for people."""
    what = f"protocol {found.protocol}: " if found.protocol else ""
    console.write(f"{what}{console.one_line(found.title)}")
    if not found.files:
        console.write("n = 0: nothing could be measured")
        return
    legend = "mean [95 % interval], * best" if len(found.files) > 1 else "* best"
    console.write(
        f"n = {len(found.files)}, region {found.region}, range "
        f"{found.data_range}; {legend}"
    )
    _write_means(found)
    _write_set_scores(found.rows, len(found.files))
    _write_tests(f"{found.subject} minus", found.tests, found.columns)
    if found.subject != "identity" and len(found.against_identity) > 1:
        _write_tests("minus identity", found.against_identity, found.columns)


def _write_means(found: Evaluation) -> None:
    from medenh.evaluation.comparing import best_rows
    from medenh.evaluation.output import summarise

    names = [row.name for row in found.rows]
    headers = ["method", *(_heading(column) for column in found.columns), "note"]
    cells = []
    for column in found.columns:
        means = {row.name: summarise(row, column.name) for row in found.rows}
        best = best_rows(found.rows, column, means)
        cells.append(
            [
                _cell(means[name], column, len(found.files), is_best=name in best)
                for name in names
            ]
        )
    notes = [row.note for row in found.rows]
    console.write_table(headers, list(zip(names, *cells, notes, strict=True)))


def _heading(column: Column) -> str:
    arrow = {"higher": " ↑", "lower": " ↓", "none": ""}[column.better]
    if not console.can_show(arrow):
        arrow = f" ({column.better} is better)"
    unit = f", {column.unit}" if column.unit else ""
    return f"{column.name}{unit}{arrow}"


def _cell(summary: Summary | None, column: Column, files: int, *, is_best: bool) -> str:
    if summary is None:
        return "-"
    text = f"{summary.mean:.{column.digits}f}"
    known = summary.n - summary.n_undefined
    if known - summary.n_infinite > 1:  # one figure has no interval
        low, high = summary.ci95
        text += f" [{low:.{column.digits}f}, {high:.{column.digits}f}]"
    if known < files:
        text += f" n={known}"
    return text + (" *" if is_best else "")


def _write_set_scores(rows: Sequence[Row], files: int) -> None:
    names = list(dict.fromkeys(s.name for row in rows for s in row.set_scores))
    if not names:
        return
    console.write("scores of the whole set; recovered is the share of what was lost")
    lines = []
    for row in rows:
        mine = {score.name: score for score in row.set_scores}
        if mine:
            lines.append([row.name, *(_score(mine.get(name), files) for name in names)])
    console.write_table(["method", *names], lines)


def _score(score: SetScore | None, files: int) -> str:
    if score is None or score.value is None:
        return "-"
    text = f"{score.value:.3f}"
    if score.ci95 is not None:
        text += f" [{score.ci95[0]:.3f}, {score.ci95[1]:.3f}]"
    if score.n is not None and score.n < files:
        text += f" n={score.n}"
    return text


def _write_tests(
    title: str,
    tests: Mapping[str, Mapping[str, PairedTests]],
    columns: Sequence[Column],
) -> None:
    if not tests:
        return
    headers = [title, *(column.name for column in columns)]
    lines = [
        [name, *(_test(by_column.get(column.name), column) for column in columns)]
        for name, by_column in tests.items()
    ]
    console.write("paired differences (p of Wilcoxon, p of t)")
    console.write_table(headers, lines)


def _test(tests: PairedTests | None, column: Column) -> str:
    if tests is None:
        return "-"
    from medenh.reports.tables import p_text

    ps = ", ".join(p_text(p) or "-" for p in (tests.wilcoxon_p, tests.t_p))
    return f"{tests.difference:+.{column.digits}f} ({ps})"


def write_lists(*, json: bool) -> None:
    """Write the protocols, metrics and tasks."""
    from medenh.evaluation.protocols import PROTOCOLS
    from medenh.metrics.registry import METRICS
    from medenh.tasks.table import TASKS

    if json:
        document = {
            "protocols": {name: p.to_json() for name, p in PROTOCOLS.items()},
            "metrics": {
                name: {"title": m.title, "kind": m.kind, "better": m.better}
                for name, m in METRICS.items()
            },
            "tasks": {
                name: {"title": t.title, "modality": t.modality, "kind": t.kind}
                for name, t in TASKS.items()
            },
        }
        console.write_json(document)
        return
    protocols = [
        [p.name, p.title, ", ".join(p.modalities) or "any"] for p in PROTOCOLS.values()
    ]
    console.write_table(["protocol", "title", "for"], protocols)
    console.write("")
    metrics = [[m.name, m.title, m.kind, m.better or "-"] for m in METRICS.values()]
    console.write_table(["metric", "title", "kind", "better"], metrics)
    console.write("")
    tasks = [[t.name, t.title, t.modality] for t in TASKS.values()]
    console.write_table(["task", "title", "for"], tasks)
