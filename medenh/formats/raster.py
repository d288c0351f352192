"""PNG, JPEG and BMP files: to an `Image` and back.

The structure of each lies in its own module; here it meets the codecs. 16-bit colour
never goes through Pillow, which opens it as 8-bit without a word.
"""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.errors import UnreadableError, UnsupportedError
from medenh.formats import bmp, files, jpeg, png
from medenh.formats.limits import Limits
from medenh.formats.viewing import Viewing, viewing_of
from medenh.types import Image, Provenance, Storage

__all__ = ["RasterHeader", "encode", "read", "told_of_picture", "write"]

_QUALITY = 98
_JPEG_SIDE = 65500  # libjpeg's own limit
_FILLER = b"\x55\xaa\x3c" * 32
_KEYWORD = "Processing"


@dataclass(frozen=True, slots=True)
class RasterHeader:
    """What is written back with the pixels.

    Attributes
    ----------
    kind : str
        "png", "jpeg" or "bmp".
    kept : tuple of bytes
        PNG chunks or JPEG segments.
    density : tuple of int, or None
        BMP pixels for each metre.
    data : bytes
        The JPEG file itself: unchanged pixels are given back as it has them.
    checksum : int
        CRC of the decoded pixels of that file.
    told : tuple of str
        Warnings of what of the file the picture is not.
    """

    kind: str
    kept: tuple[bytes, ...] = ()
    density: tuple[int, int] | None = None
    data: bytes = b""
    checksum: int = 0
    told: tuple[str, ...] = ()

    def viewing(self, frame: int) -> Viewing:
        """Return what other formats can say of it too: see `viewing_of`."""
        if self.kind == "png":
            return png.viewing(self.kept)
        return jpeg.viewing(self.kept) if self.kept else bmp.viewing(self.density)


def read(path: Path, kind: str, *, limits: Limits) -> Image:
    """Return the picture in a PNG, JPEG or BMP file.

    Parameters
    ----------
    path : path
        The file.
    kind : str
        "png", "jpeg" or "bmp", as its content says.
    limits : Limits
        Checked on the header, before decoding.

    Returns
    -------
    Image
        One frame, uint8 or uint16. JPEG pixels stand as stored: the Exif orientation
        is kept, not applied.
    """
    data = files.read_bytes(path, limits.max_bytes)
    reader = {"png": _read_png, "jpeg": _read_jpeg, "bmp": _read_bmp}[kind]
    samples, header = reader(data, path, limits)
    if samples.ndim == 2:
        samples = samples[..., None]
    colours = samples.shape[2] - (samples.shape[2] % 2 == 0)
    pixels = np.ascontiguousarray(samples[..., :colours])[None]
    alpha = None
    if samples.shape[2] != colours:
        alpha = np.ascontiguousarray(samples[..., colours])[None]
    top = float(np.iinfo(pixels.dtype).max)
    return Image(
        pixels=pixels,
        unit_range=intensity.bit_depth_range(pixels),
        storage=Storage(pixels.dtype, minimum=0.0, maximum=top),
        format=kind,
        alpha=alpha,
        source=path,
        header=header,
    )


def _read_png(
    data: bytes, path: Path, limits: Limits
) -> tuple[NDArray[Any], RasterHeader]:
    info = png.header(data, path)
    limits.check(path, info.width * info.height, info.decoded_bytes, len(data))
    info = png.parse(data, path)
    samples = _decode("png", data, path)
    if samples.shape[:2] != (info.height, info.width):
        raise UnreadableError("damaged PNG: size differs from its header", path=path)
    return samples, RasterHeader("png", info.kept, told=info.told)


def _read_jpeg(
    data: bytes, path: Path, limits: Limits
) -> tuple[NDArray[Any], RasterHeader]:
    info = jpeg.parse(data, path)
    voxels = info.width * info.height
    limits.check(path, voxels, voxels * info.channels, len(data))
    samples = _decode("jpeg", data, path)
    colours = 1 if samples.ndim == 2 else samples.shape[2]
    if (*samples.shape[:2], colours) != (info.height, info.width, info.channels):
        raise UnreadableError("damaged JPEG: size differs from its header", path=path)
    if _ends_flat(samples) and _ran_dry(data[: info.end], samples, path):
        raise UnreadableError("truncated JPEG: its last rows are missing", path=path)
    header = RasterHeader(
        "jpeg",
        info.kept,
        data=data,
        checksum=_checksum(samples),
        told=_lost_pictures(info.pictures),
    )
    return samples, header


