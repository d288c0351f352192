"""Degrade crops inside a training loop: no records, no scores, nothing but arrays."""

from __future__ import annotations

from os import PathLike

import numpy as np

from medenh.degradations.api import unit_severity
from medenh.degradations.engine import checked_options, sample_frames
from medenh.degradations.operator import Scene
from medenh.degradations.recipe import Recipe
from medenh.degradations.registry import find_recipe
from medenh.errors import UsageError
from medenh.intensity import SOFT_TISSUE_HU
from medenh.types import FloatArray

__all__ = ["degrade_crop"]


def degrade_crop(
    crop: FloatArray,
    recipe: str | PathLike[str] | Recipe,
    *,
    rng: np.random.Generator,
    severity: float | None = None,
    modality: str = "unknown",
    eight_bit: bool = False,
    field: FloatArray | None = None,
    whole_side: int | None = None,
) -> FloatArray:
    """Return a crop degraded by a fresh draw of a recipe.

    Parameters
    ----------
    crop : float32 array, shape (H, W, C), in [0, 1], C 1 or 3
        Not changed. Of a fundus photograph it counts as inside the disc. For recipes
        in HU 0 and 1 stand for the ends of the window of soft tissue [chosen].
    recipe : str, path or Recipe
        A key of `RECIPES`, a file of a recipe (``.toml``, read each time: `find_recipe`
        reads it once), or a recipe.
    rng : Generator
        All chance comes from it: give each worker of a loader its own.
    severity : float, optional
        1 (mild) to 5 (strong); without it the recipe's whole range.
    modality : str
        Kind of picture.
    eight_bit : bool
        Round to 8-bit levels where the published code does.
    field : float32 array, shape (H, W), in [0, 1], optional
        Weight of the field of view; outside it nothing changes.
    whole_side : int, optional
        Long side of the picture the crop was cut from. Lengths are in proportion to
        it: without it a crop is blurred less than the whole picture would be.

    Returns
    -------
    float32 array, shape (H, W, C), in [0, 1]

    Raises
    ------
    UsageError
        Unknown recipe, a severity outside 1 to 5, or a crop of another shape.

    Examples
    --------
    >>> clean = np.full((32, 32, 3), 0.5, np.float32)
    >>> degrade_crop(clean, "gauss-0.1", rng=np.random.default_rng(0)).shape
    (32, 32, 3)
    """
    chosen = find_recipe(recipe)
    if crop.ndim != 3 or crop.shape[2] not in (1, 3) or crop.dtype != np.float32:
        raise UsageError(
            f"a crop is float32 (height, width, 1 or 3), not {crop.dtype} {crop.shape}"
        )
    share = None if severity is None else unit_severity(severity)
    scene = Scene(
        domain=chosen.domain,
        modality=modality,
        field=field,
        eight_bit=eight_bit,
        whole_side=whole_side,
        options=checked_options(chosen, {}),
    )
    low, high = SOFT_TISSUE_HU if chosen.domain == "hu" else (0.0, 1.0)
    frames = crop[None] if (low, high) == (0.0, 1.0) else _stretched(crop, low, high)
    degraded, _ = sample_frames(frames, chosen, scene, rng, share)
    out = degraded[0]
    if (low, high) != (0.0, 1.0):
        out = (out - np.float32(low)) / np.float32(high - low)
    out = np.clip(out, np.float32(0.0), np.float32(1.0))
    if field is not None:
        out = crop + field[..., None] * (out - crop)
    return np.ascontiguousarray(out, dtype=np.float32)


def _stretched(crop: FloatArray, low: float, high: float) -> FloatArray:
    return (crop * np.float32(high - low) + np.float32(low))[None]
