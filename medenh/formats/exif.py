"""What pictures need of Exif: which way is up, their resolution, no old thumbnail."""

from __future__ import annotations

import struct
from fractions import Fraction

from medenh.formats.viewing import CENTIMETRE, Viewing, resolution

__all__ = ["JPEG_MARK", "block", "viewing", "without_thumbnail"]

JPEG_MARK = b"Exif\0\0"  # before the block, in a segment of JPEG
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _ACROSS, _DOWN, _UNIT = 274, 282, 283, 296
_START, _LENGTH = 513, 514  # of a thumbnail in JPEG
_SHORT, _RATIONAL = 3, 5
_MOST_ENTRIES = 512


def viewing(data: bytes) -> Viewing:
    """Return what an Exif block (a small TIFF file) says of how a picture is seen.

    Nothing where it tells nothing or is damaged.
    """
    order = _ORDERS.get(data[:4])
    found: dict[int, Fraction] = {}
    try:
        if order is not None:
            (place,) = struct.unpack_from(f"{order}I", data, 4)
            (count,) = struct.unpack_from(f"{order}H", data, place)
            for index in range(min(count, _MOST_ENTRIES)):
                _read_entry(data, order, place + 2 + 12 * index, found)
    except struct.error:  # it points beyond its end
        pass
    inches = {3: CENTIMETRE}.get(int(found.get(_UNIT, 2)), Fraction(1))
    turned = int(found.get(_ORIENTATION, 1))
    return Viewing(
        resolution=resolution(found.get(_ACROSS, 0), found.get(_DOWN, 0), inches),
        orientation=turned if 1 <= turned <= 8 else 1,
    )


def _read_entry(
    data: bytes, order: str, place: int, found: dict[int, Fraction]
) -> None:
    tag, kind, count = struct.unpack_from(f"{order}HHI", data, place)
    if count != 1 or tag in found:
        return
    if tag in (_ORIENTATION, _UNIT) and kind == _SHORT:
        found[tag] = Fraction(struct.unpack_from(f"{order}H", data, place + 8)[0])
    elif tag in (_ACROSS, _DOWN) and kind == _RATIONAL:
        (there,) = struct.unpack_from(f"{order}I", data, place + 8)
        above, below = struct.unpack_from(f"{order}II", data, there)
        if below:
            found[tag] = Fraction(above, below)


def block(turned: int) -> bytes:
    """Return an Exif block that tells an orientation and nothing else."""
    entry = struct.pack("<HHIHH", _ORIENTATION, _SHORT, 1, turned, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)


def without_thumbnail(data: bytes) -> bytes:
    """Return an Exif block without the small copy of the picture that it may hold.

    It would go on showing the pixels as they were. All else stays, in its place. A
    block without one, or whose first directory is damaged, comes back as it is.
    """
    order = _ORDERS.get(data[:4])
    if order is None:
        return data
    try:
        (place,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, place)
        link = place + 2 + 12 * count
        (second,) = struct.unpack_from(f"{order}I", data, link)
    except struct.error:
        return data
    clean = bytearray(data)
    clean[link : link + 4] = bytes(4)
    start, length = _thumbnail(data, order, second)
    if data[start : start + 2] == b"\xff\xd8":
        behind = data[start + length :]
        clean[start:] = bytes(length) + behind if behind else b""
    return bytes(clean)


def _thumbnail(data: bytes, order: str, place: int) -> tuple[int, int]:
    """Return where a directory says that a JPEG lies, and its length; 0, 0 if none."""
    found = {}
    try:
        (count,) = struct.unpack_from(f"{order}H", data, place)
        for index in range(min(count, _MOST_ENTRIES)):
            entry = place + 2 + 12 * index
            tag, _, _, value = struct.unpack_from(f"{order}HHII", data, entry)
            found[tag] = value
    except struct.error:  # it ends early
        pass
    return found.get(_START, 0), found.get(_LENGTH, 0)
