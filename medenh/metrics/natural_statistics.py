"""NIQE: how far an image's fine statistics are from those of good images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UsageError, check_word
from medenh.metrics._arrays import BoolArray, checked_mask, unit_luma
from medenh.types import FloatArray, Modality

__all__ = ["Gaussian", "fit_gaussian", "niqe", "patch_features"]

Floats = NDArray[np.float64]

_MODELS = Path(__file__).with_name("niqe.npz")
_ALL = "all"  # the model for modalities that have none of their own
_CELL = 32  # px; a patch is 2 x 2 cells, and patches overlap by one cell
_SIGMA, _RADIUS = 7 / 6, 3  # the 7 x 7 window of Mittal et al.
_DARK = 0.05  # of the brightest 1 %: darker is surround
_FOREGROUND = 0.75  # share of a patch that must not be surround
_FLAT = 0.05  # grey levels of 255; a window that varies less is padding
_SHAPES = np.arange(0.2, 10.0005, 0.001)


class Gaussian(NamedTuple):
    """Mean, shape (36,), and covariance, shape (36, 36), of patch features."""

    mean: Floats
    covariance: Floats


def niqe(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
    modality: str | None = None,
) -> float:
    """Return the distance from good images of the modality; lower is better.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C), in [0, data_range]
        Of colours only the luma counts.
    data_range : float, optional
        The value of white; without it that of the type, as for `psnr`.
    mask : bool array, shape (H, W), optional
        Only patches that lie in it whole are measured.
    modality : str, optional
        A value of `medenh.types.Modality`: whose model to compare with. The mixture of
        all for None and for "unknown", which has no model.

    Returns
    -------
    float
        At least 0. NaN where there is no patch to measure: the image or the region is
        smaller than 64 px, or shows nothing but surround.

    Raises
    ------
    UsageError
        The shape is not that of a picture, the mask is empty, or the modality is no
        known one.
    NonFiniteError
        The image holds NaN or infinity.

    Notes
    -----
    Mittal, Soundararajan, Bovik, IEEE Signal Processing Letters 20(3), 2013 [recalled]:
    36 features a patch (18 at each of two scales), a Gaussian over patches, distance of
    equation 10. Deviations [chosen]: patches of 64 px that overlap by half, for images
    of 256 to 512 px; the second scale by means of 2 x 2; patches of which more than a
    quarter is darker than 5 % of the brightest percent, or constant, are left out
    (surround, padding). The models are ours, of medical images: figures do not compare
    with those of other programs, nor of one modality with another.
    """
    if modality is not None:
        check_word("modality", modality, tuple(Modality))
    features = patch_features(image, data_range=data_range, mask=mask)
    if len(features) == 0:
        return float("nan")
    models = _models()
    model = models.get(modality or _ALL, models[_ALL])
    seen = fit_gaussian(features)
    shift = model.mean - seen.mean
    pooled = np.linalg.pinv((model.covariance + seen.covariance) / 2, hermitian=True)
    return float(np.sqrt(max(float(shift @ pooled @ shift), 0.0)))


@lru_cache(maxsize=1)
def _models() -> dict[str, Gaussian]:
    """Return the models by modality; the package's data, read once."""
    with np.load(_MODELS) as stored:
        names = [key.removesuffix("-mean") for key in stored if key.endswith("-mean")]
        return {
            name: Gaussian(
                stored[f"{name}-mean"].astype(np.float64),
                stored[f"{name}-covariance"].astype(np.float64),
            )
            for name in names
        }


def fit_gaussian(features: NDArray[Any]) -> Gaussian:
    """Return mean and covariance of features, shape (patches, 36).

    One patch has no covariance: zeros.
    """
    mean = features.mean(axis=0)
    if len(features) < 2:
        return Gaussian(mean, np.zeros((mean.size, mean.size)))
    return Gaussian(mean, np.cov(features, rowvar=False))


