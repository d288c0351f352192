"""Which pages of a TIFF file are its frames, and what would be left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medenh.errors import OverBudgetError, UnsupportedError
from medenh.formats import tiff_pages, tiff_told

__all__ = ["HINT", "choose"]

HINT = "save the pages you want into a TIFF of their own"

_REDUCED = 1  # NewSubfileType: a smaller copy of another page


def choose(tiff: Any, path: Path) -> list[Any]:
    """Return the pages of a file, all of one kind, without smaller copies of the first.

    Parameters
    ----------
    tiff : tifffile.TiffFile
    path : path
        For messages.

    Returns
    -------
    list of tifffile.TiffPage

    Raises
    ------
    UnsupportedError
        Pages of different size or kind, or pictures that no page leads to: behind a
        single page, or of full size in a SubIFD.
    OverBudgetError
        Too many SubIFDs.
    """
    tiff.pages.useframes = False
    found = [page.aspage() for page in tiff.pages]
    pages = _full_pages(found)
    kind = _kind(pages[0])
    if any(_kind(page) != kind for page in pages):
        raise UnsupportedError("its pages differ in size or kind", path=path, hint=HINT)
    for page in pages:
        if (count := _hidden(page, alone=len(pages) == 1)) > 1:
            raise UnsupportedError(
                f"{count} pictures behind a single page",
                path=path,
                hint="save it as a plain TIFF stack, with a page for each picture",
            )
    for page in _sub_pages(tiff, found, path):
        if not _is_smaller(page, pages[0]):
            raise UnsupportedError(
                f"a picture of {_size_words(page)} pixels in a SubIFD, behind a page "
                f"of {_size_words(pages[0])}",
                path=path,
                hint="save that picture into a TIFF of its own",
            )
    return pages


def _full_pages(found: list[Any]) -> list[Any]:
    """Return all pages but smaller copies; where each is called a copy, none is."""
    copies = [bool(page.subfiletype & _REDUCED) for page in found]
    if all(copies):
        return found
    first = found[copies.index(False)]
    return [
        page
        for page, copy in zip(found, copies, strict=True)
        if not (copy and _is_smaller(page, first))
    ]


def _is_smaller(page: Any, other: Any) -> bool:
    size = (int(page.imagelength), int(page.imagewidth))
    full = (int(other.imagelength), int(other.imagewidth))
    return size != full and size[0] <= full[0] and size[1] <= full[1]


def _kind(page: Any) -> tuple[Any, ...]:
    # 2 and 4 bits have the type of 8, and other levels
    few = page.bitspersample if page.bitspersample in (2, 4) else 0
    return (page.shape, page.dtype, page.photometric, page.extrasamples, few)


def _size_words(page: Any) -> str:
    return f"{page.imagewidth}x{page.imagelength}"


def _hidden(page: Any, *, alone: bool) -> int:
    """Return how many pictures a page stands for that have no page of their own."""
    series = '"truncated": true' in (page.shaped_description or "")
    return tiff_told.promised(page) if alone or series else 1


def _sub_pages(tiff: Any, found: list[Any], path: Path) -> Iterator[Any]:
    """Yield the pages that lie under others: levels of a pyramid, raw pictures."""
    import tifffile

    seen: set[int] = set()
    for page in found:
        for offset in page.subifds or ():
            if offset == 0 or offset in seen:
                continue
            seen.add(offset)
            if len(seen) > tiff_pages.MAX_PAGES:
                raise OverBudgetError(
                    f"more than {tiff_pages.MAX_PAGES} SubIFDs", path=path
                )
            tiff.filehandle.seek(offset)
            yield tifffile.TiffPage(tiff, index=(page.index, 0))
