"""NIfTI-1 and NIfTI-2 files and header and image pairs: to an `Image` and back.

The header is kept byte for byte; nibabel interprets it. Data are read here, so that
nothing is allocated before the header's promises are checked.

Format: NIfTI-1.1 (nifti1.h) and NIfTI-2 (nifti2.h), https://nifti.nimh.nih.gov.
"""

from __future__ import annotations

import logging
import math
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.errors import UnreadableError, UnsupportedError
from medenh.formats import nifti_data
from medenh.formats.array import plain_storage
from medenh.formats.content import find_partner
from medenh.formats.limits import Limits
from medenh.types import Geometry, Image, Modality, Storage, UnitRange

__all__ = [
    "NiftiHeader",
    "frame_axis",
    "in_units_of",
    "interpret",
    "no_picture",
    "read",
    "told_as",
    "write",
]

_CODES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4",
    1024: "i8", 1280: "u8", 128: "u1", 2304: "u1",
}  # fmt: skip
_COLOURS = {128: 3, 2304: 4}
_REFUSED = {
    1: "1-bit",
    32: "complex",
    1792: "complex",
    2048: "complex",
    1536: "128-bit",
}
_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}
_TIE = 1.001
_AIR_HU, _HIGHEST_HU = (-1150.0, -900.0), 32767.0
_MOST_BELOW_AIR, _LEAST_AIR = 0.001, 0.001  # shares of the voxels [chosen]
_MOST_AS_HIGH = 0.5  # voxels as far above 0 as air is below, for each of air [chosen]
_SAMPLE = 1_000_000  # voxels that are looked at for them
_INTENTS = {1001: "estimates", 1002: "labels", 1003: "names of regions"} | {
    1004: "matrices", 1005: "matrices", 1006: "displacements", 1007: "vectors",
    1008: "points", 1009: "triangles", 1010: "quaternions",
    # of GIFTI
    2002: "indices of nodes", 2003: "colours as vectors", 2004: "colours as vectors",
    2005: "shapes of surfaces",
    # of FSL, with names in nifti1.h: FNIRT, then TOPUP
    2006: "displacements", 2007: "coefficients", 2008: "coefficients",
    2009: "coefficients", 2016: "coefficients", 2017: "coefficients",
    2018: "a map of the field",
}  # fmt: skip
_CIFTI_INTENTS, _CIFTI = range(3000, 3100), 32  # intents, and code of the extension
_MOST_EXTENSIONS = 1000


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """What is written back with the voxels.

    Attributes
    ----------
    raw : bytes
        Header and extensions, all bytes before the data (of a pair: the .hdr file).
    order : str
        Byte order, "<" or ">".
    pair : bool
        True for separate header and image files.
    code : int
        NIfTI data type.
    shape : tuple of int
        As in the header, without colours.
    axis : int
        Voxel axis that became the frames.
    offset : int
        Place of the first voxel in its file.
    tail : bytes
        What follows the voxels.
    lead : bytes
        Of a pair: what precedes the voxels in the .img file.
    """

    raw: bytes
    order: str
    pair: bool
    code: int
    shape: tuple[int, ...]
    axis: int
    offset: int
    tail: bytes = b""
    lead: bytes = b""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers, in the file's byte order."""
        return np.dtype(self.order + _CODES[self.code])

    @property
    def colours(self) -> int:
        """Numbers for each voxel: 1, 3 (RGB) or 4 (RGBA)."""
        return _COLOURS.get(self.code, 1)

    def of_type(self, dtype: np.dtype[Any]) -> NiftiHeader:
        """Return the same header for stored numbers of another type."""
        meta = interpret(self.raw)
        meta.set_data_dtype(dtype)
        block = meta.binaryblock
        raw = block + self.raw[len(block) :]
        return replace(self, raw=raw, code=int(meta["datatype"]))

    @property
    def size(self) -> tuple[int, int, int]:
        """Frames, height and width of the pixels that belong to it."""
        width, height = (self.shape[axis] for axis in range(3) if axis != self.axis)
        return math.prod(self.shape) // (height * width), height, width


