"""What the stored numbers mean: rescale, window, polarity, padding, kind of picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medenh import intensity
from medenh.formats.dicom.header import (
    Layout,
    functional_groups,
    integer,
    numbers,
    text,
)
from medenh.types import Modality, Storage, UnitRange

__all__ = [
    "colour_mask",
    "first_colour",
    "has_damaged_rescale",
    "is_hounsfield",
    "modality_of",
    "native_pixels",
    "padding_mask",
    "padding_range",
    "storage_of",
    "unit_range_of",
]

_CT_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
)
_BY_CLASS = {
    "1.2.840.10008.5.1.4.1.1.77.1.1": Modality.ENDOSCOPY,
    "1.2.840.10008.5.1.4.1.1.77.1.1.1": Modality.ENDOSCOPY,
    "1.2.840.10008.5.1.4.1.1.77.1.2": Modality.MICROSCOPY,
    "1.2.840.10008.5.1.4.1.1.77.1.2.1": Modality.MICROSCOPY,
    "1.2.840.10008.5.1.4.1.1.77.1.3": Modality.MICROSCOPY,
    "1.2.840.10008.5.1.4.1.1.77.1.5.1": Modality.FUNDUS,
    "1.2.840.10008.5.1.4.1.1.77.1.5.2": Modality.FUNDUS,
    "1.2.840.10008.5.1.4.1.1.77.1.5.5": Modality.FUNDUS,
    "1.2.840.10008.5.1.4.1.1.77.1.5.6": Modality.FUNDUS,
    "1.2.840.10008.5.1.4.1.1.77.1.6": Modality.MICROSCOPY,
    "1.2.840.10008.5.1.4.1.1.77.1.7": Modality.DERMOSCOPY,
}
_BY_MODALITY = {
    "CT": Modality.CT,
    "MR": Modality.MRI,
    **dict.fromkeys(
        ("CR", "DX", "MG", "DR", "RF", "RG", "XA", "PX", "IO"), Modality.XRAY
    ),
    "US": Modality.ULTRASOUND,
    "IVUS": Modality.ULTRASOUND,
    "PT": Modality.NUCLEAR,
    "NM": Modality.NUCLEAR,
    "ST": Modality.NUCLEAR,  # retired word for SPECT
    "OP": Modality.FUNDUS,
    "ES": Modality.ENDOSCOPY,
    "DMS": Modality.DERMOSCOPY,
    "SM": Modality.MICROSCOPY,
    "GM": Modality.MICROSCOPY,
}
# A window that clips more of the foreground is a stale one. Those of Hounsfield units
# are narrower than a body, but show some of it, if they are not of stored numbers.
_CLIPPED, _CLIPPED_HU = 0.5, 0.99  # [chosen]
_DIM = 0.02  # [chosen] share of a window, below which values are those of another scale
# Activity in Bq/ml passes 1e9; what lies above this would be infinite as float32, the
# width of a window and its limits too
_LARGEST = float(np.finfo(np.float32).max) / 2
_PROJECTIONS = (
    "1.2.840.10008.5.1.4.1.1.12.1",  # angiography
    "1.2.840.10008.5.1.4.1.1.12.2",  # radiofluoroscopy
    "1.2.840.10008.5.1.4.1.1.12.3",  # angiography in two planes, retired
)


def modality_of(dataset: Dataset) -> Modality:
    """Return the kind of picture, by SOP class first, then by Modality."""
    by_class = _BY_CLASS.get(text(dataset, "SOPClassUID"))
    return by_class or _BY_MODALITY.get(text(dataset, "Modality"), Modality.UNKNOWN)


def _transformations(dataset: Dataset) -> list[Dataset]:
    """Return what holds the rescale of each frame, or of all; empty if one has none."""
    keyword = "PixelValueTransformationSequence"
    items = functional_groups(dataset, keyword)
    if items:
        return items
    framed = dataset.get("PerFrameFunctionalGroupsSequence") or []
    return [] if any(item.get(keyword) for item in framed) else [dataset]


def _rescales(dataset: Dataset, frames: int) -> list[tuple[float, float]]:
    """Return slope and intercept of each frame of a file; empty if one has none."""
    if dataset.get("ModalityLUTSequence"):
        return []
    pairs = [_rescale(item) for item in _transformations(dataset)]
    if len(set(pairs)) == 1:
        pairs = pairs[:1] * frames
    found = [pair for pair in pairs if pair is not None]
    return found if len(found) == len(pairs) == frames else []


def _rescale(item: Dataset) -> tuple[float, float] | None:
    """Return slope and intercept, 1 and 0 where they are absent.

    None where they are there and no line follows: empty, no numbers, a slope of zero,
    or values too large for float32, which no quantity that is measured needs.
    """
    slope = _number(item, "RescaleSlope", 1.0)
    intercept = _number(item, "RescaleIntercept", 0.0)
    largest = abs(slope) * (1 << 16) + abs(intercept)
    good = slope != 0.0 and largest <= float(np.finfo(np.float32).max)
    return (slope, intercept) if good else None


def _number(dataset: Dataset, keyword: str, default: float) -> float:
    """Return a number: the default where it is absent, NaN where it is damaged."""
    if keyword not in dataset:
        return default
    try:
        return float(dataset[keyword].value)
    except (TypeError, ValueError):
        return np.nan


def has_damaged_rescale(datasets: Sequence[Dataset]) -> bool:
    """Tell whether a file has a slope or intercept from which no line follows."""
    return any(
        _rescale(item) is None
        for dataset in datasets
        if not dataset.get("ModalityLUTSequence")
        for item in _transformations(dataset)
    )


def storage_of(datasets: Sequence[Dataset], layout: Layout) -> tuple[Storage, bool]:
    """Return how numbers stand in the files, and whether the rescale was usable.

    Slope and intercept are arrays where they differ between frames. A lookup table,
    or a rescale that is damaged, leaves stored values.
    """
    low = -(1 << (layout.bits_stored - 1)) if layout.signed else 0
    high = low + (1 << layout.bits_stored) - 1
    if layout.samples == 3:
        return Storage(layout.dtype, 1.0, 0.0, low, high), True
    found = [_rescales(dataset, layout.frames) for dataset in datasets]
    if not all(found):
        return Storage(layout.dtype, 1.0, 0.0, low, high), False
    pairs = [pair for of_file in found for pair in of_file]
    if len(set(pairs)) == 1:
        return Storage(layout.dtype, *pairs[0], low, high), True
    slope, intercept = np.array(pairs).T.reshape(2, -1, 1, 1, 1)
    return Storage(layout.dtype, slope, intercept, low, high), True


def native_pixels(stored: NDArray[Any], storage: Storage) -> NDArray[Any]:
    """Return stored numbers after the rescale, in a type that loses none of them."""
    if storage.is_plain:
        return stored
    slope, intercept = np.asarray(storage.slope), np.asarray(storage.intercept)
    whole = (
        np.all(intercept == np.rint(intercept)) and np.abs(intercept).max() < 1 << 30
    )
    if np.all(slope == 1.0) and whole:
        low = storage.minimum + intercept.min()
        high = storage.maximum + intercept.max()
        fits = low >= -(1 << 15) and high < 1 << 15
        kind = np.dtype(np.int16 if fits else np.int32)
        whole_numbers = stored.astype(np.int32)
        whole_numbers += intercept.astype(np.int32)
        return whole_numbers.astype(kind, copy=False)
    wide: NDArray[np.float64] = stored * slope
    wide += intercept
    # float32 holds 16-bit steps unless a huge offset eats its digits, or they are
    # smaller than it can tell from nothing
    exact = np.all(np.abs(intercept) < 64.0 * np.abs(slope) * 65536.0)
    exact &= np.all(np.abs(slope) >= np.finfo(np.float32).tiny)
    return wide.astype(np.float32) if exact else wide


def is_hounsfield(datasets: Sequence[Dataset], *, rescaled: bool) -> bool:
    """Tell whether values are Hounsfield units: CT whose rescale says no other."""
    if not rescaled:
        return False
    for dataset in datasets:
        if text(dataset, "SOPClassUID") not in _CT_CLASSES:
            return False
        items = functional_groups(dataset, "PixelValueTransformationSequence")
        for item in items or [dataset]:
            if "RescaleSlope" not in item:
                return False
            if text(item, "RescaleType") not in ("", "HU"):
                return False
    return True


def padding_mask(
    stored: NDArray[Any], owner: Sequence[Dataset], layout: Layout
) -> NDArray[np.bool_] | None:
    """Return where grey frames hold padding; owner is the data set of each frame."""
    if layout.samples == 3:
        return None
    mask = np.zeros(stored.shape[:3], bool)
    for index, dataset in enumerate(owner):
        if found := padding_range(dataset, layout.dtype):
            frame = stored[index, :, :, 0]
            mask[index] = (frame >= found[0]) & (frame <= found[1])
    return mask if mask.any() else None


def padding_range(dataset: Dataset, dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """Return the least and the largest stored value that are padding, or None.

    Parameters
    ----------
    dataset : Dataset
    dtype : numpy dtype
        Type of the stored values.

    Notes
    -----
    PS3.3 C.7.5.1.1.2.
    """
    value = _wrapped(integer(dataset, "PixelPaddingValue", None), dtype)
    if value is None:
        return None
    limit = _wrapped(integer(dataset, "PixelPaddingRangeLimit", value), dtype)
    limit = value if limit is None else limit
    return min(value, limit), max(value, limit)


def _wrapped(value: int | None, dtype: np.dtype[Any]) -> int | None:
    """Return a number as the pixels' type sees it; files mix up the sign."""
    if value is None or not -(1 << 16) < value < 1 << 16:
        return None
    return int(np.array(value).astype(dtype))


