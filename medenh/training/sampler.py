"""Training squares: cut, turned and degraded, each from its own seed.

A sample depends on (seed, step, position) only, so a resumed run, or one on several
processes, sees what an undisturbed one would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.degradations import Recipe
from medenh.degradations.field_of_view import (
    FieldOfView,
    disc_weights,
    find_field,
    find_shown_field,
)
from medenh.degradations.mri_noise import find_tissue
from medenh.degradations.training import degrade_crop
from medenh.errors import UsageError
from medenh.opencv import cv2
from medenh.training.data import CleanImage
from medenh.training.recolour import lifted, recoloured, retoned
from medenh.training.sections import DataConfig
from medenh.types import FloatArray

__all__ = [
    "Cut",
    "PairSampler",
    "SingleSampler",
    "degraded",
    "draw_cut",
    "eight_bits",
    "field_in",
    "pick_recipe",
    "to_unit",
]


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a picture, brought to a square, turned and mirrored.

    Attributes
    ----------
    box : tuple of int
        top, left, height, width.
    size : int
        Side of the square.
    quarter_turns : int
    mirrored : bool
    """

    box: tuple[int, int, int, int]
    size: int
    quarter_turns: int
    mirrored: bool

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return the square, shape (size, size, C), of (H, W, C) pixels."""
        top, left, height, width = self.box
        part = pixels[top : top + height, left : left + width]
        if part.shape[:2] != (self.size, self.size):
            shrinks = max(part.shape[:2]) > self.size
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            part = cv2.resize(part, (self.size, self.size), interpolation=how)
        part = part.reshape(self.size, self.size, -1)
        turned = np.rot90(part, self.quarter_turns)
        return turned[:, ::-1] if self.mirrored else turned

    def whole_side(self, shape: tuple[int, ...]) -> int:
        """Return the long side of the whole picture at the square's scale."""
        return round(max(shape[:2]) * self.size / max(self.box[2:]))


def draw_cut(
    shape: tuple[int, ...],
    config: DataConfig,
    rng: np.random.Generator,
    size: int,
    whole_share: float | None = None,
) -> Cut:
    """Draw the whole image, a part at its own scale, or a part of random area.

    Where the share of whole images is given, all others are of random area.
    """
    height, width = shape[:2]
    box = (0, 0, height, width)
    native = config.native_share if whole_share is None else 0.0
    whole = config.whole_share if whole_share is None else whole_share
    which = rng.random()
    if whole <= which < whole + native:
        h, w = min(height, size), min(width, size)
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        box = (int(top), int(left), h, w)
    elif which >= whole:
        area = rng.uniform(config.smallest_crop, 1.0)
        aspect = np.exp(rng.uniform(-0.2, 0.2))
        h = min(height, max(16, round(height * np.sqrt(area) * aspect)))
        w = min(width, max(16, round(width * np.sqrt(area) / aspect)))
        box = (
            int(rng.integers(height - h + 1)),
            int(rng.integers(width - w + 1)),
            h,
            w,
        )
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    return Cut(
        box,
        size,
        turns if config.turned == "any" else 0,
        mirrored and config.turned != "none",
    )


def to_unit(pixels: NDArray[Any]) -> FloatArray:
    """Return 8- or 16-bit levels as float32 in [0, 1]."""
    white = np.float32(np.iinfo(pixels.dtype).max)
    return np.ascontiguousarray(pixels, np.float32) / white


