"""NumPy arrays: .npy files and the library's own doors. Nothing is unpickled.

What the axes mean, by their number:

* 2: (height, width)
* 3: (height, width, channels) where the last is 1, 3 or 4, else (frames, height, width)
* 4: (frames, height, width, channels), channels 1, 3 or 4

Four channels are RGB and alpha. Three axes of which the last is 2, 5, 6 or 7 long, and
the others are those of a picture, are refused: they are channels as a rule, and would
be taken for frames.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.arrays import unmasked
from medenh.errors import UnreadableError, UnsupportedError, UsageError
from medenh.formats import files
from medenh.formats.limits import Limits
from medenh.types import Geometry, Image, Modality, Storage, UnitRange

__all__ = [
    "CHANNELS_HINT",
    "ArrayHeader",
    "check_own_range",
    "from_array",
    "guess_at_channels",
    "guesses",
    "misfit",
    "read",
    "to_array",
    "write",
]

CHANNELS_HINT = (
    "give each channel alone, array[..., 0], since frames share one exposure; frames "
    "as narrow as array[..., None]"
)
"""What to do with arrays of which `guess_at_channels` is true."""

_COLOURLESS = (Modality.XRAY, Modality.CT, Modality.MRI, Modality.NUCLEAR)

_HEAD = 64 * 1024
_FEWEST = 16  # rows and columns of a picture; a last axis of less than half is channels


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """How an array stood before it became an `Image`.

    Attributes
    ----------
    axes : str
        "HW", "HWC", "NHW" or "NHWC".
    dtype : numpy dtype
        Its type, byte order included.
    """

    axes: str
    dtype: np.dtype[Any]


def from_array(
    array: NDArray[Any],
    *,
    data_range: tuple[float, float] | None = None,
    modality: Modality = Modality.UNKNOWN,
    geometry: Geometry | None = None,
) -> Image:
    """Return an array as an `Image`.

    Parameters
    ----------
    array : array
        Numbers or booleans; shape (H, W), (H, W, C), (N, H, W) or (N, H, W, C) by the
        rule at the head of this module.
    data_range : (float, float), optional
        The values that are black and white, in the array's own units. By default they
        are seen from its values: the bit depth of integers that are never negative,
        0-1 for floats that lie in it, 0-255 for whole ones up to there, else
        percentiles.
    modality : Modality
        What kind of picture it is.
    geometry : Geometry, optional
        Its spacing and place.

    Returns
    -------
    Image
        Shares the array's memory where it can. NaN is frozen.

    Raises
    ------
    UnsupportedError
        Another shape or type.
    UsageError
        A masked array (`numpy.ma`) with masked values; no range.

    Examples
    --------
    >>> import numpy as np
    >>> from_array(np.zeros((4, 5), np.uint8)).pixels.shape
    (1, 4, 5, 1)
    """
    told = None if data_range is None else intensity.told_range(data_range)
    return _image(unmasked(array), "array", told, modality, geometry)


def guesses(image: Image) -> list[str]:
    """Return warnings about what of an array is but a guess: its range, its axes."""
    found = []
    if image.unit_range.reason.startswith("percentiles"):
        found.append(
            "black and white of the array were guessed from its values: "
            "data_range=(low, high) tells them"
        )
    header = image.header
    first = isinstance(header, ArrayHeader) and header.axes == "NHW"
    if first and image.frames == 3 and image.modality not in _COLOURLESS:
        found.append(
            "the array is taken for 3 grey frames of one volume: give colours that "
            "come first as numpy.moveaxis(array, 0, -1), and such frames without this "
            "warning as array[..., None]"
        )
    return found


def check_own_range(source: object, data_range: object) -> None:
    """Pass in silence unless a range is told of what has its own: files and Images."""
    if data_range is not None and not isinstance(source, np.ndarray):
        raise UsageError(
            "data_range is for arrays: a file or an Image has a range of its own",
            hint="of an Image it is dataclasses.replace(image, unit_range=...)",
        )


def _image(
    array: NDArray[Any],
    kind: str,
    unit_range: UnitRange | None = None,
    modality: Modality = Modality.UNKNOWN,
    geometry: Geometry | None = None,
    source: Path | None = None,
) -> Image:
    axes = _axes(array.shape, array.dtype, source)
    header = ArrayHeader(axes, array.dtype)
    samples = array.astype(array.dtype.newbyteorder("="), copy=False)
    if "N" not in axes:
        samples = samples[None]
    if "C" not in axes:
        samples = samples[..., None]
    alpha = samples[..., 3] if samples.shape[3] == 4 else None
    pixels = samples[..., :3] if alpha is not None else samples
    frozen = None
    if pixels.dtype.kind == "f":
        frozen = ~np.isfinite(pixels).all(axis=-1)
        frozen = frozen if frozen.any() else None
    return Image(
        pixels=pixels,
        unit_range=unit_range or intensity.array_range(pixels),
        storage=plain_storage(pixels.dtype),
        format=kind,
        modality=modality,
        geometry=geometry or Geometry(),
        alpha=alpha,
        frozen=frozen,
        source=source,
        header=header,
    )


def plain_storage(dtype: np.dtype[Any]) -> Storage:
    """Return the storage of numbers that are their own meaning, with type limits."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        # of 64 bits the float nearest to the largest lies beyond it, and would wrap
        top = float(limits.max)
        top = top if top <= limits.max else float(np.nextafter(top, 0.0))
        return Storage(dtype, minimum=float(limits.min), maximum=top)
    if dtype.kind == "b":
        return Storage(dtype, minimum=0.0, maximum=1.0)
    return Storage(dtype)


