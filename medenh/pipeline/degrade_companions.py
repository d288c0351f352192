"""Files that belong to inputs by name: masks, and records of other programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from medenh.errors import InputError, UnreadableError, UsageError
from medenh.formats import EXTENSIONS, sniff
from medenh.formats.discover import Item

__all__ = ["Companions", "stem_of"]

_MARKS = ("", "_mask", "-mask", ".mask")


def stem_of(name: str) -> str:
    """Return a file name without its image's or JSON's extension.

    Examples
    --------
    >>> stem_of("a.b.nii.gz"), stem_of("a.json"), stem_of("a.b")
    ('a.b', 'a', 'a.b')
    """
    endings = [ending for known in EXTENSIONS.values() for ending in known]
    for ending in sorted([*endings, ".json"], key=len, reverse=True):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


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
                    self._by_stem[stem_of(path.name)].append(path)

    @classmethod
    def images(cls, place: Path) -> Companions:
        """Return masks."""
        return cls(place, "mask", _is_image, marks=_MARKS)

    @classmethod
    def documents(cls, place: Path) -> Companions:
        """Return JSON files."""
        return cls(place, "record", lambda path: path.suffix.lower() == ".json")

    def find(self, item: Item) -> Path:
        """Return the file that belongs to an item.

        Raises
        ------
        InputError
            There is none, or several and none in the same sub-folder.
        """
        if not self._place.is_dir():
            return self._place
        relative = item.relative[0]
        stem = stem_of(relative.name)
        found = [p for mark in self._marks for p in self._by_stem.get(stem + mark, [])]
        beside = [p for p in found if p.parent == self._place / relative.parent]
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


def _is_image(path: Path) -> bool:
    try:
        return bool(sniff(path))
    except InputError:
        return False
