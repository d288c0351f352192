"""What programs say of the pages of a TIFF file beside the tags: OME, ImageJ, tifffile.

It stands in the description of the first page: how many pictures there are, which of
them are channels, which other files belong to them. None of it is needed to read.
"""

from __future__ import annotations

import math
import re
from itertools import product
from typing import Any, TypeAlias
from xml.etree import ElementTree

__all__ = [
    "Axes",
    "axes_of",
    "channel_of",
    "imagej_word",
    "ome_of",
    "pictures_of",
    "promised",
    "remaining_channels",
    "remarks",
    "significant_bits",
    "teller",
    "without_file_names",
]

Axes: TypeAlias = dict[str, tuple[int, ...]]

_UIC2 = 33629  # MetaMorph: counts the planes of a stack
_SHAPE = re.compile(r'shape"?[:=] ?[\[(]([\d, ]+)')
_NUMBER = re.compile(r"[0-9]{1,9}")
_UUID = re.compile(rb"<((?:\w+:)?UUID)\b[^<>]*(?:/>|>[^<]*</\1\s*>)")
_AXES = re.compile(r'"axes": ?"([A-Z]+)"')


def promised(page: Any) -> int:
    """Return how many pictures a page is said to stand for: 1 where nothing is said.

    Parameters
    ----------
    page : tifffile.TiffPage
        ImageJ, tifffile (``truncate``) and MetaMorph leave the pages of the others out.
    """
    if _UIC2 in page.tags:
        return max(1, int(page.tags[_UIC2].count))
    if page.imagej_description:
        return _of_imagej(page, "images")
    lengths = _lengths(page)
    return math.prod(lengths) // max(1, int(page.size)) if lengths else 1


def _of_imagej(page: Any, word: str) -> int:
    """Return a whole number of ImageJ's description, 1 where it stands in none."""
    found = imagej_word(page, word)
    return int(found) if _NUMBER.fullmatch(found) else 1


def imagej_word(page: Any, name: str) -> str:
    """Return what ImageJ's description says under a name, "" where it does not."""
    text = page.imagej_description or ""
    found = re.search(rf"^{name}=(.*?)\r?$", text, re.MULTILINE)
    return found[1] if found else ""


def _lengths(page: Any) -> list[int]:
    """Return the shape that tifffile's description tells, empty where it tells none."""
    found = _SHAPE.search(page.shaped_description or "")
    return [int(one) for one in found[1].split(",") if one.strip()] if found else []


def teller(text: bytes) -> str:
    """Return whose words on what the pages are a description is, "" where it is none.

    Parameters
    ----------
    text : bytes
        A description as it stands in the file.

    Returns
    -------
    str
        "OME", "ImageJ", "tifffile" or "".
    """
    text = text.rstrip(b"\0 \r\n")
    if text.endswith(b"OME>"):
        return "OME"
    if text.startswith((b"ImageJ=", b"SCIFIO=")):
        return "ImageJ"
    shaped = text.startswith(b"{") and b'"shape":' in text
    return "tifffile" if shaped or text.startswith(b"shape=") else ""


def without_file_names(text: bytes, page: Any) -> bytes:
    """Return OME's words on a file that has all planes without its own name in them.

    Written beside the file under another name, they would lead Bio-Formats, which goes
    by names first, back to the planes of that file. A plane without one is in the file
    that says so.

    Parameters
    ----------
    text : bytes
        A description as it stands in the file.
    page : tifffile.TiffPage
        The first one.

    Returns
    -------
    bytes
        The same where planes lie in several files, or no OME speaks.
    """
    root = ome_of(page) if teller(text) == "OME" else None
    return text if root is None or _files(root) != "1" else _UUID.sub(b"", text)


def significant_bits(page: Any) -> int:
    """Return how many bits of its integers OME says are in use, 0 where it does not.

    Parameters
    ----------
    page : tifffile.TiffPage
        Many programs write the size of the type there, which says nothing.
    """
    root = ome_of(page)
    sets = [] if root is None else pictures_of(root)
    words = [pixels.get("SignificantBits", "") for pixels in sets]
    if not words or not all(_NUMBER.fullmatch(word) for word in words):
        return 0
    told = max(int(word) for word in words)
    return told if 1 < told < int(page.bitspersample) else 0


def remarks(pages: list[Any]) -> list[str]:
    """Return what users should know of pages that are read as one volume.

    Parameters
    ----------
    pages : list of tifffile.TiffPage
        All that are read.
    """
    root = ome_of(pages[0])
    found = []
    if root is not None and (files := _files(root)) != "1":
        found.append(
            f"is one of {files} files that make one OME picture, and is read alone: "
            "write all of them into one folder, under the names they have"
        )
    if (count := remaining_channels(pages)) > 1:
        found.append(
            f"its {count} channels are taken as slices of one volume, under one "
            "exposure: give each channel in a file of its own"
        )
    return found


def remaining_channels(pages: list[Any]) -> int:
    """Return how many channels there are of which nothing says which page is which.

    1 where there is one, or each page is told.
    """
    count = _channels(pages[0], ome_of(pages[0]))
    return count if len(pages) > 1 and channel_of(pages) is None else 1


def channel_of(pages: list[Any]) -> tuple[int, ...] | None:
    """Return the channel of each page; None where it is one, or none can be told.

    Parameters
    ----------
    pages : list of tifffile.TiffPage
        All that are read.
    """
    found = axes_of(pages).get("C", ())
    return found if len(set(found)) > 1 else None