def patch_features(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
    sharpest: float = 0.0,
) -> Floats:
    """Return the 36 features of every patch to measure.

    Parameters
    ----------
    image, data_range, mask
        As for `niqe`.
    sharpest : float, in [0, 1)
        Leave out patches whose local deviation is below this share of the largest
        (the paper takes 0.75 to fit a model, 0 to measure).

    Returns
    -------
    float64 array, shape (patches, 36)
    """
    if not 0.0 <= sharpest < 1.0:
        raise UsageError(f"sharpest={sharpest} must be at least 0 and below 1")
    plane = unit_luma(image, data_range)
    region = checked_mask(mask, plane.shape)
    if min(plane.shape) < 2 * _CELL:
        return np.empty((0, 36))
    crop = tuple(
        slice(side % _CELL // 2, side % _CELL // 2 + side // _CELL * _CELL)
        for side in plane.shape
    )
    plane = 255 * plane[crop]
    inside = np.ones(plane.shape, bool) if region is None else region[crop]
    if not inside.any():
        return np.empty((0, 36))
    coefficients, deviation = _normalised(plane)
    keep = _patches_to_measure(plane, deviation, inside)
    strength = _patch_sums(deviation, _CELL)
    keep &= strength >= sharpest * max(strength[keep], default=0.0)
    half = _halved(plane)
    features = [
        *_scale_features(coefficients, _CELL),
        *_scale_features(_normalised(half)[0], _CELL // 2),
    ]
    return np.stack(features, axis=-1)[keep]


def _normalised(plane: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean-subtracted contrast-normalised coefficients, and local deviations."""
    from scipy.ndimage import gaussian_filter

    mean = gaussian_filter(plane, _SIGMA, radius=_RADIUS)
    difference = plane - mean
    square = gaussian_filter(plane * plane, _SIGMA, radius=_RADIUS) - mean * mean
    deviation = np.sqrt(np.maximum(square, 0))
    difference /= deviation + 1
    return difference, deviation


def _patches_to_measure(
    plane: FloatArray, deviation: FloatArray, inside: BoolArray
) -> BoolArray:
    """Return which patches lie in the region and show something."""
    dark = _DARK * float(np.percentile(plane[inside], 99))
    shown = (plane >= dark) & (deviation > _FLAT) & inside
    area = (2 * _CELL) ** 2
    whole = _patch_sums(inside, _CELL) == area
    measured: BoolArray = whole & (_patch_sums(shown, _CELL) >= _FOREGROUND * area)
    return measured


def _halved(plane: FloatArray) -> FloatArray:
    halved: FloatArray = plane[::2, ::2] + plane[1::2, ::2]
    halved += plane[::2, 1::2] + plane[1::2, 1::2]
    halved *= np.float32(0.25)
    return halved


def _patch_sums(values: NDArray[Any], cell: int) -> Floats:
    """Return sums over patches of 2 x 2 cells, a patch at every cell."""
    rows, columns = (side // cell for side in values.shape)
    blocks = values.reshape(rows, cell, columns, cell)
    cells = blocks.sum(axis=3, dtype=np.float32).sum(axis=1, dtype=np.float64)
    pairs = cells[:-1] + cells[1:]
    sums: Floats = pairs[:, :-1] + pairs[:, 1:]
    return sums


def _scale_features(coefficients: FloatArray, cell: int) -> Iterator[Floats]:
    """Yield the 18 features of a scale, each of shape (patch rows, patch columns)."""
    alpha, left, right = _patch_aggd(coefficients, cell)
    yield alpha
    yield (left + right) / 2
    padded = np.pad(coefficients, 1, mode="reflect")
    height, width = coefficients.shape
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        neighbour = padded[
            1 + down : 1 + down + height, 1 + across : 1 + across + width
        ]
        alpha, left, right = _patch_aggd(coefficients * neighbour, cell)
        yield alpha
        yield (right - left) * _gamma_ratio(2 / alpha, 1 / alpha)
        yield left
        yield right


def _patch_aggd(values: FloatArray, cell: int) -> tuple[Floats, Floats, Floats]:
    squares = values * values
    negative = values < 0
    left = np.where(negative, squares, np.float32(0))
    area = np.float64(4 * cell * cell)
    below = _patch_sums(negative, cell)
    return _aggd(
        _patch_sums(left, cell) / np.maximum(below, 1),
        _patch_sums(squares - left, cell) / np.maximum(area - below, 1),
        _patch_sums(np.abs(values), cell) / area,
        _patch_sums(squares, cell) / area,
    )


def _aggd(
    left_square: Floats, right_square: Floats, mean_abs: Floats, mean_square: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return shape and both scales of asymmetric generalised Gaussians from moments.

    Lasmar, Stitou, Berthoumieu, ICIP 2009, as in Mittal et al. 2013, equations 5-8.
    """
    left, right = np.sqrt(left_square), np.sqrt(right_square)
    # a side without values has no scale: as if it were all of the other's
    ratio = left / np.where(right > 0, right, np.maximum(left, 1e-12))
    spread = np.square(mean_abs) / np.maximum(mean_square, 1e-24)
    spread *= (ratio**3 + 1) * (ratio + 1) / np.square(np.square(ratio) + 1)
    shapes = _gamma_ratio(2 / _SHAPES, 1 / _SHAPES) * _gamma_ratio(
        2 / _SHAPES, 3 / _SHAPES
    )
    alpha = np.interp(spread, shapes, _SHAPES)
    scale = np.sqrt(_gamma_ratio(1 / alpha, 3 / alpha))
    return alpha, left * scale, right * scale


def _gamma_ratio(above: Floats, below: Floats) -> Floats:
    from scipy.special import gammaln

    ratio: Floats = np.exp(gammaln(above) - gammaln(below))
    return ratio
