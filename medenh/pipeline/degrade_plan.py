"""What `degrade` will do, decided before anything is: inputs, names, what is done.

Nothing is written here and no pixel is read: `--dry-run` does that besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from medenh.degradations.recipe import idle_severity
from medenh.errors import MedenhError, UsageError
from medenh.formats.discover import Discovery, Item, discover
from medenh.formats.extensions import split_name
from medenh.formats.files import real_path
from medenh.formats.outputs import is_output_folder
from medenh.pipeline.degrade_companions import Companions
from medenh.pipeline.degrade_draft import DegradePlan, Draft
from medenh.pipeline.degrade_options import DegradeOptions, mark_of
from medenh.pipeline.degrade_records import RecordStore
from medenh.pipeline.degrade_work import Task
from medenh.pipeline.naming import has_image_name, renamed
from medenh.pipeline.results import Failure

if TYPE_CHECKING:
    from medenh.degradations import Recipe

__all__ = ["find_inputs", "make_plan", "output_root"]

_GEOMETRIC = ("dicom", "nifti")
_VOLUMES = ("nifti", "npy", "tiff")  # one file for all slices of a series


def output_root(inputs: Sequence[Path], output: Path | None) -> Path:
    """Return the output folder.

    Raises
    ------
    UsageError
        None was given, it is a file or named as one, "-", or an input folder.
    """
    if output is None:
        raise UsageError("no output folder", hint="give one with -o OUT")
    if str(output) == "-":
        raise UsageError("pictures do not go through a pipe", hint="name a folder")
    if output.is_symlink() and not output.exists():
        raise UsageError(
            f"{output} is a link that leads nowhere", hint="choose another with -o"
        )
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file", hint="-o is a folder")
    if not output.exists() and has_image_name(output):
        raise UsageError(
            f"{output} is named as an image",
            hint="-o is a folder; it gets records.jsonl beside the images",
        )
    for path in inputs:
        if path.is_dir() and real_path(path) == real_path(output):
            raise UsageError(
                "the output folder is the input folder", hint="choose another with -o"
            )
    return output


def find_inputs(
    inputs: Sequence[Path], root: Path, *, recursive: bool, with_outputs: bool = False
) -> Discovery:
    """Return what is in the inputs, without what is below the output folder.

    Nor, but ``with_outputs``, what is in output folders of other runs.
    """
    if not inputs:
        raise UsageError(
            "no input",
            hint="give files or folders; for a replay those of the clean images, "
            "which records do not hold",
        )
    named = {path for path in inputs if not path.is_dir()}
    place = real_path(root)

    def is_output(path: Path) -> bool:
        return path not in named and real_path(path).is_relative_to(place)

    for path in inputs:
        if path.is_dir() and real_path(path).is_relative_to(place):
            raise UsageError(
                f"the input {path} lies in the output folder",
                hint="choose another with -o",
            )
    is_other = None if with_outputs else is_output_folder
    found = discover(inputs, recursive=recursive, is_output=is_other)
    return found.only(lambda path: not is_output(path))


def make_plan(
    inputs: Sequence[Path], output: Path | None, options: DegradeOptions
) -> DegradePlan:
    """Return what a run will do.

    Raises
    ------
    UsageError
        No input or output, unknown recipe or option, a size for files whose geometry
        would no longer hold.
    """
    recipes = _recipes(options)
    root = output_root(inputs, output)
    found = find_inputs(inputs, root, recursive=options.recursive)
    items = found.items
    _check_size(items, options)
    rejected = [Failure(path, error) for path, error in found.rejected]
    plan = DegradePlan(root, RecordStore(root))
    pictures = len(recipes) * options.copies  # of each file
    plan.fail(rejected, pictures=pictures * len(rejected))
    plan.passed_over, plan.searched = found.kinds, tuple(map(Path, inputs))
    plan.recipe, plan.seed = ",".join(options.recipes), options.seed
    plan.inputs = len(rejected) + sum(len(item.paths) for item in items)
    masks = None if options.mask is None else Companions.images(options.mask)
    labels = None if options.masks is None else Companions.images(options.masks)
    place = options.legacy_json
    legacy = None if place is None else Companions.documents(place)
    if place is not None and not place.is_dir() and len(items) > 1:
        raise UsageError(
            f"{place} is of one image, and there are {len(items)}",
            hint="give a folder of NAME.json or NAME_TYPE.json",
        )
    draft = Draft(plan, options, sources=[p for item in items for p in item.paths])
    idle = _idle_severities(recipes, options)
    for item in items:
        try:
            mask = None if masks is None else masks.find(item)
            along = None if labels is None else labels.find(item)
            records = [("", None)] if legacy is None else legacy.find_typed(item)
        except MedenhError as error:
            plan.fail((Failure(path, error) for path in item.paths), pictures=pictures)
            continue
        for recipe, draw, (mark, record) in product(
            recipes, range(options.copies), records
        ):
            task = _task(item, recipe, draw, options, mark)
            if draw == 0:  # the copies of one picture need no word each
                told = (*task.remarks, *idle.get(task.recipe, ()))
                task = replace(task, remarks=told)
            draft.place(replace(task, mask=mask, label_mask=along, legacy=record))
    return plan


def _idle_severities(
    recipes: Sequence[Recipe | None], options: DegradeOptions
) -> dict[str, tuple[str, ...]]:
    """Return what is to be said of recipes in which a severity changes nothing."""
    if options.severity is None:
        return {}
    said = {recipe.name: idle_severity(recipe) for recipe in recipes if recipe}
    return {name: (word,) for name, word in said.items() if word}


def _recipes(options: DegradeOptions) -> tuple[Recipe | None, ...]:
    """Return the recipes; with foreign parameters there is none, once.

    Raises
    ------
    UsageError
        An option is given that contradicts the foreign parameters, which are of
        Cofe-Net's program and of mode "exact".
    """
    chosen: tuple[Recipe, ...] = ()
    if options.legacy_json is None or options.recipes:
        chosen = options.chosen_recipes()
    if options.legacy_json is None:
        _check_legacy_layout(chosen, options)
        return chosen
    plain = DegradeOptions()
    wrong = [
        name
        for name in ("severity", "copies", "seed")
        if getattr(options, name) != getattr(plain, name)
    ]
    if len(chosen) > 1 or any("mode" not in recipe.options for recipe in chosen):
        wrong.append("recipe")
    if dict(options.recipe_options) not in ({}, {"mode": "exact"}):
        wrong.append("mode")
    if wrong:
        raise UsageError(
            f"--legacy-json and this --{wrong[0]} do not go together",
            hint="the records decide it, in mode exact",
        )
    return (None,)


def _check_legacy_layout(chosen: Sequence[Recipe], options: DegradeOptions) -> None:
    if options.write_legacy_json is None:
        return
    from medenh.degradations import cofe_record

    other = [recipe.name for recipe in chosen if not cofe_record.can_hold(recipe)]
    if other:
        raise UsageError(
            f"Cofe-Net's layout has no place for what {other[0]} does",
            hint="--write-legacy-json is only for recipes whose steps are all cofe-...",
        )


def _check_size(items: Sequence[Item], options: DegradeOptions) -> None:
    if options.size is None and options.legacy_json is None:
        return
    asked = "--legacy-json" if options.size is None else "--size"
    for item in items:
        kind = item.format if options.format == "same" else options.format
        if kind in _GEOMETRIC:
            raise UsageError(
                f"{asked} changes the geometry that {kind.upper()} keeps",
                path=item.paths[0],
                hint="add --format png, tiff or npy",
            )


def _task(
    item: Item,
    recipe: Recipe | None,
    draw: int,
    options: DegradeOptions,
    ending: str = "",
) -> Task:
    kind = options.format
    if kind == "same":  # compression must not add to the degradation
        kind = "png" if item.format == "jpeg" else item.format
    marks = [mark_of(recipe)] if recipe and len(options.recipes) > 1 else []
    marks += [f"d{draw}"] if options.copies > 1 else []
    names = [_marked(path, item.format, kind, marks, ending) for path in item.relative]
    if kind in _VOLUMES:
        names = names[:1]
    along = options.masks is not None
    return Task(
        index=0,
        sources=item.paths,
        names=tuple(path.as_posix() for path in item.relative),
        kind=item.format,
        format=kind,
        outputs=tuple(f"low/{name}" if options.pairs else name for name in names),
        references=tuple(f"high/{name}" for name in names) if options.pairs else (),
        label_outputs=(_label_name(names[0], kind),) if along else (),
        recipe=recipe.name if recipe else "",
        drawn_by=recipe,
        draw=draw,
        remarks=(item.remark,) if item.remark else (),
    )


def _label_name(name: str, kind: str) -> str:
    bare, _ = split_name(name, kind)
    return f"masks/{bare}.png"


def _marked(
    relative: Path, kind: str, wanted: str, marks: Sequence[str], ending: str
) -> str:
    """Return ``NAME_ENDING.MARKS.EXT``; the ending has its own separator."""
    changed = renamed(relative, kind, wanted)
    if not marks and not ending:
        return changed.as_posix()
    bare, extension = split_name(changed.name, wanted)
    name = ".".join([bare + ending, *marks]) + extension
    return changed.with_name(name).as_posix()