def read(path: Path, *, axis: int | None, limits: Limits) -> Image:
    """Return the volume in a NIfTI file or pair.

    Parameters
    ----------
    path : path
        A .nii or .nii.gz file, or either half of a pair.
    axis : int, optional
        Voxel axis that becomes the frames; by default the coarsest, the last of
        equals. In a frame the lower of the other two runs along the row.
    limits : Limits
        Checked on the header, before the data are read or inflated.

    Returns
    -------
    Image
        Frames run over slices, then times, then what more axes there are. Pixels
        are rescaled by scl_slope and scl_inter where these are set, whatever the
        type. NaN is frozen.

    Raises
    ------
    UnreadableError
        Damaged or truncated.
    UnsupportedError
        Complex, 1-bit or 128-bit voxels; CIFTI, whose numbers are no voxels.
    """
    head_path, data_path = _halves(path)
    raw = nifti_data.read_header(head_path, limits)
    meta = interpret(raw, head_path)
    header = _checked_header(raw, meta, axis, head_path)
    stored = _stored(header, head_path, data_path, limits)
    data, lead, tail = stored
    header = replace(header, lead=lead, tail=tail)
    return _image(header, meta, data, path)


def _halves(path: Path) -> tuple[Path, Path]:
    """Return the file with the header and the file with the data."""
    lower = path.name.lower()
    if lower.endswith((".img", ".img.gz")):
        partner = find_partner(path)
        if partner is None:
            raise UnreadableError("the .hdr file beside it is missing", path=path)
        return partner, path
    if lower.endswith((".hdr", ".hdr.gz")):
        return path, find_partner(path) or path
    return path, path


def interpret(raw: bytes, path: Path | None = None) -> Any:
    """Return nibabel's view of a header; its remarks stay off the terminal."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    kind, size = (Nifti2Header, 540) if _is_nifti2(raw) else (Nifti1Header, 348)
    try:
        view: Any = kind
        return view(raw[:size], check=False)
    except Exception as error:
        raise UnreadableError(f"damaged NIfTI header ({error})", path=path) from error


def _is_nifti2(raw: bytes) -> bool:
    return struct.pack("<i", 540) in (raw[:4], raw[3::-1])


def _is_cifti(raw: bytes, meta: Any) -> bool:
    """Tell CIFTI by its intent, or by the extension that says what its axes are."""
    if int(meta["intent_code"]) in _CIFTI_INTENTS:
        return True
    size = 540 if _is_nifti2(raw) else 348
    place = size + 4
    if not any(raw[size : size + 1]):
        return False
    for _ in range(_MOST_EXTENSIONS):
        if place + 8 > len(raw):
            break
        length, code = struct.unpack_from(f"{meta.endianness}2i", raw, place)
        if code == _CIFTI:
            return True
        if length < 8:
            break
        place += length
    return False


def _checked_header(raw: bytes, meta: Any, axis: int | None, path: Path) -> NiftiHeader:
    if _is_cifti(raw, meta):
        raise UnsupportedError(
            "CIFTI: brain surfaces and connections, no picture",
            path=path,
            hint="take the voxels out first; wb_command of Connectome Workbench does",
        )
    code = int(meta["datatype"])
    if code in _REFUSED:
        raise UnsupportedError(
            f"{_REFUSED[code]} voxels",
            path=path,
            hint="convert it to real numbers",
        )
    if code not in _CODES:
        raise UnreadableError(f"damaged NIfTI: unknown data type {code}", path=path)
    dims = [int(length) for length in meta["dim"]]
    rank = dims[0]
    if not 1 <= rank <= 7 or any(length < 1 for length in dims[1 : rank + 1]):
        raise UnreadableError(f"damaged NIfTI: dimensions {dims}", path=path)
    shape = tuple(dims[1 : rank + 1]) + (1,) * (3 - rank)
    magic = bytes(meta["magic"])[:3]
    pair = magic[1:2] == b"i"
    place = float(meta["vox_offset"])
    if not 0 <= place < 2**40:
        raise UnreadableError("damaged NIfTI: impossible data offset", path=path)
    size = 540 if _is_nifti2(raw) else 348
    offset = int(place) if pair else max(int(place), size + 4)
    chosen = _coarsest(meta, shape) if axis is None else axis
    return NiftiHeader(raw, str(meta.endianness), pair, code, shape, chosen, offset)


def _coarsest(meta: Any, shape: tuple[int, ...]) -> int:
    thin = [axis for axis in range(3) if shape[axis] == 1]
    if len(thin) == 1:  # a single picture, whatever its spacing says
        return thin[0]
    spacing = [abs(float(step)) for step in meta["pixdim"][1:4]]
    spacing = [step if math.isfinite(step) and step > 0 else 1.0 for step in spacing]
    widest = max(spacing)
    return max(axis for axis in range(3) if spacing[axis] * _TIE >= widest)


def _stored(
    header: NiftiHeader, head_path: Path, data_path: Path, limits: Limits
) -> tuple[NDArray[Any], bytes, bytes]:
    """Return the stored numbers (..., z, y, x, colours), and what lies around them."""
    voxels = math.prod(header.shape)
    count = voxels * header.colours
    dtype = header.dtype
    if header.pair and head_path == data_path:
        raise UnreadableError("the .img file beside it is missing", path=head_path)
    on_disk = data_path.stat().st_size
    limits.check(data_path, voxels, count * dtype.itemsize, on_disk)
    lead, body, tail = nifti_data.read_data(
        data_path, header.offset, count * dtype.itemsize, limits
    )
    numbers = np.frombuffer(body, dtype).astype(dtype.newbyteorder("="), copy=False)
    shape = (*header.shape[::-1], header.colours)
    return numbers.reshape(shape), lead, tail


def _image(header: NiftiHeader, meta: Any, stored: NDArray[Any], path: Path) -> Image:
    frames = _to_frames(stored, header.axis)
    alpha = frames[..., 3] if header.colours == 4 else None
    if alpha is not None:
        frames = frames[..., :3]
    pixels, storage = _rescale(frames, header, meta, path)
    frozen = None
    if pixels.dtype.kind == "f":
        frozen = ~np.isfinite(pixels).all(axis=-1)
        frozen = frozen if frozen.any() else None
    computed = header.colours == 1 and _is_ct(pixels)
    if header.colours > 1:
        unit_range = UnitRange(0.0, 255.0, reason="8-bit")
    elif computed:
        unit_range = intensity.soft_tissue_range()
    else:
        unit_range = intensity.volumes_range(pixels, header.shape[header.axis])
    return Image(
        pixels=pixels,
        unit_range=unit_range,
        storage=storage,
        format="nifti",
        modality=Modality.CT if computed else Modality.UNKNOWN,
        units="HU" if computed else "",
        geometry=_geometry(meta, header),
        alpha=alpha,
        frozen=frozen,
        source=path,
        header=header,
    )


def _to_frames(stored: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return (..., z, y, x, colours) as (frames, height, width, colours)."""
    moved = np.moveaxis(stored, -2 - axis, -4)
    return moved.reshape(-1, *moved.shape[-3:])


