"""Options of `medenh evaluate` alone; those of several verbs are in `options`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medenh.cli.options import optional

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
    optional(
        help="Names joined by commas; --list shows them. With a protocol, besides its "
        "own.",
        metavar="NAME[,NAME...]",
    ),
]
Region = Annotated[
    str | None,
    optional(
        help="Where to measure: whole, fov (found on the reference) or mask (--masks).",
        metavar="whole|fov|mask",
        rich_help_panel=_PAIRS,
    ),
]
Baseline = Annotated[
    list[Path] | None,
    optional(
        help="Other answers for the same names; may be given several times.",
        metavar="DIR",
        rich_help_panel=_PAIRS,
    ),
]
Task = Annotated[
    str | None,
    optional(
        help="Downstream tasks to score, joined by commas; --list shows them.",
        metavar="NAME[,NAME...]",
    ),
]
Masks = Annotated[
    Path | None,
    optional(
        help="Masks of the same names: a task's answers, or the region.", metavar="DIR"
    ),
]
Labels = Annotated[
    Path | None,
    optional(
        help="Columns file and label: a classification task's answers.", metavar="CSV"
    ),
]
Protocol = Annotated[
    str | None,
    optional(
        help="Degrade, enhance, score, compare; --list shows the protocols; a recipe "
        "of your own (.toml) is one, too.",
        metavar="NAME",
        rich_help_panel=_PROTOCOL,
    ),
]
Data = Annotated[
    Path | None,
    optional(
        help="Clean pictures, or a data pack; else the set in MEDENH_DATA.",
        metavar="DIR",
        rich_help_panel=_PROTOCOL,
    ),
]
Models = Annotated[
    str | None,
    optional(
        help="Model ids joined by commas; 'classical' is all weight-free ones that "
        "suit. Doing nothing is always measured too.",
        metavar="NAME[,NAME...]",
        rich_help_panel=_PROTOCOL,
    ),
]
Limit = Annotated[
    int | None,
    optional(
        min=1,
        help="At most so many pictures: always the same ones, spread over all.",
        rich_help_panel=_PROTOCOL,
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
    optional(
        "--output",
        "-o",
        help="New folder to keep the pictures in.",
        metavar="DIR",
        rich_help_panel=_PROTOCOL,
    ),
]
Csv = Annotated[
    Path | None,
    optional(help="Write every file's figures.", metavar="FILE"),
]
Summary = Annotated[
    Path | None,
    optional(
        help="Write the table of means, a line a method: CSV, or LaTeX (FILE.tex).",
        metavar="FILE",
    ),
]
Workers = Annotated[
    int | None,
    optional(min=1, help="Processes; as many as pay if not given."),
]
List = Annotated[
    bool, typer.Option("--list", help="List protocols, metrics and tasks.")
]
