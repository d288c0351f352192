"""DICOM files to `Image` and back, as legal derived images.

Reading goes `dataset` (bytes to elements, with a meter), `header` (what the file
promises, checked against the budget), `codecs` (pixels), `meaning` and `geometry`
(units, window, place), put together by `reader`. Writing goes `derive` (the elements
of a derived image), then `writer`. Nothing here loads pydicom before it is needed.

Patient data stays inside: no message, log record or warning quotes a file's values.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medenh.formats.limits import DEFAULT, Limits

if TYPE_CHECKING:
    from medenh.formats.dicom.header import DicomHeader
    from medenh.formats.dicom.reader import DicomFiles
    from medenh.types import Image, Provenance

__all__ = [
    "burned_in_text",
    "doubtful_polarity",
    "is_dicom",
    "is_raw",
    "lost_meaning",
    "no_magnitude",
    "read",
    "read_header",
    "unused_window",
    "write",
]

# Value representations of elements that stand first in group 0008.
_FIRST_VRS = (b"UL", b"CS", b"UI", b"LO", b"SH", b"DA", b"TM")


def is_dicom(head: bytes) -> bool:
    """Tell from its first bytes whether a file is DICOM.

    Parameters
    ----------
    head : bytes
        The first 132 bytes or more.

    Returns
    -------
    bool
        True for "DICM" after the preamble, or where the preamble is cut off, and for
        files without both that begin with a plausible first element of group 0002 or
        0008.
    """
    if head[128:132] == b"DICM" or head.startswith(b"DICM\x02\0"):
        return True
    if len(head) < 16:
        return False
    group, element = struct.unpack_from("<HH", head)
    if group == 0x0002 and element <= 0x0002:
        return head[4:6] in (b"UL", b"OB", b"UI")
    if group != 0x0008 or element > 0x0018:
        return False
    if head[4:6] in _FIRST_VRS:
        (length,) = struct.unpack_from("<H", head, 6)
        return bool(length <= 256 and length % 2 == 0)
    (length,) = struct.unpack_from("<I", head, 4)
    wanted = (4,) if element == 0 else range(2, 130, 2)
    return length in wanted


def read(paths: Sequence[Path], *, limits: Limits = DEFAULT) -> Image:
    """Return one DICOM file, or the files of one series, as one image.

    Parameters
    ----------
    paths : sequence of paths
        One file of any number of frames, or several single-frame files of one series
        in any order.
    limits : Limits
        Checked against the headers before any pixel is decoded.

    Returns
    -------
    Image
        Slices sorted by position along their normal, else by instance number, else by
        file name. Frames of one file as they lie, if they are a volume or volumes
        that follow one another, else by position where all have one. Grey pixels after
        a linear rescale (HU for CT), colour as RGB. Its header remembers which frame
        came from which file.

    Raises
    ------
    UnreadableError
        Damaged or truncated.
    UnsupportedError
        No picture (reports, dose, segmentations), a transfer syntax that nothing
        here decodes, or files that do not belong together.
    OverBudgetError
        More than the limits allow.
    """
    from medenh.formats.dicom import reader

    return reader.read([Path(path) for path in paths], limits=limits)


def read_header(path: Path, *, limits: Limits = DEFAULT) -> DicomHeader:
    """Return what a DICOM file says about itself, without its pixels.

    Raises
    ------
    UnreadableError
        Damaged, or no DICOM.
    OverBudgetError
        Its data set inflates beyond the limits.
    """
    from medenh.formats.dicom import header

    return header.read_header(Path(path), limits=limits)


def write(
    image: Image,
    paths: Sequence[Path],
    *,
    provenance: Provenance | None = None,
    deidentified: bool = False,
) -> None:
    """Write an image that was read from DICOM as derived DICOM images.

    Parameters
    ----------
    image : Image
        As given by `read`, with other pixels.
    paths : sequence of paths
        One for each file that was read, in the order then given to `read`.
    provenance : Provenance, optional
        What changed the pixels. The new UID of the series follows from it and the
        source's, those of the files from all that they hold.
    deidentified : bool
        By the Basic profile of PS3.15; see `medenh.formats.dicom.deidentify`.

    Raises
    ------
    UsageError
        The image was not read from DICOM, or the number of paths is wrong.
    OutputError
        The files cannot be written.
    """
    from medenh.formats.dicom import writer

    writer.write(
        image,
        [Path(path) for path in paths],
        provenance=provenance,
        deidentified=deidentified,
    )


def burned_in_text(image: Image) -> str:
    """Return what a picture's files say of text in its pixels: YES, NO or nothing.

    YES where one of the files says so; NO where all of them do.
    """
    from medenh.formats.dicom.header import text
    from medenh.formats.dicom.reader import DicomFiles

    header = image.header
    if not isinstance(header, DicomFiles):
        return ""
    told = {text(part.dataset, "BurnedInAnnotation") for part in header.parts}
    return "YES" if "YES" in told else "NO" if told == {"NO"} else ""


def doubtful_polarity(image: Image) -> str:
    """Return that a picture's files contradict themselves about what is white.

    Notes
    -----
    PS3.3 C.8.11.3: IDENTITY goes with MONOCHROME2, INVERSE with MONOCHROME1. Where it
    does not, some programs follow one and some the other.
    """
    from medenh.formats.dicom.header import text
    from medenh.formats.dicom.reader import DicomFiles

    if not isinstance(image.header, DicomFiles):
        return ""
    for part in image.header.parts:
        kind = text(part.dataset, "PhotometricInterpretation")
        shape = text(part.dataset, "PresentationLUTShape")
        if (kind, shape) in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")):
            return (
                f"its PresentationLUTShape ({shape}) contradicts its {kind}, which is "
                "followed: some programs show it as a negative of this"
            )
    return ""


def is_raw(image: Image) -> bool:
    """Tell whether one of a picture's files is for processing, not for display.

    PS3.3 C.8.11.1: values of radiographs and mammographs as the detector gives them.
    """
    from medenh.formats.dicom.header import text
    from medenh.formats.dicom.reader import DicomFiles

    header = image.header
    return isinstance(header, DicomFiles) and any(
        text(part.dataset, "PresentationIntentType") == "FOR PROCESSING"
        for part in header.parts
    )


def no_magnitude(image: Image) -> str:
    """Return what an MR image's files hold in place of magnitudes; "" if nothing."""
    from medenh.formats.dicom.reader import DicomFiles

    header = image.header
    return header.no_magnitude if isinstance(header, DicomFiles) else ""


