"""TIFF files: to an `Image` and back. Each page is a frame.

Pages are taken one by one as the file has them; what OME, ImageJ and others say of
them is kept as it stands while it holds, and no other file that they name is opened.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.errors import InputError, UnreadableError, UnsupportedError
from medenh.formats import files, opacity, tiff_frames, tiff_pages, tiff_told
from medenh.formats.array import plain_storage
from medenh.formats.limits import Limits
from medenh.formats.tiff_imagej import Tag, without_display_range
from medenh.formats.tiff_stack import Stack, stack_of
from medenh.formats.viewing import CENTIMETRE, Viewing, resolution
from medenh.types import Image, UnitRange

__all__ = [
    "PageTags",
    "TiffHeader",
    "contents_of",
    "lost_places",
    "read",
    "told_of_pages",
    "viewing_tags",
    "without_axes",
]

_MASK = 4  # NewSubfileType: 1 bit a pixel, which is not how pages are written
_COMPLEX = (5, 6)  # SampleFormat: of integers, of floats

# PHOTOMETRIC and EXTRASAMPLE values (TIFF 6.0 sections 8 and 18)
_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_ASSOCIATED, _STRAIGHT = 1, 2  # alpha: colours are multiplied by it, or not
_MAX_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE = 281, 341

# What viewers need (TIFF 6.0 section 8; ICC.1 annex B): see `medenh.formats.viewing`
_ORIENTATION, _ACROSS, _DOWN, _UNIT, _PROFILE = 274, 282, 283, 296, 34675
_SHORT, _RATIONAL, _UNDEFINED = 3, 5, 7
_UNITS = {2: Fraction(1), 3: CENTIMETRE}  # in inches

# Tags that describe the picture and stay true of other pixels of the same size.
_KEPT = (
    269, 270, 271, 272, 274, 282, 283, 285, 296, 297, 305, 306, 315, 316, 318, 319,
    700, 33432, 33723, 34675, 50838, 50839,
)  # fmt: skip
_FIRST_PRIVATE = 32768  # TIFF 6.0 section 2; Exif's and GPS's are among them
_DESCRIPTION, _IMAGEJ = 270, (50838, 50839)
_LOSSLESS = {
    1: "none", 5: "lzw", 8: "zlib", 32946: "zlib", 32773: "packbits", 34925: "lzma",
    50000: "zstd",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageTags:
    """What one page says besides its pixels: (code, type, count, bytes) of each tag."""

    tags: tuple[Tag, ...]
    subfile_type: int


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What is written back with the pages.

    Attributes
    ----------
    order : str
        Byte order, "<" or ">".
    big : bool
        True for BigTIFF.
    compression : str
        "none", "lzw", "zlib"...: as read where lossless, else "zlib".
    predictor : bool
        True where neighbours were subtracted before compression.
    planar : bool
        True where colours lie in separate planes.
    premultiplied : array or None
        Colours as the file has them, where it has them multiplied by alpha: pixels are
        what they are without it.
    tile : tuple of int, or None
        Length and width of the tiles that the pixels stand in; None for strips.
    pages : tuple of PageTags
        One for each page.
    shape : tuple of int
        Frames, height and width of the pixels that the tags belong to; empty where
        they say nothing of these.
    told : tuple of str
        Warnings: see `told_of_pages`.
    contents, misplaced : str
        What the pages are, and why they are no volumes: see `tiff_stack.Stack`.
    """

    order: str
    big: bool
    compression: str
    predictor: bool
    planar: bool
    premultiplied: NDArray[Any] | None = field(compare=False, repr=False)
    tile: tuple[int, int] | None
    pages: tuple[PageTags, ...]
    shape: tuple[int, ...] = ()
    told: tuple[str, ...] = ()
    contents: str = ""
    misplaced: str = ""

    def viewing(self, frame: int) -> Viewing:
        """Return what other formats can say of a page too: see `viewing_of`."""
        if frame >= len(self.pages):
            return Viewing()
        tags = {code: (kind, value) for code, kind, _, value in self.pages[frame].tags}
        turned = _short(tags.get(_ORIENTATION), self.order) or 1
        unit = _short(tags.get(_UNIT), self.order)
        across, down = (_ratio(tags.get(code), self.order) for code in (_ACROSS, _DOWN))
        inches = _UNITS.get(2 if unit is None else unit)
        return Viewing(
            profile=tags.get(_PROFILE, (0, b""))[1],
            resolution=resolution(across, down, inches) if inches else None,
            orientation=turned if 1 <= turned <= 8 else 1,
        )


