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
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import formats
from medenh.device import num_threads
from medenh.errors import MedenhError, NothingReadableError, OutOfMemoryError
from medenh.pipeline import fidelity
from medenh.pipeline.batcher import Batcher, ByteBudget, default_budget
from medenh.pipeline.enhancer import is_out_of_memory
from medenh.pipeline.frames import FrameTask
from medenh.pipeline.journal import (
    Fingerprint,
    Journal,
    OutputRecord,
    Record,
    with_partners,
)
from medenh.pipeline.loading import ModelSource, Prepared
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.plan import Plan, WorkItem
from medenh.pipeline.reading import read_within, time_limit_s
from medenh.pipeline.results import Failure, FileResult, Listener, Summary
from medenh.types import Image, Provenance

__all__ = ["Engine"]

_log = logging.getLogger(__name__)

_READERS = 2
_WRITERS = 2
_GRACE_S = 1.5  # what is being written when the user interrupts may finish
_TICK_S = 0.05
_COPIES = 3  # of an image's pixels while it is on its way: in, out, in between


@dataclass(slots=True)
class _Open:
    """An image on its way."""

    item: WorkItem
    image: Image
    source: Fingerprint
    prepared: Prepared
    reason: str
    started: float
    cost: int
    out: NDArray[Any]
    pending: int
    frames_done: float = 0.0
    over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


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
    """

    def __init__(
        self,
        options: EnhanceOptions,
        models: ModelSource,
        *,
        listener: Listener | None = None,
        stop: threading.Event | None = None,
        budget_bytes: int | None = None,
    ) -> None:
        self._options = options
        self._models = models
        self._listener = listener or Listener()
        self._stop = stop or threading.Event()
        self._budget = ByteBudget(budget_bytes or default_budget(), self._stop)
        self._summary = Summary(device=models.device.name)
        self._used: dict[str, Prepared] = {}
        self._lock = threading.Lock()

    def run(self, plan: Plan) -> Summary:
        """Do what a plan says.

        Raises
        ------
        NothingReadableError
            The plan has neither work nor anything done.
        KeyboardInterrupt
            The user, or ``stop``, ended it; what was written is whole and recorded.
        """
        begun = time.perf_counter()
        summary = self._summary
        summary.inputs = plan.inputs
        summary.skipped.extend(plan.skipped)
        for failure in plan.failed:
            self._note_failure(failure)
        if not plan.inputs:
            raise NothingReadableError("no image was found in the input")
        self._clean_up(plan)
        self._listener.started(len(plan.work))
        self._journal = (
            None if plan.root is None else Journal(plan.root, self._options.shard)
        )
        try:
            if plan.work:
                self._work(plan)
        finally:
            if self._journal is not None:
                self._journal.close()
            # parts that were too young to be called stale at the start
            self._clean_up(plan)
            self._finish(begun)
        return summary

    def _clean_up(self, plan: Plan) -> None:
        """Delete what a killed run left half-written in the folders of this one."""
        from medenh.formats.files import remove_stale_parts

        for folder in {target.parent for item in plan.work for target in item.targets}:
            remove_stale_parts(folder)

    def _finish(self, begun: float) -> None:
        summary = self._summary
        used = self._used.values()
        summary.precision = ",".join(sorted({p.runner.precision for p in used}))
        summary.engine = ",".join(sorted({p.runner.engine for p in used}))
        summary.written.sort(key=lambda result: str(result.input))
        summary.seconds = time.perf_counter() - begun

    def _work(self, plan: Plan) -> None:
        """Start the threads, wait for them, and end them in order."""
        self._request = plan.request
        self._root = plan.root
        self._alone = len(plan.work) == 1
        self._todo: queue.SimpleQueue[WorkItem] = queue.SimpleQueue()
        for item in plan.work:
            self._todo.put(item)
        self._batches: Batcher[_Open] = Batcher(self._stop)
        self._writing: queue.SimpleQueue[_Open | None] = queue.SimpleQueue()
        readers = _start("read", _READERS, self._read_all)
        runners = _start("run", num_threads(), self._run_all)
        writers = _start("write", _WRITERS, self._write_all)
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
            deadline = time.monotonic() + (_GRACE_S if self._stop.is_set() else 1e9)
            for thread in writers:
                thread.join(max(0.0, deadline - time.monotonic()))
        if self._stop.is_set():
            raise KeyboardInterrupt

    def _wait(self, threads: Sequence[threading.Thread]) -> None:
        for thread in threads:
            while thread.is_alive():
                thread.join(_TICK_S)
                if self._stop.is_set():
                    raise KeyboardInterrupt

    # -- reading

    def _read_all(self) -> None:
        while not self._stop.is_set():
            try:
                item = self._todo.get_nowait()
            except queue.Empty:
                return
            self._guarded(item, partial(self._read, item))

    def _read(self, item: WorkItem) -> None:
        self._budget.wait_for_room()
        started = time.perf_counter()
        source = Fingerprint.of(item.sources)
        limit = time_limit_s(item.sources)
        image = read_within(item.sources, self._options, limit)
        resolution = self._models.resolve(image.modality)
        card = resolution.card
        if self._options.strict and (problems := fidelity.check_input(image, card)):
            raise fidelity.describe(problems, image)
        prepared = self._models.prepare(card)
        with self._lock:
            self._used[card.full_id] = prepared
        # allocated first: what fails after taking budget would never give it back
        out = np.empty_like(image.pixels)
        with prepared.slots:
            tasks = prepared.enhancer.tasks(image, out)
        cost = image.pixels.nbytes * _COPIES
        if not self._budget.acquire(cost):
            return
        opened = _Open(
            item=item,
            image=image,
            source=source,
            prepared=prepared,
            reason=resolution.reason,
            started=started,
            cost=cost,
            out=out,
            pending=image.frames,
        )
        # on a CPU a batch gains nothing; elsewhere the frames of one file share one,
        # and files do only where the user asks, since a batch's last digits may vary
        shared = isinstance(self._options.batch, int) and prepared.batch > 1
        shared = shared and tasks[0].condition is None
        key = (card.full_id, *tasks[0].shape) if shared else None
        self._batches.add(key, [(opened, task) for task in tasks], prepared.batch)

    # -- running

    def _run_all(self) -> None:
        while (group := self._batches.take()) is not None:
            self._run_group(group)

    def _run_group(self, group: list[tuple[_Open, FrameTask]]) -> None:
        group = [pair for pair in group if not pair[0].over]
        if not group:
            return
        prepared = group[0][0].prepared
        try:
            with prepared.slots:
                prepared.enhancer.enhance(
                    [task for _, task in group],
                    alone=self._alone and len(group) == group[0][0].image.frames,
                    on_progress=self._reporter(group),
                )
        except KeyboardInterrupt:
            return
        except Exception as error:
            if len(group) > 1:
                # one bad frame must not cost the others
                for pair in group:
                    self._run_group([pair])
                return
            self._give_up(group[0][0], _as_ours(error, group[0][0].item))
            return
        for opened, _ in group:
            self._frame_done(opened)

    def _reporter(
        self, group: list[tuple[_Open, FrameTask]]
    ) -> Callable[[float], None] | None:
        if len(group) > 1:
            return None
        opened = group[0][0]

        def report(share: float) -> None:
            done = (opened.frames_done + share) / opened.image.frames
            self._listener.progressed(opened.item.path, min(done, 1.0))

        return report

    def _frame_done(self, opened: _Open) -> None:
        with opened.lock:
            opened.pending -= 1
            opened.frames_done += 1
            complete = opened.pending == 0 and not opened.over
        share = opened.frames_done / opened.image.frames
        self._listener.progressed(opened.item.path, share)
        if complete:
            self._writing.put(opened)

    # -- writing

    def _write_all(self) -> None:
        while (opened := self._writing.get()) is not None:
            if not self._stop.is_set():
                self._guarded(opened.item, partial(self._write, opened))
            self._budget.release(opened.cost)

    def _write(self, opened: _Open) -> None:
        card = opened.prepared.card
        enhanced = replace(opened.image, pixels=opened.out)
        figures = fidelity.measure(opened.image, enhanced)
        problems = fidelity.warnings_of(figures, card)
        if self._options.strict and problems:
            raise fidelity.describe(problems, opened.image)
        weights = card.weights.sha256 if card.weights is not None else ""
        made_by = Provenance(card.id, card.version, weights, self._made_with(opened))
        kind = None if self._options.format == "same" else self._options.format
        targets = opened.item.targets
        if self._journal is not None:
            self._journal.begin(targets, opened.source, self._request)
        formats.write(enhanced, targets, format=kind, provenance=made_by)
        if self._journal is not None and self._root is not None:
            root = self._root
            self._journal.add(
                Record(
                    source=opened.source,
                    request=self._request,
                    model=card.id,
                    version=card.version,
                    weights_sha256=weights,
                    modality=opened.image.modality.value,
                    outputs=tuple(
                        OutputRecord.of(path, root) for path in with_partners(targets)
                    ),
                )
            )
        result = FileResult(
            input=opened.item.path,
            output=targets[0],
            seconds=time.perf_counter() - opened.started,
            model=card.id,
            reason=opened.reason,
            fidelity=figures,
            warnings=(
                *problems,
                *fidelity.check_input(opened.image, card),
                *opened.prepared.enhancer.caveats(opened.image),
            ),
        )
        with self._lock:
            self._summary.written.append(result)
        self._listener.written(result, opened.image, enhanced)

    def _made_with(self, opened: _Open) -> str:
        runner = opened.prepared.runner
        return f"{self._options.pixel_settings} precision={runner.precision}"

    # -- failing

    def _guarded(self, item: WorkItem, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._note_failure(Failure(item.path, _as_ours(error, item)))

    def _give_up(self, opened: _Open, error: MedenhError) -> None:
        with opened.lock:
            if opened.over:
                return
            opened.over = True
        self._budget.release(opened.cost)
        self._note_failure(Failure(opened.item.path, error))

    def _note_failure(self, failure: Failure) -> None:
        with self._lock:
            self._summary.failed.append(failure)
        self._listener.failed(failure)


def _start(name: str, count: int, target: Callable[[], None]) -> list[threading.Thread]:
    """Start threads that do not keep an interrupted process alive."""
    threads = [
        threading.Thread(target=target, name=f"medenh-{name}-{i}", daemon=True)
        for i in range(count)
    ]
    for thread in threads:
        thread.start()
    return threads


def _as_ours(error: Exception, item: WorkItem) -> MedenhError:
    """Return an error of our own kind."""
    if isinstance(error, MedenhError):
        return error
    if is_out_of_memory(error):
        return OutOfMemoryError("not enough memory for this file", path=item.path)
    _log.debug("unexpected error", exc_info=error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return MedenhError(f"unexpected {what[:300]}", path=item.path)
