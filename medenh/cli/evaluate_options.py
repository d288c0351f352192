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
        help="File or folder to compare with; some metrics need none.",
        show_default=False,
    ),
]
Metrics = Annotated[
    str | None,
    optional(
        help="Names joined by commas; --list shows them. A protocol measures its own "
        "too.",
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
        help="Other images of the same names, to compare; may be given several times.",
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
        help="Masks of the same names: truth of a task, or region.", metavar="DIR"
    ),
]
Labels = Annotated[
    Path | None,
    optional(
        help="Columns file and label: truth of a classification task.", metavar="CSV"
    ),
]
Protocol = Annotated[
    str | None,
    optional(
        help="Degrade, enhance, score and compare by a protocol: its name (see --list) "
        "or a recipe of your own (.toml).",
        metavar="NAME",
        rich_help_panel=_PROTOCOL,
    ),
]
Data = Annotated[
    Path | None,
    optional(
        help="Clean images, or a data pack; without it, a pack of MEDENH_DATA.",
        metavar="DIR",
        rich_help_panel=_PROTOCOL,
    ),
]
Models = Annotated[
    str | None,
    optional(
        help="Model ids joined by commas; 'classical' is all weight-free methods "
        "that suit. Doing nothing is always measured too.",
        metavar="NAME[,NAME...]",
        rich_help_panel=_PROTOCOL,
    ),
]
Limit = Annotated[
    int | None,
    optional(
        min=1,
        help="Most images to use: always the same ones, spread over all.",
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
        help="New folder to keep the images in.",
        metavar="DIR",
        rich_help_panel=_PROTOCOL,
    ),
]
Csv = Annotated[
    Path | None,
    optional(help="Write the figures of each file.", metavar="FILE"),
]
Summary = Annotated[
    Path | None,
    optional(
        help="Write the table of means, one line for each method: CSV or LaTeX (.tex).",
        metavar="FILE",
    ),
]
Workers = Annotated[
    int | None,
    optional(min=1, help="Number of processes; by default, as many as save time."),
]
List = Annotated[
    bool, typer.Option("--list", help="List protocols, metrics and tasks.")
]
