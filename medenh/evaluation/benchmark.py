"""A frozen protocol, run: degrade, enhance, score, compare, in one command.

Reading, degrading, weight-free methods and metrics run in worker processes; networks,
functions of the user's own and recognisers in this one, which loads each once. A few
pictures are under way at a time, so that memory stays bounded, and results come in the
order of the cases.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from medenh.degradations import find_recipe
from medenh.errors import MedenhError, OutputError, UsageError, check_word, spelled
from medenh.evaluation.cases import DataSet, choose, read_folder
from medenh.evaluation.comparing import best_row, compare_all, compare_with
from medenh.evaluation.degrading import IDENTITY, ORACLE, Prepared, prepare
from medenh.evaluation.downstream import Recognisers
from medenh.evaluation.entrants import Entrants, enter
from medenh.evaluation.failures import Failure, failure
from medenh.evaluation.figures import Figures, measure
from medenh.evaluation.measuring import columns_of, unit_frame
from medenh.evaluation.packs import find_pack, is_pack, read_set
from medenh.evaluation.pictures import PictureFolder, all_or_nothing
from medenh.evaluation.protocols import Protocol, protocol_of
from medenh.evaluation.questions import tasks_of_folder
from medenh.evaluation.regained import CLEAN
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
from medenh.metrics.registry import METRICS, resolve_metrics
from medenh.tasks import find_task
from medenh.types import Modality

__all__ = ["BenchmarkOptions", "run_protocol"]

_NOTES = {
    IDENTITY: "does nothing",
    ORACLE: "bound, sees the reference: best single gain and offset in hindsight",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkOptions:
    """What is asked of a run of a protocol.

    Attributes
    ----------
    data : path or None
        Folder of clean pictures, a file, or a data pack; None is the installed set.
    models : tuple of str
        Ids, ``id@version`` and aliases of the zoo; "classical" is all weight-free
        methods for the kind of picture. "identity" is always there.
    own : tuple of (str, callable)
        Functions and networks of the user's own, with the names of their rows: see
        `medenh.evaluation.own.OwnModel`.
    masks, labels : path or None
        Truth of downstream tasks, by name, for a folder.
    metrics : tuple of str
        Measured besides the protocol's own, keys of `METRICS`: of kind "fidelity"
        against the degraded picture, "consistency" that one against the answer degraded
        again.
    tasks : tuple of str
        Downstream tasks in place of the protocol's own.
    modality : str or None
        What the pictures show. Without it a data pack tells, or the protocol where it
        is for one kind; else each file for itself, and the first for the choice of
        models.
    limit : int or None
        At most so many pictures, spread over all, always the same.
    output : path or None
        Folder to keep the pictures in, and the regions they are measured in.
    device : str
        Where the models run, always in float32; recognisers run on the CPU.
    workers : int or None
        Processes; 1 is this one, None as many as pay.
    pictures : bool
        Keep what a report shows.
    subject : str or None
        The row that is tested against the others; None is the best in the first
        metric.
    """

    data: Path | None = None
    models: tuple[str, ...] = ()
    own: tuple[tuple[str, Any], ...] = ()
    masks: Path | None = None
    labels: Path | None = None
    metrics: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    modality: str | None = None
    limit: int | None = None
    output: Path | None = None
    device: str = "auto"
    workers: int | None = None
    pictures: bool = False
    subject: str | None = None


def run_protocol(
    name: str, options: BenchmarkOptions, *, on_done: OnDone | None = None
) -> Evaluation:
    """Run a frozen protocol, or a recipe of one's own, on clean pictures.

    Parameters
    ----------
    name : str
        A key of `PROTOCOLS`, or a file of a recipe (``.toml``), see `protocol_of`.
    options : BenchmarkOptions
    on_done : callable, optional
        Told the number of files done and of all, file by file.

    Returns
    -------
    Evaluation
        First row "identity"; the subject is the best method, or the one asked for.

    Raises
    ------
    UsageError
        Unknown protocol, model or task; a file that is no recipe; a name of a
        model of the user's own that is taken; contradicting options; no data;
        ``output`` is "-".
    NothingReadableError
        The folder holds no picture.
    WeightsError
        Weights cannot be had; nothing was started.
    OutputError
        ``output`` cannot be written, or has something in it.
    """
    start = time.monotonic()
    protocol = protocol_of(name)
    _check(options)
    asked = (*protocol.metrics, *options.metrics)
    metrics = _metrics(asked)
    data = _data(protocol, options)
    told = _told(protocol, data, options)
    unsaid = told is Modality.UNKNOWN and options.modality is None
    modality = _said(data) if unsaid else told
    entrants = enter(options.models, modality, device=options.device, own=options.own)
    recognisers = Recognisers(data.tasks, optional=not options.tasks)
    folder = PictureFolder() if options.pictures else None
    try:
        with all_or_nothing(options.output) as kept:
            run = _Run(
                protocol=protocol,
                metrics=metrics,
                told=told,
                modality=modality,
                entrants=entrants,
                recognisers=recognisers,
                folder=folder,
                options=replace(options, output=kept),
            )
            measured = counted(run.measure(data), len(data.cases), on_done)
    except BaseException:
        if folder is not None:
            folder.close()
        raise
    return _evaluation(run, data, measured, start)


def _metrics(asked: Sequence[str]) -> tuple[str, ...]:
    """Return the names of metrics that can be measured on degraded images."""
    metrics = resolve_metrics(asked)
    for metric in metrics:
        if metric.of_structures:
            raise UsageError(
                f"{metric.name} measures structures of a mask, and protocols have none",
                hint="keep the images, and evaluate their folder with region mask",
            )
    return tuple(metric.name for metric in metrics)


def _check(options: BenchmarkOptions) -> None:
    if options.modality is not None:
        check_word("modality", options.modality, tuple(Modality))
    output = options.output
    if str(output) == "-":
        raise UsageError("pictures do not go through a pipe", hint="name a folder")
    if output is None or not output.exists():
        return
    if not output.is_dir() or any(output.iterdir()):
        raise OutputError(
            "is there already",
            path=output,
            hint=f"name a new folder: {spelled(output='OUT')}",
        )


def _data(protocol: Protocol, options: BenchmarkOptions) -> DataSet:
    root = options.data
    if root is None:
        told = options.modality
        kinds = protocol.modalities if told is None else (told,)
        root = find_pack(kinds, protocol.name)
    names = options.tasks or protocol.tasks
    if is_pack(root):
        if options.masks or options.labels:
            raise UsageError("a data pack brings its own masks and labels", path=root)
        native, asked = protocol.depth == "native", bool(options.tasks)
        data = read_set(root, names, asked=asked, native=native)
    else:
        names = options.tasks or tasks_of_folder(
            protocol, options.masks, options.labels, options.modality
        )
        tasks = [find_task(name) for name in names]
        data = read_folder(root, options.masks, options.labels, tasks)
    if lacking := set(options.tasks) - set(data.tasks):
        raise UsageError(
            f"no picture has an answer to task {min(lacking)}",
            path=root,
            hint=f"give {spelled(masks='DIR', labels='CSV')}, by the pictures' names",
        )
    return replace(data, cases=choose(data.cases, options.limit))


def _told(protocol: Protocol, data: DataSet, options: BenchmarkOptions) -> Modality:
    """Return what all pictures show, as the user, the pack or the protocol tells."""
    if options.modality is not None:
        return Modality(options.modality)
    if data.modality is Modality.UNKNOWN and len(protocol.modalities) == 1:
        return Modality(protocol.modalities[0])
    return data.modality


def _said(data: DataSet) -> Modality:
    """Return what the first picture that can be read says that it shows."""
    for case in data.cases:
        with suppress(MedenhError):  # it is told when its turn comes
            return case.read(()).image.modality
    return Modality.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What stays the same over all pictures of a run.

    What is ``told`` of all pictures counts more than what each says itself; without it
    ``modality`` is what the first one says.
    """

    protocol: Protocol
    metrics: tuple[str, ...]
    told: Modality
    modality: Modality
    entrants: Entrants
    recognisers: Recognisers
    folder: PictureFolder | None
    options: BenchmarkOptions

    @property
    def rows(self) -> tuple[str, ...]:
        bound = (ORACLE,) if self.protocol.bound else ()
        return (IDENTITY, *self.entrants.names, *bound)

    def measure(self, data: DataSet) -> Iterator[Figures]:
        """Yield the figures of every case, in order."""
        count = count_workers(self.options.workers, len(data.cases))
        first_half = partial(
            prepare,
            protocol=self.protocol,
            modality=self.told,
            methods=self.entrants.methods,
            tasks=self.recognisers.tasks,
            again=any(METRICS[name].kind == "consistency" for name in self.metrics),
        )
        waiting: deque[Future[Figures]] = deque()
        with workers(count) as pool:
            for prepared in in_order(pool, first_half, data.cases, ahead=count + 1):
                waiting.append(self._finish(prepared, pool))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _finish(self, prepared: Prepared, pool: Executor) -> Future[Figures]:
        """Enhance by networks and ask the recognisers; then have it measured."""
        if prepared.clean is not None:
            for name, network in self.entrants.networks.items():
                prepared.add(name, network)
            for name, model in self.entrants.own.items():
                prepared.add(name, model)
            self._recognise(prepared)
        return pool.submit(
            measure,
            prepared,
            metrics=self.metrics,
            folder=self.folder.path if self.folder else None,
            keep=self.options.output,
        )

    def _recognise(self, prepared: Prepared) -> None:
        if prepared.clean is None or not self.recognisers.tasks:
            return
        frame = prepared.clean.frames // 2
        field = None if prepared.region is None else prepared.region[0]
        for row, image in {CLEAN: prepared.clean, **prepared.outputs}.items():
            unit = unit_frame(image, frame)
            try:
                self.recognisers.ask(
                    prepared.name,
                    row,
                    unit,
                    prepared.answers,
                    field=field,
                    folder=self.folder,
                )
            except MedenhError as error:
                prepared.failed.append(failure(error, prepared.name, by=row))
                return


