"""The user's own pairs: enhanced files against references, and against baselines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from medenh.errors import InputError, MedenhError, OutOfMemoryError, spelled
from medenh.evaluation.answers import Answers
from medenh.evaluation.comparing import compare_all
from medenh.evaluation.downstream import Recognisers
from medenh.evaluation.failures import Failure, failure
from medenh.evaluation.measuring import (
    Doubt,
    columns_of,
    describe_range,
    doubt_of,
    guessed_depth,
    measure_image,
    millimetres_apart,
    on_range_of,
)
from medenh.evaluation.pictures import (
    FilePictures,
    PictureFolder,
    middle_frame,
    read_beside,
    read_told,
)
from medenh.evaluation.planning import (
    LABELS,
    MASKS,
    REFERENCE,
    SUBJECT,
    Job,
    PairOptions,
    PairPlan,
    plan_pairs,
)
from medenh.evaluation.regions import BoolArray, Region, field_of_view, read_region
from medenh.evaluation.result import Evaluation, Row
from medenh.evaluation.settings import (
    common_settings,
    described_recognisers,
    joined_hashes,
    joined_ranges,
)
from medenh.evaluation.workers import (
    OnDone,
    count_workers,
    counted,
    in_order,
    workers,
)
from medenh.formats.pairing import passed_over
from medenh.formats.viewing import viewing_of
from medenh.hashing import sha256_file
from medenh.tasks.masks import mask_orientation
from medenh.types import Image

__all__ = ["evaluate_pairs"]


_SAME_WHITE = (
    "figures hold only where both are the same (the model identity writes DICOM and "
    "NIfTI as PNG so)"
)
_DOUBTS: Mapping[Doubt, str] = {
    "white": "have a white of their own, and their references percentiles of their "
    f"values in its place: {_SAME_WHITE}",
    "percentiles": "are measured on percentiles of their values, and their references "
    f"on a white of their own: {_SAME_WHITE}",
    "negative": "are taken for pictures on 0-1, and hold many values far below: these "
    "count as 0; of answers from -1 to 1 add 1, and halve them",
    "polarity": "have larger values for darker places and their references for "
    "brighter ones (MONOCHROME1 and 2 of DICOM), or the other way: figures hold where "
    "values were turned over at the ends of their bit depth",
}


@dataclass(frozen=True, slots=True)
class _Measured:
    """The figures of one name: row -> metric -> figure.

    Hashes of its files: row, the reference or the masks -> hash. Files that their
    headers place elsewhere than the reference: path -> how many millimetres. Files that
    are to be seen another way up than the reference, or than the picture of the mask.
    Depths that were guessed and that figures go by: row -> bits. Files whose
    scale may be another: path -> why, see `doubt_of`.
    """

    name: str
    figures: Mapping[str, Mapping[str, float | None]]
    data_range: str
    failed: tuple[Failure, ...]
    hashes: Mapping[str, str] = field(default_factory=dict)
    apart_mm: Mapping[str, float] = field(default_factory=dict)
    turned: tuple[str, ...] = ()
    depths: Mapping[str, int | None] = field(default_factory=dict)
    doubts: Mapping[str, Doubt] = field(default_factory=dict)


def evaluate_pairs(
    enhanced: Path,
    reference: Path | None,
    baselines: Sequence[Path],
    options: PairOptions,
    *,
    on_done: OnDone | None = None,
) -> Evaluation:
    """Measure files against references of the same name.

    Parameters
    ----------
    enhanced : path
        File or folder.
    reference : path or None
        File or folder; None measures without reference.
    baselines : sequence of path
        Other answers for the same names, to test the enhanced ones against.
    options : PairOptions
    on_done : callable, optional
        Told the number of files done and of all, file by file.

    Returns
    -------
    Evaluation
        Files that could not be measured are in ``failed``; its ``files`` have figures.

    Raises
    ------
    UsageError
        Contradicting options, or two files of one name.
    NothingReadableError
        No picture, or no pair.
    WeightsError
        A task's weights cannot be had.
    """
    start = time.monotonic()
    plan = plan_pairs(enhanced, reference, baselines, options)
    recognisers = Recognisers(options.tasks)
    jobs = plan.jobs()
    measured = counted(_measure_all(jobs, plan), len(jobs), on_done)
    files = tuple(one.name for one in measured if SUBJECT in one.figures)
    folder = PictureFolder() if options.overlays and options.tasks else None
    asked = [job for job in jobs if job.name in files]
    failed = [
        *_rejected(plan),
        *(one for measured_one in measured for one in measured_one.failed),
        *_recognise(recognisers, asked, plan, folder),
    ]
    rows = _rows(plan, measured, files, recognisers)
    columns = (*columns_of(plan.metrics), *recognisers.columns)
    return Evaluation(
        title=_title(enhanced, reference),
        columns=columns,
        rows=(*rows, *_clean_rows(recognisers, plan)),
        files=files,
        subject=SUBJECT,
        tests=compare_all(rows[0], rows, columns),
        region=plan.region,
        data_range=joined_ranges(one.data_range for one in measured if one.figures),
        unmatched=plan.pairing.unmatched,
        failed=tuple(failed),
        passed_over=passed_over(plan.lists.values()),
        tasks=options.tasks,
        settings=_settings(plan, measured, recognisers),
        notes=_notes(measured),
        seconds=time.monotonic() - start,
        pictures=FilePictures(_paths(jobs), folder, options.bits, options.modality),
    )


def _title(enhanced: Path, reference: Path | None) -> str:
    against = f" against {reference.name or reference}" if reference else ""
    return f"{enhanced.name or enhanced}{against}"


def _measure_all(jobs: Sequence[Job], plan: PairPlan) -> Iterator[_Measured]:
    count = count_workers(plan.options.workers, len(jobs))
    work = partial(
        _measure,
        metrics=plan.metrics,
        region=plan.region,
        modality=plan.options.modality,
        bits=plan.options.bits,
    )
    with workers(count) as pool:
        yield from in_order(pool, work, jobs, ahead=4 * count)


def _measure(
    job: Job,
    *,
    metrics: tuple[str, ...],
    region: Region,
    modality: str | None,
    bits: int | None,
) -> _Measured:
    """Measure one name, in a worker."""
    alone = job.reference is None
    path = job.reference or job.rows[SUBJECT]
    figures: dict[str, Mapping[str, float | None]] = {}
    told: Mapping[str, Any] = {"bits": bits, "modality": modality}
    try:
        standard = read_told(path, **told)  # the reference, without one the subject
        where = _region(region, standard, job.mask)
    except MedenhError as error:
        return _Measured(job.name, figures, "", (failure(error, path),))
    failed: list[Failure] = []
    apart: dict[str, float] = {}
    depths = {} if alone else {REFERENCE: guessed_depth(standard, None)}
    other = None if alone else standard
    upright = viewing_of(standard).orientation
    turned = []
    doubts: dict[str, Doubt] = {}
    if job.mask is not None and mask_orientation(job.mask) != upright:
        turned.append(str(job.mask))
    for name, path in job.rows.items():
        try:
            image = standard
            if not alone or name != SUBJECT:
                image = read_beside(path, standard, **told)
            figures[name] = measure_image(
                image, other, metrics, region=where, modality=modality
            )
        except MedenhError as error:
            failed.append(failure(error, path))
            continue
        depths[name] = guessed_depth(image, other)
        apart[str(path)] = millimetres_apart(image, standard)
        if viewing_of(image).orientation != upright:
            turned.append(str(path))
        doubts[str(path)] = doubt_of(image, other)
    paths = {name: path for name, path in job.rows.items() if name in figures}
    if job.reference is not None:
        paths[REFERENCE] = job.reference
    if job.mask is not None:
        paths[MASKS] = job.mask
    hashes = {name: sha256_file(path) for name, path in paths.items()}
    words = describe_range(standard)
    return _Measured(
        name=job.name,
        figures=figures,
        data_range=words,
        failed=tuple(failed),
        hashes=hashes,
        apart_mm=apart,
        turned=tuple(turned),
        depths=depths,
        doubts=doubts,
    )


def _region(region: Region, image: Image, mask: Path | None) -> BoolArray | None:
    if region == "fov":
        return field_of_view(image)
    if region == "mask" and mask is not None:
        return read_region(mask, image)
    return None


def _notes(measured: Sequence[_Measured]) -> tuple[str, ...]:
    """Say which figures go by a guess, or by what headers place or turn otherwise."""
    notes = list(_notes_on_depths(measured))
    apart = [
        (millimetres, path)
        for one in measured
        for path, millimetres in one.apart_mm.items()
        if millimetres
    ]
    if apart:
        most, path = max(apart)
        notes.append(
            f"by their headers, {len(apart)} of the files lie elsewhere than their "
            f"references, up to {most:.3g} mm apart ({path}): voxels are compared as "
            "they are stored, so resample both to one grid first"
        )
    if turned := [path for one in measured for path in one.turned]:
        notes.append(
            f"{len(turned)} of the files have another Exif orientation than what they "
            f"are compared with ({turned[0]} for one): pixels are compared as they are "
            "stored, which is wrong if one of the two was turned"
        )
    doubts = [pair for one in measured for pair in one.doubts.items()]
    for why, words in _DOUBTS.items():
        if files := [path for path, doubt in doubts if doubt == why]:
            notes.append(f"{len(files)} of the files {words} ({files[0]} for one)")
    return tuple(notes)


def _notes_on_depths(measured: Sequence[_Measured]) -> Iterator[str]:
    """Say where 16-bit files were taken for depths that may well not be theirs."""
    rows: dict[str, dict[int, list[str]]] = {}
    for one in measured:
        for row, bits in one.depths.items():
            if bits is None:
                continue
            rows.setdefault(row, {}).setdefault(bits, []).append(one.name)
    alone = not any(REFERENCE in one.depths for one in measured)
    standard = set(rows.get(SUBJECT if alone else REFERENCE, ()))
    for row, depths in rows.items():
        # all of 8 or of 16 bits: what programs write that make 16-bit files of 8 bits
        if len(depths) == 1 and (set(depths) == standard or {8, 16} & set(depths)):
            continue
        parts = [
            f"{len(names)} as {bits} bits, {min(names)} for one"
            for bits, names in sorted(depths.items())
        ]
        yield (
            f"16-bit files of {row} were taken for the depth that holds the largest "
            f"value of each ({'; '.join(parts)}), and figures go by it: a dark file "
            f"may be of more bits; {spelled(bits=max(depths))} says the depth of all"
        )


def _rejected(plan: PairPlan) -> Iterator[Failure]:
    for listing in plan.lists.values():
        yield from (failure(error, path) for path, error in listing.rejected)


def _recognise(
    recognisers: Recognisers,
    jobs: Sequence[Job],
    plan: PairPlan,
    folder: PictureFolder | None,
) -> list[Failure]:
    """Ask about every picture, in this process, which loaded the recognisers."""
    failed: list[Failure] = []
    options = plan.options
    told: Mapping[str, Any] = {"bits": options.bits, "modality": options.modality}
    for job in jobs if recognisers.tasks else ():
        views = dict(job.rows)
        if job.reference is not None:
            views[REFERENCE] = job.reference
        label = plan.labels.get(job.key)
        try:
            answers = Answers.of_files(job.mask, label, recognisers.tasks)
            standard = read_told(job.reference or job.rows[SUBJECT], **told)
            view = _field(standard) if plan.region == "fov" else None
            for name, path in views.items():
                image = read_beside(path, standard, **told)
                if job.reference is not None:  # seen as it is measured
                    image = on_range_of(image, standard)
                unit = middle_frame(image)
                recognisers.ask(
                    job.name, name, unit, answers, field=view, folder=folder
                )
        except (InputError, OutOfMemoryError) as error:
            failed.append(failure(error, job.rows[SUBJECT]))
    return failed


def _field(image: Image) -> BoolArray:
    """Return the field of view of the frame that is asked about."""
    field_of_frames = field_of_view(image)
    frame: BoolArray = field_of_frames[image.frames // 2]
    return frame


def _rows(
    plan: PairPlan,
    measured: Sequence[_Measured],
    files: Sequence[str],
    recognisers: Recognisers,
) -> tuple[Row, ...]:
    """Return the subject and the baselines; of these the first is what was lost."""
    figures = {one.name: one.figures for one in measured}
    lost = plan.rows[1] if len(plan.rows) > 1 else None

    def row(name: str) -> Row:
        scores: dict[str, Mapping[str, float | None]] = {
            metric: {f: figures[f].get(name, {}).get(metric) for f in files}
            for metric in plan.metrics
        }
        scores |= recognisers.scores(name)
        set_scores = recognisers.set_scores(name, lost=lost)
        return Row(name=name, scores=scores, set_scores=set_scores)

    return tuple(row(name) for name in plan.rows)


def _clean_rows(recognisers: Recognisers, plan: PairPlan) -> tuple[Row, ...]:
    there = recognisers.tasks and REFERENCE in plan.lists
    return (recognisers.clean_row(),) if there else ()


def _paths(jobs: Sequence[Job]) -> dict[str, dict[str, Path]]:
    """Return row -> file -> path, the references among them."""
    paths: dict[str, dict[str, Path]] = {}
    for job in jobs:
        for row, path in job.rows.items():
            paths.setdefault(row, {})[job.name] = path
        if job.reference is not None:
            paths.setdefault(REFERENCE, {})[job.name] = job.reference
    return paths


def _settings(
    plan: PairPlan, measured: Sequence[_Measured], recognisers: Recognisers
) -> dict[str, object]:
    options = plan.options
    hashes = joined_hashes({one.name: one.hashes for one in measured})
    labels = options.labels
    if labels is not None and labels.is_file():  # a pipe is read once
        hashes |= joined_hashes({labels.name: {LABELS: sha256_file(labels)}})
    return {
        **{name: str(listing.root) for name, listing in plan.lists.items()},
        LABELS: str(labels) if labels else None,
        "metrics": list(plan.metrics),
        "modality": options.modality,
        "bits": options.bits,
        "recognisers": described_recognisers(recognisers.tasks),
        "sha256_of_files": hashes,
        **common_settings(),
    }
