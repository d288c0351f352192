"""Names of outputs: extensions, numbers, ``NAME.enhanced.EXT``; no file is touched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medenh.formats.extensions import EXTENSIONS, split_name

__all__ = [
    "enhanced_name",
    "has_image_name",
    "map_paths",
    "numbered",
    "renamed",
    "target_kind",
]

_LONGEST = 5  # letters and digits of an extension that is not known
_PAIRS = (".hdr", ".img", ".hdr.gz", ".img.gz")


def _split_any(name: str) -> tuple[str, str]:
    """Return stem and extension, of whatever format or none that is known.

    "1.2.840" and "slice.0001", as DICOM files are named, have none.
    """
    stem, extension = split_name(name)
    if extension:
        return stem, extension
    stem, dot, last = name.rpartition(".")
    if stem and last[:1].isalpha() and last.isalnum() and len(last) <= _LONGEST:
        return stem, dot + last
    return name, ""


def _extension(kind: str, own: str, wanted: str) -> str:
    fits = own.lower() in EXTENSIONS[kind] or (kind == "dicom" and not own)
    if wanted == "same" or (wanted == kind and fits):
        return own
    return EXTENSIONS[wanted][0]


def renamed(relative: Path, kind: str, wanted: str) -> Path:
    """Return a relative path with the extension of the format wanted."""
    stem, own = _split_any(relative.name)
    return relative.with_name(stem + _extension(kind, own, wanted))


def enhanced_name(name: str, kind: str, wanted: str) -> str:
    """Return ``NAME.enhanced.EXT``."""
    stem, own = _split_any(name)
    return f"{stem}.enhanced{_extension(kind, own, wanted)}"


def numbered(target: Path, number: int) -> Path:
    """Return ``NAME-1.EXT`` and so on."""
    stem, extension = split_name(target.name)
    return target.with_name(f"{stem}-{number}{extension}")


def map_paths(targets: Sequence[Path], kind: str) -> tuple[Path, ...]:
    """Return where an image's maps of uncertainty go: beside its outputs.

    ``NAME.uncertainty.EXT``; where the map is of another format than the output, or the
    output a pair of files, ``NAME.EXT.uncertainty.EXT``. PNG holds one frame, so each
    output has a map of its own; the others hold the whole image in one.
    """
    wanted = targets if kind == "png" else targets[:1]
    return tuple(_map_path(target, kind) for target in wanted)


def _map_path(target: Path, kind: str) -> Path:
    stem, extension = split_name(target.name, kind)
    if not extension or extension.lower() in _PAIRS:
        stem, extension = target.name, EXTENSIONS[kind][0]
    return target.with_name(f"{stem}.uncertainty{extension}")


def has_image_name(path: Path) -> bool:
    """Tell whether a name ends as an image's does."""
    return bool(split_name(path.name)[1])


def target_kind(target: Path, own: str, wanted: str) -> str:
    """Return the format that an output gets, by what is asked, else by its name."""
    if wanted != "same":
        return wanted
    fitting = [kind for kind in EXTENSIONS if split_name(target.name, kind)[1]]
    return own if own in fitting or not fitting else fitting[0]
