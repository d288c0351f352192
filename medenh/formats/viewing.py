"""How a picture is to be seen: colour profile, resolution, which way is up.

PNG, JPEG and TIFF can all say it, each in its own words, BMP the resolution only and
DICOM the profile: it goes along from one to another. None of it touches a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from medenh.types import Image

__all__ = [
    "CENTIMETRE",
    "METRE",
    "Viewing",
    "resized_viewing",
    "resolution",
    "upright",
    "viewing_of",
]

METRE = Fraction(10_000, 254)  # inches
CENTIMETRE = METRE / 100
_COARSEST, _FINEST = Fraction(1, 10), 40_000_000  # for each inch: what all can say
_SPACES = {1: b"GRAY", 3: b"RGB "}
_MOST_PROFILE = 16_000_000  # bytes: what fits into the segments of a JPEG


@dataclass(frozen=True, slots=True)
class Viewing:
    """What viewers need to know of a picture beside its pixels.

    Attributes
    ----------
    profile : bytes
        ICC profile of the colours; empty where the file has none.
    resolution : pair of fractions, or None
        Pixels for each inch across and down, where the file tells.
    orientation : int
        Exif's, 1 (upright) to 8; the pixels stand as stored.
    """

    profile: bytes = b""
    resolution: tuple[Fraction, Fraction] | None = None
    orientation: int = 1

    def viewing(self, frame: int) -> Viewing:
        """Return itself: as a header it says this and nothing else."""
        return self


@runtime_checkable
class _Header(Protocol):
    def viewing(self, frame: int) -> Viewing: ...


def viewing_of(image: Image, frame: int = 0) -> Viewing:
    """Return what an image's header says of how a frame is to be seen.

    A profile for another number of colours than the image has is left out.
    """
    if not isinstance(image.header, _Header):
        return Viewing()
    told = image.header.viewing(frame)
    fits = (
        len(told.profile) <= _MOST_PROFILE
        and told.profile[36:40] == b"acsp"
        and told.profile[16:20] == _SPACES[image.channels]
    )
    return told if fits else replace(told, profile=b"")


def resized_viewing(image: Image, scale: float) -> Viewing:
    """Return how a picture made from an image, so many times as large, is to be seen.

    It is the header of one whose own, with sizes and geometry, no longer holds.
    """
    told = viewing_of(image)
    if told.resolution is None:
        return told
    across, down = (one * Fraction(scale) for one in told.resolution)
    return replace(told, resolution=resolution(across, down, Fraction(1)))


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels the way they are to be seen.

    Parameters
    ----------
    pixels : array, shape (H, W, ...)
        As they are stored.
    orientation : int
        Exif's (tag 274 of TIFF 6.0), 1 to 8.

    Returns
    -------
    array, shape (H, W, ...), or (W, H, ...) from 5 on
        A view.
    """
    if orientation > 4:  # rows are columns; then as 1 to 4
        pixels, orientation = pixels.swapaxes(0, 1), orientation - 4
    down = -1 if orientation in (3, 4) else 1
    across = -1 if orientation in (2, 3) else 1
    return pixels[::down, ::across]


def resolution(
    across: int | Fraction, down: int | Fraction, inches: Fraction
) -> tuple[Fraction, Fraction] | None:
    """Return pixels for each inch from pixels for each unit of so many inches.

    None where a file cannot mean what it says.
    """
    pair = (Fraction(across) / inches, Fraction(down) / inches)
    return pair if all(_COARSEST <= one <= _FINEST for one in pair) else None
