"""The page of `enhance --report`: what went in, what came out, what changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from medenh import __version__
from medenh.errors import OutputError, UsageError
from medenh.formats.files import check_writable
from medenh.formats.viewing import upright, viewing_of
from medenh.pipeline.naming import has_image_name
from medenh.pipeline.results import Listener
from medenh.reports.html import Case, Table, Value, unit_view, write_report
from medenh.reports.tables import Cell

if TYPE_CHECKING:
    from medenh.pipeline.options import EnhanceOptions
    from medenh.pipeline.results import Failure, FileResult, Summary
    from medenh.types import FloatArray, Image

__all__ = ["PAGE_BEGINS", "ReportListener", "check_place", "check_replaceable"]

_Order: TypeAlias = tuple[float, float, str]  # smaller ones are shown first

PAGE_BEGINS = b"<!doctype html>"
_MOST_CASES = 24
_MOST_SIDE = 1536  # pixels; a page shows less than this


def check_place(
    path: Path, inputs: Sequence[Path], *, begins: bytes = PAGE_BEGINS
) -> None:
    """Refuse a report that could not be written after all the work, or must not be.

    Parameters
    ----------
    path : path
    inputs : sequence of path
        What must not be replaced.
    begins : bytes
        How a report of its kind begins: an older one may be replaced.

    Raises
    ------
    UsageError
        It would replace an input, or another file that is no report, or is named as a
        picture, or "-".
    OutputError
        It is a folder, or lies where nothing can be written.
    """
    if str(path) == "-":
        raise UsageError(
            "pages and tables do not go through a pipe",
            hint="name a file, or print the figures with --json",
        )
    if path.is_dir():
        raise OutputError("this is a folder, not a place for a file", path=path)
    if path.exists() and any(path.samefile(one) for one in inputs if one.exists()):
        raise UsageError(f"{path} is an input, which would be replaced")
    if has_image_name(path):
        what, kind = "a page", ".html"
        if begins != PAGE_BEGINS:
            what, kind = "a table", ".csv"
        raise UsageError(
            f"{path} is the name of an image, and this is {what}",
            hint=f"name it {path.with_suffix(kind).name}",
        )
    check_replaceable(path, begins=begins)
    check_writable(path)


def check_replaceable(path: Path, *, begins: bytes = PAGE_BEGINS) -> None:
    """Refuse a place where something else than an older report is.

    Raises
    ------
    UsageError
        There is, and it would be lost.
    """
    try:
        with path.open("rb") as file:
            found = file.read(len(begins)).lower()
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot be read: {error.strerror}", path=path) from error
    if found and found != begins:
        raise UsageError(
            f"{path} is not an earlier report, and would be replaced",
            hint="choose another name",
        )


class ReportListener(Listener):
    """Keeps small views of what is written, and passes everything on.

    Parameters
    ----------
    listener : Listener
        Hears it all as well.
    """

    def __init__(self, listener: Listener) -> None:
        self._next = listener
        self._cases: dict[_Order, Case] = {}
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
        """Keep a view of an image; of many, those that changed most."""
        middle = image.frames // 2
        shown = results[middle if len(results) == image.frames else 0]
        key = _order(shown)
        with self._lock:
            self._images += 1
            wanted = len(self._cases) < _MOST_CASES or key < max(self._cases)
        if wanted:
            case = _case(shown, image, enhanced)
            with self._lock:
                self._cases[key] = case
                if len(self._cases) > _MOST_CASES:
                    del self._cases[max(self._cases)]
        self._next.written(results, image, enhanced)

    def write(self, path: Path, summary: Summary, asked: EnhanceOptions) -> None:
        """Write the page."""
        inputs, names = _shortened([result.input for result in summary.written])
        name_of = {
            str(result.input): name
            for result, name in zip(summary.written, names, strict=True)
        }
        outputs, new_names = _shortened([result.output for result in summary.written])
        # only some files have figures in Hounsfield units
        figures = list(dict.fromkeys(n for r in summary.written for n in r.fidelity))
        rows: list[tuple[Value, ...]] = [
            (
                Cell(
                    name,
                    name,
                    below="" if new == name else f"\N{RIGHTWARDS ARROW} {new}",
                ),
                result.model,
                *(result.fidelity.get(name, "") for name in figures),
                "; ".join(result.warnings),
            )
            for result, name, new in zip(summary.written, names, new_names, strict=True)
        ]
        columns = ("file", "model", *map(_label, figures), "warnings")
        caption = f"Inputs are in {inputs}, outputs in {outputs}." if rows else ""
        tables = [Table("Enhanced", columns, rows, caption)]
        if summary.failed:
            failures = [(str(f.path), f.reason) for f in summary.failed]
            tables.insert(0, Table("Failed", ("input", "reason"), failures))
        write_report(
            path,
            title="Enhanced images",
            cases=[
                replace(case, name=name_of[case.name])
                for _, case in sorted(self._cases.items(), key=itemgetter(0))
            ],
            tables=tables,
            above=len(tables) - 1,
            settings={
                "medenh": __version__,
                "models": ", ".join(summary.models),
                "options": asked.pixel_settings,
                "device": summary.device,
                "engine": summary.engine,
                "precision": summary.precision,
            },
            note=self._note(len(summary.skipped)),
        )

    def _note(self, skipped: int) -> str:
        """Say which images are shown, and in which order."""
        before = ""
        if skipped:
            are = (
                "file that was there is"
                if skipped == 1
                else "files that were there are"
            )
            before = f" {skipped} {are} not on this page, which is of one run."
        if self._images < 2:
            return f"Not a medical device.{before}"
        shown = len(self._cases)
        which = "All" if shown == self._images else f"The {shown} that changed most of"
        return (
            f"Not a medical device. {which} {self._images} images are shown, lowest "
            "structure correlation first (1 is unchanged; at equal ones the largest "
            "mean shift). The table of all files stands below them."
            f"{before}"
        )


def _order(result: FileResult) -> _Order:
    """Return what sorts images by how much they changed, most first."""
    figures = result.fidelity
    structure, shift = figures["structure_correlation"], figures["mean_shift"]
    return structure, -abs(shift), str(result.input)


def _shortened(paths: Sequence[Path]) -> tuple[str, list[str]]:
    """Return the folder that files share, and their names below it.

    Two columns of whole paths would push all others off the page.
    """
    try:
        folder = Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # no files, or whole and relative paths beside each other
        return "different folders", [str(path) for path in paths]
    return str(folder), [str(path.relative_to(folder)) for path in paths]


def _label(name: str) -> str:
    return name.replace("_", " ")


def _case(result: FileResult, image: Image, enhanced: Image) -> Case:
    figures = {_label(name): f"{value:.4f}" for name, value in result.fidelity.items()}
    if image.frames > 1:
        figures["frame shown"] = f"{image.frames // 2 + 1} of {image.frames}"
    return Case(str(result.input), _view(image), _view(enhanced), figures=figures)


def _view(image: Image) -> FloatArray:
    """Return the middle frame in [0, 1], upright, thinned out where it is large."""
    step = -(-max(image.height, image.width) // _MOST_SIDE)
    middle = image.frames // 2
    thin = image.pixels[middle : middle + 1, ::step, ::step]
    view = unit_view(replace(image, pixels=thin, alpha=None, frozen=None))
    return upright(view, viewing_of(image, middle).orientation)
