"""The pages of a TIFF file: counted and budgeted before a decoder sees them.

Layout: TIFF revision 6.0 section 2; BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medenh.errors import OverBudgetError, UnreadableError, UnsupportedError
from medenh.formats import jpeg, lzw

__all__ = ["JPEG", "MAX_PAGES", "check_chain", "check_segments"]

JPEG = 7

MAX_PAGES = 20_000
_MAX_TAGS = 4096
_RAW = 1

# Deflate, PackBits, LZMA, Zstandard: their decoders are told how much to expect. JPEG
# and LZW are checked here; what else there is could grow at will, crash, be filled up.
_LZW = 5
_COMPRESSIONS = (_RAW, _LZW, JPEG, 8, 32773, 32946, 34925, 50000)


def check_chain(path: Path, size: int) -> None:
    """Refuse a file whose chain of pages is damaged or too long.

    Parameters
    ----------
    path : path
        A TIFF or BigTIFF file.
    size : int
        Its size in bytes.

    Raises
    ------
    UnreadableError
        The chain leaves the file or runs in a circle.
    OverBudgetError
        More than `MAX_PAGES` pages.
    """
    with path.open("rb") as stream:
        head = stream.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = len(head) == 16 and struct.unpack_from(order + "H", head, 2)[0] == 43
        count_type, entry, place_type = ("Q", 20, "Q") if big else ("H", 12, "I")
        try:
            (place,) = struct.unpack_from(order + place_type, head, 8 if big else 4)
            seen: set[int] = set()
            while place:
                if place in seen:
                    raise UnreadableError("damaged TIFF: pages in a circle", path=path)
                seen.add(place)
                if len(seen) > MAX_PAGES:
                    raise OverBudgetError(f"more than {MAX_PAGES} pages", path=path)
                stream.seek(place)
                (tags,) = _unpack(stream.read(8 if big else 2), order + count_type)
                end = place + (8 if big else 2) + tags * entry
                if not 0 < tags <= _MAX_TAGS or end > size:
                    raise UnreadableError("damaged TIFF: impossible page", path=path)
                stream.seek(end)
                # some writers leave the last link out
                link = stream.read(8 if big else 4)
                place = _unpack(link, order + place_type)[0] if link else 0
        except (struct.error, OSError, ValueError, OverflowError) as error:
            raise UnreadableError("truncated TIFF", path=path) from error
    if not seen:
        raise UnreadableError("damaged TIFF: no pages", path=path)


def _unpack(data: bytes, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, data)


def check_segments(page: Any, size: int, path: Path) -> None:
    """Refuse a page whose strips or tiles are not whole and inside the file.

    Parameters
    ----------
    page : tifffile.TiffPage
        Its tags are looked at, and of JPEG the structure.
    size : int
        Size of the file in bytes.

    Raises
    ------
    UnreadableError
        Something is missing.
    UnsupportedError
        A compression that nothing here guards.
    """
    if page.compression not in _COMPRESSIONS:
        raise UnsupportedError(
            f"TIFF compressed by {getattr(page.compression, 'name', page.compression)}",
            path=path,
            hint="save it with Deflate, LZW or no compression first",
        )
    offsets, counts = page.dataoffsets, page.databytecounts
    needed = int(np.prod(page.chunked))
    if len(offsets) < needed or len(counts) < needed:
        raise UnreadableError("truncated TIFF: strips are missing", path=path)
    for offset, count in zip(offsets, counts, strict=False):
        if offset <= 0 or count <= 0 or offset + count > size:
            raise UnreadableError(
                "truncated TIFF: strips lie outside the file", path=path
            )
    if page.compression == _RAW and sum(counts) < _raw_bytes(page):
        raise UnreadableError("truncated TIFF: strips are too short", path=path)
    if page.compression == JPEG:
        _check_jpegs(page, path)
    if page.compression == _LZW:
        for stream in _streams(page):
            if not lzw.is_sound(stream):
                raise UnreadableError("damaged TIFF: impossible LZW code", path=path)


def _raw_bytes(page: Any) -> int:
    row = int(page.imagewidth) * int(page.bitspersample)
    planes = int(page.samplesperpixel)
    if page.planarconfig == 1:
        row, planes = row * planes, 1
    return (row + 7) // 8 * int(page.imagelength) * planes


def _check_jpegs(page: Any, path: Path) -> None:
    """Refuse JPEG strips that are cut, or larger than the page says."""
    rows, columns = int(page.rowsperstrip), int(page.imagewidth)
    if page.is_tiled:
        rows, columns = int(page.tilelength), int(page.tilewidth)
    rows = min(rows, max(int(page.imagelength), int(page.tilelength)))
    for stream in _streams(page):
        info = jpeg.parse(stream, path)
        if info.height > rows or info.width > columns:
            raise UnreadableError(
                "damaged TIFF: a JPEG strip is larger than its page", path=path
            )


def _streams(page: Any) -> Iterator[bytes]:
    """Yield the bytes of each strip or tile."""
    file = page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        file.seek(offset)
        yield file.read(count)
