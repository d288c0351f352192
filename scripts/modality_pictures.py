"""Pictures that `medenh.modality` is fitted and measured on: medical ones and others.

Medical pictures come from the data packs, as they are and through the recipes of
`medenh.degradations`; others are photographs, drawings and made-up pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage
from training_packs import MODALITIES, Row, manifest, stored

from medenh.degradations import RECIPES, degrade
from medenh.training.data import decode_image

__all__ = ["Picture", "degraded", "made_up", "medical", "photographs", "varied"]

SIDE = 384  # px: longer side at which pictures are kept and degraded
_ACROSS = ("ct", "mri")  # files may hold their slices any way round
_WINDOW = (-160.0, 400.0)  # HU at black, and from black to white
_HELD_BACK = 0.3  # of the photographs
# scikit-image's own pictures that are not medical, one of each pair
_SKIMAGE = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "chessboard_GRAY.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "color.png",
    "grass.png",
    "gravel.png",
    "horse.png",
    "hubble_deep_field.jpg",
    "logo.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "rocket.jpg",
    "text.png",
)


class Picture(NamedTuple):
    """A picture of a known kind.

    Attributes
    ----------
    kind : str
        Modality; "other" for all that is not medical.
    group : str
        Pictures of one group stay on one side of a split.
    source : str
        Data set, recipe, or what sort of other picture.
    pixels : uint8 array, shape (H, W, 1 or 3)
    """

    kind: str
    group: str
    source: str
    pixels: np.ndarray


def medical(packs: Path, wanted: Callable[[Row], bool]) -> Iterator[Picture]:
    """Yield pictures of all packs, reduced to `SIDE`; 16 bits through a window."""
    for folder, kind in MODALITIES.items():
        pack = packs / folder
        rows = [r for r in manifest(pack) if r["split"] != "asset" and wanted(r)]
        for row, data in stored(pack, rows):
            pixels = reduced(decode_image(data, row, pack))
            group = f"{folder}/{row['group']}"
            yield Picture(kind, group, row["source_dataset"], pixels)


def reduced(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W, C) pixels with a longer side of at most `SIDE`."""
    scale = SIDE / max(pixels.shape[:2])
    if scale < 1:
        pixels = cv2.resize(
            pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        )
    return pixels.reshape(*pixels.shape[:2], -1)


def varied(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture mirrored, turned, cropped, stretched or framed at random."""
    pixels = picture.pixels
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    if picture.kind in (*_ACROSS, "dermoscopy", "microscopy", "other"):
        quarters = 2 if picture.kind == "other" else int(rng.integers(4))
        pixels = np.rot90(pixels, quarters * int(rng.random() < 0.6))
    if rng.random() < 0.4:
        pixels = _cropped(pixels, rng, 0.7 if picture.kind in _ACROSS else 0.6)
    if rng.random() < 0.3:
        stretch = 1.2 ** rng.uniform(-1, 1)
        pixels = cv2.resize(np.ascontiguousarray(pixels), None, fx=stretch, fy=1)
        pixels = pixels.reshape(*pixels.shape[:2], -1)
    if rng.random() < 0.1:
        above, beside = (int(rng.integers(0, 60)) for _ in range(2))
        pixels = np.pad(pixels, ((above, above), (beside, beside), (0, 0)))
    return picture._replace(pixels=np.ascontiguousarray(pixels))


def _cropped(
    pixels: np.ndarray, rng: np.random.Generator, smallest: float
) -> np.ndarray:
    height, width = (
        max(24, round(side * rng.uniform(smallest, 1))) for side in pixels.shape[:2]
    )
    top, left = (
        int(rng.integers(0, max(1, whole - part + 1)))
        for whole, part in zip(pixels.shape[:2], (height, width), strict=True)
    )
    return pixels[top : top + height, left : left + width]


def degraded(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture through one recipe: half of the time one of its modality's."""
    own = [name for name, one in RECIPES.items() if picture.kind in one.modalities]
    own = [name for name in own if "thick-slice" not in name]
    common = [name for name, one in RECIPES.items() if not one.modalities]
    names = own if own and rng.random() < 0.5 else common
    name = names[int(rng.integers(len(names)))]
    pixels = picture.pixels
    hounsfield = name.startswith("ct-")
    if hounsfield:
        half = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        half = half if half.ndim == 2 else half[..., 0]
        low, width = _WINDOW
        pixels = np.rint(half / 255.0 * width + low).astype(np.int16)
    kind = "unknown" if picture.kind == "other" else picture.kind
    low_quality, _ = degrade(pixels, name, seed=int(rng.integers(2**31)), modality=kind)
    if hounsfield:
        share = (np.asarray(low_quality, np.float32) - low) / width
        low_quality = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)[..., None]
    return picture._replace(source=name, pixels=np.asarray(low_quality))