def first_colour(dataset: Dataset, dtype: np.dtype[Any]) -> int | None:
    """Return the least stored value that stands for a colour among grey ones.

    Parameters
    ----------
    dataset : Dataset
    dtype : numpy dtype
        Type of the stored values.

    Returns
    -------
    int or None
        It and all above it are places in a supplemental palette (PS3.3 C.7.6.19), as
        maps of blood flow are shown. None where the file has no such palette.
    """
    if text(dataset, "PixelPresentation") not in ("COLOR", "MIXED"):
        return None
    if not text(dataset, "PhotometricInterpretation").startswith("MONOCHROME"):
        return None
    found = numbers(dataset, "RedPaletteColorLookupTableDescriptor", 3)
    return None if found is None else _wrapped(int(found[1]), dtype)


def colour_mask(
    stored: NDArray[Any], owner: Sequence[Dataset]
) -> NDArray[np.bool_] | None:
    """Return where grey frames hold what stands for colours: see `first_colour`.

    Owner is the data set of each frame.
    """
    mask = np.zeros(stored.shape[:3], bool)
    for index, dataset in enumerate(owner):
        first = first_colour(dataset, stored.dtype)
        if first is not None:
            mask[index] = stored[index, :, :, 0] >= first
    return mask if mask.any() else None


