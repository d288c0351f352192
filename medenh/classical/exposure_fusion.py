"""Exposure fusion: one picture from several of the same place, unlike in exposure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medenh.colour import luma
from medenh.types import FloatArray

__all__ = ["exposure_fusion"]

_MIDDLE, _WIDTH = 0.5, 0.2  # well exposed: a Gaussian around mid-grey
_FLOOR = 1e-12  # where no exposure has a weight, all have the same


def exposure_fusion(exposures: Sequence[FloatArray]) -> FloatArray:
    """Blend exposures, at every place and scale by how good each of them is there.

    Parameters
    ----------
    exposures : sequence of float32 arrays, shape (H, W, C), in [0, 1]
        Grey (C = 1) or RGB (C = 3), all of one shape.

    Returns
    -------
    float32 array, shape (H, W, C)
        Leaves [0, 1] by about a tenth at hard edges: the pyramids ring there.

    Notes
    -----
    Mertens, Kautz, Van Reeth, Computer Graphics Forum 28(1), 2009, with all three
    exponents 1: contrast (of the luma), saturation, and closeness of every channel
    to mid-grey. As OpenCV's ``MergeMertens``, but in floats, so that depth survives.
    Deviation: in exposures that are grey in all channels saturation has no part and
    one channel is weighed, so that they come out as the same picture of one channel;
    by the formula all their weights would be 0, and the fusion a plain mean.
    """
    if all(_is_grey(one) for one in exposures):
        planes = [one[..., :1] for one in exposures]
        return np.repeat(_fused(planes), exposures[0].shape[2], axis=2)
    return _fused(exposures)


def _is_grey(pixels: FloatArray) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _fused(exposures: Sequence[FloatArray]) -> FloatArray:
    weights = [_quality(one) for one in exposures]
    total = np.sum(weights, axis=0, dtype=np.float32)
    levels = min(exposures[0].shape[:2]).bit_length() - 1
    blended: list[FloatArray] = []
    for pixels, weight in zip(exposures, weights, strict=True):
        shares = _gaussian_pyramid(weight / total, levels)
        bands = _laplacian_pyramid(pixels, levels)
        for level, (band, share) in enumerate(zip(bands, shares, strict=True)):
            part = band * share
            if level == len(blended):
                blended.append(part)
            else:
                blended[level] += part
    out = blended.pop()
    while blended:
        finer = blended.pop()
        finer += _up(out, finer.shape)
        out = finer
    return out


def _quality(pixels: FloatArray) -> FloatArray:
    """Return how good an exposure is at each place, shape (H, W, 1), above 0."""
    from medenh.opencv import cv2

    grey = np.ascontiguousarray(luma(pixels))
    contrast = np.abs(cv2.Laplacian(grey, cv2.CV_32F)).reshape(grey.shape)
    off = np.square(pixels - np.float32(_MIDDLE)).sum(axis=2)
    weight: FloatArray = contrast * np.exp(off * np.float32(-0.5 / _WIDTH**2))
    if pixels.shape[2] > 1:
        weight *= pixels.std(axis=2)
    weight += np.float32(_FLOOR)
    return weight[..., None]


def _gaussian_pyramid(planes: FloatArray, levels: int) -> list[FloatArray]:
    """Return (H, W, C) and ``levels`` reductions of it, each by 2."""
    from medenh.opencv import cv2

    pyramid = [planes]
    for _ in range(levels):
        height, width, channels = pyramid[-1].shape
        half = cv2.pyrDown(pyramid[-1])
        shape = (-(-height // 2), -(-width // 2), channels)
        pyramid.append(np.asarray(half, np.float32).reshape(shape))
    return pyramid


def _laplacian_pyramid(planes: FloatArray, levels: int) -> list[FloatArray]:
    """Return what each level adds to the next coarser one, and the coarsest."""
    pyramid = _gaussian_pyramid(planes, levels)
    for level in range(levels):
        finer = pyramid[level]
        pyramid[level] = finer - _up(pyramid[level + 1], finer.shape)
    return pyramid


def _up(planes: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Enlarge a level to the shape of the next finer one."""
    from medenh.opencv import cv2

    larger = cv2.pyrUp(planes, dstsize=(shape[1], shape[0]))
    return np.asarray(larger, np.float32).reshape(shape)
