"""Single files of an evaluation as a page shows them: pictures, residuals, overlays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medenh.evaluation.result import Evaluation, Row
from medenh.reports.album import first_of, open_album
from medenh.reports.overlays import (
    MAX_SIDE,
    Legend,
    Scale,
    Shown,
    draw_overlays,
    draw_residuals,
    source,
)
from medenh.reports.pictures import CRISP_BELOW, fit
from medenh.reports.ranking import Place, baseline, change, score
from medenh.reports.tables import figure_text

__all__ = ["CaseView", "draw_cases"]

_MARKUP_BYTES = 4000  # about what a case takes without its pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """One file.

    Attributes
    ----------
    place : Place
    standing : str
        Where it stands among all files, in words.
    figures : mapping of str to str
        Measure -> "before -> after (change)".
    pictures : tuple of Shown
    left, right : int
        Which two the slider shows at first.
    width, height : int
        Of the pictures on the page.
    crisp : bool
        True where pixels are to be shown as squares.
    residuals, scale : tuple of Shown, Scale or None
    overlays, legend : tuple of Shown, tuple of Legend
    """

    place: Place
    standing: str
    figures: Mapping[str, str]
    pictures: tuple[Shown, ...] = ()
    left: int = 0
    right: int = 0
    width: int = 0
    height: int = 0
    crisp: bool = False
    residuals: tuple[Shown, ...] = ()
    scale: Scale | None = None
    overlays: tuple[Shown, ...] = ()
    legend: tuple[Legend, ...] = ()

    @property
    def bytes_(self) -> int:
        """About how much of the page it takes."""
        shown = (*self.pictures, *self.residuals, *self.overlays)
        return _MARKUP_BYTES + sum(len(picture.source) for picture in shown)


def draw_cases(
    evaluation: Evaluation, places: Sequence[Place], *, room: int
) -> list[CaseView]:
    """Return the cases in order, as many as there is room for.

    Parameters
    ----------
    evaluation : Evaluation
    places : sequence of Place
        The most interesting first.
    room : int
        Bytes that the cases may take.
    """
    cases: list[CaseView] = []
    for place in places:
        case = _draw(evaluation, place)
        room -= case.bytes_
        if room < 0:
            break
        cases.append(case)
    return cases


def _draw(evaluation: Evaluation, place: Place) -> CaseView:
    standing = _standing(evaluation, place)
    figures = _figures(evaluation, place.file)
    album = open_album(evaluation, place.file)
    if not album:
        return CaseView(place=place, standing=standing, figures=figures)
    keys = list(album)
    base = baseline(evaluation)
    left = first_of(album, "degraded", base.name if base else "", "reference")
    right = first_of(album, evaluation.subject, "reference")
    pixels = album[left].pixels
    shown = fit(pixels, MAX_SIDE)
    residuals, scale = draw_residuals(album, left, right)
    overlays, legend = draw_overlays(evaluation, place.file, album)
    return CaseView(
        place=place,
        standing=standing,
        figures=figures,
        pictures=tuple(
            Shown(
                picture.title,
                source(fit(picture.pixels, MAX_SIDE)),
                _below(evaluation, key, place.file),
            )
            for key, picture in album.items()
        ),
        left=keys.index(left),
        right=keys.index(right),
        width=shown.shape[1],
        height=shown.shape[0],
        crisp=max(pixels.shape[:2]) < CRISP_BELOW,
        residuals=residuals,
        scale=scale,
        overlays=overlays,
        legend=legend,
    )


def _standing(evaluation: Evaluation, place: Place) -> str:
    if not place.position or not evaluation.columns:
        return ""
    title = evaluation.columns[0].title
    what = f"gain in {title}" if baseline(evaluation) else title
    return f"{place.position} of {place.total} by {what}, smallest first"


def _figures(evaluation: Evaluation, file: str) -> dict[str, str]:
    """Return "before -> after (change)" of each measure that the file has."""
    base = baseline(evaluation)
    figures = {}
    for column in evaluation.columns:
        ends = [
            figure_text(score(row, column.name, file), column.digits)
            for row in (base, _subject(evaluation))
            if row is not None
        ]
        if not any(ends):
            continue
        text = " → ".join(end or "\N{EN DASH}" for end in ends)
        difference = figure_text(
            change(evaluation, column, file), column.digits, signed=True
        )
        figures[column.title] = " ".join(
            part
            for part in (text, column.unit, difference and f"({difference})")
            if part
        )
    return figures


def _subject(evaluation: Evaluation) -> Row | None:
    rows = (row for row in evaluation.rows if row.name == evaluation.subject)
    return next(rows, None)


def _below(evaluation: Evaluation, key: str, file: str) -> str:
    """Return the first measure of a picture, to stand below it."""
    base = baseline(evaluation)
    if key == "degraded" and base is not None and base.name == "identity":
        key = base.name
    row = next((row for row in evaluation.rows if row.name == key), None)
    if row is None or not evaluation.columns:
        return ""
    column = evaluation.columns[0]
    text = figure_text(score(row, column.name, file), column.digits)
    name = min(column.title, column.name, key=len)
    return f"{name} {text} {column.unit}".strip() if text else ""