class _Drawing:
    """Draws images; packs are balanced by the root of their size."""

    def __init__(self, images: list[CleanImage], config: DataConfig, seed: int) -> None:
        if not images:
            raise UsageError(
                "no training images", hint="check data.packs and qualities"
            )
        self.images = images
        self._config = config
        self._seed = seed
        self._found: dict[int, FieldOfView] = {}
        modalities = [image.modality for image in images]
        counts = {m: modalities.count(m) for m in set(modalities)}
        weights = np.array(
            [
                counts[image.modality] ** -0.5 * config.datasets.get(image.dataset, 1.0)
                for image in images
            ]
        )
        self._cumulative = np.cumsum(weights / weights.sum())

    def draw(self, step: int, position: int) -> tuple[int, np.random.Generator]:
        """Return the index of a sample's image, and what draws the rest of it."""
        rng = np.random.default_rng([self._seed, step, position])
        index = int(np.searchsorted(self._cumulative, rng.random()))
        return min(index, len(self.images) - 1), rng

    def name(self, step: int, position: int) -> str:
        """Return the name of a sample's image."""
        return self.images[self.draw(step, position)[0]].name

    def _shown(self, index: int, rng: np.random.Generator) -> CleanImage:
        """Return an image, at times the square around its field alone."""
        image, share = self.images[index], self._config.squared_share
        if not share or image.modality != "fundus" or rng.random() >= share:
            return image
        if index not in self._found:
            self._found[index] = find_field(to_unit(image.pixels))
        found = self._found[index]
        return replace(
            image,
            pixels=_squared(image.pixels, found),
            low=None if image.low is None else _squared(image.low, found),
            mask=None if image.mask is None else _squared(image.mask, found),
        )


class SingleSampler(_Drawing):
    """Draws squares of images as they are, or degraded and never seen clean."""

    def __init__(
        self,
        images: list[CleanImage],
        config: DataConfig,
        seed: int,
        recipes: dict[str, float] | None = None,
    ) -> None:
        super().__init__(images, config, seed)
        self._recipes = recipes or {}

    def sample(self, step: int, position: int) -> dict[str, NDArray[Any]]:
        """Return one sample: image, (3, S, S) in [0, 1], and mask, label if known."""
        index, rng = self.draw(step, position)
        image = self._shown(index, rng)
        cut = draw_cut(image.pixels.shape, self._config, rng, self._config.size)
        square = to_unit(cut.apply(image.pixels))
        if self._recipes:
            field, side = (
                field_in(square, image.modality),
                cut.whole_side(image.pixels.shape),
            )
            recipe = pick_recipe(self._recipes, self._config, image.modality, rng)
            square = degraded(
                square, recipe, rng, image.modality, field, side, self._config
            )
        return {"image": _to_planes(square), **_answers(image, cut)}


