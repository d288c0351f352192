"""Labelled images of packs, and the samples that recognisers learn from.

Clean images; they are varied (turned, scaled, brighter, another colour), and not made
worse: a recogniser's score must fall when a picture loses what it needs. Where recipes
are given all the same (`data.recipes`), the recogniser learns to make do without
enhancement, which is what task-driven enhancement has to be compared with.
"""

from __future__ import annotations

import logging
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UsageError, counted
from medenh.opencv import cv2
from medenh.tasks.masks import class_masks, read_mask
from medenh.tasks.recogniser import to_working_size
from medenh.tasks.table import Task
from medenh.training.data import (
    check_masks,
    decode_image,
    digest_of,
    find_label,
    has_answer,
    hold_back,
    open_shard,
    read_member,
    read_rows,
    tell_parts,
)
from medenh.training.folders import load_folder
from medenh.training.sampler import degraded, field_in, pick_recipe, to_unit
from medenh.training.sections import AugmentConfig, DataConfig
from medenh.types import FloatArray

__all__ = ["LabelledImage", "LabelledSampler", "load_labelled", "load_parts"]

_log = logging.getLogger(__name__)


_LARGEST = 1 << 14  # pixels; a folder's images come at their own size


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image of a pack with its answer.

    Attributes
    ----------
    name, dataset, group : str
        "pack/file"; the source data set; patient, lesion or sequence.
    pixels : float32 array, shape (H, W, 1 or 3), in [0, 1]
    mask : float32 array, shape (H, W, K), or None
        Coverage of each class, for segmentation.
    label : int or None
        Class number, for classification.
    field : bool array, shape (H, W), or None
        Field of view, where the pack has one and the size is the stored one.
    digest : str
        Hash of picture and answer, as they were read.
    """

    name: str
    dataset: str
    group: str
    pixels: FloatArray
    mask: FloatArray | None
    label: int | None
    field: NDArray[np.bool_] | None
    digest: str = ""


def load_labelled(
    config: DataConfig, task: Task, *, split: str, side: int | None
) -> list[LabelledImage]:
    """Read the images of a split that have an answer to a task.

    Parameters
    ----------
    config : DataConfig
        Which packs, qualities and data sets.
    task : Task
    split : str
        "train", "val" or "test".
    side : int or None
        Long side in pixels; None keeps the stored size.

    Notes
    -----
    A folder of the user's own (`data.high`) is all of it split "train".
    """
    if config.high:
        return _of_a_folder(config, task, side) if split == "train" else []
    images: list[LabelledImage] = []
    for pack in config.packs:
        folder = Path(config.root) / pack
        rows = [
            row
            for row in read_rows(folder)
            if row["split"] == split
            and row["quality"] in config.qualities
            and (
                not config.datasets or row.get("source_dataset", "") in config.datasets
            )
            and has_answer(row, task)
        ]
        for shard in sorted({row["shard"] for row in rows}):
            with open_shard(folder / shard) as tar:
                images += [
                    _read(tar, row, folder, task, side)
                    for row in rows
                    if row["shard"] == shard
                ]
    return images


def load_parts(
    config: DataConfig, task: Task
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Return split "train" at the working size: (learnt from, held back).

    Raises
    ------
    UsageError
        One of the parts is empty.
    """
    images = load_labelled(config, task, split="train", side=task.side)
    learnt, held = hold_back(images, config.holdout_share)
    if not learnt or not held:
        raise UsageError(
            f"{counted(len(learnt), 'image')} to learn from and {len(held)} held back "
            "for validation: neither may be none",
            hint="images without an answer do not count; "
            + ("check data.high" if config.high else config.told()),
        )
    tell_parts(learnt, held, config.holdout_share)
    if task.kind == "segmentation":
        check_masks((one.mask for one in learnt if one.mask is not None), task)
    if task.kind == "classification" and len({image.label for image in learnt}) < 2:
        raise UsageError(
            f"all images to learn from ({len(learnt)}) are of one class: there is "
            "nothing to tell apart",
            hint="check data.labels, or lower data.holdout_share where the others are "
            "held back",
        )
    if task.kind == "classification" and len({image.label for image in held}) < 2:
        _log.warning(
            "all images held back (%d) are of one class: without an AUC the best "
            "weights are not known (raise data.holdout_share)",
            len(held),
        )
    return learnt, held


def _of_a_folder(
    config: DataConfig, task: Task, side: int | None
) -> list[LabelledImage]:
    found = load_folder(
        config.high, _LARGEST, masks=config.masks, labels=config.labels, task=task
    )
    images = []
    for one in found:
        unit = to_unit(one.pixels)
        mask = None if one.mask is None else to_unit(one.mask)
        if side is not None:
            unit = to_working_size(unit, side)
            mask = None if mask is None else to_working_size(mask, side)
        image = LabelledImage(
            one.name, one.dataset, one.group, unit, mask, one.label, None, one.digest
        )
        images.append(image)
    return images