def viewing_tags(told: Viewing) -> PageTags:
    """Return the tags of a new little-endian page that say how it is to be seen."""
    tags = []
    if told.resolution is not None:
        for code, exact in zip((_ACROSS, _DOWN), told.resolution, strict=True):
            ratio = exact.limit_denominator(100)
            value = struct.pack("<II", ratio.numerator, ratio.denominator)
            tags.append((code, _RATIONAL, 1, value))
        tags.append((_UNIT, _SHORT, 1, struct.pack("<H", 2)))
    if told.orientation != 1:
        tags.append((_ORIENTATION, _SHORT, 1, struct.pack("<H", told.orientation)))
    if told.profile:
        tags.append((_PROFILE, _UNDEFINED, len(told.profile), told.profile))
    return PageTags(tuple(tags), 0)


def told_of_pages(image: Image) -> list[str]:
    """Return warnings where the pages of a file were taken for what they are not quite.

    Channels that became slices, planes that lie in other files, palettes and few bits
    that are written as more. Nothing of an image that was read from another format.
    """
    return list(image.header.told) if isinstance(image.header, TiffHeader) else []


def contents_of(image: Image) -> str:
    """Return what the pages of a file are, "3 times x 4 z"; "" where nothing tells."""
    return image.header.contents if isinstance(image.header, TiffHeader) else ""


def lost_places(image: Image) -> list[str]:
    """Return what NIfTI would get wrong of where the pages of a file lie."""
    header = image.header
    if not isinstance(header, TiffHeader) or not header.misplaced:
        return []
    return [
        f"{header.misplaced}: in NIfTI they lie one behind the other, as slices of one "
        "volume; give each channel in a file of its own, slice after slice"
    ]


def _short(tag: tuple[int, bytes] | None, order: str) -> int | None:
    if tag is None or tag[0] != _SHORT or len(tag[1]) < 2:
        return None
    return int(struct.unpack_from(f"{order}H", tag[1])[0])


def _ratio(tag: tuple[int, bytes] | None, order: str) -> Fraction:
    """Return a rational tag, 0 where there is none that makes sense."""
    if tag is None or tag[0] != _RATIONAL or len(tag[1]) < 8:
        return Fraction(0)
    above, below = struct.unpack_from(f"{order}II", tag[1])
    return Fraction(above, below) if below else Fraction(0)


def read(path: Path, *, limits: Limits) -> Image:
    """Return the pages of a TIFF file as frames.

    Parameters
    ----------
    path : path
        TIFF or BigTIFF.
    limits : Limits
        Checked on the tags of all pages, before decoding.

    Returns
    -------
    Image
        1-, 2- and 4-bit grey becomes 8-bit, palettes become RGB; WhiteIsZero is kept
        as an inverted range. Colours that are multiplied by alpha are divided by it.

    Raises
    ------
    UnsupportedError
        Pages of different size or kind, CMYK, Lab, complex...: they could not be
        written back. Pictures that no page of the file leads to.
    """
    size = files.regular_size(path)
    with _opened(path, size) as (tiff, pages):
        voxels = sum(int(np.prod(_plane(page, path))) for page in pages)
        decoded = sum(int(page.nbytes) for page in pages)
        limits.check(path, voxels, decoded, size)
        for page in pages:
            tiff_pages.check_segments(page, size, path)
        return _image(tiff, pages, path)