class PairSampler(_Drawing):
    """Draws (degraded, clean) squares, and what is known of them.

    Raises
    ------
    UsageError
        No images; or ``recipes_with_air`` leaves none for those of a modality.
    """

    def __init__(self, images: list[CleanImage], config: DataConfig, seed: int) -> None:
        super().__init__(images, config, seed)
        self._without_air = {
            name: share
            for name, share in config.recipes.items()
            if name not in config.recipes_with_air
        }
        if not config.recipes_with_air:
            return
        for kind in sorted({one.modality for one in images if one.low is None}):
            if not any(_suits(config.recipe(n), kind) for n in self._without_air):
                raise UsageError(
                    f"data.recipes_with_air leaves no recipe for {kind} images "
                    "without air",
                    hint="add one to data.recipes, or take one from "
                    "data.recipes_with_air",
                )

    def sample(
        self,
        step: int,
        position: int,
        side: int | None = None,
        whole_share: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Return one sample, of another side and share of whole pictures if given.

        Returns
        -------
        dict
            low, high : float32 arrays, shape (3, S, S), in [0, 1]
            mask : float32 array, shape (K, S, S), coverage; where images have one
            label : int64 scalar; where images have one
        """
        index, rng = self.draw(step, position)
        image = self._shown(index, rng)
        size = side or self._config.size
        cut = draw_cut(image.pixels.shape, self._config, rng, size, whole_share)
        clean = to_unit(cut.apply(image.pixels))
        if image.low is None:
            clean, low = self._pair(clean, image, cut, rng)
        else:
            low = to_unit(cut.apply(image.low))
        sample: dict[str, NDArray[Any]] = {
            "low": _to_planes(low),
            "high": _to_planes(clean),
        }
        return sample | _answers(image, cut)

    def _pair(
        self, clean: FloatArray, image: CleanImage, cut: Cut, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Return the clean square, perhaps in other tones, and the degraded one."""
        config, field = self._config, field_in(clean, image.modality)
        if field is not None and config.field_share < 1:
            field = field if rng.random() < config.field_share else None
        if config.recolour_share and rng.random() < config.recolour_share:
            clean, field = recoloured(clean, rng), None
        if config.retone_share and rng.random() < config.retone_share:
            clean = retoned(clean, rng)
        if config.lift_share and rng.random() < config.lift_share:
            clean = lifted(clean, rng)
        if rng.random() < config.identity_share:
            return clean, clean
        recipes = config.recipes
        if config.recipes_with_air and not _shows_air(clean):
            recipes = self._without_air
        recipe = pick_recipe(recipes, config, image.modality, rng)
        side = cut.whole_side(image.pixels.shape)
        low = degraded(clean, recipe, rng, image.modality, field, side, config)
        return clean, low


def _squared(pixels: NDArray[Any], found: FieldOfView) -> NDArray[Any]:
    """Return a field in the middle of a square that is black outside it.

    The surround of a photograph is often some levels above black, and told apart by
    them a camera is known to a network that the protocols then show none of them.
    """
    left, top, width, height = found.box
    side = max(width, height)
    square = np.zeros((side, side, pixels.shape[2]), pixels.dtype)
    y, x = (side - height) // 2, (side - width) // 2
    square[y : y + height, x : x + width] = pixels[
        top : top + height, left : left + width
    ]
    centre = (found.centre[0] - left + x, found.centre[1] - top + y)
    square[disc_weights((side, side), centre, found.radius) < 0.5] = 0
    return square


def _shows_air(square: FloatArray) -> bool:
    """Return whether a tenth of a square, (S, S, C), is air around tissue [C]."""
    return bool(np.mean(find_tissue(square.mean(2))) < 0.9)


def _answers(image: CleanImage, cut: Cut) -> dict[str, NDArray[Any]]:
    """Return an image's mask, (K, S, S) in [0, 1], and label, where it has them."""
    found: dict[str, NDArray[Any]] = {}
    if image.mask is not None:
        mask = np.moveaxis(to_unit(cut.apply(image.mask)), -1, 0)
        found["mask"] = np.ascontiguousarray(mask)
    if image.label is not None:
        found["label"] = np.asarray(image.label, np.int64)
    return found


def degraded(
    clean: FloatArray,
    recipe: Recipe,
    rng: np.random.Generator,
    modality: str,
    field: FloatArray | None,
    whole_side: int,
    config: DataConfig,
) -> FloatArray:
    """Return a square degraded by one draw, at times rounded to 8 bits."""
    eight_bit = bool(rng.random() < config.quantise_share)
    low = degrade_crop(
        clean,
        recipe,
        rng=rng,
        severity=config.severity,
        modality=modality,
        eight_bit=eight_bit,
        field=field,
        whole_side=whole_side,
    )
    return eight_bits(low) if eight_bit else low


def eight_bits(pixels: FloatArray) -> FloatArray:
    """Round to the levels of an 8-bit picture."""
    rounded: FloatArray = np.rint(pixels * np.float32(255)) / np.float32(255)
    return rounded


def pick_recipe(
    recipes: dict[str, float],
    config: DataConfig,
    modality: str,
    rng: np.random.Generator,
) -> Recipe:
    """Return a recipe of a configuration that suits the modality, drawn by its weight.

    Raises
    ------
    UsageError
        None of them suits.
    """
    names = [n for n in recipes if _suits(config.recipe(n), modality)]
    if not names:
        raise UsageError(
            f"none of the recipes {', '.join(recipes)} is for {modality} images",
            hint="add one to data.recipes, or leave the pack out",
        )
    weights = np.array([recipes[name] for name in names])
    return config.recipe(names[int(rng.choice(len(names), p=weights / weights.sum()))])


def _suits(recipe: Recipe, modality: str) -> bool:
    return not recipe.modalities or modality in (*recipe.modalities, "unknown")


def field_in(square: FloatArray, modality: str) -> FloatArray | None:
    """Return where a fundus photograph is not black; nothing changes elsewhere."""
    if modality != "fundus" or min(square.shape[:2]) < 16:
        return None
    return find_shown_field(square)


def _to_planes(pixels: FloatArray) -> FloatArray:
    """(H, W, 1 or 3) -> (3, H, W)."""
    planes = np.moveaxis(pixels, -1, 0)
    return np.ascontiguousarray(np.broadcast_to(planes, (3, *planes.shape[1:])))
