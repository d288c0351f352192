"""The zoo, measured again: one page and one CSV, card and new figures side by side."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medenh.errors import UsageError
from medenh.evaluation.settings import common_settings
from medenh.formats.files import atomic_output
from medenh.publishing.comparison import Comparison, allowed_fall, compare
from medenh.publishing.remeasure import Measured, parts_of, remeasure
from medenh.reports.html import Table, write_report
from medenh.reports.tables import Cell, Value, figure_text
from medenh.zoo.card import Estimate, ModelCard, Recognition, ResultTable
from medenh.zoo.checkout import add_to_checkout, cards_of_checkout
from medenh.zoo.fetch import weights_path

__all__ = ["ZooReport", "report_zoo", "take_in"]

_COLUMNS = ("model", "table", "row", "metric", "card", "new", "difference", "allowed")
_NOTE = (
    "Every figure of the bundled models' cards, measured again on the same pictures. "
    "A figure that became worse by more than the allowed fall, or a row that no model "
    "made and that changed, is a failure. The pictures below are those that gained "
    "least."
)


@dataclass(frozen=True, slots=True)
class ZooReport:
    """What came of measuring the zoo again.

    Attributes
    ----------
    measured : tuple of Measured
    page, csv : path
        What was written.
    comparisons : tuple of Comparison
        Every figure of the cards.
    """

    measured: tuple[Measured, ...]
    page: Path
    csv: Path
    comparisons: tuple[Comparison, ...] = field(default=())

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """The figures that do not hold."""
        return tuple(one for one in self.comparisons if not one.is_good)


def report_zoo(
    cards: Sequence[ModelCard],
    data: Path,
    folder: Path,
    *,
    on_step: Callable[[str], None] = lambda _: None,
) -> ZooReport:
    """Measure all that the cards of bundled models say, and write page and CSV.

    Parameters
    ----------
    cards : sequence of ModelCard
    data : path
        Folder of the data packs.
    folder : path
        Gets ``index.html``, ``figures.csv``, and a page a table of each enhancer; what
        was measured before lies there too, and is not measured again.
    on_step : callable
        Told what is measured.

    Raises
    ------
    UsageError
        No data, or nothing to measure.
    OutputError
        The folder cannot be written.
    """
    if not data.is_dir():
        raise UsageError("no such folder of data packs", path=data, hint="--data DIR")
    parts = parts_of(cards)
    if not parts:
        raise UsageError("none of these models is bundled and has figures")
    measured = []
    for part in parts:
        measured.append(remeasure(part, data, folder, on_step=on_step))
        if measured[-1].error:
            on_step(f"{part.name}: {measured[-1].error}")
    found = tuple(
        comparison
        for one in measured
        for comparison in compare(one.part.card.id, one.part.table, one.table)
    )
    report = ZooReport(
        tuple(measured), folder / "index.html", folder / "figures.csv", found
    )
    _write_csv(found, report.csv)
    _write_page(report)
    return report


def take_in(report: ZooReport, checkout: Path) -> list[str]:
    """Write the new figures into the cards of a checkout.

    A model of which a part could not be measured is left as it is, and so is one that
    has other weights there by now.

    Returns
    -------
    list of str
        Ids of the models whose cards were written.
    """
    by_model: dict[str, list[Measured]] = {}
    for one in report.measured:
        by_model.setdefault(one.part.card.id, []).append(one)
    taken = []
    for name, measured in by_model.items():
        card = cards_of_checkout(checkout).get(name)
        tables = [one.table for one in measured]
        if None in tables or card is None:
            continue
        if card.weights != measured[0].part.card.weights:
            continue
        results = tuple(t for t in tables if isinstance(t, ResultTable))
        recognition = next((t for t in tables if isinstance(t, Recognition)), None)
        new = card.model_copy(update={"results": results, "recognition": recognition})
        add_to_checkout(new, weights_path(card), checkout)
        taken.append(name)
    return taken


def _write_csv(found: Iterable[Comparison], path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, "n", "card interval", "verdict", "reason"])
    for one in found:
        new, difference = one.new, one.difference
        writer.writerow(
            [
                *(one.model, one.table, one.row, one.metric, one.card.mean),
                "" if new is None else new.mean,
                "" if difference is None else round(difference, 4),
                *(allowed_fall(one.metric), one.card.n, _interval(one.card)),
                *(one.verdict, one.reason),
            ]
        )
    with atomic_output(path) as partial:
        partial.write_text(text.getvalue(), "utf-8")


def _write_page(report: ZooReport) -> None:
    failures = report.failures
    told = (
        f"{len(failures)} of {len(report.comparisons)} figures do not hold."
        if failures
        else f"All {len(report.comparisons)} figures hold."
    )
    settings = {key: str(value) for key, value in common_settings().items()}
    write_report(
        report.page,
        title="The zoo, measured again",
        note=f"{told} {_NOTE}",
        tables=[_models(report), _figures(report.comparisons)],
        cases=[one.worst for one in report.measured if one.worst is not None],
        settings=settings,
    )


def _models(report: ZooReport) -> Table:
    """Return a line a table of a card: the first figure of the model itself."""
    rows: list[list[Value]] = []
    for one in report.measured:
        mine = compare(one.part.card.id, one.part.table, one.table)
        failed = sum(not comparison.is_good for comparison in mine)
        first = next((c for c in mine if c.row == c.model and _leads(c)), None)
        cells = [Cell("")] * 4 if first is None else _cells(first)
        name = one.part.name.replace("_", ", ")
        page = f"{one.part.name}.html" if one.worst is not None else ""
        verdict = one.error or (f"{failed} of {len(mine)} fail" if failed else "holds")
        rows.append([Cell(name, name, link=page), *cells, verdict])
    return Table(
        "Models",
        ("model", "metric", "card", "new", "difference", "all figures"),
        rows,
        "The leading figure of each table; the link is the page with its pictures.",
    )


def _leads(comparison: Comparison) -> bool:
    return comparison.metric in ("psnr", "auc")


def _figures(found: Iterable[Comparison]) -> Table:
    rows: list[list[Value]] = [
        [one.model, one.table, one.row, *_cells(one), _verdict(one)] for one in found
    ]
    return Table(
        "Every figure",
        ("model", "table", "row", "metric", "card", "new", "difference", "verdict"),
        rows,
        "Means over pictures with 95 % intervals; difference is new minus card.",
    )


def _cells(one: Comparison) -> list[Cell]:
    difference = one.difference
    return [
        Cell(one.metric, one.metric, f"may fall by {allowed_fall(one.metric):g}"),
        _estimate(one.card),
        Cell("") if one.new is None else _estimate(one.new),
        Cell(figure_text(difference, 4, signed=True), difference),
    ]


def _verdict(one: Comparison) -> Cell:
    return Cell(one.verdict, one.verdict, one.reason)


def _estimate(found: Estimate) -> Cell:
    return Cell(figure_text(found.mean, 4), found.mean, _interval(found))


def _interval(found: Estimate) -> str:
    return "" if found.ci95 is None else "{:.4g} to {:.4g}".format(*found.ci95)