def _from_frames(
    frames: NDArray[Any], shape: tuple[int, ...], axis: int
) -> NDArray[Any]:
    """Undo `_to_frames`."""
    spatial = [shape[other] for other in (2, 1, 0) if other != axis]
    moved = frames.reshape(*shape[:2:-1], shape[axis], *spatial, frames.shape[-1])
    return np.moveaxis(moved, -4, -2 - axis)


def _rescale(
    frames: NDArray[Any], header: NiftiHeader, meta: Any, path: Path
) -> tuple[NDArray[Any], Storage]:
    storage = plain_storage(frames.dtype)
    slope, intercept = float(meta["scl_slope"]), float(meta["scl_inter"])
    unset = slope == 0 or not math.isfinite(slope)
    if header.colours > 1 or unset or (slope == 1 and intercept == 0):
        return frames, storage
    if not math.isfinite(intercept):
        raise UnreadableError("damaged NIfTI: scl_inter is not a number", path=path)
    short = frames.dtype.kind in "iu" and frames.dtype.itemsize <= 2
    # with these float32 tells all 2**16 numbers apart, and they can be stored again
    fine = abs(intercept) <= abs(slope) * 2**20 and 2**-100 < abs(slope) < 2**100
    native: NDArray[Any] = frames.astype(np.float32 if short and fine else np.float64)
    with np.errstate(all="ignore"):
        np.multiply(native, native.dtype.type(slope), out=native)
        np.add(native, native.dtype.type(intercept), out=native)
    return native, replace(storage, slope=slope, intercept=intercept)


