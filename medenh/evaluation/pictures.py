"""Pictures for the report: read again from the user's files, or kept in a folder."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import formats
from medenh.degradations.domain import in_hounsfield
from medenh.errors import InputError, OutOfMemoryError, OutputError
from medenh.evaluation.measuring import on_range_of, unit_frame
from medenh.evaluation.planning import REFERENCE, SUBJECT
from medenh.formats import raster
from medenh.formats.array import from_array
from medenh.formats.files import output_error
from medenh.formats.nifti import frame_axis, in_units_of
from medenh.intensity import told_bits
from medenh.types import FloatArray, Image, Modality

__all__ = [
    "FilePictures",
    "PictureFolder",
    "all_or_nothing",
    "keep_overlay",
    "keep_picture",
    "middle_frame",
    "read_beside",
    "read_told",
]

BoolArray = NDArray[np.bool_]

_MAX_SIDE = 1024  # a page shows no more


def middle_frame(image: Image) -> FloatArray:
    """Return the middle frame in [0, 1], shape (H, W, C)."""
    return unit_frame(image, image.frames // 2)


def keep_picture(folder: Path, file: str, row: str, pixels: FloatArray) -> None:
    """Put a picture in [0, 1] into a folder, 8 bits, reduced to 1024 pixels."""
    levels = np.rint(np.clip(_reduced(pixels), 0, 1) * 255).astype(np.uint8)
    _write(_place(folder, file, row, "picture"), levels)


def keep_overlay(
    folder: Path, file: str, row: str, task: str, found: BoolArray
) -> None:
    """Put what a task found into a folder, of the size of its picture there."""
    factor = _factor(found.shape)
    height, width = (side // factor * factor for side in found.shape)
    plane = found[:height:factor, :width:factor]
    path = _place(folder, file, row, f"task-{task}")
    _write(path, plane.astype(np.uint8) * np.uint8(255))


def read_told(
    path: Path,
    *,
    axis: int | None = None,
    bits: int | None = None,
    modality: str | None = None,
) -> Image:
    """Read a file, of the bit depth that the user says where it does not tell one.

    Of CT, if the user says so, numbers that can be Hounsfield units are, whatever the
    format.

    Raises
    ------
    InputError
        It cannot be read, or its values go beyond that depth.
    """
    image = formats.read(path, axis=axis)
    if bits is not None:
        image = told_bits(image, bits)
    return in_hounsfield(image) if modality == Modality.CT else image


def read_beside(
    path: Path, standard: Image, *, bits: int | None = None, modality: str | None = None
) -> Image:
    """Read a file that is measured by another: along its axis, and in its units.

    Whether numbers can be Hounsfield units the other tells: noise may bring some of a
    part of soft tissue below those of fat.

    Raises
    ------
    InputError
        As `read_told`.
    """
    told = modality if standard.units == "HU" else None
    image = read_told(path, axis=frame_axis(standard), bits=bits, modality=told)
    return in_units_of(image, standard)


@contextmanager
def all_or_nothing(folder: Path | None) -> Iterator[Path | None]:
    """Give a place whose content moves into a folder of the user's if all goes well.

    A run that fails or is interrupted leaves the folder as it was.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    if folder is None:
        yield None
        return
    made = not folder.exists()
    part = folder / f".{secrets.token_hex(4)}.part"
    try:
        try:
            part.mkdir(parents=True)
        except OSError as error:
            raise output_error(error, folder) from error
        yield part
        try:
            for child in sorted(part.iterdir()):
                child.rename(folder / child.name)
        except OSError as error:
            raise output_error(error, folder) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if made:
            with suppress(OSError):  # not empty: it is whole
                folder.rmdir()


class PictureFolder:
    """Pictures kept in a temporary folder, which goes when this object does.

    Fulfils `medenh.evaluation.result.Pictures`.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="medenh-evaluate-")
        self.path = Path(self._folder.name)

    def get(self, file: str, row: str) -> FloatArray | None:
        """Return a picture, shape (H, W, C) in [0, 1], or None."""
        return _read(_place(self.path, file, row, "picture"))

    def overlay(self, file: str, row: str, task: str) -> BoolArray | None:
        """Return what a task found, shape (H, W), or None."""
        plane = _read(_place(self.path, file, row, f"task-{task}"))
        return None if plane is None else plane[..., 0] > 0.5

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


class FilePictures:
    """Pictures of the user's files, read when they are asked for.

    Fulfils `medenh.evaluation.result.Pictures`.

    Parameters
    ----------
    paths : mapping
        Row name (or "reference") -> file -> path.
    overlays : PictureFolder, optional
        Where tasks kept what they found.
    bits : int, optional
    modality : str, optional
        As of `read_told`.
    """

    def __init__(
        self,
        paths: Mapping[str, Mapping[str, Path]],
        overlays: PictureFolder | None = None,
        bits: int | None = None,
        modality: str | None = None,
    ) -> None:
        self._paths = paths
        self._overlays = overlays
        self._told: Mapping[str, Any] = {"bits": bits, "modality": modality}

    def get(self, file: str, row: str) -> FloatArray | None:
        """Return a picture, shape (H, W, C) in [0, 1], or None."""
        path = self._paths.get(row, {}).get(file)
        if path is None:
            return None
        try:
            return _reduced(middle_frame(self._as_measured(path, file)))
        except (InputError, OutOfMemoryError):
            return None

    def _as_measured(self, path: Path, file: str) -> Image:
        """Read a picture along the axis, and on the range, that its figures are of."""
        reference = self._paths.get(REFERENCE, {}).get(file)
        first = reference or self._paths.get(SUBJECT, {}).get(file, path)
        if first == path:
            return read_told(path, **self._told)
        standard = read_told(first, **self._told)
        image = read_beside(path, standard, **self._told)
        return image if reference is None else on_range_of(image, standard)

    def overlay(self, file: str, row: str, task: str) -> BoolArray | None:
        """Return what a task found, shape (H, W), or None."""
        found = self._overlays
        return None if found is None else found.overlay(file, row, task)


def _write(path: Path, levels: NDArray[np.uint8]) -> None:
    try:
        path.write_bytes(raster.encode(from_array(levels), path, "png"))
    except OSError as error:
        raise OutputError(
            f"no place for the report's pictures: {error.strerror}",
            path=path.parent,
            hint="free space there, or name another folder in TMPDIR",
        ) from error


def _place(folder: Path, file: str, row: str, kind: str) -> Path:
    row = "degraded" if row == "identity" else row  # one picture under two names
    name = hashlib.sha256(f"{file}\0{row}\0{kind}".encode(errors="replace"))
    return folder / f"{name.hexdigest()[:32]}.png"


def _read(path: Path) -> FloatArray | None:
    return unit_frame(formats.read(path), 0) if path.exists() else None


def _factor(shape: tuple[int, ...]) -> int:
    return max(1, -(-max(shape[:2]) // _MAX_SIDE))


def _reduced(pixels: FloatArray) -> FloatArray:
    """Return the means of whole blocks."""
    factor = _factor(pixels.shape)
    if factor == 1:
        return pixels
    height, width = (max(1, side // factor) for side in pixels.shape[:2])
    blocks = pixels[: height * factor, : width * factor]
    step = (min(factor, pixels.shape[0]), min(factor, pixels.shape[1]))
    parted = blocks.reshape(height, step[0], width, step[1], -1)
    means: FloatArray = parted.mean((1, 3), dtype=np.float32)
    return means
