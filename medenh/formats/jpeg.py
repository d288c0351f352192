"""The segments of a JPEG file: checked, and kept for writing back. No pixels here.

Layout: ITU-T T.81 annex B. A JPEG has no check sum, and decoders fill what is missing
with grey; that its last marker is there is checked here, before any decoder sees it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from medenh.errors import OverBudgetError, UnreadableError, UnsupportedError
from medenh.formats import exif
from medenh.formats.viewing import CENTIMETRE, Viewing, resolution

__all__ = ["JpegInfo", "parse", "splice", "viewing", "viewing_segments"]

_MAX_SCANS = 100
_MAX_SEGMENTS = 10_000
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_DECODED = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive, Huffman
_EOI, _SOS, _DNL = 0xD9, 0xDA, 0xDC
_JFIF, _ICC, _MPF = b"JFIF\0", b"ICC_PROFILE\0", b"MPF\0"
_JFIF_BYTES = 14  # without a thumbnail
_PHOTOSHOP = b"Photoshop 3.0\0"
_RESOURCE, _SMALL_COPIES = b"8BIM", (1033, 1036)  # of Photoshop 4, and since
_ENTRIES, _ENTRY_BYTES, _THUMBNAIL = 0xB002, 16, 1  # of an MP index
_LONGEST = 65_533  # bytes in a segment
_UNITS = {1: Fraction(1), 2: CENTIMETRE}  # of JFIF, in inches

# In entropy-coded data FF00 is a stuffed FF, FFD0-FFD7 restart; others end it.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class JpegInfo:
    """What the segments of a JPEG file say.

    Attributes
    ----------
    width, height, channels : int
        Columns, rows, colour components.
    kept : tuple of bytes
        Whole segments to be written back: Exif (with the orientation), XMP, ICC,
        IPTC, comments, and the density (JFIF); without thumbnails.
    end : int
        Place just behind the end-of-image marker.
    pictures : int
        This one, and those behind it that are no thumbnails (CIPA DC-007, "MPO").
    """

    width: int
    height: int
    channels: int
    kept: tuple[bytes, ...]
    end: int
    pictures: int = 1


def parse(data: bytes, path: Path) -> JpegInfo:
    """Return what the segments say, having walked to the end of the image.

    Raises
    ------
    UnreadableError
        Damaged or truncated.
    UnsupportedError
        12-bit, lossless, arithmetic or CMYK JPEG.
    OverBudgetError
        More scans than an honest encoder makes.
    """
    frame: tuple[int, int, int] | None = None
    kept: list[bytes] = []
    scans = 0
    pictures = 1
    place = 2
    for _ in range(_MAX_SEGMENTS):
        code, place = _next_marker(data, place, path)
        if code == _EOI:
            if frame is None or not scans:
                raise UnreadableError("damaged JPEG: no picture in it", path=path)
            width, height, channels = frame
            return JpegInfo(width, height, channels, tuple(kept), place, pictures)
        if code == 0x01 or 0xD0 <= code <= 0xD8:
            continue
        body = _body(data, place, path)
        place += 2 + len(body)
        if code in _FRAMES:
            frame = _frame(code, body, path)
        elif code == _SOS:
            scans += 1
            if scans > _MAX_SCANS:
                raise OverBudgetError(f"JPEG of over {_MAX_SCANS} scans", path=path)
            place = _end_of_scan(data, place, path)
        elif _is_kept(code, body):
            kept.append(_without_thumbnail(data[place - len(body) - 4 : place]))
        elif code == 0xE2 and body.startswith(_MPF):
            pictures = _pictures(body[len(_MPF) :])
    raise UnreadableError("damaged JPEG: too many segments", path=path)


def _next_marker(data: bytes, place: int, path: Path) -> tuple[int, int]:
    """Return a marker's code and the place behind it."""
    while data[place : place + 2] == b"\xff\xff":  # fill bytes
        place += 1
    if place + 2 > len(data):
        raise UnreadableError("truncated JPEG: it ends without EOI", path=path)
    if data[place] != 0xFF:
        raise UnreadableError("damaged JPEG: a marker is missing", path=path)
    return data[place + 1], place + 2


