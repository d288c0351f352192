"""Pixel data to arrays: which decoder reads which transfer syntax, and how strictly.

pydicom drives; each syntax has one decoder, in another process where it is native code
that may crash. Truncated code streams are refused before a decoder that would fill in
the rest sees them.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import (
    encapsulate,
    generate_fragments,
    generate_frames,
    parse_basic_offsets,
)
from pydicom.pixels.utils import as_pixel_options

from medenh.errors import UnreadableError, UnsupportedError
from medenh.formats import isolation
from medenh.formats.dicom.dataset import damage_guard
from medenh.formats.dicom.frames import DAMAGED, PLUGIN, frames_of
from medenh.formats.dicom.header import Layout, no_pixels, text
from medenh.formats.dicom.overlays import embedded_overlays, lift_overlays

__all__ = ["check_syntax", "decode", "frames_stored"]

_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
_JPEG_LOSSLESS = (uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_J2K = (uid.JPEG2000Lossless, uid.JPEG2000)
_HTJ2K = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)

# The decoder of each encapsulated syntax. One each: falling back to a second decoder
# after a failure is how damaged files get half read.
_PLUGINS: dict[str, str] = {
    **dict.fromkeys(_JPEG, "pillow"),
    **dict.fromkeys(_JPEG_LOSSLESS, PLUGIN),
    **dict.fromkeys(_JPEG_LS, "pyjpegls"),
    **dict.fromkeys((*_J2K, *_HTJ2K), "pylibjpeg"),
    uid.RLELossless: PLUGIN,
}
_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")

_REQUIRED = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsStored",
    "PixelRepresentation",
)

# where compressed frames are decoded: in another process
_DECODE = "medenh.formats.dicom.frames:decode_encapsulated"


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
        With its pixel data. Overlays in unused bits of these become elements of it.
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
    if "PixelData" not in dataset:
        if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
            raise UnsupportedError("holds real numbers, not a picture", path=path)
        raise no_pixels(path)
    _check_described(dataset, path)
    _check_colour(layout, path)
    with damage_guard(path, DAMAGED):
        pixels = _collect(dataset, layout, syntax, path)
    return pixels, _seen(pixels, layout, path)


def frames_stored(dataset: Dataset, layout: Layout, syntax: uid.UID) -> int:
    """Return how many frames the pixel data hold, whatever the header says.

    That follows from their length, or where they are compressed from the fragments
    with the header of a code stream: each frame begins a fragment (PS3.5 A.4). Tables
    of offsets are often empty.
    """
    if syntax not in _PLUGINS:
        return len(dataset.PixelData) * layout.frames // _native_bytes(layout)
    data = BytesIO(dataset.PixelData)
    parse_basic_offsets(data)  # leaves off behind it
    return sum(_begins(one, layout, syntax) for one in generate_fragments(data))


def _begins(fragment: bytes, layout: Layout, syntax: uid.UID) -> bool:
    """Tell whether a fragment has the header of a code stream."""
    if syntax != uid.RLELossless:
        return _size(fragment, syntax) is not None
    segments = layout.samples * layout.bits_allocated // 8
    return fragment.startswith(struct.pack("<2I", segments, 64))  # PS3.5 G.5


def _in_frames(dataset: Dataset, layout: Layout, syntax: uid.UID) -> bytes:
    """Return encapsulated pixel data, with a table of offsets where RLE needs one.

    Without it pydicom takes all fragments for parts of a lone frame, and where a header
    tells of more cannot part them. Decoders of the others stop where a frame ends.
    """
    stored: bytes = dataset.PixelData
    data = BytesIO(stored)
    told = parse_basic_offsets(data) or "ExtendedOffsetTable" in dataset
    if syntax != uid.RLELossless or told:
        return stored
    fragments = list(generate_fragments(data))
    if len(fragments) == layout.frames:
        return stored
    frames: list[bytes] = []
    for fragment in fragments:
        if frames and not _begins(fragment, layout, syntax):
            frames[-1] += fragment
        else:
            frames.append(fragment)
    return encapsulate(frames)


def _native_bytes(layout: Layout) -> int:
    """Return how long pixel data are that are not compressed."""
    # 4:2:2 colour, which decoding makes whole, has two samples a pixel
    samples = 2 if layout.photometric == "YBR_FULL_422" else layout.samples
    return layout.voxels * samples * layout.bits_allocated // 8


def _check_described(dataset: Dataset, path: Path) -> None:
    """Name what a header lacks that pixels cannot be told without; copies lack it too.

    Only of files that have pixels: others may be cut short before it.
    """
    lacking = [keyword for keyword in _REQUIRED if not text(dataset, keyword)]
    if lacking:
        raise UnreadableError(
            f"its header lacks {' and '.join(lacking)}, which every picture must have",
            path=path,
            hint="export it from where it was made again",
        )


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
    """Return which decoder is asked: Pillow cannot read all of JPEG."""
    if syntax == uid.JPEGExtended12Bit and layout.bits_allocated == 16:
        return PLUGIN
    frames = generate_frames(dataset.PixelData, number_of_frames=layout.frames)
    if syntax in _JPEG and layout.samples == 3 and _names_rgb(next(frames, b"")):
        return PLUGIN
    return _PLUGINS.get(syntax, "")


def _collect(
    dataset: Dataset, layout: Layout, syntax: uid.UID, path: Path
) -> NDArray[Any]:
    dataset.file_meta.TransferSyntaxUID = syntax
    shape = (layout.frames, layout.rows, layout.columns, layout.samples)
    odd = layout.high_bit not in (-1, layout.bits_stored - 1)
    overlays = embedded_overlays(dataset, layout) if _keeps_bits(syntax) else []
    as_stored = odd or bool(overlays)
    options: dict[str, Any] = {"correct_unused_bits": False} if as_stored else {}
    pixels: NDArray[Any] = np.empty(shape, layout.dtype)
    if syntax in _PLUGINS:
        _check_code_streams(dataset, layout, syntax, path)
        options |= _described(dataset)
        options["plugin"] = _plugin(dataset, layout, syntax)
        words = {"syntax": syntax, "shape": shape, "dtype": layout.dtype.str, **options}
        data = _in_frames(dataset, layout, syntax)
        isolation.fill(pixels, _DECODE, words, data, path)
        if not as_stored:
            pixels = _signed(pixels, layout)
    else:
        expected = _native_bytes(layout)
        if len(dataset.PixelData) < expected:
            raise UnreadableError(
                f"the pixel data are cut short: {len(dataset.PixelData)} of "
                f"{expected} bytes",
                path=path,
            )
        _check_halved(dataset, layout, path)
        frames = frames_of(dataset, syntax, shape, **options)
        for place, frame in zip(pixels, frames, strict=True):
            np.copyto(place, frame, casting="same_kind")
    if overlays and not odd:
        return lift_overlays(dataset, overlays, pixels, layout)
    return _shifted(pixels, layout, path) if odd else pixels


def _check_halved(dataset: Dataset, layout: Layout, path: Path) -> None:
    """Refuse colour that is said to be halved and is as long as whole one."""
    whole = layout.voxels * 3 * layout.bits_allocated // 8
    if layout.photometric == "YBR_FULL_422" and len(dataset.PixelData) in (
        whole,
        whole + 1,
    ):
        raise UnreadableError(
            "its pixel data hold three samples a pixel, and YBR_FULL_422, which its "
            "header says, has two",
            path=path,
            hint="correct PhotometricInterpretation: RGB or YBR_FULL",
        )


def _keeps_bits(syntax: uid.UID) -> bool:
    """Tell whether unused bits come through a transfer syntax."""
    return syntax in (*_NATIVE, *_JPEG_LOSSLESS, uid.RLELossless)


def _described(dataset: Dataset) -> dict[str, Any]:
    """Return what pydicom's decoders must know of pixel data, as JSON can say it."""
    options = as_pixel_options(dataset)
    if "extended_offsets" in options:
        options["extended_offsets"] = [
            struct.unpack(f"<{len(table) // 8}Q", table)
            for table in options["extended_offsets"]
        ]
    return options


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


