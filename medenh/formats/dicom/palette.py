"""Palette colour to RGB, since a network sees colours and not indices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRLittleEndian

from medenh.errors import UnreadableError
from medenh.formats.dicom.header import Layout

__all__ = ["PALETTE_TAGS", "is_palette", "to_rgb"]

_COLOURS = ("Red", "Green", "Blue", "Alpha")
PALETTE_TAGS = (
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in _COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in _COLOURS[:3]),
    "PaletteColorLookupTableUID",
)


def is_palette(layout: Layout) -> bool:
    """Tell whether pixels are indices into a palette."""
    return layout.photometric == "PALETTE COLOR"


def to_rgb(
    indices: NDArray[Any], dataset: Dataset, layout: Layout, path: Path
) -> tuple[NDArray[Any], Layout]:
    """Return the colours behind palette indices, and their layout.

    Parameters
    ----------
    indices : array, shape (frames, rows, columns, 1)
    dataset : Dataset
        With the palette, in little-endian words. Its palette is left in place.

    Returns
    -------
    array of uint8 or uint16, shape (frames, rows, columns, 3)
        8 bits where the palette's entries hold no more.

    Notes
    -----
    Ultrasound images may hold RGB of 8 bits only (PS3.3 C.8.5.6.1): there, and
    wherever the low byte of 16-bit entries is empty, the high byte is the colour.
    """
    table = Dataset()
    table.file_meta = dataset.file_meta.__class__()
    table.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in ("PixelRepresentation", *PALETTE_TAGS):
        if keyword in dataset and "Alpha" not in keyword:
            table[keyword] = dataset[keyword]
    flat = indices[..., 0].reshape(-1, indices.shape[2])
    colours = apply_color_lut(flat, table)
    if colours.dtype.itemsize > 2 or colours.shape[-1] != 3:
        raise UnreadableError("its palette is damaged", path=path)
    colours = colours.reshape(*indices.shape[:3], 3)
    if colours.dtype == np.uint16 and _high_byte_only(colours, dataset):
        colours = (colours >> 8).astype(np.uint8)
    bits = 8 * colours.dtype.itemsize
    return colours, replace(
        layout,
        samples=3,
        bits_allocated=bits,
        bits_stored=bits,
        high_bit=bits - 1,
        signed=False,
        photometric="RGB",
    )


def _high_byte_only(colours: NDArray[Any], dataset: Dataset) -> bool:
    ultrasound = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
    if str(dataset.get("SOPClassUID", "")) in ultrasound:
        return True
    return not np.any(colours & 0xFF)
