"""What the pages of a TIFF file are a stack of, and how far apart their pixels lie.

By what OME, ImageJ and tifffile say: see `medenh.formats.tiff_told`. The tags for the
resolution alone are no spacing: most programs write that of a screen or a printer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any
from xml.etree import ElementTree

from medenh.formats.tiff_told import (
    Axes,
    axes_of,
    imagej_word,
    ome_of,
    pictures_of,
    remaining_channels,
)
from medenh.types import Geometry

__all__ = ["Stack", "stack_of"]

_ACROSS, _DOWN = 282, 283  # XResolution and YResolution, TIFF 6.0 section 8

# OME's UnitsLength and what ImageJ's users write, in mm. ImageJ escapes what is not
# ASCII, as Java does.
_MM = {
    **dict.fromkeys(("pm",), 1e-9),
    **dict.fromkeys(("\N{LATIN CAPITAL LETTER A WITH RING ABOVE}", "angstrom"), 1e-7),
    **dict.fromkeys(("nm", "nanometer"), 1e-6),
    **dict.fromkeys(("\N{MICRO SIGN}m", "\N{GREEK SMALL LETTER MU}m", "um"), 1e-3),
    **dict.fromkeys((r"\u00B5m", r"\u03BCm", "micron", "microns"), 1e-3),
    **dict.fromkeys(("micrometer", "micrometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter"), 1.0),
    **dict.fromkeys(("cm", "centimeter"), 10.0),
    **dict.fromkeys(("m", "meter"), 1e3),
    **dict.fromkeys(("in", "inch", "inches"), 25.4),
}
_OME_UNIT = "\N{MICRO SIGN}m"  # where OME tells none
# OME's UnitsTime and what ImageJ's users write, in seconds
_SECONDS = {
    **dict.fromkeys(("ns", "nsec"), 1e-9),
    **dict.fromkeys(("\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s", "us"), 1e-6),
    **dict.fromkeys((r"\u00B5s", r"\u03BCs", "usec"), 1e-6),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_NAMES = {"T": "times", "Z": "z", "C": "channels"}


@dataclass(frozen=True, slots=True)
class Stack:
    """What the pages of a file are.

    Attributes
    ----------
    geometry : Geometry
        Spacing in mm, NaN where it is not told; the depth of one volume, where several
        (times) follow one another, and then the step in time in seconds, if told.
    words : str
        "3 times x 4 z x 2 channels"; "" where nothing tells, or there is one page.
    misplaced : str
        Why the pages are not slices of one volume, or of volumes one after the other;
        "" where they are, or nothing tells.
    """

    geometry: Geometry
    words: str
    misplaced: str


def stack_of(pages: list[Any]) -> Stack:
    """Return what the pages of a file are.

    Parameters
    ----------
    pages : list of tifffile.TiffPage
        All that are read.
    """
    axes = axes_of(pages)
    counts = {axis: len(set(places)) for axis, places in axes.items()}
    several = [axis for axis in (*_NAMES, *counts) if counts.get(axis, 1) > 1]
    words = " x ".join(
        f"{counts[axis]} {_NAMES.get(axis, f'along {axis}')}"
        for axis in dict.fromkeys(several)
    )
    depth, misplaced = None, ""
    if not axes:
        misplaced = _unsettled(pages)
    elif set(several) <= {"T", "Z"} and _in_order(axes, counts):
        depth = counts.get("Z", 1) if "T" in several else None
    elif set(several) <= {"T", "Z"}:
        misplaced = f"its pages are {words}, not slice after slice"
    else:
        misplaced = f"its pages are {words}"
    seconds = math.nan if depth is None else _time_step(pages[0])
    geometry = Geometry(_spacing(pages[0]), depth=depth, time_s=seconds)
    return Stack(geometry, words, misplaced)


def _unsettled(pages: list[Any]) -> str:
    """Return what pages are, besides slices, that nothing tells one by one."""
    root = ome_of(pages[0])
    pictures = 0 if root is None else len(pictures_of(root))
    if pictures > 1 and len(pages) > 1:
        return f"its pages are those of {pictures} pictures"
    channels = remaining_channels(pages)
    return f"its pages are of {channels} channels" if channels > 1 else ""


def _in_order(axes: Axes, counts: dict[str, int]) -> bool:
    """Tell whether pages are volumes that follow one another, each slice by slice."""
    times, slices = counts.get("T", 1), counts.get("Z", 1)
    pages = len(next(iter(axes.values())))
    still = (0,) * pages
    found = zip(axes.get("T", still), axes.get("Z", still), strict=True)
    return list(found) == list(product(range(times), range(slices)))


def _spacing(page: Any) -> tuple[float, float, float]:
    """Return the spacing of slices, rows and columns in mm, NaN where none is told."""
    root = ome_of(page)
    if root is not None:
        sets = pictures_of(root)
        slices, rows, columns = (
            _of_ome(sets, f"PhysicalSize{axis}", _OME_UNIT, _MM) for axis in "ZYX"
        )
        return slices, rows, columns
    unit = imagej_word(page, "unit")
    down = imagej_word(page, "yunit") or unit
    deep = imagej_word(page, "zunit") or unit
    return (
        _in(_MM, imagej_word(page, "spacing"), deep),
        _in(_MM, _step(page, _DOWN), down),
        _in(_MM, _step(page, _ACROSS), unit),
    )


def _time_step(page: Any) -> float:
    """Return the step between times in seconds, NaN where none is told.

    ImageJ's "fps" is how fast it plays them.
    """
    root = ome_of(page)
    if root is not None:
        return _of_ome(pictures_of(root), "TimeIncrement", "s", _SECONDS)
    return _in(_SECONDS, imagej_word(page, "finterval"), imagej_word(page, "tunit"))


def _of_ome(
    sets: list[ElementTree.Element], name: str, unit: str, units: dict[str, float]
) -> float:
    """Return a size that OME tells, where all pictures have the same."""
    found = {
        _in(units, pixels.get(name, ""), pixels.get(f"{name}Unit", unit))
        for pixels in sets
    }
    return found.pop() if len(found) == 1 else math.nan


def _step(page: Any, code: int) -> str:
    """Return the size of a pixel in ImageJ's unit, in which it counts resolution."""
    told = page.tags[code].value if code in page.tags else (0, 0)
    above, below = told if isinstance(told, tuple) and len(told) == 2 else (0, 0)
    return str(below / above) if above else ""


def _in(units: dict[str, float], number: str, unit: str) -> float:
    try:
        found = abs(float(number)) * units[unit.strip()]
    except (ValueError, KeyError):
        return math.nan
    return found if 0 < found < math.inf else math.nan
