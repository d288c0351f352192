"""BMP files, uncompressed: bytes to pixels and back.

Palettes of 1, 4 and 8 bits, 24 bits, 32 bits with or without alpha.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UnreadableError, UnsupportedError
from medenh.formats.viewing import METRE, Viewing, resolution

__all__ = ["BmpInfo", "decode", "density_of", "encode", "parse", "viewing"]

_RGB, _BITFIELDS, _ALPHA_BITFIELDS = 0, 3, 6
_MASKS = (0xFF0000, 0xFF00, 0xFF)
_DENSITY = 2835  # 72 dpi, in pixels for each metre


@dataclass(frozen=True, slots=True)
class BmpInfo:
    """What the header of a BMP file says.

    Attributes
    ----------
    width, height : int
        Columns and rows.
    bits : int
        Bits for each pixel.
    top_down : bool
        True where the first row is the top one.
    alpha : bool
        True where the fourth byte is declared to be opacity.
    density : tuple of int
        Pixels for each metre across and down.
    palette_at, palette_entry, colours : int
        Place of the palette, bytes for each of its colours, their number.
    pixels_at : int
        Place of the first row.
    """

    width: int
    height: int
    bits: int
    top_down: bool
    alpha: bool
    density: tuple[int, int]
    palette_at: int
    palette_entry: int
    colours: int
    pixels_at: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, padded to four."""
        return (self.width * self.bits + 31) // 32 * 4


def parse(data: bytes, path: Path) -> BmpInfo:
    """Return what the header says, checked against the size of the file."""
    try:
        info = _parse(data, path)
    except struct.error as error:
        raise UnreadableError("truncated BMP", path=path) from error
    if info.width <= 0 or info.height <= 0:
        raise UnreadableError("damaged BMP: impossible header", path=path)
    if info.pixels_at + info.row_bytes * info.height > len(data):
        raise UnreadableError("truncated BMP: rows are missing", path=path)
    if info.bits <= 8:
        table_end = info.palette_at + info.palette_entry * info.colours
        if not 0 < info.colours <= 1 << info.bits or table_end > len(data):
            raise UnreadableError("damaged BMP: impossible palette", path=path)
    return info


def _parse(data: bytes, path: Path) -> BmpInfo:
    pixels_at, size = struct.unpack_from("<II", data, 10)
    if size == 12:  # OS/2
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression, density, colours, entry = _RGB, (_DENSITY, _DENSITY), 0, 3
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        across, down, colours = struct.unpack_from("<iiI", data, 38)
        density, entry = (across, down), 4
    masked = compression in (_BITFIELDS, _ALPHA_BITFIELDS) and bits == 32
    if bits not in (1, 4, 8, 24, 32) or not (compression == _RGB or masked):
        raise UnsupportedError(
            f"BMP of {bits} bits, compression {compression}",
            path=path,
            hint="convert it to PNG first",
        )
    alpha = False
    if masked:
        if struct.unpack_from("<III", data, 54) != _MASKS:
            raise UnsupportedError("BMP with unusual colour masks", path=path)
        if size >= 56:
            alpha = struct.unpack_from("<I", data, 66)[0] == 0xFF000000
    return BmpInfo(
        width,
        abs(height),
        bits,
        height < 0,
        alpha,
        density,
        14 + size,
        entry,
        colours or (1 << bits if bits <= 8 else 0),
        pixels_at,
    )


def decode(data: bytes, info: BmpInfo, path: Path) -> NDArray[np.uint8]:
    """Return the pixels, shape (height, width, channels), channels 1, 3 or 4."""
    rows = np.frombuffer(
        data, np.uint8, info.row_bytes * info.height, info.pixels_at
    ).reshape(info.height, info.row_bytes)
    if not info.top_down:
        rows = rows[::-1]
    if info.bits <= 8:
        return _from_palette(data, info, rows, path)
    samples = info.bits // 8
    pixels = rows[:, : info.width * samples].reshape(info.height, info.width, samples)
    order = [2, 1, 0, 3] if info.alpha else [2, 1, 0]
    return np.ascontiguousarray(pixels[..., order])


def _from_palette(
    data: bytes, info: BmpInfo, rows: NDArray[np.uint8], path: Path
) -> NDArray[np.uint8]:
    indices = rows
    if info.bits < 8:
        bits = np.unpackbits(rows, axis=1).reshape(info.height, -1, info.bits)
        weights = (1 << np.arange(info.bits)[::-1]).astype(np.uint8)
        indices = (bits * weights).sum(axis=2, dtype=np.uint8)
    indices = indices[:, : info.width]
    if int(indices.max()) >= info.colours:
        raise UnreadableError("damaged BMP: a colour is not in the palette", path=path)
    table = np.frombuffer(
        data, np.uint8, info.colours * info.palette_entry, info.palette_at
    ).reshape(info.colours, info.palette_entry)[:, 2::-1]
    if (table == table[:, :1]).all():
        table = table[:, :1]
    return table[indices]


def viewing(density: tuple[int, int] | None) -> Viewing:
    """Return what a density says of how the picture is to be seen."""
    across, down = density or (0, 0)
    return Viewing(resolution=resolution(across, down, METRE))


def density_of(told: Viewing) -> tuple[int, int] | None:
    """Return the density of a new BMP, pixels for each metre; None if unknown."""
    if told.resolution is None:
        return None
    across, down = (max(1, round(one * METRE)) for one in told.resolution)
    return across, down


def encode(pixels: NDArray[Any], density: tuple[int, int] | None = None) -> bytes:
    """Return a BMP file of 8-bit pixels, shape (height, width, channels)."""
    height, width, channels = pixels.shape
    row = (width * channels * 8 + 31) // 32 * 4
    rows = np.zeros((height, row), np.uint8)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    rows[:, : width * channels] = pixels[::-1][..., order].reshape(height, -1)
    across, down = density or (_DENSITY, _DENSITY)
    size = 108 if channels == 4 else 40
    palette = b""
    if channels == 1:
        palette = np.arange(256, dtype=np.uint8).repeat(4).tobytes()
    start = 14 + size + len(palette)
    compression = _BITFIELDS if channels == 4 else _RGB
    head = struct.pack("<2sIII", b"BM", start + rows.size, 0, start)
    head += struct.pack(
        "<IiiHHIIii", size, width, height, 1, channels * 8, compression, rows.size,
        across, down,
    )  # fmt: skip
    head += struct.pack("<II", 256 if channels == 1 else 0, 0)
    if channels == 4:
        head += struct.pack("<IIII4s", *_MASKS, 0xFF000000, b"BGRs") + bytes(48)
    return head + palette + rows.tobytes()
