"""A plan of `degrade` in the making: names are checked, and what is done is found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medenh import __version__
from medenh.degradations.record import FileEntry
from medenh.errors import (
    MedenhError,
    OutputError,
    UnsupportedError,
    UsageError,
    counted,
)
from medenh.formats.files import ignores_case, name_key, safe_output_path
from medenh.formats.outputs import RECORDS
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.degrade_records import (
    RecordStore,
    content_sha256,
    files_of,
)
from medenh.pipeline.degrade_work import Task
from medenh.pipeline.naming import numbered
from medenh.pipeline.results import Failure, Skip

if TYPE_CHECKING:
    from medenh.degradations import Record

__all__ = ["DegradePlan", "Draft"]

_MOST_RENAMES = 10_000


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
    not_made : int
        Pictures that were asked for and cannot be made; a file may stand for several.
    inputs : int
        Files found, readable or not; each slice of a series is one.
    passed_over : dict
        What folders hold that is not taken: kind -> number of files.
    searched : tuple of path
        The inputs, as given.
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
    not_made: int = 0
    inputs: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    searched: tuple[Path, ...] = ()

    def fail(self, failures: Iterable[Failure], *, pictures: int = 1) -> None:
        """Note pictures that cannot be made, and why.

        One failure for each file is enough, whatever is made of it.
        """
        self.not_made += pictures
        for one in failures:
            if all(one.path != known.path for known in self.failed):
                self.failed.append(one)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as ``--dry-run --json`` prints it."""
        return {
            "work": [
                {
                    "inputs": [str(path) for path in task.sources],
                    "outputs": [str(self.root / name) for name in task.outputs],
                    "recipe": task.recipe,
                    "draw": task.draw,
                    "warnings": list(task.remarks),
                }
                for task in self.tasks
            ],
            "skipped": [skip.to_json() for skip in self.skipped],
            "failed": [failure.to_json() for failure in self.failed],
            "passed_over": dict(self.passed_over),
        }


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
        self._ignoring_case = ignores_case(plan.root)
        self._sources = {self._key(path) for path in sources}
        self._taken: dict[str, Path] = {}
        self._hashes: dict[Path, str] = {}

    def _key(self, path: Path) -> str:
        return name_key(path, ignoring_case=self._ignoring_case)

    def place(self, task: Task) -> None:
        """Add a task, or say why it is skipped or cannot be done."""
        try:
            for name in _files(task):
                self._check(task, name)
            self._judge(task)
        except MedenhError as error:
            if isinstance(error, UsageError):
                raise
            self._plan.fail(Failure(path, error) for path in task.sources)

    def _check(self, task: Task, name: str) -> None:
        if not name.isascii() and any("\ud800" <= one <= "\udfff" for one in name):
            raise UnsupportedError(
                "its name is not UTF-8, as records must be",
                path=task.path,
                hint="rename it",
            )
        target = safe_output_path(self._plan.root, name)
        if target.name == RECORDS or target.name.startswith(".medenh"):
            raise OutputError("has the name of a file of medenh's own", path=target)
        place = self._key(target)
        if place in self._sources:
            raise UsageError(f"{target} is an input", hint="choose another output")
        other = self._taken.setdefault(place, task.path)
        if other != task.path:
            where = ", where names ignore case" if self._ignoring_case else ""
            raise OutputError(
                f"its output {target} is that of {other} as well{where}",
                path=task.path,
                hint="degrade them into different folders",
            )

    def _judge(self, task: Task) -> None:
        """Sort a task in by what is there already."""
        root, policy = self._plan.root, self._options.on_exists
        last = _MOST_RENAMES if policy == "rename" else 1
        for number in range(last):
            one = _numbered(task, number)
            there = [name for name in _files(one) if (root / name).exists()]
            before = self._earlier(one, there)
            done = {name for record in before for name in _names(record)}
            whole = any(len(_names(record)) == len(one.names) for record in before)
            intact = all(map(self._plan.store.is_intact, before))
            if whole and intact:
                self._skip(one)
                return
            cut_off = bool(before) and not intact
            again = policy == "skip" and 0 < len(done) < len(one.names)
            if not there or cut_off or again or policy == "overwrite":
                self._add(one, () if whole else done)
                return
            if policy != "rename":
                self._keep(one, done)
                return
        raise OutputError(
            "no free name", path=root / there[0], hint="--on-exists skip or overwrite"
        )

    def _add(self, task: Task, done: Collection[str]) -> None:
        """Add a task; a series of which some was done is one picture, made as a whole.

        Its other slices came later or were damaged. With them every slice changes.
        """
        again = (f"{_change(task, done)}: made again as a whole",) if done else ()
        remarks = (*task.remarks, *again)
        index = len(self._plan.tasks)
        self._plan.tasks.append(replace(task, index=index, remarks=remarks))
        self._plan.order.append(task.outputs[0])

    def _skip(self, task: Task) -> None:
        self._plan.order.append(task.outputs[0])
        for index, path in enumerate(task.sources):
            self._plan.skipped.append(Skip(path, self._target(task, index), "done"))

    def _target(self, task: Task, index: int) -> Path:
        """Return where a source goes."""
        return self._plan.root / task.outputs[min(index, len(task.outputs) - 1)]

    def _keep(self, task: Task, done: Collection[str]) -> None:
        """Let what is there stand, and say so of each source."""
        skipping = self._options.on_exists == "skip"
        failed = []
        self._plan.order.append(task.outputs[0])
        for index, path in enumerate(task.sources):
            target, there = self._target(task, index), self._has_output(task, index)
            if there and (skipping or task.names[index] in done):
                reason = "exists" if skipping else "done"
                self._plan.skipped.append(Skip(path, target, reason))
                continue
            what, hint = "is already there", "--on-exists skip, overwrite or rename"
            if not there:
                what = "is not made: outputs of other files of its series are there"
                hint = "--on-exists overwrite: the whole is made again"
            if done:
                what += f", and {_change(task, done)}"
                hint = "--on-exists skip or overwrite: the whole is made again"
            failed.append(Failure(path, OutputError(what, path=target, hint=hint)))
        if failed:
            self._plan.fail(failed)

    def _has_output(self, task: Task, index: int) -> bool:
        """Tell whether what a source becomes is there, alone or in a volume."""
        if len(task.outputs) < len(task.sources):
            owners = self._plan.store.owners(task.outputs)
            held = [name for record in owners for name in _names(record)]
            if held and task.names[index] not in held:
                return False
        return self._target(task, index).exists()

    def _earlier(self, task: Task, there: Sequence[str]) -> list[Record]:
        """Return the records of all that is there, if they are of just this task.

        Perhaps of some files of its series only. None where anything is of another
        task or was changed.
        """
        store = self._plan.store
        found = store.owners(there)
        told = {name for record in found for name, _ in files_of(record)}
        ours = told.issuperset(there) and all(
            self._is_same(record, task) and store.is_begun(record) for record in found
        )
        return found if ours else []

    def _is_same(self, record: Record, task: Task) -> bool:
        """Tell whether a record is of just this task."""
        if task.record is not None:
            return record == task.record
        wanted = self._options
        return (
            (record.format, record.tool_version) == (task.format, __version__)
            and record.deidentify == (wanted.deidentify or "")
            and self._same_degradation(record, task)
            and bool(record.references) == wanted.pairs
            and wanted.modality in (None, record.modality)
            and record.bits == (wanted.bits or 0)
            and (record.mask_sha256, record.label_mask_sha256)
            == tuple(
                "" if path is None else self._hash(path)
                for path in (task.mask, task.label_mask)
            )
            and self._same_content(record, task)
        )

    def _same_degradation(self, record: Record, task: Task) -> bool:
        wanted = self._options
        if task.legacy is not None:
            return record.parameters_sha256 == self._hash(
                task.legacy
            ) and wanted.size in (None, record.size)
        severity = wanted.severity
        unit = None if severity is None else (severity - 1.0) / 4.0
        content = task.drawn_by.sha256 if task.drawn_by else ""
        asked = (task.recipe, content, wanted.seed, task.draw, unit, wanted.size)
        done = (
            record.preset,
            record.recipe_sha256,
            record.seed,
            record.draw,
            record.severity,
            record.size,
        )
        return (
            asked == done
            and not record.parameters_sha256
            and record.options == self._options_of(task)
        )

    def _options_of(self, task: Task) -> dict[str, Any]:
        own = {} if task.drawn_by is None else task.drawn_by.options
        given = self._options.recipe_options
        return {name: given.get(name, words[0]) for name, words in own.items()}

    def _same_content(self, record: Record, task: Task) -> bool:
        """Tell whether a record is of these very files, or of some of a series."""
        paths = dict(zip(task.names, task.sources, strict=True))
        first = FileEntry(name=record.source, sha256=record.source_sha256)
        return all(
            one.name in paths and self._hash(paths[one.name]) == one.sha256
            for one in (first, *record.more_sources)
        )

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = content_sha256(path)
        return self._hashes[path]


def _names(record: Record) -> list[str]:
    """Return the names of a record's sources."""
    return [record.source, *(one.name for one in record.more_sources)]


def _change(task: Task, done: Collection[str]) -> str:
    return (
        f"its series had {counted(len(done), 'file')} when that was made, and has "
        f"{len(task.names)} now"
    )


def _files(task: Task) -> tuple[str, ...]:
    return (*task.outputs, *task.references, *task.label_outputs)


def _numbered(task: Task, number: int) -> Task:
    if not number:
        return task

    def name(of: str) -> str:
        return numbered(Path(of), number).as_posix()

    def entries(of: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
        return tuple(FileEntry(name=name(one.name), sha256=one.sha256) for one in of)

    record = task.record
    if record is not None:  # what is made is that of the record but for the names
        record = record.model_copy(
            update={
                "output": name(record.output),
                "more_outputs": entries(record.more_outputs),
                "references": entries(record.references),
                "label_masks": entries(record.label_masks),
            }
        )
    return replace(
        task,
        outputs=tuple(map(name, task.outputs)),
        references=tuple(map(name, task.references)),
        label_outputs=tuple(map(name, task.label_outputs)),
        record=record,
    )
