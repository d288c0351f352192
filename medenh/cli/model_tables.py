"""What was measured of a model, as tables: of a card, or just published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medenh.cli import console

if TYPE_CHECKING:
    from medenh.zoo.card import Estimate, ModelCard, RecognitionTable, ResultTable

__all__ = ["show_measured"]


def show_measured(card: ModelCard) -> None:
    """Write all tables of a card, an empty line before each."""
    for result in card.results:
        console.write("")
        _show_result(result)
    for table in card.recognition.tables if card.recognition else ():
        console.write("")
        _show_recognition(table)


def _show_result(result: ResultTable) -> None:
    """Write one table of results; the do-nothing row comes first."""
    console.write(
        f"{result.protocol}, {result.modality}, {result.split}, n = {result.n} "
        "(mean and 95 % interval)"
    )
    rows = sorted(result.rows.items(), key=lambda row: row[0] != "identity")
    metrics = list(dict.fromkeys(m for _, row in rows for m in row))
    table = []
    for model, row in rows:
        cells = [model]
        for metric in metrics:
            found = row.get(metric)
            cells.append("-" if found is None else _cell(found))
        table.append(cells)
    console.write_table(["model", *metrics], table)


def _show_recognition(table: RecognitionTable) -> None:
    """Write what a recogniser scored on clean pictures, beside what others report."""
    target = f", {table.target}" if table.target else ""
    console.write(f"{table.data}{target}, {table.region}, n = {table.n}")
    rows = [[metric, _cell(found)] for metric, found in table.scores.items()]
    console.write_table(["metric", "mean and 95 % interval"], rows)
    if table.literature:
        console.write(console.one_line(f"others: {table.literature}"))


def _cell(found: Estimate) -> str:
    if found.ci95 is None:
        return f"{found.mean:.4g}"
    low, high = found.ci95
    return f"{found.mean:.4g} [{low:.4g}, {high:.4g}]"
