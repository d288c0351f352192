"""`medenh inspect`: what a file is, as medenh sees it; never who it is of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medenh.cli import console, options

if TYPE_CHECKING:
    from medenh.types import Image

__all__ = ["describe", "register"]

_File = Annotated[Path, typer.Argument(help="An image file.", show_default=False)]
_Axis = Annotated[
    int | None,
    typer.Option(
        min=0, max=2, help="NIfTI axis to go along as slices.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(name="inspect", no_args_is_help=True)(inspect)


def inspect(file: _File, axis: _Axis = None, json: options.Json = False) -> None:
    """Show a file's format, size, type, units, modality and range.

    Nothing that tells a patient is read out.
    """
    from medenh import formats

    document = describe(formats.read(file, axis=axis))
    if json:
        console.write_json({"path": file, **document})
        return
    width = max(map(len, document))
    for name, value in document.items():
        text = " to ".join(map(_text, value)) if name == "range" else _text(value)
        console.write(f"{name.ljust(width)}  {text}")


def describe(image: Image) -> dict[str, Any]:
    """Return what is known of an image, without anything of its header."""
    import numpy as np

    finite = image.pixels[np.isfinite(image.pixels)]
    return {
        "format": image.format,
        "frames": image.frames,
        "height": image.height,
        "width": image.width,
        "channels": image.channels,
        "stored_type": str(image.storage.dtype),
        "type": str(image.pixels.dtype),
        "units": image.units,
        "modality": image.modality.value,
        "minimum": float(finite.min()) if finite.size else None,
        "maximum": float(finite.max()) if finite.size else None,
        "range": [image.unit_range.low, image.unit_range.high],
        "range_reason": image.unit_range.reason,
        "inverted": image.unit_range.inverted,
        "spacing_mm": list(image.geometry.spacing_mm),
        "alpha": image.alpha is not None,
        "frozen_pixels": 0 if image.frozen is None else int(image.frozen.sum()),
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        if all(part != part for part in value):
            return "unknown"
        return " x ".join(_text(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "unknown" if value != value else f"{value:g}"
    if value is None or value == "":
        return "unknown" if value is None else "arbitrary"
    return console.one_line(value)
