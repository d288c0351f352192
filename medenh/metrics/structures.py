"""How far thin structures with masks, nerves or vessels, stand out of their ring."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UsageError
from medenh.metrics._arrays import BoolArray, checked_mask, unit_luma
from medenh.types import FloatArray

__all__ = ["ring_cnr", "snr_ccm", "snr_ccm_legacy"]

_JPEG_QUALITY = 95  # OpenCV's own, with which the masks of the script were written


def snr_ccm(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the signal-to-noise ratio of structures: brightest over noise beside them.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C), in [0, data_range]
        Of colours only the luma counts.
    data_range : float, optional
        The value of white; the ratio does not depend on it.
    mask : bool array, shape (H, W)
        True on the structures, nerves of the cornea for example.

    Returns
    -------
    float
        20 log10(max of the structures / standard deviation of the ring), in dB. The
        ring: pixels that share an edge with a structure and are none. NaN where there
        is no ring, or nothing but black; infinite where the ring is constant.

    Raises
    ------
    UsageError
        There is no mask, it is empty or of another shape, or the image is none.
    NonFiniteError
        The image holds NaN or infinity.

    Notes
    -----
    The measure of corneal confocal microscopy in HQG-Net's released code [code], with
    its noise as the name says: of the ring alone. Its signal is one pixel: read it
    beside `ring_cnr`. `snr_ccm_legacy` is the released one.
    """
    plane, structure, ring = _regions(image, data_range, mask)
    if not ring.any():
        return float("nan")
    return _decibel(float(plane[structure].max()), float(plane[ring].std()))


def snr_ccm_legacy(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the signal-to-noise ratio as HQG-Net's released code has it.

    Parameters and errors as for `snr_ccm`. For comparison with figures of that code
    alone: most of its "noise" is how long and bright the structures are.

    Returns
    -------
    float
        In dB; NaN where the mask fills the image.

    Notes
    -----
    The mask goes through a JPEG file and is cut at 127, and the noise is the standard
    deviation of the whole image with all but the ring set to zero [code]. The quality
    of that JPEG is OpenCV's default [guessed].
    """
    plane, structure, _ = _regions(image, data_range, mask)
    structure = _through_jpeg(structure)
    ring = _ring(structure)
    if not (structure.any() and ring.any()):
        return float("nan")
    left = np.where(ring, plane, 0)
    return _decibel(float(plane[structure].max()), float(left.std()))


def ring_cnr(
    image: NDArray[Any],
    *,
    data_range: float | None = None,
    mask: NDArray[Any] | None = None,
) -> float:
    """Return the contrast of structures to the ring beside them, over its noise.

    Parameters and errors as for `snr_ccm`.

    Returns
    -------
    float
        |mean(structures) - mean(ring)| / std(ring): `medenh.metrics.cnr` of these two
        regions. NaN where there is no ring.
    """
    from medenh.metrics.appearance import cnr

    plane, structure, ring = _regions(image, data_range, mask)
    return cnr(plane, structure, ring) if ring.any() else float("nan")


def _regions(
    image: NDArray[Any], data_range: float | None, mask: NDArray[Any] | None
) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Return the luma, the structures, and the ring of pixels beside them."""
    plane = unit_luma(image, data_range)
    if mask is None:
        raise UsageError(
            "no mask of structures to measure", hint="give mask=, True on them"
        )
    structure = checked_mask(mask, plane.shape)
    if structure is None:  # all of it
        structure = np.ones(plane.shape, bool)
    return plane, structure, _ring(structure)


def _ring(structure: BoolArray) -> BoolArray:
    """Return what is within one step of a structure and is none."""
    from scipy.ndimage import binary_dilation

    # OpenCV's ellipse of 3 x 3 pixels is this cross, too
    grown: BoolArray = binary_dilation(structure)
    return grown & ~structure


def _through_jpeg(structure: BoolArray) -> BoolArray:
    from medenh.opencv import cv2

    levels = structure.astype(np.uint8) * np.uint8(255)
    _, packed = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)) > 127


def _decibel(signal: float, deviation: float) -> float:
    if signal <= 0:
        return float("nan")
    if deviation <= 1e-6 * signal:
        return float("inf")
    return float(20 * np.log10(signal / deviation))
