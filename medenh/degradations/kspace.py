"""k-space of a magnitude picture: transforms, a phase it might have had, its lines."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from medenh.types import FloatArray

__all__ = [
    "Axis",
    "ComplexArray",
    "draw_axis",
    "draw_phase",
    "smooth_phase",
    "to_image",
    "to_kspace",
]

Axis = Literal["row", "column"]
ComplexArray = NDArray[np.complex64]
_ORDERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))  # of X and Y


def to_kspace(image: FloatArray | ComplexArray) -> ComplexArray:
    """Return the centred orthonormal 2-D Fourier transform, complex64 (H, W)."""
    shifted = np.fft.ifftshift(image.astype(np.complex64, copy=False))
    return np.fft.fftshift(scipy.fft.fft2(shifted, norm="ortho", workers=1))


def to_image(kspace: ComplexArray) -> ComplexArray:
    """Undo `to_kspace`."""
    shifted = np.fft.ifftshift(kspace)
    return np.fft.fftshift(scipy.fft.ifft2(shifted, norm="ortho", workers=1))


def draw_axis(rng: np.random.Generator) -> Axis:
    """Draw the direction of phase encoding."""
    axes: tuple[Axis, Axis] = ("row", "column")
    return axes[int(rng.integers(2))]


def draw_phase(rng: np.random.Generator) -> tuple[float, ...]:
    """Draw the coefficients of a smooth phase that reaches up to a quarter turn."""
    raw = rng.uniform(-1.0, 1.0, len(_ORDERS))
    return tuple(float(c) for c in raw * (np.pi / 2) / np.abs(raw).sum())


def smooth_phase(
    coefficients: tuple[float, ...], shape: tuple[int, int]
) -> ComplexArray:
    """Return exp(i phi), complex64 (H, W), phi a polynomial of second order.

    Parameters
    ----------
    coefficients : tuple of float
        Radians, of 1, X, Y, X^2, X Y, Y^2, with X and Y in -1..1; missing ones are 0.
    shape : tuple of int

    Notes
    -----
    A magnitude picture has lost its phase. Without one its k-space has Hermitian
    symmetry, which would make half of the lines redundant [C].
    """
    y, x = (np.linspace(-1.0, 1.0, side) for side in shape)
    phase = np.zeros(shape)
    for c, (across, down) in zip(coefficients, _ORDERS, strict=False):
        phase += c * x**across * (y**down)[:, None]
    return np.asarray(np.exp(1j * phase), np.complex64)
