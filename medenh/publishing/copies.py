"""Copies of a run's pictures among those to measure on, told by what they show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from medenh.errors import MedenhError, UsageError
from medenh.evaluation.cases import Case, choose, read_folder
from medenh.evaluation.packs import is_pack, read_set
from medenh.formats.pairing import key_of
from medenh.training.data import CleanImage, digest_of, is_grey
from medenh.training.folders import levels_of, load_folder
from medenh.training.sections import DataConfig

__all__ = ["refuse_copies"]

_SHOWN = 3  # copies that are named


def refuse_copies(
    places: Iterable[Path],
    seen: Sequence[CleanImage],
    data: DataConfig,
    limit: int | None,
) -> None:
    """Refuse pictures that the run has seen, whatever their names are.

    Parameters
    ----------
    places : paths
        Packs and folders that are to be measured on.
    seen : sequence of CleanImage
        What the run learnt from, and what it held back.
    data : DataConfig
        Of the run.
    limit : int or None
        At most so many pictures of each place are measured.

    Raises
    ------
    UsageError
        Names some of them, and what they are copies of.
    """
    known = _known(seen, data)
    for place in dict.fromkeys(places):
        cases = _cases(place, limit)
        originals = {one.name: _original(one, known, data.max_side) for one in cases}
        found = [f"{name} is {one}" for name, one in originals.items() if one]
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise UsageError(
                f"the run has seen {len(found)} of these {len(cases)} pictures: "
                f"{', '.join(found[:_SHOWN])}{more}",
                path=place,
                hint="leave them out, or give --data others that it never saw",
            )


def _known(seen: Sequence[CleanImage], data: DataConfig) -> dict[str, str]:
    """Return the names of the run's pictures by what they show."""
    shown = [(one.name, one.pixels) for one in seen]
    shown += [(f"{o.name} (low)", o.low) for o in seen if o.low is not None]
    if data.low:
        # partners share a range there, and have their own in other files
        keys = {_key(one) for one in seen}
        for folder, kind in ((data.high, ""), (data.low, " (low)")):
            alone = load_folder(folder, data.max_side)
            shown += [(f"{o.name}{kind}", o.pixels) for o in alone if _key(o) in keys]
    known = {_content(pixels): name for name, pixels in shown}
    known.pop("", None)
    return known


def _key(image: CleanImage) -> tuple[str, str]:
    """Return what partners have in common: name without extension, and frame."""
    name, mark, frame = image.name.rpartition("#")
    if mark and frame.isdecimal():
        return key_of(name), frame
    return key_of(image.name), ""


def _cases(place: Path, limit: int | None) -> tuple[Case, ...]:
    if is_pack(place):
        return choose(read_set(place, (), asked=False, native=False).cases, limit)
    return choose(read_folder(place, None, None, ()).cases, limit)


def _original(case: Case, known: dict[str, str], max_side: int) -> str:
    """Return the name of the picture that one is a copy of, "" for none."""
    return next((known[c] for c in _contents(case, max_side) if c in known), "")


def _contents(case: Case, max_side: int) -> Iterator[str]:
    try:
        image = case.read(()).image
    except MedenhError:  # the protocol will tell
        return
    for pixels in levels_of(image, image.unit_range, max_side):
        yield _content(pixels)


def _content(pixels: NDArray[Any]) -> str:
    """Return a hash of what a picture shows; "" where it has one value alone."""
    if pixels.min() == pixels.max():
        return ""
    grey = pixels.shape[2] == 3 and is_grey(pixels)  # as packs are read
    return digest_of(pixels[..., :1] if grey else pixels)
