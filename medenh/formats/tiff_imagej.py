"""What ImageJ says of a TIFF file that is not true of other pixels: its display range.

It stands in two places: the lines "min=" and "max=" of the description, and, of each
channel of a composite, in its own tags (50838, lengths of the parts; 50839, the parts,
of which the first is a table of the others). ImageJ shows pictures without either from
their smallest to their largest value.
"""

from __future__ import annotations

import re
import struct

from medenh.formats import tiff_told

__all__ = ["Tag", "without_display_range"]

Tag = tuple[int, int, int, bytes]  # code, type, count, value

_DESCRIPTION, _COUNTS, _PARTS = 270, 50838, 50839
_RANGE_LINES = re.compile(rb"^(?:min|max)=[^\n\0]*\n?", re.MULTILINE)
_MAGIC, _RANGES = b"IJIJ", b"rang"


def without_display_range(tags: list[Tag], order: str) -> list[Tag]:
    """Return the tags of a page without the range that ImageJ is to show.

    Parameters
    ----------
    tags : list of (code, type, count, bytes)
        All else stays as it is; so does what is damaged, which ImageJ passes over.
    order : str
        Byte order of the values, "<" or ">".
    """
    values = {code: value for code, _, _, value in tags}
    parts = _without_ranges(values.get(_COUNTS, b""), values.get(_PARTS, b""), order)
    kept: list[Tag] = []
    for code, kind, count, value in tags:
        if code == _DESCRIPTION and tiff_told.teller(value) == "ImageJ":
            value = _RANGE_LINES.sub(b"", value)
            count = len(value)
        elif code in (_COUNTS, _PARTS) and parts is not None:
            value = parts[code == _PARTS]
            count = len(value) // (4 if code == _COUNTS else 1)
            if not value:
                continue
        kept.append((code, kind, count, value))
    return kept


def _without_ranges(
    counts: bytes, parts: bytes, order: str
) -> tuple[bytes, bytes] | None:
    """Return the values of both tags without the ranges; None where none are found."""
    lengths = struct.unpack(
        f"{order}{len(counts) // 4}I", counts[: len(counts) // 4 * 4]
    )
    if not lengths or sum(lengths) != len(parts) or lengths[0] % 8 != 4:
        return None
    words = struct.unpack_from(f"{order}{lengths[0] // 4}I", parts)
    table = list(zip(words[1::2], words[2::2], strict=True))
    numbers = struct.unpack(">2I", _MAGIC + _RANGES)  # names are numbers of the order
    found = [name for name, _ in table]
    if words[0] != numbers[0] or numbers[1] not in found:
        return None
    if sum(count for _, count in table) != len(lengths) - 1:
        return None
    kept, place, number = [], lengths[0], 1
    for name, count in table:
        taken = lengths[number : number + count]
        piece = parts[place : place + sum(taken)]
        if name != numbers[1]:
            kept.append((name, taken, piece))
        place, number = place + len(piece), number + count
    if not kept:
        return b"", b""
    head = [numbers[0]]
    for name, taken, _ in kept:
        head += [name, len(taken)]
    sizes = [4 * len(head), *(size for _, taken, _ in kept for size in taken)]
    return (
        struct.pack(f"{order}{len(sizes)}I", *sizes),
        struct.pack(f"{order}{len(head)}I", *head)
        + b"".join(piece for *_, piece in kept),
    )
