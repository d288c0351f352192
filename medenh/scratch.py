"""Folders for files in the making, which no killed process leaves for good."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["scratch_folder", "try_lock"]

_LOCK = "lock"
# Its name until it is locked: another would lock it first, and take it for left.
# Windows, which has no such locks, renames no open file.
_UNLOCKED = "lock.new"
_STALE_UNLOCKED_S = 6 * 3600.0  # where a file system has no locks to tell


@contextlib.contextmanager
def scratch_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Give a folder that is removed after use, and remove those of killed processes.

    Parameters
    ----------
    place : path
        An existing folder to make it in. One of the system's temporary files is shared:
        what others left there is kept.
    prefix : str
        What its name, and the names of those that are removed, begin with; hexadecimal
        digits follow.

    Yields
    ------
    Path
        It holds a file named "lock", and that is locked as long as the process lives.

    Raises
    ------
    OSError
        It cannot be made.
    """
    folder = place / f"{prefix}{secrets.token_hex(6)}"
    folder.mkdir(mode=0o700)
    try:
        made = folder / (_LOCK if os.name == "nt" else _UNLOCKED)
        with made.open("wb") as lock:
            try_lock(lock.fileno())
            if made.name != _LOCK:
                made.replace(folder / _LOCK)
            _remove_stale(place, prefix, folder)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(place: Path, prefix: str, own: Path) -> None:
    name = re.compile(re.escape(prefix) + "[0-9a-f]+")
    with contextlib.suppress(OSError):  # a folder that may be written, but not listed
        for folder in list(place.iterdir()):
            if folder == own or not name.fullmatch(folder.name):
                continue
            if not folder.is_symlink() and folder.is_dir() and _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Tell whether nobody works in a folder any more; one without a lock is no ours."""
    lock = folder / _LOCK
    try:
        age = time.time() - lock.lstat().st_mtime
        handle = os.open(lock, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            locked = try_lock(handle)
        finally:
            os.close(handle)
        if locked is False or (locked is None and age < _STALE_UNLOCKED_S):
            return False
        lock.unlink()  # of a living process on Windows this fails
    except OSError:
        return False
    return True


def try_lock(handle: int) -> bool | None:
    """Take a file's lock without waiting; None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows refuses to delete open files by itself
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True
