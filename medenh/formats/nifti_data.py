"""Bytes of NIfTI files, plain or gzipped: read within a budget, written atomically."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medenh.device import num_threads
from medenh.errors import OverBudgetError, UnreadableError
from medenh.formats import files
from medenh.formats.limits import Limits

if TYPE_CHECKING:
    from medenh.formats.nifti import NiftiHeader

__all__ = ["read_data", "read_header", "write"]

_MAX_EXTENSIONS = 64 * 2**20
_MAX_TAIL = 2**20
_BLOCK = 4 * 2**20
_PACKED_BLOCK = 2**20  # compressed at a time by one thread
_MOST_PACKED = 1032  # deflate makes no byte into more
_TRAILER = 8  # bytes at a gzip member's end: check sum and length
_LEVEL = 1  # of isal: 13 times quicker than zlib's default at the same size


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file's content, inflated where it is gzip; errors become ours."""
    from isal import isal_zlib

    damage: Any = (EOFError, OSError, zlib.error, struct.error, isal_zlib.error)
    try:
        with path.open("rb") as plain:
            head = plain.read(2)
            plain.seek(0)
            if head != b"\x1f\x8b":
                yield plain
                return
            with io.BufferedReader(_Members(plain)) as inflated:
                yield inflated
    except damage as error:
        reason = getattr(error, "strerror", None)  # what the system says, if it is that
        what = f"cannot be read: {reason}" if reason else "damaged or truncated"
        raise UnreadableError(what, path=path) from error


