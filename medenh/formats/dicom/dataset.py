"""Bytes to data elements: opened with a meter, inflated with a cap, kept silent.

pydicom parses; this module bounds what that may cost and what it may say.
"""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from medenh.errors import MedenhError, OverBudgetError, UnreadableError
from medenh.formats import files
from medenh.formats.limits import Limits

__all__ = ["damage_guard", "load"]

_LOGGERS = ("pydicom", "pylibjpeg", "openjpeg", "rle", "jpeg_ls", "PIL")
_THIRD_PARTIES = r"(pydicom|pylibjpeg|openjpeg|rle|jpeg_ls|PIL|medenh\.formats\.dicom)"
_READS = 1_000_000  # parser steps for one file: seconds, and thousands of frames
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UN", b"UT", b"UC")
_SWAPS = {"OW": "u2", "OF": "u4", "OL": "u4", "OD": "u8", "OV": "u8"}


def silence() -> None:
    """Keep third parties quiet: they quote values, and values name patients."""
    for name in _LOGGERS[:-1]:
        logger = logging.getLogger(name)
        if logger.level <= logging.CRITICAL:
            logger.setLevel(logging.CRITICAL + 1)
    # not catch_warnings: that is not safe where readers run in threads
    if not any(
        entry[0] == "ignore" and getattr(entry[3], "pattern", "") == _THIRD_PARTIES
        for entry in warnings.filters
    ):
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
    except MedenhError:
        raise
    except OSError as error:
        reason = (error.strerror or "read error").lower()
        raise UnreadableError(f"cannot be read: {reason}", path=path) from None
    except MemoryError:
        raise OverBudgetError("does not fit in memory", path=path) from None
    except Exception as error:
        name = type(error).__name__
        raise UnreadableError(f"{what} ({name})", path=path) from None


class _MeteredReader(io.BufferedReader):
    """A stream that refuses to be read in more than so many pieces."""

    left = _READS
    path = Path()

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OverBudgetError("too many data elements", path=self.path)
        return super().read(-1 if size is None else size)


class _Memory(io.BytesIO):
    """Inflated bytes; pydicom asks every buffered stream for its name."""

    name = ""


class Source:
    """One opened file, ready to be parsed more than once.

    Attributes
    ----------
    path : path
    size : int
        Bytes on disk.
    deflated : bool
        Whether the data set had to be inflated.
    """

    def __init__(self, path: Path, stream: _MeteredReader, size: int) -> None:
        self.path = path
        self.size = size
        self.deflated = False
        self._stream = stream

    def parse(self, *, pixels: bool) -> Dataset:
        """Return the data set, with or without its pixel data."""
        self._stream.left = _READS
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
        raw = stack.enter_context(path.open("rb", buffering=0))
        head = raw.read(1 << 16) or b""
        span = _transfer_syntax_span(head)
        raw.seek(0)
        deflated = span is not None and _uid_at(head, span) == str(
            DeflatedExplicitVRLittleEndian
        )
        if deflated and span is not None:
            limits.check(path, 0, 0, size)
            plain = _inflated(path, raw.readall(), span, limits)
            stream = _MeteredReader(_Memory(plain))
        else:
            stream = _MeteredReader(raw)
        stream.path = path
        source = Source(path, stack.enter_context(stream), size)
        source.deflated = deflated
        yield source


def _uid_at(head: bytes, span: tuple[int, int, int]) -> str:
    return head[span[0] : span[1]].rstrip(b"\0 ").decode("latin-1")


def _transfer_syntax_span(head: bytes) -> tuple[int, int, int] | None:
    """Return where the transfer syntax begins and ends, and where group 0002 ends."""
    offset = 132 if head[128:132] == b"DICM" else 0
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


def _inflated(
    path: Path, data: bytes, span: tuple[int, int, int], limits: Limits
) -> bytes:
    """Return a deflated file as a plain one, or refuse a bomb."""
    start, end, body = span
    cap = limits.max_dataset_bytes
    if len(data) * limits.max_ratio > limits.ratio_floor_bytes:
        cap = min(cap, int(len(data) * limits.max_ratio))
    else:
        cap = min(cap, limits.ratio_floor_bytes)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = engine.decompress(data[body:], cap + 1)
    if len(plain) > cap:
        raise OverBudgetError(
            f"the data set inflates to more than {cap / 2**20:.0f} MiB", path=path
        )
    if not engine.eof:
        raise UnreadableError("the deflated data set is cut short", path=path)
    # the parser must not inflate a second time; NUL padding is legal in a UID
    syntax = str(ExplicitVRLittleEndian).encode().ljust(end - start, b"\0")
    return b"".join([data[:start], syntax, data[end:body], plain])


def to_little_endian(dataset: Dataset) -> None:
    """Swap the words of binary values, nested ones too, of a big-endian data set.

    pydicom converts numbers but leaves O* values as bytes. Values of unknown
    representation (UN) stay as they are: nothing tells their word size.
    """
    import numpy as np

    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                to_little_endian(item)
        elif element.VR in _SWAPS and isinstance(element.value, bytes):
            word = np.dtype(_SWAPS[element.VR])
            if len(element.value) % word.itemsize == 0:
                swapped = np.frombuffer(element.value, word).byteswap()
                element.value = swapped.tobytes()
