"""Records that everything shares: an image with its meaning, its place, its units."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UnsupportedError, UsageError
from medenh.paths import kind_of

__all__ = [
    "FloatArray",
    "Geometry",
    "Image",
    "Modality",
    "Provenance",
    "Storage",
    "UnitRange",
    "on_all_volumes",
]

FloatArray = NDArray[np.float32]
Scale = float | NDArray[np.float64]


class Modality(StrEnum):
    """Kind of picture, in the words of the model cards."""

    FUNDUS = "fundus"
    XRAY = "xray"
    CT = "ct"
    MRI = "mri"
    DERMOSCOPY = "dermoscopy"
    MICROSCOPY = "microscopy"
    ENDOSCOPY = "endoscopy"
    ULTRASOUND = "ultrasound"
    NUCLEAR = "nuclear"  # PET, SPECT, planar scintigraphy
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class UnitRange:
    """The native values that become 0 and 1 for a network.

    Attributes
    ----------
    low, high : float
        Native values (HU, grey levels...) mapped to 0 and 1; low < high.
    inverted : bool
        True where larger values are darker (DICOM MONOCHROME1): low becomes 1.
    reason : str
        Why this range: "bit depth", "window", "percentiles 0.5-99.5"...
    guessed : bool
        True of a bit depth that only the largest value of the picture tells.
    """

    low: float
    high: float
    inverted: bool = False
    reason: str = ""
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Storage:
    """How native values stand in the file: stored = (native - intercept) / slope.

    Attributes
    ----------
    dtype : numpy dtype
        Type of the stored numbers.
    slope, intercept : float, or float array of shape (frames, 1, 1, 1)
        Rescale of the file (DICOM PS3.3 C.11.1, NIfTI scl_slope/scl_inter); arrays
        where frames have rescales of their own, as slices of PET do.
    minimum, maximum : float
        Smallest and largest value the file can store, in stored numbers
        (bits stored for DICOM, the type's limits else; infinite for floats).
    """

    dtype: np.dtype[Any]
    slope: Scale = 1.0
    intercept: Scale = 0.0
    minimum: float = -np.inf
    maximum: float = np.inf

    @property
    def is_plain(self) -> bool:
        """True where native values are the stored numbers."""
        return bool(np.all(self.slope == 1.0) and np.all(self.intercept == 0.0))

    def of(self, frames: slice | list[int]) -> Storage:
        """Return the storage of some of the frames, in an order that may be another."""
        slope, intercept = (
            one[frames] if isinstance(one, np.ndarray) else one
            for one in (self.slope, self.intercept)
        )
        return replace(self, slope=slope, intercept=intercept)


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Where the pixels lie.

    Attributes
    ----------
    spacing_mm : tuple of float
        Distance between neighbours along (frame, row, column), in mm; NaN if unknown.
    affine : float array, shape (4, 4), or None
        Voxel (column, row, frame) to world in mm, in the file's own convention. Of
        frames that are not evenly spaced it is true of the first.
    depth : int or None
        Frames of one volume, where several (times, echoes) follow one another.
    time_s : float
        From one volume to the next, in s, where they are times and the file tells it;
        else NaN.
    """

    spacing_mm: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    affine: NDArray[np.float64] | None = None
    depth: int | None = None
    time_s: float = np.nan


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made an output, for the formats that can say so.

    Attributes
    ----------
    model, version : str
        Model id and its version.
    weights_sha256 : str
        Hash of the weights; empty for methods without weights.
    options : str
        The settings that change pixels, in one stable line ("strength=0.5").
    verb : str
        "enhance"; "degrade", where `model` is a recipe; "change", by none of either.
    before : Provenance or None
        What had made the pixels that this step began with, where medenh knows.
    pixels_sha256 : str
        Of the pixels that were made; empty where nobody could have changed them since.
    """

    model: str
    version: str = ""
    weights_sha256: str = ""
    options: str = ""
    verb: Literal["enhance", "degrade", "change"] = "enhance"
    before: Provenance | None = None
    pixels_sha256: str = ""

    @property
    def steps(self) -> tuple[Provenance, ...]:
        """All that was done, the last first."""
        found, step = [], self.before
        while step is not None:
            found.append(step)
            step = step.before
        return (self, *found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """Pixels and what they mean.

    Compared and hashed by identity: compare ``pixels``, or what else is meant to agree.

    Attributes
    ----------
    pixels : array, shape (frames, height, width, channels)
        Native units (HU for CT, else the file's own). channels is 1 or 3 (RGB).
        The type is the file's own where no rescaling is needed, else a float.
    unit_range : UnitRange
        The native values that become 0 and 1; one for all frames.
    storage : Storage
        How the numbers stand in the file.
    format : str
        "png", "jpeg", "bmp", "tiff", "nifti", "npy", "dicom" or "array".
    modality : Modality
        What kind of picture; UNKNOWN where the file does not tell.
    units : str
        "HU" or "" (arbitrary).
    geometry : Geometry
        Spacing and orientation, where known.
    alpha : array, shape (frames, height, width), or None
        Opacity, carried along unchanged.
    frozen : bool array, shape (frames, height, width), or None
        True where pixels must keep their value (DICOM padding value, NaN voxels).
    channel_of : tuple of int, or None
        The channel of a microscope that each frame is of, where the file tells. Each
        has an exposure of its own.
    source : path or None
        Where it was read from.
    header : object
        What the format's own writer needs to write it back; opaque to all others.
    provenance : Provenance or None
        What made the pixels, where medenh made them; written along with them, see
        `history`.
    """

    pixels: NDArray[Any]
    unit_range: UnitRange
    storage: Storage
    format: str = "array"
    modality: Modality = Modality.UNKNOWN
    units: str = ""
    geometry: Geometry = field(default_factory=Geometry)
    alpha: NDArray[Any] | None = None
    frozen: NDArray[np.bool_] | None = None
    channel_of: tuple[int, ...] | None = None
    source: Path | None = None
    header: Any = None
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.pixels)
        if len(shape) != 4 or shape[3] not in (1, 3):
            raise UsageError(
                f"an Image has pixels (frames, height, width, channels), not {shape}",
                hint="1 or 3 channels; opacity is its alpha",
            )
        if not isfinite(self.unit_range.high - self.unit_range.low):
            raise UnsupportedError(
                "its values lie further apart than a float can hold",
                path=self.source,
                hint="divide them",
            )

    def __repr__(self) -> str:
        """Describe shape, type, meaning and range; never pixels or the header."""
        low, high = self.unit_range.low, self.unit_range.high
        return (
            f"<medenh.Image {self.format} {self.pixels.shape} {self.pixels.dtype}, "
            f"{self.modality}, {low:g} to {high:g} {self.units}>".replace(" >", ">")
        )

    @property
    def frames(self) -> int:
        """Number of frames, slices or pages."""
        return int(self.pixels.shape[0])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[2])

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return int(self.pixels.shape[3])

    def to_unit(self) -> FloatArray:
        """Return the pixels as float32, shape (frames, channels, H, W), in [0, 1]."""
        from medenh import intensity

        return intensity.to_unit(self.pixels, self.unit_range)

    def from_unit(self, enhanced: FloatArray) -> Image:
        """Return this image with its pixels changed by what a model changed.

        Parameters
        ----------
        enhanced : float32 array, shape (frames, channels, H, W), in [0, 1]
            A model's answer to `to_unit()`.

        Returns
        -------
        Image
            Same type, units and geometry. Values outside `unit_range`, and the
            part of a value finer than float32, are kept: only the difference to
            `to_unit()` is added, so an unchanged answer gives the same pixels.

        Raises
        ------
        UsageError
            It is no such array.
        """
        from medenh import intensity

        wanted = (self.frames, self.channels, self.height, self.width)
        if not isinstance(enhanced, np.ndarray) or enhanced.shape != wanted:
            given = f"{kind_of(enhanced)} {getattr(enhanced, 'shape', '')}".rstrip()
            raise UsageError(
                f"{given} is no answer to to_unit(), an array of shape {wanted}",
                hint="of a tensor give tensor.numpy(force=True)",
            )
        pixels = intensity.from_unit(self, enhanced)
        return replace(self, pixels=pixels)

    def made_by(self, how: Provenance, source: Image) -> Image:
        """Return this image with what made its pixels out of those of another one."""
        digest = _pixels_sha256(self.pixels)
        step = replace(how, before=source.history(), pixels_sha256=digest)
        return replace(self, provenance=step)

    def history(self) -> Provenance | None:
        """Return what made the pixels as they are now, where medenh knows.

        Where they are not those that `provenance` tells of any more, somebody else
        has changed them, and that is the last step.
        """
        known = self.provenance
        if known is None or known.pixels_sha256 in ("", _pixels_sha256(self.pixels)):
            return known
        return Provenance("", verb="change", before=known)


def on_all_volumes(planes: NDArray[Any], image: Image) -> NDArray[Any]:
    """Return a mask of one volume for each of those that follow one another.

    Parameters
    ----------
    planes : array, shape (n, H, W) or (H, W)
        A plane a slice, or one for all.
    image : Image
        Perhaps of several times or echoes of one volume, as in NIfTI of four
        dimensions.

    Returns
    -------
    array, shape (frames, H, W)
        Or as it is given, where it is not a mask of one of several volumes.
    """
    volumes, rest = divmod(image.frames, image.geometry.depth or image.frames)
    of_one = planes.ndim == 3 and len(planes) * volumes == image.frames and not rest
    return np.tile(planes, (volumes, 1, 1)) if of_one and volumes > 1 else planes


def _pixels_sha256(pixels: NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{pixels.dtype.str} {pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