def _read_bmp(
    data: bytes, path: Path, limits: Limits
) -> tuple[NDArray[Any], RasterHeader]:
    info = bmp.parse(data, path)
    voxels = info.width * info.height
    limits.check(path, voxels, voxels * 4, len(data))
    return bmp.decode(data, info, path), RasterHeader("bmp", density=info.density)


def _decode(kind: str, data: bytes, path: Path) -> NDArray[Any]:
    import imagecodecs

    # libpng warns of what is no damage: interlaced rows, profiles it does not like
    logging.getLogger("imagecodecs").setLevel(logging.CRITICAL)
    decode = imagecodecs.png_decode if kind == "png" else imagecodecs.jpeg8_decode
    try:
        samples: NDArray[Any] = decode(data)
    except (MemoryError, ImportError):  # of imagecodecs' parts, loaded by a call
        raise
    except Exception as error:
        what = f"damaged {kind.upper()}"
        # imagecodecs stumbles over some of libpng's own words, and drops others
        if str(error) and not isinstance(error, UnicodeDecodeError):
            what += f": {str(error)[:100]}"
        raise UnreadableError(what, path=path) from error
    return samples


def _ends_flat(samples: NDArray[Any]) -> bool:
    # what libjpeg invents for a missing block is flat; four pixels are always inside
    # one block, and clear of the smoothing of colour from its neighbours
    height, width = samples.shape[:2]
    corner = samples[-min(4, (height - 1) % 8 + 1) :, -min(4, (width - 1) % 8 + 1) :]
    return bool((corner == corner[-1, -1]).all())


def _ran_dry(data: bytes, samples: NDArray[Any], path: Path) -> bool:
    """Tell whether the decoder wanted more than the file had before its end marker.

    Bytes added there are ignored by a decoder that has all its rows, and become
    pixels for one that had to invent them.
    """
    padded = _decode("jpeg", data[:-2] + _FILLER + data[-2:], path)
    return not np.array_equal(padded, samples)


def _lost_pictures(count: int) -> tuple[str, ...]:
    """Return a warning where a file holds more pictures than are read, as MPO does."""
    return () if count == 1 else (f"holds {count} pictures: only the first is taken",)


def told_of_picture(image: Image) -> list[str]:
    """Return warnings about what of its file a picture is not, or not quite."""
    header = image.header
    return list(header.told) if isinstance(header, RasterHeader) else []


def _checksum(samples: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(samples).data)


def write(
    image: Image, path: Path, kind: str, *, provenance: Provenance | None = None
) -> None:
    """Write one frame of 8 bits (PNG: or 16), whole or not at all.

    Raises
    ------
    UnsupportedError
        More than one frame, another type, or alpha into JPEG.
    OutputError
        The file cannot be written.
    """
    data = encode(image, path, kind, provenance=provenance)
    with files.atomic_output(path) as part:
        part.write_bytes(data)


def encode(
    image: Image, path: Path, kind: str, *, provenance: Provenance | None = None
) -> bytes:
    """Return the file that `write` writes."""
    if image.frames != 1:
        raise UnsupportedError(
            f"{image.frames} frames do not fit into one {kind.upper()} file",
            path=path,
            hint="write TIFF, NIfTI or NPY",
        )
    allowed = (np.uint8, np.uint16) if kind == "png" else (np.uint8,)
    if image.pixels.dtype not in allowed:
        raise UnsupportedError(
            f"{image.pixels.dtype} pixels do not fit into {kind.upper()}", path=path
        )
    header = _header_for(image, kind)
    if kind == "jpeg":
        return _encode_jpeg(image, header, path)
    if kind == "bmp":
        samples = _with_alpha(image)
        if samples.shape[2] == 2:  # BMP has no grey with alpha
            samples = samples[..., [0, 0, 0, 1]]
        return bmp.encode(samples, header.density)
    return _encode_png(image, header, provenance)