def unused_window(image: Image) -> str:
    """Return that and why a CT's window is not used; "" where it is, or has none."""
    from medenh.formats.dicom.reader import DicomFiles

    header = image.header
    return header.unused_window if isinstance(header, DicomFiles) else ""


def lost_meaning(image: Image, kind: str, *, map_kind: str = "") -> list[str]:
    """Return what DICOM files mean that another format would get wrong.

    Parameters
    ----------
    image : Image
    kind : str
        A format, as `medenh.formats.sniff` tells it.
    map_kind : str
        That of a map beside it, which has the picture's place and no values of it.

    Returns
    -------
    list of str
        One sentence for each: places of slices that are not evenly spaced and sizes of
        pixels that differ or are missing, which NIfTI has no words for, stored
        numbers that are no real values, and those that stand for colours. In DICOM each
        slice keeps its own header and nothing is lost; that the rescale is damaged,
        frames are no slices, or are left out, is told of every format.
    """
    if image.format != "dicom":  # pydicom takes 0.1 s to load
        return []
    from medenh.formats.dicom.reader import DicomFiles

    header = image.header
    if not isinstance(header, DicomFiles):
        return []
    lost = []
    if beyond := max(part.left_out for part in header.parts):
        lost.append(
            "its pixel data hold more frames than NumberOfFrames tells of: "
            f"{beyond} are left out"
        )
    if header.tiled:
        lost.append(
            "its frames are tiles of one image, as in whole slides, but each is taken "
            "for a slice: edges between them may show; export the image as one TIFF"
        )
    if "nifti" in (kind, map_kind):
        lost += _lost_in_nifti(image, header)
    if header.damaged_rescale:
        lost.append(
            "its RescaleSlope or RescaleIntercept is not a usable number: its values "
            "are the stored numbers, not real ones"
        )
    elif not header.rescaled and kind in ("nifti", "npy", "tiff"):
        why = "its header does not tell the rescale of each frame"
        if any(part.dataset.get("ModalityLUTSequence") for part in header.parts):
            why = (
                "a lookup table (Modality LUT) gives those, and "
                f"{kind.upper()} cannot hold it"
            )
        lost.append(f"its values are the stored numbers, not real ones: {why}")
    if header.coloured and kind != "dicom":
        lost.append(
            "some of its values stand for colours (a supplemental palette): in "
            f"{kind.upper()} they are grey"
        )
    return lost


def _lost_in_nifti(image: Image, header: DicomFiles) -> list[str]:
    """Return what NIfTI gets wrong of the places and times of frames."""
    shifted = (
        "NIfTI has one spacing for all, so that not all slices lie in their place there"
    )
    nowhere = image.geometry.affine is None
    misplaced = "in NIfTI it has no place" if nowhere else shifted
    told = ((header.misplaced, misplaced), (header.uneven, shifted))
    lost = [f"{problem}: {what}" for problem, what in told if problem]
    if header.untimed:
        lost.append(f"{header.untimed}: NIfTI has one step for all, and gets none")
    if unplaced := _unplaced(image, header):
        lost.append(unplaced)
    return lost


def _unplaced(image: Image, header: DicomFiles) -> str:
    """Return why slices have no place in NIfTI; "" where they have, or are times."""
    geometry = image.geometry
    if image.frames == 1 or geometry.affine is not None or geometry.depth == 1:
        return ""
    if all(step > 0 for step in geometry.spacing_mm):
        return (
            "its frames' places are told in the transducer's system, not in the "
            "patient: in NIfTI they have their spacing and no place"
        )
    if geometry.spacing_mm[0] > 0:
        return (
            "nothing tells the size of its pixels (PixelSpacing): in NIfTI it has "
            "no place"
        )
    if header.misplaced:
        return ""
    return (
        "nothing tells where its frames lie and how far apart: in NIfTI they are "
        "slices at a distance of 1, in no place"
    )
