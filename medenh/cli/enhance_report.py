"""The page of `enhance --report`: what went in, what came out, what changed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medenh import __version__
from medenh.errors import OutputError, UsageError
from medenh.formats.files import check_writable
from medenh.pipeline.results import Listener
from medenh.reports.html import Case, Table, unit_view, write_report

if TYPE_CHECKING:
    from medenh.pipeline.options import EnhanceOptions
    from medenh.pipeline.results import Failure, FileResult, Summary
    from medenh.types import FloatArray, Image

__all__ = ["ReportListener", "check_place"]

_MOST_CASES = 24
_MOST_SIDE = 1536  # pixels; a page shows less than this


def check_place(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse a page that could not be written after all the work, or must not be.

    Raises
    ------
    UsageError
        It would replace an input.
    OutputError
        It is a folder, or lies where nothing can be written.
    """
    if path.is_dir():
        raise OutputError("this is a folder, not a place for a file", path=path)
    if path.exists() and any(path.samefile(one) for one in inputs if one.exists()):
        raise UsageError(f"{path} is an input, which would be replaced")
    check_writable(path)


class ReportListener(Listener):
    """Keeps small views of what is written, and passes everything on.

    Parameters
    ----------
    listener : Listener
        Hears it all as well.
    """

    def __init__(self, listener: Listener) -> None:
        self._next = listener
        self._cases: dict[str, Case] = {}
        self._images = 0
        self._lock = threading.Lock()

    def started(self, total: int) -> None:
        """Pass it on."""
        self._next.started(total)

    def progressed(self, path: Path, files: float) -> None:
        """Pass it on."""
        self._next.progressed(path, files)

    def failed(self, failure: Failure) -> None:
        """Pass it on."""
        self._next.failed(failure)

    def written(
        self, results: Sequence[FileResult], image: Image, enhanced: Image
    ) -> None:
        """Keep a view of an image; of many, those first in alphabetical order."""
        key = str(results[0].input)
        with self._lock:
            self._images += 1
            wanted = len(self._cases) < _MOST_CASES or key < max(self._cases)
        if wanted:
            case = _case(results[0], image, enhanced)
            with self._lock:
                self._cases[key] = case
                if len(self._cases) > _MOST_CASES:
                    del self._cases[max(self._cases)]
        self._next.written(results, image, enhanced)

    def write(self, path: Path, summary: Summary, asked: EnhanceOptions) -> None:
        """Write the page."""
        rows: list[tuple[str | float, ...]] = [
            (
                str(result.input),
                str(result.output),
                result.model,
                *result.fidelity.values(),
                "; ".join(result.warnings),
            )
            for result in summary.written
        ]
        figures = summary.written[0].fidelity if summary.written else {}
        columns = ("input", "output", "model", *map(_label, figures), "warnings")
        tables = [Table("Enhanced", columns, rows)]
        if summary.failed:
            failures = [(str(f.path), f.reason) for f in summary.failed]
            tables.append(Table("Failed", ("input", "reason"), failures))
        note = "Not a medical device."
        if self._images > len(self._cases):
            note += f" The first {len(self._cases)} images are shown."
        write_report(
            path,
            title="Enhanced images",
            cases=[self._cases[key] for key in sorted(self._cases)],
            tables=tables,
            settings={
                "medenh": __version__,
                "models": ", ".join(summary.models),
                "options": asked.pixel_settings,
                "device": summary.device,
                "engine": summary.engine,
                "precision": summary.precision,
            },
            note=note,
        )


def _label(name: str) -> str:
    return name.replace("_", " ")


def _case(result: FileResult, image: Image, enhanced: Image) -> Case:
    figures = {_label(name): f"{value:.4f}" for name, value in result.fidelity.items()}
    return Case(result.input.name, _view(image), _view(enhanced), figures=figures)


def _view(image: Image) -> FloatArray:
    """Return the middle frame in [0, 1], thinned out where it is large."""
    step = -(-max(image.height, image.width) // _MOST_SIDE)
    middle = image.frames // 2
    thin = image.pixels[middle : middle + 1, ::step, ::step]
    return unit_view(replace(image, pixels=thin, alpha=None, frozen=None))