def _axes(shape: tuple[int, ...], dtype: np.dtype[Any], source: Path | None) -> str:
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        hint = "convert it to integers, or floats of at most 64 bits, first"
        if dtype.kind == "c":
            hint = "give magnitude and phase apart"
        raise UnsupportedError(f"array of {dtype}", path=source, hint=hint)
    if 0 in shape:
        raise UnreadableError(f"array without pixels, shape {shape}", path=source)
    if guess_at_channels(shape):
        raise UnsupportedError(
            f"array of shape {shape}: {shape[2]} channels, or frames {shape[2]} wide?",
            path=source,
            hint=CHANNELS_HINT,
        )
    colour = shape[-1:] in ((1,), (3,), (4,))
    axes = {2: "HW", 3: "HWC" if colour else "NHW", 4: "NHWC" if colour else ""}
    found = axes.get(len(shape), "")
    if not found:
        hint = "give (H, W), (H, W, 3), (N, H, W) or (N, H, W, C)"
        if len(shape) == 4 and shape[1] in (1, 3, 4):
            hint = "channels come last: give numpy.moveaxis(array, 1, -1)"
        raise UnsupportedError(f"array of shape {shape}", path=source, hint=hint)
    return found


def guess_at_channels(shape: tuple[int, ...]) -> bool:
    """Tell whether the last of three axes would be frames' width, and looks like none.

    Examples
    --------
    >>> guess_at_channels((480, 640, 2)), guess_at_channels((480, 640, 3))
    (True, False)
    """
    if len(shape) != 3 or min(shape[:2]) < _FEWEST:
        return False
    return 0 < shape[2] < _FEWEST // 2 and shape[2] not in (1, 3, 4)


def to_array(image: Image) -> NDArray[Any]:
    """Return the pixels in native units, in the shape they came in.

    Images that were no arrays lose what they have one of: frames, then channels.
    """
    header = image.header if isinstance(image.header, ArrayHeader) else None
    pixels = image.pixels
    if image.alpha is not None:
        alpha = image.alpha[..., None].astype(pixels.dtype)
        if pixels.shape[-1] == 1 and header is None:
            pixels = pixels.repeat(3, axis=-1)
        pixels = np.concatenate([pixels, alpha], axis=-1)
    if header is None:
        axes = "N" * (image.frames > 1) + "HW" + "C" * (pixels.shape[-1] > 1)
        narrow = image.width in (1, 3, 4) or guess_at_channels(pixels.shape[:3])
        if axes == "NHW" and narrow:
            axes = "NHWC"  # three axes would be taken for channels
    else:
        axes = header.axes
    if "N" not in axes:
        pixels = pixels[0]
    return pixels if "C" in axes else pixels[..., 0]


def read(path: Path, *, limits: Limits) -> Image:
    """Return the picture in a .npy file; object arrays are refused."""
    shape, fortran, dtype, start = _header(path)
    size = files.regular_size(path)
    _axes(shape, dtype, path)
    count = 1
    for length in shape:
        count *= length
    colours = shape[-1] if shape[-1] in (3, 4) else 1
    limits.check(path, count // colours, count * dtype.itemsize, size)
    if start + count * dtype.itemsize > size:
        raise UnreadableError("truncated NPY: numbers are missing", path=path)
    flat = np.fromfile(path, dtype, count, offset=start)
    array = flat.reshape(shape, order="F" if fortran else "C")
    return _image(array, "npy", source=path)


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    stream = io.BytesIO(files.read_head(path, _HEAD))
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise UnsupportedError(f"NPY version {version}", path=path)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise UnreadableError("damaged NPY header", path=path) from error
    if any(not isinstance(length, int) or length < 0 for length in shape):
        raise UnreadableError("damaged NPY header", path=path)
    return shape, fortran, dtype, stream.tell()


def misfit(image: Image) -> str:
    """Return what NPY cannot say of an image, "" where nothing is lost."""
    if image.unit_range.inverted and not isinstance(image.header, ArrayHeader):
        return "NPY cannot say that larger values are darker"
    return ""


def write(image: Image, path: Path) -> None:
    """Write the pixels, in native units, as a .npy file.

    Raises
    ------
    UnsupportedError
        Larger values are darker, as in DICOM's MONOCHROME1: NPY cannot say so.
    """
    if problem := misfit(image):
        raise UnsupportedError(problem, path=path, hint="write DICOM or TIFF")
    array = to_array(image)
    if isinstance(image.header, ArrayHeader):
        array = array.astype(image.header.dtype, copy=False)
    with files.atomic_output(path) as part, part.open("wb") as stream:
        np.lib.format.write_array(
            stream, np.ascontiguousarray(array), allow_pickle=False
        )