def unit_range_of(
    pixels: NDArray[Any],
    datasets: Sequence[Dataset],
    layout: Layout,
    *,
    storage: Storage,
    rescaled: bool,
    frozen: NDArray[np.bool_] | None,
    depth: int | None = None,
) -> tuple[UnitRange, str]:
    """Return the native values that become 0 and 1, and why not those of the window.

    The file's first window or lookup table where it makes sense, else soft tissue for
    CT in HU, the bit depth for 8-bit and colour pictures, and percentiles for the rest:
    of several volumes, each of ``depth`` frames, the widest.
    Windows that differ between frames are each made for one frame, by MR scanners and
    with rescales of their own: such windows are not used, but for Hounsfield units,
    which mean the same in every frame.

    The second is empty but where a window of Hounsfield units shows next to nothing:
    whoever set it sees other values enhanced.
    """
    inverted = layout.photometric == "MONOCHROME1"
    if layout.samples == 3:
        return UnitRange(0.0, 2.0**layout.bits_stored - 1.0, False, "bit depth"), ""
    hounsfield = is_hounsfield(datasets, rescaled=rescaled)
    windows = [window for dataset in datasets for window in _windows(dataset)]
    own_scale = isinstance(storage.slope, np.ndarray)
    own = len(set(windows)) > 1 and (own_scale or not hounsfield)
    chosen = None
    if (rescaled or _shown_as_stored(datasets)) and not own:
        chosen = windows[0] or _voi_table(datasets[0])
    if chosen is not None:
        body = pixels if frozen is None else pixels[~frozen]
        most = _CLIPPED_HU if hounsfield else _CLIPPED
        if _clipped(body, chosen[:2]) <= most and not _of_stored(
            body, chosen[:2], storage
        ):
            return UnitRange(chosen[0], chosen[1], inverted, chosen[2]), ""
    if hounsfield:
        found = intensity.soft_tissue_range(inverted=inverted)
        return found, _unused(chosen, found)
    if layout.bits_stored == 8 and not layout.signed and pixels.dtype == np.uint8:
        return UnitRange(0.0, 255.0, inverted, "bit depth"), ""
    found = intensity.volumes_range(pixels, depth, frozen=frozen, inverted=inverted)
    return found, ""


