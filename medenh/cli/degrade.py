"""`medenh degrade`: clean pictures in, low-quality ones with their records out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medenh.cli import console, options
from medenh.errors import counted

if TYPE_CHECKING:
    from medenh.pipeline.degrade_options import DegradeOptions
    from medenh.pipeline.degrade_results import DegradeSummary

__all__ = ["register"]

_Inputs = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Files or folders.",
        show_default=False,
        parser=options.named_path,
        metavar="INPUTS...",
    ),
]
_Output = Annotated[
    Path | None,
    options.optional(
        "--output",
        "-o",
        help="Output folder.",
        parser=options.named_path,
        metavar="PATH",
    ),
]
_Recipe = Annotated[
    str,
    options.optional(
        help="Recipes, by name or as a file of your own (.toml), joined by commas; "
        "--list shows them.",
        metavar="NAME[,NAME...]",
    ),
]
_Severity = Annotated[
    float | None,
    options.optional(
        min=1.0,
        max=5.0,
        help="1 (mild) to 5 (strong); without it, the recipe's whole range.",
    ),
]
_Copies = Annotated[
    int, typer.Option(min=1, help="Degraded images for each input and recipe.")
]
_Size = Annotated[
    int | None,
    options.optional(
        min=1, help="Long side of the result; for fundus, side of the cropped disc."
    ),
]
_Pairs = Annotated[
    bool, typer.Option("--pairs", help="Write low/ and high/, with the same names.")
]
_Mode = Annotated[
    str | None,
    options.optional(
        help="Fundus: scaled to the image, or exactly as in the published code.",
        metavar="exact|scaled",
    ),
]
_Mask = Annotated[
    Path | None,
    options.optional(
        help="Field of view: an image, or a folder of images of the same names.",
        metavar="FILE|DIR",
    ),
]
_Masks = Annotated[
    Path | None,
    options.optional(
        help="Label masks to crop and resize too, into OUT/masks/; given as --mask.",
        metavar="FILE|DIR",
    ),
]
_Format = Annotated[
    str,
    typer.Option(
        help="same (but JPEG becomes PNG), png, tiff, dicom, nifti or npy.",
        metavar="FORMAT",
    ),
]
_Replay = Annotated[
    Path | None,
    options.optional(
        help="Make the files of these records again, byte for byte.",
        metavar="RECORDS.jsonl",
    ),
]
_LegacyIn = Annotated[
    Path | None,
    options.optional(
        help="Parameters in Cofe-Net's layout: a file, or a folder of NAME.json.",
        metavar="FILE|DIR",
    ),
]
_LegacyOut = Annotated[
    Path | None,
    options.optional(
        help="Folder to write the parameters to, in Cofe-Net's layout.", metavar="DIR"
    ),
]
_Workers = Annotated[
    str,
    typer.Option(
        help="Number of processes; auto: as many as cores and memory allow.",
        metavar="auto|N",
    ),
]
_List = Annotated[bool, typer.Option("--list", help="List the recipes and stop.")]
_ListOperators = Annotated[
    bool,
    typer.Option(
        "--list-operators",
        help="List the operators for a recipe file and stop; -v adds parameters.",
    ),
]
_Print = Annotated[
    str | None,
    options.optional(
        help="Print a recipe as a file for you to change, and stop.", metavar="NAME"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(name="degrade", no_args_is_help=True)(degrade)


def degrade(
    inputs: _Inputs = None,
    output: _Output = None,
    recipe: _Recipe = "",
    severity: _Severity = None,
    copies: _Copies = 1,
    seed: options.Seed = 0,
    size: _Size = None,
    pairs: _Pairs = False,
    mode: _Mode = None,
    mask: _Mask = None,
    masks: _Masks = None,
    modality: options.Modality = None,
    bits: options.Bits = None,
    format: _Format = "same",
    on_exists: options.OnExists = "error",
    replay: _Replay = None,
    legacy_json: _LegacyIn = None,
    write_legacy_json: _LegacyOut = None,
    deidentify: options.Deidentify = None,
    workers: _Workers = "auto",
    recursive: options.Recursive = True,
    dry_run: options.DryRun = False,
    list_recipes: _List = False,
    list_operators: _ListOperators = False,
    print_recipe: _Print = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Degrade clean images as a bad acquisition would; records can be replayed.

    OUT mirrors the input folder and gets records.jsonl. The same seed gives the same
    files on any number of cores. Repeat the command to continue after a stop.
    """
    from medenh.device import one_thread_each

    with one_thread_each():  # before NumPy is loaded
        if list_recipes:
            _show_recipes(json=json)
            return
        if list_operators:
            _show_operators(json=json, verbose=verbose)
            return
        if print_recipe is not None:
            from medenh.degradations import recipe_text

            text = recipe_text(print_recipe)
            if json:
                console.write_json({"recipe": print_recipe, "toml": text})
            else:
                console.write(text.removesuffix("\n"))
            return
        asked = _options(
            recipe, workers, severity=severity, copies=copies, seed=seed, size=size,
            pairs=pairs, recipe_options={} if mode is None else {"mode": mode},
            mask=mask, masks=masks, modality=modality, bits=bits,
            format=format, on_exists=on_exists, recursive=recursive,
            legacy_json=legacy_json, write_legacy_json=write_legacy_json,
            deidentify=deidentify,
        )  # fmt: skip
        paths = list(inputs or [])
        if dry_run:
            _show_plan(paths, output, asked, replay, quiet=quiet, json=json)
            return
        summary = _run(paths, output, asked, replay, quiet=quiet, json=json)
        _tell(summary, output, quiet=quiet, verbose=verbose, json=json)
    raise typer.Exit(summary.exit_code())


