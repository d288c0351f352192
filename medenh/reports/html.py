"""The page of a run: tables, before/after sliders, error maps, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UsageError
from medenh.reports.page import render, write_page
from medenh.reports.pictures import (
    CRISP_BELOW,
    coloured,
    data_uri,
    fit,
    gradient,
    rgb,
    scale_top,
)
from medenh.reports.tables import Table, Value, table_view
from medenh.types import FloatArray, Image

__all__ = ["Case", "Table", "Value", "unit_view", "write_report"]

MAX_SIDE = 768  # pixels; larger images are scaled down for the page
_COLOURMAP = "inferno"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One image on the page.

    Attributes
    ----------
    name : str
        Heading; may come from a file name, and is never trusted.
    before, after : float array, shape (H, W) or (H, W, 1 or 3), in [0, 1]
        What the slider compares; same height and width.
    reference : array like ``before``, or None
        The truth, where there is one.
    figures : mapping of str to str
        Numbers under the heading, already formatted ("PSNR": "24.1 dB").
    residual : float array, shape (H, W), in [0, 1], or None
        Map to show instead of the absolute difference to the reference (or to
        ``before``, where there is no reference).
    """

    name: str
    before: NDArray[Any]
    after: NDArray[Any]
    reference: NDArray[Any] | None = None
    figures: Mapping[str, str] = field(default_factory=dict)
    residual: NDArray[Any] | None = None


def unit_view(image: Image, frame: int | None = None) -> FloatArray:
    """Return one frame of an image as a page shows it.

    Parameters
    ----------
    image : Image
    frame : int, optional
        Which frame; the middle one by default.

    Returns
    -------
    float32 array, shape (H, W, channels), in [0, 1]
    """
    from medenh.intensity import to_unit

    index = image.frames // 2 if frame is None else frame
    unit = to_unit(image.pixels[index : index + 1], image.unit_range)[0]
    return np.ascontiguousarray(np.moveaxis(unit, 0, -1))


def write_report(
    path: str | Path,
    *,
    title: str,
    cases: Sequence[Case] = (),
    tables: Sequence[Table] = (),
    above: int = 1,
    settings: Mapping[str, str] | None = None,
    note: str = "",
) -> Path:
    """Write one self-contained HTML page, whole or not at all.

    Parameters
    ----------
    path : path
        The page; replaced if it exists.
    title : str
        Heading of the page.
    cases : sequence of Case
        One slider each, in this order.
    tables : sequence of Table
    above : int
        How many of the tables stand above the images; the others stand below.
    settings : mapping of str to str, optional
        What a reader needs to repeat it: versions, options, hashes.
    note : str
        A sentence or two under the heading.

    Returns
    -------
    path
        Where the page is.

    Raises
    ------
    UsageError
        Images of one case differ in size, or a row is not as long as its table.
    OutputError
        The page cannot be written.
    """
    page = render(
        "report.html.j2",
        {
            "title": title,
            "note": note,
            "cases": [_case_view(case) for case in cases],
            "tables": [table_view(table) for table in tables],
            "above": above,
            "settings": dict(settings or {}),
        },
    )
    write_page(path, page)
    return Path(path)


def _case_view(case: Case) -> dict[str, Any]:
    """Return a case as the template wants it: pictures are data URIs by now."""
    before, after = rgb(case.before), rgb(case.after)
    reference = None if case.reference is None else rgb(case.reference)
    for other in (after, reference):
        if other is not None and other.shape != before.shape:
            raise UsageError(
                f"images of case {case.name!r} differ in size: "
                f"{before.shape[:2]} and {other.shape[:2]}"
            )
    height, width = before.shape[:2]
    shown = fit(before, MAX_SIDE)
    return {
        "name": case.name,
        "figures": dict(case.figures),
        "before": data_uri(shown),
        "after": data_uri(fit(after, MAX_SIDE)),
        "reference": (
            None if reference is None else data_uri(fit(reference, MAX_SIDE))
        ),
        "maps": _maps_view(*_error_maps(case, before, after, reference)),
        "width": shown.shape[1],
        "height": shown.shape[0],
        "size": (width, height),
        "reduced": shown.shape != before.shape,
        "crisp": max(height, width) < CRISP_BELOW,
    }


def _error_maps(
    case: Case,
    before: FloatArray,
    after: FloatArray,
    reference: FloatArray | None,
) -> tuple[str, dict[str, FloatArray]]:
    """Return what the maps mean, and the maps by name, each (H, W)."""
    if case.residual is not None:
        residual = np.nan_to_num(np.abs(np.asarray(case.residual, np.float32)))
        if residual.shape != before.shape[:2]:
            raise UsageError(f"residual of case {case.name!r} differs in size")
        return "Residual", {"Residual": residual}
    if reference is None:
        return "|after - before|", {"What changed": _distance(after, before)}
    return "|image - reference|", {
        "Error before": _distance(before, reference),
        "Error after": _distance(after, reference),
    }


def _distance(first: FloatArray, second: FloatArray) -> FloatArray:
    distance: FloatArray = np.abs(first - second).mean(axis=2)
    return distance


def _maps_view(meaning: str, maps: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Return coloured maps on one common scale, and its legend."""
    top = scale_top(maps)
    return {
        "images": [
            {
                "name": name,
                "source": data_uri(coloured(fit(values, MAX_SIDE) / top, _COLOURMAP)),
                "mean": f"{100 * float(values.mean()):.2f} %",
            }
            for name, values in maps.items()
        ],
        "meaning": meaning,
        "gradient": gradient(_COLOURMAP),
        "ticks": [f"{100 * top * part:g} %" for part in (0.0, 0.5, 1.0)],
        "clipped": any(float(values.max()) > top for values in maps.values()),
    }
