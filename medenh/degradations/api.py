"""Degrade arrays: the library's short names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.degradations.engine import degrade_image, replay_image
from medenh.degradations.record import Record
from medenh.degradations.registry import find_recipe
from medenh.errors import UsageError
from medenh.types import FloatArray, Image, Modality, Storage, UnitRange

__all__ = ["apply", "degrade"]


def degrade(
    image: Image | NDArray[Any],
    recipe: str,
    *,
    seed: int = 0,
    severity: float | None = None,
    name: str = "",
    draw: int = 0,
    size: int | None = None,
    modality: str | None = None,
    mask: NDArray[Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[Image | NDArray[Any], Record]:
    """Degrade a picture.

    Parameters
    ----------
    image : Image, or array of shape (H, W) or (H, W, 1 or 3)
        uint8 and uint16 have their full range, floats are [0, 1] for display recipes,
        HU for CT ones, magnitudes for MRI ones.
    recipe : str
        A key of `RECIPES`.
    seed : int
        Fixes all chance, with ``name`` and ``draw``.
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
    mask : array, shape (H, W), optional
        Field of view, where it is known: booleans, 8-bit levels or [0, 1].
    options : mapping, optional
        The recipe's own options.

    Returns
    -------
    degraded : Image or array
        As the input: same type, and same shape unless ``size`` is given.
    record : Record
        `apply` makes the same picture from it again.
    """
    pair = degrade_image(
        _as_image(image, modality),
        find_recipe(recipe),
        name=name,
        seed=seed,
        draw=draw,
        severity=None if severity is None else unit_severity(severity),
        size=size,
        options=options,
        field=as_field(mask),
    )
    return _like(image, pair.low), pair.record


def apply(
    image: Image | NDArray[Any],
    record: Record | Mapping[str, Any] | str,
    *,
    mask: NDArray[Any] | None = None,
) -> Image | NDArray[Any]:
    """Degrade a picture as a record says: the pixels `degrade` gave.

    Parameters
    ----------
    image : Image or array
        The clean picture the record was made from.
    record : Record, dict or str
        As `degrade` returned it, or its JSON.
    mask : array, shape (H, W), optional
        The field of view that was given to `degrade`.
    """
    if isinstance(record, str):
        record = Record.from_json(record)
    elif not isinstance(record, Record):
        record = Record.model_validate(dict(record))
    pair = replay_image(_as_image(image, None), record, field=as_field(mask))
    return _like(image, pair.low)


def unit_severity(level: float) -> float:
    """Return a severity of 1 to 5 as a share of 0 to 1."""
    if not 1.0 <= level <= 5.0:
        raise UsageError(f"severity {level:g} is not in 1 to 5")
    return (level - 1.0) / 4.0


def as_field(mask: NDArray[Any] | None) -> FloatArray | None:
    """Return a mask of any usual kind as weights in [0, 1], float32 (H, W)."""
    if mask is None:
        return None
    plane = mask[..., 0] if mask.ndim == 3 else mask
    if plane.ndim != 2:
        raise UsageError(f"a mask of shape {mask.shape} is not a plane")
    weights = plane.astype(np.float32)
    if plane.dtype.kind in "iu" and plane.size and plane.max() > 1:
        weights /= np.float32(255 if plane.max() <= 255 else 65535)
    return np.clip(weights, np.float32(0.0), np.float32(1.0))


def _as_image(image: Image | NDArray[Any], modality: str | None) -> Image:
    if isinstance(image, Image):
        return image
    pixels = image[None, ..., None] if image.ndim == 2 else image[None]
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise UsageError(
            f"an array of shape {image.shape} is not a picture",
            hint="(height, width) or (height, width, 1 or 3)",
        )
    kind = Modality(modality) if modality else Modality.UNKNOWN
    if pixels.dtype.kind == "f":
        return Image(
            pixels=pixels,
            unit_range=UnitRange(0.0, 1.0, reason="0-1"),
            storage=Storage(pixels.dtype),
            modality=kind,
        )
    limits = np.iinfo(pixels.dtype)
    return Image(
        pixels=pixels,
        unit_range=intensity.bit_depth_range(pixels),
        storage=Storage(pixels.dtype, minimum=limits.min, maximum=limits.max),
        modality=kind,
    )


def _like(source: Image | NDArray[Any], degraded: Image) -> Image | NDArray[Any]:
    if isinstance(source, Image):
        return degraded
    frame: NDArray[Any] = degraded.pixels[0]
    return frame[..., 0] if source.ndim == 2 else frame
