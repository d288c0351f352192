"""The square around the field of a fundus photograph: cut out, put back.

With a size the square is cropped, black outside the field, and resized; without one
it keeps the photograph's own pixels and is pasted back into it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.degradations.cofe_cleaning import cleaned_field, cleaned_frame
from medenh.degradations.field_of_view import (
    brightest,
    disc_weights,
    find_cofe_disc,
    find_field,
    find_shown_field,
)
from medenh.degradations.record import Framing
from medenh.errors import UsageError
from medenh.formats.viewing import resized_viewing
from medenh.opencv import cv2
from medenh.types import FloatArray, Image

__all__ = ["SquareView", "find_square", "nearest", "recall_square"]

_RIM = 0.02  # of the radius: how far a rim may lie beyond the circle that was found [C]
_WHOLE = 0.97  # a box this wide is the whole of a square picture [C]
_METHODS = ("hough", "rows", "box", "frame", "mask", "shown", "cofe")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SquareView:
    """The padded square of a field; has the methods of `framing.View`.

    Attributes
    ----------
    framing : Framing
        What the record keeps of it.
    field : float32 array, shape (n, n), in [0, 1]
        Weights of the field inside the square, at the size that is worked at.
    eight_bit : bool
        Whether "multiply" truncates to 8-bit levels, as Cofe-Net's program does.
    """

    framing: Framing
    field: FloatArray
    eight_bit: bool

    def reshape(self, image: Image) -> Image:
        """Return the clean picture: the source, or the square at its size."""
        size = self.framing.size
        if size is None or _is_square(image, self.framing.box, size):
            return image
        frames = [self._square_of(frame, image) for frame in image.pixels]
        scale = size / max(self.framing.box[2:])
        frame_mm, row_mm, column_mm = image.geometry.spacing_mm
        return replace(
            image,
            pixels=np.stack(frames),
            geometry=replace(
                image.geometry,
                spacing_mm=(frame_mm, row_mm / scale, column_mm / scale),
                affine=None,
            ),
            alpha=None,
            frozen=None,
            header=resized_viewing(image, scale),
        )

    def along(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return a label mask of the source, (H, W), as `reshape` does the picture.

        By the nearest label: there is none between two. 0 where that is black.
        """
        size, box = self.framing.size, self.framing.box
        if size is None or (box == (0, 0, size, size) and labels.shape == (size, size)):
            return labels
        left, top, width, height = box
        x, y, side = _padding(box)
        square = np.zeros((side, side), labels.dtype)
        inside = labels[top : top + height, left : left + width]
        square[y : y + height, x : x + width] = inside
        places = nearest(side, size)
        found = square[places[:, None], places]
        found[self.field == 0] = 0
        return found

    def cut(self, pixels: FloatArray) -> FloatArray:
        """Return the square of frames of shape (F, H, W, C), 0 outside the field."""
        if self._covers(pixels):
            if self.framing.finish == "multiply" or self.framing.size is not None:
                return pixels
            return np.where(self.field[None, :, :, None] > 0, pixels, np.float32(0.0))
        left, top, width, height = self.framing.box
        x, y, side = _padding(self.framing.box)
        square = np.zeros((len(pixels), side, side, pixels.shape[3]), np.float32)
        inside = pixels[:, top : top + height, left : left + width]
        square[:, y : y + height, x : x + width] = inside
        square[:, self.field == 0] = 0.0
        return square

    def paste(self, pixels: FloatArray, worked: FloatArray) -> FloatArray:
        """Return the frames with the square put back, inside the field only.

        "multiply": the square times the field, truncated to 8-bit levels; computed in
        the precision of `worked`, as the program's is.
        """
        weight = self.field[None, :, :, None]
        if self.framing.finish == "multiply":
            product = worked * weight
            return np.floor(product * 255) / 255 if self.eight_bit else product
        if self._covers(pixels):
            return pixels + weight * (worked - pixels)
        left, top, width, height = self.framing.box
        x, y, _ = _padding(self.framing.box)
        rows, columns = slice(top, top + height), slice(left, left + width)
        weight = weight[:, y : y + height, x : x + width]
        before = pixels[:, rows, columns]
        change = worked[:, y : y + height, x : x + width] - before
        pasted = pixels.astype(np.result_type(pixels, worked))
        pasted[:, rows, columns] = before + weight * change
        return pasted

    def region(self, image: Image) -> NDArray[np.bool_]:
        """Return where the picture is scored, shape (H, W)."""
        inside: NDArray[np.bool_] = self.field > 0.5 * self.field.max()
        if inside.shape == (image.height, image.width):
            return inside
        left, top, width, height = self.framing.box
        x, y, _ = _padding(self.framing.box)
        region = np.zeros((image.height, image.width), bool)
        region[top : top + height, left : left + width] = inside[
            y : y + height, x : x + width
        ]
        return region

    def _covers(self, pixels: FloatArray) -> bool:
        """Whether the square is the whole of what is worked on."""
        return self.framing.size is not None or pixels.shape[1:3] == self.field.shape

    def _square_of(self, frame: NDArray[Any], image: Image) -> NDArray[Any]:
        """Return a native frame's square, resized, black outside the field."""
        size = len(self.field)
        black = _black_of(image)
        if self.framing.method == "cofe":
            return cleaned_frame(frame, self.framing, size, black)
        square = _resized(_padded(frame, self.framing.box, black), size)
        field = self.field[..., None].astype(square.dtype)
        square = black + field * (square - black)
        if frame.dtype.kind in "iu":
            square = np.rint(square)
        return square.astype(frame.dtype)