def photographs(folder: Path, *, held_back: bool) -> Iterator[Picture]:
    """Yield photographs and drawings of a folder, each scene once.

    Three of ten, by a hash of the name, and skimage's own pictures are held back.
    """
    files = [f for f in sorted(folder.rglob("*")) if f.suffix in (".jpg", ".png")]
    files = [f for f in files if not f.is_symlink()]
    seen: list[np.ndarray] = []
    for file in files:
        pixels = _decoded(file)
        if pixels is None or min(pixels.shape[:2]) < 200 or _is_known(pixels, seen):
            continue
        lot = int(hashlib.sha256(file.name.encode()).hexdigest()[:8], 16) / 2**32
        if (lot < _HELD_BACK) == held_back:
            yield Picture("other", file.name, "photograph or drawing", reduced(pixels))
    if held_back:
        for name in _SKIMAGE:
            pixels = _decoded(Path(skimage.__file__).parent / "data" / name)
            assert pixels is not None, name
            yield Picture("other", name, "picture of skimage", reduced(pixels))


def _decoded(file: Path) -> np.ndarray | None:
    pixels = cv2.imread(str(file), cv2.IMREAD_COLOR)
    return None if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _is_known(pixels: np.ndarray, seen: list[np.ndarray]) -> bool:
    """Tell whether a scene was met before, and remember it."""
    small = cv2.resize(pixels, (12, 12), interpolation=cv2.INTER_AREA).astype(float)
    small = (small - small.mean()) / (small.std() + 1)
    known = any(np.abs(small - other).mean() < 0.35 for other in seen)
    seen.append(small)
    return known


# -- made-up pictures


def made_up(rng: np.random.Generator, sorts: tuple[str, ...] | None = None) -> Picture:
    """Return a made-up picture: noise, gradients, shapes, text, screens, waves.

    Parameters
    ----------
    rng : Generator
    sorts : tuple of str, optional
        Of `SORTS`; all if not given.
    """
    names = sorts or tuple(SORTS)
    sort = names[int(rng.integers(len(names)))]
    height, width = (int(side) for side in rng.integers(96, SIDE, 2))
    drawn = SORTS[sort](rng, height, width)
    if drawn.shape[2] == 3 and rng.random() < 0.35:
        drawn = drawn.mean(axis=2, keepdims=True)
    pixels = np.rint(np.clip(drawn, 0, 1) * 255).astype(np.uint8)
    return Picture("other", f"{sort}/{rng.integers(2**31)}", sort, pixels)


def _colour(rng: np.random.Generator) -> np.ndarray:
    return rng.random(3) if rng.random() < 0.7 else np.full(3, rng.random())


