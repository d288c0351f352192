"""`medenh evaluate`: pairs of files, or a frozen protocol, measured and compared."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medenh.cli import console, options
from medenh.cli import evaluate_options as own
from medenh.device import one_thread_for_sums
from medenh.errors import UsageError

if TYPE_CHECKING:
    from medenh.evaluation.result import Evaluation
    from medenh.evaluation.workers import OnDone

__all__ = ["register"]

_SHOWN = 20  # names in one line; JSON and the report have all


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(name="evaluate", no_args_is_help=True)(evaluate)


def evaluate(
    enhanced: own.Enhanced = None,
    reference: own.Reference = None,
    metrics: own.Metrics = None,
    region: own.Region = None,
    baseline: own.Baseline = None,
    bits: options.Bits = None,
    protocol: own.Protocol = None,
    data: own.Data = None,
    models: own.Models = None,
    limit: own.Limit = None,
    output: own.Keep = None,
    task: own.Task = None,
    masks: own.Masks = None,
    labels: own.Labels = None,
    modality: options.Modality = None,
    device: own.Device = "auto",
    report: options.Report = None,
    csv: own.Csv = None,
    summary: own.Summary = None,
    workers: own.Workers = None,
    list_all: own.List = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure enhanced images against references, or run a frozen protocol.

    Pairs are found by name without extension ("eye.enhanced.png" belongs to
    "eye.tif"), never by position. Every table has n, 95 % intervals and paired tests.
    With --report, the figures are also written as CSV and JSON beside the page.
    """
    one_thread_for_sums()  # before what follows imports numpy
    from medenh.cli.progress import Meter

    if list_all:
        from medenh.cli.evaluate_tables import write_lists

        write_lists(json=json)
        return
    of_pairs = {
        "ENHANCED": enhanced,
        "REFERENCE": reference,
        "--region": region,
        "--baseline": baseline,
        "--bits": bits,
    }
    of_protocol = {
        "--data": data,
        "--models": models,
        "--limit": limit,
        "--output": output,
    }
    shared: dict[str, Any] = {
        "masks": masks,
        "labels": labels,
        "metrics": _names(metrics),
        "tasks": _names(task),
        "modality": modality,
        "workers": workers,
    }
    inputs = [enhanced, reference, labels, data, masks, *(baseline or [])]
    with Meter("evaluating", quiet=quiet) as meter:
        _refuse(
            of_pairs if protocol else of_protocol, "with" if protocol else "without"
        )
        places = _places(report, csv, summary)
        _prepare(places, inputs, verbose=verbose and not quiet)
        if protocol is not None:
            asked: dict[str, Any] = {
                "data": data,
                "models": _names(models),
                "limit": limit,
                "output": output,
                "device": device,
                "pictures": report is not None,
            }
            found = _run_protocol(protocol, meter.update, {**shared, **asked})
        else:
            wanted: dict[str, Any] = {
                "region": region or "whole",
                "bits": bits,
                "overlays": report is not None,
            }
            found = _measure_pairs(
                enhanced, reference, baseline or [], meter.update, {**shared, **wanted}
            )
        found = replace(found, settings={"command": _command(), **found.settings})
        _write_files(found, places)
    _tell(found, json=json, quiet=quiet)
    _tell_places(places, quiet=quiet)
    raise typer.Exit(_exit_code(found))


def _exit_code(found: Evaluation) -> int:
    """Return 0, 1 where some files failed, 3 where no file has figures."""
    if not found.files:
        return 3
    return 1 if found.failed else 0


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(one.strip() for one in (text or "").split(",") if one.strip())


def _command() -> list[str]:
    return ["medenh", *sys.argv[1:]]


def _refuse(given: Mapping[str, object], word: str) -> None:
    """Refuse what has no meaning with, or without, a protocol."""
    strange = [name for name, value in given.items() if value not in (None, [])]
    if strange:
        hint = "a protocol is frozen: only data and models vary"
        raise UsageError(
            f"{strange[0]} has no meaning {word} --protocol",
            hint=hint if word == "with" else "",
        )