@contextmanager
def _opened(path: Path, size: int) -> Iterator[tuple[Any, list[Any]]]:
    """Yield a file and the pages that are its frames, not yet decoded."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    tiff_pages.check_chain(path, size)
    try:
        with (
            np.errstate(all="ignore"),
            tifffile.TiffFile(path, _multifile=False) as tiff,
        ):
            yield tiff, tiff_frames.choose(tiff, path)
    except (InputError, MemoryError, ImportError):
        raise
    except Exception as error:
        import_module("imagecodecs")  # tifffile takes want of it for damage

        reason = str(error) or type(error).__name__
        raise UnreadableError(f"damaged TIFF: {reason[:120]}", path=path) from error


def _plane(page: Any, path: Path) -> tuple[int, int]:
    if page.imagedepth != 1:
        raise UnsupportedError(
            "volumes inside a page", path=path, hint=tiff_frames.HINT
        )
    if page.sampleformat in _COMPLEX:
        raise UnsupportedError(
            "pixels of complex numbers",
            path=path,
            hint="save magnitude and phase in files of their own",
        )
    _check_bits(page, path)
    height, width = int(page.imagelength), int(page.imagewidth)
    if height < 1 or width < 1:
        raise UnreadableError("damaged TIFF: no pixels", path=path)
    return height, width


def _check_bits(page: Any, path: Path) -> None:
    bits = page.bitspersample  # a tuple where samples differ, as in RGB of 5, 6 and 5
    known = page.dtype is not None and page.dtype.kind in "biuf"
    if not known or isinstance(bits, tuple) or bits in (3, 5, 6, 7):
        told = ", ".join(map(str, bits)) if isinstance(bits, tuple) else bits
        raise UnsupportedError(
            f"samples of {told} bits",
            path=path,
            hint="save it with 8 or 16 bits a sample first",
        )


def _image(tiff: Any, pages: list[Any], path: Path) -> Image:
    first = pages[0]
    samples = _samples(pages, path)
    inverted = first.photometric == _WHITE_IS_0
    alpha = None
    if samples.shape[3] in (2, 4):
        samples, alpha = samples[..., :-1], samples[..., -1]
    pixels = np.ascontiguousarray(samples)
    veiled = None
    if alpha is not None and _ASSOCIATED in (int(one) for one in first.extrasamples):
        veiled, pixels = pixels, opacity.straight(pixels, alpha)
    frozen = None
    if pixels.dtype.kind == "f":
        frozen = ~np.isfinite(pixels).all(axis=-1)
        frozen = frozen if frozen.any() else None
    stack = stack_of(pages)
    return Image(
        pixels=pixels,
        unit_range=_unit_range(pixels, inverted, _top(pages)),
        storage=plain_storage(pixels.dtype),
        format="tiff",
        geometry=stack.geometry,
        alpha=alpha,
        frozen=frozen,
        channel_of=tiff_told.channel_of(pages),
        source=path,
        header=_header(tiff, pages, veiled, stack),
    )


def _unit_range(pixels: NDArray[Any], inverted: bool, top: int) -> UnitRange:
    if pixels.dtype.kind == "f":
        return intensity.float_range(pixels, inverted=inverted)
    return intensity.bit_depth_range(pixels, inverted=inverted, top=top)


def _top(pages: list[Any]) -> int:
    """Return the largest value that the tags of a page speak of, or 0."""
    bits = int(pages[0].bitspersample)
    if not 8 < bits < 16:
        bits = tiff_told.significant_bits(pages[0])
    top = (1 << bits) - 1
    for page in pages:
        for code in (_MAX_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE):
            told = np.asarray(page.tags[code].value if code in page.tags else 0)
            if told.dtype.kind in "iuf" and told.size and 0 < told.max() <= 65535:
                top = max(top, int(told.max()))
    return top


def _samples(pages: list[Any], path: Path) -> NDArray[Any]:
    """Return the pixels of all pages, shape (pages, height, width, samples)."""
    _check_photometric(pages[0], path)
    frames: NDArray[Any] | None = None
    for index, page in enumerate(pages):
        plane = _page_samples(page)
        if frames is None:
            frames = np.empty((len(pages), *plane.shape), plane.dtype)
        frames[index] = plane
    if frames is None:
        raise UnreadableError("damaged TIFF: no pages", path=path)
    return frames


def _check_photometric(page: Any, path: Path) -> None:
    kind, samples = int(page.photometric), int(page.samplesperpixel)
    extra = tuple(int(one) for one in page.extrasamples)
    opaque = samples - len(extra)
    grey = kind in (_WHITE_IS_0, _BLACK_IS_0) and opaque == 1
    colour = kind == _RGB or (kind == _YCBCR and page.compression == tiff_pages.JPEG)
    known = grey or (colour and opaque == 3) or (kind == _PALETTE and samples == 1)
    if (
        not known
        or len(extra) > 1
        or any(one not in (_ASSOCIATED, _STRAIGHT) for one in extra)
    ):
        raise UnsupportedError(
            f"TIFF of {page.photometric.name} with {samples} samples",
            path=path,
            hint="save each channel in a file of its own, or a page"
            if kind in (_WHITE_IS_0, _BLACK_IS_0)
            else "convert it to grey, RGB or RGBA first",
        )


def _page_samples(page: Any) -> NDArray[Any]:
    plane = page.asarray()
    samples = int(page.samplesperpixel)
    if samples > 1 and page.planarconfig == 2:
        plane = np.moveaxis(plane.reshape(samples, *plane.shape[-2:]), 0, -1)
    plane = plane.reshape(page.imagelength, page.imagewidth, samples)
    if page.photometric == _PALETTE:
        # 16-bit colour tables hold 8-bit colours (TIFF 6.0 section 5); some writers
        # forget to shift them, and libtiff heeds it
        table = np.asarray(page.colormap)
        table = (table >> 8 if table.max() > 255 else table).astype(np.uint8)
        # of 1 bit the indices come as booleans, which would be taken for a mask
        return np.moveaxis(table[:, plane[..., 0] * np.uint8(1)], 0, -1)
    bits = int(page.bitspersample)
    if bits < 8:
        levels: NDArray[Any] = plane.astype(np.uint8) * np.uint8(255 // (2**bits - 1))
        return levels
    native: NDArray[Any] = plane.astype(plane.dtype.newbyteorder("="), copy=False)
    return native


def _header(
    tiff: Any, pages: list[Any], veiled: NDArray[Any] | None, stack: Stack
) -> TiffHeader:
    """Return what is kept; of pages out of place, or changed, no word on their axes."""
    first = pages[0]
    told = _changes(first)
    tags = tuple(_page_tags(tiff, page, first) for page in pages)
    if told or any(page.index != place for place, page in enumerate(pages)):
        told += _lost_axes(tags)
        tags = tuple(without_axes(page) for page in tags)
    return TiffHeader(
        order=str(tiff.byteorder),
        big=bool(tiff.is_bigtiff),
        compression=_LOSSLESS.get(int(first.compression), "zlib"),
        predictor=int(first.predictor) > 1,
        planar=int(first.planarconfig) == 2 and int(first.samplesperpixel) > 1,
        premultiplied=veiled,
        tile=_tile(first),
        pages=tags,
        shape=(len(pages), int(first.imagelength), int(first.imagewidth)),
        told=(*told, *tiff_told.remarks(pages), *_left_out(tiff, pages)),
        contents=stack.words,
        misplaced=stack.misplaced,
    )


def _tile(page: Any) -> tuple[int, int] | None:
    """Return length and width of a page's tiles; of a large page viewers need them.

    Not of such as TIFF 6.0 section 15 forbids, which no writer takes.
    """
    length, width = int(page.tilelength), int(page.tilewidth)
    sound = page.is_tiled and length % 16 == width % 16 == 0
    return (length, width) if sound else None


def _changes(page: Any) -> list[str]:
    """Return how pixels were changed so that they can be enhanced."""
    bits = int(page.bitspersample)
    if page.photometric == _PALETTE:
        return ["its palette becomes RGB"]
    if bits < 8:
        return [f"its {bits}-bit grey becomes 8-bit: {2**bits - 1} is written as 255"]
    return []


def _left_out(tiff: Any, pages: list[Any]) -> list[str]:
    """Return a warning of what the file holds that is not written back, if anything."""
    lost = [
        f"tag {tag.code}" if str(tag.name).isdigit() else str(tag.name)
        for tag in pages[0].tags
        if tag.code >= _FIRST_PRIVATE and tag.code not in _KEPT
    ]
    if len(tiff.pages) > len(pages) or any(page.subifds for page in pages):
        lost.append("smaller copies of its pages")
    return [f"is written without {', '.join(lost)}"] if lost else []


def _page_tags(tiff: Any, page: Any, first: Any) -> PageTags:
    found: list[Tag] = []
    for tag in page.tags:
        if tag.code in _KEPT and tag.valuebytecount <= tiff.filehandle.size:
            tiff.filehandle.seek(tag.valueoffset)
            value = tiff.filehandle.read(tag.valuebytecount)
            if tag.code == _UNIT and len(value) < 2:
                continue  # a damaged one, which the writer could not look into
            count = int(tag.count)
            if tag.code == _DESCRIPTION:
                told = tiff_told.without_file_names(value, first)
                value, count = told, count - len(value) + len(told)
            found.append((int(tag.code), int(tag.dtype), count, value))
    found = without_display_range(found, str(tiff.byteorder))
    return PageTags(tuple(found), int(page.subfiletype) & ~_MASK)


def _lost_axes(pages: tuple[PageTags, ...]) -> list[str]:
    """Return what `without_axes` takes away that users may miss."""
    tellers = {
        tiff_told.teller(value)
        for page in pages
        for code, _, _, value in page.tags
        if code == _DESCRIPTION
    }
    return [
        f"what {teller} says of its axes and their scale is left out"
        for teller in ("OME", "ImageJ")
        if teller in tellers
    ]


def without_axes(page: PageTags) -> PageTags:
    """Return what a page says without what programs say of all pages and their axes."""
    kept = tuple(
        tag
        for tag in page.tags
        if tag[0] not in _IMAGEJ
        and not (tag[0] == _DESCRIPTION and tiff_told.teller(tag[3]))
    )
    return replace(page, tags=kept)