def _evaluation(
    run: _Run, data: DataSet, measured: Sequence[Figures], start: float
) -> Evaluation:
    protocol, recognisers = run.protocol, run.recognisers
    files = tuple(one.name for one in measured if IDENTITY in one.rows)
    columns = (*columns_of(run.metrics), *recognisers.columns)
    rows = [_row(name, run, measured, files) for name in run.rows]
    methods = [row for row in rows if row.name not in (IDENTITY, ORACLE)]
    asked = [row for row in methods if row.name == run.options.subject]
    subject = next(iter(asked), None) or best_row(methods, columns[0]) or rows[0]
    failed: list[Failure] = [
        failure(error, path)
        for path, error in data.rejected
        if isinstance(error, MedenhError)
    ]
    failed += [one for figures in measured for one in figures.failed]
    clean = [recognisers.clean_row()] if recognisers.shown else []
    return Evaluation(
        title=protocol.title,
        protocol=protocol.name,
        columns=columns,
        rows=(*rows, *clean),
        files=files,
        subject=subject.name,
        tests=compare_all(subject, rows, columns),
        against_identity=compare_with(rows[0], rows, columns),
        region=protocol.region,
        data_range=joined_ranges(one.data_range for one in measured if one.rows),
        unmatched=data.unmatched,
        failed=tuple(failed),
        passed_over=data.passed_over,
        tasks=tuple(task.name for task in recognisers.shown),
        settings=_settings(run, data, measured),
        notes=_notes(run, measured),
        seconds=time.monotonic() - start,
        pictures=run.folder,
    )


