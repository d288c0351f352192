"""LZW streams of TIFF, checked before they are decoded.

The decoder at hand trusts its input: a code that points beyond its table ends the whole
process. Where each code lies depends on their number since the last Clear alone, so
all codes up to the next one are looked at together.

Format: TIFF 6.0 section 13.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_sound"]

_CLEAR, _END, _FIRST = 256, 257, 258
_TABLE = 4096
_SMALL = 64
_LEAST_CODES = 32  # between two Clears, on average; encoders send thousands


def _layout() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return place and width in bits, and the largest legal value, of each code."""
    index = np.arange(_TABLE - _FIRST + 2)
    used = np.maximum(index - 1, 0) + _FIRST
    width = np.full(index.size, 9)
    for bits in (9, 10, 11):
        width[used > 2**bits - 2] = bits + 1
    place = np.concatenate([[0], np.cumsum(width)[:-1]])
    largest = np.where(index == 0, 255, used)
    return place.astype(np.int64), width.astype(np.int64), largest.astype(np.int64)


_PLACE, _WIDTH, _LARGEST = _layout()


def is_sound(stream: bytes) -> bool:
    """Tell whether every code of a stream is in the table it builds.

    Parameters
    ----------
    stream : bytes
        One strip or tile.

    Returns
    -------
    bool
        False also for the reversed bits of files before TIFF 5.0, and for streams
        that clear their table without pause.
    """
    if len(stream) < 2 or (stream[0] == 0 and stream[1] & 1):
        return False
    data = np.frombuffer(stream + b"\0\0\0", np.uint8).astype(np.int64)
    bits = len(stream) * 8
    rounds = 64 + bits // (9 * _LEAST_CODES)
    place = 0
    for _ in range(rounds):
        end, last = _one_table(data, place, bits, _SMALL)
        if end < 0 and last == 0:
            end, last = _one_table(data, place, bits, _PLACE.size)
        if last == _CLEAR:
            place = end
        else:
            return last == _END or (end < 0 and last < 0)
    return False


def _one_table(
    data: NDArray[np.int64], start: int, bits: int, most: int
) -> tuple[int, int]:
    """Read codes up to the next Clear or End.

    Returns
    -------
    tuple of int
        Place behind it, and which it was; (-1, 0) where there is none among ``most``
        codes, (-1, -1) where the stream ends, (0, 0) where a code is impossible.
    """
    fits = int(np.searchsorted(_PLACE[:most] + _WIDTH[:most], bits - start, "right"))
    place, width = _PLACE[:fits] + start, _WIDTH[:fits]
    byte = place >> 3
    word = (data[byte] << 16) | (data[byte + 1] << 8) | data[byte + 2]
    codes = (word >> (24 - (place & 7) - width)) & ((1 << width) - 1)
    stops = np.flatnonzero((codes == _CLEAR) | (codes == _END))
    count = int(stops[0]) if stops.size else fits
    if (codes[:count] > _LARGEST[:count]).any():
        return 0, 0
    if stops.size:
        return int(place[count] + width[count]), int(codes[count])
    return -1, 0 if fits == most else -1
