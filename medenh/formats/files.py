"""Files as such: atomic outputs, safe output names, hashes, guarded input.

Nothing here knows what a picture is.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import stat
import sys
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from medenh.errors import OutputError, OverBudgetError, UnreadableError, spelled
from medenh.formats.limits import raise_limit, size_text
from medenh.hashing import sha256_file
from medenh.scratch import try_lock

__all__ = [
    "COPY_AGAIN",
    "abandon_outputs",
    "atomic_output",
    "check_name",
    "check_writable",
    "ignores_case",
    "name_key",
    "open_alone",
    "open_log",
    "output_error",
    "read_bytes",
    "read_head",
    "real_path",
    "regular_size",
    "remove_stale_parts",
    "safe_output_path",
    "sha256_file",
    "sync_folder",
]

COPY_AGAIN = "copy the file again"  # what to do where it is damaged or cut short

_PART = ".medenh-part"
_NAME_BYTES = 255  # longest name on ext4, XFS, APFS and NTFS
_UNLOCKED_AT_FIRST_S = 0.1
_STALE_UNLOCKED_S = 6 * 3600.0  # no output takes longer without a write
_LOCKED_BYTE = 1 << 30
_own_parts: set[Path] = set()  # that this process is writing

_HINTS = {
    errno.ENOSPC: "free some room or choose another output folder",
    errno.EDQUOT: "your quota is used up; choose another output folder",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "the file system is read-only; choose another output folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: "a folder of that name is in the way",
    errno.ENOTDIR: "part of the path is a file, not a folder",
    errno.EEXIST: "something else of that name is in the way",
    errno.ELOOP: "there is a link that leads back to itself, or is not followed",
}


@contextlib.contextmanager
def atomic_output(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file beside ``path`` that becomes ``path`` on success.

    It is written through to the disk before the name appears.

    Parameters
    ----------
    path : path
        The output. Its folder is made where missing.

    Yields
    ------
    Path
        An empty hidden file in the same folder, to be opened for writing. It is
        locked while in use, so that `remove_stale_parts` leaves it alone.

    Raises
    ------
    OutputError
        No room, no permission, a read-only place... The temporary file is gone, and
        whatever was at ``path`` is untouched.
    """
    target = Path(path)
    part: Path | None = None
    candidate: Path | None = None
    handle = -1
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        candidate = target.with_name(_part_name(target.name))
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
        handle = os.open(candidate, flags, 0o666)
        part = candidate
        _own_parts.add(candidate)
        try_lock(handle)
        yield part
        os.fsync(handle)
        if os.name == "nt":  # what is open cannot be renamed there
            os.close(handle)
            handle = -1
        part.replace(target)
        part = None
    except OSError as error:
        raise output_error(error, target) from error
    finally:
        if handle >= 0:
            os.close(handle)
        if candidate is not None:
            _own_parts.discard(candidate)
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def abandon_outputs() -> None:
    """Delete what this process has half-written, before it ends with no tidying up."""
    for part in list(_own_parts):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _part_name(name: str) -> str:
    tail = f".{secrets.token_hex(6)}{_PART}"
    room = _NAME_BYTES - 1 - len(os.fsencode(tail))
    # half a character at the end is no name to macOS and Windows
    start = os.fsencode(name)[:room].decode(sys.getfilesystemencoding(), "ignore")
    return "." + start + tail


def output_error(error: OSError, path: Path) -> OutputError:
    """Return the error that says why something cannot be written, and what to do."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    hint = _HINTS.get(error.errno or 0, "")
    return OutputError(f"cannot be written: {reason.lower()}", path=path, hint=hint)


def open_log(path: Path) -> int:
    """Open a file of our own to append to; one that somebody planted is not followed.

    Raises
    ------
    OSError
        It cannot be opened, or is a link, a pipe or a device.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    # the last two: a link is an error, and a pipe is no place to wait
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileExistsError(errno.EEXIST, "a pipe or device is in the way")
    return handle


def open_alone(path: Path) -> int:
    """Open a file of our own in an output folder, and lock it while it is open.

    Raises
    ------
    OutputError
        Another run has it open.
    OSError
        As of `open_log`.
    """
    while True:
        handle = open_log(path)
        if not _lock_alone(handle):
            os.close(handle)
            raise OutputError(
                "another run writes into this folder",
                path=path.parent,
                hint="wait until it has ended, or choose another folder",
            )
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)  # the run before took its file away in between


def _lock_alone(handle: int) -> bool:
    """Lock a file of our own; False where another run has."""
    if sys.platform != "win32":
        return try_lock(handle) is not False
    import msvcrt

    # a byte that it never reaches: nobody else may read what is locked there
    os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def check_writable(path: str | Path) -> None:
    """Pass in silence if a file could be made at a path, as far as can be told.

    Raises
    ------
    OutputError
        It lies where nothing can be written: better known before the work than after.
    """
    place = Path(path).absolute().parent
    folder = next(one for one in (place, *place.parents) if os.path.lexists(one))
    code = 0
    if not folder.is_dir():
        code = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK):
        code = errno.EACCES
        if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
            code = errno.EROFS
    if code:
        raise output_error(OSError(code, os.strerror(code)), folder)


