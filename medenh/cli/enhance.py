"""`medenh enhance`: files and folders in, better ones out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medenh.cli import console, options

if TYPE_CHECKING:
    from medenh.formats.limits import Limits
    from medenh.pipeline.options import EnhanceOptions
    from medenh.pipeline.results import Summary
    from medenh.pipeline.work import Plan

__all__ = ["register"]

_Strength = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, help="0 returns the input, 1 gives the full effect."
    ),
]
_Settings = Annotated[
    list[str] | None,
    options.optional(
        "--set",
        metavar="NAME=NUMBER",
        help="Option of a weight-free method, as clip=3 (see `models show`).",
    ),
]
_Reference = Annotated[
    Path | None,
    options.optional(
        metavar="FILE",
        help="Good image to follow (models of HQG-Net, ref-color).",
    ),
]
_Tile = Annotated[
    str,
    typer.Option(
        help="auto (tiles where exact), off, or side in pixels.", metavar="auto|off|N"
    ),
]
_Batch = Annotated[
    str,
    typer.Option(
        "--batch", "-b", help="Images in one call of the model.", metavar="auto|N"
    ),
]
_Format = Annotated[
    str, typer.Option(help="same, png, tiff, dicom, nifti or npy.", metavar="FORMAT")
]
_Strict = Annotated[
    bool,
    typer.Option("--strict", help="Refuse inputs and results outside the model card."),
]
_Shard = Annotated[
    str | None,
    options.optional(help="Process only part I of N, 1/N to N/N.", metavar="I/N"),
]
_Uncertainty = Annotated[
    bool,
    typer.Option(
        "--uncertainty",
        help="Write a map of how much the result depends on the orientation and "
        "position of the image.",
    ),
]
_LIMITS = "Limits"
_MaxVoxels = Annotated[
    int | None,
    options.optional(
        min=1, help="Most pixels that an input may have.", rich_help_panel=_LIMITS
    ),
]
_MaxBytes = Annotated[
    int | None,
    options.optional(
        min=1, help="Most bytes that an input may decode to.", rich_help_panel=_LIMITS
    ),
]
_MaxRatio = Annotated[
    float | None,
    options.optional(
        min=1.0,
        help="Most bytes that one byte on disk may decode to.",
        rich_help_panel=_LIMITS,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(name="enhance", no_args_is_help=True)(enhance)


def enhance(
    inputs: options.Inputs,
    output: options.Output = None,
    model: options.Model = "auto",
    modality: options.Modality = None,
    device: options.Device = "auto",
    reference: _Reference = None,
    strength: _Strength = 1.0,
    settings: _Settings = None,
    tile: _Tile = "auto",
    batch: _Batch = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    format: _Format = "same",
    on_exists: options.OnExists = "error",
    axis: options.Axis = None,
    bits: options.Bits = None,
    strict: _Strict = False,
    report: options.Report = None,
    shard: _Shard = None,
    recursive: options.Recursive = True,
    uncertainty: _Uncertainty = False,
    deidentify: options.Deidentify = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    offline: options.Offline = False,
    max_voxels: _MaxVoxels = None,
    max_bytes: _MaxBytes = None,
    max_ratio: _MaxRatio = None,
) -> None:
    """Enhance images; the output has the format, bit depth and units of the input.

    One file without -o becomes NAME.enhanced.EXT beside it; a folder needs -o OUT and
    is mirrored there. Repeat the command to continue after an interruption.
    """
    from medenh.pipeline import options as pipeline_options

    asked = pipeline_options.EnhanceOptions(
        model=model,
        modality=modality,
        device=device,
        reference=reference,
        strength=strength,
        settings=pipeline_options.parse_settings(settings or ()),
        tile=pipeline_options.parse_tile(tile),
        batch="auto"
        if batch == "auto"
        else pipeline_options.parse_number("batch", batch),
        precision=precision,
        engine=engine,
        format=format,
        on_exists=on_exists,
        axis=axis,
        bits=bits,
        strict=strict,
        shard=None if shard is None else pipeline_options.parse_shard(shard),
        recursive=recursive,
        uncertainty=uncertainty,
        deidentify=deidentify,
        offline=offline,
        limits=_limits(max_voxels, max_bytes, max_ratio),
    )
    if verbose and not quiet:
        import logging

        console.configure_logging(logging.INFO)
    if dry_run:
        plan = _show_plan(inputs, output, asked, quiet=quiet, json=json)
        raise typer.Exit(_refusals(plan))
    summary = _run(inputs, output, asked, report, quiet=quiet, json=json)
    _tell(summary, asked, output, quiet=quiet, verbose=verbose, json=json)
    raise typer.Exit(summary.exit_code())


def _limits(
    max_voxels: int | None, max_bytes: int | None, max_ratio: float | None
) -> Limits:
    from dataclasses import replace

    from medenh.formats.limits import DEFAULT

    given = {
        "max_voxels": max_voxels,
        "max_bytes": max_bytes,
        "max_ratio": max_ratio,
    }
    changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    return replace(DEFAULT, **changes)


def _run(
    inputs: list[Path],
    output: str | None,
    asked: EnhanceOptions,
    report: Path | None,
    *,
    quiet: bool,
    json: bool,
) -> Summary:
    from medenh.cli.interrupt import interruptible
    from medenh.cli.progress import ProgressListener
    from medenh.pipeline.files import enhance_files
    from medenh.pipeline.results import Summary

    with (
        interruptible() as stop,
        console.as_document(Summary(), wanted=json) as summary,
        ProgressListener(quiet=quiet) as listener,
    ):
        if report is None:
            return enhance_files(
                inputs, output, asked, listener=listener, stop=stop, summary=summary
            )
        from medenh.cli.enhance_report import (
            ReportListener,
            check_place,
            check_replaceable,
        )
        from medenh.errors import UsageError
        from medenh.formats.files import real_path

        check_place(report, inputs)
        if output and real_path(report) == real_path(output):
            raise UsageError(
                f"the report {report} has the name of the output",
                hint=f"name a page, such as {report / 'report.html'}",
            )
        page = ReportListener(listener)
        enhance_files(inputs, output, asked, listener=page, stop=stop, summary=summary)
        if summary.written or summary.failed or not report.exists():
            check_replaceable(report)  # an output may have come there
            page.write(report, summary, asked)
        elif not quiet:
            console.warn(f"nothing is new: {report} stays as it is", kind="report")
        return summary


def _show_plan(
    inputs: list[Path],
    output: str | None,
    asked: EnhanceOptions,
    *,
    quiet: bool,
    json: bool,
) -> Plan:
    from medenh.cli.interrupt import interruptible
    from medenh.formats.discover import none_found
    from medenh.pipeline.attempt import attempt
    from medenh.pipeline.files import foresee, plan_files
    from medenh.pipeline.loading import ZooModels

    def decide() -> tuple[Plan, list[tuple[str, str]]]:
        models = ZooModels(asked)
        plan = plan_files(inputs, output, asked, models)
        return foresee(plan, models, asked)

    with interruptible() as stop:
        plan, chosen = attempt(decide, name="plan", stop=stop)
    if json:
        document = plan.to_json()
        for entry, (model, reason) in zip(document["work"], chosen, strict=True):
            entry.update(model=model, reason=reason)
        console.write_json(document)
        return plan
    for item, (model, reason) in zip(plan.work, chosen, strict=True):
        more = f" and {len(item.sources) - 1} more" if len(item.sources) > 1 else ""
        maps = f" and {item.maps[0]}" if item.maps else ""
        why = "; ".join((*item.remarks, reason))
        console.say(
            f"enhance {item.path}{more} -> {item.targets[0]}{maps} by {model}: {why}"
        )
    for skip in plan.skipped:
        console.say(f"skip    {skip.path}: {skip.reason}")
    for failure in plan.failed:
        console.say(f"refuse  {failure.path}: {failure.reason}")
    if not quiet:
        console.tell_passed_over(plan.passed_over)
        if not plan.inputs and not plan.found:
            console.warn(none_found(plan.searched, {}), kind="nothing to do")
    return plan


def _refusals(plan: Plan) -> int:
    """Return the exit code of a dry run: that of ``--strict``, where it refuses."""
    from medenh.errors import RefusedError
    from medenh.pipeline.results import exit_code_of

    refused = [one for one in plan.failed if isinstance(one.error, RefusedError)]
    return exit_code_of(refused, some_done=True)


def _tell(
    summary: Summary,
    asked: EnhanceOptions,
    output: str | None,
    *,
    quiet: bool,
    verbose: bool,
    json: bool,
) -> None:
    """Say on stderr what came of it: failures always, the rest unless quiet."""
    for failure in summary.failed:
        console.warn(f"{failure.path}: {failure.reason}", kind="failed")
    if quiet:
        return
    # the slices of a series share their warnings: once is enough
    images = [one for one in summary.written if one.input == one.image]
    console.warn_once((one.output, said) for one in images for said in one.warnings)
    if verbose:
        for one in summary.written:
            console.warn(f"{one.input}: {one.model}, {one.reason}", kind="model")
    for warning in summary.warnings:
        console.warn(warning)
    if json:
        return
    console.tell_passed_over(summary.passed_over)
    parts = [
        f"{len(summary.written)} written",
        f"{len(summary.skipped)} skipped",
        f"{len(summary.failed)} failed",
    ]
    how = ", ".join(
        word for word in (summary.device, summary.engine, summary.precision) if word
    )
    if summary.written:
        used = ", ".join(summary.models)
        pace = console.pace(len(summary.written), summary.seconds)
        parts.append(f"{summary.seconds:.1f} s ({pace}) by {used} on {how}")
        place = output if output is not None else summary.written[0].output
        parts.append(f"in {place}")
    console.warn(", ".join(parts), kind="done")
