"""The progress bar of a run, on stderr: images, images a second, time left."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from medenh.pipeline.results import Listener

if TYPE_CHECKING:
    from medenh.pipeline.results import Failure, FileResult
    from medenh.types import Image

__all__ = ["ProgressListener"]


class ProgressListener(Listener):
    """Draws a bar on a terminal; silent elsewhere.

    Parameters
    ----------
    quiet : bool
        Draw nothing.
    label : str
        What is being done.
    """

    def __init__(self, *, quiet: bool = False, label: str = "enhancing") -> None:
        self._label = label
        self._quiet = quiet or not sys.stderr.isatty()
        self._lock = threading.Lock()
        self._open: dict[Path, float] = {}
        self._done = 0
        self._bar: Any = None
        self._task: Any = None

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

    def started(self, total: int) -> None:
        """Draw the bar."""
        if self._quiet or not total:
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        from medenh.cli.console import stderr_console

        self._bar = Progress(
            TextColumn(self._label),
            BarColumn(),
            MofNCompleteColumn() if total > 1 else TextColumn("{task.percentage:.0f}%"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=stderr_console(),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._label, total=total, rate="")

    def progressed(self, path: Path, files: float) -> None:
        """Move the bar by part of an image."""
        with self._lock:
            self._open[path] = files
            self._draw()

    def written(
        self, results: Sequence[FileResult], image: Image, enhanced: Image
    ) -> None:
        """Move the bar by the files of an image."""
        self._close([result.input for result in results])

    def finished(self, path: Path) -> None:
        """Move the bar by one file."""
        self._close([path])

    def failed(self, failure: Failure) -> None:
        """Move the bar by a file."""
        if self._bar is not None:
            self._close([failure.path])

    def _close(self, paths: Sequence[Path]) -> None:
        with self._lock:
            for path in paths:
                self._open.pop(path, None)
            self._done += len(paths)
            self._draw()

    def _draw(self) -> None:
        if self._bar is None:
            return
        completed = self._done + sum(self._open.values())
        task = self._bar.tasks[0]
        elapsed = task.elapsed or 0.0
        rate = f"{completed / elapsed:.1f} images/s" if elapsed > 1 else ""
        self._bar.update(self._task, completed=completed, rate=rate)
