"""Find the pictures that a command line names. Headers only; nothing is decoded."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medenh.errors import (
    InputError,
    NothingReadableError,
    UnreadableError,
    UnsupportedError,
    counted,
)
from medenh.formats import EXTENSIONS, sniff
from medenh.formats.content import find_partner
from medenh.formats.outputs import label_masks

if TYPE_CHECKING:
    from medenh.formats.dicom.header import DicomHeader

__all__ = [
    "OUTPUTS",
    "Discovery",
    "IsOutput",
    "Item",
    "discover",
    "in_words",
    "none_found",
]

_log = logging.getLogger(__name__)

IsOutput = Callable[[Path, Sequence[str]], bool]

_OURS = ".medenh"
_APART_MM = 1e-3
_MOST_KINDS = 8
_SHOWN = 3  # folders that are named
_LINK = "links to files that are there by themselves"
_LINK_OUT = "links out of the folder or to nowhere"
_LINK_FOLDER = "links to folders"
OUTPUTS = "folder of earlier outputs"
_MASK = "label masks that degrade wrote"
_IMAGE_NAMES = tuple(ending for endings in EXTENSIONS.values() for ending in endings)

# Plainly something else: passed over without being opened.
_FOREIGN_NAMES = (
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".md", ".rst", ".pdf", ".html", ".htm",
    ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".log", ".py", ".ipynb", ".sh",
    ".m", ".r", ".mat", ".npz", ".h5", ".hdf5", ".zip", ".tar", ".tgz", ".tar.gz",
    ".7z", ".rar", ".xls", ".xlsx", ".doc", ".docx", ".ppt", ".pptx", ".db",
    ".bval", ".bvec", ".exe", ".dll", ".so", ".pt", ".pth", ".safetensors", ".onnx",
    ".pkl", ".pyc", ".c", ".h", ".cpp", ".js", ".css", ".bak", ".sha256", ".md5",
    ".mp4", ".avi", ".mov", ".wav", ".mp3",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to be read: a file, a header and image pair, or a DICOM series.

    Attributes
    ----------
    paths : tuple of path
        What `medenh.formats.read` takes: of a NIfTI pair the header file.
    relative : tuple of path
        The same, relative to the input folder they were found in; the bare name for
        files given by name.
    format : str
        As `medenh.formats.sniff` tells it.
    remark : str
        What a user should know of it, or "".
    """

    paths: tuple[Path, ...]
    relative: tuple[Path, ...]
    format: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    Attributes
    ----------
    items : list of Item
        Files given by name first, in their order; then folders, sorted by name inside.
    rejected : list of (path, InputError)
        Files that were named, or are named as images, and are not.
    passed_over : list of path
        DICOM objects in folders that have no pixels by their nature.
    foreign : dict of path to str
        What else in folders is not taken, and its kind: other formats, archives,
        links, folders of outputs.
    """

    items: list[Item] = field(default_factory=list)
    rejected: list[tuple[Path, InputError]] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)
    foreign: dict[Path, str] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, int]:
        """How many files of which kind are not taken, the most frequent first.

        Folders of outputs come before all: each is a kind of its own, by its name.
        """
        counts = Counter(self.foreign.values())
        if self.passed_over:
            counts["DICOM without a picture"] = len(self.passed_over)

        def place(kind: str) -> tuple[bool, int, str]:
            return not kind.startswith(OUTPUTS), -counts[kind], kind

        return {kind: counts[kind] for kind in sorted(counts, key=place)}

    def only(self, keep: Callable[[Path], bool]) -> Discovery:
        """Return it without the files that are not to be kept."""
        return Discovery(
            [item for item in self.items if keep(item.paths[0])],
            [(path, error) for path, error in self.rejected if keep(path)],
            [path for path in self.passed_over if keep(path)],
            {path: kind for path, kind in self.foreign.items() if keep(path)},
        )


def discover(
    inputs: Iterable[str | Path],
    *,
    recursive: bool = True,
    is_output: IsOutput | None = None,
) -> Discovery:
    """Return the pictures in files and folders.

    Parameters
    ----------
    inputs : paths
        Files, which become items or are rejected, and folders, where hidden files,
        medenh's own, plainly foreign ones and DICOM objects that are no pictures by
        their nature (reports, plans, presentation states, segmentations, doses) are
        passed over, and label masks that `degrade` wrote beside the pictures of such a
        folder. Slices of one DICOM series are one item in both cases.
    recursive : bool
        Look into subfolders. Links out of the folder are never followed.
    is_output : callable, optional
        Tells of a subfolder, by its path and the names of its files, whether it holds
        the outputs of a run; these are passed over, unless they are named as inputs.

    Returns
    -------
    Discovery
        A file that two inputs name is listed once.
    """
    found = Discovery()
    seen: set[Path] = set()
    paths = [Path(one) for one in inputs]
    _add_named([path for path in paths if not path.is_dir()], found, seen)
    parts = _Parts()
    roots = [path for path in paths if path.is_dir()]
    named = {os.path.realpath(path) for path in roots}

    def is_passed_over(folder: Path, names: Sequence[str]) -> bool:
        if is_output is None or not is_output(folder, names):
            return False
        return os.path.realpath(folder) not in named

    for path in roots:
        folders = list(_folders(path, recursive, found, is_passed_over))
        _add_folder(path, folders, found, seen, parts)
    found.items[:] = map(parts.told, found.items)
    for path in (path for item in found.items for path in item.paths):
        found.foreign.pop(path, None)  # a link that another input led to first
    for path in found.passed_over:
        _log.info("%s is passed over: DICOM without a picture", path)
    return found


def in_words(kinds: Mapping[str, int]) -> str:
    """Return what is passed over on one line that stays short; "" for nothing.

    Examples
    --------
    >>> in_words({".mgz": 3, ".zip": 1})
    'passed over: 3 .mgz, 1 .zip'
    """
    told = [f"{count} {kind}" for kind, count in kinds.items()]
    if len(told) > _MOST_KINDS:
        rest = sum(list(kinds.values())[_MOST_KINDS:])
        others = counted(len(told) - _MOST_KINDS, "other kind")
        told[_MOST_KINDS:] = [f"{rest} of {others}"]
    return f"passed over: {', '.join(told)}" if told else ""


def none_found(
    folders: Sequence[Path], kinds: Mapping[str, int]
) -> NothingReadableError:
    """Return what to say of folders that hold no picture, and of what they do hold."""
    hint = in_words(kinds)
    if _LINK_OUT in kinds:  # as in a part of a DataLad data set
        hint += (
            "; links are followed within the folder that is given: give the one that "
            "holds their targets too, or name the files"
        )
    if len(folders) == 1:
        hint = hint or "is it the right folder?"
        return NothingReadableError(
            "no picture in this folder", path=folders[0], hint=hint
        )
    shown = ", ".join(map(str, folders[:_SHOWN]))
    more = f" and {len(folders) - _SHOWN} more" if len(folders) > _SHOWN else ""
    hint = hint or "are they the right folders?"
    return NothingReadableError(f"no picture in {shown}{more}", hint=hint)


def _add_named(paths: Sequence[Path], found: Discovery, seen: set[Path]) -> None:
    kinds: list[tuple[Path, str]] = []
    for path in paths:
        try:
            kind = sniff(path)
            path = _header_half(path) if kind == "nifti" else path
        except InputError as error:
            found.rejected.append((path, error))
            continue
        key = path.resolve()
        if key not in seen:
            seen.add(key)
            kinds.append((path, kind))
    several = sum(kind == "dicom" for _, kind in kinds) > 1
    grouped = _grouped(kinds, Discovery(), _Parts()) if several else []
    placed = {path for group, _ in grouped for path in group}
    # what has no usable header was named all the same: reading it will say why
    grouped += [((path,), kind) for path, kind in kinds if path not in placed]
    for group, kind in grouped:
        found.items.append(Item(group, tuple(Path(p.name) for p in group), kind))


def _header_half(path: Path) -> Path:
    """Return the header of a pair where the image was given, else the file itself."""
    if path.name.lower().endswith((".img", ".img.gz")):
        return find_partner(path) or path
    return path


class _Parts:
    """Which slices of a series lie in which folder, where each is a volume."""

    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], dict[Path, set[float]]] = {}
        self._keys: dict[Path, tuple[Any, ...]] = {}
        self._counts: dict[tuple[Any, ...], int] = {}

    def add(self, header: DicomHeader) -> None:
        """Note where a slice lies, on the disk and in the patient."""
        key = self._keys[header.path] = header.series_key
        places = self._places.setdefault(key, defaultdict(set))
        places[header.path.parent].add(round(header.position or 0.0, 2))

    def told(self, item: Item) -> Item:
        """Return the item; with a remark where other folders have more of its series.

        To be asked when all slices are noted. Folders with the same slices are copies
        of one another. All parts of a series have the same remark.
        """
        path = item.paths[0]
        key = self._keys.get(path)
        if key is None:
            return item
        places, count = self._places[key], self._count(key)
        if len(places[path.parent]) == count:
            return item
        remark = (
            f"its folder lacks slices of its series, which has {count} in "
            f"{len(places)} folders: each folder is a volume of its own (put all into "
            "one folder)"
        )
        return replace(item, remark=remark)

    def _count(self, key: tuple[Any, ...]) -> int:
        """Return how many slices a series has in all folders."""
        if key not in self._counts:
            self._counts[key] = len(set[float]().union(*self._places[key].values()))
        return self._counts[key]


def _add_folder(
    root: Path,
    folders: Sequence[tuple[Path, list[str]]],
    found: Discovery,
    seen: set[Path],
    parts: _Parts,
) -> None:
    themselves = _targets_of_links(folders)
    for folder, names in folders:
        kinds: list[tuple[Path, str]] = []
        for name in names:
            path = folder / name
            if path.is_symlink() and os.path.realpath(path) in themselves:
                found.foreign[path] = _LINK
                continue
            kind = _kind_in_folder(path, found)
            if not kind:
                continue
            path = _header_half(path) if kind == "nifti" else path
            key = path.resolve()
            if key not in seen:
                seen.add(key)
                kinds.append((path, kind))
            elif path.is_symlink():
                found.foreign[path] = _LINK
        for paths, kind in _grouped(kinds, found, parts):
            relative = tuple(path.relative_to(root) for path in paths)
            found.items.append(Item(paths, relative, kind))


def _targets_of_links(folders: Sequence[tuple[Path, list[str]]]) -> set[str]:
    """Return the files that are found under their own name and under a link's."""
    paths = [folder / name for folder, names in folders for name in names]
    targets = {os.path.realpath(path) for path in paths if path.is_symlink()}
    if not targets:
        return targets
    themselves = {os.path.realpath(path) for path in paths if not path.is_symlink()}
    return themselves & targets


