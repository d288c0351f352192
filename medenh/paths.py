"""What callers give as paths, checked where it comes in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from io import IOBase
from pathlib import Path
from typing import TypeAlias

from medenh.errors import UsageError

__all__ = [
    "IN_MEMORY",
    "StrPath",
    "as_path",
    "as_paths",
    "as_place",
    "as_places",
    "check_present_folder",
    "kind_of",
    "portable_name",
]

StrPath: TypeAlias = str | os.PathLike[str]
IN_MEMORY = (bytes, bytearray, memoryview, IOBase)  # what a file holds, and no paths
# Windows: what names may not hold, and names that are devices, with any extension, too
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]+$')
_DEVICE = re.compile(
    r"(con|prn|aux|nul|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?=\.|$)", re.I
)


def as_path(value: object, name: str) -> str:
    """Return a path as text, a slash at its end included.

    Parameters
    ----------
    value : object
        What a caller gave.
    name : str
        What it is for, for the message.

    Raises
    ------
    UsageError
        It is none: bytes, a number, an array, text with a null character.

    Examples
    --------
    >>> from pathlib import Path
    >>> as_path(Path("a.png"), "input")
    'a.png'
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(text, str):
        raise UsageError(
            f"{name}: {kind_of(value)} is no path", hint="give a str or a pathlib.Path"
        )
    if "\0" in text:
        raise UsageError(f"{name}: {text!r} is no path: it holds a null character")
    return text


def as_paths(value: object, name: str) -> list[str]:
    """Return one path, or an iterable of them, as a list: see `as_path`."""
    one = isinstance(value, (str, os.PathLike, Mapping, *IN_MEMORY))
    if one or hasattr(value, "__array__") or not isinstance(value, Iterable):
        return [as_path(value, name)]
    return [as_path(each, name) for each in value]


def as_place(value: object, name: str) -> str:
    """Return the path of a file or folder: see `as_path`.

    Raises
    ------
    UsageError
        It is none, or relative to a present folder that is no more.
    """
    path = as_path(value, name)
    if not Path(path).is_absolute():
        check_present_folder()
    return path


def as_places(value: object, name: str) -> list[str]:
    """Return one path, or an iterable of them, as a list: see `as_place`."""
    return [as_place(path, name) for path in as_paths(value, name)]


def check_present_folder() -> None:
    """Pass in silence if the folder that relative paths begin at is there.

    Raises
    ------
    UsageError
        It was removed; the system then says of any relative path, and some libraries
        of themselves, that there is no such file.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError(
            "the present folder was removed: there are no paths from it",
            hint="change to a folder that is there",
        ) from None


def portable_name(words: str) -> str:
    """Return words as the name of one file or folder, as all systems take it.

    Notes
    -----
    "Naming Files, Paths, and Namespaces" in Microsoft's documentation of Windows.

    Examples
    --------
    >>> [portable_name(words) for words in ("sum 1e-3", "a/b", "con", "Aux.x", "..")]
    ['sum 1e-3', 'a-b', 'con-', 'Aux-.x', '--']
    """
    allowed = _FORBIDDEN.sub(lambda found: "-" * len(found[0]), words)
    known = _DEVICE.match(allowed)
    return (known[0] + "-" + allowed[known.end() :] if known else allowed) or "-"


def kind_of(value: object) -> str:
    """Return the name of a thing's type, as messages say it."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")