def _shown_as_stored(datasets: Sequence[Dataset]) -> bool:
    """Tell whether windows are for the stored numbers, behind a lookup table too.

    PS3.3 C.8.7.1.1.2: that of projections whose values are logarithms, or for display,
    leads back to X-ray intensity, and no viewer applies it.
    """
    return all(
        text(dataset, "SOPClassUID") in _PROJECTIONS
        and text(dataset, "PixelIntensityRelationship") in ("LOG", "DISP")
        and bool(dataset.get("ModalityLUTSequence"))
        for dataset in datasets
    )


def _of_stored(
    body: NDArray[Any], limits: tuple[float, float], storage: Storage
) -> bool:
    """Tell whether a window is one of stored numbers that a rescale made far smaller.

    PET is written so, above all of standardised uptake values: all it shows is black.
    """
    if storage.is_plain or body.size == 0:
        return False
    shown = (float(body.max()) - float(body.min())) / (limits[1] - limits[0])
    stored = shown / float(np.abs(storage.slope).min())
    return shown < _DIM <= stored <= 1.0 / _DIM


def _unused(window: tuple[float, float, str] | None, taken: UnitRange) -> str:
    """Return that a window of Hounsfield units is not used; "" where there is none."""
    if window is None or np.allclose(window[:2], (taken.low, taken.high), atol=1.0):
        return ""
    low, high, kind = window
    return (
        f"its {kind} of {low:g} to {high:g} HU shows less than 1 % of what is in it "
        f"(it may be in stored numbers): {taken.low:g} to {taken.high:g} HU are used"
    )


def _windows(dataset: Dataset) -> list[tuple[float, float, str] | None]:
    """Return the first window of a file, or of each of its frames."""
    items = functional_groups(dataset, "FrameVOILUTSequence")
    return [_window(item) for item in items or [dataset]]


def _window(item: Dataset) -> tuple[float, float, str] | None:
    """Return the limits of the first window, PS3.3 C.11.2.1.2."""
    centre = _first(item.get("WindowCenter"))
    width = _first(item.get("WindowWidth"))
    if centre is None or width is None:
        return None
    if text(item, "VOILUTFunction") in ("", "LINEAR"):
        centre, width = centre - 0.5, width - 1.0
    low, high = centre - width / 2, centre + width / 2
    return (low, high, "window") if low < high else None


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    one = (
        value[0]
        if isinstance(value, Sequence) and not isinstance(value, str)
        else value
    )
    try:
        found = float(one)
    except (TypeError, ValueError):
        return None
    return found if abs(found) < _LARGEST else None


def _voi_table(dataset: Dataset) -> tuple[float, float, str] | None:
    """Return the input range of the first VOI lookup table."""
    tables = dataset.get("VOILUTSequence")
    descriptor = tables[0].get("LUTDescriptor") if tables else None
    if descriptor is None or len(descriptor) != 3:
        return None
    count, first = int(descriptor[0]) or 1 << 16, int(descriptor[1])
    return (float(first), float(first + count - 1), "VOI LUT") if count > 1 else None


def _clipped(body: NDArray[Any], limits: tuple[float, float]) -> float:
    """Return the share of the foreground that a window makes black or white."""
    flat = body.reshape(-1)[:: max(1, body.size // 1_000_000)]
    if flat.size == 0:
        return 0.0
    front = flat[flat > flat.min()]
    if front.size == 0:
        return 0.0
    return float(np.mean((front < limits[0]) | (front > limits[1])))
