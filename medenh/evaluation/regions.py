"""Where a picture is measured: all of it, its field of view, or a mask."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medenh import formats
from medenh.classical.photograph import lit_field
from medenh.errors import InputError, UnsupportedError, UsageError
from medenh.evaluation.measuring import unit_frame
from medenh.formats.nifti import frame_axis
from medenh.formats.viewing import viewing_of
from medenh.tasks.masks import read_mask_pages
from medenh.types import Image, on_all_volumes

__all__ = ["REGIONS", "Region", "checked_region", "field_of_view", "read_region"]

BoolArray = NDArray[np.bool_]
Region = Literal["whole", "fov", "mask"]
REGIONS: tuple[Region, ...] = ("whole", "fov", "mask")


def checked_region(name: str) -> Region:
    """Return a region's name.

    Raises
    ------
    UsageError
        There is no such region.
    """
    for region in REGIONS:
        if region == name:
            return region
    raise UsageError(f"unknown region {name!r}", hint=f"one of {', '.join(REGIONS)}")


def field_of_view(image: Image) -> BoolArray:
    """Return where the picture is in its dark surround, shape (frames, H, W)."""
    frames = range(image.frames)
    return np.stack([lit_field(unit_frame(image, frame)) for frame in frames])


def read_region(path: Path, image: Image) -> BoolArray:
    """Return where a mask file is not 0, shape (1 or frames, H, W).

    That of one volume holds for all times of it.
    Some frames may be empty, as the ends of an organ's mask are.

    Raises
    ------
    InputError
        It cannot be read, is empty, holds NaN, or is of another size than the picture.
    """
    plane = on_all_volumes(_numbers(path, frame_axis(image)), image)
    if plane.shape[1:] != (image.height, image.width):
        raise InputError(
            f"the mask is {plane.shape[2]} x {plane.shape[1]} pixels, "
            f"the picture {image.width} x {image.height}",
            path=path,
            hint="Exif says that the picture is to be seen turned: turn the mask back"
            if viewing_of(image).orientation > 4
            else "",
        )
    if len(plane) not in (1, image.frames):
        raise InputError(
            f"the mask has {len(plane)} frames, the picture {image.frames}", path=path
        )
    if plane.dtype.kind == "f" and np.isnan(plane).any():
        raise InputError(
            "the mask holds NaN, which is neither inside nor outside", path=path
        )
    region: BoolArray = plane != 0
    if not region.any():
        raise InputError("the mask is empty: nothing lies inside", path=path)
    return region


def _numbers(path: Path, axis: int | None) -> NDArray[np.generic]:
    try:
        volume = formats.sniff(path) in ("nifti", "npy", "dicom")
    except UnsupportedError:  # a mask may be in any format that Pillow knows
        volume = False
    if volume:
        numbers: NDArray[np.generic] = formats.read(path, axis=axis).pixels.max(-1)
        return numbers
    return read_mask_pages(path)
