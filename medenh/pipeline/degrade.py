"""`degrade` over files and folders: plan, processes, records, final names.

Pictures are made in a hidden staging folder inside the output folder. Each is recorded
in the journal, then moved to its name: whatever ends a run, no file stands without its
record, and nothing half-written stands at all.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medenh.degradations.cofe_record import to_cofe
from medenh.errors import (
    MedenhError,
    OutputError,
    UsageError,
)
from medenh.formats.discover import none_found
from medenh.formats.extensions import stem_of
from medenh.formats.files import (
    atomic_output,
    output_error,
    safe_output_path,
    sync_folder,
)
from medenh.pipeline.degrade_crew import Crew, carry_out_here
from medenh.pipeline.degrade_draft import DegradePlan
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.degrade_plan import make_plan
from medenh.pipeline.degrade_records import files_of
from medenh.pipeline.degrade_replay import make_replay_plan
from medenh.pipeline.degrade_results import (
    Degraded,
    DegradeListener,
    DegradeSummary,
)
from medenh.pipeline.degrade_work import Outcome, Task, Workshop
from medenh.pipeline.journal import with_partners
from medenh.pipeline.results import Failure
from medenh.scratch import scratch_folder

if TYPE_CHECKING:
    from medenh.degradations import Record

__all__ = ["degrade_files", "foresee_degrade", "plan_degrade"]

_STAGING = ".medenh-degrade-"


def plan_degrade(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    options: DegradeOptions,
    *,
    replay: str | Path | None = None,
) -> DegradePlan:
    """Return what a run will do.

    Parameters
    ----------
    inputs : sequence of path
        Files and folders.
    output : path
        The output folder.
    options : DegradeOptions
    replay : path, optional
        Records to be carried out again, instead of drawing new ones.

    Raises
    ------
    UsageError
        The request is wrong.
    """
    paths = [Path(one) for one in inputs]
    root = None if output is None else Path(output)
    if replay is None:
        return make_plan(paths, root, options)
    return make_replay_plan(paths, root, options, Path(replay))


def foresee_degrade(plan: DegradePlan, options: DegradeOptions) -> None:
    """Take out of a plan what cannot be read, or written as asked for, and say why.

    Every picture and mask is read; nothing is degraded or written.
    """
    shop = Workshop(options, plan.root)
    tasks = []
    for task in plan.tasks:
        failures = shop.foresee(task)
        bad = {one.path for one in failures}
        sound = [i for i, path in enumerate(task.sources) if path not in bad]
        plan.fail(failures, pictures=0 if sound else 1)
        if sound:
            tasks.append(task.part(sound))
    plan.tasks = tasks


def degrade_files(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    options: DegradeOptions,
    *,
    replay: str | Path | None = None,
    listener: DegradeListener | None = None,
    stop: threading.Event | None = None,
    summary: DegradeSummary | None = None,
) -> DegradeSummary:
    """Degrade files and folders into a folder, with `records.jsonl`.

    Parameters
    ----------
    inputs, output, options, replay
        As for `plan_degrade`.
    listener : DegradeListener, optional
    stop : threading.Event, optional
        Set it to end the run early and cleanly.
    summary : DegradeSummary, optional
        Filled as the run goes on.

    Raises
    ------
    UsageError
        The request is wrong; nothing was written.
    NothingReadableError
        No image was found.
    KeyboardInterrupt
        ``stop`` was set. What is written is whole and recorded.

    Notes
    -----
    More than one process (``options.workers``) needs the usual guard in scripts:
    ``if __name__ == "__main__":``.
    """
    begun = time.perf_counter()
    summary = summary or DegradeSummary()
    plan = plan_degrade(inputs, output, options, replay=replay)
    summary.recipe, summary.seed = plan.recipe, plan.seed
    summary.inputs = plan.inputs
    summary.passed_over = plan.passed_over
    summary.skipped.extend(plan.skipped)
    summary.not_made = plan.not_made
    for failure in plan.failed:
        summary.fail(failure)
    if not plan.inputs:
        raise none_found(plan.searched, plan.passed_over)
    run = _Run(plan, options, listener or _Silent(), summary)
    try:
        run.work(stop or threading.Event())
    finally:
        summary.written.sort(key=lambda one: run.place_of(one))
        summary.seconds = time.perf_counter() - begun
    return summary


class _Silent:
    """A listener that says nothing."""

    def started(self, total: int) -> None: ...

    def finished(self, path: Path) -> None: ...


class _Run:
    """Carries out a plan."""

    def __init__(
        self,
        plan: DegradePlan,
        options: DegradeOptions,
        listener: DegradeListener,
        summary: DegradeSummary,
    ) -> None:
        self._plan = plan
        self._options = options
        self._listener = listener
        self._summary = summary
        self._order = {name: place for place, name in enumerate(plan.order)}

    def place_of(self, one: Degraded) -> int:
        """Return where an output stands in the plan."""
        return self._order.get(one.record.output, len(self._order))

    def work(self, stop: threading.Event) -> None:
        """Make everything, and bring the records together however that ends."""
        plan = self._plan
        self._listener.started(len(plan.tasks))
        if not plan.tasks and not plan.root.is_dir():
            return
        plan.store.claim()
        try:
            if plan.tasks:
                with _staging_folder(plan.root) as staging:
                    for outcome in self._outcomes(staging, stop):
                        self._settle(outcome, staging)
            self._write_legacy()
        finally:
            plan.store.finish(plan.order)

    def _write_legacy(self) -> None:
        """Write Cofe-Net's layout of each record, of earlier runs too, where asked."""
        folder = self._options.write_legacy_json
        if folder is None:
            return
        for name in self._plan.order:
            record = self._plan.store.find(name)
            if record is None:
                continue
            bare = Path(name.removeprefix("low/") if record.references else name)
            target = safe_output_path(
                folder, bare.with_name(stem_of(bare.name) + ".json")
            )
            try:
                text = json.dumps(to_cofe(record), indent=1)
            except UsageError as error:
                self._summary.fail(Failure(self._plan.root / name, error))
                continue
            with atomic_output(target) as part:
                part.write_text(text + "\n", encoding="utf-8", newline="\n")

    def _outcomes(self, staging: Path, stop: threading.Event) -> Iterator[Outcome]:
        tasks, options = self._plan.tasks, self._options
        workers = options.num_workers(len(tasks))
        if workers == 1:
            return carry_out_here(tasks, options, staging, stop=stop)
        return Crew(workers, options, staging, stop=stop).run(tasks)

    def _settle(self, outcome: Outcome, staging: Path) -> None:
        """Give an outcome's files their names, its record first."""
        task = self._plan.tasks[outcome.index]
        for failure in outcome.failures:
            self._summary.fail(failure)
        folder = staging / str(task.index)
        try:
            if outcome.record is None:
                self._summary.not_made += 1
            else:
                self._publish(task, outcome.record, folder)
                self._summary.written.append(
                    Degraded(
                        task.path,
                        self._plan.root / outcome.record.output,
                        outcome.record,
                        outcome.warnings,
                        outcome.guessed_bits,
                    )
                )
        except OutputError as error:
            self._summary.not_made += 1
            self._summary.fail(Failure(task.path, error))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._listener.finished(task.path)

    def _publish(self, task: Task, record: Record, folder: Path) -> None:
        root = self._plan.root
        self._plan.store.add(record)
        for name, _ in files_of(record):
            target = root / name
            # the header of a pair last: without it the data are no picture
            for made in reversed(with_partners([folder / name])):
                _move(made, target.with_name(made.name))
            sync_folder(target.parent)
        if task.record is not None and files_of(record) != files_of(task.record):
            hint = (
                f"it was made by medenh {record.tool_version}; other versions of "
                "medenh or its libraries may round differently"
            )
            if record.deidentify:
                hint += ", and another MEDENH_UID_SECRET makes other UIDs"
            error = MedenhError(
                f"{root / record.output} is written, but differs from the record",
                path=task.path,
                hint=hint,
            )
            self._summary.fail(Failure(task.path, error))


def _move(made: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made.replace(target)
    except OSError as error:
        raise output_error(error, target) from error


@contextlib.contextmanager
def _staging_folder(root: Path) -> Iterator[Path]:
    """Give a folder for files in the making, and remove those of killed runs."""
    with contextlib.ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(scratch_folder(root, _STAGING))
        except OSError as error:
            raise output_error(error, root) from error
        yield folder
