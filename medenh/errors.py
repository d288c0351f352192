"""Every error that medenh raises on purpose.

MedenhError
├── UsageError            the request itself is wrong                    exit 2
├── InputError            one input cannot be read or used               exit 1
│   ├── UnreadableError       damaged, truncated, not an image
│   ├── UnsupportedError      valid, but nothing here decodes it
│   ├── OverBudgetError       its header promises more than the limits allow
│   └── NonFiniteError        NaN or infinity where a number is needed
├── OutputError           an output cannot be written                    exit 1
├── NothingReadableError  no input was usable                            exit 3
├── WeightsError          weights missing, or not as hashed              exit 4
├── OutOfMemoryError      does not fit even at the smallest tile         exit 5
└── RefusedError          --strict: the input is outside the model card  exit 6

Each says what happened, to which file, and what to do about it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pydantic import ValidationError

__all__ = [
    "EXIT_CODES",
    "InputError",
    "MedenhError",
    "NonFiniteError",
    "NothingReadableError",
    "OutOfMemoryError",
    "OutputError",
    "OverBudgetError",
    "RefusedError",
    "UnreadableError",
    "UnsupportedError",
    "UsageError",
    "WeightsError",
    "as_ours",
    "check_word",
    "counted",
    "exit_code",
    "first_problem",
    "is_out_of_memory",
    "not_loaded",
    "spelled",
]

_log = logging.getLogger(__name__)
_FLAGS = {"tasks": "task"}  # keyword -> flag, where they differ

_EXHAUSTED = (
    "not enough memory",
    "defaultcpuallocator",
    "out of memory",
    "bad_alloc",
    "insufficient memory",
    "cannot allocate memory",
    "can't alloc",  # as OpenVINO says it
    "failed to map segment",  # of a library that is loaded
    "can't start new thread",
    "resource temporarily unavailable",
)


class MedenhError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    what : str
        What happened, in one sentence without a full stop.
    path : path, optional
        The file concerned.
    hint : str, optional
        What the user can do, in one sentence.
    """

    code = "error"

    def __init__(
        self, what: str, *, path: str | Path | None = None, hint: str = ""
    ) -> None:
        super().__init__(what)
        self.what = what
        self.path = None if path is None else Path(path)
        self.hint = hint

    def __str__(self) -> str:
        parts = [f"{self.path}: " if self.path is not None else "", self.what]
        if self.hint:
            parts.append(f" ({self.hint})")
        return "".join(parts)


class UsageError(MedenhError):
    """The request itself is wrong: unknown model, contradicting options."""

    code = "usage"


class InputError(MedenhError):
    """One input cannot be read or used; the rest of a batch goes on."""

    code = "input"


class UnreadableError(InputError):
    """The file is damaged, truncated, empty, or not an image at all."""

    code = "unreadable"


class UnsupportedError(InputError):
    """The file is valid, but nothing here decodes it."""

    code = "unsupported"


class OverBudgetError(InputError):
    """The header promises more data than the limits allow."""

    code = "over-budget"


class NonFiniteError(InputError):
    """The pixels, or a model's output, hold NaN or infinity."""

    code = "non-finite"


class OutputError(MedenhError):
    """An output cannot be written: no room, no permission, already there."""

    code = "output"


class NothingReadableError(MedenhError):
    """None of the inputs could be used."""

    code = "nothing-readable"


class WeightsError(MedenhError):
    """Weights are missing, cannot be fetched, or are not as hashed."""

    code = "weights"


class OutOfMemoryError(MedenhError):
    """The work does not fit in memory even at the smallest tile."""

    code = "out-of-memory"


class RefusedError(MedenhError):
    """With --strict: the input, or the result, is outside the model's card.

    Attributes
    ----------
    fidelity : mapping
        Figures of a result that was refused; empty where the input was.
    """

    code = "refused"
    fidelity: Mapping[str, float] = MappingProxyType({})


EXIT_CODES: dict[type[MedenhError], int] = {
    UsageError: 2,
    NothingReadableError: 3,
    WeightsError: 4,
    OutOfMemoryError: 5,
    RefusedError: 6,
}


def exit_code(error: MedenhError) -> int:
    """Return the process exit code of an error; 1 for the ones not in the table."""
    return next(
        (EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), 1
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, whoever raised it."""
    if isinstance(error, MemoryError):
        return True
    if type(error).__name__ == "OutOfMemoryError":
        return not isinstance(error, OutOfMemoryError)
    text = str(error).lower()
    return isinstance(error, Exception) and any(word in text for word in _EXHAUSTED)


def as_ours(error: BaseException, path: Path) -> MedenhError:
    """Return an error of our own kind, whatever was raised while at work on a file."""
    if isinstance(error, MedenhError):
        return error
    if is_out_of_memory(error):
        return OutOfMemoryError("not enough memory for this file", path=path)
    _log.debug("unexpected error", exc_info=error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return MedenhError(f"unexpected {what[:300]}", path=path)


def not_loaded(what: str, error: ImportError, path: Path) -> MedenhError:
    """Return what is to be said where a library that a file needs cannot be loaded.

    Parameters
    ----------
    what : str
        "what reads png files".
    error : ImportError
    path : path
        The file.
    """
    if is_out_of_memory(error):  # there is no room for the library itself
        return OutOfMemoryError("does not fit in memory", path=path)
    return MedenhError(
        f"{what} cannot be loaded: {error}", path=path, hint="install medenh again"
    )


def first_problem(error: ValidationError) -> str:
    """Return pydantic's first problem: where it lies, if not in the whole, and what."""
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def check_word(name: str, value: object, known: Collection[str]) -> None:
    """Pass in silence if what the user says under a name is one of the known words.

    Raises
    ------
    UsageError
        It is none; all are told.
    """
    if not isinstance(value, str) or value not in known:  # arrays compare by element
        raise UsageError(f"unknown {name} {value!r}", hint=f"one of {', '.join(known)}")


def counted(count: int, noun: str) -> str:
    """Return how many there are of something, as messages say it.

    Examples
    --------
    >>> counted(1, "image"), counted(0, "image")
    ('1 image', '0 images')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def spelled(**options: object) -> str:
    """Return how options are written in a shell and in Python, as hints say it.

    Parameters
    ----------
    **options
        Keyword arguments of the library, any one of which will do. Strings in capital
        letters stand for what the user fills in.

    Examples
    --------
    >>> spelled(engine="torch")
    '--engine torch, in Python engine="torch"'
    >>> spelled(masks="DIR", on_exists="skip")
    '--masks DIR or --on-exists skip, in Python masks=DIR or on_exists="skip"'
    """
    flags, keywords = [], []
    for name, value in options.items():
        flag = _FLAGS.get(name, name).replace("_", "-")
        flags.append(f"--{flag} {value}")
        quoted = isinstance(value, str) and not value.isupper()
        keywords.append(f'{name}="{value}"' if quoted else f"{name}={value}")
    return f"{' or '.join(flags)}, in Python {' or '.join(keywords)}"