def _prepare(
    places: Mapping[str, Path], inputs: Sequence[Path | None], *, verbose: bool
) -> None:
    """Check where files will be written, before any work."""
    from medenh.cli.enhance_report import PAGE_BEGINS, check_place
    from medenh.evaluation import latex, output
    from medenh.formats.files import real_path

    begins = {
        "page": PAGE_BEGINS,
        "json": output.JSON_BEGINS,
        "csv": output.CSV_BEGINS,
        "summary": output.SUMMARY_BEGINS,
    }
    if "summary" in places and output.is_latex(places["summary"]):
        begins["summary"] = latex.LATEX_BEGINS
    named = [one for one in inputs if one is not None]
    resolved: set[Path] = set()
    for kind, place in places.items():
        if real_path(place) in resolved:
            raise UsageError(
                f"{place} would be written twice",
                hint="give each file its own name; a page (.html) has its CSV and "
                "JSON beside it",
            )
        resolved.add(real_path(place))
        check_place(place, named, begins=begins[kind])
        _refuse_picture(place)
    if verbose:
        import logging

        console.configure_logging(logging.INFO)


def _places(
    report: Path | None, csv: Path | None, summary: Path | None
) -> dict[str, Path]:
    """Return the files to write: the page, JSON, CSV of files, CSV of means."""
    places = {} if report is None else {"page": report}
    if report is not None:
        places["json"] = report.with_suffix(".json")
        csv = csv or report.with_suffix(".csv")
    if csv is not None:
        places["csv"] = csv
    if summary is not None:
        places["summary"] = summary
    return places


def _refuse_picture(place: Path) -> None:
    """Refuse to replace a picture: it may be one of an input folder."""
    if not place.is_file():
        return
    from medenh import formats
    from medenh.errors import InputError

    try:
        formats.sniff(place)
    except InputError:
        return
    raise UsageError(f"{place} is a picture, which would be replaced")


def _run_protocol(name: str, on_done: OnDone, asked: Mapping[str, Any]) -> Evaluation:
    from medenh.evaluation.benchmark import BenchmarkOptions, run_protocol

    return run_protocol(name, BenchmarkOptions(**asked), on_done=on_done)


def _measure_pairs(
    enhanced: Path | None,
    reference: Path | None,
    baselines: Sequence[Path],
    on_done: OnDone,
    asked: Mapping[str, Any],
) -> Evaluation:
    from medenh.evaluation.pairs import evaluate_pairs
    from medenh.evaluation.planning import PairOptions

    if enhanced is None:
        raise UsageError("name what to judge: ENHANCED REFERENCE, or --protocol NAME")
    wanted = PairOptions(**asked)
    return evaluate_pairs(enhanced, reference, baselines, wanted, on_done=on_done)


def _write_files(found: Evaluation, places: Mapping[str, Path]) -> None:
    """Write the page with JSON beside it, and the CSVs."""
    from medenh.evaluation.output import to_json, write_csv, write_summary

    if "page" in places:
        from medenh.formats.files import atomic_output
        from medenh.reports.evaluation import write_evaluation_report

        write_evaluation_report(found, places["page"])
        with atomic_output(places["json"]) as part:
            part.write_bytes(console.to_json(to_json(found)).encode())
    if "csv" in places:
        write_csv(found, places["csv"])
    if "summary" in places:
        write_summary(found, places["summary"])


def _tell(found: Evaluation, *, json: bool, quiet: bool) -> None:
    """Write the tables or the document to stdout, the troubles to stderr."""
    from medenh.cli.evaluate_tables import write_tables
    from medenh.evaluation.output import to_json

    for one in found.failed:
        console.warn(f"{one['path']}: {one['error']}", kind="failed")
    if not quiet:
        for name, files in found.unmatched.items():
            _tell_unmatched(name, files)
        single = ("one file only: no interval and no test",)
        for note in (*found.notes, *(single if len(found.files) == 1 else ())):
            console.warn(note, kind="note")
    if json:
        console.write_json(to_json(found))
        return
    write_tables(found)


def _tell_places(places: Mapping[str, Path], *, quiet: bool) -> None:
    if places and not quiet:
        console.warn(", ".join(map(str, places.values())), kind="written")


def _tell_unmatched(name: str, files: Sequence[str]) -> None:
    shown = ", ".join(files[:_SHOWN])
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    if name.startswith("not in "):
        console.warn(f"{len(files)} {name}: {shown}{more}")
        return
    console.warn(f"{len(files)} of {name} without partner: {shown}{more}")
