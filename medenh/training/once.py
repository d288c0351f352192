"""What runs one after another read alike is read once: in a sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from medenh.training.sections import DataConfig

__all__ = ["once", "reading_once"]

_T = TypeVar("_T")
_kept: ContextVar[dict[str, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Let `once` keep what was read last, until the end of the block."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def once(read: Callable[..., _T], data: DataConfig, *rest: Any) -> _T:
    """Return what a function reads or, in `reading_once`, what it read last.

    Parameters
    ----------
    read : callable
        Reads the images of a run; nobody changes what it returns.
    data : DataConfig
        Its first argument.
    *rest
        Its others; what is equal is equal as text.
    """
    kept = _kept.get()
    if kept is None:
        return read(data, *rest)
    key = f"{read.__module__}.{read.__qualname__} {data.model_dump_json()} {rest}"
    if key not in kept:
        kept.clear()  # memory is for the images of one run
        kept[key] = read(data, *rest)
    found: _T = kept[key]
    return found