def _read(
    tar: tarfile.TarFile,
    row: dict[str, str],
    folder: Path,
    task: Task,
    side: int | None,
) -> LabelledImage:
    pixels = decode_image(read_member(tar, row["file"], folder), row, folder)
    unit, digest = pixels.astype(np.float32) / np.float32(255), digest_of(pixels)
    mask = field = None
    label = find_label(row, task)
    if task.kind == "segmentation":
        numbers = read_mask(read_member(tar, row["mask_file"], folder))
        mask = class_masks(numbers, task).astype(np.float32)
        digest = digest_of(numbers, digest)
        if mask.shape[:2] != unit.shape[:2]:
            raise UsageError(
                f"mask {mask.shape[:2]} and image {unit.shape[:2]} differ in size",
                path=folder / row["mask_file"],
            )
    if side is not None:
        unit = to_working_size(unit, side)
        mask = None if mask is None else to_working_size(mask, side)
    elif row.get("fov_file"):
        field = read_mask(read_member(tar, row["fov_file"], folder)) != 0
    return LabelledImage(
        f"{folder.name}/{row['file']}",
        row.get("source_dataset", ""),
        row["group"],
        unit,
        mask,
        label,
        field,
        f"{digest}/{label}",
    )


class LabelledSampler:
    """Draws varied squares with their answers; each from (seed, step, position).

    Parameters
    ----------
    images : list of LabelledImage
    data : DataConfig
        Where it has recipes, all but `identity_share` of the squares are degraded.
    augment : AugmentConfig
    seed : int
    modality : str
        What the images show.
    """

    def __init__(
        self,
        images: list[LabelledImage],
        data: DataConfig,
        augment: AugmentConfig,
        seed: int,
        modality: str = "unknown",
    ) -> None:
        self._images = images
        self._data = data
        self._size = data.size
        self._augment = augment
        self._seed = seed
        self._modality = modality
        weights = _weights(images, data.datasets)
        self._cumulative = np.cumsum(weights / weights.sum())

    def sample(self, step: int, position: int) -> tuple[FloatArray, FloatArray | int]:
        """Return one sample.

        Returns
        -------
        picture : float32 array, shape (3, S, S), in [0, 1]
        answer : float32 array, shape (K, S, S), coverage; or the class number
        """
        image, rng = self._draw(step, position)
        place = self._place(image.pixels.shape, rng)
        picture = _vary(self._warp(image.pixels, place), self._augment, rng)
        if self._data.recipes and rng.random() >= self._data.identity_share:
            picture = self._degraded(picture, image.pixels.shape, place, rng)
        planes = np.broadcast_to(picture, (*picture.shape[:2], 3))
        if image.mask is None:
            return _to_planes(planes), int(image.label or 0)
        return _to_planes(planes), _to_planes(self._warp(image.mask, place))

    def name(self, step: int, position: int) -> str:
        """Return the name of a sample's image."""
        return self._draw(step, position)[0].name

    def _draw(
        self, step: int, position: int
    ) -> tuple[LabelledImage, np.random.Generator]:
        rng = np.random.default_rng([self._seed, step, position])
        index = int(np.searchsorted(self._cumulative, rng.random()))
        return self._images[min(index, len(self._images) - 1)], rng

    def _place(
        self, shape: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Draw the affine map from the square to the picture, shape (2, 3)."""
        config, size = self._augment, self._size
        scale = config.scale ** rng.uniform(-1, 1)
        angle = np.deg2rad(rng.uniform(-config.turn, config.turn))
        flips = np.where(rng.random(2) < 0.5, -1.0, 1.0)
        flips = np.where([config.flip, config.flip_vertical], flips, 1.0)
        turn = np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        linear = turn * flips / scale
        extent = np.array([shape[1], shape[0]], float)
        room = np.maximum(extent / 2 - size / scale / 2, 0) + config.shift * extent / 2
        centre = extent / 2 + room * rng.uniform(-1, 1, 2)
        offset = centre - linear @ np.full(2, size / 2)
        return np.column_stack([linear, offset - 0.5 + linear.sum(1) / 2])

    def _degraded(
        self,
        picture: FloatArray,
        shape: tuple[int, ...],
        place: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> FloatArray:
        """Return a square of a picture of that shape, made worse by one recipe."""
        data, kind = self._data, self._modality
        enlarged = abs(np.linalg.det(place[:, :2])) ** -0.5
        recipe = pick_recipe(data.recipes, data, kind, rng)
        whole = round(max(shape[:2]) * enlarged)
        return degraded(
            picture, recipe, rng, kind, field_in(picture, kind), whole, data
        )

    def _warp(self, pixels: FloatArray, place: NDArray[np.float64]) -> FloatArray:
        warped = cv2.warpAffine(
            pixels,
            place,
            (self._size, self._size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return np.asarray(warped, np.float32).reshape(self._size, self._size, -1)


def _weights(
    images: list[LabelledImage], datasets: dict[str, float]
) -> NDArray[np.float64]:
    """Weigh images by data set, and the classes of a classification evenly."""
    weights = np.array([datasets.get(image.dataset, 1.0) for image in images])
    labels = np.array([-1 if image.label is None else image.label for image in images])
    for label in np.unique(labels):
        weights[labels == label] /= weights[labels == label].sum()
    return weights


def _vary(
    picture: FloatArray, config: AugmentConfig, rng: np.random.Generator
) -> FloatArray:
    """Change exposure and colour, within what cameras and lamps do."""
    brightness, contrast, gamma = rng.uniform(-1, 1, 3)
    colour = 1 + config.colour * rng.uniform(-1, 1, picture.shape[2])
    out = np.power(np.clip(picture, 0, 1), np.exp(config.gamma * gamma))
    mean = out.mean()
    out = (out - mean) * (1 + config.contrast * contrast) + mean
    out = (out + config.brightness * brightness) * colour
    return np.asarray(np.clip(out, 0, 1), np.float32)


def _to_planes(pixels: FloatArray) -> FloatArray:
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
