"""What programs say of the pages of a TIFF file beside the tags: OME, ImageJ, tifffile.

It stands in the description of the first page: how many pictures there are, which of
them are channels, which other files belong to them. None of it is needed to read.
"""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

__all__ = ["promised", "remarks", "teller"]

_UIC2 = 33629  # MetaMorph: counts the planes of a stack
_SHAPE = re.compile(r'shape"?[:=] ?[\[(]([\d, ]+)')
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
    if count > 1 and len(pages) > 1:
        found.append(
            f"its {count} channels are taken as slices of one volume, under one "
            "exposure: give each channel in a file of its own"
        )
    return found


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
    return int(size) // samples if re.fullmatch(r"[0-9]{1,9}", size) else 1
