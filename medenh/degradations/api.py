"""Degrade arrays: the library's short names."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.arrays import PillowPicture, not_taken, unmasked, without_pillow
from medenh.degradations import cofe_record
from medenh.degradations.engine import degrade_image, replay_image
from medenh.degradations.operator import Domain
from medenh.degradations.recipe import Recipe, idle_severity
from medenh.degradations.record import Record
from medenh.degradations.registry import find_recipe
from medenh.errors import (
    NonFiniteError,
    OutOfMemoryError,
    UsageError,
    check_word,
    is_out_of_memory,
)
from medenh.formats.array import check_own_range, from_array, guesses, to_array
from medenh.formats.nifti import told_as
from medenh.paths import kind_of
from medenh.types import FloatArray, Image, Modality, on_all_volumes

__all__ = ["apply", "degrade"]


_Picture = TypeVar("_Picture", bound=Image | NDArray[Any])


class _How(TypedDict, total=False):
    """What `degrade` takes by name."""

    seed: int
    severity: float | None
    name: str
    draw: int
    size: int | None
    modality: str | None
    mask: NDArray[Any] | None
    options: Mapping[str, Any] | None
    data_range: tuple[float, float] | None


@overload
def degrade(
    image: _Picture, recipe: str | PathLike[str] | Recipe, **how: Unpack[_How]
) -> tuple[_Picture, Record]: ...
@overload
def degrade(
    image: PillowPicture, recipe: str | PathLike[str] | Recipe, **how: Unpack[_How]
) -> tuple[NDArray[Any], Record]: ...
def degrade(
    image: Image | NDArray[Any] | PillowPicture,
    recipe: str | PathLike[str] | Recipe,
    *,
    seed: int = 0,
    severity: float | None = None,
    name: str = "",
    draw: int = 0,
    size: int | None = None,
    modality: str | None = None,
    mask: NDArray[Any] | None = None,
    options: Mapping[str, Any] | None = None,
    data_range: tuple[float, float] | None = None,
) -> tuple[Any, Record]:
    """Degrade a picture.

    Parameters
    ----------
    image : Image, picture of Pillow, or array
        Arrays are (H, W), (H, W, C), (N, H, W) or (N, H, W, C), C 1, 3 or 4 (RGB and
        alpha, which stays as it is, and is left out where ``size`` is given); pictures
        of Pillow, of mode L, I;16, RGB or F, are taken as `numpy.asarray` gives them.
        Integers that are never negative have the range of their bit depth, floats that
        lie in it [0, 1]; they stay in it, but for recipes of MRI, which may pass the
        upper end. Booleans are 0 and 1, and come back as booleans.
        For CT recipes floats and signed integers are HU. NaN and infinity keep their
        place and are left out.
    recipe : str, path or Recipe
        A key of `RECIPES`, a file of a recipe (``.toml``), or a recipe.
    seed : int
        Fixes all chance, with ``name`` and ``draw``; at least 0.
    severity : float, optional
        1 (mild) to 5 (strong); without it parameters come from their whole range.
    name : str
        Relative file name; pictures of different names are degraded differently.
    draw : int
        Number of the copy.
    size : int, optional
        See `medenh.degradations.degrade_image`.
    modality : str, optional
        Kind of picture, where the image does not say.
    mask : array, shape (H, W), or (frames, H, W) of volumes, optional
        Field of view, where it is known: booleans, [0, 1], or levels of 8 or 16 bits
        in any type. Of an Image of several volumes it may be that of one.
    options : mapping, optional
        The recipe's own options.
    data_range : (float, float), optional
        The values of an array that are black and white, in its own units, where they
        should not be seen from its values. Values beyond them widen it.

    Returns
    -------
    degraded : Image or array
        As the input, an array for a picture of Pillow: same type, and same shape
        unless ``size`` is given.
    record : Record
        `apply` makes the same picture from it again.

    Raises
    ------
    UsageError
        Unknown recipe, option or modality; a negative seed or draw; a masked array
        (`numpy.ma`); a path, which `medenh.read` takes; no range, or one of an Image,
        which has its own; a size below 1; a mask of another size, or in colours.
    UnreadableError, UnsupportedError
        An array without pixels, or of a shape or type that is no picture.
    NonFiniteError
        No number in the array.
    OutOfMemoryError
        The picture, at the size that is asked for, does not fit into memory.

    Warns
    -----
    UserWarning
        The recipe works on what is seen, and black and white of the array were guessed.
        Or nothing in it follows the severity that is asked for.

    Examples
    --------
    >>> import numpy as np
    >>> clean = np.full((32, 32), 200, np.uint8)
    >>> low, record = degrade(clean, "dpe", seed=1)
    >>> low.dtype, bool((apply(clean, record) == low).all())
    (dtype('uint8'), True)
    """
    picture = _taken(image)
    _check_kinds(
        recipe=recipe, severity=severity, size=size, name=name, options=options
    )
    chosen = find_recipe(recipe)
    clean = _as_image(picture, chosen.domain, modality, data_range)
    if chosen.domain == "display" and not isinstance(picture, Image):
        for word in guesses(clean):
            warnings.warn(word, stacklevel=2)
    if severity is not None and (word := idle_severity(chosen)):
        warnings.warn(word, stacklevel=2)
    with _memory():
        pair = degrade_image(
            clean,
            chosen,
            name=name,
            seed=seed,
            draw=draw,
            severity=None if severity is None else unit_severity(severity),
            size=size,
            options=options,
            field=_checked_field(mask, clean),
        )
    return _like(picture, pair.low), pair.record


@overload
def apply(
    image: _Picture,
    record: Record | Mapping[str, Any] | str,
    *,
    mask: NDArray[Any] | None = None,
    data_range: tuple[float, float] | None = None,
) -> _Picture: ...
@overload
def apply(
    image: PillowPicture,
    record: Record | Mapping[str, Any] | str,
    *,
    mask: NDArray[Any] | None = None,
    data_range: tuple[float, float] | None = None,
) -> NDArray[Any]: ...
def apply(
    image: Image | NDArray[Any] | PillowPicture,
    record: Record | Mapping[str, Any] | str,
    *,
    mask: NDArray[Any] | None = None,
    data_range: tuple[float, float] | None = None,
) -> Image | NDArray[Any]:
    """Degrade a picture as a record says: the pixels `degrade` gave.

    Parameters
    ----------
    image : Image, picture of Pillow, or array
        The clean picture the record was made from. That it is this one is not checked.
    record : Record, dict or str
        As `degrade` returned it, or its JSON; or one of Cofe-Net's own records, of
        either layout, with a cleaned square.
    mask : array, shape (H, W) or (frames, H, W), optional
        The field of view that was given to `degrade`, or that Cofe-Net's program had.
    data_range : (float, float), optional
        That of `degrade`.

    Raises
    ------
    UsageError
        Not a record, or one of steps that do not exist.
    UnreadableError, UnsupportedError
        An array that is no picture.
    """
    picture = _taken(image)
    known = _as_record(record, picture)
    clean = _as_image(picture, known.domain, None, data_range)
    with _memory():
        pair = replay_image(clean, known, field=_checked_field(mask, clean))
    return _like(picture, pair.low)


_KINDS: dict[str, tuple[Any, str]] = {
    "recipe": (str | PathLike | Recipe, "a name or a file"),
    "severity": (Real | None, "a number"),
    "size": (Integral | None, "a whole number"),
    "name": (str, "text"),
    "options": (Mapping | None, "a mapping"),
}


def _check_kinds(**given: object) -> None:
    """Refuse values of another kind than `_KINDS` has for their names."""
    for name, value in given.items():
        kind, words = _KINDS[name]
        if not isinstance(value, kind):
            raise UsageError(f"{name} is {words}, not {kind_of(value)}")


@contextmanager
def _memory() -> Iterator[None]:
    """Say it in the library's own words where memory runs out."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            "the picture does not fit into memory as it is degraded",
            hint="give a smaller size, or fewer frames at a time",
        ) from error