class _Members(io.RawIOBase):
    """Content of a gzip file's members; what follows the last is left, as gunzip does.

    Each must be whole and have its check sum and length.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        super().__init__()
        self._packed = packed
        self._waiting = b""
        self._begin()

    def _begin(self) -> None:
        from isal import isal_zlib

        inflater: Any = isal_zlib.decompressobj
        self._member = inflater(wbits=zlib.MAX_WBITS | 16)

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        view = memoryview(room).cast("B")
        while not self._member.eof or self._next():
            waiting = self._waiting or self._packed.read(_PACKED_BLOCK)
            piece = self._member.decompress(waiting, len(view))
            eof = self._member.eof
            rest = self._member.unused_data if eof else self._member.unconsumed_tail
            self._waiting = rest
            if piece:
                view[: len(piece)] = piece
                return len(piece)
            if not waiting and not eof:
                raise EOFError
        return 0

    def _next(self) -> bool:
        """Begin the next member, if there is one, beyond zeros that pad the last."""
        rest = self._waiting.lstrip(b"\0")
        while len(rest) < 2 and (more := self._packed.read(_PACKED_BLOCK)):
            rest = (rest + more).lstrip(b"\0")
        if not rest.startswith(b"\x1f\x8b"):
            return False
        self._waiting = rest
        self._begin()
        return True


def read_header(path: Path, limits: Limits) -> bytes:
    """Return all bytes before the data: header and extensions.

    Of a header file the whole content.
    """
    files.regular_size(path)
    with _opened(path) as stream:
        head = stream.read(4)
        size, order = next(
            (
                (size, order)
                for size in (348, 540)
                for order in "<>"
                if head == struct.pack(order + "i", size)
            ),
            (0, ""),
        )
        head += _exactly(stream, size - 4 if size else 0, path)
        if not size:
            raise UnreadableError("damaged NIfTI header", path=path)
        magic = head[344:347] if size == 348 else head[4:7]
        if magic[1:2] == b"i":
            return head + _at_most(stream, _MAX_EXTENSIONS, path)
        place = "f" if size == 348 else "q"
        (offset,) = struct.unpack_from(order + place, head, 108 if size == 348 else 168)
        if not 0 <= offset <= min(_MAX_EXTENSIONS, limits.max_bytes):
            raise UnreadableError("damaged NIfTI: impossible data offset", path=path)
        return head + _exactly(stream, max(int(offset), size + 4) - size, path)


def read_data(
    path: Path, offset: int, count: int, limits: Limits
) -> tuple[bytes, bytearray | NDArray[np.uint8], bytes]:
    """Return what precedes the data, ``count`` bytes of data, and what follows.

    The stream is read to its end, so that its check sum is seen.
    """
    if offset > min(_MAX_EXTENSIONS, limits.max_bytes):
        raise UnreadableError("damaged NIfTI: impossible data offset", path=path)
    whole = _inflated(path, offset + count)
    if whole is not None:
        return (
            whole[:offset].tobytes(),
            _aligned(whole[offset : offset + count]),
            whole[offset + count :].tobytes(),
        )
    with _opened(path) as stream:
        lead = _exactly(stream, offset, path)
        if _is_short(stream, path, offset + count):
            raise UnreadableError("truncated: voxels are missing", path=path)
        body = _filled(stream, count, path)
        return lead, body, _at_most(stream, _MAX_TAIL, path)


def _inflated(path: Path, needed: int) -> NDArray[np.uint8] | None:
    """Return the content of a sound gzip file of one member, quickly; None of others.

    The others are read as a stream, which tells what is wrong with them. (Of two
    members that are both as long as the data the first is read, as others do.)
    """
    packed = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b" or packed < _TRAILER:
            return None
        stream.seek(-4, io.SEEK_END)
        (size,) = struct.unpack("<I", stream.read(4))
        # what it says of its own length is believed within bounds only
        if not needed <= size <= min(needed + _MAX_TAIL, packed * _MOST_PACKED):
            return None
        stream.seek(0)
        # numpy's memory has large pages; any buffer is taken, whatever the types say
        content: Any = np.empty(packed, np.uint8).data
        if stream.readinto(content) != packed:
            return None
    import imagecodecs

    whole = np.empty(size, np.uint8)
    try:
        filled = imagecodecs.gzip_decode(content, out=whole.data)
    except imagecodecs.DeflateError:
        return None
    return whole if len(filled) == size else None


def _aligned(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return data if data.ctypes.data % 16 == 0 else data.copy()


def _is_short(stream: IO[bytes], path: Path, needed: int) -> bool:
    """Tell by its size, before memory is taken, that a plain file lacks voxels."""
    packed = isinstance(getattr(stream, "raw", None), _Members)
    return not packed and path.stat().st_size < needed


def _filled(stream: IO[bytes], count: int, path: Path) -> bytearray:
    # grown as the data come: a file that lies takes no more than it holds
    body = bytearray()
    while len(body) < count:
        block = stream.read(min(_BLOCK, count - len(body)))
        if not block:
            raise UnreadableError("truncated: voxels are missing", path=path)
        body += block
    return body


def _exactly(stream: IO[bytes], count: int, path: Path) -> bytes:
    return bytes(_filled(stream, count, path))


def _at_most(stream: IO[bytes], limit: int, path: Path) -> bytes:
    parts: list[bytes] = []
    room = limit
    while block := stream.read(min(_BLOCK, room + 1)):
        parts.append(block)
        room -= len(block)
        if room < 0:
            raise OverBudgetError("holds much more than its header promises", path=path)
    return b"".join(parts)


def write(header: NiftiHeader, body: NDArray[Any], path: Path) -> None:
    """Write header and data; the name decides on gzip and on one file or two."""
    lower = path.name.lower()
    packed = lower.endswith(".gz")
    stem = path.name[: -len(".gz")] if packed else path.name
    as_pair = lower.removesuffix(".gz").endswith((".hdr", ".img"))
    raw, lead = _laid_out(header, as_pair)
    if not as_pair:
        _write(path, packed, [raw, body, header.tail])
        return
    tail = path.name[-3:] if packed else ""
    upper = stem.endswith((".HDR", ".IMG"))
    image_end, header_end = (".IMG", ".HDR") if upper else (".img", ".hdr")
    # the header last: without it the data are no picture yet
    image_path = path.with_name(stem[:-4] + image_end + tail)
    _write(image_path, packed, [lead, body, header.tail])
    _write(path.with_name(stem[:-4] + header_end + tail), packed, [raw])


def _laid_out(header: NiftiHeader, as_pair: bool) -> tuple[bytes, bytes]:
    """Return the header's bytes and what precedes the data of a pair."""
    if header.pair == as_pair:
        return header.raw, header.lead
    raw = bytearray(header.raw)
    second = struct.unpack_from(header.order + "i", raw)[0] == 540
    size = 540 if second else 348
    raw[(5 if second else 345)] = ord("i" if as_pair else "+")
    if as_pair:
        offset = 0
    else:
        raw += bytes(max(0, size + 4 - len(raw)))
        raw += bytes(-len(raw) % 16)
        offset = len(raw)
    place = "q" if second else "f"
    struct.pack_into(header.order + place, raw, 168 if second else 108, offset)
    return bytes(raw), b""


def _write(path: Path, packed: bool, parts: list[Any]) -> None:
    with files.atomic_output(path) as part, part.open("wb") as plain:
        if not packed:
            for one in parts:
                plain.write(_bytes(one))
            return
        from isal import igzip_threaded

        # no name and no time inside, and blocks of one size whatever the number of
        # threads: equal voxels give equal files
        gzip_open: Any = igzip_threaded.open
        with gzip_open(
            plain, "wb", _LEVEL, threads=num_threads(), block_size=_PACKED_BLOCK
        ) as stream:
            for one in parts:
                view = _bytes(one)
                for start in range(0, len(view), _PACKED_BLOCK):
                    stream.write(view[start : start + _PACKED_BLOCK])


def _bytes(part: Any) -> memoryview:
    if isinstance(part, np.ndarray):
        return memoryview(part.reshape(-1).view(np.uint8).data)
    return memoryview(part)
