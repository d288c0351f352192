"""`medenh evaluate`: pairs of files, or a frozen protocol, measured and compared."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medenh.cli import console, options

if TYPE_CHECKING:
    from medenh.evaluation.result import Evaluation
    from medenh.evaluation.workers import OnDone

__all__ = ["register"]

_SHOWN = 20  # names in one line; JSON and the report have all
_PAIRS, _PROTOCOL = "Pairs", "Protocol"
_Enhanced = Annotated[
    Path | None,
    typer.Argument(
        metavar="ENHANCED", help="File or folder to judge.", show_default=False
    ),
]
_Reference = Annotated[
    Path | None,
    typer.Argument(
        metavar="REFERENCE",
        help="What to compare with; without it, metrics that need none.",
        show_default=False,
    ),
]
_Metrics = Annotated[
    str | None,
    typer.Option(
        help="Names joined by commas; --list shows them.",
        metavar="NAME[,NAME...]",
        rich_help_panel=_PAIRS,
        show_default=False,
    ),
]
_Region = Annotated[
    str | None,
    typer.Option(
        help="Where to measure: whole, fov (found on the reference) or mask (--masks).",
        metavar="whole|fov|mask",
        rich_help_panel=_PAIRS,
        show_default=False,
    ),
]
_Baseline = Annotated[
    list[Path] | None,
    typer.Option(
        help="Other answers for the same names; may be given several times.",
        metavar="DIR",
        rich_help_panel=_PAIRS,
        show_default=False,
    ),
]
_Task = Annotated[
    str | None,
    typer.Option(
        help="Downstream tasks to score, joined by commas; --list shows them.",
        metavar="NAME[,NAME...]",
        show_default=False,
    ),
]
_Masks = Annotated[
    Path | None,
    typer.Option(
        help="Masks of the same names: a task's answers, or the region.",
        metavar="DIR",
        show_default=False,
    ),
]
_Labels = Annotated[
    Path | None,
    typer.Option(
        help="Columns file and label: a classification task's answers.",
        metavar="CSV",
        show_default=False,
    ),
]
_Protocol = Annotated[
    str | None,
    typer.Option(
        help="Degrade, enhance, score, compare; --list shows the protocols.",
        metavar="NAME",
        rich_help_panel=_PROTOCOL,
        show_default=False,
    ),
]
_Data = Annotated[
    Path | None,
    typer.Option(
        help="Clean pictures, or a data pack; else the set in MEDENH_DATA.",
        metavar="DIR",
        rich_help_panel=_PROTOCOL,
        show_default=False,
    ),
]
_Models = Annotated[
    str | None,
    typer.Option(
        help="Model ids joined by commas; 'classical' is all weight-free ones that "
        "suit. Doing nothing is always measured too.",
        metavar="NAME[,NAME...]",
        rich_help_panel=_PROTOCOL,
        show_default=False,
    ),
]
_Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="At most so many pictures: always the same ones, spread over all.",
        rich_help_panel=_PROTOCOL,
        show_default=False,
    ),
]
_Keep = Annotated[
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
_Csv = Annotated[
    Path | None,
    typer.Option(
        help="Write every file's figures.", metavar="FILE", show_default=False
    ),
]
_Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes; as many as pay if not given.", show_default=False
    ),
]
_List = Annotated[
    bool, typer.Option("--list", help="List protocols, metrics and tasks.")
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(name="evaluate", no_args_is_help=True)(evaluate)


def evaluate(
    enhanced: _Enhanced = None,
    reference: _Reference = None,
    metrics: _Metrics = None,
    region: _Region = None,
    baseline: _Baseline = None,
    protocol: _Protocol = None,
    data: _Data = None,
    models: _Models = None,
    limit: _Limit = None,
    output: _Keep = None,
    task: _Task = None,
    masks: _Masks = None,
    labels: _Labels = None,
    modality: options.Modality = None,
    device: options.Device = "auto",
    report: options.Report = None,
    csv: _Csv = None,
    workers: _Workers = None,
    list_all: _List = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure enhanced pictures against references, or run a frozen protocol.

    Pairs are found by name without extension ("eye.enhanced.png" belongs to
    "eye.tif"), never by position. Every table has n, 95 % intervals and paired tests.
    With --report, the figures are also written as CSV and JSON beside the page.
    """
    if list_all:
        from medenh.cli.evaluate_tables import write_lists

        write_lists(json=json)
        return
    of_pairs = {
        "ENHANCED": enhanced,
        "REFERENCE": reference,
        "--metrics": metrics,
        "--region": region,
        "--baseline": baseline,
    }
    of_protocol = {
        "--data": data,
        "--models": models,
        "--limit": limit,
        "--output": output,
    }
    _refuse(of_pairs if protocol else of_protocol, "with" if protocol else "without")
    if protocol is None and enhanced is None:
        raise _usage("name what to judge: ENHANCED REFERENCE, or --protocol NAME")
    _prepare([report, csv], [enhanced, reference, labels], verbose=verbose)
    shared: dict[str, Any] = {
        "masks": masks,
        "labels": labels,
        "tasks": _names(task),
        "modality": modality,
        "workers": workers,
    }
    with _document(wanted=json), _progress(quiet=quiet or json) as on_done:
        if protocol is not None:
            asked: dict[str, Any] = {
                "data": data,
                "models": _names(models),
                "limit": limit,
                "output": output,
                "device": device,
                "pictures": report is not None,
            }
            found = _run_protocol(protocol, on_done, {**shared, **asked})
        else:
            wanted: dict[str, Any] = {
                "metrics": _names(metrics),
                "region": region or "whole",
                "overlays": report is not None,
            }
            subject = enhanced or Path()
            others = baseline or []
            found = _measure_pairs(
                subject, reference, others, on_done, {**shared, **wanted}
            )
        found = replace(found, settings={"command": _command(), **found.settings})
        _write_files(found, report, csv)
        _tell(found, json=json, quiet=quiet)
    raise typer.Exit(1 if found.failed else 0)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(one.strip() for one in (text or "").split(",") if one.strip())


