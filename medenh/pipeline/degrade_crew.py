"""Processes that degrade: one file each at a time, inside the memory there is.

A process that dies costs the file it was at. All use one thread, so that what they
write does not depend on how many cores there are.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medenh.device import surroundings_of_children
from medenh.errors import MedenhError, UnreadableError
from medenh.pipeline.budget import usable_memory

if TYPE_CHECKING:
    from medenh.pipeline.degrade_options import DegradeOptions
    from medenh.pipeline.degrade_work import Outcome, Task

__all__ = ["Crew", "carry_out_here"]

_TICK_S = 0.1
_GRACE_S = 2.0
_SHARE_OF_MEMORY = 0.6


def carry_out_here(
    tasks: Sequence[Task],
    options: DegradeOptions,
    staging: Path,
    *,
    stop: threading.Event,
) -> Iterator[Outcome]:
    """Yield the outcome of each task, done in this process.

    Raises
    ------
    KeyboardInterrupt
        ``stop`` was set; what was being made is left in the staging folder.
    """
    from medenh.degradations.threads import one_opencv_thread
    from medenh.pipeline.attempt import attempt
    from medenh.pipeline.degrade_work import Workshop

    workshop = Workshop(options, staging)
    with one_opencv_thread():
        for task in tasks:

            def work(task: Task = task) -> Outcome:
                return workshop.carry_out(task, lambda needed: None)

            yield attempt(work, name="degrade", stop=stop)


@dataclass(slots=True)
class _Hand:
    """A process at work."""

    process: BaseProcess
    connection: Connection
    task: Task | None = None
    granted: int = 0
    asked: int = 0
    ready: bool = False


class Crew:
    """Several processes.

    Parameters
    ----------
    size : int
        How many.
    options : DegradeOptions
    staging : path
        Where they write.
    stop : threading.Event
        Set it to end the run: `run` raises KeyboardInterrupt.
    budget_bytes : int, optional
        Most bytes of pictures at work; one larger than that may go alone.
    """

    def __init__(
        self,
        size: int,
        options: DegradeOptions,
        staging: Path,
        *,
        stop: threading.Event,
        budget_bytes: int | None = None,
    ) -> None:
        self._size = size
        self._options = options
        self._staging = staging
        self._stop = stop
        self._budget = budget_bytes or int(usable_memory() * _SHARE_OF_MEMORY)
        self._context = multiprocessing.get_context("spawn")
        self._hands: list[_Hand] = []

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield the outcomes of tasks as they are done.

        Raises
        ------
        KeyboardInterrupt
            ``stop`` was set; the processes are gone.
        MedenhError
            Processes cannot be started.
        """
        todo = deque(tasks)
        try:
            for _ in range(min(self._size, len(todo))):
                self._hire()
            while self._hands:
                if self._stop.is_set():
                    raise KeyboardInterrupt
                yield from self._step(todo)
        finally:
            self._dismiss()

    def _step(self, todo: deque[Task]) -> Iterator[Outcome]:
        """Hear what the processes have to say, and answer."""
        by_connection = {hand.connection: hand for hand in self._hands}
        for ready in wait(list(by_connection), timeout=_TICK_S):
            hand = by_connection[ready]  # type: ignore[index]
            try:
                word, content = hand.connection.recv()
            except (EOFError, OSError):
                if self._stop.is_set():
                    raise KeyboardInterrupt from None
                yield from self._bury(hand, replace=bool(todo))
                continue
            if word == "needs":
                hand.asked = content
            elif word == "done":
                hand.task, hand.granted = None, 0
                yield content
            if word in ("ready", "done"):
                hand.ready = True
                self._give(hand, todo)
        self._grant()

    def _give(self, hand: _Hand, todo: deque[Task]) -> None:
        """Give a process its next task, or let it go home."""
        if todo:
            hand.task = todo.popleft()
            self._say(hand, hand.task)
            return
        self._say(hand, None)
        hand.connection.close()
        self._hands.remove(hand)
        hand.process.join(_GRACE_S)

    def _grant(self) -> None:
        """Let processes go on whose pictures fit into the memory beside the others."""
        for hand in self._hands:
            used = sum(one.granted for one in self._hands)
            if hand.asked and (not used or used + hand.asked <= self._budget):
                hand.granted, hand.asked = hand.asked, 0
                self._say(hand, "go")

    @staticmethod
    def _say(hand: _Hand, word: Any) -> None:
        # one that has just died is heard of by its closed connection
        with contextlib.suppress(OSError):
            hand.connection.send(word)

    def _bury(self, hand: _Hand, *, replace: bool) -> Iterator[Outcome]:
        """Account for a process that died, and start another if there is work."""
        from medenh.pipeline.degrade_work import Outcome
        from medenh.pipeline.results import Failure

        self._hands.remove(hand)
        hand.connection.close()
        hand.process.join(_GRACE_S)
        if not hand.ready:
            raise MedenhError(
                "processes cannot be started", hint="--workers 1 needs none"
            )
        if hand.task is not None:
            error = UnreadableError(
                f"the process at work on it died ({_cause(hand.process.exitcode)})",
                path=hand.task.path,
                hint="the file is probably damaged, or memory ran out",
            )
            failures = tuple(Failure(path, error) for path in hand.task.sources)
            yield Outcome(hand.task.index, failures=failures)
        if replace:
            self._hire()

    def _hire(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve,
            args=(theirs, self._options, self._staging),
            name="medenh-degrade",
            daemon=True,
        )
        with surroundings_of_children(), _interrupts_held():
            process.start()
        theirs.close()
        self._hands.append(_Hand(process, ours))

    def _dismiss(self) -> None:
        """End all processes at once."""
        for hand in self._hands:
            hand.process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for hand in self._hands:
            hand.process.join(max(0.0, deadline - time.monotonic()))
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
            hand.connection.close()
        self._hands.clear()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back; processes started inside never hear it, their parent does."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-exitcode).name
    return f"exit code {exitcode}"


def _serve(connection: Connection, options: DegradeOptions, staging: Path) -> None:
    """Work in a process of its own until there is no more to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from medenh.degradations.threads import one_opencv_thread
    from medenh.pipeline.degrade_work import Workshop

    workshop = Workshop(options, staging)

    def admit(needed: int) -> None:
        connection.send(("needs", max(1, needed)))
        connection.recv()

    # a closed connection is a parent that is gone
    with one_opencv_thread(), contextlib.suppress(EOFError, OSError):
        connection.send(("ready", None))
        while (task := connection.recv()) is not None:
            connection.send(("done", workshop.carry_out(task, admit)))
