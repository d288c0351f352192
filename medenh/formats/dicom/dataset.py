"""Bytes to data elements: opened with a meter, inflated with a cap, kept silent.

pydicom parses; this module bounds what that may cost and what it may say.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR

from medenh.errors import MedenhError, OverBudgetError, UnreadableError
from medenh.formats import files
from medenh.formats.limits import Limits, size_text

__all__ = [
    "Source",
    "damage_guard",
    "from_bytes",
    "keep_text",
    "load",
    "put_text",
    "silence",
    "to_bytes",
    "to_little_endian",
]

_LOGGERS = ("pydicom", "pylibjpeg", "openjpeg", "rle", "jpeg_ls")
_THIRD_PARTIES = r"(pydicom|pylibjpeg|openjpeg|rle|jpeg_ls|medenh\.formats\.dicom)"
# Parser steps for one file: a second or two for a bomb, and plenty for real files,
# where an element takes two and the pixels of a frame outweigh its elements
_READS = 300_000
_BYTES_PER_READ = 50
_DEFLATED = str(DeflatedExplicitVRLittleEndian)
_FEED = 1 << 16  # deflated bytes fed at a time, and inflated ones taken
_PIECE = 1 << 22
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UN", b"UT", b"UC")
_SWAPS = {"OW": "u2", "OF": "u4", "OL": "u4", "OD": "u8", "OV": "u8"}


def silence() -> None:
    """Keep third parties quiet: they quote values, and values name patients."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if logger.level <= logging.CRITICAL:
            logger.setLevel(logging.CRITICAL + 1)
    # not catch_warnings: that is not safe where readers run in threads
    first = warnings.filters[0] if warnings.filters else None
    if first is None or getattr(first[3], "pattern", "") != _THIRD_PARTIES:
        warnings.filterwarnings("ignore", module=_THIRD_PARTIES)


@contextlib.contextmanager
def damage_guard(
    path: Path, what: str = "the DICOM data are damaged"
) -> Iterator[None]:
    """Turn whatever a parser or decoder throws into UnreadableError.

    The foreign exception is dropped, since its text may quote patient data.
    """
    try:
        yield
    # want of memory, or of a library, is no damage
    except (MedenhError, MemoryError, ImportError):
        raise
    except OSError as error:
        if error.errno is None:  # a parser's own, about the content
            raise UnreadableError(what, path=path, hint=files.COPY_AGAIN) from None
        reason = os.strerror(error.errno).lower()
        raise UnreadableError(f"cannot be read: {reason}", path=path) from None
    except Exception:
        raise UnreadableError(what, path=path, hint=files.COPY_AGAIN) from None


class _MeteredReader(io.BufferedReader):
    """A stream that refuses to be read in more than so many pieces.

    It begins ``start`` bytes into the file.
    """

    left = 0
    start = 0
    path = Path()

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OverBudgetError("too many data elements", path=self.path)
        return super().read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = self.start if whence == io.SEEK_SET else 0
        return super().seek(offset + start, whence) - self.start

    def tell(self) -> int:
        return super().tell() - self.start


