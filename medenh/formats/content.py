"""What a file is, told from its first bytes and never from its name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from medenh.errors import InputError, UnreadableError, UnsupportedError
from medenh.formats import files

__all__ = ["find_partner", "format_of"]

_HEAD = 1024
_NIFTI1 = (b"n+1\0", b"ni1\0")
_NIFTI2 = (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PARTNERS = {
    ".hdr": ".img",
    ".img": ".hdr",
    ".hdr.gz": ".img.gz",
    ".img.gz": ".hdr.gz",
}

# Pictures that are known and not read: a clear word instead of "not an image".
_FOREIGN = (
    (b"GIF8", 0, "GIF"),
    (b"WEBP", 8, "WebP"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000 (outside DICOM)"),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000 (outside DICOM)"),
    (b"NRRD000", 0, "NRRD"),
    (b"\x89HDF\r\n\x1a\n", 0, "HDF5 or MINC 2"),
    (b"CDF\x01", 0, "MINC 1"),
    (b"%PDF-", 0, "PDF"),
    (b"8BPS", 0, "Photoshop"),
    (b"\0\0\0\x01\0\0\0", 0, "MGH"),
    (b"ftypheic", 4, "HEIC"),
    (b"ftypavif", 4, "AVIF"),
)


def find_partner(path: Path) -> Path | None:
    """Return the other half of a NIfTI header and image pair, or None.

    Parameters
    ----------
    path : path
        A file called .hdr, .img, .hdr.gz or .img.gz, in any case.

    Returns
    -------
    Path or None
        The existing regular file beside it with the other ending, compressed or not.
    """
    lower = path.name.lower()
    for ending, other in _PARTNERS.items():
        if not lower.endswith(ending):
            continue
        stem = path.name[: -len(ending)]
        plain = other.removesuffix(".gz")
        for tail in (other, plain, plain + ".gz"):
            for name in (stem + tail, stem + tail.upper()):
                candidate = path.with_name(name)
                if candidate.is_file():
                    return candidate
    return None


def format_of(path: Path) -> str:
    """Return the format of a file: see `medenh.formats.sniff`."""
    head = files.read_head(path, _HEAD)
    lower = path.name.lower()
    if lower.endswith((".img", ".img.gz")) and _is_image_half(path):
        return "nifti"
    plain = _inflated(head)
    name = _simple(head) or _nifti(plain, path)
    if name:
        return name
    if _is_dicom(head):
        return "dicom"
    for signature, offset, kind in _FOREIGN:
        if head[offset : offset + len(signature)] == signature:
            raise UnsupportedError(
                f"{kind} is not a format medenh reads",
                path=path,
                hint="convert it to PNG, TIFF, DICOM or NIfTI first",
            )
    raise UnreadableError(
        "is not an image medenh knows",
        path=path,
        hint="DICOM, NIfTI, PNG, TIFF, JPEG, BMP or npy; perhaps it is damaged",
    )


def _simple(head: bytes) -> str:
    if head[128:132] == b"DICM":  # first: its preamble may pose as a TIFF
        return "dicom"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(_TIFF):
        return "tiff"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    return "bmp" if _is_bmp(head) else ""


def _is_bmp(head: bytes) -> bool:
    if len(head) < 26 or not head.startswith(b"BM"):
        return False
    (size,) = struct.unpack_from("<I", head, 14)
    return size in (12, 40, 52, 56, 64, 108, 124)


def _inflated(head: bytes) -> bytes:
    if not head.startswith(b"\x1f\x8b"):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 560)
    except zlib.error:
        return b""


def _nifti(head: bytes, path: Path) -> str:
    """Return "nifti" or ""; raise where it is one that cannot be read."""
    sizes = {head[:4], head[3::-1] if len(head) >= 4 else b""}
    if struct.pack("<i", 348) in sizes and len(head) >= 348:
        magic = head[344:348]
        if magic not in _NIFTI1:
            raise UnsupportedError(
                "Analyze 7.5 does not say how it is oriented",
                path=path,
                hint="convert it to NIfTI first",
            )
    elif struct.pack("<i", 540) in sizes and head[4:12] in _NIFTI2:
        magic = head[4:8]
    else:
        return ""
    if magic[1:2] == b"i" and find_partner(path) is None:
        raise UnreadableError("the .img file beside this header is missing", path=path)
    return "nifti"


def _is_image_half(path: Path) -> bool:
    partner = find_partner(path)
    if partner is None:
        return False
    try:
        head = _inflated(files.read_head(partner, _HEAD))
        return _nifti(head, partner) == "nifti"
    except UnsupportedError as error:  # neither half can be read, for the same reason
        error.path = path
        raise
    except InputError:
        return False


def _is_dicom(head: bytes) -> bool:
    # cheap first: without preamble it begins with group 0002 or 0008, or with DICM
    starts = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08", b"DICM")
    if not head.startswith(starts):
        return False
    from medenh.formats import dicom

    return bool(dicom.is_dicom(head))