def _signed(pixels: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Give numbers back the sign that a code stream of more bits holds without it.

    It is then two's complement in the bits stored (PS3.5 8.1.1). pydicom looks for the
    sign in the highest bit of JPEG-LS and JPEG 2000 streams, which is always clear.
    """
    half = 1 << (layout.bits_stored - 1)
    if not layout.signed or int(pixels.min()) < 0:
        return pixels
    if not half <= int(pixels.max()) < 2 * half:
        return pixels
    unused = layout.bits_allocated - layout.bits_stored
    return (pixels << unused).astype(pixels.dtype) >> unused


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
        size = _size(frame, syntax)
        if size is None:
            raise UnreadableError("a code stream has no header", path=path)
        if size != (layout.rows, layout.columns, layout.samples):
            raise UnreadableError(
                "a code stream has another size than the header", path=path
            )
        # entropy-coded data never hold this marker, so it is the end or a thumbnail's
        jpeg = syntax not in (*_J2K, *_HTJ2K)
        if jpeg and frame.rfind(b"\xff\xd9") < frame.rfind(b"\xff\xda"):
            raise UnreadableError("a code stream is cut short", path=path)


def _size(stream: bytes, syntax: uid.UID) -> tuple[int, int, int] | None:
    """Return rows, columns and components of a code stream, or None: no header."""
    wavelet = syntax in (*_J2K, *_HTJ2K)
    return _j2k_size(stream) if wavelet else _jpeg_size(stream)


def _jpeg_size(stream: bytes) -> tuple[int, int, int] | None:
    """Return rows, columns and components of a JPEG or JPEG-LS stream."""
    offset = _jpeg_frame_header(stream)
    if offset is None:
        return None
    rows, columns = struct.unpack_from(">HH", stream, offset + 5)
    return rows, columns, stream[offset + 9]


def _names_rgb(stream: bytes) -> bool:
    """Tell whether a JPEG stream says RGB by nothing but its components' names.

    libjpeg knows it then, and does not turn it into the YCbCr that Pillow asks for.
    """
    offset = _jpeg_frame_header(stream)
    if offset is None or b"JFIF\0" in stream[:offset] or b"Adobe" in stream[:offset]:
        return False
    return stream[offset + 10 : offset + 19 : 3] == b"RGB"


def _jpeg_frame_header(stream: bytes) -> int | None:
    """Return where the frame header (SOF) of a JPEG or JPEG-LS stream begins."""
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
            return offset
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