class _Inflating(io.RawIOBase):
    """A deflated data set as a plain one, inflated only as far as it is read."""

    name = ""  # pydicom asks every stream for it

    def __init__(self, path: Path, head: bytes, packed: bytes, cap: int) -> None:
        super().__init__()
        self._path = path
        self._data = bytearray(head)
        self._packed = packed
        self._fed = 0
        self._rest = b""
        self._cap = cap
        self._at = 0
        self._engine = zlib.decompressobj(-zlib.MAX_WBITS)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END:
            self._inflate(self._cap + 1)
            offset += len(self._data)
        elif whence == io.SEEK_CUR:
            offset += self._at
        self._at = max(0, offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        self._inflate(self._at + len(buffer))
        piece = self._data[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _inflate(self, until: int) -> None:
        while len(self._data) < until and not self._engine.eof:
            if not self._rest:
                self._rest = self._packed[self._fed : self._fed + _FEED]
                self._fed += len(self._rest)
            piece = self._engine.decompress(self._rest, _PIECE)
            if not piece and not self._rest:
                raise UnreadableError(
                    "the deflated data set is cut short", path=self._path
                )
            self._rest = self._engine.unconsumed_tail
            self._data += piece
            if len(self._data) > self._cap:
                raise OverBudgetError(
                    f"the data set inflates to more than {size_text(self._cap)}",
                    path=self._path,
                )


class Source:
    """One opened file, ready to be parsed more than once.

    Attributes
    ----------
    path : path
    size : int
        Bytes on disk.
    """

    def __init__(self, path: Path, stream: _MeteredReader, size: int) -> None:
        self.path = path
        self.size = size
        self._stream = stream

    def parse(self, *, pixels: bool) -> Dataset:
        """Return the data set, with or without its pixel data."""
        self._stream.left = max(_READS, self.size // _BYTES_PER_READ)
        self._stream.seek(0)
        with damage_guard(self.path):
            dataset = pydicom.dcmread(
                self._stream, force=True, stop_before_pixels=not pixels
            )
            if not getattr(dataset, "file_meta", None):
                dataset.file_meta = FileMetaDataset()
            dataset.buffer = None
            dataset.filename = None
        return dataset


@contextlib.contextmanager
def load(path: Path, limits: Limits) -> Iterator[Source]:
    """Open a DICOM file; inflate it, within the limits, if it is deflated."""
    silence()
    size = files.regular_size(path)
    with damage_guard(path), contextlib.ExitStack() as stack:
        raw: io.RawIOBase = stack.enter_context(path.open("rb", buffering=0))
        head = raw.read(1 << 16) or b""
        raw.seek(0)
        span = _transfer_syntax_span(head)
        if span is not None and _uid_at(head, span) == _DEFLATED:
            limits.check(path, 0, 0, size)
            raw = _inflating(path, raw.readall(), span, limits)
        elif _DEFLATED.encode() in head[:1024]:
            # pydicom may find what was not found here, and inflates without a cap
            raise UnreadableError("its file meta information is damaged", path=path)
        stream = stack.enter_context(_MeteredReader(raw))
        stream.path = path
        stream.start = _start(head)
        yield Source(path, stream, size)


def _start(head: bytes) -> int:
    """Return where the elements of a file begin that has lost its preamble, or 0."""
    return 4 if head.startswith(b"DICM") and head[128:132] != b"DICM" else 0


def _uid_at(head: bytes, span: tuple[int, int, int]) -> str:
    return head[span[0] : span[1]].rstrip(b"\0 ").decode("latin-1")


def _transfer_syntax_span(head: bytes) -> tuple[int, int, int] | None:
    """Return where the transfer syntax begins and ends, and where group 0002 ends."""
    offset = 132 if head[128:132] == b"DICM" else _start(head)
    found: tuple[int, int] | None = None
    while offset + 8 <= len(head):
        group, element = struct.unpack_from("<HH", head, offset)
        if group != 0x0002:
            break
        if head[offset + 4 : offset + 6] in _LONG_VRS:
            if offset + 12 > len(head):
                break
            (length,) = struct.unpack_from("<I", head, offset + 8)
            start = offset + 12
        else:
            (length,) = struct.unpack_from("<H", head, offset + 6)
            start = offset + 8
        if element == 0x0010:
            found = (start, start + length)
        offset = start + length
    return None if found is None else (*found, offset)


def _inflating(
    path: Path, data: bytes, span: tuple[int, int, int], limits: Limits
) -> _Inflating:
    """Return a deflated file as a plain one that refuses to be a bomb."""
    start, end, body = span
    allowed = max(limits.ratio_floor_bytes, int(len(data) * limits.max_ratio))
    cap = min(limits.max_dataset_bytes, allowed)
    # the parser must not inflate a second time; NUL padding is legal in a UID
    syntax = str(ExplicitVRLittleEndian).encode().ljust(end - start, b"\0")
    head = b"".join([data[:start], syntax, data[end:body]])
    return _Inflating(path, head, data[body:], cap)


def to_little_endian(dataset: Dataset) -> None:
    """Swap the words of binary values, nested ones too, of a big-endian data set.

    pydicom converts numbers but leaves O* values as bytes. Values of unknown
    representation (UN) stay as they are: nothing tells their word size.
    """
    import numpy as np

    for tag in list(dataset.keys()):
        raw = dataset.get_item(tag)
        if raw is None or raw.VR in CUSTOMIZABLE_CHARSET_VR:
            continue  # `keep_text` needs its bytes
        element = dataset[tag]
        if element.VR == "SQ":
            for item in element.value:
                to_little_endian(item)
        elif element.VR in _SWAPS and isinstance(element.value, bytes):
            word = np.dtype(_SWAPS[element.VR])
            if len(element.value) % word.itemsize == 0:
                swapped = np.frombuffer(element.value, word).byteswap()
                element.value = swapped.tobytes()


class _Name(bytes):
    """An encoded person's name; pydicom asks names, unlike other text, to encode."""

    def encode(self, _: Sequence[str] | None = None) -> bytes:
        return self


def keep_text(dataset: Dataset) -> None:
    """Let a data set's text, nested too, be written in the bytes that it was read in.

    In place; values of PN, LO, SH, ST, LT, UC and UT become bytes. pydicom decodes and
    encodes text anew, and what its SpecificCharacterSet cannot say, and some of what it
    can (half-width katakana of ISO_IR 13), would become question marks.
    """
    raws = {tag: dataset.get_item(tag) for tag in dataset.keys()}  # noqa: SIM118
    # all of them before the first is changed: private creators tell what others are
    for element in list(dataset):
        raw = raws[element.tag]
        if element.VR == "SQ":
            for item in element.value:
                keep_text(item)
        elif element.VR in CUSTOMIZABLE_CHARSET_VR and raw is not None and raw.is_raw:
            put_text(dataset, element.tag, element.VR, raw.value or b"")


def put_text(dataset: Dataset, tag: int, vr: str, value: bytes) -> None:
    """Set a text element to what is encoded already."""
    held = _Name(value) if vr == "PN" else value
    dataset[tag] = DataElement(tag, vr, held, already_converted=True)


def to_bytes(dataset: Dataset) -> bytes:
    """Return a data set as Explicit VR Little Endian, without file meta information."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def from_bytes(data: bytes, sop_class: str) -> Dataset:
    """Return what `to_bytes` encoded, with its class in the file meta information."""
    silence()
    dataset = read_dataset(io.BytesIO(data), False, True)
    dataset.file_meta = FileMetaDataset()
    if sop_class:
        dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    return dataset
