"""The chunks of a PNG file: checked, and kept for writing back. No pixels here.

Layout and rules: PNG specification, third edition (W3C), sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from medenh.errors import UnreadableError, UnsupportedError
from medenh.formats import exif
from medenh.formats.viewing import METRE, Viewing, resolution

__all__ = ["PngInfo", "parse", "splice", "text_chunk", "viewing", "viewing_chunks"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 1_000_000
_MAX_KEPT = 16 * 2**20
_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}
_PALETTE = 3  # colour type
_DEPTHS = {
    0: (1, 2, 4, 8, 16),
    2: (8, 16),
    3: (1, 2, 4, 8),
    4: (8, 16),
    6: (8, 16),
}

# What says how the picture is to be seen, and is true of other pixels too. sBIT, bKGD,
# hIST and sPLT depend on the colour type, which a palette does not keep.
_KEPT = (
    b"iCCP",
    b"sRGB",
    b"gAMA",
    b"cHRM",
    b"cICP",
    b"pHYs",
    b"eXIf",
    b"tEXt",
    b"zTXt",
    b"iTXt",
)


@dataclass(frozen=True, slots=True)
class PngInfo:
    """What the chunks of a PNG file say.

    Attributes
    ----------
    width, height : int
        Columns and rows.
    depth : int
        Bits for each sample or palette index.
    channels : int
        Samples a pixel may have once decoded, an upper bound.
    palette : bool
        Pixels are indices of colours.
    kept : tuple of bytes
        Whole chunks to be written back; Exif without its thumbnail.
    """

    width: int
    height: int
    depth: int
    channels: int
    palette: bool
    kept: tuple[bytes, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """Warnings of how pixels are changed so that they can be enhanced."""
        if self.palette:
            return ("its palette becomes RGB",)
        if self.depth < 8:
            top = 2**self.depth - 1
            return (
                f"its {self.depth}-bit grey becomes 8-bit: {top} is written as 255",
            )
        return ()

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the decoded pixels, an upper bound."""
        wide = 2 if self.depth == 16 else 1
        return self.width * self.height * self.channels * wide


def header(data: bytes, path: Path) -> PngInfo:
    """Return what the first chunk says, before anything else is looked at."""
    if not data.startswith(SIGNATURE) or data[12:16] != b"IHDR" or len(data) < 33:
        raise UnreadableError("damaged PNG: no header chunk", path=path)
    width, height, depth, colour, method, filters, interlace = struct.unpack_from(
        ">IIBBBBB", data, 16
    )
    known = depth in _DEPTHS.get(colour, ()) and interlace in (0, 1)
    if not known or method or filters or not width or not height:
        raise UnreadableError("damaged PNG: impossible header", path=path)
    return PngInfo(width, height, depth, _CHANNELS[colour], colour == _PALETTE)


def parse(data: bytes, path: Path) -> PngInfo:
    """Return what the chunks say, having checked each one's length and CRC.

    Raises
    ------
    UnreadableError
        Truncated, a wrong check sum, no pixels, or no end.
    UnsupportedError
        Animated: all frames but the first would be lost.
    """
    info = header(data, path)
    kept: list[bytes] = []
    room = _MAX_KEPT
    seen_pixels = False
    for kind, whole in _chunks(data, path):
        if kind == b"acTL":
            raise UnsupportedError("animated PNG", path=path, hint="use one frame")
        seen_pixels |= kind == b"IDAT"
        if kind in _KEPT and len(whole) <= room:
            if kind == b"eXIf":
                whole = chunk(kind, exif.without_thumbnail(whole[8:-4]))
            kept.append(whole)
            room -= len(whole)
    if not seen_pixels:
        raise UnreadableError("damaged PNG: no pixels", path=path)
    return replace(info, kept=tuple(kept))


def _chunks(data: bytes, path: Path) -> list[tuple[bytes, bytes]]:
    """Return (type, whole chunk) of all but IDAT, whose bytes are left out."""
    view = memoryview(data)
    found: list[tuple[bytes, bytes]] = []
    place = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if place + 12 > len(data):
            raise UnreadableError("truncated PNG: it ends without IEND", path=path)
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 12 + length
        if end > len(data):
            raise UnreadableError("truncated PNG: it ends inside a chunk", path=path)
        (crc,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[place + 4 : end - 4]) != crc:
            raise UnreadableError("damaged PNG: wrong check sum", path=path)
        kind = data[place + 4 : place + 8]
        found.append((kind, b"" if kind == b"IDAT" else bytes(view[place:end])))
        if kind == b"IEND":
            return found
        place = end
    raise UnreadableError("damaged PNG: too many chunks", path=path)


def viewing(kept: tuple[bytes, ...]) -> Viewing:
    """Return what chunks say of how the picture is to be seen."""
    content = {part[4:8]: part[8:-4] for part in reversed(kept)}
    told = exif.viewing(content.get(b"eXIf", b""))
    density = content.get(b"pHYs", b"")
    measured = None
    if len(density) == 9 and density[8] == 1:  # in pixels for each metre
        across, down = struct.unpack_from(">II", density)
        measured = resolution(across, down, METRE)
    return Viewing(
        _profile(content.get(b"iCCP", b"")),
        measured or told.resolution,
        told.orientation,
    )


def _profile(content: bytes) -> bytes:
    """Return the profile in an iCCP chunk; nothing of a damaged or endless one."""
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(content.partition(b"\0")[2][1:], _MAX_KEPT)
    except zlib.error:
        return b""
    return found if unpacker.eof else b""


def viewing_chunks(told: Viewing) -> tuple[bytes, ...]:
    """Return the chunks of a new PNG that say how it is to be seen."""
    chunks = []
    if told.profile:
        packed = zlib.compress(told.profile)
        chunks.append(chunk(b"iCCP", b"ICC profile\0\0" + packed))
    if told.resolution is not None:
        across, down = (max(1, round(one * METRE)) for one in told.resolution)
        chunks.append(chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if told.orientation != 1:
        chunks.append(chunk(b"eXIf", exif.block(told.orientation)))
    return tuple(chunks)


def splice(encoded: bytes, kept: tuple[bytes, ...]) -> bytes:
    """Return an encoded PNG with ``kept`` as its only ancillary chunks."""
    if not kept:
        return encoded
    after_header = len(SIGNATURE) + 25
    return b"".join((encoded[:after_header], *kept, encoded[after_header:]))


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a whole chunk."""
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def text_chunk(keyword: str, text: str) -> bytes:
    """Return a tEXt chunk (Latin-1; other characters become "?")."""
    words = (keyword.encode("latin-1"), text.encode("latin-1", "replace"))
    return chunk(b"tEXt", b"\0".join(words))
