"""Worker processes: one thread each, results in order, quick to stop."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar

from medenh.device import surroundings_of_children, usable_cores
from medenh.errors import OutOfMemoryError, spelled

__all__ = ["OnDone", "count_workers", "counted", "in_order", "workers"]

OnDone = Callable[[int, int], None]  # files done, files in all

Given = TypeVar("Given")
Made = TypeVar("Made")

_ITEMS_A_WORKER = 8  # fewer are measured sooner than a process has started


class _Inline(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(
        self, fn: Callable[..., Made], /, *args: Any, **kwargs: Any
    ) -> Future[Made]:
        future: Future[Made] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def count_workers(asked: int | None, items: int) -> int:
    """Return how many processes serve a number of items; 1 is this one.

    It is 1 in a worker of another pool (`multiprocessing.Pool`, Celery): Python lets
    its processes start none.
    """
    if multiprocessing.current_process().daemon:
        return 1
    if asked is not None:
        return max(1, min(asked, items))
    return max(1, min(usable_cores(), items // _ITEMS_A_WORKER))


@contextmanager
def workers(count: int) -> Iterator[Executor]:
    """Give an executor of ``count`` processes; 1 works in this process.

    Leaving by an error or Ctrl-C ends the processes at once. Functions and what they
    take and give must be picklable.

    Raises
    ------
    OutOfMemoryError
        A process ended without a word.
    """
    if count <= 1:
        yield _Inline()
        return
    context = _Context()
    with surroundings_of_children():  # its semaphores' tracker is a process, too
        executor = ProcessPoolExecutor(count, mp_context=context)
    try:
        yield executor
    except BaseException as error:
        executor.shutdown(wait=False, cancel_futures=True)
        for child in context.started:  # and nobody else's
            if child.is_alive():
                child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise OutOfMemoryError(
                "a worker process died, probably for lack of memory",
                hint=f"use {spelled(workers=1)}, which takes less and names a file "
                "that crashes its decoder; in a script, put the calls under "
                'if __name__ == "__main__":',
            ) from error
        raise
    executor.shutdown()


class _Worker(SpawnProcess):
    """Inherits one thread, and is deaf to the Ctrl-C meant for its parent."""

    def start(self) -> None:
        here = threading.current_thread() is threading.main_thread()
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if here else None
        try:
            with surroundings_of_children():  # the processes are the threads
                super().start()
        finally:
            if here:
                signal.signal(signal.SIGINT, handler)


class _Context(SpawnContext):
    """What an executor starts its processes by: one by one, as work comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[_Worker] = []

    def Process(self, *args: Any, **kwargs: Any) -> _Worker:  # type: ignore[override]  # noqa: N802
        worker = _Worker(*args, **kwargs)
        self.started.append(worker)
        return worker


def in_order(
    executor: Executor,
    function: Callable[[Given], Made],
    items: Iterable[Given],
    *,
    ahead: int,
) -> Iterator[Made]:
    """Yield the results in the items' order; at most ``ahead`` are under way."""
    window: deque[Future[Made]] = deque()
    for item in items:
        window.append(executor.submit(function, item))
        if len(window) >= ahead:
            yield window.popleft().result()
    while window:
        yield window.popleft().result()


def counted(items: Iterable[Made], total: int, on_done: OnDone | None) -> list[Made]:
    """Return the items as a list, and tell how many there are each time."""
    done: list[Made] = []
    for item in items:
        done.append(item)
        if on_done is not None:
            on_done(len(done), total)
    return done
