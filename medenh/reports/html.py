"""One self-contained HTML page: tables, before/after sliders, error maps, settings.

Nothing on the page comes from elsewhere, and nothing in it can run but our script:
names come from files, so the template escapes everything and the page carries a
content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UsageError
from medenh.types import FloatArray, Image

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Case", "Table", "Value", "unit_view", "write_report"]

Value: TypeAlias = str | int | float | None

MAX_SIDE = 768  # pixels; larger images are scaled down for the page
_CRISP_BELOW = 256  # pixels; smaller images are magnified without smoothing
_COLOURMAP = "inferno"
_SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)


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


@dataclass(frozen=True, slots=True)
class Table:
    """A sortable table.

    Attributes
    ----------
    title : str
        Heading.
    columns : sequence of str
        Names of the columns.
    rows : sequence of sequences of str, int, float or None
        Cells; numbers are right-aligned and sort as numbers, None is a dash.
    caption : str
        What the numbers are, in a sentence.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    caption: str = ""


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
        The first stands above the images, the others below.
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
    from medenh.formats.files import atomic_output

    template = _environment().get_template("template.html.j2")
    page = template.render(
        title=title,
        note=note,
        cases=[_case_view(case) for case in cases],
        tables=[_table_view(table) for table in tables],
        settings=dict(settings or {}),
    )
    with atomic_output(Path(path)) as partial:
        # names may hold bytes that are no UTF-8; they are shown escaped
        Path(partial).write_bytes(page.encode("utf-8", "backslashreplace"))
    return Path(path)


@cache
def _environment() -> Environment:
    """Return the template engine; autoescape is on for every template."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["csp_hash"] = _csp_hash
    return environment


def _csp_hash(script: str) -> str:
    """Return the content security policy source that allows exactly this script."""
    digest = hashlib.sha256(str(script).encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _table_view(table: Table) -> dict[str, Any]:
    """Return a table as the template wants it: cells by column, then by row."""
    width = len(table.columns)
    for row in table.rows:
        if len(row) != width:
            raise UsageError(
                f"table {table.title!r} has {width} columns, but a row of {len(row)}"
            )
    columns = [[row[i] for row in table.rows] for i in range(width)]
    cells = [
        [_cell(value, _decimals(column)) for value in column] for column in columns
    ]
    return {
        "title": table.title,
        "caption": table.caption,
        "columns": [
            {"name": name, "numeric": _is_numeric(column)}
            for name, column in zip(table.columns, columns, strict=True)
        ],
        "rows": [list(row) for row in zip(*cells, strict=True)],
    }


def _is_numeric(values: Sequence[Value]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, int | float) for value in present)


def _decimals(values: Sequence[Value]) -> int:
    """Return how many decimals a column needs: 0.891, 24.13, 1234."""
    numbers = [abs(v) for v in values if isinstance(v, float) and math.isfinite(v)]
    largest = max(numbers, default=0.0)
    return 3 if largest < 2 else 2 if largest < 1000 else 0


def _cell(value: Value, decimals: int) -> dict[str, str]:
    """Return the text of a cell and what it sorts by; empty sorts last."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return {"text": "", "sort": ""}
    if not isinstance(value, float):
        return {"text": str(value), "sort": str(value)}
    if math.isinf(value):
        sign = "" if value > 0 else "-"
        return {"text": f"{sign}∞", "sort": f"{sign}Infinity"}
    return {"text": f"{value:.{decimals}f}", "sort": repr(value)}


def _case_view(case: Case) -> dict[str, Any]:
    """Return a case as the template wants it: pictures are data URIs by now."""
    before, after = _rgb(case.before), _rgb(case.after)
    reference = None if case.reference is None else _rgb(case.reference)
    for other in (after, reference):
        if other is not None and other.shape != before.shape:
            raise UsageError(
                f"images of case {case.name!r} differ in size: "
                f"{before.shape[:2]} and {other.shape[:2]}"
            )
    height, width = before.shape[:2]
    shown = _fit(before)
    return {
        "name": case.name,
        "figures": dict(case.figures),
        "before": _data_uri(shown),
        "after": _data_uri(_fit(after)),
        "reference": None if reference is None else _data_uri(_fit(reference)),
        "maps": _maps_view(*_error_maps(case, before, after, reference)),
        "width": shown.shape[1],
        "height": shown.shape[0],
        "size": (width, height),
        "reduced": shown.shape != before.shape,
        "crisp": max(height, width) < _CRISP_BELOW,
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
    import matplotlib
    import matplotlib.colors

    colours = matplotlib.colormaps[_COLOURMAP]
    peak = max(float(np.percentile(values, 99.5)) for values in maps.values())
    top = next((scale for scale in _SCALES if scale >= 0.999 * peak), 1.0)
    stops = ", ".join(
        matplotlib.colors.to_hex(colours(position))
        for position in np.linspace(0.0, 1.0, 9)
    )
    return {
        "images": [
            {
                "name": name,
                "source": _data_uri(colours(_fit(values) / top)[..., :3]),
                "mean": f"{100 * float(values.mean()):.2f} %",
            }
            for name, values in maps.items()
        ],
        "meaning": meaning,
        "gradient": stops,
        "ticks": [f"{100 * top * part:g} %" for part in (0.0, 0.5, 1.0)],
        "clipped": any(float(values.max()) > top for values in maps.values()),
    }


def _rgb(pixels: NDArray[Any]) -> FloatArray:
    """Return pixels as float32 (H, W, 3) in [0, 1]."""
    array = np.asarray(pixels, dtype=np.float32)
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape:
        raise UsageError(f"a report cannot show an array of shape {array.shape}")
    array = np.clip(np.nan_to_num(array), 0.0, 1.0)
    return np.broadcast_to(array, (*array.shape[:2], 3))


def _fit(pixels: FloatArray) -> FloatArray:
    """Scale down to `MAX_SIDE` by averaging; smaller ones stay as they are."""
    height, width = pixels.shape[:2]
    if max(height, width) <= MAX_SIDE:
        return pixels
    from skimage.transform import downscale_local_mean, resize

    scale = MAX_SIDE / max(height, width)
    target = (max(1, round(height * scale)), max(1, round(width * scale)))
    # whole blocks first: a slide of 100 megapixels must not be filtered as it is
    factors = tuple(
        max(1, old // new) for old, new in zip((height, width), target, strict=True)
    )
    rest = pixels.shape[2:]
    cut = tuple(n // f * f for n, f in zip((height, width), factors, strict=True))
    blocks = downscale_local_mean(  # type: ignore[no-untyped-call]
        pixels[: cut[0], : cut[1]], (*factors, *(1 for _ in rest))
    )
    fitted: FloatArray = resize(  # type: ignore[no-untyped-call]
        blocks, (*target, *rest), order=1, anti_aliasing=True
    ).astype(np.float32)
    return fitted


def _data_uri(pixels: NDArray[Any]) -> str:
    """Return (H, W, 3) in [0, 1] as a lossless WebP data URI."""
    from imagecodecs import webp_encode

    bytes_ = np.rint(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)
    encoded = webp_encode(np.ascontiguousarray(bytes_), lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode('ascii')}"
