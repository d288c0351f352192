"""Parallel-beam projection, back-projection and filtered back-projection.

Lengths are in pixels: a projection is a line integral of values per pixel. The picture
is taken to lie in emptiness: the detector spans its diagonal, so corners outside the
scan circle are seen by every view and come back as clean as the rest.

Kak & Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = [
    "Kernel",
    "back_project",
    "detector_bins",
    "draw_kernel",
    "filtered_back_project",
    "project",
    "view_angles",
]

Kernel = Literal["ramp", "hann"]
_FINE = 8  # places a bin is divided into: linear interpolation becomes a look-up


def draw_kernel(rng: np.random.Generator) -> Kernel:
    """Draw a kernel: two in three are for soft tissue [C]."""
    kernels: tuple[Kernel, ...] = ("hann", "hann", "ramp")
    return kernels[int(rng.integers(3))]


def view_angles(views: int, *, first: float = 0.0) -> FloatArray:
    """Return angles in degrees, evenly spaced, the last one step before 180 more."""
    steps = np.arange(views, dtype=np.float64) * (180.0 / views)
    return (first + steps).astype(np.float32)


def detector_bins(shape: tuple[int, int]) -> int:
    """Return the odd number of bins, a pixel wide, that see all from any angle."""
    return (int(np.ceil(np.hypot(*shape))) + 2) | 1


def project(image: FloatArray, angles: FloatArray) -> FloatArray:
    """Return line integrals of a picture: its Radon transform.

    Parameters
    ----------
    image : float32 array, shape (H, W)
        Values per pixel; zero outside.
    angles : float32 array, shape (views,), degrees
        At 0 rays run along columns; angles turn as in `skimage.transform.radon`.

    Returns
    -------
    float32 array, shape (views, bins)
        Bins are one pixel apart, the middle one sees the picture's centre.

    Notes
    -----
    The picture is turned, interpolated linearly, and summed down its columns.
    """
    height, width = image.shape
    bins = detector_bins((height, width))
    middle = (bins - 1) / 2
    turned = np.empty((bins, bins), np.float32)
    out = np.empty((len(angles), bins), np.float32)
    for row, angle in zip(out, np.deg2rad(angles.astype(np.float64)), strict=True):
        turn = np.array(
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        )
        shift = [(width - 1) / 2, (height - 1) / 2] - turn @ [middle, middle]
        cv2.warpAffine(
            image,
            np.column_stack([turn, shift]),
            (bins, bins),
            dst=turned,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        cv2.reduce(turned, 0, cv2.REDUCE_SUM, dst=row[None])
    return out


def back_project(
    sinogram: FloatArray, angles: FloatArray, shape: tuple[int, int]
) -> FloatArray:
    """Smear projections back over a picture and add them up, interpolating linearly.

    Parameters
    ----------
    sinogram : float32 array, shape (views, bins)
        With ``bins = detector_bins(shape)``.
    angles : float32 array, shape (views,), degrees
    shape : tuple of int
        (H, W) of the picture.

    Returns
    -------
    float32 array, shape (H, W)
    """
    share = (np.arange(_FINE) / _FINE).astype(np.float32)
    total = np.zeros(shape, np.float32)
    smear = np.empty(shape, np.float32)
    for row, places in zip(sinogram, _places(angles, shape), strict=True):
        step = np.diff(row, append=np.float32(0.0))
        table = (row[:, None] + step[:, None] * share).ravel()
        np.take(table, places, out=smear, mode="clip")
        total += smear
    return total


def filtered_back_project(
    sinogram: FloatArray,
    angles: FloatArray,
    shape: tuple[int, int],
    *,
    kernel: Kernel = "ramp",
    arc: float = 180.0,
) -> FloatArray:
    """Reconstruct a picture from its projections.

    Parameters
    ----------
    sinogram, angles, shape
        As for `back_project`.
    kernel : str
        "ramp" keeps all frequencies; "hann" weighs them down to none at the finest, as
        soft-tissue kernels do.
    arc : float
        Degrees that the angles share evenly.

    Returns
    -------
    float32 array, shape (H, W), values per pixel

    Notes
    -----
    Kak & Slaney equations 3.21 (sum over views) and 3.29 (ramp filter, sampled in space
    so that its mean is right).
    """
    filtered = _filter_rows(sinogram, kernel)
    step = np.float32(np.deg2rad(arc) / len(angles))
    return back_project(filtered, angles, shape) * step


def _filter_rows(sinogram: FloatArray, kernel: Kernel) -> FloatArray:
    bins = sinogram.shape[1]
    length = scipy.fft.next_fast_len(2 * bins, real=True)
    spectrum = scipy.fft.rfft(sinogram, length, axis=1, workers=1)
    spectrum *= _response(length, kernel)
    rows = scipy.fft.irfft(spectrum, length, axis=1, workers=1)
    return np.ascontiguousarray(rows[:, :bins], np.float32)


def _response(length: int, kernel: Kernel) -> FloatArray:
    distance = np.minimum(np.arange(length), length - np.arange(length))
    odd = distance % 2 == 1
    taps = np.zeros(length)
    taps[odd] = -1.0 / (np.pi * distance[odd]) ** 2
    taps[0] = 0.25
    response = scipy.fft.rfft(taps, workers=1).real
    if kernel == "hann":
        response *= 0.5 + 0.5 * np.cos(2.0 * np.pi * scipy.fft.rfftfreq(length))
    return np.asarray(response, np.float32)


def _places(angles: FloatArray, shape: tuple[int, int]) -> Iterator[NDArray[np.intp]]:
    """Yield for each view where pixels fall on the detector, in parts of a bin."""
    rows, columns = (np.arange(side) - (side - 1) / 2 for side in shape)
    middle = (detector_bins(shape) - 1) / 2
    for angle in np.deg2rad(angles.astype(np.float64)):
        across = (columns * np.cos(angle) + middle) * _FINE + 0.5
        down = rows * (-np.sin(angle) * _FINE)
        along = across.astype(np.float32) + down.astype(np.float32)[:, None]
        yield along.astype(np.intp)