def _command() -> list[str]:
    return ["medenh", *sys.argv[1:]]


def _usage(what: str, hint: str = "") -> Exception:
    from medenh.errors import UsageError

    return UsageError(what, hint=hint)


def _refuse(given: Mapping[str, object], word: str) -> None:
    """Refuse what has no meaning with, or without, a protocol."""
    strange = [name for name, value in given.items() if value not in (None, [])]
    if strange:
        hint = "a protocol is frozen: only data and models vary"
        raise _usage(
            f"{strange[0]} has no meaning {word} --protocol",
            hint if word == "with" else "",
        )


def _prepare(
    outputs: Sequence[Path | None], inputs: Sequence[Path | None], *, verbose: bool
) -> None:
    """Check where files will be written, before any work."""
    from medenh.cli.enhance_report import check_place

    # sums of floats must not depend on threads: the same figures on every machine
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for place in outputs:
        if place is not None:
            check_place(place, [one for one in inputs if one is not None])
    if verbose:
        import logging

        console.configure_logging(logging.INFO)


def _run_protocol(name: str, on_done: OnDone, asked: Mapping[str, Any]) -> Evaluation:
    from medenh.evaluation.benchmark import BenchmarkOptions, run_protocol

    return run_protocol(name, BenchmarkOptions(**asked), on_done=on_done)


def _measure_pairs(
    enhanced: Path,
    reference: Path | None,
    baselines: Sequence[Path],
    on_done: OnDone,
    asked: Mapping[str, Any],
) -> Evaluation:
    from medenh.evaluation.pairs import evaluate_pairs
    from medenh.evaluation.planning import PairOptions

    wanted = PairOptions(**asked)
    return evaluate_pairs(enhanced, reference, baselines, wanted, on_done=on_done)


@contextmanager
def _document(*, wanted: bool) -> Iterator[None]:
    """Print one JSON document of an error, where the run ends by one."""
    from medenh.errors import MedenhError

    try:
        yield
    except MedenhError as error:
        if wanted:
            console.write_json({"error": str(error), "code": error.code})
        raise
    except KeyboardInterrupt:
        if wanted:
            console.write_json({"error": "interrupted", "code": "interrupted"})
        raise


@contextmanager
def _progress(*, quiet: bool) -> Iterator[OnDone]:
    """Draw a bar on a terminal; silent elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    words = TextColumn("{task.description}")
    columns = (words, BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=console.stderr_console(), transient=True) as bar:
        row = bar.add_task("evaluating", total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


def _write_files(found: Evaluation, report: Path | None, csv: Path | None) -> None:
    """Write the page with CSV and JSON beside it, and the CSV asked for."""
    from medenh.evaluation.output import to_json, write_csv

    if report is not None:
        from medenh.formats.files import atomic_output
        from medenh.reports.evaluation import write_evaluation_report

        write_evaluation_report(found, report)
        with atomic_output(report.with_suffix(".json")) as part:
            text = console.to_json(to_json(found))
            part.write_bytes(text.encode("utf-8", "backslashreplace"))
        if csv is None:
            csv = report.with_suffix(".csv")
    if csv is not None:
        write_csv(found, csv)


def _tell(found: Evaluation, *, json: bool, quiet: bool) -> None:
    """Write the tables or the document to stdout, the troubles to stderr."""
    from medenh.cli.evaluate_tables import write_tables
    from medenh.evaluation.output import to_json

    for one in found.failed:
        console.warn(f"{one['path']}: {one['error']}", kind="failed")
    for name, files in found.unmatched.items():
        _tell_unmatched(name, files)
    if len(found.files) == 1 and not quiet:
        console.warn("one file only: no interval and no test", kind="note")
    if json:
        console.write_json(to_json(found))
        return
    write_tables(found)


def _tell_unmatched(name: str, files: Sequence[str]) -> None:
    shown = ", ".join(files[:_SHOWN])
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    console.warn(f"{len(files)} of {name} without partner: {shown}{more}")
