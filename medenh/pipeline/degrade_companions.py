"""Files that belong to inputs by name: masks, and records of other programs."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from medenh.errors import InputError, UnreadableError, UsageError
from medenh.formats import sniff
from medenh.formats.discover import Item
from medenh.formats.extensions import stem_of

__all__ = ["Companions"]

_MARKS = ("", "_mask", "-mask", ".mask")


class Companions:
    """One file for all inputs, or a folder of files of equal stem.

    Parameters
    ----------
    place : path
        The file or folder.
    kind : str
        Its name in messages: "mask".
    is_one : callable
        Tells whether a file of the folder is one of them.
    marks : tuple of str
        What may follow the stem in their names.
    """

    def __init__(
        self,
        place: Path,
        kind: str,
        is_one: Callable[[Path], bool],
        *,
        marks: tuple[str, ...] = ("",),
    ) -> None:
        if not place.exists():
            raise UsageError(f"no such {kind}", path=place)
        self._place = place
        self._kind = kind
        self._marks = marks
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        if place.is_dir():
            for path in sorted(place.rglob("*")):
                if path.is_file() and not path.name.startswith(".") and is_one(path):
                    self._by_stem[_stem(path)].append(path)

    @classmethod
    def images(cls, place: Path) -> Companions:
        """Return masks."""
        return cls(place, "mask", _is_image, marks=_MARKS)

    @classmethod
    def documents(cls, place: Path) -> Companions:
        """Return JSON files."""
        return cls(place, "record", lambda path: path.suffix.lower() == ".json")

    def find_typed(self, item: Item) -> list[tuple[str, Path]]:
        """Return an item's records with what sets their outputs' names apart.

        Cofe-Net's program makes seven of a picture, ``NAME_001.json`` to
        ``NAME_111.json``; they count where there is no ``NAME.json``.
        """
        stem = _stem(item.relative[0])
        if not self._place.is_dir() or self._by_stem.get(stem):
            return [("", self.find(item))]
        typed = [f"_{bits:03b}" for bits in range(1, 8)]
        found = [
            (mark, self._nearest(item, [stem + mark]))
            for mark in typed
            if self._by_stem.get(stem + mark)
        ]
        return found or [("", self.find(item))]

    def find(self, item: Item) -> Path:
        """Return the file that belongs to an item.

        Raises
        ------
        InputError
            There is none, or several and none in the same sub-folder.
        """
        if not self._place.is_dir():
            return self._place
        stem = _stem(item.relative[0])
        return self._nearest(item, [stem + mark for mark in self._marks])

    def _nearest(self, item: Item, stems: list[str]) -> Path:
        """Return the one file of these stems, or the one in the item's sub-folder."""
        found = [path for stem in stems for path in self._by_stem.get(stem, [])]
        place = self._place / item.relative[0].parent
        beside = [path for path in found if path.parent == place]
        best = beside or found
        if not best:
            raise UnreadableError(
                f"no {self._kind} of that name in {self._place}", path=item.paths[0]
            )
        if len(best) > 1:
            raise UnreadableError(
                f"{len(best)} files may be its {self._kind}: {best[0]}, {best[1]}",
                path=item.paths[0],
            )
        return best[0]


def _stem(path: Path) -> str:
    """Return a name without extension, composed: macOS stores accents apart."""
    return unicodedata.normalize("NFC", stem_of(path.name))


def _is_image(path: Path) -> bool:
    try:
        return bool(sniff(path))
    except InputError:
        return False
