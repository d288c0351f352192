"""Options of `medenh evaluate` alone; those of several verbs are in `options`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Baseline",
    "Csv",
    "Data",
    "Device",
    "Enhanced",
    "Keep",
    "Labels",
    "Limit",
    "List",
    "Masks",
    "Metrics",
    "Models",
    "Protocol",
    "Reference",
    "Region",
    "Summary",
    "Task",
    "Workers",
]

_PAIRS, _PROTOCOL = "Pairs", "Protocol"
Enhanced = Annotated[
    Path | None,
    typer.Argument(
        metavar="ENHANCED", help="File or folder to judge.", show_default=False
    ),
]
Reference = Annotated[
    Path | None,
    typer.Argument(
        metavar="REFERENCE",
        help="What to compare with; without it, metrics that need none.",
        show_default=False,
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        help="Names joined by commas; --list shows them. With a protocol, besides its "
        "own.",
        metavar="NAME[,NAME...]",
        show_default=False,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        help="Where to measure: whole, fov (found on the reference) or mask (--masks).",
        metavar="whole|fov|mask",
        rich_help_panel=_PAIRS,
        show_default=False,
    ),
]
Baseline = Annotated[
    list[Path] | None,
    typer.Option(
        help="Other answers for the same names; may be given several times.",
        metavar="DIR",
        rich_help_panel=_PAIRS,
        show_default=False,
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="Downstream tasks to score, joined by commas; --list shows them.",
        metavar="NAME[,NAME...]",
        show_default=False,
    ),
]
Masks = Annotated[
    Path | None,
    typer.Option(
        help="Masks of the same names: a task's answers, or the region.",
        metavar="DIR",
        show_default=False,
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="Columns file and label: a classification task's answers.",
        metavar="CSV",
        show_default=False,
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="Degrade, enhance, score, compare; --list shows the protocols; a recipe "
        "of your own (.toml) is one, too.",
        metavar="NAME",
        rich_help_panel=_PROTOCOL,
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Clean pictures, or a data pack; else the set in MEDENH_DATA.",
        metavar="DIR",
        rich_help_panel=_PROTOCOL,
        show_default=False,
    ),
]
Models = Annotated[
    str | None,
    typer.Option(
        help="Model ids joined by commas; 'classical' is all weight-free ones that "
        "suit. Doing nothing is always measured too.",
        metavar="NAME[,NAME...]",
        rich_help_panel=_PROTOCOL,
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="At most so many pictures: always the same ones, spread over all.",
        rich_help_panel=_PROTOCOL,
        show_default=False,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        help="Where networks run: auto, cpu, cuda, cuda:1 or mps. Recognisers of "
        "tasks run on the CPU.",
        rich_help_panel=_PROTOCOL,
    ),
]
Keep = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="New folder to keep the pictures in.",
        metavar="DIR",
        rich_help_panel=_PROTOCOL,
        show_default=False,
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        help="Write every file's figures.", metavar="FILE", show_default=False
    ),
]
Summary = Annotated[
    Path | None,
    typer.Option(
        help="Write the table of means, a line a method: CSV, or LaTeX (FILE.tex).",
        metavar="FILE",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes; as many as pay if not given.", show_default=False
    ),
]
List = Annotated[
    bool, typer.Option("--list", help="List protocols, metrics and tasks.")
]