def _is_ct(pixels: NDArray[Any]) -> bool:
    """Tell Hounsfield units by air, and little beyond it or bone.

    The lowest value may be padding, whatever it is. Fields and phases of MRI go as far
    up as down, and past the values of air.
    """
    numbers = pixels
    if pixels.dtype.kind == "f":  # resampled CT, with NaN where nothing was scanned
        numbers = pixels[np.isfinite(pixels)]
    if not numbers.size:
        return False
    low, high = float(numbers.min()), float(numbers.max())
    if low > _AIR_HU[1] or not 0 < high <= _HIGHEST_HU:
        return False
    lowest, highest = _AIR_HU
    step = -(-numbers.size // _SAMPLE) | 1  # odd: sides are even as a rule
    some = numbers.reshape(-1)[::step]
    below = np.count_nonzero((some < lowest) & (some != low))
    air = np.count_nonzero((some >= lowest) & (some <= highest))
    as_high = np.count_nonzero(some >= -highest)  # bone and metal, in CT
    return bool(
        below <= _MOST_BELOW_AIR * some.size
        and air >= _LEAST_AIR * some.size
        and as_high <= _MOST_AS_HIGH * air
    )


def told_as(image: Image, modality: Modality) -> Image:
    """Return an image as what the user says it shows.

    Of a NIfTI file, which only lets guess, what was taken for CT and is none gets the
    range of its values; CT whose numbers are Hounsfield units (they go below those of
    fat) gets the window of soft tissue.
    """
    is_ct = modality is Modality.CT
    if image.format != "nifti" or image.channels > 1 or is_ct == (image.units == "HU"):
        return replace(image, modality=modality)
    depth = image.geometry.depth
    unit_range, units = intensity.volumes_range(image.pixels, depth), ""
    if is_ct:
        if not intensity.may_be_hounsfield(image.pixels):
            return replace(image, modality=modality)
        unit_range, units = intensity.soft_tissue_range(), "HU"
    return replace(image, modality=modality, unit_range=unit_range, units=units)


def in_units_of(image: Image, other: Image) -> Image:
    """Return an image as Hounsfield units, or as none, as another picture of it is.

    Of a NIfTI file they are a guess by its numbers, which degradation may change.
    """
    if image.units == other.units:
        return image
    return told_as(image, Modality.CT if other.units == "HU" else other.modality)


def frame_axis(image: Image) -> int | None:
    """Return the voxel axis that a volume was cut along; None for other formats."""
    header = image.header
    return header.axis if isinstance(header, NiftiHeader) else None


def no_picture(image: Image) -> str:
    """Return what a volume holds in place of a picture, by its header; "" if none."""
    if not isinstance(image.header, NiftiHeader):
        return ""
    code = int(interpret(image.header.raw, image.source)["intent_code"])
    return "statistics" if 2 <= code <= 24 else _INTENTS.get(code, "")


def _geometry(meta: Any, header: NiftiHeader) -> Geometry:
    axis = header.axis
    columns, rows = (other for other in range(3) if other != axis)
    scale = _MM.get(int(meta["xyzt_units"]) & 7, 1.0)
    steps = [abs(float(step)) * scale for step in meta["pixdim"][1:4]]
    steps = [step if math.isfinite(step) and step > 0 else math.nan for step in steps]
    with np.errstate(all="ignore"):
        try:
            affine = np.asarray(meta.get_best_affine(), np.float64)
        except Exception:  # a header without a sound place is no reason to refuse
            affine = np.full((4, 4), np.nan)
    order = [columns, rows, axis, 3]
    placed = affine[:, order] * [scale, scale, scale, 1.0]
    placed[:3, 3] *= scale
    placed[3] = (0.0, 0.0, 0.0, 1.0)
    whole = bool(np.isfinite(placed).all())
    return Geometry(
        (steps[axis], steps[rows], steps[columns]),
        placed if whole else None,
        header.shape[axis],
        _time_step(meta, header.shape),
    )


def _time_step(meta: Any, shape: tuple[int, ...]) -> float:
    """Return the step of the fourth dimension in s; NaN where it is no time."""
    unit = _SECONDS.get(int(meta["xyzt_units"]) & 56, math.nan)
    step = unit * float(meta["pixdim"][4])
    several = len(shape) > 3 and shape[3] > 1
    return step if several and math.isfinite(step) and step > 0 else math.nan


def write(image: Image, path: Path) -> None:
    """Write a volume as NIfTI: its own header, or a new one for other sources.

    Parameters
    ----------
    image : Image
        The volume.
    path : path
        .nii, .nii.gz, or one half of a pair (.hdr, .img, with .gz or without): both
        halves are written then.
    """
    header = image.header
    if not isinstance(header, NiftiHeader):
        from medenh.formats.nifti_new import header_for

        image, header = header_for(image, path)
    frames = intensity.to_stored(image.pixels, image.storage)
    if header.colours == 1 and frames.dtype != header.dtype.newbyteorder("="):
        header = header.of_type(frames.dtype)
    if header.colours == 4 and image.alpha is not None:
        alpha = image.alpha[..., None].astype(frames.dtype)
        frames = np.concatenate([frames, alpha], axis=-1)
    stored = _from_frames(frames, header.shape, header.axis)
    body = np.ascontiguousarray(stored.astype(header.dtype, copy=False))
    nifti_data.write(header, body, path)
