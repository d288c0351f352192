"""An `Image` that was read from DICOM to derived DICOM files, each whole or absent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset

from medenh import intensity
from medenh.errors import MedenhError, OutputError, UsageError, counted, spelled
from medenh.formats.dicom.dataset import silence
from medenh.formats.dicom.derive import derived, file_meta_of
from medenh.formats.dicom.meaning import first_colour, padding_range
from medenh.formats.dicom.reader import DicomFiles
from medenh.formats.files import atomic_output
from medenh.types import Image, Provenance, Storage

__all__ = ["write"]


def write(
    image: Image,
    paths: Sequence[Path],
    *,
    provenance: Provenance | None,
    deidentified: bool = False,
) -> None:
    """Write derived images: see `medenh.formats.dicom.write`."""
    header = image.header
    if not isinstance(header, DicomFiles):
        raise UsageError(
            "only an image read from DICOM can be written as DICOM, at the size it had",
            hint=f"choose another, such as PNG or TIFF: {spelled(format='png')}, or a "
            "name that ends in .png",
        )
    if len(paths) != len(header.parts):
        raise UsageError(
            f"{counted(len(paths), 'output path')} for the "
            f"{counted(len(header.parts), 'file')} that made the image"
        )
    silence()
    stored = intensity.to_stored(image.pixels, image.storage)
    owner = np.array(header.frame_of)
    # the frames of one file go back to their places in it
    whole = np.argsort(header.order) if header.order else np.s_[:]
    for index, path in enumerate(paths):
        of_file = whole if len(paths) == 1 else owner == index
        frozen = None if image.frozen is None else image.frozen[of_file]
        frames = _of_the_same_kind(
            stored[of_file], frozen, header.parts[index].dataset, image.storage
        )
        with _encoding(path):
            dataset = derived(
                header.parts[index],
                frames,
                image.storage,
                provenance,
                deidentified=deidentified,
            )
        _write_file(dataset, frames, path)


def _of_the_same_kind(
    frames: NDArray[Any],
    frozen: NDArray[np.bool_] | None,
    dataset: Dataset,
    storage: Storage,
) -> NDArray[Any]:
    """Keep measured values off those that mean colours or padding, which are frozen."""
    if frames.shape[-1] != 1:
        return frames
    measured = True if frozen is None else ~frozen[..., None]
    first, top = first_colour(dataset, frames.dtype), storage.maximum
    if first is not None:
        top = max(first - 1, storage.minimum)
        grey = measured & (frames > top)
        frames = np.where(grey, np.array(top, frames.dtype), frames)
    if padding := padding_range(dataset, frames.dtype):
        low, high = padding
        lost = measured & (frames >= low) & (frames <= high)
        nearest = high + 1 if high < top else low - 1
        if nearest >= storage.minimum:
            frames = np.where(lost, np.array(nearest, frames.dtype), frames)
    return frames


def _write_file(dataset: Dataset, frames: NDArray[Any], path: Path) -> None:
    with _encoding(path):
        little = frames.dtype.newbyteorder("<")
        pixels = np.ascontiguousarray(frames).astype(little, copy=False).tobytes()
        vr = "OW" if frames.dtype.itemsize > 1 else "OB"
        dataset.add_new("PixelData", vr, pixels + b"\0" * (len(pixels) % 2))
        meta = file_meta_of(dataset)
        out = FileDataset("", dataset, preamble=b"\0" * 128, file_meta=meta)
    with atomic_output(path) as part, _encoding(path):
        out.save_as(
            part, implicit_vr=False, little_endian=True, enforce_file_format=True
        )


@contextlib.contextmanager
def _encoding(path: Path) -> Iterator[None]:
    """Turn what pydicom throws into OutputError, without its text.

    It quotes values, in exceptions of any class, and values name patients.
    """
    try:
        yield
    except MedenhError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OutputError(
            f"cannot be encoded as DICOM ({type(error).__name__})",
            path=path,
            hint="an element of the source's header is damaged",
        ) from None
