"""What the methods share: the guard around each of them, masks, means, noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.arrays import unmasked
from medenh.colour import lab_to_rgb, rgb_to_lab
from medenh.errors import NonFiniteError, UsageError
from medenh.types import FloatArray

__all__ = [
    "OPPONENT",
    "BoolArray",
    "field_radius",
    "filled_background",
    "fov_mask",
    "guarded",
    "guided_filter",
    "masked_gaussian",
    "noise_sigma",
    "on_lightness",
]

BoolArray = NDArray[np.bool_]

# RGB to an intensity and two opponent planes; orthonormal: white noise has the same
# strength in each
OPPONENT = np.array(
    [
        [3**-0.5, 3**-0.5, 3**-0.5],
        [2**-0.5, 0.0, -(2**-0.5)],
        [6**-0.5, -2 * 6**-0.5, 6**-0.5],
    ],
    np.float32,
)

_ROUNDING = 1e-3  # outside [0, 1] by so little is arithmetic, not another unit
_FOV_SIDE = 1024  # a field of view needs no more detail than this
_NOISE_SIDE = 2048  # nor a noise estimate more than this much of the picture
_BLUR_SIGMA = 8.0  # blurs wider than this are made on a reduced picture


def guarded(
    kernel: Callable[..., FloatArray],
    pixels: NDArray[Any],
    mask: NDArray[Any] | None,
    settings: Mapping[str, Any],
) -> FloatArray:
    """Run one method's kernel under the contract that all methods share.

    Parameters
    ----------
    kernel : callable
        ``kernel(pixels, mask, **settings)``; its mask is None where all is foreground.
    pixels : float array, shape (H, W, C), in [0, 1]
    mask : bool array, shape (H, W), or None
    settings : mapping
        All options of the method, checked.

    Returns
    -------
    float32 array, shape (H, W, C), in [0, 1]
        Background as in ``pixels``.

    Raises
    ------
    UsageError
        A shape, or a value, is not allowed.
    NonFiniteError
        The pixels hold NaN or infinity.
    """
    source = _checked_pixels(pixels)
    region = _checked_mask(mask, source)
    if region is not None and not region.any():
        return source.copy()
    if region is not None and region.all():
        region = None
    out = kernel(source, region, **settings)
    if out is source:
        return source
    out = np.asarray(out, np.float32).reshape(source.shape)
    np.clip(out, 0.0, 1.0, out=out)
    if region is not None:
        np.copyto(out, source, where=~region[..., None])
    return out


def _checked_pixels(pixels: NDArray[Any]) -> FloatArray:
    pixels = unmasked(pixels)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
        raise UsageError(
            f"pixels of shape {pixels.shape} cannot be enhanced",
            hint="(height, width, channels) with 1 or 3 channels",
        )
    if pixels.dtype.kind != "f":
        raise UsageError(
            f"pixels of type {pixels.dtype} cannot be enhanced",
            hint="floats in [0, 1]",
        )
    if not np.isfinite(pixels).all():
        raise NonFiniteError("the pixels hold NaN or infinity")
    low, high = float(pixels.min()), float(pixels.max())
    if low < -_ROUNDING or high > 1.0 + _ROUNDING:
        raise UsageError(
            f"pixels from {low:g} to {high:g} cannot be enhanced",
            hint="floats in [0, 1]",
        )
    unit = np.ascontiguousarray(pixels, np.float32)
    return unit if low >= 0.0 and high <= 1.0 else np.clip(unit, 0.0, 1.0)


def _checked_mask(mask: NDArray[Any] | None, pixels: FloatArray) -> BoolArray | None:
    if mask is None:
        return None
    mask = unmasked(mask)
    if mask.shape != pixels.shape[:2]:
        raise UsageError(
            f"the mask's shape {mask.shape} is not the picture's {pixels.shape[:2]}"
        )
    return mask.astype(bool)


def on_lightness(
    pixels: FloatArray, change: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Apply ``change`` to the lightness of a picture, keeping a* and b*.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
    change : callable
        Gets and gives a plane (H, W) in [0, 1]: L*/100 of colour, grey as it is.

    Returns
    -------
    float32 array, shape (H, W, C), in [0, 1]
    """
    if pixels.shape[2] == 1:
        return change(pixels[..., 0])[..., None]
    lab = rgb_to_lab(pixels)
    plane = np.clip(lab[..., 0] / 100.0, 0.0, 1.0)
    lab[..., 0] = 100.0 * np.clip(change(plane), 0.0, 1.0)
    return lab_to_rgb(lab)


