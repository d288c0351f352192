"""Frames to TIFF pages, with the tags that their source had."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UnsupportedError
from medenh.formats import files, opacity, tiff_told
from medenh.formats.tiff import PageTags, TiffHeader, viewing_tags, without_axes
from medenh.formats.viewing import viewing_of
from medenh.types import Image

__all__ = ["write"]

_PLAIN = TiffHeader("<", False, "zlib", False, False, None, None, ())
_CLASSIC_LIMIT = 2**32 - 2**25  # offsets of classic TIFF have 32 bits
_X, _Y, _UNIT = 282, 283, 296
_DESCRIPTION = 270
_RATIONALS = {5: "I", 10: "i"}  # types of two numbers each


def write(image: Image, path: Path) -> None:
    """Write one page for each frame.

    Parameters
    ----------
    image : Image
        Any number type of TIFF; an inverted range becomes WhiteIsZero.
    path : path
        The output.

    Raises
    ------
    UnsupportedError
        Inverted colour; booleans, which `writers` gives as levels.
    OutputError
        The file cannot be written.
    """
    import tifffile

    header = image.header
    if not isinstance(header, TiffHeader):
        told = (viewing_of(image, frame) for frame in range(image.frames))
        header = replace(_PLAIN, pages=tuple(map(viewing_tags, told)))
    if header.shape not in ((), image.pixels.shape[:3]):  # cropped, or some frames
        header = replace(header, pages=tuple(map(without_axes, header.pages)))
    inverted = image.unit_range.inverted
    if image.pixels.dtype.kind not in "iuf" or (inverted and image.channels > 1):
        raise UnsupportedError(
            f"{image.pixels.dtype} pixels do not fit into TIFF", path=path
        )
    samples = _samples(image, header.premultiplied)
    big = header.big or samples.nbytes > _CLASSIC_LIMIT
    order: Any = header.order
    joined = _is_one_block(header, samples[0])
    with (
        files.atomic_output(path) as part,
        tifffile.TiffWriter(part, bigtiff=big, byteorder=order) as tiff,
    ):
        for index, frame in enumerate(samples):
            tags = header.pages[index] if index < len(header.pages) else None
            options = _layout(header, image, frame)
            options |= _tags(tags, header.order, header.pages[1:2] if joined else None)
            plane = _plane(frame, header.planar)
            tiff.write(
                plane, metadata=None, software=False, contiguous=joined, **options
            )


def _is_one_block(header: TiffHeader, frame: NDArray[Any]) -> bool:
    """Tell whether pixels of all pages must follow one another without a gap.

    ImageJ takes the number of pages from its own words, where nothing is compressed,
    and looks for the pages behind the first's pixels, not where the tags say. Pages
    after the first then have the first's tags, less what describes the whole file.
    """
    if header.compression != "none" or _tile(header, frame) or not header.pages:
        return False
    return any(
        code == _DESCRIPTION and tiff_told.teller(value) == "ImageJ"
        for code, _, _, value in header.pages[0].tags
    )


def _samples(image: Image, veiled: NDArray[Any] | None) -> NDArray[Any]:
    if image.alpha is None:
        return image.pixels
    pixels = image.pixels
    if veiled is not None:
        pixels = opacity.multiplied(pixels, image.alpha, veiled)
    alpha = image.alpha[..., None].astype(image.pixels.dtype)
    return np.concatenate([pixels, alpha], axis=-1)


def _plane(frame: NDArray[Any], planar: bool) -> NDArray[Any]:
    if frame.shape[-1] == 1:
        return frame[..., 0]
    return np.moveaxis(frame, -1, 0) if planar else frame


def _layout(header: TiffHeader, image: Image, frame: NDArray[Any]) -> dict[str, Any]:
    """Return how the pixels are to stand, as `tifffile` names it."""
    samples = frame.shape[-1]
    grey = "miniswhite" if image.unit_range.inverted else "minisblack"
    layout: dict[str, Any] = {"photometric": "rgb" if image.channels == 3 else grey}
    if samples > 1:
        layout["planarconfig"] = "separate" if header.planar else "contig"
    if image.alpha is not None:
        straight = header.premultiplied is None
        layout["extrasamples"] = ["unassalpha" if straight else "assocalpha"]
    if tile := _tile(header, frame):
        layout["tile"] = tile
    if header.compression != "none":
        layout["compression"] = header.compression
        layout["predictor"] = header.predictor
    return layout


def _tile(header: TiffHeader, frame: NDArray[Any]) -> tuple[int, int] | None:
    """Return the size of tiles, none larger than the frame: each is written in full."""
    tile = header.tile
    if tile is None or tile[0] >= frame.shape[0] + 16 or tile[1] >= frame.shape[1] + 16:
        return None
    return tile


def _tags(
    page: PageTags | None, order: str, later: tuple[PageTags, ...] | None
) -> dict[str, Any]:
    """Return the tags of a page as `tifffile` names them.

    ``later`` is the page, if any, whose tags all pages after this one share with it.
    """
    if page is None:
        return {}
    repeated = page.tags if later is None else later[0].tags if later else ()
    named = {code: (kind, value) for code, kind, _, value in page.tags}
    options: dict[str, Any] = {"subfiletype": page.subfile_type}
    across, down = (_rational(named.get(code), order) for code in (_X, _Y))
    if across and down:
        options["resolution"] = (across, down)
        unit = named.get(_UNIT)
        code = struct.unpack_from(order + "H", unit[1])[0] if unit else 2
        options["resolutionunit"] = code if code in (1, 2, 3) else 1
    # descriptions are among the extra tags: tifffile's own argument takes one only, and
    # its files have the user's and one of its own
    own = (_X, _Y, _UNIT)
    options["extratags"] = [
        (*tag[:3], _numbers(tag[1], tag[3], order), tag not in repeated)
        for tag in page.tags
        if tag[0] not in own
    ]
    return options


def _numbers(kind: int, value: bytes, order: str) -> bytes | tuple[int, ...]:
    """Return rationals as numbers: of their bytes tifffile takes each half for one."""
    if kind not in _RATIONALS:
        return value
    return struct.unpack(f"{order}{len(value) // 4}{_RATIONALS[kind]}", value)


def _rational(tag: tuple[int, bytes] | None, order: str) -> tuple[int, int] | None:
    if tag is None or tag[0] != 5 or len(tag[1]) < 8:
        return None
    above, below = struct.unpack_from(order + "II", tag[1])
    return (above, below) if below else None