def _taken(image: Any) -> Image | NDArray[Any]:
    """Return what can be degraded, a picture of Pillow as an array."""
    image = without_pillow(image)
    if isinstance(image, Image | np.ndarray):
        return image
    hint = "give a medenh.Image, a PIL image or an array"
    if isinstance(image, str | Path):
        hint = "give medenh.read(...) of a path"
    raise not_taken(image, "degraded", hint=hint)


def _as_record(
    record: Record | Mapping[str, Any] | str, image: Image | NDArray[Any]
) -> Record:
    """Return a record of ours, whatever it is written in."""
    if isinstance(record, Record):
        return record
    if not isinstance(record, str | Mapping):
        raise UsageError(
            f"{kind_of(record)} is no record",
            hint="give what medenh.degrade returned, or its JSON",
        )
    text = (
        record if isinstance(record, str) else json.dumps(dict(record), default=kind_of)
    )
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if isinstance(data, dict) and cofe_record.is_cofe(data):
        width = image.width if isinstance(image, Image) else image.shape[1]
        return cofe_record.from_cofe(data, size=cofe_record.side_of(data, width))
    return Record.from_json(text)


def unit_severity(level: float) -> float:
    """Return a severity of 1 to 5 as a share of 0 to 1."""
    if not 1.0 <= level <= 5.0:
        raise UsageError(f"severity {level:g} is not in 1 to 5")
    return (level - 1.0) / 4.0