def _header_for(image: Image, kind: str) -> RasterHeader:
    """Return what goes beside the pixels: all of it within a format, else `Viewing`."""
    if isinstance(image.header, RasterHeader) and image.header.kind == kind:
        return image.header
    told = viewing_of(image)
    if kind == "png":
        return RasterHeader(kind, png.viewing_chunks(told))
    if kind == "jpeg":
        return RasterHeader(kind, jpeg.viewing_segments(told))
    return RasterHeader(kind, density=bmp.density_of(told))


def _with_alpha(image: Image) -> NDArray[Any]:
    pixels: NDArray[Any] = image.pixels[0]
    if image.alpha is None:
        return pixels
    alpha = image.alpha[0][..., None].astype(pixels.dtype)
    return np.concatenate([pixels, alpha], axis=2)


def _encode_png(
    image: Image, header: RasterHeader, provenance: Provenance | None
) -> bytes:
    import imagecodecs

    from medenh.opencv import cv2

    samples = _with_alpha(image)
    if samples.shape[2] == 2:  # OpenCV has no grey with alpha
        encoded = bytes(imagecodecs.png_encode(np.ascontiguousarray(samples), level=1))
    else:
        # an explicit level would leave OpenCV's fast filter: 3 to 8 times slower
        done, buffer = cv2.imencode(".png", _blue_first(samples))
        if not done:
            raise UnsupportedError("pixels do not fit into PNG", path=image.source)
        encoded = buffer.tobytes()
    kept = header.kept
    if provenance is not None:
        kept = (*_other_texts(kept), _provenance_chunk(provenance))
    return png.splice(encoded, kept)


def _blue_first(samples: NDArray[Any]) -> NDArray[Any]:
    """Return 8- or 16-bit samples in the order that OpenCV wants."""
    from medenh.opencv import cv2

    samples = np.ascontiguousarray(samples)
    turns = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    turn = turns.get(samples.shape[2])
    return samples if turn is None else np.asarray(cv2.cvtColor(samples, turn))


def _other_texts(kept: tuple[bytes, ...]) -> list[bytes]:
    mark = b"tEXt" + _KEYWORD.encode() + b"\0medenh "
    return [chunk for chunk in kept if chunk[4 : 4 + len(mark)] != mark]


def _provenance_chunk(provenance: Provenance) -> bytes:
    steps = [_step_words(step) for step in provenance.steps]
    return png.text_chunk(_KEYWORD, "; before that: ".join(steps))


def _step_words(step: Provenance) -> str:
    verb = step.verb if step.verb != "enhance" else ""
    words = ["medenh", verb, step.model, step.version, step.options]
    if step.weights_sha256:
        words.append(f"weights={step.weights_sha256}")
    return " ".join(word for word in words if word)


def _encode_jpeg(image: Image, header: RasterHeader, path: Path) -> bytes:
    from medenh.opencv import cv2

    if image.alpha is not None:
        raise UnsupportedError(
            "JPEG cannot keep the alpha channel", path=path, hint="write PNG or TIFF"
        )
    pixels = np.ascontiguousarray(image.pixels[0])
    if _is_unchanged(pixels, header):
        return header.data
    if max(pixels.shape) > _JPEG_SIDE:
        raise UnsupportedError(f"wider or higher than {_JPEG_SIDE}", path=path)
    full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [
        cv2.IMWRITE_JPEG_QUALITY, _QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full,
    ]  # fmt: skip
    done, buffer = cv2.imencode(".jpg", _blue_first(pixels), options)
    if not done:
        raise UnsupportedError("pixels do not fit into JPEG", path=path)
    return jpeg.splice(buffer.tobytes(), header.kept)


def _is_unchanged(pixels: NDArray[Any], header: RasterHeader) -> bool:
    if not header.data or _checksum(pixels) != header.checksum:
        return False
    before = _decode("jpeg", header.data, Path())
    return bool(np.array_equal(before.reshape(-1), pixels.reshape(-1)))
