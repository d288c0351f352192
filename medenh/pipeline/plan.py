"""What will be done, decided before anything is: inputs, outputs, what is done already.

Nothing is written here and no pixel is read; `--dry-run` shows just this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medenh import __version__
from medenh.device import num_threads
from medenh.errors import InputError, OutputError, UsageError
from medenh.formats.discover import Item, discover
from medenh.formats.files import safe_output_path
from medenh.pipeline.journal import Fingerprint, Journal, Record
from medenh.pipeline.naming import (
    enhanced_name,
    has_image_name,
    numbered,
    renamed,
)
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.results import Failure, Skip

if TYPE_CHECKING:
    from medenh.zoo.manifest import Resolution

__all__ = ["Plan", "WorkItem", "make_plan", "request_hash"]

_MOST_RENAMES = 10_000

Resolve = Callable[[str], "Resolution"]


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One image to enhance.

    Attributes
    ----------
    sources, targets : tuple of path
        What is read and what is written; several of each for a DICOM series.
    format : str
        Of the source.
    """

    sources: tuple[Path, ...]
    targets: tuple[Path, ...]
    format: str

    @property
    def path(self) -> Path:
        """The first source, which names the item."""
        return self.sources[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a run will do.

    Attributes
    ----------
    work : tuple of WorkItem
        To be done, in order.
    skipped : tuple of Skip
        Needs nothing: done before, or there and to be kept.
    failed : tuple of Failure
        Cannot be done: no image, or its output is in the way.
    root : path or None
        The output folder, with its journal; None for a single named file.
    request : str
        Hash of everything asked that changes outputs.
    """

    work: tuple[WorkItem, ...] = ()
    skipped: tuple[Skip, ...] = ()
    failed: tuple[Failure, ...] = ()
    root: Path | None = None
    request: str = ""

    @property
    def inputs(self) -> int:
        """How many images were found, readable or not."""
        return len(self.work) + len(self.skipped) + len(self.failed)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as ``--dry-run --json`` prints it."""
        return {
            "work": [
                {
                    "inputs": [str(path) for path in item.sources],
                    "outputs": [str(path) for path in item.targets],
                    "format": item.format,
                }
                for item in self.work
            ],
            "skipped": [
                {"path": str(s.path), "output": str(s.output), "reason": s.reason}
                for s in self.skipped
            ],
            "failed": [failure.to_json() for failure in self.failed],
        }


def request_hash(options: EnhanceOptions) -> str:
    """Return a hash of all options that change what is written, and of the version."""
    parts = [
        __version__,
        options.model,
        options.pixel_settings,
        options.precision,
        options.engine,
        options.device,
        options.format,
        options.strict,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def make_plan(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    options: EnhanceOptions,
    *,
    resolve: Resolve | None = None,
) -> Plan:
    """Return what a run will do.

    Parameters
    ----------
    inputs : sequence of path
        Files and folders.
    output : path or None
        A file for one file, else a folder; None is ``NAME.enhanced.EXT`` beside one
        file.
    options : EnhanceOptions
    resolve : callable, optional
        Modality word to model: a finished output counts only while the same model
        would be picked again.

    Raises
    ------
    UsageError
        No input; no output for a folder or several files; an output that would
        replace an input.
    """
    if not inputs:
        raise UsageError("no input")
    paths = [Path(one) for one in inputs]
    single = _is_single(paths, output)
    root = None if single else _root_of(paths, output)
    found = discover(paths, recursive=options.recursive)
    items = [item for item in found.items if not _is_output(item, root, paths)]
    failed = [
        Failure(path, error)
        for path, error in found.rejected
        if root is None or not _below(path, root) or path in paths
    ]
    draft = _Draft(root, options, resolve, failed)
    for item in items:
        draft.place(item, None if root is not None else output)
    if options.shard is not None:
        draft.keep_part(*options.shard)
    return draft.finish()


def _is_single(paths: list[Path], output: str | Path | None) -> bool:
    """Tell whether one file becomes one named file."""
    one_file = len(paths) == 1 and not paths[0].is_dir()
    if output is None:
        if not one_file:
            raise UsageError(
                "several images need a place to go", hint="give a folder with -o OUT"
            )
        return True
    if not one_file or Path(output).is_dir() or str(output).endswith(("/", "\\")):
        return False
    return has_image_name(Path(output)) or not has_image_name(paths[0])


def _root_of(paths: list[Path], output: str | Path | None) -> Path:
    if output is None:
        raise UsageError("several images need a place to go")
    root = Path(output)
    if root.exists() and not root.is_dir():
        raise UsageError(
            f"{root} is a file", hint="several images need a folder as output"
        )
    for path in paths:
        if path.is_dir() and path.resolve() == root.resolve():
            raise UsageError(
                "the output folder is the input folder", hint="choose another with -o"
            )
    return root


def _below(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def _is_output(item: Item, root: Path | None, paths: list[Path]) -> bool:
    """Tell whether an item found in a folder lies in the output folder within it."""
    if root is None or item.paths[0] in paths:
        return False
    return _below(item.paths[0], root)


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    root: Path | None
    options: EnhanceOptions
    resolve: Resolve | None
    failed: list[Failure]
    placed: list[WorkItem] = field(default_factory=list)
    taken: dict[Path, Path] = field(default_factory=dict)

    def place(self, item: Item, output: str | Path | None) -> None:
        """Give an item its outputs, or note why it cannot have them."""
        try:
            targets = self._targets(item, output)
            self._check(item, targets)
        except OutputError as error:
            self.failed.append(Failure(item.paths[0], error))
            return
        self.placed.append(WorkItem(item.paths, targets, item.format))

    def keep_part(self, index: int, count: int) -> None:
        """Keep one part of all, dealt out like cards: alike neighbours are split."""
        self.placed = self.placed[index - 1 :: count]
        self.failed = self.failed[index - 1 :: count]

    def _targets(self, item: Item, output: str | Path | None) -> tuple[Path, ...]:
        wanted = self.options.format
        if self.root is None:
            if output is not None:
                return (Path(output),)
            path = item.paths[0]
            return (path.with_name(enhanced_name(path.name, item.format, wanted)),)
        names = [renamed(path, item.format, wanted) for path in item.relative]
        if wanted in ("nifti", "npy", "tiff"):
            names = names[:1]
        return tuple(safe_output_path(self.root, name) for name in names)

    def _check(self, item: Item, targets: Iterable[Path]) -> None:
        sources = {path.resolve() for path in item.paths}
        for target in targets:
            place = target.resolve()
            if place in sources:
                raise UsageError(
                    f"{target} is the input itself", hint="choose another output"
                )
            other = self.taken.setdefault(place, item.paths[0])
            if other != item.paths[0]:
                raise OutputError(
                    f"its output {target} is that of {other} as well",
                    path=item.paths[0],
                    hint="enhance them into different folders",
                )

    def finish(self) -> Plan:
        """Sort out what is done or in the way; several threads hash what is there."""
        request = request_hash(self.options)
        journal = None
        if self.root is not None:
            journal = Journal(self.root)
        work: list[WorkItem] = []
        skipped: list[Skip] = []

        def judge(item: WorkItem) -> WorkItem | Skip | Failure:
            return self._judge(item, journal, request)

        with ThreadPoolExecutor(num_threads()) as pool:
            for verdict in pool.map(judge, self.placed):
                if isinstance(verdict, WorkItem):
                    work.append(verdict)
                elif isinstance(verdict, Skip):
                    skipped.append(verdict)
                else:
                    self.failed.append(verdict)
        return Plan(
            work=tuple(work),
            skipped=tuple(skipped),
            failed=tuple(self.failed),
            root=self.root,
            request=request,
        )

    def _judge(
        self, item: WorkItem, journal: Journal | None, request: str
    ) -> WorkItem | Skip | Failure:
        there = [target for target in item.targets if target.exists()]
        if not there:
            return item
        if journal is not None:
            record = journal.find(item.targets[0])
            if record is not None and self._is_done(item, record, journal, request):
                return Skip(item.path, item.targets[0], "done")
            if self._was_cut_off(item, there, journal, request):
                return item
        policy = self.options.on_exists
        if policy == "skip":
            return Skip(item.path, there[0], "exists")
        if policy == "overwrite":
            return item
        if policy == "rename":
            return self._renumbered(item, journal, request)
        return Failure(
            item.path,
            OutputError(
                "is already there",
                path=there[0],
                hint="--on-exists skip, overwrite or rename",
            ),
        )

    def _renumbered(
        self, item: WorkItem, journal: Journal | None, request: str
    ) -> WorkItem | Skip | Failure:
        """Give an item names with a number, unless an earlier run gave it some."""
        for number in range(1, _MOST_RENAMES):
            targets = tuple(numbered(target, number) for target in item.targets)
            if not any(target.exists() for target in targets):
                return WorkItem(item.sources, targets, item.format)
            record = None if journal is None else journal.find(targets[0])
            if journal is not None and record is not None:
                again = WorkItem(item.sources, targets, item.format)
                if self._is_done(again, record, journal, request):
                    return Skip(item.path, targets[0], "done")
        return Failure(item.path, OutputError("no free name", path=item.targets[0]))

    def _is_done(
        self, item: WorkItem, record: Record, journal: Journal, request: str
    ) -> bool:
        if record.request != request or len(record.outputs) < len(item.targets):
            return False
        try:
            same = Fingerprint.of(item.sources) == record.source
        except (InputError, OSError):
            return False
        return same and self._same_model(record) and journal.is_intact(record)

    def _was_cut_off(
        self, item: WorkItem, there: list[Path], journal: Journal, request: str
    ) -> bool:
        """Tell whether what is there is of a run killed before it could say so."""
        try:
            source = Fingerprint.of(item.sources)
        except (InputError, OSError):
            return False
        return journal.was_begun(there, source, request)

    def _same_model(self, record: Record) -> bool:
        if self.resolve is None:
            return True
        card = self.resolve(record.modality).card
        sha256 = card.weights.sha256 if card.weights is not None else ""
        made = (record.model, record.version, record.weights_sha256)
        return made == (card.id, card.version, sha256)