def find_square(
    image: Image, *, size: int | None, mask: FloatArray | None, exact: bool
) -> SquareView:
    """Find the field of a photograph.

    Parameters
    ----------
    image : Image
    size : int or None
        Side of the square that is worked on; None keeps the photograph.
    mask : float32 array, shape (H, W), in [0, 1], or None
        The field where it is known.
    exact : bool
        Finish as Cofe-Net's program does, where the square is all of the result.
    """
    if mask is not None:
        left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
        if width == 0 or height == 0:
            raise UsageError("the mask is empty", path=image.source)
        framing = _framing("mask", (left, top, width, height))
    else:
        found = find_field(_middle_frame(image))
        framing = Framing(**asdict(found))
    square = image.width == image.height
    whole = square and min(framing.box[2:]) >= _WHOLE * image.width
    multiply = exact and (size is not None or (whole and mask is not None))
    if whole:
        box = (0, 0, image.width, image.height)
    elif size is None and mask is None:
        box = _with_rim(framing, image)
    else:
        box = framing.box
    finish = "multiply" if multiply else "blend"
    framing = framing.model_copy(update={"box": box, "size": size, "finish": finish})
    return _view(image, framing, mask, eight_bit=image.pixels.dtype == np.uint8)


def recall_square(
    image: Image, framing: Framing, *, mask: FloatArray | None, eight_bit: bool
) -> SquareView:
    """Return the view that a record describes.

    Raises
    ------
    UsageError
        The record needs a mask that is not given; or it is of a larger picture.
    """
    if framing.method not in _METHODS:
        raise UsageError(f"the record names an unknown framing {framing.method!r}")
    if framing.method == "mask" and mask is None:
        raise UsageError(
            "the record was made with a mask of the field, and none is given",
            hint="give the same mask",
            path=image.source,
        )
    if framing.method == "shown":
        return _cleaned_square(image, framing, mask, eight_bit=eight_bit)
    left, top, width, height = framing.box
    if min(left, top) < 0 or min(width, height) < 1:
        raise UsageError(f"the record's box {framing.box} is not a rectangle")
    if left + width > image.width or top + height > image.height:
        raise UsageError(
            f"the record is of a larger picture than {image.width} x {image.height}",
            path=image.source,
        )
    known = mask if framing.method == "mask" else None
    return _view(image, framing, known, eight_bit=eight_bit)


def _cleaned_square(
    image: Image, framing: Framing, mask: FloatArray | None, *, eight_bit: bool
) -> SquareView:
    """Return the view of a legacy record, made for a cleaned square of its size.

    A photograph of another size is cleaned first: as the program does where it finds
    the disc and no mask is known, else as recipes do.
    """
    size = framing.size
    if (image.width, image.height) != (size, size):
        found = None if mask is not None else find_cofe_disc(_middle_frame(image))
        if found is None:
            view = find_square(image, size=size, mask=mask, exact=True)
            return replace(view, eight_bit=eight_bit)
        framing = Framing(**asdict(found), size=size, finish="multiply")
        return _view(image, framing, None, eight_bit=eight_bit)
    field = find_shown_field(_middle_frame(image)) if mask is None else mask
    return SquareView(framing=framing, field=field, eight_bit=eight_bit)


def _view(
    image: Image, framing: Framing, mask: FloatArray | None, *, eight_bit: bool
) -> SquareView:
    """Return a view with the weights of its field at the size worked at."""
    side = max(framing.box[2:])
    size = side if framing.size is None else framing.size
    if framing.method == "cofe":
        field = cleaned_field(framing, (image.height, image.width), size)
    elif mask is None:
        field = _disc_field(framing, size)
        if framing.size is None and framing.method in ("hough", "rows"):
            field = np.maximum(field, _rim_field(image, framing, field))
    else:
        field = _resized(_padded(mask, framing.box, 0.0), size)[..., 0]
        field = np.clip(field, 0.0, 1.0).astype(np.float32)
    return SquareView(framing=framing, field=field, eight_bit=eight_bit)


