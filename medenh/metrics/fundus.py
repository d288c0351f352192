"""Quality of a fundus photograph: a small logistic model of what graders look for."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medenh.colour import luma
from medenh.metrics._arrays import (
    BoolArray,
    checked_image,
    checked_mask,
    checked_range,
    row_strips,
)
from medenh.metrics.appearance import plane_noise, sharpness
from medenh.types import FloatArray

__all__ = ["FEATURES", "fundus_features", "fundus_quality"]

_MODEL = Path(__file__).with_name("fundus_quality.json")
_SIDE = 384  # px: the longer side at which everything is measured
_FIELD = 0.06  # luma over the surround's, below which there is no picture
_SMALLEST = 32  # px of field, to each side

FEATURES = (
    "brightness",
    "brightness, squared",
    "uneven light",
    "dark share",
    "bright share",
    "vessels, fine",
    "vessels, middle",
    "vessels, coarse",
    "weakest quarter",
    "sharpness",
    "noise",
    "red to green",
    "blue to green",
    "colourfulness",
)


class _Model(NamedTuple):
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: float


def fundus_quality(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return how likely graders would call a fundus photograph good.

    Parameters
    ----------
    image : array, shape (H, W, 3) or (H, W), in [0, data_range]
        RGB; of grey images the colours say nothing, and the score is less sure.
    data_range : float, optional
        The value of white; without it that of the type, as for `psnr`.
    mask : bool array, shape (H, W), optional
        The field of view; found by brightness if not given.

    Returns
    -------
    float
        In [0, 1]: near 1 for good, near 0 for photographs to be rejected. NaN where
        there is no field of at least 32 px.

    Raises
    ------
    UsageError
        The shape is not that of a picture, or the mask is empty.
    NonFiniteError
        The image holds NaN or infinity.

    Notes
    -----
    [chosen] A logistic model of 14 figures of illumination, contrast of vessels at
    three scales, sharpness, noise and colour, at 384 px. Fitted by
    `scripts/fit_fundus_quality.py` on photographs graded good (1), usable (one half)
    and reject (0); `fundus_quality.json` holds the weights and how well they do on
    patients left out. It was fitted on photographs as cameras make them: an enhanced
    image that only looks more like the good ones also scores higher.
    """
    features = fundus_features(image, data_range=data_range, mask=mask)
    if not np.isfinite(features).all():
        return float("nan")
    model = _model()
    # figures far outside those of the training images say no more than the far ones
    standard = np.clip((features - model.mean) / model.deviation, -4, 4)
    return float(1 / (1 + np.exp(-(standard @ model.weights + model.offset))))


@lru_cache(maxsize=1)
def _model() -> _Model:
    """Return the fitted weights; the package's data, read once."""
    stored = json.loads(_MODEL.read_text("utf-8"))
    rows = [stored["features"][name] for name in FEATURES]
    mean, deviation, weights = np.array(
        [[row[key] for row in rows] for key in ("mean", "std", "weight")]
    )
    return _Model(mean, deviation, weights, float(stored["offset"]))


