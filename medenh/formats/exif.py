"""What pixels need of Exif: which way is up (tag 274 of TIFF)."""

from __future__ import annotations

import struct

__all__ = ["JPEG_MARK", "block", "orientation"]

JPEG_MARK = b"Exif\0\0"  # before the block, in a segment of JPEG
_TAG, _SHORT = 0x0112, 3
_MOST_ENTRIES = 512


def orientation(data: bytes) -> int:
    """Return the orientation that an Exif block (a small TIFF file) tells, 1 to 8.

    1, upright, where it tells none or is damaged.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return 1
    try:
        (place,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, place)
        for index in range(min(count, _MOST_ENTRIES)):
            entry = struct.unpack_from(f"{order}HHIH", data, place + 2 + 12 * index)
            if entry[:3] == (_TAG, _SHORT, 1):
                return entry[3] if 1 <= entry[3] <= 8 else 1
    except struct.error:  # it points beyond its end
        pass
    return 1


def block(turned: int) -> bytes:
    """Return an Exif block that tells an orientation and nothing else."""
    entry = struct.pack("<HHIHH", _TAG, _SHORT, 1, turned, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
