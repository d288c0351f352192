"""What was measured of a model, as tables: of a card, or just published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medenh.cli import console

if TYPE_CHECKING:
    from medenh.zoo.card import ModelCard

__all__ = ["show_measured"]


def show_measured(card: ModelCard) -> None:
    """Write all tables of a card, an empty line before each."""
    from medenh.reports.cards import figure_tables

    for table in figure_tables(card):
        console.write("")
        console.write(f"{table.title} (mean and 95 % interval)")
        console.write_table(table.headers, table.rows)
        if table.published:
            console.write(console.one_line(f"others: {table.published}"))
