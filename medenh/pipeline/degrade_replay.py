"""Records back to tasks: each finds its clean file by name, or by content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from medenh.degradations import Record
from medenh.errors import (
    InputError,
    MedenhError,
    OutputError,
    UnreadableError,
    UsageError,
)
from medenh.formats.discover import Item
from medenh.pipeline.degrade_companions import Companions
from medenh.pipeline.degrade_draft import DegradePlan, Draft
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.degrade_plan import find_inputs, output_root
from medenh.pipeline.degrade_records import (
    RecordStore,
    content_sha256,
    read_records,
)
from medenh.pipeline.degrade_work import Task
from medenh.pipeline.results import Failure

__all__ = ["make_replay_plan"]


def make_replay_plan(
    inputs: Sequence[Path],
    output: Path | None,
    options: DegradeOptions,
    records: Path,
) -> DegradePlan:
    """Return what a replay will do.

    Parameters
    ----------
    inputs : sequence of path
        Where the clean files are.
    output : path
        The output folder.
    options : DegradeOptions
        Of these only masks, policy, workers and recursion count.
    records : path
        A `records.jsonl`.

    Raises
    ------
    UsageError
        The records cannot be read, or an option is given that they fix.
    """
    _refuse_fixed(options)
    root = output_root(inputs, output)
    wanted = read_records(records)
    # records tell which files they are about, wherever those lie
    found = find_inputs(inputs, root, recursive=options.recursive, with_outputs=True)
    items = found.items
    names = {name for record in wanted for name in _names(record)}
    # files that no record is about may be anything
    rejected = [one for one in found.rejected if _is_named(one[0], names)]
    plan = DegradePlan(root, RecordStore(root))
    plan.passed_over, plan.searched = found.kinds, tuple(map(Path, inputs))
    plan.recipe = ",".join(dict.fromkeys(record.preset for record in wanted))
    plan.seed = wanted[0].seed
    plan.inputs = len(rejected) + sum(len(item.paths) for item in items)
    files = _Files(items, rejected)
    masks = None if options.mask is None else Companions.images(options.mask)
    labels = None if options.masks is None else Companions.images(options.masks)
    draft = Draft(plan, options, sources=[p for item in items for p in item.paths])
    for record in wanted:
        try:
            draft.place(_task(record, files, masks, labels))
        except OutputError as error:
            plan.fail([Failure(Path(record.output), error)])
        except MedenhError as error:
            where = error.path or Path(record.source)
            plan.fail([Failure(where, error)])
    return plan


def _refuse_fixed(options: DegradeOptions) -> None:
    plain = DegradeOptions()
    fixed = (
        "recipes",
        "severity",
        "copies",
        "seed",
        "size",
        "pairs",
        "recipe_options",
        "modality",
        "bits",
        "format",
        "deidentify",
        "legacy_json",
    )
    for name in fixed:
        if getattr(options, name) != getattr(plain, name):
            word = {"recipes": "recipe", "recipe_options": "mode"}.get(name, name)
            raise UsageError(
                f"--replay and --{word.replace('_', '-')} do not go together",
                hint="the records say it",
            )


class _Files:
    """The clean files, by relative name and by content, and those that are none."""

    def __init__(
        self, items: Sequence[Item], rejected: Sequence[tuple[Path, InputError]]
    ) -> None:
        self._rejected = rejected
        self._by_name: dict[str, Path] = {}
        self._kinds: dict[Path, str] = {}
        for item in items:
            for relative, path in zip(item.relative, item.paths, strict=True):
                self._by_name.setdefault(relative.as_posix(), path)
                self._kinds[path] = item.format
        self._hashes: dict[str, Path] | None = None

    def find(self, name: str, digest: str) -> Path:
        """Return the file of a record, by its name, or by its content elsewhere.

        Raises
        ------
        InputError
            No input is it, or one of that name is no picture.
        """
        path = self._by_name.get(name) or self._by_content().get(digest)
        if path is not None:
            return path
        for damaged, error in self._rejected:
            if _is_named(damaged, [name]):
                raise error
        raise UnreadableError("is in the records and not among the inputs", path=name)

    def kind(self, path: Path) -> str:
        """Return a file's format."""
        return self._kinds[path]

    def _by_content(self) -> dict[str, Path]:
        if self._hashes is None:
            self._hashes = {content_sha256(path): path for path in self._kinds}
        return self._hashes


def _names(record: Record) -> tuple[str, ...]:
    return (record.source, *(one.name for one in record.more_sources))


def _is_named(path: Path, names: Iterable[str]) -> bool:
    place = path.as_posix()
    return any(place == name or place.endswith(f"/{name}") for name in names)


def _task(
    record: Record,
    files: _Files,
    masks: Companions | None,
    labels: Companions | None,
) -> Task:
    if not record.source or not record.output or not record.format:
        raise UsageError("a record is of an array, not of a file")
    names = _names(record)
    hashes = (record.source_sha256, *(one.sha256 for one in record.more_sources))
    sources = tuple(
        files.find(name, digest) for name, digest in zip(names, hashes, strict=True)
    )
    return Task(
        index=0,
        sources=sources,
        names=names,
        kind=files.kind(sources[0]),
        format=record.format,
        outputs=(record.output, *(one.name for one in record.more_outputs)),
        references=tuple(one.name for one in record.references),
        recipe=record.preset,
        draw=record.draw,
        mask=_mask(record, sources[0], masks),
        label_mask=_labels(record, sources[0], labels),
        label_outputs=tuple(one.name for one in record.label_masks),
        record=record,
    )


def _mask(record: Record, path: Path, masks: Companions | None) -> Path | None:
    if not record.mask_sha256:
        return None
    if masks is None:
        raise UnreadableError(
            "was degraded inside a mask", path=path, hint="give it with --mask"
        )
    return _same(masks, "mask", record, path, record.mask_sha256)


def _labels(record: Record, path: Path, labels: Companions | None) -> Path | None:
    if not record.label_mask_sha256:
        return None
    if labels is None:
        raise UnreadableError(
            "has a label mask", path=path, hint="give it with --masks"
        )
    return _same(labels, "label mask", record, path, record.label_mask_sha256)


def _same(
    found: Companions, kind: str, record: Record, path: Path, digest: str
) -> Path:
    """Return a record's companion; refuse another than it was made with."""
    one = found.find(Item((path,), (Path(record.source),), ""))
    if content_sha256(one) != digest:
        raise UnreadableError(f"its {kind} {one} is not that of the record", path=path)
    return one