def axes_of(pages: list[Any]) -> Axes:
    """Return where each page lies along each axis, where that is told.

    Parameters
    ----------
    pages : list of tifffile.TiffPage
        All that are read.

    Returns
    -------
    dict
        "T" (time), "Z" (slice), "C" (channel), or another letter of tifffile's -> place
        of each page, from 0. Empty where nothing settles it.

    Notes
    -----
    Pages of ImageJ run through channels, then slices, then times; those of OME as
    DimensionOrder says, unless each stands in a TiffData element.
    """
    root = ome_of(pages[0])
    if root is not None:
        return _of_ome_pages(root, pages)
    if pages[0].imagej_description:
        return _of_imagej_pages(pages[0], len(pages))
    return _of_shape(pages[0], len(pages))


def _grid(axes: list[tuple[str, int]]) -> Axes:
    """Return the places of pages that run through axes, those of the last one first."""
    letters = [letter for letter, _ in axes]
    if not letters or len(set(letters)) < len(letters):
        return {}
    places = product(*(range(size) for _, size in axes))
    return dict(zip(letters, zip(*places, strict=True), strict=True))


def _of_imagej_pages(page: Any, count: int) -> Axes:
    channels, slices, times = (
        _of_imagej(page, word) for word in ("channels", "slices", "frames")
    )
    if channels * slices * times != count:  # a plain stack, all of it slices
        slices, times = count // max(1, channels), 1
    if channels * slices * times != count:
        return {}
    return _grid([("T", times), ("Z", slices), ("C", channels)])


def _of_ome_pages(root: ElementTree.Element, pages: list[Any]) -> Axes:
    sets = pictures_of(root)
    if len(sets) != 1 or _files(root) != "1":
        return {}
    pixels, samples = sets[0], int(pages[0].samplesperpixel)
    order = pixels.get("DimensionOrder", "")
    words = [pixels.get(f"Size{axis}", "") for axis in "CZT"]
    if sorted(order) != sorted("XYCZT") or not all(_NUMBER.fullmatch(w) for w in words):
        return {}
    sizes = dict(zip("CZT", (int(word) for word in words), strict=True))
    sizes["C"] //= samples
    if math.prod(sizes.values()) != len(pages):
        return {}
    blocks = pixels.findall("{*}TiffData")
    told = [
        one for one in blocks if {"IFD", "FirstC", "FirstZ", "FirstT"} & set(one.keys())
    ]
    if len(told) > 1:
        return _of_blocks(told, len(pages), samples)
    return _grid([(axis, sizes[axis]) for axis in reversed(order[2:])])


def _of_blocks(blocks: list[ElementTree.Element], count: int, samples: int) -> Axes:
    """Return where each page lies, where each has a block to itself."""
    found: dict[int, tuple[int, ...]] = {}
    for place, block in enumerate(blocks):
        words = [block.get(f"First{axis}", "0") for axis in "CZT"]
        words.append(block.get("IFD", str(place)))
        if block.get("PlaneCount", "1") != "1":
            return {}
        if not all(_NUMBER.fullmatch(word) for word in words):
            return {}
        channel, *others, page = map(int, words)
        found[page] = (channel // samples, *others)
    if set(found) != set(range(count)):
        return {}
    columns = zip(*(found[page] for page in range(count)), strict=True)
    return dict(zip("CZT", columns, strict=True))


def _of_shape(page: Any, count: int) -> Axes:
    """Return where each page lies by tifffile's own words."""
    axes, lengths = _AXES.search(page.shaped_description or ""), _lengths(page)
    if not axes or len(axes[1]) != len(lengths):
        return {}
    found, after = [], 1
    for letter, size in zip(axes[1], lengths, strict=True):
        found.append((letter, size))
        after *= size
        if after == count:
            break
    inside = {letter for letter, _ in found} & set("YXS")
    return {} if after != count or inside else _grid(found)


def pictures_of(root: ElementTree.Element) -> list[ElementTree.Element]:
    """Return the Pixels of all pictures that OME tells of."""
    return root.findall("{*}Image/{*}Pixels")


def ome_of(page: Any) -> ElementTree.Element | None:
    """Return OME's words, None where a page has none that can be read."""
    for text in (page.description, page.description1):
        if not text.rstrip("\0 \r\n").endswith("OME>") or "<!DOCTYPE" in text:
            continue  # entities: OME has none, only traps have
        try:
            return ElementTree.fromstring(text.rstrip("\0 \r\n").encode())
        except (ElementTree.ParseError, ValueError, LookupError):
            continue
    return None


def _files(root: ElementTree.Element) -> str:
    """Return in how many files the planes lie, "several" where another one says it."""
    if root.find("{*}BinaryOnly") is not None:
        return "several"
    files = {
        one.get("FileName") or one.text
        for one in root.iterfind(".//{*}TiffData/{*}UUID")
    }
    return str(max(1, len(files)))


def _channels(page: Any, root: ElementTree.Element | None) -> int:
    """Return how many channels the pages are said to be; colours of a page are one."""
    counts = [_of_imagej(page, "channels")]
    if root is not None:
        for pixels in root.iterfind(".//{*}Pixels"):
            counts.append(_of_ome(pixels, root.get("UUID"), page))
    axes, lengths = _AXES.search(page.shaped_description or ""), _lengths(page)
    if axes and len(axes[1]) == len(lengths):
        counts += [n for axis, n in zip(axes[1], lengths, strict=True) if axis == "C"]
    return max(counts)


def _of_ome(pixels: ElementTree.Element, own: str | None, page: Any) -> int:
    """Return of how many channels this file has planes."""
    places = [
        (data.get("FirstC", "0"), uuid.text)
        for data in pixels.iterfind("{*}TiffData")
        if (uuid := data.find("{*}UUID")) is not None
    ]
    if len({uuid for _, uuid in places}) > 1:
        return len({channel for channel, uuid in places if uuid == own})
    size = pixels.get("SizeC", "")
    samples = int(page.samplesperpixel)
    return int(size) // samples if _NUMBER.fullmatch(size) else 1
