"""Pixels that were made outside medenh, put in the place of a file's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from medenh import intensity
from medenh.errors import NonFiniteError, UsageError
from medenh.formats.limits import DEFAULT
from medenh.types import Image

__all__ = ["placed_like"]


def placed_like(image: Image, like: Image | Sequence[Path]) -> Image:
    """Return ``like`` with the pixels of ``image``.

    Parameters
    ----------
    image : Image
        Its pixels, in the native units of ``like``.
    like : Image, or paths
        Everything else: format, header, storage, geometry, opacity.

    Returns
    -------
    Image
        Pixels of ``like``'s type, on the grid of values that its file can store.

    Raises
    ------
    UsageError
        The two differ in shape or units.
    NonFiniteError
        NaN or infinity for a file of integers.
    InputError
        ``like`` cannot be read.
    """
    if not isinstance(like, Image):
        from medenh.formats import readers

        like = readers.read(like, axis=None, limits=DEFAULT)
    _check(image, like)
    pixels = intensity.on_grid(image.pixels, like.pixels.dtype, like.storage)
    return replace(like, pixels=pixels)


def _check(image: Image, like: Image) -> None:
    if image.pixels.shape != like.pixels.shape:
        raise UsageError(
            f"pixels of shape {image.pixels.shape} do not fit a file of "
            f"{like.pixels.shape} (frames, height, width, channels)",
            path=like.source,
            hint="for NIfTI read along another axis give the Image, not its path",
        )
    if image.units and image.units != like.units:
        raise UsageError(
            f"pixels in {image.units}, but the file is not", path=like.source
        )
    if like.storage.dtype.kind == "f":
        return
    if not np.isfinite(image.pixels).all():
        raise NonFiniteError(
            "NaN or infinity do not fit into a file of integers", path=like.source
        )
    scale = (image.unit_range.low, image.unit_range.high)
    floats = image.pixels.dtype.kind == "f"
    if floats and scale == (0.0, 1.0) and like.unit_range.high > 1.0:
        raise UsageError(
            "pixels in 0 to 1, but the file has larger numbers",
            path=like.source,
            hint="use Image.from_unit of the file's own image",
        )
