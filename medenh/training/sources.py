"""What a configuration's data section names, loaded: clean images, and real ones."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from medenh.degradations.recipe import idle_severity
from medenh.errors import UsageError, counted
from medenh.tasks import Task, find_task
from medenh.training.checkpoint import OF_RECIPE
from medenh.training.config import TrainConfig
from medenh.training.data import (
    CleanImage,
    check_masks,
    digest_of,
    hold_back,
    load_pack,
    tell_parts,
)
from medenh.training.folders import load_folder
from medenh.training.once import once
from medenh.training.pseudo_masks import with_pseudo_masks
from medenh.training.sections import DataConfig, PromoteConfig

__all__ = ["Sources", "load_sources"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """Images of a run.

    Attributes
    ----------
    learnt : list of CleanImage
        Clean, to learn from.
    held : list of CleanImage
        Clean, of other patients: validation.
    real : list of CleanImage
        Low-quality images without a clean partner; with `data.real_recipes` clean
        ones, to be degraded when they are drawn, whose clean form is never shown.
    recipes : dict of str to str
        Files of the user's own recipes, and the hash of each.
    """

    learnt: list[CleanImage]
    held: list[CleanImage]
    real: list[CleanImage]
    recipes: dict[str, str] = field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """Return what was read, hashed, by name.

        What is real, or a recipe's file, has "(real)" or "(recipe)" there.
        """
        clean = {one.name: one.digest for one in (*self.learnt, *self.held)}
        real = {f"{one.name} (real)": one.digest for one in self.real}
        own = {f"{name}{OF_RECIPE}": sha256 for name, sha256 in self.recipes.items()}
        return clean | real | own


def load_sources(config: TrainConfig, device: str = "cpu") -> Sources:
    """Read the images of a run; pseudo-masks are drawn on its device.

    Raises
    ------
    UsageError
        A part is empty, a file of a pack is damaged, low-quality images are the clean
        ones, or the task is about another kind of picture.
    """
    promote = config.promote
    # a supervised loss has answers read, also where it only measures
    asked = promote.task if promote.loss == "supervised" else ""
    sources = once(_read, config.data, asked, device)
    _check_task([*sources.learnt, *sources.held], promote)
    return sources


def _read(data: DataConfig, asked: str, device: str) -> Sources:
    task = find_task(asked) if asked else None
    _tell_of_settings(data)
    images = _clean(data, task)
    learnt, held = hold_back(images, data.holdout_share)
    real: list[CleanImage] = []
    if data.real:
        real = _named(load_folder(data.real, data.max_side), data)
    elif data.real_qualities:
        for pack in data.packs:
            folder = Path(data.root) / pack
            real += load_pack(folder, data.real_qualities, ("train",), data.max_side)
    elif data.real_recipes:
        learnt, real = hold_back(learnt, data.real_share, "unpaired")
    if not learnt or not held:
        raise UsageError(
            f"{counted(len(learnt), 'image')} to learn from and {len(held)} held back "
            "for validation: neither may be none",
            hint="images of one patient stay together: give those of two at least; "
            + ("check data.high" if data.high else data.told()),
        )
    tell_parts(learnt, held, data.holdout_share)
    masks = [image.mask for image in learnt if image.mask is not None]
    if masks and task is not None:
        check_masks(masks, task)
    if (data.real or data.real_qualities or data.real_recipes) and not real:
        raise UsageError(
            "no real low-quality images", hint="check data.real and data.real_qualities"
        )
    if real and not data.real_recipes:
        _check_apart(images, real, data)
    if data.pseudo_masks:
        learnt = with_pseudo_masks(learnt, data.pseudo_masks, device)
    own = {name: recipe.sha256 for name, recipe in data.own_recipes().items()}
    return Sources(learnt, held, real, own)


def _clean(data: DataConfig, task: Task | None) -> list[CleanImage]:
    if data.high:
        images = load_folder(
            data.high,
            data.max_side,
            low=data.low,
            masks=data.masks,
            labels=data.labels,
            task=task,
        )
        if data.low and all(_is_its_partner(one) for one in images):
            raise UsageError(
                "all images of data.low are their own partners in data.high: there is "
                "nothing to learn",
                path=data.low,
                hint="give the low-quality images as data.low",
            )
        return _named(images, data)
    images = []
    for pack in data.packs:
        folder = Path(data.root) / pack
        images += load_pack(folder, data.qualities, ("train",), data.max_side, task)
    if data.datasets:
        images = [image for image in images if image.dataset in data.datasets]
    return images


def _check_task(images: list[CleanImage], promote: PromoteConfig) -> None:
    """Refuse a task about another kind of picture than the images are."""
    if not promote.task or (promote.rule == "off" and promote.loss != "supervised"):
        return
    task = find_task(promote.task)
    others = {image.modality for image in images} - {task.modality, "unknown"}
    if others:
        raise UsageError(
            f"promote.task {task.name} is for {task.modality} images, not for "
            f"{', '.join(sorted(others))}",
            hint="name a task of what the images show, or none; data.modality says "
            "what a folder's images show",
        )


def _tell_of_settings(data: DataConfig) -> None:
    """Warn of a size and a severity that are not what they seem."""
    if data.size > data.max_side:
        _log.warning(
            "data.size %d is above data.max_side %d, to which pictures are reduced: "
            "all squares are enlarged",
            data.size,
            data.max_side,
        )
    if data.severity is None:
        return
    for name in {**data.recipes, **data.real_recipes}:
        if word := idle_severity(data.recipe(name)):
            _log.warning("data.%s", word)


def _check_apart(
    clean: list[CleanImage], real: list[CleanImage], data: DataConfig
) -> None:
    """Refuse real low-quality images that are the clean ones, whatever their names."""
    high, low = ({digest_of(one.pixels) for one in part} for part in (clean, real))
    if low <= high or high <= low:
        names = (
            "data.real" if data.real else "data.real_qualities",
            "data.high" if data.high else "data.qualities",
        )
        inner, outer = names if low <= high else names[::-1]
        raise UsageError(
            f"all images of {inner} are among those of {outer}: nothing tells low "
            "quality from high",
            hint="give low-quality images and clean ones that are apart",
        )
    both = len(low & high)
    if both:
        _log.warning(
            "%d low-quality images without partner are among the clean ones too: they "
            "count as both",
            both,
        )


def _is_its_partner(image: CleanImage) -> bool:
    return image.low is not None and np.array_equal(image.low, image.pixels)


def _named(images: list[CleanImage], data: DataConfig) -> list[CleanImage]:
    """Say what images show that do not say it themselves."""
    kinds = {m for name in data.recipes for m in data.recipe(name).modalities}
    kind: str = data.modality or ""
    if not kind and len(kinds) == 1:
        kind = kinds.pop()
    if not kind:
        return images
    return [
        replace(image, modality=kind) if image.modality == "unknown" else image
        for image in images
    ]
