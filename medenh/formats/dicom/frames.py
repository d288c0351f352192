"""Frames of pixel data, decoded by pydicom; of RLE and some JPEG by a plugin of ours.

What is compressed is decoded by `decode_encapsulated` in a process of its own.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import decoders
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

from medenh.errors import UnreadableError
from medenh.formats.dicom.dataset import damage_guard, silence

__all__ = [
    "DAMAGED",
    "DECODER_DEPENDENCIES",
    "PLUGIN",
    "decode_encapsulated",
    "frames_of",
    "is_available",
]

PLUGIN = "medenh"
DAMAGED = "the pixel data are damaged"
DECODER_DEPENDENCIES = dict.fromkeys(
    (
        uid.JPEGBaseline8Bit,
        uid.JPEGLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGExtended12Bit,
        uid.RLELossless,
    ),
    ("imagecodecs",),
)
_lock = threading.Lock()


def frames_of(
    source: Dataset | bytes,
    syntax: str,
    shape: tuple[int, ...],
    *,
    plugin: str = "",
    **options: Any,
) -> Iterator[NDArray[Any]]:
    """Yield the frames of pixel data.

    Parameters
    ----------
    source : Dataset or bytes
        With the pixel data, or these alone where the options tell of the rest.
    syntax : str
        UID of the transfer syntax.
    shape : (frames, rows, columns, samples)
    plugin : str
        The one decoder that is asked, where the pixel data are encapsulated.
    **options
        Of pydicom's decoders.

    Yields
    ------
    array, shape (rows, columns, samples)

    Raises
    ------
    UnreadableError
        There are fewer than promised.
    Exception
        Whatever a decoder met with damage raises.
    """
    _register()
    decoder = get_decoder(syntax)
    # of 4:2:2 that is not compressed, pydicom forgets after the first frame of a call
    # how long the next is
    calls = [[index] for index in range(shape[0])] if decoder.is_native else [None]
    decoded = chain.from_iterable(
        decoder.iter_array(
            source,
            indices=indices,
            raw=False,
            decoding_plugin=plugin,
            allow_excess_frames=False,
            **options,
        )
        for indices in calls
    )
    count = 0
    for frame, _ in decoded:
        if count == shape[0]:
            return
        yield frame.reshape(shape[1:])
        count += 1
    if count < shape[0]:
        raise UnreadableError("fewer frames than promised")


def decode_encapsulated(words: dict[str, Any], data: bytes) -> Iterator[NDArray[Any]]:
    """Yield the frames of encapsulated pixel data: see `codecs`, which asks for them.

    Raises
    ------
    UnreadableError
    """
    silence()
    dtype = np.dtype(words.pop("dtype"))
    if words["plugin"] == PLUGIN:
        import_module("imagecodecs")  # pydicom takes want of it for damage
    with damage_guard(Path(), DAMAGED):
        for frame in frames_of(data, **words):
            yield frame.astype(dtype, casting="same_kind", copy=False)


def is_available(syntax: str) -> bool:
    """Tell pydicom which transfer syntaxes this module decodes."""
    return syntax in DECODER_DEPENDENCIES


def _decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Decode one JPEG frame with imagecodecs; called by pydicom.

    Notes
    -----
    libjpeg-turbo fills in what a stream lacks; `_check_code_streams` has seen the end
    marker. imagecodecs' stricter lossless decoder (jpegsof3) crashes on damage.
    """
    import imagecodecs

    if runner.transfer_syntax == uid.RLELossless:
        return _decode_rle(source, runner)
    # equal spaces mean components as stored: pydicom converts colours itself
    samples = runner.samples_per_pixel
    space = "RGB" if samples > 1 else None
    pixels = imagecodecs.jpeg8_decode(source, colorspace=space, outcolorspace=space)
    shape = (runner.rows, runner.columns, samples)
    if pixels.shape != (shape if samples > 1 else shape[:2]):
        raise ValueError("the code stream has another size than the header")
    if samples > 1:
        runner.set_option("planar_configuration", 0)
    # imagecodecs picks the type by the precision, pydicom expects bits allocated
    return bytes(pixels.astype(f"<u{runner.bits_allocated // 8}").tobytes())


def _decode_rle(source: bytes, runner: DecodeRunner) -> bytes:
    """Decode one RLE frame, PS3.5 annex G.

    Notes
    -----
    pylibjpeg-rle panics on damaged segments, past any ``except Exception``.
    """
    width = runner.bits_allocated // 8
    count = runner.samples_per_pixel * width
    size = runner.rows * runner.columns
    header = struct.unpack_from("<16I", source)
    if header[0] != count:
        raise ValueError("an unexpected number of RLE segments")
    bounds = [*header[1 : count + 1], len(source)]
    planes = np.empty((runner.samples_per_pixel, width, size), np.uint8)
    for index in range(count):
        plane = _unpacked(source[bounds[index] : bounds[index + 1]], size)
        # the most significant byte comes first
        place = divmod(index, width)
        planes[place[0], width - 1 - place[1]] = np.frombuffer(plane, np.uint8)
    runner.set_option("planar_configuration", 1)
    return planes.transpose(0, 2, 1).tobytes()


def _unpacked(segment: bytes, size: int) -> bytes:
    """Decode one RLE segment, with or without the zero that makes its length even."""
    import imagecodecs

    try:
        plane = imagecodecs.packbits_decode(segment, out=size + 1)
    except imagecodecs.ImcdError:
        if not segment.endswith(b"\0"):
            raise
        plane = imagecodecs.packbits_decode(segment[:-1], out=size + 1)
    if len(plane) < size:
        raise ValueError("an RLE segment is too short")
    return bytes(plane[:size])


def _register() -> None:
    """Make the plugin known to pydicom; its own method is not safe in threads."""
    with _lock:
        for name in (
            "JPEGBaseline8BitDecoder",
            "JPEGLosslessDecoder",
            "JPEGLosslessSV1Decoder",
            "JPEGExtended12BitDecoder",
            "RLELosslessDecoder",
        ):
            decoder = getattr(decoders, name)
            if PLUGIN not in decoder.available_plugins:
                decoder.add_plugin(PLUGIN, (__name__, "_decode_frame"))
