"""How far a run is, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from medenh.cli import console
from medenh.pipeline.results import Listener

if TYPE_CHECKING:
    from medenh.pipeline.results import Failure, FileResult
    from medenh.types import Image

__all__ = ["Meter", "ProgressListener"]

_LEAST_S = 60.0  # between two lines
_SHARE = 0.05  # of the time gone by, between two lines: a day comes to about 110


class Meter:
    """Shows how far a run is; use it from one thread at a time.

    Parameters
    ----------
    label : str
        What is being done.
    quiet : bool
        Show nothing.
    unit : str
        What is counted, in the plural.
    clock : callable
        Returns seconds.
    """

    def __init__(
        self,
        label: str,
        *,
        quiet: bool = False,
        unit: str = "images",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = console.one_line(label)
        self._quiet = quiet
        self._unit = unit
        self._clock = clock
        self._bar: Any = None
        self._begun = self._told = clock()
        self._first: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: float, total: float, note: str = "") -> None:
        """Show that ``done`` of ``total`` are done.

        The first call, and one with less done than that, is where the time starts.

        Parameters
        ----------
        done, total : float
            Of one whole, the share is shown.
        note : str
            More to show; if empty, how many a second.
        """
        if self._quiet or not total:
            return
        now = self._clock()
        if self._first is None or done < self._first:
            self._first, self._begun, self._told = done, now, now
        gone = now - self._begun
        rate = (done - self._first) / gone if gone > 1 else 0.0
        if not note and rate and total > 1:
            note = console.pace(done - self._first, gone, self._unit)
        if sys.stderr.isatty():
            self._draw(done, total, note)
        elif now - self._told >= max(_LEAST_S, _SHARE * gone):
            self._told = now
            self._say(done, total, rate, note)

    def _draw(self, done: float, total: float, note: str) -> None:
        if self._bar is None:
            from rich import progress

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(),
                progress.MofNCompleteColumn()
                if total > 1
                else progress.TextColumn("{task.percentage:.0f}%"),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[note]}", markup=False),
                console=console.stderr_console(),
                transient=True,
                redirect_stdout=False,  # it would come out on stderr
            )
            self._bar.start()
            self._bar.add_task(self._label, total=total, completed=done, note=note)
        self._bar.update(self._bar.tasks[0].id, completed=done, total=total, note=note)

    def _say(self, done: float, total: float, rate: float, note: str) -> None:
        far = f"{int(done)} of {total:.0f} {self._unit}"
        if total <= 1:
            far = f"{100 * done / total:.0f} %"
        left = ""
        if rate and done < total:  # what is done may still have to be written
            left = f", {_duration((total - done) / rate)} left"
        console.warn(f"{far}{left}{f'; {note}' if note else ''}", kind=self._label)


def _duration(seconds: float) -> str:
    """Return a time as people say it.

    Examples
    --------
    >>> _duration(29), _duration(89), _duration(5400), _duration(200_000)
    ('less than a minute', 'about 1 min', 'about 90 min', 'about 56 h')
    """
    if seconds < 30:
        return "less than a minute"
    minutes = seconds / 60
    return (
        f"about {minutes:.0f} min" if minutes < 120 else f"about {minutes / 60:.0f} h"
    )


class ProgressListener(Meter, Listener):
    """A meter of a run over files, which may be told from any thread.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    label : str
        What is being done.
    clock : callable
        Returns seconds.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        label: str = "enhancing",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(label, quiet=quiet, clock=clock)
        self._lock = threading.Lock()
        self._open: dict[Path, float] = {}
        self._done = 0
        self._total = 0

    def started(self, total: int) -> None:
        """Start the meter."""
        self._total = total
        self._close([])

    def progressed(self, path: Path, files: float) -> None:
        """Count part of an image."""
        with self._lock:
            self._open[path] = files
            self._show()

    def written(
        self, results: Sequence[FileResult], image: Image, enhanced: Image
    ) -> None:
        """Count the files of an image."""
        self._close([result.input for result in results])

    def finished(self, path: Path) -> None:
        """Count one file."""
        self._close([path])

    def failed(self, failure: Failure) -> None:
        """Count a file, unless it failed before the count began."""
        if self._total:
            self._close([failure.path])

    def _close(self, paths: Sequence[Path]) -> None:
        with self._lock:
            for path in paths:
                self._open.pop(path, None)
            self._done += len(paths)
            self._show()

    def _show(self) -> None:
        self.update(self._done + sum(self._open.values()), self._total)
