"""Overlays in unused bits of the pixels: lifted into elements of their own.

Retired in 2004 (PS3.5 8.1.2), common before. The new pixels have no room for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medenh.formats.dicom.header import Layout

__all__ = ["Embedded", "embedded_overlays", "lift_overlays"]

_GROUPS = range(0x6000, 0x6020, 2)
_ROWS, _COLUMNS, _FRAMES = 0x0010, 0x0011, 0x0015
_BITS_ALLOCATED, _BIT_POSITION, _DATA = 0x0100, 0x0102, 0x3000


@dataclass(frozen=True, slots=True)
class Embedded:
    """An overlay in the pixels: its group, and the bit of each pixel that is its."""

    group: int
    bit: int


def embedded_overlays(dataset: Dataset, layout: Layout) -> list[Embedded]:
    """Return the overlays of a data set that are in bits its pixels do not use."""
    found = []
    for group in _GROUPS:
        bit = _number(dataset, group, _BIT_POSITION)
        if (group, _DATA) not in dataset and bit is not None:
            of_pixels = (
                _number(dataset, group, _ROWS) == layout.rows
                and _number(dataset, group, _COLUMNS) == layout.columns
            )
            if of_pixels and layout.bits_stored <= bit < layout.bits_allocated:
                found.append(Embedded(group, bit))
    return found if layout.samples == 1 else []


def _number(dataset: Dataset, group: int, element: int) -> int | None:
    value = dataset[group, element].value if (group, element) in dataset else None
    return value if isinstance(value, int) else None


def lift_overlays(
    dataset: Dataset, found: list[Embedded], pixels: NDArray[Any], layout: Layout
) -> NDArray[Any]:
    """Give a data set its embedded overlays as elements; return the pixels without.

    Parameters
    ----------
    dataset : Dataset
        Changed: its overlays are as PS3.3 C.9.2 has them today.
    found : list of Embedded
    pixels : array, shape (frames, rows, columns, 1)
        As stored, with all bits allocated.
    layout : Layout

    Returns
    -------
    array, same shape and type
        The values of the bits stored.
    """
    for one in found:
        bits = (pixels >> one.bit & 1).astype(np.uint8)
        packed = np.packbits(bits, axis=None, bitorder="little").tobytes()
        dataset.add_new((one.group, _BITS_ALLOCATED), "US", 1)
        dataset.add_new((one.group, _BIT_POSITION), "US", 0)
        if layout.frames > 1:
            dataset.add_new((one.group, _FRAMES), "IS", layout.frames)
        dataset.add_new((one.group, _DATA), "OB", packed + b"\0" * (len(packed) % 2))
    unused = layout.bits_allocated - layout.bits_stored
    # back by an arithmetic shift, so that signs stay
    return (pixels << unused).astype(pixels.dtype) >> unused