def masked_gaussian(
    image: FloatArray, sigma: float, mask: BoolArray | None = None
) -> FloatArray:
    """Blur by a Gaussian that sees the foreground only.

    Parameters
    ----------
    image : float32 array, shape (H, W) or (H, W, C)
    sigma : float
        In px.
    mask : bool array, shape (H, W), optional

    Returns
    -------
    float32 array, same shape
        G * (x m) / (G * m): no dark halo along the mask's border. Constant
        pictures come back exactly.
    """
    height, width = image.shape[:2]
    planes = image.reshape(height, width, -1)
    first = (0, 0) if mask is None else np.unravel_index(int(mask.argmax()), mask.shape)
    offset = planes[first]
    step = max(1, int(sigma / _BLUR_SIGMA))
    centred = planes - offset
    if mask is None:
        blurred = _blur(centred, sigma, step)
    else:
        weight = mask.astype(np.float32)[..., None]
        blurred = _blur(centred * weight, sigma, step)
        blurred /= np.maximum(_blur(weight, sigma, step), 1e-6)
    blurred += offset
    return blurred.reshape(image.shape)


def _blur(planes: FloatArray, sigma: float, step: int) -> FloatArray:
    """Gaussian blur of (H, W, C), on a picture reduced by ``step``."""
    from medenh.opencv import cv2

    height, width = planes.shape[:2]
    small: NDArray[Any] = planes
    if step > 1:
        size = (max(1, -(-width // step)), max(1, -(-height // step)))
        small = cv2.resize(planes, size, interpolation=cv2.INTER_AREA)
    out = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REFLECT)
    if step > 1:
        out = cv2.resize(out, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out, np.float32).reshape(planes.shape)


def filled_background(pixels: FloatArray, mask: BoolArray | None) -> FloatArray:
    """Return the picture with its foreground carried on into the background.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C)
    mask : bool array, shape (H, W), or None
        Foreground; at least one pixel of it. None is all.

    Returns
    -------
    float32 array, same shape
        ``pixels`` itself where all is foreground. Every background pixel is a copy of
        the nearest foreground pixel (to a few per cent of the distance), as at the
        border of a picture that ends there.
    """
    if mask is None:
        return pixels
    from medenh.opencv import cv2

    background = (~mask).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(
        background, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.empty((int(labels.max()) + 1, pixels.shape[2]), np.float32)
    colours[labels[mask]] = pixels[mask]  # each of them has a label of its own
    out = pixels.copy()
    out[~mask] = colours[labels[~mask]]
    return out


def guided_filter(
    guide: NDArray[Any],
    plane: NDArray[Any],
    radius: int,
    eps: float,
    mask: BoolArray | None = None,
) -> FloatArray:
    """Smooth a plane along the edges of a guide.

    Parameters
    ----------
    guide, plane : float arrays, shape (H, W)
        Finite in the background too.
    radius : int
        Of the square windows, px: they are 2 radius + 1 a side.
    eps : float
        Variance of the guide below which it counts as flat.
    mask : bool array, shape (H, W), optional
        Windows see the foreground only.

    Returns
    -------
    float32 array, shape (H, W)
        mean(a) guide + mean(b), with a guide + b the window's least-squares fit of
        the plane. Of use in the foreground only.

    Notes
    -----
    He, Sun, Tang, IEEE TPAMI 35(6), 2013, with mirrored borders. In doubles: the
    variances are small differences of large numbers.
    """
    weight = None if mask is None else mask.astype(np.float64)
    area = None if weight is None else np.maximum(_box_mean(weight, radius), 1e-9)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        if weight is None or area is None:
            return _box_mean(values, radius)
        return _box_mean(values * weight, radius) / area

    lead, wanted = guide.astype(np.float64), plane.astype(np.float64)
    mean_lead, mean_wanted = mean(lead), mean(wanted)
    shared = mean(lead * wanted) - mean_lead * mean_wanted
    variance = np.maximum(mean(lead * lead) - mean_lead * mean_lead, 0.0)
    slope = shared / (variance + eps)
    offset = mean_wanted - slope * mean_lead
    out: FloatArray = (mean(slope) * lead + mean(offset)).astype(np.float32)
    return out


def _box_mean(plane: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Return the mean over squares of 2 radius + 1 a side, borders mirrored."""
    from medenh.opencv import cv2

    side = 2 * radius + 1
    mean = cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT)
    return np.asarray(mean, np.float64).reshape(plane.shape)


def noise_sigma(plane: NDArray[Any], mask: BoolArray | None = None) -> float:
    """Estimate the standard deviation of additive white noise.

    Parameters
    ----------
    plane : float array, shape (H, W), in [0, 1]
    mask : bool array, shape (H, W), optional
        Foreground; only its coefficients count.

    Returns
    -------
    float
        In the plane's unit. 0 for constant and for very small planes.

    Notes
    -----
    Median of the diagonal db2 details over 0.6745 (Donoho, Johnstone, Biometrika
    81(3), 1994), after zeros at the darkest, brightest and commonest value are left
    out: they are padding or clipped, not quiet places. Zeros elsewhere are, as in test
    patterns, whose edges alone would else pass for noise.
    """
    import pywt

    if min(plane.shape) < 4:
        return 0.0
    centre = tuple(
        slice(max(0, (side - _NOISE_SIDE) // 2), (side + _NOISE_SIDE) // 2 + 1)
        for side in plane.shape
    )
    crop = plane[centre]
    detail = np.abs(pywt.dwt2(crop, "db2", mode="symmetric")[1][2])
    detail[detail <= 1e-6] = 0.0  # rounding
    places = np.ix_(
        *(
            np.clip(2 * np.arange(count) - 1, 0, side - 1)
            for count, side in zip(detail.shape, crop.shape, strict=True)
        )
    )
    values = crop[places]
    kinds, counts = np.unique(values, return_counts=True)
    empty = np.isin(values, (kinds[0], kinds[-1], kinds[counts.argmax()]))
    keep = ~empty | (detail > 0)
    if mask is not None:
        keep &= mask[centre][places]
    return float(np.median(detail[keep]) / 0.6745) if keep.any() else 0.0


def fov_mask(pixels: NDArray[Any]) -> BoolArray:
    """Return where the picture is, of a picture in a dark surround.

    Parameters
    ----------
    pixels : float array, shape (H, W, C), in [0, 1]

    Returns
    -------
    bool array, shape (H, W)
        The largest bright region without its holes, a little inside its border.
        All True where there is no dark surround, or nothing but it.
    """
    from medenh.opencv import cv2

    brightest: NDArray[Any] = pixels.max(axis=2).astype(np.float32)
    height, width = brightest.shape
    scale = min(1.0, _FOV_SIDE / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        brightest = cv2.resize(brightest, size, interpolation=cv2.INTER_AREA)
    limit = max(15 / 255, 0.06 * float(np.percentile(brightest, 99)))
    bright = (brightest > limit).astype(np.uint8)
    field = _largest_filled(bright)
    if field.mean() < 0.2:
        field = bright
    if not field.any() or field.mean() > 0.98:
        return np.ones((height, width), bool)
    whole = cv2.resize(field, (width, height), interpolation=cv2.INTER_NEAREST)
    return whole.astype(bool).reshape(height, width)


def _largest_filled(bright: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Close, keep the largest region, fill it, take 0.5 % of its diameter off."""
    from medenh.opencv import cv2

    closed = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    field = np.zeros_like(bright)
    if not outlines:
        return field
    largest = max(outlines, key=cv2.contourArea)
    cv2.drawContours(field, [largest], -1, 1, thickness=cv2.FILLED)
    off = max(1, round(0.01 * field_radius(field.astype(bool))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * off + 1, 2 * off + 1))
    return np.asarray(cv2.erode(field, disc), np.uint8)


def field_radius(mask: BoolArray) -> float:
    """Return half the longer side of the mask's bounding box, px; at least 0.5."""
    extents = [np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1)]
    longest = max(int(at[-1] - at[0]) + 1 if at.size else 1 for at in extents)
    return longest / 2