def _row(
    name: str, run: _Run, measured: Sequence[Figures], files: Sequence[str]
) -> Row:
    by_file = {one.name: one.rows.get(name, {}) for one in measured}
    scores: dict[str, Mapping[str, float | None]] = {
        metric: {file: by_file[file].get(metric) for file in files}
        for metric in run.metrics
    }
    scores |= run.recognisers.scores(name)
    timed = name not in (IDENTITY, ORACLE)
    own = run.entrants.own.get(name)
    return Row(
        name=name,
        scores=scores,
        set_scores=run.recognisers.set_scores(name, lost=IDENTITY),
        seconds=sum(one.seconds.get(name, 0.0) for one in measured) if timed else None,
        note=f"your own {own.kind}" if own else _NOTES.get(name, ""),
        is_bound=name == ORACLE,
    )


def _notes(run: _Run, measured: Sequence[Figures]) -> tuple[str, ...]:
    protocol, notes = run.protocol, []
    identity = [one.rows[IDENTITY] for one in measured if IDENTITY in one.rows]
    lacking = sum(
        "consistency" in row and row["consistency"] is None for row in identity
    )
    if lacking:
        notes.append(
            f"consistency is undefined for {lacking} of {len(identity)} images: their "
            "degradation counts photons, and the same counts cannot be drawn again"
        )
    if protocol.modalities and run.modality not in protocol.modalities:
        notes.append(_of_another_kind(protocol, run))
    elif protocol.modalities and run.options.modality is None:
        notes += _some_of_another_kind(protocol, measured)
    notes += [
        f"task {task} is left out: {why}"
        for task, why in run.recognisers.missing.items()
    ]
    return tuple(notes)


def _fitting(protocol: Protocol) -> str:
    return f"protocol {protocol.name} is for {' or '.join(protocol.modalities)}"


def _some_of_another_kind(
    protocol: Protocol, measured: Sequence[Figures]
) -> Iterator[str]:
    """Yield a note where files say of themselves that the protocol is not for them."""
    said = [one.said for one in measured if IDENTITY in one.rows]
    fine = (*protocol.modalities, Modality.UNKNOWN)
    strange = [kind for kind in said if kind not in fine]
    if strange:
        yield (
            f"{_fitting(protocol)}, and {len(strange)} of {len(said)} pictures say "
            f"that they are {' or '.join(sorted(set(strange)))}: no figures to compare "
            "with others'"
        )


def _of_another_kind(protocol: Protocol, run: _Run) -> str:
    fitting = _fitting(protocol)
    if run.modality is Modality.UNKNOWN and run.options.modality is None:
        return (
            f"{fitting}, and what these pictures show is not known: tell it by "
            f"{spelled(modality='WORD')}; it also chooses the models of 'classical' "
            "and of aliases"
        )
    shown = f"these pictures are {run.modality}"
    return f"{fitting}, {shown}: no figures to compare with others'"


def _settings(
    run: _Run, data: DataSet, measured: Sequence[Figures]
) -> dict[str, object]:
    hashes = {one.name: {"clean": one.sha256} for one in measured if one.rows}
    return {
        "protocol": run.protocol.to_json(),
        "recipe_source": find_recipe(run.protocol.recipe).source,
        "modality": str(run.modality),
        **data.settings,
        "limit": run.options.limit,
        "metrics": list(run.metrics),
        "models": run.entrants.described(),
        "recognisers": described_recognisers(run.recognisers.shown),
        "tasks_without_weights": run.recognisers.missing,
        "sha256_of_pixels": joined_hashes(hashes),
        **common_settings(),
    }