def _flat(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return np.ones((height, width, 1)) * _colour(rng)


def _white_noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    channels = int(rng.choice([1, 3]))
    if rng.random() < 0.5:
        return rng.random((height, width, channels))
    spread = rng.uniform(0.05, 0.4)
    return rng.uniform(0.2, 0.8) + spread * rng.standard_normal(
        (height, width, channels)
    )


def _smooth_noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return noise of a falling spectrum, each channel its own or all the same."""
    slope = rng.uniform(0.5, 2.5)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    scale = np.hypot(rows, columns) + 1 / max(height, width)
    planes = []
    for _ in range(int(rng.choice([1, 3]))):
        noise = np.fft.rfft2(rng.standard_normal((height, width)))
        plane = np.fft.irfft2(noise / scale**slope, (height, width))
        planes.append((plane - plane.mean()) / (plane.std() + 1e-9))
    stacked = np.stack(planes, axis=2)
    return _colour(rng) + rng.uniform(0.05, 0.3) * stacked


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    angle, (first, second) = rng.uniform(0, 2 * np.pi), (_colour(rng), _colour(rng))
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    ramp = rows * np.sin(angle) + columns * np.cos(angle)
    if rng.random() < 0.4:
        ramp = np.hypot(rows - rng.uniform(-1, 1), columns - rng.uniform(-1, 1)) - 1
    share = np.clip(ramp / 2 + 0.5, 0, 1)[..., None]
    return first * share + second * (1 - share)


def _waves(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    angle, length = rng.uniform(0, np.pi), rng.uniform(4, 60)
    phase = (rows * np.sin(angle) + columns * np.cos(angle)) / length
    wave = np.sin(2 * np.pi * phase)
    if rng.random() < 0.5:
        wave = np.sign(wave)
    if rng.random() < 0.4:
        wave = wave * np.sign(np.sin(2 * np.pi * columns / length))
    share = (wave / 2 + 0.5)[..., None]
    return _colour(rng) * share + _colour(rng) * (1 - share)


def _shapes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = np.ascontiguousarray(_gradient(rng, height, width), np.float32)
    for _ in range(int(rng.integers(2, 25))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        a, b = (int(v) for v in rng.integers(5, max(8, height // 3), 2))
        colour = _colour(rng).tolist()
        if rng.random() < 0.5:
            cv2.ellipse(picture, (x, y), (a, b), rng.uniform(0, 90), 0, 360, colour, -1)
        else:
            cv2.rectangle(picture, (x, y), (x + a, y + b), colour, -1)
    return picture


def _text(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    paper, ink = (242, 26) if rng.random() < 0.7 else (26, 230)
    picture = np.full((height, width, 3), paper, np.uint8)  # OpenCV writes on bytes
    size = rng.uniform(0.25, 0.8)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz     ABCDEFG0123456789,."))
    for y in range(int(24 * size), height, int(30 * size) + 2):
        if rng.random() < 0.85:
            line = "".join(rng.choice(letters, int(rng.integers(10, 90))))
            cv2.putText(picture, line, (8, y), 0, size, [ink] * 3, 1, cv2.LINE_AA)
    return picture.astype(np.float32) / 255


def _screen(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return what looks like a screenshot: bars, panels, lines of text."""
    picture = np.full((height, width, 3), rng.uniform(0.8, 1), np.float32)
    if rng.random() < 0.4:
        picture = np.float32(1.1) - picture
    for _ in range(int(rng.integers(2, 7))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        a, b = int(rng.integers(30, width)), int(rng.integers(15, height))
        cv2.rectangle(picture, (x, y), (x + a, y + b), _colour(rng).tolist(), -1)
        part = picture[y : y + b, x : x + a]
        if min(part.shape[:2]) > 30 and rng.random() < 0.7:
            part[:] = _text(rng, *part.shape[:2])
    cv2.rectangle(picture, (0, 0), (width, 14), _colour(rng).tolist(), -1)
    return picture


def _chart(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = np.ones((height, width, 3), np.float32)
    cv2.rectangle(picture, (20, 10), (width - 10, height - 20), (0, 0, 0), 1)
    for _ in range(int(rng.integers(1, 5))):
        steps = np.cumsum(rng.standard_normal(40))
        steps = (steps - steps.min()) / (np.ptp(steps) + 1e-9)
        x = np.linspace(24, width - 14, 40)
        y = 14 + steps * (height - 40)
        points = np.rint(np.stack([x, y], axis=1)).astype(np.int32)
        cv2.polylines(picture, [points], False, _colour(rng).tolist(), 2, cv2.LINE_AA)
    return picture


def shuffled(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture cut into 36 pieces that lie in another order."""
    side = 96
    square = cv2.resize(picture.pixels, (6 * side, 6 * side)).reshape(
        6, side, 6, side, -1
    )
    pieces = square.swapaxes(1, 2).reshape(36, side, side, -1)
    pieces = pieces[rng.permutation(36)].reshape(6, 6, side, side, -1).swapaxes(1, 2)
    whole = reduced(pieces.reshape(6 * side, 6 * side, -1))
    return Picture("other", picture.group, "shuffled pieces", whole)


def in_circle(picture: Picture) -> Picture:
    """Return a picture seen through a round hole, black around it."""
    height, width = picture.pixels.shape[:2]
    hole = np.zeros((height, width), np.uint8)
    radius = round(min(height, width) * 0.49)
    cv2.circle(hole, (width // 2, height // 2), radius, 1, -1)
    return picture._replace(
        source=f"{picture.source}, in a circle", pixels=picture.pixels * hole[..., None]
    )


SORTS = {
    "flat": _flat,
    "white noise": _white_noise,
    "smooth noise": _smooth_noise,
    "gradient": _gradient,
    "waves": _waves,
    "shapes": _shapes,
    "text": _text,
    "screen": _screen,
    "chart": _chart,
}
