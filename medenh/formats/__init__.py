"""Files to `Image` and back: sniff by content, read, write, whatever the format.

One module for each format; `discover` finds inputs, `files` writes safely,
`limits` refuses what would not fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from medenh.formats.extensions import EXTENSIONS
from medenh.formats.limits import DEFAULT, Limits
from medenh.paths import StrPath, as_path, as_places

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from medenh.arrays import PillowPicture
    from medenh.types import Image, Provenance

__all__ = ["EXTENSIONS", "Limits", "read", "sniff", "write"]

PROFILES = ("basic",)
"""Of de-identification: see `write`."""

UID_SECRET = "MEDENH_UID_SECRET"
"""Environment variable with the key of the UIDs that de-identified files get."""


def sniff(path: StrPath) -> str:
    """Return the format of a file, told from its content.

    Parameters
    ----------
    path : path
        A file; of a NIfTI header and image pair either half.

    Returns
    -------
    str
        "png", "jpeg", "bmp", "tiff", "nifti", "npy" or "dicom".

    Raises
    ------
    UnreadableError
        Missing, empty, a folder, a pipe or device, or no image.
    UnsupportedError
        An image of a kind that is not read (GIF, WebP, Analyze...).
    """
    from medenh.formats.content import format_of

    return format_of(Path(as_path(path, "file")))


def read(
    path: StrPath | Iterable[StrPath],
    *,
    axis: int | None = None,
    limits: Limits = DEFAULT,
) -> Image:
    """Return the picture in a file, or the volume in the files of a DICOM series.

    Parameters
    ----------
    path : path, or several
        One file of any format, or the slices of one DICOM series in any order:
        ``sorted(folder.glob("*"))``. A file that is given twice is taken once.
    axis : int, optional
        For NIfTI, the voxel axis (0, 1 or 2) that becomes the frames; by default the
        one with the coarsest spacing.
    limits : Limits
        What the file may cost; checked on its header, before decoding.

    Returns
    -------
    Image
        Pixels in native units, shape (frames, height, width, channels).

    Raises
    ------
    InputError
        One of its kinds, whatever is wrong with the file.
    OutOfMemoryError
        It is within the limits, and does not fit in memory.
    UsageError
        ``axis`` is out of range, several files are not DICOM, or what was given is no
        path.
    """
    from medenh.formats import readers

    return readers.read(_paths(path, "file"), axis=axis, limits=limits)


def write(
    image: Image | NDArray[Any] | PillowPicture,
    path: StrPath | Iterable[StrPath],
    *,
    like: Image | StrPath | Iterable[StrPath] | None = None,
    format: str | None = None,
    provenance: Provenance | None = None,
    deidentify: str | None = None,
) -> None:
    """Write a picture, whole or not at all.

    Parameters
    ----------
    image : Image, array or picture of Pillow
        What to write; an array has the axes of `medenh.formats.array`. TIFF, NIfTI and
        npy keep its numbers. PNG, JPEG and BMP keep integers from 0 to 255, and PNG up
        to 65535, whatever their type. Other integers, and floats, are rescaled to all
        levels of the file, from the range that stands for black and white
        (`Image.unit_range`), rounded, and cut off outside: the whole floats 0 to 255,
        for one, become 0 to 65535 in a PNG. So are pictures from DICOM and NIfTI.
    path : path, or several
        The output, replaced if it is there already, unless the image was read from it;
        for a DICOM series one for each frame, in the frames' order.
    like : Image or path, or paths of a DICOM series, optional
        A picture of equal shape and units. All but the pixels is taken from it:
        format, header, type, geometry, opacity.
    format : str, optional
        A key of `EXTENSIONS`. By default the image's own format where the
        extension allows it, else the format that the extension stands for.
    provenance : Provenance, optional
        What made the pixels, for the formats that can say so; by default what the
        image knows of it (`Image.history`).
    deidentify : "basic", optional
        Leave out what names the patient, by the Basic profile of DICOM PS3.15, of a
        picture that was read from DICOM. The pixels stay, burned-in text and all.

    Raises
    ------
    UnsupportedError
        The picture cannot be put into this format without loss of meaning, or it was
        not read from DICOM and is to be de-identified.
    UsageError
        Unknown format or extension; ``like`` is of another shape or other units; the
        pixels are not as many as in the DICOM or NIfTI file whose geometry they have.
    OutputError
        No room, no permission... Nothing was left behind.

    Warns
    -----
    UserWarning
        The format gets something of a DICOM file wrong: the places of slices that are
        not evenly spaced in NIfTI, numbers behind a modality lookup table. Or a volume
        was resized, and NIfTI gets no place of it; or the size of pixels is unknown.
        PNG, JPEG or BMP gets other numbers than those of an array, where their range
        does not tell what black and white are, or no number for NaN and infinity.
    """
    from medenh.formats import writers
    from medenh.types import Image

    if not isinstance(image, Image):
        from medenh.arrays import without_pillow
        from medenh.formats.array import from_array

        image = from_array(without_pillow(image))
    if like is not None and not isinstance(like, Image):
        like = _paths(like, "like")
    made_by = image.history() if provenance is None else provenance
    targets = _paths(path, "output")
    writers.write(
        image,
        targets,
        like=like,
        format=format,
        provenance=made_by,
        deidentify=deidentify,
    )
    told = writers.lost_meaning(image, targets, format=format, placed=like is not None)
    for word in told:
        warnings.warn(word, stacklevel=2)


def _paths(path: StrPath | Iterable[StrPath], name: str) -> list[Path]:
    return [Path(one) for one in as_places(path, name)]