def _body(data: bytes, place: int, path: Path) -> bytes:
    if place + 2 <= len(data):
        (length,) = struct.unpack_from(">H", data, place)
        if length >= 2 and place + length <= len(data):
            return data[place + 2 : place + length]
    raise UnreadableError("truncated JPEG: it ends inside a segment", path=path)


def _end_of_scan(data: bytes, place: int, path: Path) -> int:
    found = _MARKER.search(data, place)
    if found is None:
        raise UnreadableError("truncated JPEG: it ends without EOI", path=path)
    if data[found.start() + 1] == _DNL:
        raise UnsupportedError("JPEG with its height in a DNL segment", path=path)
    return found.start()


def _frame(code: int, body: bytes, path: Path) -> tuple[int, int, int]:
    if len(body) < 6:
        raise UnreadableError("damaged JPEG: impossible header", path=path)
    precision, height, width, channels = struct.unpack_from(">BHHB", body)
    hint = "convert it to PNG or TIFF first"
    if code not in _DECODED or precision != 8:
        raise UnsupportedError(
            "JPEG that is lossless, arithmetic or not of 8 bits", path=path, hint=hint
        )
    if channels not in (1, 3):
        kind = "CMYK JPEG" if channels == 4 else f"JPEG of {channels} channels"
        raise UnsupportedError(kind, path=path, hint="convert it to grey or RGB first")
    if not width or not height:
        raise UnreadableError("damaged JPEG: impossible header", path=path)
    return width, height, channels


def _is_kept(code: int, body: bytes) -> bool:
    if code == 0xE0:
        return body.startswith(_JFIF)
    if code == 0xE2:  # not MPF: it points at pictures behind this one
        return body.startswith(_ICC)
    return code in (0xE1, 0xED, 0xFE)


def _without_thumbnail(segment: bytes) -> bytes:
    """Return a segment without the small copy of the picture, which would stay old."""
    code, body = segment[1], segment[4:]
    clean = body
    if code == 0xE0 and len(body) > _JFIF_BYTES:
        clean = body[: _JFIF_BYTES - 2] + bytes(2)
    elif body.startswith(exif.JPEG_MARK):
        mark = len(exif.JPEG_MARK)
        clean = exif.JPEG_MARK + exif.without_thumbnail(body[mark:])
    elif body.startswith(_PHOTOSHOP):
        clean = _PHOTOSHOP + _without_small_copies(body[len(_PHOTOSHOP) :])
    return segment if clean == body else _segment(code, clean)


