"""What programs say of the pages of a TIFF file beside the tags: OME, ImageJ, tifffile.

It stands in the description of the first page: how many pictures there are, which of
them are channels, which other files belong to them. None of it is needed to read.
"""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

__all__ = ["channel_of", "promised", "remarks", "significant_bits", "teller"]

_UIC2 = 33629  # MetaMorph: counts the planes of a stack
_SHAPE = re.compile(r'shape"?[:=] ?[\[(]([\d, ]+)')
_NUMBER = re.compile(r"[0-9]{1,9}")
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
    """Return a number of ImageJ's description, 1 where it stands in none."""
    text = page.imagej_description or ""
    found = re.search(rf"^{word}=([0-9]{{1,9}})\r?$", text, re.MULTILINE)
    return int(found[1]) if found else 1


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


def significant_bits(page: Any) -> int:
    """Return how many bits of its integers OME says are in use, 0 where it does not.

    Parameters
    ----------
    page : tifffile.TiffPage
        Many programs write the size of the type there, which says nothing.
    """
    root = _ome(page)
    sets = [] if root is None else root.findall("{*}Image/{*}Pixels")
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
    root = _ome(pages[0])
    found = []
    if root is not None and (files := _files(root)) != "1":
        found.append(
            f"is one of {files} files that make one OME picture, and is read alone: "
            "write all of them into one folder, under the names they have"
        )
    count = _channels(pages[0], root)
    if count > 1 and len(pages) > 1 and channel_of(pages) is None:
        found.append(
            f"its {count} channels are taken as slices of one volume, under one "
            "exposure: give each channel in a file of its own"
        )
    return found


def channel_of(pages: list[Any]) -> tuple[int, ...] | None:
    """Return the channel of each page; None where it is one, or none can be told.

    Parameters
    ----------
    pages : list of tifffile.TiffPage
        All that are read.

    Notes
    -----
    Pages of ImageJ run through channels, then slices, then times; those of OME as
    DimensionOrder says, unless each stands in a TiffData element.
    """
    count = len(pages)
    root = _ome(pages[0])
    if root is not None:
        found = _of_ome_pages(root, pages)
    elif (channels := _of_imagej(pages[0], "channels")) > 1:
        found = [page % channels for page in range(count)]
        found = found if count % channels == 0 else []
    else:
        found = _of_axes(pages[0], count)
    return tuple(found) if len(found) == count and len(set(found)) > 1 else None


def _of_ome_pages(root: ElementTree.Element, pages: list[Any]) -> list[int]:
    """Return the channel of each page, empty where OME's words do not settle it."""
    sets = root.findall("{*}Image/{*}Pixels")
    if len(sets) != 1 or _files(root) != "1":
        return []
    pixels, samples = sets[0], int(pages[0].samplesperpixel)
    order = pixels.get("DimensionOrder", "")
    words = [pixels.get(f"Size{axis}", "") for axis in "CZT"]
    if sorted(order) != sorted("XYCZT") or not all(_NUMBER.fullmatch(w) for w in words):
        return []
    sizes = dict(zip("CZT", (int(word) for word in words), strict=True))
    sizes["C"] //= samples
    if math.prod(sizes.values()) != len(pages):
        return []
    blocks = pixels.findall("{*}TiffData")
    told = [
        one for one in blocks if {"IFD", "FirstC", "FirstZ", "FirstT"} & set(one.keys())
    ]
    if len(told) > 1:
        return _of_blocks(told, len(pages), samples)
    before = math.prod(sizes[axis] for axis in order[2 : order.index("C")])
    return [page // before % sizes["C"] for page in range(len(pages))]


def _of_blocks(
    blocks: list[ElementTree.Element], count: int, samples: int
) -> list[int]:
    """Return the channel of each page, where each has a block to itself."""
    found: dict[int, int] = {}
    for place, block in enumerate(blocks):
        words = [block.get("IFD", str(place)), block.get("FirstC", "0")]
        if block.get("PlaneCount", "1") != "1":
            return []
        if not all(_NUMBER.fullmatch(word) for word in words):
            return []
        found[int(words[0])] = int(words[1]) // samples
    return (
        [found[page] for page in range(count)]
        if set(found) == set(range(count))
        else []
    )


def _of_axes(page: Any, count: int) -> list[int]:
    """Return the channel of each page by tifffile's own words."""
    axes, lengths = _AXES.search(page.shaped_description or ""), _lengths(page)
    if not axes or len(axes[1]) != len(lengths) or "C" not in axes[1]:
        return []
    place = axes[1].index("C")
    sizes, after = [], 1
    for size in lengths:
        sizes.append(size)
        after *= size
        if after == count:
            break
    if after != count or place >= len(sizes):
        return []
    inner = math.prod(sizes[place + 1 :])
    return [page // inner % sizes[place] for page in range(count)]


def _ome(page: Any) -> ElementTree.Element | None:
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
