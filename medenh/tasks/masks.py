"""Label masks: numbers as they stand in the file, and the classes they mean."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from medenh.errors import InputError, UnreadableError
from medenh.tasks.table import Task

__all__ = [
    "class_masks",
    "mask_orientation",
    "read_mask",
    "read_mask_pages",
    "refuse_photograph",
]

_ORIENTATION = 274  # of Exif and TIFF 6.0

# [chosen] In 432 JPEGs (quality 50 to 90) of masks of two colours, of lesions, polyps,
# lungs and vessels, the 8 commonest colours took 0.55 of the pixels and more, in 108 of
# nuclei 0.27 and more where crowded; in 278 of 280 colour photographs less than 0.4
_FEW_COLOURS = 256
_COMMONEST = 8
_FLAT = 0.4
_MOST_LOOKED_AT = 1 << 20  # pixels

# [measured] In 540 JPEGs (quality 50 to 90) of masks of vessels, nuclei, lesions,
# polyps and lungs what is not 0 has an IoU down to .42 with the mask, what is above
# half 1.0000. Between a sixth and five of white lay at most .07 times as many pixels as
# the rarer side of half has; of vessels and discs in two levels .26 and more in 120 of
# 120, of lesions in four in 24 of 30, where no level has nearly all
_LOSSY = ("JPEG", "MPO")
_BETWEEN = 0.2  # soft edges among them
_BLOCK = 64  # pixels that JPEG codes together: of fewer no share tells anything
_FAINTEST = 32  # of 255: label numbers themselves do not survive


def read_mask(source: str | Path | bytes) -> NDArray[np.int32]:
    """Read a label mask.

    Parameters
    ----------
    source : path or bytes
        PNG or another raster file, or its content. Of indexed files the index counts,
        not the colour, which other readers return.

    Returns
    -------
    int32 array, shape (H, W)
        Label numbers; of a colour file the largest channel. Opacity does not count.
        Of JPEG, which knows no clean edge, 0 below half of the largest value, and that
        from there on.

    Raises
    ------
    UnreadableError
        It is no picture, or damaged.
    InputError
        It is a photograph, holds several masks, or numbers that are not whole; or a
        JPEG of more than two levels, where the others are no rare ones.
    """
    pages = read_mask_pages(source)
    if len(pages) > 1:
        raise InputError(
            f"holds {len(pages)} pages, and a mask is one",
            path=None if isinstance(source, bytes) else Path(source),
            hint="give the mask of one picture; of a stack, that of its middle frame",
        )
    first: NDArray[np.int32] = pages[0]
    return first


def read_mask_pages(source: str | Path | bytes) -> NDArray[np.int32]:
    """Read the label masks of a stack, as TIFF may hold them.

    Parameters
    ----------
    source : path or bytes
        As of `read_mask`.

    Returns
    -------
    int32 array, shape (pages, H, W)
        Without pages of another size than the first, which are copies for viewers.

    Raises
    ------
    UnreadableError, InputError
        As of `read_mask`.
    """
    path = None if isinstance(source, bytes) else Path(source)
    try:
        handle = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
        with Image.open(handle) as picture:
            turned = picture.format == "TIFF" and any(
                page.getexif().get(_ORIENTATION, 1) != 1
                for page in ImageSequence.Iterator(picture)
            )
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        with Image.open(io.BytesIO(_as_stored(data) if turned else data)) as picture:
            found = [np.asarray(page) for page in ImageSequence.Iterator(picture)]
            lossy = picture.format in _LOSSY
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError(
            f"not a readable mask: {error}",
            path=path,
            hint="a mask is a PNG, TIFF or the like, and no volume",
        ) from error
    size = found[0].shape[:2]
    pages = [_label_numbers(one, path) for one in found if one.shape[:2] == size]
    return np.stack([_two_levels(one, path) if lossy else one for one in pages])


def _as_stored(data: bytes) -> bytes:
    """Return a TIFF file without its word on which way is up.

    Pillow heeds it in TIFF alone, and scrambles the rows of what is not compressed.
    """
    import tifffile

    changed = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        for page in tiff.pages:
            if tag := page.aspage().tags.get(_ORIENTATION):
                struct.pack_into(f"{tiff.byteorder}H", changed, tag.valueoffset, 1)
    return bytes(changed)


def _label_numbers(numbers: NDArray[Any], path: Path | None) -> NDArray[np.int32]:
    if numbers.ndim == 3:
        colours = numbers[..., : 3 if numbers.shape[2] > 2 else 1]  # no opacity
        refuse_photograph(colours, path)
        numbers = colours.max(-1)
    with np.errstate(invalid="ignore"):  # NaN, infinity and what is too large
        labels = numbers.astype(np.int32)
    if numbers.dtype.kind == "f" and not np.array_equal(labels, numbers):
        raise InputError(
            "holds numbers that are not whole, and a mask holds labels",
            path=path,
            hint="decide on a threshold, and save what lies above as 1",
        )
    return labels


def _two_levels(numbers: NDArray[np.int32], path: Path | None) -> NDArray[np.int32]:
    """Return a mask without what JPEG drew around its edges, which is not 0."""
    top = int(numbers.max())
    inside = numbers * 2 >= top
    marked = int(inside.sum())
    between = int(((numbers * 6 > top) & (numbers * 6 < 5 * top)).sum())
    rarer = max(min(marked, numbers.size - marked), _BLOCK)
    if 0 < top < _FAINTEST or between > _BETWEEN * rarer:
        raise InputError(
            "a JPEG with more levels than black and white: it changes labels",
            path=path,
            hint="save masks as PNG",
        )
    return np.where(inside, np.int32(top), np.int32(0))


def mask_orientation(path: Path) -> int:
    """Return which way up the pixels that `read_mask` returns stand, as Exif tells it.

    Parameters
    ----------
    path : path
        A file that is no picture, or tells nothing, has 1.
    """
    try:
        with Image.open(path) as picture:
            told = picture.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1
    return told if told in range(1, 9) else 1


def refuse_photograph(colours: NDArray[np.uint8], path: Path | None) -> None:
    """Pass in silence if a picture may be a mask.

    Parameters
    ----------
    colours : uint8 array, shape (H, W, C)
        Grey or RGB.
    path : path or None
        The file, for the message.

    Raises
    ------
    InputError
        It is a colour photograph.
    """
    if _is_photograph(colours):
        raise InputError(
            "a photograph, not a mask: it has too many colours",
            path=path,
            hint="give a PNG with one value for each class, and 0 outside",
        )


def _is_photograph(colours: NDArray[np.uint8]) -> bool:
    """Tell whether channels differ, and hardly a pixel has one of the main colours."""
    if (colours == colours[..., :1]).all():
        return False
    step = math.ceil(math.sqrt(colours[..., 0].size / _MOST_LOOKED_AT))
    looked_at = colours[::step, ::step].astype(np.int32)
    packed = looked_at @ np.array([1 << 16, 1 << 8, 1], np.int32)
    _, counts = np.unique(packed, return_counts=True)
    if len(counts) <= _FEW_COLOURS:
        return False
    return bool(np.sort(counts)[-_COMMONEST:].sum() < _FLAT * packed.size)


def class_masks(numbers: NDArray[np.int32], task: Task) -> NDArray[np.bool_]:
    """Return where each class of a task is.

    Parameters
    ----------
    numbers : int array, shape (H, W)
        Label numbers.
    task : Task
        A segmentation; its `positive` tells the numbers of each class.

    Returns
    -------
    bool array, shape (H, W, K)
    """
    planes = [
        np.isin(numbers, values) if values else numbers != 0 for values in task.positive
    ]
    return np.stack(planes, -1)
