"""Which part of a picture is degraded: all of it, or the field of a fundus photograph.

A view knows how to cut its part out of a picture and how to paste it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.degradations.record import Framing
from medenh.degradations.square_view import (
    SquareView,
    find_square,
    nearest,
    recall_square,
)
from medenh.degradations.surround import find_surround
from medenh.errors import UsageError, counted
from medenh.formats.viewing import resized_viewing
from medenh.opencv import cv2
from medenh.types import FloatArray, Image

__all__ = ["AnyView", "View", "check_field", "find", "recall"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A part of a picture.

    Attributes
    ----------
    framing : Framing or None
        What the record keeps of it; None is the whole picture.
    field : float32 array, shape (h, w) or (F, h, w), in [0, 1], or None
        Weights of the field of view inside the part that is worked on.
    size : int or None
        Long side the picture is resized to first.
    """

    framing: Framing | None = None
    field: FloatArray | None = None
    size: int | None = None

    def reshape(self, image: Image) -> Image:
        """Return the clean picture: the source, cropped and resized as asked."""
        return image if self.size is None else _resized(image, self.size)

    def along(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return a label mask of the source, (H, W), as `reshape` does the picture.

        By the nearest label: there is none between two.
        """
        if self.size is None:
            return labels
        height, width = labels.shape[0], labels.shape[1]
        columns, rows = _new_side(height, width, self.size)
        below = nearest(height, rows)[:, None], nearest(width, columns)
        return labels[below]

    def cut(self, pixels: FloatArray) -> FloatArray:
        """Return the part to work on of frames of shape (F, H, W, C)."""
        return pixels

    def paste(self, pixels: FloatArray, worked: FloatArray) -> FloatArray:
        """Return the frames with their part replaced, inside the field only."""
        if self.field is None:
            return worked
        weight = self.field[..., None]  # of one plane it is that of all frames
        return pixels + weight * (worked - pixels)

    def region(self, image: Image) -> NDArray[np.bool_] | None:
        """Return where it is scored, shape (H, W) or (F, H, W); None is everywhere."""
        return None if self.field is None else self.field > 0.5


AnyView = View | SquareView


def find(
    image: Image,
    kind: str,
    *,
    size: int | None,
    field: FloatArray | None,
    options: Mapping[str, Any],
) -> AnyView:
    """Return the view of a picture that a recipe's framing asks for.

    Parameters
    ----------
    image : Image
    kind : str
        `Recipe.framing`.
    size : int or None
        Side or long side of the result; None keeps the picture's size.
    field : float32 array, shape (H, W) or (F, H, W), or None
        The field where the user knows it.
    options : mapping
        The recipe's options.
    """
    check_field(image, field)
    if kind == "fundus":
        _check_plane(image, field)
        exact = options.get("mode") == "exact"
        return find_square(image, size=size, mask=field, exact=exact)
    view = _whole(image, size, field)
    return _inside_surround(view, image) if kind == "surround" else view


def recall(
    image: Image,
    framing: Framing | None,
    *,
    size: int | None,
    field: FloatArray | None,
    eight_bit: bool = False,
) -> AnyView:
    """Return the view that a record describes."""
    check_field(image, field)
    if framing is None:
        return _whole(image, size, field)
    if framing.method == "surround":
        return _inside_surround(_whole(image, size, field), image)
    _check_plane(image, field)
    return recall_square(image, framing, mask=field, eight_bit=eight_bit)


def _whole(image: Image, size: int | None, field: FloatArray | None) -> View:
    if field is not None and size is not None:
        side = _new_side(image.height, image.width, size)
        planes = field.reshape(-1, image.height, image.width)
        resized = [
            cv2.resize(one, side, interpolation=cv2.INTER_AREA) for one in planes
        ]
        field = np.array(resized, np.float32).reshape(*field.shape[:-2], *side[::-1])
    return View(size=size, field=field)


def _inside_surround(view: View, image: Image) -> View:
    """Return a view that leaves a dark surround out, unless its field is known."""
    found = find_surround(view.reshape(image)) if view.field is None else None
    return view if found is None else replace(view, framing=found[0], field=found[1])


def check_field(image: Image, field: FloatArray | None) -> None:
    """Pass in silence if a field is of the size of a picture, of one or all frames.

    Raises
    ------
    UsageError
        It is not.
    """
    if field is None:
        return
    if field.shape[-2:] != (image.height, image.width):
        raise UsageError(
            f"the mask is {field.shape[-1]} x {field.shape[-2]}, "
            f"the picture {image.width} x {image.height}",
            path=image.source,
        )
    if field.ndim > 2 and len(field) != image.frames:
        raise UsageError(
            f"the mask has {counted(len(field), 'frame')}, the picture {image.frames}",
            path=image.source,
        )


def _check_plane(image: Image, field: FloatArray | None) -> None:
    if field is not None and field.ndim > 2:
        raise UsageError(
            "its mask has several frames, and one field is cut out of all of them",
            path=image.source,
            hint="give the mask of one frame",
        )


def _new_side(height: int, width: int, size: int) -> tuple[int, int]:
    """Return width and height with the long side resized."""
    scale = size / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(image: Image, size: int) -> Image:
    """Return the picture with its long side resized, its meaning kept."""
    scale = size / max(image.height, image.width)
    if scale == 1.0:
        return image
    side = _new_side(image.height, image.width, size)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    dtype = image.pixels.dtype
    before, frozen = _without_frozen(image), None
    frames = [
        cv2.resize(frame.astype(np.float32), side, interpolation=how)
        for frame in before
    ]
    pixels = np.stack(frames).reshape(len(frames), side[1], side[0], -1)
    if dtype.kind in "iu":
        pixels = np.rint(pixels)
    pixels = pixels.astype(dtype)
    if image.frozen is not None:
        rows, columns = nearest(image.height, side[1]), nearest(image.width, side[0])
        frozen = image.frozen[:, rows[:, None], columns]
        pixels[frozen] = image.pixels[:, rows[:, None], columns][frozen]
    frame_mm, row_mm, column_mm = image.geometry.spacing_mm
    spacing = (frame_mm, row_mm / scale, column_mm / scale)
    return replace(
        image,
        pixels=pixels,
        geometry=replace(image.geometry, spacing_mm=spacing, affine=None),
        alpha=None,
        frozen=frozen,
        header=resized_viewing(image, scale),
    )


def _without_frozen(image: Image) -> NDArray[Any]:
    """Return the pixels with padding as dark as what it surrounds: it would bleed.

    Holes of NaN get the nearest value, as `to_domain` gives them.
    """
    if image.frozen is None or image.frozen.all():
        return image.pixels
    measured = image.pixels[~image.frozen]
    pixels = np.stack([intensity.without_holes(frame) for frame in image.pixels])
    filled = (np.isfinite(pixels) & ~np.isfinite(image.pixels)).any(axis=-1)
    pixels[image.frozen & ~filled] = (
        measured.max() if image.unit_range.inverted else measured.min()
    )
    return pixels