def _options(recipe: str, workers: str, **others: object) -> DegradeOptions:
    from medenh.pipeline.degrade_options import DegradeOptions
    from medenh.pipeline.options import parse_number

    names = tuple(_recipe_names(recipe))
    count = "auto" if workers == "auto" else parse_number("workers", workers)
    return DegradeOptions(recipes=names, workers=count, **others)  # type: ignore[arg-type]


def _recipe_names(text: str) -> Iterator[str]:
    """Yield what commas separate; one of a file's own path separates nothing."""
    from medenh.degradations.recipe_file import is_recipe_file

    parts = text.split(",")
    while parts:
        for count in range(len(parts), 0, -1):
            name = ",".join(parts[:count]).strip()
            if count == 1 or (is_recipe_file(name) and _is_there(name)):
                break
        del parts[:count]
        if name:
            yield name


def _is_there(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # many names together are too long for one
        return False


def _show_recipes(*, json: bool) -> None:
    from medenh.degradations import RECIPES

    recipes = [RECIPES[name] for name in sorted(RECIPES)]
    if json:
        console.write_json(
            [
                {
                    "name": recipe.name,
                    "modalities": recipe.modalities,
                    "title": recipe.title,
                    "source": recipe.source,
                    "options": {k: list(v) for k, v in recipe.options.items()},
                }
                for recipe in recipes
            ]
        )
        return
    rows = [(r.name, ", ".join(r.modalities) or "any", r.title) for r in recipes]
    console.write_table(("recipe", "modalities", "what it does"), rows)


def _show_operators(*, json: bool, verbose: bool) -> None:
    from medenh.degradations.recipe_file import described, parameters_of
    from medenh.degradations.registry import SAMPLERS

    told = [
        (name, parameters_of(SAMPLERS[name]), described(SAMPLERS[name]))
        for name in sorted(SAMPLERS)
    ]
    if json:
        keys = ("operator", "parameters", "description")
        console.write_json([dict(zip(keys, one, strict=True)) for one in told])
    elif verbose:
        console.write("\n\n".join(f"{name}\n{what}" for name, _, what in told))
    else:
        rows = [(n, ", ".join(p) or "-", w.partition("\n")[0]) for n, p, w in told]
        console.write_table(("operator", "parameters", "what it does"), rows)


def _run(
    inputs: list[Path],
    output: Path | None,
    asked: DegradeOptions,
    replay: Path | None,
    *,
    quiet: bool,
    json: bool,
) -> DegradeSummary:
    from medenh.cli.interrupt import interruptible
    from medenh.cli.progress import ProgressListener
    from medenh.pipeline.degrade import degrade_files
    from medenh.pipeline.degrade_results import DegradeSummary

    with (
        interruptible() as stop,
        console.as_document(DegradeSummary(), wanted=json) as summary,
        ProgressListener(quiet=quiet, label="degrading") as listener,
    ):
        return degrade_files(
            inputs,
            output,
            asked,
            replay=replay,
            listener=listener,
            stop=stop,
            summary=summary,
        )


def _show_plan(
    inputs: list[Path],
    output: Path | None,
    asked: DegradeOptions,
    replay: Path | None,
    *,
    quiet: bool,
    json: bool,
) -> None:
    from medenh.formats.discover import none_found
    from medenh.pipeline.degrade import foresee_degrade, plan_degrade

    plan = plan_degrade(inputs, output, asked, replay=replay)
    foresee_degrade(plan, asked)
    if json:
        console.write_json(plan.to_json())
        return
    for task in plan.tasks:
        more = f" and {len(task.sources) - 1} more" if len(task.sources) > 1 else ""
        target = plan.root / task.outputs[0]
        how = "; ".join((task.recipe, *task.remarks))
        console.say(f"degrade {task.path}{more} -> {target} by {how}")
    for skip in plan.skipped:
        console.say(f"skip    {skip.path}: {skip.reason}")
    for failure in plan.failed:
        console.say(f"refuse  {failure.path}: {failure.reason}")
    if not quiet:
        console.tell_passed_over(plan.passed_over)
        if not plan.inputs:
            console.warn(none_found(plan.searched, {}), kind="nothing to do")


def _tell(
    summary: DegradeSummary,
    output: Path | None,
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
    console.warn_once(
        (one.input, said) for one in summary.written for said in one.warnings
    )
    for warning in summary.warnings:
        console.warn(warning)
    if verbose:
        for one in summary.written:
            steps = ", ".join(step.op for step in one.record.steps) or "nothing"
            console.warn(f"{one.input} -> {one.output}: {steps}", kind="degraded")
    if json:
        return
    console.tell_passed_over(summary.passed_over)
    failed = f"{len(summary.failed)} failed"
    if summary.not_made not in (0, len(summary.failed)):
        failed += f" ({counted(summary.not_made, 'picture')} not made)"
    parts = [
        f"{len(summary.written)} written",
        f"{len(summary.skipped)} skipped",
        failed,
    ]
    if summary.written:
        pace = console.pace(len(summary.written), summary.seconds)
        parts.append(f"{summary.seconds:.1f} s ({pace})")
        score = summary.mean_psnr()
        if score is not None:
            parts.append(f"mean PSNR to the clean images {score:.2f} dB")
        parts.append(f"in {output}")
    console.warn(", ".join(parts), kind="done")
