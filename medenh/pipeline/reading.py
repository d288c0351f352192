"""Read an item within a time: what hangs, crashes or is damaged costs its file only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medenh import formats
from medenh.errors import (
    MedenhError,
    OutOfMemoryError,
    OverBudgetError,
    UnreadableError,
    as_ours,
)
from medenh.formats.limits import TOO_SLOW, read_seconds
from medenh.pipeline.attempt import attempt
from medenh.pipeline.journal import Fingerprint
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.results import Failure
from medenh.pipeline.work import WorkItem
from medenh.types import Image

__all__ = ["Reading", "read_item", "read_within", "time_limit_s"]


@dataclass(frozen=True, slots=True)
class Reading:
    """An image that was read.

    Attributes
    ----------
    item : WorkItem
        What it was read from, and where it goes.
    image : Image
    prints : tuple of Fingerprint
        Of each source, taken before it was read.
    """

    item: WorkItem
    image: Image
    prints: tuple[Fingerprint, ...]


def time_limit_s(paths: Sequence[Path]) -> float:
    """Return how many seconds of computing reading some files may take."""
    return read_seconds(sum(path.stat().st_size for path in paths if path.is_file()))


def read_item(
    item: WorkItem, options: EnhanceOptions
) -> Iterator[Reading | list[Failure]]:
    """Yield the image of an item; of a damaged series what is sound, and failures.

    Damaged slices are left out. Where the others do not agree without them, each
    becomes an image of its own.

    Raises
    ------
    InputError
        The item is one file, and something is wrong with it.
    """
    try:
        whole = _read(item, options)
    except Exception as error:
        if len(item.sources) == 1:
            raise
        problem = as_ours(error, item.path)
    else:
        yield whole
        return
    yield from _read_sound(item, options, problem)


def _read_sound(
    item: WorkItem, options: EnhanceOptions, problem: MedenhError
) -> Iterator[Reading | list[Failure]]:
    sound, failed = _sift(item, options)
    yield failed
    if not sound:
        return
    damaged = tuple(failure.path for failure in failed)
    rest = replace(item.part(sound), damaged=damaged)
    if failed:
        try:
            together = _read(rest, options)
        except Exception as error:
            problem = as_ours(error, rest.path)
        else:
            yield together
            return
    # a volume that is too large does not become small by being cut into slices
    too_large = isinstance(problem, OverBudgetError | OutOfMemoryError)
    if too_large or not item.is_parallel:
        yield [Failure(path, problem) for path in rest.sources]
        return
    for index in sound:
        one = replace(item.part([index]), damaged=damaged)
        try:
            alone = _read(one, options)
        except Exception as error:
            yield [Failure(one.path, as_ours(error, one.path))]
        else:
            yield alone


def _sift(item: WorkItem, options: EnhanceOptions) -> tuple[list[int], list[Failure]]:
    """Read each source by itself; return which are sound, and why others are not."""
    sound, failed = [], []
    for index, path in enumerate(item.sources):
        try:
            _read(item.part([index]), options)
        except Exception as error:
            failed.append(Failure(path, as_ours(error, path)))
        else:
            sound.append(index)
    return sound, failed


def _read(item: WorkItem, options: EnhanceOptions) -> Reading:
    prints = tuple(Fingerprint.of([path]) for path in item.sources)
    image = read_within(item.sources, options, time_limit_s(item.sources))
    return Reading(item, options.told(image), prints)


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
        Of computing; after this, or ten times as long of waiting, the decoder is given
        up; its thread is left behind.

    Raises
    ------
    InputError
        What is wrong with the file; `UnreadableError` where it takes too long, or
        where the decoder panics, which no ordinary handler would catch.
    """
    try:
        return attempt(
            lambda: formats.read(paths, axis=options.axis, limits=options.limits),
            name="decode",
            seconds=seconds,
        )
    except TimeoutError as error:
        raise UnreadableError(
            f"reading it took more than {error}", path=paths[0], hint=TOO_SLOW
        ) from None
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UnreadableError(
            f"its decoder crashed ({type(error).__name__})", path=paths[0]
        ) from error
