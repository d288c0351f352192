"""Read a file within a time: a decoder that hangs costs its file, not the run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from medenh import formats
from medenh.errors import UnreadableError
from medenh.pipeline.options import EnhanceOptions
from medenh.types import Image

__all__ = ["read_within", "time_limit_s"]

_BASE_S = 30.0
_BYTES_PER_S = 10e6


def time_limit_s(paths: Sequence[Path]) -> float:
    """Return how long reading may take: 30 s, and 1 s for each 10 MB."""
    size = sum(path.stat().st_size for path in paths if path.is_file())
    return _BASE_S + size / _BYTES_PER_S


def read_within(
    paths: Sequence[Path], options: EnhanceOptions, seconds: float
) -> Image:
    """Return the image in some files.

    Parameters
    ----------
    paths : sequence of path
        As `medenh.formats.read` takes them.
    options : EnhanceOptions
        Axis and limits.
    seconds : float
        After this the decoder is given up; its thread is left behind.

    Raises
    ------
    InputError
        What is wrong with the file; `UnreadableError` where it takes too long.
    """
    outcome: list[Image | BaseException] = []

    def work() -> None:
        try:
            outcome.append(
                formats.read(paths, axis=options.axis, limits=options.limits)
            )
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work, name="medenh-decode", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise UnreadableError(
            f"reading it took more than {seconds:.0f} s",
            path=paths[0],
            hint="the file is probably damaged, or its disk is very slow",
        )
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result
