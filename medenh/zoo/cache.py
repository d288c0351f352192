"""The cache folder: where weights lie, whether they are as hashed, how they get in.

Weights are named by their hash, so two versions never meet and a card may call its file
what it likes; every file gets its name by one rename once it is whole and on disk.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from medenh.errors import WeightsError
from medenh.hashing import sha256_file
from medenh.zoo.card import ModelCard, Weights

__all__ = [
    "bundled_path",
    "cache_folders",
    "cached_name",
    "find_weights",
    "is_bundled",
    "is_intact",
    "publishing",
    "sync",
    "where",
    "writable_cache",
]

_log = logging.getLogger(__name__)

_FOLDERS = ("models", "stamps", "weights")
_PART = re.compile(r"\.[0-9a-f]{16}\.tmp")
_STALE_S = 24 * 3600.0  # what is being written changes all the time


def cache_folders() -> tuple[Path, ...]:
    """Return the folders that may hold weights, the preferred one first.

    ``MEDENH_CACHE`` alone if it is set; else the user's cache folder and, for
    accounts that cannot write there, one in the temporary folder, if it is there.
    """
    preferred, *spare = _candidates()
    # stamps and cards are believed: never where somebody else may have put them
    return (preferred, *(folder for folder in spare if _is_private(folder)))


def _candidates() -> tuple[Path, ...]:
    chosen = os.environ.get("MEDENH_CACHE")
    if chosen:
        return (Path(chosen).expanduser().absolute(),)
    import platformdirs

    user_folder = Path(platformdirs.user_cache_dir("medenh"))
    try:
        temporary = Path(tempfile.gettempdir())
    except FileNotFoundError:  # a container where nothing can be written
        return (user_folder,)
    user = getattr(os, "getuid", lambda: "user")()
    return (user_folder, temporary / f"medenh-cache-{user}")


def _is_private(folder: Path) -> bool:
    """Tell whether a folder is a real one that nobody but us can write to."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True  # the temporary folder is each user's own there
    return found.st_uid == os.getuid() and not found.st_mode & 0o022


def writable_cache() -> Path:
    """Return the cache folder, made if need be, that can be written to.

    Raises
    ------
    WeightsError
        Neither the cache folder nor the temporary folder can be written.
    """
    preferred, *spare = _candidates()
    if _can_write(preferred):
        return preferred
    for folder in spare:
        if _can_write(folder, mode=0o700) and _is_private(folder):
            _tell_once(preferred, folder)
            return folder
    raise WeightsError(
        "the cache folder cannot be written",
        path=preferred,
        hint="set MEDENH_CACHE to a folder of yours",
    )


@cache
def _tell_once(preferred: Path, folder: Path) -> None:
    """Say it at the first model of a process, not at each of a service's calls."""
    _log.warning("cache folder %s cannot be written; using %s", preferred, folder)


def _can_write(folder: Path, *, mode: int = 0o777) -> bool:
    """Make a folder if it is missing, and try to write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def bundled_path(weights: Weights) -> Path:
    """Return where the package carries a file, whether it is there or not."""
    return Path(__file__).parent / "bundled" / weights.file


def is_bundled(card: ModelCard) -> bool:
    """Tell whether the package carries a card's weights, as they were hashed."""
    weights = card.weights
    return weights is not None and is_intact(bundled_path(weights), weights)


def cached_name(weights: Weights) -> str:
    """Return a file's name in the cache."""
    return f"{weights.sha256}.safetensors"


def find_weights(card: ModelCard) -> Iterator[Path]:
    """Yield the places on this machine where a card's weights lie, unchecked."""
    if card.weights is None:
        return
    places = [bundled_path(card.weights)]
    name = cached_name(card.weights)
    places += [folder / "weights" / name for folder in cache_folders()]
    for place in places:
        with suppress(OSError):
            if place.is_file():
                yield place


def where(card: ModelCard) -> str:
    """Return "built in", "bundled", "cached" or "remote"."""
    if card.weights is None:
        return "built in"
    first = next(find_weights(card), None)
    if first is None:
        return "remote"
    return "bundled" if first == bundled_path(card.weights) else "cached"


def is_intact(path: Path, weights: Weights, *, force: bool = False) -> bool:
    """Tell whether a file has the size and the SHA-256 of a card.

    Parameters
    ----------
    path : path
        The file.
    weights : Weights
        What it should be.
    force : bool
        Hash it even where a stamp says that this very file (same size, time of change
        and inode) was hashed before.
    """
    try:
        found = path.stat()
        if found.st_size != weights.size_bytes:
            return False
        stamp = {
            "path": str(path.absolute()),
            "size": found.st_size,
            "mtime_ns": found.st_mtime_ns,
            "inode": found.st_ino,
            "sha256": weights.sha256,
        }
        if not force and _read_stamp(path) == stamp:
            return True
        if sha256_file(path) != weights.sha256:
            return False
    except OSError:
        return False
    _write_stamp(path, stamp)
    return True


def _stamp_path(folder: Path, path: Path) -> Path:
    key = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:24]
    return folder / "stamps" / f"{key}.json"


def _read_stamp(path: Path) -> object:
    for folder in cache_folders():
        with suppress(OSError, ValueError):
            return json.loads(_stamp_path(folder, path).read_text("utf-8"))
    return None


def _write_stamp(path: Path, stamp: dict[str, object]) -> None:
    """Remember that a file was found intact; failing to is harmless."""
    with suppress(OSError, WeightsError):
        target = _stamp_path(cache_folders()[0], path)
        with publishing(target) as part:
            part.write_text(json.dumps(stamp), "utf-8")


@contextmanager
def publishing(target: Path) -> Iterator[Path]:
    """Give a private temporary file that becomes ``target`` when the block ends well.

    The file is on disk before it is renamed, and so is the folder's entry after it; an
    error leaves nothing behind. A process that is killed does: whoever writes into the
    cache next, a day later, removes it. Other folders may hold such names of others.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.parent.parent in cache_folders():
        _remove_stale_parts(target.parent.parent)
    part = target.parent / f".{secrets.token_hex(8)}.tmp"
    part.touch(exist_ok=False)
    try:
        yield part
        sync(part)
        part.replace(target)
        sync(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _remove_stale_parts(cache: Path) -> None:
    """Delete the temporary files that killed processes left in a cache folder."""
    latest = time.time() - _STALE_S
    for folder in map(cache.joinpath, _FOLDERS):
        with suppress(OSError):  # no such folder, or one that others own
            for path in folder.iterdir():
                if not _PART.fullmatch(path.name):
                    continue
                with suppress(OSError):  # another process was first
                    if path.lstat().st_mtime < latest:
                        path.unlink()


def sync(path: Path) -> None:
    """Have a file's content, or a folder's entries, written to disk."""
    flags = os.O_RDONLY
    if path.is_dir():
        if os.name == "nt":
            return  # folders cannot be opened there, nor need they be
        flags |= os.O_DIRECTORY
    elif os.name == "nt":
        # as text Windows would cut off a last byte that is 26
        flags = os.O_RDWR | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