def fundus_features(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """Return the figures named in `FEATURES`; NaN where there is no field.

    Parameters and errors as for `fundus_quality`.

    Returns
    -------
    float64 array, shape (14,)
    """
    pixels, field = _standard_size(image, data_range, mask)
    rows, columns = (np.flatnonzero(field.any(axis=axis)) for axis in (1, 0))
    enlarged = max(1.0, _SIDE / max(checked_image(image).shape[:2]))
    if min(rows.size, columns.size) < _SMALLEST * enlarged:
        return np.full(len(FEATURES), np.nan)
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    pixels, field = pixels[box], field[box]
    plane = luma(pixels)
    values = (
        *_light(plane, field),
        *_vessels(pixels[..., min(1, pixels.shape[2] - 1)], field),
        sharpness(plane, data_range=1.0, mask=field),
        float(np.log(plane_noise(plane, field) + 1e-3)),
        *_colours(pixels, field),
    )
    return np.nan_to_num(np.array(values, np.float64))


def _standard_size(
    image: NDArray[Any], data_range: float | None, mask: NDArray[Any] | None
) -> tuple[FloatArray, BoolArray]:
    """Return float32 pixels in [0, 1] at the standard size, and their field of view."""
    from skimage.transform import resize

    source = checked_image(image)
    white = np.float32(checked_range(data_range, source))
    region = checked_mask(mask, source.shape)
    factor = max(1, max(source.shape[:2]) // _SIDE)
    pixels = _block_means(source, factor) / white
    scale = _SIDE / max(pixels.shape[:2])
    shape = [max(1, round(side * scale)) for side in pixels.shape[:2]]
    fitted: Any = resize
    pixels = fitted(pixels, (*shape, pixels.shape[2]), order=1, anti_aliasing=True)
    pixels = pixels.astype(np.float32)
    if region is None:
        return pixels, _field_of_view(luma(pixels))
    inside = fitted(region.astype(np.float32), shape, order=1, anti_aliasing=True)
    return pixels, np.asarray(inside >= 0.5)


def _block_means(source: NDArray[Any], factor: int) -> FloatArray:
    """Return means of blocks, float32; strip by strip."""
    height, width = (side // factor for side in source.shape[:2])
    means = np.empty((height, width, source.shape[2]), np.float32)
    for rows in row_strips((height, width * factor * factor)):
        part = source[rows.start * factor : rows.stop * factor, : width * factor]
        blocks = part.reshape(-1, factor, width, factor, source.shape[2])
        means[rows] = blocks.mean(axis=(1, 3))
    return means


def _field_of_view(plane: FloatArray) -> BoolArray:
    """Return what is brighter than the surround, small gaps closed."""
    from scipy.ndimage import binary_fill_holes, gaussian_filter

    smooth = gaussian_filter(plane, 3.0)
    dark = float(np.percentile(smooth, 1))
    found: BoolArray = binary_fill_holes(smooth > min(dark + _FIELD, 0.15))
    return found


def _light(plane: FloatArray, field: BoolArray) -> tuple[float, ...]:
    """Return brightness, its square about the middle, unevenness, and both ends."""
    values = plane[field]
    mean = float(values.mean())
    coarse = _local_mean(plane, field, 24.0)[field]
    return (
        mean,
        (mean - 0.4) ** 2,
        float(coarse.std() / max(mean, 0.02)),
        float((values < 0.12).mean()),
        float((values > 0.85).mean()),
    )


def _vessels(green: FloatArray, field: BoolArray) -> tuple[float, ...]:
    """Return contrast at three scales, and the middle one's weakest quarter."""
    from scipy.ndimage import minimum_filter

    inner = minimum_filter(field, 9)
    inner = inner if inner.any() else field
    planes = [_local_mean(green, field, sigma) for sigma in (1.0, 2.0, 4.0, 8.0, 16.0)]
    level = np.maximum(planes[-1], np.float32(0.02))
    contrasts: list[float] = []
    deep = np.zeros(0)
    for fine, coarse in zip(planes[:3], planes[2:], strict=True):
        depth = np.maximum(coarse - fine, 0) / level  # vessels are darker
        deep = np.square(depth) if len(contrasts) == 1 else deep
        contrasts.append(float(np.log(np.square(depth[inner]).mean() ** 0.5 + 1e-3)))
    # a haze or shadow over a part of the field shows there, not in the mean
    around = _local_mean(deep.astype(np.float32), inner, 24.0)[inner]
    weakest = float(np.percentile(around, 25)) ** 0.5
    return (*contrasts, float(np.log(weakest + 1e-3)))


def _colours(pixels: FloatArray, field: BoolArray) -> tuple[float, ...]:
    """Return logarithms of red and blue over green, and the spread of red to green."""
    if pixels.shape[2] == 1:
        return 0.0, 0.0, 0.0
    red, green, blue = (pixels[..., index][field] + 0.02 for index in range(3))
    ratio = np.log(red / green)
    return (
        float(np.log(red.mean() / green.mean())),
        float(np.log(blue.mean() / green.mean())),
        float(ratio.std()),
    )


def _local_mean(plane: FloatArray, field: BoolArray, sigma: float) -> FloatArray:
    """Return Gaussian means inside the field only."""
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(field.astype(np.float32), sigma, truncate=3.0)
    total = gaussian_filter(np.where(field, plane, 0), sigma, truncate=3.0)
    means: FloatArray = total / np.maximum(weight, np.float32(1e-4))
    return means
