"""Which module writes which format, and what becomes of pixels on the way.

A format that can hold native numbers gets them. PNG, JPEG and BMP hold grey levels:
for them other numbers go through the unit range, which fixes black and white. Booleans
become 0 and 255 there and in TIFF.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medenh.errors import OutputError, UnsupportedError, UsageError
from medenh.formats import EXTENSIONS, PROFILES
from medenh.formats.content import find_partner
from medenh.formats.viewing import Viewing, viewing_of

if TYPE_CHECKING:
    from medenh.types import Image, Provenance

__all__ = ["check_deidentifiable", "kind_for", "lost_meaning", "write"]

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
            f"{len(paths)} outputs for {image.frames} frames as {kind}",
            hint="give one output",
        )
    else:
        for index, path in enumerate(paths):
            _write_one(_frame(image, index), path, kind, provenance)


def lost_meaning(
    image: Image, paths: Sequence[Path], *, format: str | None
) -> list[str]:
    """Return what `write` gets wrong of a picture: see `dicom.lost_meaning`."""
    from medenh.formats import dicom

    kind = format or kind_for(image, paths[0])
    lost = dicom.lost_meaning(image, kind)
    if (
        kind == "nifti"
        and image.format in _PLACED
        and isinstance(image.header, Viewing)
    ):
        lost.append("was resized: its place (the affine) is lost, only spacing is kept")
    return lost


def check_deidentifiable(format: str, source: Path | None, profile: str) -> None:
    """Pass in silence if an image can be written without what names its patient.

    Written in another format, an image that was read from DICOM takes nothing of its
    header along but geometry and units.

    Raises
    ------
    UsageError
        Unknown profile.
    UnsupportedError
        The image was not read from DICOM: nobody knows what its header tells.
    """
    if profile not in PROFILES:
        raise UsageError(
            f"unknown profile {profile!r}", hint=f"one of {', '.join(PROFILES)}"
        )
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
            f"pixels of {found} for a header of {held} (frames, height, width): its "
            "spacing and place are not theirs",
            path=image.source,
            hint="write PNG, TIFF or npy; or, as NIfTI, dataclasses.replace(image, "
            "header=None, geometry=...)",
        )


def _write_one(
    image: Image, path: Path, kind: str, provenance: Provenance | None
) -> None:
    if kind in _RASTERS:
        from medenh.formats import raster

        levels = _as_grey_levels(image, kind)
        raster.write(levels, path, kind, provenance=provenance)
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


def _as_grey_levels(image: Image, kind: str) -> Image:
    """Return pixels of 8 or 16 bits that look as the image should."""
    import numpy as np

    from medenh.formats.array import plain_storage

    dtype = image.pixels.dtype
    shown = image.format not in ("dicom", "nifti") and not image.unit_range.inverted
    if shown and (dtype == np.uint8 or (dtype == np.uint16 and kind == "png")):
        return image
    wide = kind == "png" and dtype not in (np.uint8, np.bool_)
    target = np.dtype(np.uint16 if wide else np.uint8)
    top = 65535.0 if wide else 255.0
    unit = np.moveaxis(image.to_unit(), 1, -1)
    levels = np.rint(unit * np.float32(top)).astype(target)
    alpha = image.alpha
    if alpha is not None and alpha.dtype != target:
        whole = (
            float(2 ** (8 * alpha.dtype.itemsize) - 1)
            if alpha.dtype.kind in "iu"
            else 1.0
        )
        alpha = np.rint(alpha / whole * top).astype(target)
    return replace(
        image,
        pixels=levels,
        alpha=alpha,
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
