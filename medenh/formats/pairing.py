"""Which file belongs to which: by name without extension, never by position."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from medenh.errors import (
    InputError,
    NothingReadableError,
    UnsupportedError,
)
from medenh.formats.discover import (
    Discovery,
    IsOutput,
    discover,
    in_words,
    none_found,
)
from medenh.formats.extensions import split_name

__all__ = [
    "Listing",
    "Pairing",
    "key_of",
    "list_pictures",
    "match",
    "named_like",
    "passed_over",
]

_log = logging.getLogger(__name__)

_ENHANCED = ".enhanced"  # what `enhance` adds to a name beside its input


@dataclass(frozen=True, slots=True)
class Listing:
    """The pictures of a folder, or one file.

    Attributes
    ----------
    root : path
        As the user named it.
    files : dict
        Key -> path, sorted by key.
    rejected : list of (path, InputError)
        Files that look like pictures and are none.
    is_file : bool
        True where the user named one file.
    others : Discovery
        What the folder holds that is not taken: see `passed_over`.
    """

    root: Path
    files: dict[str, Path]
    rejected: list[tuple[Path, InputError]] = field(default_factory=list)
    is_file: bool = False
    others: Discovery = field(default_factory=Discovery)

    @property
    def damaged(self) -> frozenset[str]:
        """Keys of the rejected files: they are failed, and their partners not alone."""
        paths = [path for path, _ in self.rejected]
        if self.is_file:
            return frozenset(key_of(path.name) for path in paths)
        inside = [path for path in paths if path.is_relative_to(self.root)]
        return frozenset(key_of(path.relative_to(self.root)) for path in inside)

    def name_of(self, key: str) -> str:
        """Return a file's relative name, extension and all."""
        path = self.files[key]
        return path.name if self.is_file else path.relative_to(self.root).as_posix()

    def names_of(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return relative names, sorted by key."""
        return tuple(self.name_of(key) for key in sorted(keys))


@dataclass(frozen=True, slots=True)
class Pairing:
    """Files of equal names.

    Attributes
    ----------
    keys : tuple of str
        In every listing that had to have them, sorted.
    unmatched : dict
        Name of a listing -> relative names of its files without partner.
    """

    keys: tuple[str, ...]
    unmatched: dict[str, tuple[str, ...]]


def key_of(relative: str | Path) -> str:
    """Return what two files must share to be a pair.

    Names are composed (Unicode's NFC): macOS stores and zips accents apart from their
    letters, which reads the same.

    Examples
    --------
    >>> key_of("left/eye.enhanced.png"), key_of("left/eye.nii.gz")
    ('left/eye', 'left/eye')
    """
    name = unicodedata.normalize("NFC", Path(relative).as_posix())
    return split_name(name)[0].removesuffix(_ENHANCED) or name


def list_pictures(
    source: str | Path,
    *,
    is_output: IsOutput | None = None,
    labels: Path | None = None,
) -> Listing:
    """List the pictures of a folder, or take one file.

    ``is_output`` is that of `discover`; what is passed over is warned about, but for
    the file of ``labels``, which is read.

    Each file of a DICOM series stands for itself. Files that have the same name but for
    the extension are rejected: nothing tells which of them is meant.

    Raises
    ------
    NothingReadableError
        It does not exist, or holds no picture.
    """
    root = Path(source)
    if not root.exists():
        raise NothingReadableError("no such file or folder", path=root)
    found = discover([root], is_output=is_output)
    if labels is not None:
        read = os.path.realpath(labels)
        found = found.only(lambda path: os.path.realpath(path) != read)
    named: dict[str, list[Path]] = {}
    for item in found.items:
        for path, relative in zip(item.paths, item.relative, strict=True):
            named.setdefault(key_of(relative), []).append(path)
    files: dict[str, Path] = {}
    for key in sorted(named):
        if len(named[key]) == 1:
            files[key] = named[key][0]
            continue
        names = " and ".join(path.name for path in named[key])
        error = UnsupportedError(
            f"{names} have the same name but for the extension, '.enhanced' or how "
            "accents are stored",
            hint="pairs are found by name: keep one of them in the folder",
        )
        found.rejected.extend((path, error) for path in named[key])
    if not files:
        raise _nothing(root, found)
    if found.kinds:
        _log.warning("%s: %s", root, in_words(found.kinds))
    others = Discovery(passed_over=found.passed_over, foreign=found.foreign)
    return Listing(root, files, found.rejected, root.is_file(), others)


def passed_over(listings: Iterable[Listing]) -> dict[str, int]:
    """Return how many files of which kind some folders hold that are not taken.

    A file of two of the folders counts once, whatever they are called. As
    `Discovery.kinds`.
    """

    def place(path: Path) -> Path:  # a link is itself, not what it leads to
        return Path(os.path.realpath(path.parent), path.name)

    both = Discovery()
    for others in (listing.others for listing in listings):
        both.passed_over.extend(map(place, others.passed_over))
        both.foreign.update(
            (place(path), kind) for path, kind in others.foreign.items()
        )
    both.passed_over[:] = dict.fromkeys(both.passed_over)
    return both.kinds


def _nothing(root: Path, found: Discovery) -> NothingReadableError:
    if not found.rejected:
        return none_found([root], found.kinds)
    path, error = found.rejected[0]
    more = f", and {len(found.rejected) - 1} more" if len(found.rejected) > 1 else ""
    return NothingReadableError(f"{error.what}{more}", path=path, hint=error.hint)


def match(subject: Listing, others: Mapping[str, Listing], *, name: str) -> Pairing:
    """Return the names that the subject shares with every other listing.

    Parameters
    ----------
    subject : Listing
        What is measured.
    others : mapping
        Word for messages ("reference", "masks") -> listing.
    name : str
        Word for the subject.

    Raises
    ------
    NothingReadableError
        Nothing is shared.
    """
    lacking: set[str] = set()
    unmatched: dict[str, tuple[str, ...]] = {}
    keys = set(subject.files)
    for word, listing in others.items():
        common = set(subject.files) & set(listing.files)
        if not common:
            raise _no_pair(subject, listing)
        if not listing.is_file:
            lacking |= set(subject.files) - common - listing.damaged
        if not subject.is_file:
            alone = set(listing.files) - common - subject.damaged
            unmatched[word] = listing.names_of(alone)
        keys &= common
    if not keys:
        raise _no_pair(subject, next(iter(others.values())))
    unmatched = {name: subject.names_of(lacking), **unmatched}
    left = {word: names for word, names in unmatched.items() if names}
    return Pairing(tuple(sorted(keys)), left)


def named_like(listing: Listing, subject: Listing) -> Listing:
    """Return a listing under the subject's name where both are single files.

    The user named both, so they are a pair whatever they are called.
    """
    if not (listing.is_file and subject.is_file):
        return listing
    files = dict(zip(subject.files, listing.files.values(), strict=True))
    return replace(listing, files=files)


def _no_pair(subject: Listing, other: Listing) -> NothingReadableError:
    one, two = next(iter(subject.files)), next(iter(other.files))
    return NothingReadableError(
        f"no file has a partner of the same name in {other.root} "
        f"(for example {one!r} here, {two!r} there)",
        path=subject.root,
        hint="names must be equal but for the extension and '.enhanced'",
    )
