"""What `degrade` will do, decided before anything is: inputs, names, what is done.

Nothing is written here and no pixel is read; `--dry-run` shows just this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medenh import __version__
from medenh.errors import MedenhError, OutputError, UsageError
from medenh.formats.discover import Item, discover
from medenh.formats.files import safe_output_path
from medenh.pipeline.degrade_companions import Companions
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.degrade_records import RecordStore, content_sha256
from medenh.pipeline.degrade_work import Task
from medenh.pipeline.naming import has_image_name, numbered, renamed
from medenh.pipeline.results import Failure, Skip

if TYPE_CHECKING:
    from medenh.degradations import Recipe, Record

__all__ = ["DegradePlan", "Draft", "find_inputs", "make_plan", "output_root"]

_MOST_RENAMES = 10_000
_GEOMETRIC = ("dicom", "nifti")
_VOLUMES = ("nifti", "npy", "tiff")  # one file for all slices of a series


@dataclass(slots=True)
class DegradePlan:
    """All that a run will do.

    Attributes
    ----------
    root : path
        The output folder.
    tasks : list of Task
        To be done, in order.
    order : list of str
        First output of everything asked for, done before or not.
    skipped, failed : list
        Needs nothing; cannot be done.
    inputs : int
        Files found, readable or not; each slice of a series is one.
    store : RecordStore
    recipe : str
        Names of the recipes, joined by a comma.
    seed : int
    """

    root: Path
    store: RecordStore
    recipe: str = ""
    seed: int = 0
    tasks: list[Task] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    inputs: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the plan as ``--dry-run --json`` prints it."""
        return {
            "work": [
                {
                    "inputs": [str(path) for path in task.sources],
                    "outputs": [str(self.root / name) for name in task.outputs],
                    "recipe": task.recipe,
                    "draw": task.draw,
                }
                for task in self.tasks
            ],
            "skipped": [
                {"path": str(s.path), "output": str(s.output), "reason": s.reason}
                for s in self.skipped
            ],
            "failed": [failure.to_json() for failure in self.failed],
        }


def output_root(inputs: Sequence[Path], output: Path | None) -> Path:
    """Return the output folder.

    Raises
    ------
    UsageError
        None was given, it is a file or named as one, or an input folder.
    """
    if output is None:
        raise UsageError("no output folder", hint="give one with -o OUT")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file", hint="-o is a folder")
    if not output.exists() and has_image_name(output):
        raise UsageError(
            f"{output} is named as an image",
            hint="-o is a folder; it gets records.jsonl beside the images",
        )
    for path in inputs:
        if path.is_dir() and path.resolve() == output.resolve():
            raise UsageError(
                "the output folder is the input folder", hint="choose another with -o"
            )
    return output


def find_inputs(
    inputs: Sequence[Path], root: Path, *, recursive: bool
) -> tuple[list[Item], list[Failure]]:
    """Return the pictures in the inputs, without those below the output folder."""
    if not inputs:
        raise UsageError("no input")
    named = {path for path in inputs if not path.is_dir()}
    place = root.resolve()

    def is_output(path: Path) -> bool:
        return path not in named and path.resolve().is_relative_to(place)

    for path in inputs:
        if path.is_dir() and path.resolve().is_relative_to(place):
            raise UsageError(
                f"the input {path} lies in the output folder",
                hint="choose another with -o",
            )
    found = discover(inputs, recursive=recursive)
    items = [item for item in found.items if not is_output(item.paths[0])]
    rejected = [
        Failure(path, error) for path, error in found.rejected if not is_output(path)
    ]
    return items, rejected


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
    recipes = options.chosen_recipes()
    root = output_root(inputs, output)
    items, rejected = find_inputs(inputs, root, recursive=options.recursive)
    _check_size(items, options)
    plan = DegradePlan(root, RecordStore(root), failed=rejected)
    plan.recipe, plan.seed = ",".join(options.recipes), options.seed
    plan.inputs = len(rejected) + sum(len(item.paths) for item in items)
    masks = None if options.mask is None else Companions.images(options.mask)
    draft = Draft(plan, options, sources=[p for item in items for p in item.paths])
    for item in items:
        try:
            mask = None if masks is None else masks.find(item)
        except MedenhError as error:
            plan.failed.extend(Failure(path, error) for path in item.paths)
            continue
        for recipe in recipes:
            for draw in range(options.copies):
                draft.place(_task(item, recipe, draw, mask, options))
    return plan


def _check_size(items: Sequence[Item], options: DegradeOptions) -> None:
    if options.size is None:
        return
    for item in items:
        kind = item.format if options.format == "same" else options.format
        if kind in _GEOMETRIC:
            raise UsageError(
                f"--size changes the geometry that {kind.upper()} keeps",
                path=item.paths[0],
                hint="add --format png, tiff or npy",
            )


def _task(
    item: Item, recipe: Recipe, draw: int, mask: Path | None, options: DegradeOptions
) -> Task:
    kind = options.format
    if kind == "same":  # compression must not add to the degradation
        kind = "png" if item.format == "jpeg" else item.format
    marks = [recipe.name] if len(options.recipes) > 1 else []
    marks += [f"d{draw}"] if options.copies > 1 else []
    names = [_marked(path, item.format, kind, marks) for path in item.relative]
    if kind in _VOLUMES:
        names = names[:1]
    return Task(
        index=0,
        sources=item.paths,
        names=tuple(path.as_posix() for path in item.relative),
        kind=item.format,
        format=kind,
        outputs=tuple(f"low/{name}" if options.pairs else name for name in names),
        references=tuple(f"high/{name}" for name in names) if options.pairs else (),
        recipe=recipe.name,
        draw=draw,
        mask=mask,
    )