def _checked_field(mask: NDArray[Any] | None, image: Image) -> FloatArray | None:
    """Return the weights of a caller's mask, which is no picture of colours."""
    if mask is None:
        return None
    planes = unmasked(mask)
    if planes.ndim == 3 and planes.shape[1:] == (image.height, image.width):
        planes = planes[..., None]  # a plane a frame
    elif planes.ndim == 3 and (planes != planes[..., :1]).any():
        raise UsageError(
            f"a mask of shape {planes.shape} has colours",
            hint="give (H, W): booleans, [0, 1], or levels of 8 or 16 bits; for "
            "volumes also (frames, H, W)",
        )
    return on_all_volumes(as_field(planes), image)


def as_field(mask: NDArray[Any]) -> FloatArray:
    """Return a mask of any usual kind as weights in [0, 1], float32 (H, W).

    Of colours the largest channel counts, as in `medenh.tasks.masks`. One of several
    frames, (F, H, W, C), is (F, H, W).
    """
    mask = unmasked(mask)
    plane = mask.max(axis=-1) if mask.ndim > 2 else mask
    if plane.ndim == 3 and len(plane) == 1:
        plane = plane[0]
    if plane.ndim not in (2, 3):
        raise UsageError(f"a mask of shape {mask.shape} is not two-dimensional")
    weights = plane.astype(np.float32)
    if np.isnan(weights).any():
        raise UsageError("the mask holds NaN, which is neither inside nor outside")
    if plane.dtype.kind in "iuf" and plane.size and plane.max() > 1:
        weights /= np.float32(255 if plane.max() <= 255 else 65535)
    return np.clip(weights, np.float32(0.0), np.float32(1.0))


def _as_image(
    image: Image | NDArray[Any],
    domain: Domain,
    modality: str | None,
    data_range: tuple[float, float] | None = None,
) -> Image:
    """Return an array as a picture whose numbers mean what the domain expects."""
    kind = None if modality is None else _modality(modality)
    check_own_range(image, data_range)
    if isinstance(image, Image):
        return image if kind is None else told_as(image, kind)
    picture = from_array(
        image, data_range=data_range, modality=kind or Modality.UNKNOWN
    )
    if picture.frozen is not None and picture.frozen.all():
        raise NonFiniteError("the array holds no number, only NaN or infinity")
    if domain != "hu" or image.dtype.kind not in "if":
        return picture
    if data_range is None:
        picture = replace(picture, unit_range=intensity.soft_tissue_range())
    return replace(picture, units="HU")


def _modality(word: str) -> Modality:
    check_word("modality", word, tuple(Modality))
    return Modality(word)


def _like(source: Image | NDArray[Any], degraded: Image) -> Image | NDArray[Any]:
    """Return an array with the axes and type of the source, or the image itself."""
    if isinstance(source, Image):
        return degraded
    return to_array(degraded).astype(source.dtype, copy=False)
