"""Which module reads which format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from medenh.errors import (
    MedenhError,
    OutOfMemoryError,
    UnreadableError,
    UsageError,
    not_loaded,
)
from medenh.formats import files
from medenh.formats.content import format_of
from medenh.formats.limits import Limits
from medenh.paths import kind_of

if TYPE_CHECKING:
    from medenh.types import Image

__all__ = ["contents_of", "lost_meaning", "read", "said_of"]


def read(paths: Sequence[Path], *, axis: int | None, limits: Limits) -> Image:
    """Read one file, or several of one DICOM series: see `medenh.formats.read`."""
    if not paths:
        raise UsageError("no file to read")
    if axis is not None and axis not in (0, 1, 2):
        raise UsageError(f"axis must be 0, 1 or 2, not {axis!r}")
    if not isinstance(limits, Limits):
        raise UsageError(f"limits: {kind_of(limits)} is no medenh.formats.Limits")
    # a file given twice is taken once, as where inputs are found in folders
    first: dict[str, Path] = {}
    for path in paths:
        first.setdefault(os.path.realpath(path), path)  # a loop of links is no error
    paths = list(first.values())
    kind = format_of(paths[0])
    if len(paths) > 1:
        _only_dicom(paths, kind)
    with _damage_told(kind, paths[0]):
        return _read_as(kind, paths, axis, limits)


@contextmanager
def _damage_told(kind: str, path: Path) -> Iterator[None]:
    """Make errors of reading a file ours, with what to do."""
    try:
        yield
    except UnreadableError as error:
        error.hint = error.hint or files.COPY_AGAIN
        raise
    except MedenhError:
        raise
    except MemoryError:
        raise OutOfMemoryError("does not fit in memory", path=path) from None
    except ImportError as error:
        raise not_loaded(f"what reads {kind} files", error, path) from error
    except Exception as error:
        # a decoder met with hostile bytes raises anything; one class leaves here
        reason = f"{type(error).__name__}: {error}" if str(error) else repr(error)
        raise UnreadableError(
            f"damaged {kind} file: {reason[:200]}", path=path, hint=files.COPY_AGAIN
        ) from error


def _only_dicom(paths: Sequence[Path], kind: str) -> None:
    if kind != "dicom" or any(format_of(path) != "dicom" for path in paths[1:]):
        raise UsageError("several files make one picture only as a DICOM series")


def _read_as(
    kind: str, paths: Sequence[Path], axis: int | None, limits: Limits
) -> Image:
    if kind == "dicom":
        from medenh.formats import dicom

        return dicom.read(paths, limits=limits)
    if kind == "nifti":
        from medenh.formats import nifti

        return nifti.read(paths[0], axis=axis, limits=limits)
    if kind == "tiff":
        from medenh.formats import tiff

        return tiff.read(paths[0], limits=limits)
    if kind == "npy":
        from medenh.formats import array

        return array.read(paths[0], limits=limits)
    from medenh.formats import raster

    return raster.read(paths[0], kind, limits=limits)


def contents_of(image: Image) -> str:
    """Return what the frames of an image are, where its file tells; else ""."""
    if image.format != "tiff":
        return ""
    from medenh.formats import tiff

    return tiff.contents_of(image)


def lost_meaning(image: Image, kind: str, *, map_kind: str = "") -> list[str]:
    """Return what a picture's files mean that another format would get wrong.

    Parameters
    ----------
    image : Image
    kind, map_kind : str
        The formats of the picture and of a map beside it: see `dicom.lost_meaning`,
        and `tiff.lost_places` for NIfTI.
    """
    if image.format == "tiff" and "nifti" in (kind, map_kind):
        from medenh.formats.tiff import lost_places

        return lost_places(image)
    from medenh.formats import dicom

    return dicom.lost_meaning(image, kind, map_kind=map_kind)


def said_of(image: Image) -> list[str]:
    """Return warnings about what of its file an image is not, or not quite."""
    if image.format == "tiff":
        from medenh.formats.tiff import told_of_pages

        return told_of_pages(image)
    if image.format == "dicom":
        from medenh.formats import dicom

        told = [dicom.unused_window(image), dicom.doubtful_polarity(image)]
        return list(filter(None, told))
    from medenh.formats.raster import told_of_picture

    return told_of_picture(image)
