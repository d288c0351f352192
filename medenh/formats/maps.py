"""Maps: one number for each pixel of an image, on that image's grid.

A map goes into NIfTI, TIFF and npy as float32, and into PNG as 16-bit grey whose white
is the map's top. Beside DICOM it is NIfTI in the same place: no object of DICOM holds
such numbers in a way that viewers know, and the map tells nothing of the patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from medenh import formats
from medenh.formats.viewing import Viewing, viewing_of
from medenh.types import FloatArray, Image, Storage, UnitRange

__all__ = ["MAP_FORMATS", "map_image", "write_map"]

MAP_FORMATS = {
    "png": "png",
    "jpeg": "png",
    "bmp": "png",
    "tiff": "tiff",
    "nifti": "nifti",
    "dicom": "nifti",
    "npy": "npy",
}
"""The format of an output, and that of a map beside it."""


def map_image(values: FloatArray, image: Image, *, top: float) -> Image:
    """Return a map as an image that lies where another one lies.

    Parameters
    ----------
    values : float32 array, shape (frames, height, width), in 0 to ``top``
    image : Image
        Whose grid it is.
    top : float
        The largest value there can be.
    """
    from medenh.formats.array import ArrayHeader

    source = image.header
    dtype = np.dtype(np.float32)
    stack = isinstance(source, ArrayHeader) and "N" in source.axes
    return replace(
        image,
        pixels=values[..., None],
        unit_range=UnitRange(0.0, top),
        storage=Storage(dtype),
        units="",
        alpha=None,
        frozen=None,
        source=None,
        header=ArrayHeader("NHW", dtype) if stack else None,
        provenance=None,
    )


def write_map(
    values: FloatArray, image: Image, paths: Sequence[Path], *, format: str, top: float
) -> None:
    """Write a map, whole or not at all.

    Parameters
    ----------
    values : float32 array, shape (frames, height, width), in 0 to ``top``
    image : Image
        Whose grid it is; a NIfTI header is kept but for the type of its data.
    paths : sequence of path
        The output; of PNG one for each frame.
    format : str
        A value of `MAP_FORMATS`.
    top : float
        The largest value there can be: white, in PNG.

    Raises
    ------
    UnsupportedError
        NIfTI cannot hold so long a side.
    OutputError
        It cannot be written.
    """
    from medenh.formats.array import from_array
    from medenh.formats.nifti import NiftiHeader
    from medenh.formats.nifti_new import float_header

    made = map_image(values, image, top=top)
    if format == "png":
        levels = np.rint(values * np.float32(65535 / top)).astype(np.uint16)
        for index, path in enumerate(paths):
            told = Viewing(orientation=viewing_of(image, index).orientation)
            picture = replace(from_array(levels[index]), header=told)
            formats.write(picture, path, format="png")
        return
    if format == "tiff":
        told = Viewing(orientation=viewing_of(image).orientation)
        made = replace(made, header=told)
    if format == "nifti" and isinstance(image.header, NiftiHeader):
        made = replace(made, header=float_header(image.header))
    formats.write(made, paths, format=format)
