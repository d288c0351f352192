"""NIfTI headers for pictures that come from elsewhere, and for maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UnsupportedError
from medenh.formats.array import plain_storage
from medenh.formats.nifti import NiftiHeader, interpret
from medenh.types import Image

__all__ = ["float_header", "header_for", "misfit"]

_SHEAR = 1e-3  # [chosen] cosine between axes: half a voxel over 500, and above rounding


def misfit(image: Image) -> tuple[str, str]:
    """Return why NIfTI has no word for an image, and what has; "" twice where it has.

    Parameters
    ----------
    image : Image
        Of any format but NIfTI.
    """
    if image.channels == 3 and image.pixels.dtype != np.uint8:
        return f"NIfTI has no {image.pixels.dtype} colour", "write TIFF or NPY"
    if image.unit_range.inverted:
        return "NIfTI cannot say that larger values are darker", "write DICOM or TIFF"
    if image.channels == 1 and image.alpha is not None:
        return "NIfTI has no grey with opacity", "write PNG, TIFF or NPY"
    return "", ""


def header_for(image: Image, path: Path) -> tuple[Image, NiftiHeader]:
    """Return an image with NIfTI's storage, and a NIfTI-1 header for it.

    Parameters
    ----------
    image : Image
        Of any format. Voxels become (column, row, frame); a DICOM place, which looks
        to the left and back, is turned to NIfTI's right and front.
    path : path
        The output, for messages.

    Raises
    ------
    UnsupportedError
        NIfTI has no word for it: see `misfit`. A side is too long.
    """
    from nibabel.nifti1 import Nifti1Header

    pixels = image.pixels
    problem, hint = misfit(image)
    if problem:
        raise UnsupportedError(problem, path=path, hint=hint)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    elif pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    elif image.format == "dicom" and pixels.dtype == np.int32:
        pixels = _of_16_bits(pixels)
    image = replace(image, pixels=pixels, storage=plain_storage(pixels.dtype))
    kind: Any = Nifti1Header
    meta = kind(endianness="<")
    if image.channels == 3:
        opaque = image.alpha is None
        meta["datatype"], meta["bitpix"] = (128, 24) if opaque else (2304, 32)
    else:
        meta.set_data_dtype(pixels.dtype)
    code = int(meta["datatype"])
    depth = image.geometry.depth or image.frames
    if image.frames % depth:  # some of the frames were taken out: no whole volumes
        depth = image.frames
    shape: tuple[int, ...] = (image.width, image.height, depth)
    if depth != image.frames:  # volumes that follow one another
        shape = (*shape, image.frames // depth)
    if max(shape) > 32767:
        raise UnsupportedError("a side longer than 32767", path=path)
    meta.set_data_shape(shape)
    _place(meta, image)
    meta["vox_offset"] = 352
    meta["magic"] = b"n+1"
    raw = meta.binaryblock + bytes(4)
    return image, NiftiHeader(raw, "<", False, code, shape, 2, 352)


def _of_16_bits(pixels: NDArray[np.int32]) -> NDArray[Any]:
    """Return whole values of DICOM as int16, which CT usually has, where that fits.

    In memory they have room for all that 16 bits and an intercept may become.
    """
    limits = np.iinfo(np.int16)
    fits = pixels.min() >= limits.min and pixels.max() <= limits.max
    return pixels.astype(np.int16) if fits else pixels


def float_header(header: NiftiHeader) -> NiftiHeader:
    """Return a header for plain float32 numbers on the same grid; extensions stay."""
    meta = interpret(header.raw)
    meta.set_data_dtype(np.float32)
    meta["scl_slope"], meta["scl_inter"] = 1.0, 0.0
    meta["cal_min"] = meta["cal_max"] = 0.0
    block = meta.binaryblock
    raw = block + header.raw[len(block) :]
    return replace(header, raw=raw, code=int(meta["datatype"]), tail=b"")


def _place(meta: Any, image: Image) -> None:
    """Set spacing and orientation as far as they are known."""
    spacing = image.geometry.spacing_mm
    frame, row, column = (
        step if np.isfinite(step) and step > 0 else 1.0 for step in spacing
    )
    meta["pixdim"][1:4] = (column, row, frame)
    known, seconds = np.isfinite(spacing[1:]).all(), image.geometry.time_s
    if seconds > 0:
        meta["pixdim"][4] = seconds
    # an unknown size of 1 is not one of 1 mm
    meta.set_xyzt_units("mm" if known else None, "sec" if seconds > 0 else None)
    if image.geometry.affine is None:
        return
    affine = np.array(image.geometry.affine, np.float64)
    if image.format == "dicom":
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    meta.set_sform(affine, code="scanner")
    meta.set_qform(affine, code="scanner", strip_shears=True)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > _SHEAR:
        meta["qform_code"] = 0  # it has no shears, and some readers take it first