def _marked(relative: Path, kind: str, wanted: str, marks: Sequence[str]) -> str:
    """Return ``NAME.MARKS.EXT``."""
    changed = renamed(relative, kind, wanted)
    if not marks:
        return changed.as_posix()
    bare = _without_extension(changed, wanted)
    extension = changed.name[len(bare) :]
    return changed.with_name(".".join([bare, *marks]) + extension).as_posix()


def _without_extension(path: Path, kind: str) -> str:
    from medenh.formats import EXTENSIONS

    for ending in sorted(EXTENSIONS[kind], key=len, reverse=True):
        if path.name.lower().endswith(ending) and len(path.name) > len(ending):
            return path.name[: -len(ending)]
    return path.name


class Draft:
    """Puts tasks into a plan: their names are checked, and what is done is found.

    Parameters
    ----------
    plan : DegradePlan
    options : DegradeOptions
    sources : sequence of path
        All inputs: none may become an output.
    """

    def __init__(
        self, plan: DegradePlan, options: DegradeOptions, *, sources: Sequence[Path]
    ) -> None:
        self._plan = plan
        self._options = options
        self._sources = {path.resolve() for path in sources}
        self._taken: dict[Path, Path] = {}
        self._hashes: dict[Path, str] = {}

    def place(self, task: Task) -> None:
        """Add a task, or say why it is skipped or cannot be done."""
        try:
            for name in (*task.outputs, *task.references):
                self._check(task, name)
            self._judge(task)
        except MedenhError as error:
            if isinstance(error, UsageError):
                raise
            failures = [Failure(path, error) for path in task.sources]
            known = {failure.path for failure in self._plan.failed}
            self._plan.failed.extend(f for f in failures if f.path not in known)

    def _check(self, task: Task, name: str) -> None:
        target = safe_output_path(self._plan.root, name)
        place = target.resolve()
        if place in self._sources:
            raise UsageError(f"{target} is an input", hint="choose another output")
        other = self._taken.setdefault(place, task.path)
        if other != task.path:
            raise OutputError(
                f"its output {target} is that of {other} as well",
                path=task.path,
                hint="degrade them into different folders",
            )

    def _judge(self, task: Task) -> None:
        """Sort a task in by what is there already."""
        root, policy = self._plan.root, self._options.on_exists
        last = _MOST_RENAMES if policy == "rename" else 1
        for number in range(last):
            one = _numbered(task, number)
            record = self._plan.store.find(one.outputs[0])
            known = record is not None and self._is_same(record, one)
            if known and record is not None and self._plan.store.is_intact(record):
                self._skip(one, "done")
                return
            there = [n for n in _files(one) if (root / n).exists()]
            ours = known and record is not None and self._plan.store.is_begun(record)
            if not there or ours or policy == "overwrite":
                self._plan.tasks.append(replace(one, index=len(self._plan.tasks)))
                self._plan.order.append(one.outputs[0])
                return
            if policy == "skip":
                self._skip(one, "exists")
                return
        raise OutputError(
            "is already there" if last == 1 else "no free name",
            path=root / there[0],
            hint="--on-exists skip, overwrite or rename",
        )

    def _skip(self, task: Task, reason: str) -> None:
        self._plan.order.append(task.outputs[0])
        for index, path in enumerate(task.sources):
            name = task.outputs[min(index, len(task.outputs) - 1)]
            self._plan.skipped.append(Skip(path, self._plan.root / name, reason))

    def _is_same(self, record: Record, task: Task) -> bool:
        """Tell whether a record is of just this task."""
        if task.record is not None:
            return record == task.record
        wanted = self._options
        severity = wanted.severity
        unit = None if severity is None else (severity - 1.0) / 4.0
        asked = (task.recipe, wanted.seed, task.draw, unit, wanted.size, task.format)
        done = (record.preset, record.seed, record.draw, record.severity, record.size)
        return (
            asked == (*done, record.format)
            and record.tool_version == __version__
            and record.source == task.names[0]
            and record.options == self._options_of(task)
            and bool(record.references) == wanted.pairs
            and wanted.modality in (None, record.modality)
            and record.mask_sha256
            == ("" if task.mask is None else self._hash(task.mask))
            and self._same_content(record, task)
        )

    def _options_of(self, task: Task) -> dict[str, Any]:
        from medenh.degradations import find_recipe

        own = find_recipe(task.recipe).options
        given = self._options.recipe_options
        return {name: given.get(name, words[0]) for name, words in own.items()}

    def _same_content(self, record: Record, task: Task) -> bool:
        """Tell whether a record is of these very files, damaged ones left out."""
        known = {record.source: record.source_sha256}
        known.update({one.name: one.sha256 for one in record.more_sources})
        return all(
            known.get(name) == self._hash(path)
            for name, path in zip(task.names, task.sources, strict=True)
        )

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = content_sha256(path)
        return self._hashes[path]


def _files(task: Task) -> tuple[str, ...]:
    return (*task.outputs, *task.references)


def _numbered(task: Task, number: int) -> Task:
    if not number:
        return task

    def names(of: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(numbered(Path(name), number).as_posix() for name in of)

    return replace(task, outputs=names(task.outputs), references=names(task.references))