def _folders(
    root: Path, recursive: bool, found: Discovery, is_passed_over: IsOutput
) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder with the names of its candidate files, sorted."""
    home = os.path.realpath(root)
    masks: set[Path] = set()

    def remember(error: OSError) -> None:
        place = Path(error.filename or root)
        refusal = UnreadableError(
            f"folder cannot be read: {(error.strerror or str(error)).lower()}",
            path=place,
        )
        found.rejected.append((place, refusal))

    for folder, below, names in os.walk(root, onerror=remember, followlinks=False):
        place = Path(folder)
        below[:] = sorted(name for name in below if not name.startswith("."))
        if place != root and is_passed_over(place, names):
            found.foreign[place] = f"{OUTPUTS} ({place})"
            below.clear()
            continue
        if not recursive:
            below.clear()
        for path in map(place.joinpath, below):
            if path.is_symlink():
                found.foreign[path] = _LINK_FOLDER
        masks |= label_masks(place, below, names)
        yield (
            place,
            [
                name
                for name in sorted(names)
                if _is_candidate(place / name, home, masks, found)
            ],
        )


def _is_candidate(
    path: Path, home: str, masks: Collection[Path], found: Discovery
) -> bool:
    lower = path.name.lower()
    if path.name.startswith((".", _OURS)):
        return False
    if path in masks:
        found.foreign[path] = _MASK
        return False
    if path.is_symlink():
        target = os.path.realpath(path)
        if not target.startswith(home.rstrip(os.sep) + os.sep):
            found.foreign[path] = _LINK_OUT
            return False
    if lower == "dicomdir" or lower.endswith(_FOREIGN_NAMES):
        found.foreign[path] = _ending(path)
        return False
    return True


def _ending(path: Path) -> str:
    """Return what a user tells kinds of files by."""
    name = Path(path.name.lower())
    inner = Path(name.stem).suffix if name.suffix == ".gz" else ""
    return f"{inner}{name.suffix}" or path.name


def _kind_in_folder(path: Path, found: Discovery) -> str:
    """Return the format, or "" after noting why a file named as an image is none."""
    try:
        return sniff(path)
    except UnsupportedError as error:
        found.rejected.append((path, error))
    except InputError as error:
        if path.name.lower().endswith(_IMAGE_NAMES):
            found.rejected.append((path, error))
        else:
            found.foreign[path] = _ending(path)
    return ""


def _grouped(
    kinds: Sequence[tuple[Path, str]], found: Discovery, parts: _Parts
) -> list[tuple[tuple[Path, ...], str]]:
    """Return one entry for each picture, DICOM slices of one series together."""
    dicom = [path for path, kind in kinds if kind == "dicom"]
    if not dicom:
        return [((path,), kind) for path, kind in kinds]
    series, lone = _series(dicom, found, parts)
    known = {path: paths for paths in series for path in paths}
    done: set[Path] = set()
    grouped: list[tuple[tuple[Path, ...], str]] = []
    for path, kind in kinds:
        if kind != "dicom" or path in lone:
            grouped.append(((path,), kind))
        elif path in known and path not in done:
            done.update(known[path])
            grouped.append((known[path], kind))
    return grouped


def _series(
    paths: Sequence[Path], found: Discovery, parts: _Parts
) -> tuple[list[tuple[Path, ...]], set[Path]]:
    """Return the series, each sorted by position, and the files that stand alone."""
    from medenh.formats import dicom
    from medenh.formats.dicom.header import no_pixels

    groups: dict[tuple[Any, ...], list[DicomHeader]] = defaultdict(list)
    lone: set[Path] = set()
    for path in paths:
        try:
            header = dicom.read_header(path)
        except InputError as error:
            found.rejected.append((path, error))
            continue
        if header.is_image and header.position is not None:
            groups[header.series_key].append(header)
            parts.add(header)
        elif header.is_image:
            lone.add(path)
        elif header.claims_image:
            found.rejected.append((path, no_pixels(path)))
        else:
            found.passed_over.append(path)
    series = []
    for headers in groups.values():
        places = [one.position or 0.0 for one in headers]
        if max(places) - min(places) < _APART_MM and not _are_times(headers):
            lone.update(one.path for one in headers)
            continue
        headers.sort(
            key=lambda one: (one.position or 0.0, one.instance_number or 0, one.path)
        )
        series.append(tuple(one.path for one in headers))
    return series, lone


def _are_times(headers: Sequence[DicomHeader]) -> bool:
    """Tell whether files in one place are volumes of one slice that follow each other.

    Not if it is one, nor copies of one, nor pictures of which the place says nothing:
    other kinds are written with one that is the same for all.
    """
    numbers = {one.instance_number for one in headers} - {None}
    told = len(headers) > 1 and len(numbers) == len(headers)
    return told and all(one.is_slice for one in headers)
