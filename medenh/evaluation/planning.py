"""What an evaluation of the user's files will do: checked, listed, matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medenh.errors import NothingReadableError, UsageError, check_word, spelled
from medenh.evaluation.measuring import NO_REFERENCE, PAIRED
from medenh.evaluation.regions import Region, checked_region
from medenh.formats.pairing import (
    Listing,
    Pairing,
    list_pictures,
    match,
    named_like,
)
from medenh.metrics.registry import METRICS, resolve_metrics
from medenh.tasks import TASKS, Task, find_task
from medenh.tasks.labels import read_labels
from medenh.types import Modality

__all__ = [
    "LABELS",
    "MASKS",
    "REFERENCE",
    "SUBJECT",
    "Job",
    "PairOptions",
    "PairPlan",
    "plan_pairs",
]

SUBJECT, REFERENCE, MASKS, LABELS = "enhanced", "reference", "masks", "labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """What is asked of an evaluation of files.

    Attributes
    ----------
    metrics : tuple of str
        Keys of `METRICS`; empty takes the usual ones.
    region : str
        "whole"; "fov", found on the reference; "mask", from ``masks``.
    masks : path or None
        Folder of masks by name: where to measure (region "mask"), or the truth of a
        segmentation task.
    tasks : tuple of str
        Downstream tasks.
    labels : path or None
        CSV of file and label: the truth of a classification task.
    modality : str or None
        What the pictures show, where the files do not tell.
    bits : int or None
        Bit depth, 8 to 16, of 16-bit files that do not tell theirs.
    workers : int or None
        Processes; 1 is this one, None as many as pay.
    overlays : bool
        Keep what tasks found, for a report.
    """

    metrics: tuple[str, ...] = ()
    region: str = "whole"
    masks: Path | None = None
    tasks: tuple[str, ...] = ()
    labels: Path | None = None
    modality: str | None = None
    bits: int | None = None
    workers: int | None = None
    overlays: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One name and its files.

    Attributes
    ----------
    key : str
        What its files share.
    name : str
        Relative name of the reference, or of the subject where there is none.
    rows : mapping
        Row -> path.
    reference, mask : path or None
    """

    key: str
    name: str
    rows: Mapping[str, Path]
    reference: Path | None
    mask: Path | None