def sync_folder(path: str | Path) -> None:
    """Write a folder's names through to the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_stale_parts(folder: str | Path) -> int:
    """Delete what killed runs left in a folder; return how many files.

    Temporary files that a living process still holds are kept; where the file system
    has no locks to tell, those of the last six hours.
    """
    try:
        parts = [
            Path(entry.path)
            for entry in os.scandir(folder)
            if entry.name.startswith(".")
            and entry.name.endswith(_PART)
            and entry.is_file(follow_symlinks=False)
        ]
    except OSError:
        return 0
    if parts:
        # between its making and its lock a living part looks dead
        time.sleep(_UNLOCKED_AT_FIRST_S)
    return sum(_remove_if_stale(part) for part in parts)


def _remove_if_stale(part: Path) -> bool:
    try:
        age = time.time() - part.stat().st_mtime
        # as text Windows would cut off a last byte that is 26
        handle = os.open(part, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            locked = try_lock(handle)
            if locked is False or (locked is None and age < _STALE_UNLOCKED_S):
                return False
        finally:
            os.close(handle)
        part.unlink()  # closed: Windows deletes no open file
    except OSError:
        return False
    return True


def real_path(path: str | Path) -> Path:
    """Return a path without links; one that leads to itself stays as far as it goes.

    ``Path.resolve`` raises RuntimeError there in Python 3.12 and before.
    """
    return Path(os.path.realpath(path))


def ignores_case(folder: str | Path) -> bool:
    """Tell whether two names that differ only in case are one file in a folder.

    It may not exist yet. Told by an entry of the nearest folder that does, without
    writing; False where there is none to ask.
    """
    place = real_path(folder)
    while not place.is_dir():
        if place == place.parent:
            return False
        place = place.parent
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for known in itertools.chain((Path(entry) for entry in entries), [place]):
            twin = known.with_name(known.name.swapcase())
            if twin.name != known.name:
                return twin.exists() and twin.samefile(known)
    return False


def name_key(path: str | Path, *, ignoring_case: bool) -> str:
    """Return what two names of one file share, links and spelling aside.

    Parameters
    ----------
    path : path
        May not exist yet.
    ignoring_case : bool
        Of its file system, as `ignores_case` tells; such systems do not tell composed
        letters from decomposed ones either.
    """
    place = str(real_path(path))
    return unicodedata.normalize("NFC", place).casefold() if ignoring_case else place


def check_name(path: Path) -> None:
    """Pass in silence if a file's name is not too long.

    Raises
    ------
    OutputError
        It is.
    """
    if len(os.fsencode(path.name)) > _NAME_BYTES:
        raise OutputError(
            f"output name longer than {_NAME_BYTES} bytes: ...{path.name[-24:]}",
            path=path.parent,
            hint=f"shorten the input's name, or give {spelled(output='OUT')}",
        )


def safe_output_path(root: str | Path, relative: str | Path) -> Path:
    """Return ``root / relative``, proven to lie below ``root``.

    Raises
    ------
    OutputError
        The name is absolute, climbs with "..", is too long, or goes through a link
        that leaves ``root``.
    """
    root, relative = Path(root), Path(relative)
    parts = relative.parts
    bad = (
        not parts
        or relative.is_absolute()
        or bool(relative.drive)
        or ".." in parts
        or any("\0" in part for part in parts)
    )
    if bad:
        raise OutputError(f"unsafe output name {str(relative)!r}", path=root)
    for part in parts:
        check_name(root / part)
    path = root / relative
    try:
        real = path.parent.resolve()
        # which Python 3.13 leaves as it is where older ones raise RuntimeError
        if any(place.is_symlink() for place in (real, *real.parents)):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        inside = real.is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise OutputError("output folder cannot be resolved", path=path) from error
    if not inside:
        raise OutputError("a link leads out of the output folder", path=path)
    return path


def regular_size(path: Path) -> int:
    """Return the size of a regular file that is not empty.

    Raises
    ------
    UnreadableError
        Missing, a folder, a pipe or device, or empty.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise _input_error(error, path) from error
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableError(
            "is a folder, not a file",
            path=path,
            hint="a DICOM series is read from the list of its files: sorted("
            'folder.glob("*"))',
        )
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError("is a pipe, socket or device, not a file", path=path)
    if status.st_size == 0:
        raise UnreadableError("is empty", path=path)
    return status.st_size


def read_head(path: Path, count: int) -> bytes:
    """Return up to ``count`` first bytes of a regular file; never waits on a pipe."""
    regular_size(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
        try:
            return os.read(handle, count)
        finally:
            os.close(handle)
    except OSError as error:
        raise _input_error(error, path) from error


def read_bytes(path: Path, limit: int) -> bytes:
    """Return a regular file's content.

    Raises
    ------
    OverBudgetError
        It is larger than ``limit``.
    UnreadableError
        It is not a regular file, or cannot be read.
    """
    size = regular_size(path)
    if size > limit:
        raise OverBudgetError(
            f"file of {size_text(size)}, more than the limit of {size_text(limit)}",
            path=path,
            hint=raise_limit("max_bytes"),
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise _input_error(error, path) from error


def _input_error(error: OSError | ValueError, path: Path) -> UnreadableError:
    if isinstance(error, FileNotFoundError):
        return UnreadableError("does not exist", path=path)
    if isinstance(error, PermissionError):
        return UnreadableError(
            "may not be read", path=path, hint="check its permissions"
        )
    reason = getattr(error, "strerror", None) or str(error)
    return UnreadableError(f"cannot be read: {reason.lower()}", path=path)
