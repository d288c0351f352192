"""What can be asked of `enhance`, checked once; defaults live here and nowhere else."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

from medenh.errors import UsageError, check_word
from medenh.formats import PROFILES, UID_SECRET
from medenh.formats.limits import DEFAULT, Limits
from medenh.types import Image, Modality

if TYPE_CHECKING:
    from medenh.pipeline.reference import Reference

__all__ = [
    "FORMATS",
    "ON_EXISTS",
    "EnhanceOptions",
    "options_of",
    "parse_number",
    "parse_settings",
    "parse_shard",
    "parse_tile",
]

FORMATS = ("same", "png", "tiff", "dicom", "nifti", "npy")
ON_EXISTS = ("error", "skip", "overwrite", "rename")
_ENGINES = ("auto", "torch", "openvino")
_PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_SMALLEST_TILE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhanceOptions:
    """One request to enhance.

    Attributes
    ----------
    model : str
        Id, ``id@version``, alias or "auto".
    modality : str, optional
        What the images show, where the files do not tell or tell wrongly.
    device, precision, engine : str
        Where and how; "auto" picks.
    strength : float
        0 gives the input back, 1 the model's answer.
    settings : mapping, optional
        A weight-free method's own options, as `medenh models show` lists them:
        ``{"clip": 3}``. Only with the name of such a method.
    reference : path, Image or array, optional
        Picture of high quality that guides models of HQG-Net, and `ref-color`.
    tile : int, "auto" or "off"
        Side of a tile's core in pixels; "auto" tiles large frames where that is exact.
    batch : int or "auto"
        Frames or tiles in one call of the network.
    format : str
        Output format; "same" keeps the input's.
    on_exists : str
        What to do where an output is already there: error, skip, overwrite, rename.
    axis : int, optional
        NIfTI axis that becomes the frames.
    bits : int, optional
        Bit depth (8 to 16) of 16-bit pictures whose files do not tell it; without it
        the smallest usual one that holds the largest value of each file.
    data_range : (float, float), optional
        The values of an array that are black and white, in its own units; without it
        they are seen from its values.
    strict : bool
        Refuse inputs outside the model's card, and results outside its limits.
    shard : (int, int), optional
        (i, n): only the i-th of n parts, counted from 1.
    recursive : bool
        Look into sub-folders.
    uncertainty : bool
        Write a map of the spread of the answers beside each output.
    deidentify : "basic", optional
        Leave out what names the patient, by the Basic profile of DICOM PS3.15.
    offline : bool
        Never open a connection.
    limits : Limits
        What one input may cost.
    """

    model: str = "auto"
    modality: str | None = None
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"
    strength: float = 1.0
    settings: Mapping[str, float] | None = None
    reference: Reference | None = None
    tile: int | Literal["auto", "off"] = "auto"
    batch: int | Literal["auto"] = "auto"
    format: str = "same"
    on_exists: str = "error"
    axis: int | None = None
    bits: int | None = None
    data_range: tuple[float, float] | None = None
    strict: bool = False
    shard: tuple[int, int] | None = None
    recursive: bool = True
    uncertainty: bool = False
    deidentify: str | None = None
    offline: bool = False
    limits: Limits = DEFAULT

    def __post_init__(self) -> None:
        _check_types(self)
        check_word("format", self.format, FORMATS)
        check_word("on-exists", self.on_exists, ON_EXISTS)
        check_word("engine", self.engine, _ENGINES)
        check_word("precision", self.precision, _PRECISIONS)
        if self.modality is not None:
            check_word("modality", self.modality, tuple(Modality))
        if not (math.isfinite(self.strength) and 0.0 <= self.strength <= 1.0):
            raise UsageError(f"strength must be in 0..1, not {self.strength:g}")
        if self.deidentify is not None:
            check_word("profile", self.deidentify, PROFILES)
        if self.axis not in (None, 0, 1, 2):
            raise UsageError(f"axis must be 0, 1 or 2, not {self.axis}")
        if self.bits is not None and not 8 <= self.bits <= 16:
            raise UsageError(f"bits must be 8 to 16, not {self.bits}")
        if isinstance(self.tile, int) and self.tile < _SMALLEST_TILE:
            raise UsageError(f"tile must be at least {_SMALLEST_TILE} pixels")
        if isinstance(self.batch, int) and self.batch < 1:
            raise UsageError("batch must be at least 1")
        if self.shard is not None:
            index, count = self.shard
            if not 1 <= index <= count:
                raise _no_shard(f"{index}/{count}")

    def told(self, image: Image) -> Image:
        """Return an image that is what the user says: its modality and bit depth."""
        if self.bits is not None:
            from medenh.intensity import told_bits  # loads NumPy

            image = told_bits(image, self.bits)
        if self.modality is None:
            return image
        from medenh.formats.nifti import told_as  # loads NumPy

        return told_as(image, Modality(self.modality))

    @property
    def deidentify_settings(self) -> str:
        """What decides on the header of outputs; of the secret of UIDs a hash."""
        if self.deidentify is None:
            return ""
        secret = hashlib.sha256(f"medenh {os.environ.get(UID_SECRET, '')}".encode())
        return f"{self.deidentify} {secret.hexdigest()}"

    @property
    def pixel_settings(self) -> str:
        """The options that change pixels, in one stable line."""
        parts = [f"strength={self.strength:g}"]
        for name, value in sorted((self.settings or {}).items()):
            parts.append(f"{name}:{value:.9g}")
        if self.tile != "auto":
            parts.append(f"tile={self.tile}")
        if self.axis is not None:
            parts.append(f"axis={self.axis}")
        if self.bits is not None:
            parts.append(f"bits={self.bits}")
        if self.data_range is not None:
            low, high = self.data_range
            parts.append(f"data-range={low:g},{high:g}")
        if self.reference is not None:
            from medenh.pipeline.reference import reference_hash  # loads NumPy

            parts.append(f"reference={reference_hash(self.reference)}")
        return " ".join(parts)


def _check_types(options: EnhanceOptions) -> None:
    for names, fits, words in _KINDS:
        for name in names:
            value = getattr(options, name)
            if not fits(value):
                loaded = name == "model" and hasattr(value, "enhance")
                raise UsageError(
                    f"{name} is {words}, not {_shown(value)}",
                    hint="call a loaded model: loaded.enhance(picture)"
                    if loaded
                    else "",
                )
    if not isinstance(options.strength, Real):
        raise UsageError(f"strength must be in 0..1, not {options.strength!r}")
    if options.reference is not None:
        from medenh.pipeline.reference import check_reference  # loads formats

        check_reference(options.reference)
    if options.data_range is not None:
        from medenh.intensity import told_range  # loads NumPy

        told_range(options.data_range)


def _shown(value: object) -> str:
    plain = isinstance(value, str | int | float | tuple)
    return repr(value) if plain else type(value).__name__


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _are_settings(value: object) -> bool:
    if not isinstance(value, Mapping):
        return value is None
    numbers = [v for v in value.values() if isinstance(v, Real)]
    return len(numbers) == len(value) and all(isinstance(name, str) for name in value)


def _is_shard(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_whole, value))


# names of options, what their values must be, and how that is said
_KINDS: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (
        ("model", "device", "precision", "engine", "format", "on_exists"),
        lambda value: isinstance(value, str),
        "a word",
    ),
    (
        ("strict", "recursive", "uncertainty", "offline"),
        lambda value: isinstance(value, bool),
        "True or False",
    ),
    (
        ("tile",),
        lambda value: _is_whole(value) or value in ("auto", "off"),
        '"auto", "off" or an int',
    ),
    (("batch",), lambda value: _is_whole(value) or value == "auto", '"auto" or an int'),
    (("settings",), _are_settings, 'numbers by name, as {"clip": 3}'),
    (("axis", "bits"), lambda value: value is None or _is_whole(value), "an int"),
    (
        ("shard",),
        lambda value: value is None or _is_shard(value),
        "two ints, as (2, 8)",
    ),
    (
        ("limits",),
        lambda value: isinstance(value, Limits),
        "one of medenh.formats.Limits",
    ),
)


def options_of(**named: Any) -> EnhanceOptions:
    """Return options that were given by name; unknown ones are refused.

    Raises
    ------
    UsageError
        No option has such a name, or its value does not go.
    """
    known = {field.name for field in fields(EnhanceOptions)}
    if unknown := sorted(set(named) - known):
        raise UsageError(
            f"unknown option {unknown[0]!r}", hint=f"one of {', '.join(sorted(known))}"
        )
    return EnhanceOptions(**named)


def parse_number(name: str, text: str) -> int:
    """Return a whole number typed by the user.

    Raises
    ------
    UsageError
        It is none.
    """
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{name} must be a whole number, not {text!r}") from error


def parse_settings(texts: Sequence[str]) -> dict[str, float]:
    """Return the values of --set.

    Raises
    ------
    UsageError
        One is no NAME=NUMBER, or a name is there twice.

    Examples
    --------
    >>> parse_settings(["clip=3", "tiles=4"])
    {'clip': 3.0, 'tiles': 4.0}
    """
    settings: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name in settings:
            raise UsageError(f"{name} is set twice")
        try:
            settings[name] = float(number)
        except ValueError as error:
            raise UsageError(
                f"a setting must look like clip=3, not {text!r}"
            ) from error
    return settings


def parse_tile(text: str) -> int | Literal["auto", "off"]:
    """Return the value of --tile: auto, off, or a number of pixels."""
    if text == "auto":
        return "auto"
    if text == "off":
        return "off"
    return parse_number("tile", text)


def parse_shard(text: str) -> tuple[int, int]:
    """Return the value of --shard.

    Raises
    ------
    UsageError
        It is not two whole numbers; `EnhanceOptions` checks them.

    Examples
    --------
    >>> parse_shard("2/8")
    (2, 8)
    """
    try:
        index, count = map(int, text.split("/"))
    except ValueError:
        raise _no_shard(text) from None
    return index, count


def _no_shard(text: str) -> UsageError:
    return UsageError(
        f"shard must be I/N, part I of N with I from 1 to N, as 2/8, not {text!r}"
    )
