"""Which module writes which format, and what becomes of pixels on the way.

A format that can hold native numbers gets them. PNG, JPEG and BMP hold grey levels of 8
and 16 bits: integers that fit keep their values, and other numbers, and those of DICOM
and NIfTI, go through the unit range, which fixes black and white. Booleans become 0 and
255 there and in TIFF.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medenh.errors import OutputError, UnsupportedError, UsageError, check_word, counted
from medenh.formats import EXTENSIONS, PROFILES
from medenh.formats.content import find_partner
from medenh.formats.viewing import Viewing, viewing_of

if TYPE_CHECKING:
    import numpy as np

    from medenh.types import Image, Provenance

__all__ = [
    "check_deidentifiable",
    "kind_for",
    "lost_meaning",
    "lost_numbers",
    "unsized",
    "write",
]

_RASTERS = ("png", "jpeg", "bmp")
_PLACED = ("dicom", "nifti")  # they say where each pixel lies


def write(
    image: Image,
    paths: Sequence[Path],
    *,
    format: str | None,
    like: Image | Sequence[Path] | None = None,
    provenance: Provenance | None = None,
    deidentify: str | None = None,
) -> None:
    """Write an image: see `medenh.formats.write`. What is lost is not warned about."""
    if not paths:
        raise UsageError("no output path")
    if any(_is_input(image, path) for path in paths):
        raise OutputError("is the input itself", path=image.source)
    if like is not None:
        from medenh.formats.like import placed_like

        write(
            placed_like(image, like),
            paths,
            format=format,
            provenance=provenance,
            deidentify=deidentify,
        )
        return
    if deidentify is not None:
        check_deidentifiable(image.format, image.source, deidentify)
    kind = format or kind_for(image, paths[0])
    if kind not in EXTENSIONS:
        raise UsageError(f"unknown format {kind!r}", hint=f"one of {_known()}")
    _check_size(image, kind)
    if kind == "dicom":
        from medenh.formats import dicom

        dicom.write(
            image,
            paths,
            provenance=provenance,
            deidentified=deidentify is not None,
        )
    elif len(paths) == 1:
        _write_one(image, paths[0], kind, provenance)
    elif kind not in _RASTERS or len(paths) != image.frames:
        raise UsageError(
            f"{len(paths)} outputs for {counted(image.frames, 'frame')} as {kind}",
            hint="give one output",
        )
    else:
        kept = _type_that_keeps(image, kind)
        for index, path in enumerate(paths):
            _write_raster(_frame(image, index), path, kind, kept, provenance)


def lost_meaning(
    image: Image, paths: Sequence[Path], *, format: str | None, placed: bool = False
) -> list[str]:
    """Return what `write` gets wrong of a picture: see `readers.lost_meaning`.

    ``placed`` says that its pixels went into another picture, which tells of numbers.
    """
    from medenh.formats import readers

    kind = format or kind_for(image, paths[0])
    lost = readers.lost_meaning(image, kind)
    if (
        kind == "nifti"
        and image.format in _PLACED
        and isinstance(image.header, Viewing)
    ):
        lost.append("was resized: its place (the affine) is lost, only spacing is kept")
    if not placed:
        lost += lost_numbers(image, kind) + _rescaled(image, kind)
        lost += unsized(image, kind)
    return lost


def check_deidentifiable(format: str, source: Path | None, profile: str) -> None:
    """Pass in silence if an image can be written without what names its patient.

    Written in another format, an image that was read from DICOM takes nothing of its
    header along but geometry, units and colour profile.

    Raises
    ------
    UsageError
        Unknown profile.
    UnsupportedError
        The image was not read from DICOM: nobody knows what its header tells.
    """
    check_word("profile", profile, PROFILES)
    if format != "dicom":
        raise UnsupportedError(
            "is not DICOM, and only DICOM headers can be de-identified",
            path=source,
            hint="give such files without --deidentify (deidentify=... in Python)",
        )


def _check_size(image: Image, kind: str) -> None:
    """Pass in silence if the pixels are as many as the header that goes with them says.

    Resizing and cropping move pixels, and spacing and place in the header would no
    longer hold. Headers that tell neither have no size.
    """
    held = getattr(image.header, "size", None)
    found = (image.frames, image.height, image.width)
    if kind in _PLACED and held is not None and found != held:
        raise UsageError(
            f"pixels of {found} do not fit the header's {held} (frames, height, "
            "width): its spacing and place would be wrong",
            path=image.source,
            hint="write PNG, TIFF or npy; or, as NIfTI, dataclasses.replace(image, "
            "header=None, geometry=...)",
        )


def _write_one(
    image: Image, path: Path, kind: str, provenance: Provenance | None
) -> None:
    if kind in _RASTERS:
        kept = _type_that_keeps(image, kind)
        _write_raster(image, path, kind, kept, provenance)
    elif kind == "tiff":
        from medenh.formats import tiff_writer

        boolean = image.pixels.dtype.kind == "b"
        tiff_writer.write(_as_grey_levels(image, kind) if boolean else image, path)
    elif kind == "nifti":
        from medenh.formats import nifti

        nifti.write(image, path)
    else:
        from medenh.formats import array

        array.write(image, path)


def _write_raster(
    image: Image,
    path: Path,
    kind: str,
    kept: np.dtype[Any] | None,
    provenance: Provenance | None,
) -> None:
    from medenh.formats import opacity, raster

    if kept is None:
        image = _as_grey_levels(image, kind)
    elif kept != image.pixels.dtype:
        image = replace(
            image,
            pixels=image.pixels.astype(kept),
            alpha=opacity.as_type(image, kept),
            header=viewing_of(image),
        )
    raster.write(image, path, kind, provenance=provenance)


def _type_that_keeps(image: Image, kind: str) -> np.dtype[Any] | None:
    """Return the type in which a picture format keeps an image's values, if any.

    Integers are kept in the type of its bit depth where they fit into it.
    """
    import numpy as np

    dtype, limits = image.pixels.dtype, image.unit_range
    if dtype.kind not in "iu" or image.format in _PLACED or limits.inverted:
        return None
    both: list[np.dtype[Any]] = [np.dtype(np.uint8), np.dtype(np.uint16)]
    types = both if kind == "png" else both[:1]
    if dtype.itemsize <= 2 and dtype.kind == "u":
        return dtype if dtype in types else None
    lowest, highest = image.pixels.min(), image.pixels.max()
    if not limits.reason.startswith("percentiles"):
        highest = max(highest, limits.high)
    if lowest < 0:
        return None
    return next((one for one in types if highest <= np.iinfo(one).max), None)


def lost_numbers(image: Image, kind: str) -> list[str]:
    """Return warnings where pixels mean something else in a picture format."""
    import numpy as np

    if kind not in _RASTERS:
        return []
    found = []
    if image.pixels.dtype.kind == "f" and image.frozen is not None:
        count = int(np.count_nonzero(image.frozen))
        found.append(
            "pixels that are no finite numbers become black or white in "
            f"{kind.upper()}: {count}"
        )
    return found


def unsized(image: Image, kind: str) -> list[str]:
    """Return a warning where NIfTI gets pixels of unknown size; else nothing.

    Slices of a DICOM series are told of as what lost their place: `lost_meaning`.
    """
    frame, *sizes = image.geometry.spacing_mm
    if kind != "nifti" or image.format == "nifti" or all(size > 0 for size in sizes):
        return []
    if image.format == "dicom" and image.frames > 1 and frame > 0:
        return []
    return [
        "nothing tells the size of its pixels: NIfTI gets 1, without a unit, and other "
        "programs may take that for 1 mm"
    ]


def _rescaled(image: Image, kind: str) -> list[str]:
    """Return a warning where numbers become levels that their type does not tell."""
    limits, dtype = image.unit_range, image.pixels.dtype
    if kind not in _RASTERS or image.format in _PLACED or limits.inverted:
        return []
    if dtype.kind in "iu":
        told = _type_that_keeps(image, kind) is not None
        told |= (limits.low, limits.high) == (0.0, 255.0)
    else:
        told = not limits.reason.startswith("percentiles")
    if told:
        return []
    return [
        f"its numbers become levels of {kind.upper()}, {limits.low:g} black and "
        f"{limits.high:g} white: TIFF, NIfTI and npy keep them"
    ]


def _as_grey_levels(image: Image, kind: str) -> Image:
    """Return pixels of 8 or 16 bits that look as the image should."""
    import numpy as np

    from medenh.formats import opacity
    from medenh.formats.array import plain_storage

    dtype = image.pixels.dtype
    wide = kind == "png" and dtype not in (np.uint8, np.bool_)
    target = np.dtype(np.uint16 if wide else np.uint8)
    top = 65535.0 if wide else 255.0
    unit = np.moveaxis(image.to_unit(), 1, -1)
    levels = np.rint(unit * np.float32(top)).astype(target)
    return replace(
        image,
        pixels=levels,
        alpha=opacity.as_type(image, target),
        storage=plain_storage(target),
        header=viewing_of(image),
    )


def _frame(image: Image, index: int) -> Image:
    part = slice(index, index + 1)
    alpha = None if image.alpha is None else image.alpha[part]
    return replace(
        image,
        pixels=image.pixels[part],
        alpha=alpha,
        frozen=None,
        header=viewing_of(image, index),
    )


def kind_for(image: Image, path: Path) -> str:
    """Return the format that an image gets under a name.

    Raises
    ------
    UsageError
        The name tells none, and the image has none of its own.
    """
    name = path.name.lower()
    fitting = [kind for kind, endings in EXTENSIONS.items() if name.endswith(endings)]
    if image.format in fitting or ("." not in name and image.format in EXTENSIONS):
        return image.format
    if fitting:
        return fitting[0]
    if image.format == "dicom" and path.suffix[1:].isdigit():
        return "dicom"  # instance UIDs are common as names
    raise UsageError(
        f"no format has the extension {path.suffix!r}",
        path=path,
        hint=f"use one of {_known()}",
    )


def _known() -> str:
    return ", ".join(EXTENSIONS)


def _is_input(image: Image, path: Path) -> bool:
    if image.source is None or not path.exists():
        return False
    halves = (image.source, find_partner(image.source))
    try:
        return any(half is not None and half.samefile(path) for half in halves)
    except OSError:
        return False