def _disc_field(framing: Framing, size: int) -> FloatArray:
    """Return the disc inside the frame, on the square resized, anti-aliased."""
    left, top, width, height = framing.box
    x, y, side = _padding(framing.box)
    scale = size / side
    centre = [
        (at - start + shift + 0.5) * scale - 0.5
        for at, start, shift in zip(framing.centre, (left, top), (x, y), strict=True)
    ]
    field = disc_weights((size, size), (centre[0], centre[1]), framing.radius * scale)
    for axis, (start, extent) in enumerate(((y, height), (x, width))):
        at = np.arange(size) + 0.5
        cover = np.minimum(at + 0.5, (start + extent) * scale)
        cover -= np.maximum(at - 0.5, start * scale)
        field *= np.expand_dims(np.clip(cover, 0.0, 1.0).astype(np.float32), 1 - axis)
    return field


def _with_rim(framing: Framing, image: Image) -> tuple[int, int, int, int]:
    """Return the box of a disc, wider by the rim."""
    margin = int(_RIM * framing.radius) + 2
    left, top, width, height = framing.box
    x, y = max(0, left - margin), max(0, top - margin)
    right = min(image.width, left + width + margin)
    lower = min(image.height, top + height + margin)
    return x, y, right - x, lower - y


def _rim_field(image: Image, framing: Framing, disc: FloatArray) -> FloatArray:
    """Return weights of light just outside the disc that was found.

    The rim of a photograph is no perfect circle: what shines beyond it is retina all
    the same, and would stay as a bright line around the degraded disc.
    """
    square = brightest(_padded(_middle_frame(image), framing.box, 0.0))
    inside = float(square[disc > 0.5].mean()) if (disc > 0.5).any() else 0.0
    reach = framing.radius * (1.0 + _RIM) + 2.0
    wide = framing.model_copy(update={"radius": reach})
    light = np.clip(square / max(inside, 1e-6) / 0.4 - 0.5, 0.0, 1.0)
    rim: FloatArray = (_disc_field(wide, len(disc)) * light).astype(np.float32)
    return rim


def _is_square(image: Image, box: tuple[int, int, int, int], size: int) -> bool:
    """Whether a picture already is the square it would become."""
    return box == (0, 0, size, size) and (image.width, image.height) == (size, size)


def _framing(method: str, box: tuple[int, int, int, int]) -> Framing:
    left, top, width, height = box
    return Framing(
        method=method,
        centre=(left + (width - 1) / 2, top + (height - 1) / 2),
        radius=float(np.hypot(width, height) / 2),
        box=(int(left), int(top), int(width), int(height)),
    )


def _padding(box: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """Return left and upper padding to a square, and its side (A.1 step 8)."""
    side = max(box[2:])
    return int(side / 2 - box[2] / 2), int(side / 2 - box[3] / 2), side


def _padded(
    plane: NDArray[Any], box: tuple[int, int, int, int], black: float
) -> NDArray[Any]:
    """Return a box of a frame, (H, W) or (H, W, C), in its square, (n, n, C)."""
    left, top, width, height = box
    x, y, side = _padding(box)
    inside = plane[top : top + height, left : left + width].reshape(height, width, -1)
    wide = plane.dtype.itemsize > 2 and plane.dtype != np.float32
    square = np.full(
        (side, side, inside.shape[2]), black, np.float64 if wide else np.float32
    )
    square[y : y + height, x : x + width] = inside
    return square


def _resized(square: NDArray[Any], size: int) -> NDArray[Any]:
    """Return a square, (n, n, C), resized; area averages below half the size [C]."""
    side = len(square)
    if side == size:
        return square
    how = cv2.INTER_AREA if side > 2 * size else cv2.INTER_LINEAR
    return cv2.resize(square, (size, size), interpolation=how).reshape(size, size, -1)


def nearest(length: int, new: int) -> NDArray[np.intp]:
    """Return which of `length` places lies under the middle of each of `new` ones."""
    return ((np.arange(new) + 0.5) * length / new).astype(np.intp)


def _middle_frame(image: Image) -> FloatArray:
    """Return the middle frame in [0, 1], shape (H, W, C)."""
    middle = image.frames // 2
    one = replace(image, pixels=image.pixels[middle : middle + 1]).to_unit()[0]
    frame: FloatArray = np.nan_to_num(np.moveaxis(one, 0, -1))
    return frame


def _black_of(image: Image) -> float:
    """Return the native value that is shown black."""
    return image.unit_range.high if image.unit_range.inverted else image.unit_range.low
