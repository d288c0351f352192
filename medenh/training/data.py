"""Clean images from packs, cut and degraded on the fly, each sample from its own seed.

A pack is a folder with `manifest.csv` (file, shard, split, quality, group...) and
uncompressed tar shards. A sample depends on (seed, step, position) only, so a resumed
run sees what an undisturbed one would have seen.
"""

from __future__ import annotations

import csv
import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from medenh.degradations import dpe
from medenh.errors import UsageError
from medenh.training.config import DataConfig
from medenh.types import FloatArray

__all__ = [
    "MODALITY_OF_PACK",
    "CleanImage",
    "Sampler",
    "decode_image",
    "is_grey",
    "load_pack",
    "read_pack",
    "read_rows",
    "split_holdout",
]


class _Grouped(Protocol):
    @property
    def group(self) -> str: ...


_Image = TypeVar("_Image", bound=_Grouped)
MODALITY_OF_PACK = {
    "fundus": "fundus",
    "xray": "xray",
    "ct": "ct",
    "mri": "mri",
    "derm": "dermoscopy",
    "micro": "microscopy",
    "endo": "endoscopy",
    "us": "ultrasound",
}


@dataclass(frozen=True, slots=True)
class CleanImage:
    """One image of a pack, reduced and in memory.

    Attributes
    ----------
    name : str
        "pack/file", the seed of everything drawn for it.
    modality, split, group : str
        Group is the patient, lesion or sequence: never on both sides of a split.
    pixels : uint8 array, shape (H, W, C)
        C is 1 or 3 (RGB).
    """

    name: str
    modality: str
    split: str
    group: str
    pixels: NDArray[np.uint8]


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Return the manifest of a pack, a dictionary a row."""
    manifest = folder / "manifest.csv"
    try:
        with manifest.open(newline="", encoding="utf-8") as handle:
            return list(csv.DictReader(handle))
    except OSError as error:
        raise UsageError(f"cannot read the pack: {error}", path=manifest) from error


def read_pack(folder: Path, qualities: list[str]) -> list[dict[str, str]]:
    """Return the manifest rows of a pack that count as clean photographs."""
    return [
        row
        for row in read_rows(folder)
        if row["quality"] in qualities
        and row["split"] in ("train", "val", "test")
        and "tier=small" not in row["labels"]
    ]


def load_pack(
    folder: Path, qualities: list[str], splits: tuple[str, ...], max_side: int
) -> list[CleanImage]:
    """Read the clean images of a pack into memory.

    Parameters
    ----------
    folder : path
        Holds manifest.csv and the shards it names.
    qualities : list of str
        Values of the quality column to take.
    splits : tuple of str
        Of "train", "val", "test".
    max_side : int
        Larger images are reduced (area average) to this long side.
    """
    rows = [r for r in read_pack(folder, qualities) if r["split"] in splits]
    images = []
    for shard in sorted({row["shard"] for row in rows}):
        with tarfile.open(folder / shard) as tar:
            for row in rows:
                if row["shard"] == shard:
                    member = tar.extractfile(row["file"])
                    if member is not None:
                        images.append(_decode(member.read(), row, folder, max_side))
    return images


def _decode(
    data: bytes, row: dict[str, str], folder: Path, max_side: int
) -> CleanImage:
    pixels: NDArray[Any] = decode_image(data, row, folder)
    height, width = pixels.shape[:2]
    scale = max_side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    pixels = pixels.reshape(pixels.shape[0], pixels.shape[1], -1)  # OpenCV drops it
    if pixels.shape[2] == 3 and is_grey(pixels):
        pixels = pixels[..., :1].copy()
    modality = MODALITY_OF_PACK.get(folder.name, folder.name)
    name = f"{folder.name}/{row['file']}"
    return CleanImage(name, modality, row["split"], row["group"], pixels)


def decode_image(data: bytes, row: dict[str, str], folder: Path) -> NDArray[np.uint8]:
    """Return a pack's image as 8-bit (H, W, C), RGB or grey.

    Raises
    ------
    UsageError
        The pack holds a damaged image.
    """
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise UsageError("the pack holds a damaged image", path=folder / row["file"])
    pixels = _to_display(decoded, row)
    return pixels.reshape(pixels.shape[0], pixels.shape[1], -1)


def _to_display(pixels: NDArray[Any], row: dict[str, str]) -> NDArray[np.uint8]:
    """Return 8-bit RGB or grey; 16-bit HU + 1024 through a soft-tissue window."""
    if pixels.ndim == 3:
        return np.ascontiguousarray(pixels[..., 2::-1], np.uint8)
    if pixels.dtype == np.uint16:
        values = pixels.astype(np.float32)
        if "kernel=" in row["labels"]:
            low, high = 1024.0 - 160.0, 1024.0 + 240.0
        else:
            low, high = np.percentile(values, [0.5, 99.5])
        scaled: NDArray[Any] = (
            np.clip((values - low) / max(high - low, 1.0), 0, 1) * 255
        )
        levels: NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
        return levels
    return pixels.astype(np.uint8, copy=False)


def is_grey(pixels: NDArray[Any]) -> bool:
    """Say whether an RGB image is a grey one saved in colour (JPEG noise aside)."""
    spread = pixels.max(2).astype(int) - pixels.min(2)
    return bool(np.percentile(spread, 99) <= 2)


def split_holdout(
    images: list[_Image], share: float
) -> tuple[list[_Image], list[_Image]]:
    """Part images by a hash of their group: (train, held out for validation)."""
    train: list[_Image] = []
    held: list[_Image] = []
    for image in images:
        digest = hashlib.sha256(f"holdout/{image.group}".encode()).digest()
        chosen = int.from_bytes(digest[:4], "big") / 2**32 < share
        (held if chosen else train).append(image)
    return train, held


class Sampler:
    """Draws (degraded, clean) squares; packs are balanced by the root of their size."""

    def __init__(self, images: list[CleanImage], config: DataConfig, seed: int) -> None:
        if not images:
            raise UsageError(
                "no training images", hint="check data.packs and qualities"
            )
        self._images = images
        self._config = config
        self._seed = seed
        modalities = [image.modality for image in images]
        counts = {m: modalities.count(m) for m in set(modalities)}
        weights = np.array([counts[m] ** -0.5 for m in modalities])
        self._cumulative = np.cumsum(weights / weights.sum())

    def batch(self, step: int, size: int) -> tuple[FloatArray, FloatArray]:
        """Return one batch.

        Returns
        -------
        degraded, clean : float32 arrays, shape (size, 3, S, S), in [0, 1]
        """
        return self._stack(step, range(size), self._config.size)

    def small_batch(
        self, step: int, first: int, size: int, side: int
    ) -> tuple[FloatArray, FloatArray]:
        """Return ``size`` more samples of a step, of another side."""
        return self._stack(step, range(first, first + size), side)

    def _stack(
        self, step: int, positions: range, side: int
    ) -> tuple[FloatArray, FloatArray]:
        pairs = [self.pair(step, position, side) for position in positions]
        low, high = (np.stack(side) for side in zip(*pairs, strict=True))
        return low, high

    def pair(
        self, step: int, position: int, side: int | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return sample ``position`` of step ``step``, each (3, S, S)."""
        rng = np.random.default_rng([self._seed, step, position])
        index = int(np.searchsorted(self._cumulative, rng.random()))
        image = self._images[min(index, len(self._images) - 1)]
        clean = (
            self._cut(image.pixels, rng, side or self._config.size).astype(np.float32)
            / 255.0
        )
        parameters, quantise = self._parameters(rng)
        low = clean
        if parameters is not None:
            low = dpe.apply(clean, parameters, quantise=quantise)
            if quantise:
                low = np.rint(low * 255.0) / np.float32(255.0)
        return _to_planes(low), _to_planes(clean)

    def _cut(
        self, pixels: NDArray[np.uint8], rng: np.random.Generator, size: int
    ) -> NDArray[np.uint8]:
        """Take the whole image or a random part of it, turned and mirrored."""
        height, width = pixels.shape[:2]
        if rng.random() >= self._config.whole_share:
            area = rng.uniform(0.2, 1.0)
            aspect = np.exp(rng.uniform(-0.2, 0.2))
            h = min(height, max(16, round(height * np.sqrt(area) * aspect)))
            w = min(width, max(16, round(width * np.sqrt(area) / aspect)))
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            pixels = pixels[top : top + h, left : left + w]
        side = (size, size)
        shrinks = max(pixels.shape[:2]) > size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        cut: NDArray[Any] = cv2.resize(pixels, side, interpolation=how)
        cut = cut.reshape(*side, -1)
        turned = np.rot90(cut, int(rng.integers(4)))
        return turned[:, ::-1] if rng.integers(2) else turned

    def _parameters(
        self, rng: np.random.Generator
    ) -> tuple[dpe.DpeParameters | None, bool]:
        config = self._config
        parameters, kind = dpe.sample(rng), rng.random()
        quantise = bool(rng.random() < config.quantise_share)
        if kind < config.identity_share:
            return None, quantise
        if kind < config.identity_share + config.wide_share:
            brightness, contrast = rng.uniform(0.1, 1.1, 2)
            parameters = dpe.DpeParameters(
                float(brightness),
                float(contrast),
                parameters.brightness_first,
                parameters.sigma,
                parameters.noise_seed,
            )
        return parameters, quantise


def _to_planes(pixels: FloatArray) -> FloatArray:
    """(H, W, 1 or 3) -> (3, H, W)."""
    planes = np.moveaxis(pixels, -1, 0)
    return np.ascontiguousarray(np.broadcast_to(planes, (3, *planes.shape[1:])))
