"""The run: readers, batcher, runners, writers, each in threads of their own.

A file goes forward once; nothing turns back. One bad file costs one file. Threads and
batches change the order in which files are done, never what is written.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from medenh.device import num_threads
from medenh.errors import MedenhError, OutOfMemoryError, as_ours
from medenh.formats.discover import none_found
from medenh.formats.files import check_writable, remove_stale_parts
from medenh.pipeline import fidelity
from medenh.pipeline.attempt import Worker, await_at_exit
from medenh.pipeline.batcher import Batcher
from medenh.pipeline.budget import ByteBudget, default_budget
from medenh.pipeline.flight import Flight, timed
from medenh.pipeline.frames import FrameTask
from medenh.pipeline.journal import Journal
from medenh.pipeline.loading import ModelSource, Prepared
from medenh.pipeline.looks import choose_model
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.reading import Reading, read_item
from medenh.pipeline.results import Failure, FileResult, Listener, Summary
from medenh.pipeline.uncertainty import Ensemble
from medenh.pipeline.work import Plan, WorkItem
from medenh.pipeline.writing import (
    Ledger,
    check_fits,
    losses,
    provenance_of,
    remaining_names,
)

__all__ = ["Engine"]

_log = logging.getLogger(__name__)

_READERS = 2
_WRITERS = 2
_GRACE_S = 1.5  # what is being written when the user interrupts may finish
_TICK_S = 0.05
_COPIES = 3  # of an image's pixels while it is on its way: in, out, in between


class Engine:
    """Carries out plans.

    Parameters
    ----------
    options : EnhanceOptions
    models : ModelSource
        Where models come from.
    listener : Listener, optional
    stop : threading.Event, optional
        Set it to end the run early and cleanly: `run` raises KeyboardInterrupt.
    budget_bytes : int, optional
        Most bytes of images on their way; a quarter of the memory by default.
    summary : Summary, optional
        Filled as the run goes on, so that it tells something of a run cut short too.
    """

    def __init__(
        self,
        options: EnhanceOptions,
        models: ModelSource,
        *,
        listener: Listener | None = None,
        stop: threading.Event | None = None,
        budget_bytes: int | None = None,
        summary: Summary | None = None,
    ) -> None:
        self._options = options
        self._models = models
        self._listener = listener or Listener()
        self._stop = stop or threading.Event()
        self._budget = ByteBudget(budget_bytes or default_budget(), self._stop)
        self._summary = summary or Summary()
        self._summary.device = models.device.name
        self._used: dict[str, Prepared] = {}
        self._alone = False  # on all threads; not what is tried again: it wants more
        # what had too little memory; None once that is final
        self._starved: list[WorkItem] | None = None
        self._lock = threading.Lock()

    def run(self, plan: Plan) -> Summary:
        """Do what a plan says.

        Raises
        ------
        NothingReadableError
            The plan has neither work nor anything done.
        OutputError
            Nothing can be written where the outputs go.
        KeyboardInterrupt
            The user, or ``stop``, ended it; what was written is whole and recorded.
        """
        begun = time.perf_counter()
        summary = self._summary
        summary.inputs = plan.inputs
        summary.passed_over = plan.passed_over
        summary.skipped.extend(plan.skipped)
        for failure in plan.failed:
            self._note_failure(failure)
        if not plan.inputs and not plan.found:
            raise none_found(plan.searched, plan.passed_over)
        self._clean_up(plan)
        self._tell(self._listener.started, plan.files)
        journal = None if plan.root is None else Journal(plan.root, self._options.shard)
        self._ledger = Ledger(
            journal, plan.root, plan.request, self._options.deidentify
        )
        try:
            if plan.work:
                check_writable(plan.work[0].targets[0])
                self._alone = len(plan.work) == 1
                self._starved = None if self._alone else []
                self._work(plan.work)
                self._account_for(plan)
        finally:
            if journal is not None:
                journal.close()
            # parts that were too young to be called stale at the start
            self._clean_up(plan)
            self._finish(begun)
        return summary

    def _clean_up(self, plan: Plan) -> None:
        """Delete what a killed run left half-written in the folders of this one."""
        for folder in {target.parent for item in plan.work for target in item.targets}:
            remove_stale_parts(folder)

    def _account_for(self, plan: Plan) -> None:
        """Make a failure of each file that came to nothing without a word."""
        summary = self._summary
        known = {result.input for result in summary.written}
        known.update(failure.path for failure in summary.failed)
        for item in plan.work:
            for path in item.sources:
                if path not in known:
                    error = MedenhError("was lost on the way: a fault in medenh")
                    self._note_failure(Failure(path, error))

    def _finish(self, begun: float) -> None:
        summary = self._summary
        used = self._used.values()
        summary.precision = ",".join(sorted({p.runner.precision for p in used}))
        summary.engine = ",".join(sorted({p.runner.engine for p in used}))
        summary.written.sort(key=lambda result: str(result.input))
        summary.seconds = time.perf_counter() - begun

    def _work(self, items: Sequence[WorkItem]) -> None:
        """Start the threads, wait for them, and end them in order."""
        self._todo: queue.SimpleQueue[WorkItem] = queue.SimpleQueue()
        for item in items:
            self._todo.put(item)
        self._batches: Batcher[Flight] = Batcher(self._stop)
        self._writing: queue.SimpleQueue[Flight | None] = queue.SimpleQueue()
        self._reading = _READERS
        all_started = threading.Event()
        writers = _start("write", _WRITERS, self._write_all)
        runners = _start("run", num_threads(), self._run_all)
        readers = _start("read", _READERS, partial(self._read_all, all_started))
        all_started.set()  # only now may an image take the memory of a thread's start
        try:
            self._wait(readers)
            self._batches.close()
            self._wait(runners)
        except KeyboardInterrupt:
            self._stop.set()
            raise
        finally:
            for _ in writers:
                self._writing.put(None)
            if self._stop.is_set():
                await_at_exit([*readers, *runners, *writers])
            deadline = time.monotonic() + (_GRACE_S if self._stop.is_set() else 1e9)
            for thread in writers:
                thread.join(max(0.0, deadline - time.monotonic()))
        if self._stop.is_set():
            raise KeyboardInterrupt

    def _wait(self, threads: Sequence[Worker]) -> None:
        for thread in threads:
            while thread.is_alive():
                thread.join(_TICK_S)
                if self._stop.is_set():
                    raise KeyboardInterrupt

    # -- reading

    def _read_all(self, all_started: threading.Event) -> None:
        all_started.wait()
        while not self._stop.is_set():
            try:
                item = self._todo.get_nowait()
            except queue.Empty:
                break
            self._guarded(item, partial(self._read, item))
        with self._lock:
            self._reading -= 1
            last = not self._reading
        if last:
            self._read_again()

    def _read_again(self) -> None:
        """Try again, one by one, what had no memory while others held it.

        On the threads there are: where memory is scarce no new one may start.
        """
        self._budget.wait_until_empty()
        starved, self._starved = self._starved, None
        for item in starved or ():
            if self._stop.is_set():
                return
            self._guarded(item, partial(self._read, item))
            self._budget.wait_until_empty()

    def _read(self, item: WorkItem) -> None:
        self._budget.wait_for_room()
        begun = time.perf_counter()
        for outcome in read_item(item, self._options):
            if isinstance(outcome, Reading):
                seconds = time.perf_counter() - begun
                self._guarded(outcome.item, partial(self._open, outcome, seconds))
                begun = time.perf_counter()
                continue
            if _starved_whole(item, outcome):
                self._fail(item, outcome[0].error)
                continue
            for failure in outcome:
                self._note_failure(failure)

    def _open(self, reading: Reading, seconds: float) -> None:
        """Send an image that took some time to read on its way, once there is room."""
        begun = time.perf_counter()
        image = reading.image
        kind = reading.item.kind
        check_fits(image, reading.item.targets, kind)
        remaining = remaining_names(image, self._options.deidentify)
        wrong, lost = losses(image, kind, reading.item.map_format)
        resolution, modality = choose_model(image, self._models)
        card = resolution.card
        told = self._options.modality is not None
        seen = replace(image, modality=modality)
        problems, remarks = fidelity.check_input(seen, card, told=told)
        problems += wrong
        if self._options.strict and problems:
            raise fidelity.describe(problems, image)
        seconds += time.perf_counter() - begun
        prepared = self._models.prepare(card)
        with self._lock:
            self._used[card.full_id] = prepared
        cost = image.pixels.nbytes * _COPIES
        if self._options.uncertainty:
            cost += Ensemble.cost(image)
        if not self._budget.acquire(cost):
            return
        try:
            flight = Flight(
                reading=reading,
                prepared=prepared,
                modality=modality,
                reason=resolution.reason,
                warnings=(*problems, *remarks, *remaining, *lost),
                seconds=seconds,
                cost=cost,
                out=np.empty_like(image.pixels),
                pending=image.frames,
            )
            with prepared.slots, timed([flight]):
                tasks = prepared.enhancer.tasks(image, flight.out)
                if self._options.uncertainty:
                    flight.ensemble = Ensemble(prepared.enhancer, image)
        except BaseException:
            self._budget.release(cost)
            raise
        # on a CPU a batch gains nothing; elsewhere the frames of one file share one,
        # and files do only where the user asks, since a batch's last digits may vary
        shared = isinstance(self._options.batch, int) and prepared.batch > 1
        shared = shared and tasks[0].condition is None
        key = (card.full_id, *tasks[0].shape) if shared else None
        self._batches.add(key, [(flight, task) for task in tasks], prepared.batch)

    # -- running

    def _run_all(self) -> None:
        while (group := self._batches.take()) is not None:
            self._run_group(group)
            del group  # its memory, while this thread waits

    def _run_group(self, group: list[tuple[Flight, FrameTask]]) -> None:
        group = [pair for pair in group if not pair[0].over]
        if not group:
            return
        prepared = group[0][0].prepared
        try:
            with prepared.slots, timed([flight for flight, _ in group]):
                self._enhance(group)
        except KeyboardInterrupt:
            self._stop.set()
            return
        except BaseException as error:  # a panic of native code costs its file only
            if len(group) > 1:
                # one bad frame must not cost the others
                for pair in group:
                    self._run_group([pair])
                return
            self._give_up(group[0][0], as_ours(error, group[0][0].item.path))
            return
        for flight, _ in group:
            self._frame_done(flight)

    def _enhance(self, group: list[tuple[Flight, FrameTask]]) -> None:
        flight, tasks = group[0][0], [task for _, task in group]
        report = self._reporter(group)
        alone = self._alone and len(group) == flight.image.frames
        enhance = flight.prepared.enhancer.enhance
        if flight.ensemble is None:
            enhance(tasks, alone=alone, on_progress=report)
            return
        tasks = [flight.ensemble.kept(task) for task in tasks]
        own = flight.ensemble.of_passes(report)
        enhance(tasks, alone=alone, on_progress=own)
        for (each, _), task in zip(group, tasks, strict=True):
            if each.ensemble is not None:
                each.ensemble.measure(task, alone=self._alone, on_progress=report)

    def _reporter(
        self, group: list[tuple[Flight, FrameTask]]
    ) -> Callable[[float], None] | None:
        if len(group) > 1:
            return None
        flight = group[0][0]

        def report(share: float) -> None:
            self._progressed(flight, flight.frames_done + share)

        return report

    def _frame_done(self, flight: Flight) -> None:
        with flight.lock:
            flight.pending -= 1
            flight.frames_done += 1
            complete = flight.pending == 0 and not flight.over
        if complete:
            self._writing.put(flight)
        else:
            self._progressed(flight, flight.frames_done)

    def _progressed(self, flight: Flight, frames: float) -> None:
        done = min(1.0, frames / flight.image.frames)
        self._tell(
            self._listener.progressed, flight.item.path, done * len(flight.item.sources)
        )

    # -- writing

    def _write_all(self) -> None:
        while (flight := self._writing.get()) is not None:
            try:
                if not self._stop.is_set():
                    self._guarded(flight.item, partial(self._write, flight))
            finally:
                cost = flight.cost
                del flight  # its memory, while this thread waits
                self._budget.release(cost)

    def _write(self, flight: Flight) -> None:
        prepared, image = flight.prepared, flight.image
        card = prepared.card
        made_by = provenance_of(prepared, self._options)
        enhanced = replace(image, pixels=flight.out, provenance=made_by)
        spread = None if flight.ensemble is None else flight.ensemble.spread
        computation = self._models.computation(card)
        with timed([flight]):
            figures = fidelity.measure(image, enhanced)
            if spread is not None:
                figures |= fidelity.measure_spread(image, spread)
            problems = fidelity.warnings_of(figures, card)
            problems += fidelity.cut_off(image, enhanced)
            if self._options.strict and problems:
                raise fidelity.describe(problems, image, figures)
            self._ledger.write(
                flight.reading, enhanced, made_by, computation, spread, flight.modality
            )
        warnings = (
            *flight.item.remarks,
            *problems,
            *flight.warnings,
            *prepared.enhancer.caveats(image),
        )
        results = [
            FileResult(
                input=source,
                output=flight.item.target_of(index),
                image=flight.item.path,
                seconds=flight.seconds / len(flight.item.sources),
                model=card.id,
                reason=flight.reason,
                fidelity=figures,
                unit_range=image.unit_range,
                warnings=warnings,
                uncertainty=flight.item.map_of(index),
            )
            for index, source in enumerate(flight.item.sources)
        ]
        with self._lock:
            self._summary.written.extend(results)
        self._tell(self._listener.written, results, image, enhanced)

    # -- failing

    def _guarded(self, item: WorkItem, work: Callable[[], None]) -> None:
        """Do a part of the work; whatever goes wrong costs the item, not the thread."""
        try:
            work()
        except KeyboardInterrupt:
            self._stop.set()
        except BaseException as error:
            self._fail(item, as_ours(error, item.path))

    def _give_up(self, flight: Flight, error: MedenhError) -> None:
        with flight.lock:
            if flight.over:
                return
            flight.over = True
        self._fail(flight.item, error)
        self._budget.release(flight.cost)

    def _fail(self, item: WorkItem, error: MedenhError) -> None:
        if isinstance(error, OutOfMemoryError):
            with self._lock:
                if self._starved is not None:
                    self._starved.append(item)
                    return
        for path in item.sources:
            self._note_failure(Failure(path, error))

    def _note_failure(self, failure: Failure) -> None:
        with self._lock:
            self._summary.failed.append(failure)
        self._tell(self._listener.failed, failure)

    def _tell(self, hear: Callable[..., None], *news: Any) -> None:
        """Let the listener know; its own troubles cost no file."""
        try:
            hear(*news)
        except Exception:
            _log.warning("the progress could not be shown", exc_info=True)


def _starved_whole(item: WorkItem, failures: Sequence[Failure]) -> bool:
    """Tell whether no file of an item could be read for want of memory."""
    starved = [f for f in failures if isinstance(f.error, OutOfMemoryError)]
    return len(starved) == len(item.sources)


def _start(name: str, count: int, target: Callable[[], None]) -> list[Worker]:
    """Start threads that do not keep an interrupted process alive."""
    threads = [Worker(f"{name}-{i}", target) for i in range(count)]
    for thread in threads:
        thread.start()
    return threads
