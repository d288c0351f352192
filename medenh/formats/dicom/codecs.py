"""Pixel data to arrays: which decoder reads which transfer syntax, and how strictly.

pydicom drives; each syntax has one decoder. RLE, JPEG Lossless and 12-bit JPEG come
through a pydicom plugin of ours on imagecodecs. Truncated code streams are refused
before a decoder that would fill in the rest sees them.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import decoders
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

from medenh.errors import UnreadableError, UnsupportedError
from medenh.formats.dicom.dataset import damage_guard
from medenh.formats.dicom.header import Layout

__all__ = ["DECODER_DEPENDENCIES", "check_syntax", "decode", "is_available"]

_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
_JPEG_LOSSLESS = (uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_J2K = (uid.JPEG2000Lossless, uid.JPEG2000)
_HTJ2K = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_OURS = "medenh"

# The decoder of each encapsulated syntax. One each: falling back to a second decoder
# after a failure is how damaged files get half read.
_PLUGINS: dict[str, str] = {
    **dict.fromkeys(_JPEG, "pillow"),
    **dict.fromkeys(_JPEG_LOSSLESS, _OURS),
    **dict.fromkeys(_JPEG_LS, "pyjpegls"),
    **dict.fromkeys((*_J2K, *_HTJ2K), "pylibjpeg"),
    uid.RLELossless: _OURS,
}
_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")

DECODER_DEPENDENCIES = dict.fromkeys(
    (*_JPEG_LOSSLESS, uid.JPEGExtended12Bit, uid.RLELossless), ("imagecodecs",)
)
_lock = threading.Lock()


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
            "JPEGLosslessDecoder",
            "JPEGLosslessSV1Decoder",
            "JPEGExtended12BitDecoder",
            "RLELosslessDecoder",
        ):
            decoder = getattr(decoders, name)
            if _OURS not in decoder.available_plugins:
                decoder.add_plugin(_OURS, (__name__, "_decode_frame"))


def check_syntax(syntax: uid.UID, path: Path) -> None:
    """Pass in silence if pixels in a transfer syntax can be decoded.

    Raises
    ------
    UnsupportedError
        Naming the syntax.
    """
    if syntax in _PLUGINS or syntax in _NATIVE:
        return
    # the name of an unknown UID is the UID itself
    name = syntax.name if syntax.name != syntax else "an unknown transfer syntax"
    raise UnsupportedError(
        f"its pixels are stored as {name}, which nothing here decodes",
        path=path,
        hint="convert it to Explicit VR Little Endian with the archive's own tools",
    )


def decode(
    dataset: Dataset, layout: Layout, syntax: uid.UID, path: Path
) -> tuple[NDArray[Any], Layout]:
    """Return all pixels of a file.

    Parameters
    ----------
    dataset : Dataset
        With its pixel data.
    layout : Layout
    syntax : UID
        Transfer syntax of the pixel data.
    path : path
        For messages.

    Returns
    -------
    array, shape (frames, rows, columns, samples)
        Stored numbers; colour as RGB, palette indices as they are.
    Layout
        Of that array: the photometric interpretation after decoding, and the bits
        that its values really use.

    Raises
    ------
    UnreadableError, UnsupportedError
    """
    check_syntax(syntax, path)
    _check_colour(layout, path)
    if "PixelData" not in dataset:
        if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
            raise UnsupportedError("holds real numbers, not a picture", path=path)
        raise UnreadableError("the pixel data are missing or cut short", path=path)
    _register()
    with damage_guard(path, "the pixel data are damaged"):
        if syntax in _PLUGINS:
            _check_code_streams(dataset, layout, syntax, path)
        pixels = _collect(dataset, layout, syntax, path)
    return pixels, _seen(pixels, layout, path)


def _check_colour(layout: Layout, path: Path) -> None:
    named = _GREY if layout.samples == 1 else _COLOUR
    if layout.photometric not in named:
        known = layout.photometric in (*_GREY, *_COLOUR)
        if known:
            raise UnreadableError(
                "its photometric interpretation contradicts its samples", path=path
            )
        raise UnsupportedError("its colour model is not supported", path=path)


def _plugin(dataset: Dataset, layout: Layout, syntax: uid.UID) -> str:
    twelve = syntax == uid.JPEGExtended12Bit and layout.bits_allocated == 16
    return _OURS if twelve else _PLUGINS.get(syntax, "")


def _collect(
    dataset: Dataset, layout: Layout, syntax: uid.UID, path: Path
) -> NDArray[Any]:
    dataset.file_meta.TransferSyntaxUID = syntax
    shape = (layout.frames, layout.rows, layout.columns, layout.samples)
    odd = layout.high_bit not in (-1, layout.bits_stored - 1)
    options: dict[str, Any] = {"correct_unused_bits": False} if odd else {}
    frames = get_decoder(syntax).iter_array(
        dataset,
        raw=False,
        decoding_plugin=_plugin(dataset, layout, syntax),
        allow_excess_frames=False,
        **options,
    )
    pixels: NDArray[Any] | None = None
    count = 0
    for frame, _ in frames:
        if pixels is None:
            pixels = np.empty(shape, layout.dtype)
        if count == layout.frames:
            break
        np.copyto(pixels[count], frame.reshape(shape[1:]), casting="same_kind")
        count += 1
    if pixels is None or count < layout.frames:
        raise UnreadableError("fewer frames than promised", path=path)
    return _shifted(pixels, layout, path) if odd else pixels


def _shifted(pixels: NDArray[Any], layout: Layout, path: Path) -> NDArray[Any]:
    """Move values to bit 0 where the header's high bit says they start higher.

    Many such headers lie, and the values lie at bit 0 after all: the values tell.
    """
    limit = 1 << layout.bits_stored
    if not layout.signed and int(pixels.max()) < limit:
        return pixels
    low = layout.high_bit + 1 - layout.bits_stored
    if low > 0 and not np.any(pixels & ((1 << low) - 1)):
        return pixels >> low
    raise UnsupportedError("its values do not start at bit 0", path=path)


def _seen(pixels: NDArray[Any], layout: Layout, path: Path) -> Layout:
    """Return the layout of decoded pixels, with as many bits as the values use."""
    top = max(int(pixels.max()), -int(pixels.min()) - 1)
    bits = max(layout.bits_stored, top.bit_length() + layout.signed)
    photometric = "RGB" if layout.samples == 3 else layout.photometric
    return replace(layout, bits_stored=bits, photometric=photometric)


def _check_code_streams(
    dataset: Dataset, layout: Layout, syntax: uid.UID, path: Path
) -> None:
    """Refuse frames that are truncated or larger than the header says."""
    if syntax == uid.RLELossless:
        return
    frames = generate_frames(dataset.PixelData, number_of_frames=layout.frames)
    for index, frame in enumerate(frames):
        if index == layout.frames:
            return
        wavelet = syntax in (*_J2K, *_HTJ2K)
        size = _j2k_size(frame) if wavelet else _jpeg_size(frame)
        if size is None:
            raise UnreadableError("a code stream has no header", path=path)
        if size != (layout.rows, layout.columns, layout.samples):
            raise UnreadableError(
                "a code stream has another size than the header", path=path
            )
        # entropy-coded data never hold this marker, so it is the end or a thumbnail's
        if not wavelet and frame.rfind(b"\xff\xd9") < frame.rfind(b"\xff\xda"):
            raise UnreadableError("a code stream is cut short", path=path)


def _jpeg_size(stream: bytes) -> tuple[int, int, int] | None:
    """Return rows, columns and components of a JPEG or JPEG-LS stream."""
    offset = 2
    if stream[:2] != b"\xff\xd8":
        return None
    while offset + 10 <= len(stream):
        marker, code = stream[offset], stream[offset + 1]
        if marker != 0xFF:
            return None
        if code == 0xFF:  # fill byte
            offset += 1
            continue
        if (0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC)) or code == 0xF7:
            rows, columns = struct.unpack_from(">HH", stream, offset + 5)
            return rows, columns, stream[offset + 9]
        if code == 0xDA:
            return None
        offset += 2 + int.from_bytes(stream[offset + 2 : offset + 4], "big")
    return None


def _j2k_size(stream: bytes) -> tuple[int, int, int] | None:
    """Return rows, columns and components of a JPEG 2000 stream, boxed or bare."""
    start = 0
    if stream[4:8] == b"jP  ":
        start = stream.find(b"\xff\x4f\xff\x51")
    if start < 0 or stream[start : start + 4] != b"\xff\x4f\xff\x51":
        return None
    head = stream[start + 8 : start + 42]
    if len(head) < 34:
        return None
    width, height, left, top = struct.unpack_from(">IIII", head)
    (components,) = struct.unpack_from(">H", head, 32)
    return height - top, width - left, components