def _without_small_copies(resources: bytes) -> bytes:
    """Return Photoshop's resources but for thumbnails; what is damaged as it is."""
    kept, place = [], 0
    while place + 7 <= len(resources) and resources.startswith(_RESOURCE, place):
        (number,) = struct.unpack_from(">H", resources, place + 4)
        start = place + 6 + (resources[place + 6] // 2 + 1) * 2  # behind its name
        if start + 4 > len(resources):
            break
        (length,) = struct.unpack_from(">I", resources, start)
        end = start + 4 + length + length % 2
        if number not in _SMALL_COPIES:
            kept.append(resources[place:end])
        place = end
    return b"".join((*kept, resources[place:]))


def _pictures(index: bytes) -> int:
    """Return how many pictures an MP index tells of; 1 where it cannot be read."""
    order = "<" if index.startswith(b"II") else ">"
    try:
        (place,) = struct.unpack_from(f"{order}I", index, 4)
        (count,) = struct.unpack_from(f"{order}H", index, place)
        for number in range(count):
            tag, _, size, start = struct.unpack_from(
                f"{order}HHII", index, place + 2 + 12 * number
            )
            if tag == _ENTRIES:
                table = index[start : start + size]
                places = range(0, len(table), _ENTRY_BYTES)
                kinds = [struct.unpack_from(f"{order}I", table, one) for one in places]
                return sum((kind >> 16) & 0xFF != _THUMBNAIL for (kind,) in kinds) or 1
    except struct.error:
        pass
    return 1


def viewing(kept: tuple[bytes, ...]) -> Viewing:
    """Return what segments say of how the picture is to be seen."""
    told, measured = Viewing(), None
    pieces: list[tuple[int, int, bytes]] = []
    for segment in kept:
        code, body = segment[1], segment[4:]
        if code == 0xE0 and len(body) >= 12 and body[7] in _UNITS:
            across, down = struct.unpack_from(">HH", body, 8)
            measured = measured or resolution(across, down, _UNITS[body[7]])
        elif code == 0xE1 and body.startswith(exif.JPEG_MARK) and told == Viewing():
            told = exif.viewing(body[len(exif.JPEG_MARK) :])
        elif code == 0xE2 and len(body) >= len(_ICC) + 2:
            place = len(_ICC)
            pieces.append((body[place], body[place + 1], body[place + 2 :]))
    return Viewing(_profile(pieces), measured or told.resolution, told.orientation)


def _profile(pieces: list[tuple[int, int, bytes]]) -> bytes:
    """Return the profile that pieces (number, count, bytes) make, if all are there."""
    count = len(pieces)
    wanted = [(number, count) for number in range(1, count + 1)]
    pieces = sorted(pieces)
    whole = [piece[:2] for piece in pieces] == wanted
    return b"".join(piece[2] for piece in pieces) if whole else b""


def viewing_segments(told: Viewing) -> tuple[bytes, ...]:
    """Return the segments of a new JPEG that say how it is to be seen."""
    segments = [_segment(0xE0, _JFIF + _density(told))]
    if told.orientation != 1:
        segments.append(_segment(0xE1, exif.JPEG_MARK + exif.block(told.orientation)))
    room = _LONGEST - len(_ICC) - 2
    starts = range(0, len(told.profile), room)
    for number, start in enumerate(starts, start=1):
        mark = _ICC + bytes((number, len(starts)))
        segments.append(_segment(0xE2, mark + told.profile[start : start + room]))
    return tuple(segments)


def _segment(code: int, body: bytes) -> bytes:
    return b"\xff" + struct.pack(">BH", code, len(body) + 2) + body


def _density(told: Viewing) -> bytes:
    """Return what a JFIF segment says behind its mark: whole pixels for a unit."""
    unit, pair = 0, (Fraction(1), Fraction(1))
    if told.resolution is not None:
        across, down = told.resolution
        metric = (across * CENTIMETRE, down * CENTIMETRE)
        whole = all(one.denominator == 1 for one in metric)
        unit, pair = (2, metric) if whole else (1, told.resolution)
    x, y = (round(one) for one in pair)
    if not (1 <= x <= 0xFFFF and 1 <= y <= 0xFFFF):
        unit, x, y = 0, 1, 1
    return struct.pack(">HBHHBB", 0x0102, unit, x, y, 0, 0)


def splice(encoded: bytes, kept: tuple[bytes, ...]) -> bytes:
    """Return an encoded JPEG whose application segments are ``kept``.

    The encoder's own JFIF segment stays where ``kept`` has neither that nor Exif.
    """
    place = 2
    own: list[bytes] = []
    while encoded[place + 1] & 0xF0 == 0xE0 or encoded[place + 1] == 0xFE:
        (length,) = struct.unpack_from(">H", encoded, place + 2)
        own.append(encoded[place : place + 2 + length])
        place += 2 + length
    segments = kept if any(map(_tells_kind, kept)) else (*own, *kept)
    return b"".join((encoded[:2], *segments, encoded[place:]))


def _tells_kind(segment: bytes) -> bool:
    """Tell whether a kept segment is JFIF or Exif."""
    is_exif = segment[1] == 0xE1 and segment[4:].startswith(exif.JPEG_MARK)
    return segment[1] == 0xE0 or is_exif