@dataclass(frozen=True, slots=True)
class PairPlan:
    """What will be measured.

    Attributes
    ----------
    options : PairOptions
    region : Region
    metrics : tuple of str
    lists : dict
        SUBJECT, REFERENCE, MASKS and the baselines' names -> Listing.
    pairing : Pairing
    labels : mapping
        Key -> label, for classification tasks.
    """

    options: PairOptions
    region: Region
    metrics: tuple[str, ...]
    lists: dict[str, Listing]
    pairing: Pairing
    labels: Mapping[str, str]

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the subject and the baselines."""
        return tuple(name for name in self.lists if name not in (REFERENCE, MASKS))

    def jobs(self) -> list[Job]:
        """Return what is to be measured, a job a name."""
        return [_job(key, self.lists) for key in self.pairing.keys]


def plan_pairs(
    enhanced: Path,
    reference: Path | None,
    baselines: Sequence[Path],
    options: PairOptions,
) -> PairPlan:
    """Check and list everything; nothing is decoded.

    Raises
    ------
    UsageError, NothingReadableError
        As `evaluate_pairs` raises them.
    """
    region = checked_region(options.region)
    tasks = [find_task(name) for name in options.tasks]
    _check(options, region, {task.kind for task in tasks})
    metrics = _metrics(options, paired=reference is not None)
    labels = read_labels(options.labels, tasks) if options.labels else {}
    lists, pairing = _matched(enhanced, reference, baselines, options, region)
    unmatched = pairing.unmatched | _without_answer(tasks, lists, pairing, labels)
    pairing = replace(pairing, unmatched=unmatched)
    return PairPlan(options, region, metrics, lists, pairing, labels)


def _metrics(options: PairOptions, *, paired: bool) -> tuple[str, ...]:
    usual = PAIRED if paired else NO_REFERENCE
    if not paired and options.modality == Modality.FUNDUS:
        usual = (*usual, "fundus-quality")
    chosen = resolve_metrics(options.metrics or usual)
    for metric in chosen:
        if metric.kind == "consistency":
            raise UsageError(
                f"{metric.name} needs the degradation itself, which files do not tell",
                hint="it is measured with --protocol NAME, in Python by "
                "evaluate_protocol",
            )
        if metric.needs_reference and not paired:
            raise UsageError(
                f"{metric.name} compares with a reference, and none is given",
                hint="give REFERENCE, or one of "
                + ", ".join(n for n, m in METRICS.items() if not m.needs_reference),
            )
        if metric.of_structures and options.region != "mask":
            raise UsageError(
                f"{metric.name} measures structures, and no masks show them",
                hint=f"give {spelled(masks='DIR')}; and {spelled(region='mask')}",
            )
    return tuple(metric.name for metric in chosen)


def _spelled_task(kind: str) -> str:
    """Return how a task is asked for, and which there are of a kind."""
    names = ", ".join(name for name, task in TASKS.items() if task.kind == kind)
    return f"{spelled(tasks='NAME')}: {names}"


def _check(options: PairOptions, region: Region, kinds: set[str]) -> None:
    if options.modality is not None:
        check_word("modality", options.modality, tuple(Modality))
    if options.bits is not None and not 8 <= options.bits <= 16:
        raise UsageError(f"bits must be 8 to 16, not {options.bits}")
    segments, classifies = "segmentation" in kinds, "classification" in kinds
    if region == "mask" and options.masks is None:
        raise UsageError("region mask needs masks", hint=f"give {spelled(masks='DIR')}")
    if region == "mask" and segments:
        raise UsageError(
            "with a segmentation task, masks are its answers and not a region",
            hint=f"use {spelled(region='fov')}; or whole",
        )
    if options.masks is not None and region != "mask" and not segments:
        raise UsageError(
            "masks are for region mask, or for a segmentation task",
            hint=f"give {spelled(region='mask')}; or {_spelled_task('segmentation')}",
        )
    if options.labels is not None and not classifies:
        raise UsageError(
            "labels are for a classification task",
            hint=f"give {_spelled_task('classification')}",
        )
    if segments and options.masks is None:
        raise UsageError(
            "a segmentation task needs answers", hint=f"give {spelled(masks='DIR')}"
        )
    if classifies and options.labels is None:
        raise UsageError(
            "a classification task needs answers", hint=f"give {spelled(labels='CSV')}"
        )


def _without_answer(
    tasks: Sequence[Task],
    lists: Mapping[str, Listing],
    pairing: Pairing,
    labels: Mapping[str, str],
) -> dict[str, tuple[str, ...]]:
    """Return names without a mask or a label, and masks and labels without a picture.

    Raises
    ------
    UsageError
        No picture has an answer to a task.
    """
    left: dict[str, tuple[str, ...]] = {}
    subject, keys = lists[SUBJECT], set(pairing.keys)
    for task in tasks:
        masks = lists.get(MASKS)
        if task.kind == "classification":
            word, known = "labels", set(labels)
            alone = tuple(sorted(known - set(subject.files) - subject.damaged))
        else:
            word, known = MASKS, set(masks.files) if masks else set()
            lost = known - set(subject.files) - subject.damaged
            alone = masks.names_of(lost) if masks else ()
        if not keys & known:
            raise UsageError(
                f"no picture has an answer to task {task.name}",
                hint=f"{word} belong to pictures by name",
            )
        left[f"not in {word}"] = subject.names_of(keys - known)
        left[word] = () if subject.is_file else alone
    return {word: names for word, names in left.items() if names}


def _matched(
    enhanced: Path,
    reference: Path | None,
    baselines: Sequence[Path],
    options: PairOptions,
    region: Region,
) -> tuple[dict[str, Listing], Pairing]:
    """Return all listings by word or row name, and the names to measure."""
    labels = options.labels
    subject = list_pictures(enhanced, labels=labels)
    lists = {SUBJECT: subject}
    if reference is not None:
        lists[REFERENCE] = named_like(list_pictures(reference, labels=labels), subject)
    if options.masks is not None:
        lists[MASKS] = named_like(list_pictures(options.masks, labels=labels), subject)
    needed = {REFERENCE: lists[REFERENCE]} if reference is not None else {}
    pairing = match(subject, needed, name=SUBJECT)
    unmatched = dict(pairing.unmatched)
    if region == "mask":
        pairing, without = _with_mask(pairing, subject, lists[MASKS])
        unmatched |= without
    for path in baselines:
        if [one.resolve() for one in baselines].count(path.resolve()) > 1:
            raise UsageError("given twice as a baseline", path=path)
        listing = named_like(list_pictures(path, labels=labels), subject)
        match(listing, {SUBJECT: subject}, name="baseline")  # it shares something
        name = _free_name(path, lists)
        lists[name] = listing
        lacking = set(pairing.keys) - set(listing.files) - listing.damaged
        unmatched[f"not in {name}"] = subject.names_of(lacking)
        alone = set(listing.files) - set(subject.files) - subject.damaged
        unmatched[name] = () if subject.is_file else listing.names_of(alone)
    left = {word: names for word, names in unmatched.items() if names}
    return lists, replace(pairing, unmatched=left)


def _with_mask(
    pairing: Pairing, subject: Listing, masks: Listing
) -> tuple[Pairing, dict[str, tuple[str, ...]]]:
    """Return a pairing of what has a mask, and what lacks one or a picture."""
    masked = match(subject, {MASKS: masks}, name=SUBJECT)
    kept = set(pairing.keys) & set(masked.keys)
    if not kept:
        raise NothingReadableError(
            "no picture has both a partner and a mask", path=subject.root
        )
    lacking = set(pairing.keys) - kept - masks.damaged
    return replace(pairing, keys=tuple(sorted(kept))), {
        f"not in {MASKS}": subject.names_of(lacking),
        MASKS: masked.unmatched.get(MASKS, ()),
    }


def _free_name(path: Path, taken: Mapping[str, object]) -> str:
    """Return a folder's name, with those above it where it is taken."""
    parts = path.resolve().parts
    for count in range(1, len(parts)):
        name = "/".join(parts[-count:])
        if name not in taken and name not in (SUBJECT, REFERENCE, MASKS, LABELS):
            return name
    raise UsageError("given twice as a baseline", path=path)


def _job(key: str, lists: Mapping[str, Listing]) -> Job:
    rows = {
        name: listing.files[key]
        for name, listing in lists.items()
        if name not in (REFERENCE, MASKS) and key in listing.files
    }
    standard = lists.get(REFERENCE)
    reference = standard.files[key] if standard else None
    mask = lists[MASKS].files.get(key) if MASKS in lists else None
    name = (standard or lists[SUBJECT]).name_of(key)
    return Job(key, name, rows, reference, mask)
