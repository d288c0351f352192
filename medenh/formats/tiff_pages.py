"""The pages of a TIFF file: counted and budgeted before a decoder sees them.

Layout: TIFF revision 6.0 section 2; BigTIFF.
"""

from __future__ import annotations

import struct
from pathlib import Path

from medenh.errors import OverBudgetError, UnreadableError

__all__ = ["MAX_PAGES", "check_chain"]

MAX_PAGES = 20_000
_MAX_TAGS = 4096


def check_chain(path: Path, size: int) -> int:
    """Return the number of pages, following the chain in the file.

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
    return len(seen)


def _unpack(data: bytes, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, data)
