"""`medenh models remeasure`: the figures of the cards, measured again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medenh.cli import console, options
from medenh.device import one_thread_for_sums

if TYPE_CHECKING:
    from medenh.publishing.comparison import Comparison

__all__ = ["run"]


def run(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...",
            help="Models; by default all that are bundled.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of data packs.")
    ] = Path("../shared/data"),
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the page, CSV and figures; the same command continues "
            "there.",
            parser=options.named_folder,
            metavar="PATH",
        ),
    ] = Path("zoo-report"),
    into: Annotated[
        Path | None,
        options.optional(
            metavar="CHECKOUT",
            help="For developers: write the new figures to the cards of a checkout.",
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure bundled models again; exit code 1 if a card's figure does not hold."""
    one_thread_for_sums()  # before what follows imports numpy
    from medenh.publishing.zoo_report import report_zoo, take_in
    from medenh.zoo.checkout import check_checkout
    from medenh.zoo.manifest import load_manifest

    if into is not None:
        check_checkout(into)
    manifest = load_manifest().listed()  # an import may have the id of a bundled one
    cards = [manifest.get(name) for name in names or ()] or manifest.current()

    def tell(step: str) -> None:
        if not quiet:
            console.warn(step, kind="note")

    report = report_zoo(cards, data, output, on_step=tell)
    failures = report.failures
    if failures:
        _show(failures)
    held = len(report.comparisons) - len(failures)
    console.write(f"{held} of {len(report.comparisons)} figures hold: {report.page}")
    if into is not None:
        for name in take_in(report, into):
            console.write(f"{name}: new figures in {into}")
    elif failures:
        raise typer.Exit(1)


def _show(failures: tuple[Comparison, ...]) -> None:
    rows = [
        [
            *(one.model, one.table, one.row, one.metric, f"{one.card.mean:.4g}"),
            "-" if one.new is None else f"{one.new.mean:.4g}",
            one.reason or one.verdict,
        ]
        for one in failures
    ]
    console.write_table(("model", "table", "row", "metric", "card", "new", "why"), rows)
