"""`medenh inspect`: what a file is, as medenh sees it; never who it is of."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medenh.cli import console, options

if TYPE_CHECKING:
    from medenh.errors import InputError, NothingReadableError
    from medenh.pipeline.loading import ModelSource
    from medenh.types import Image

__all__ = ["describe", "register"]

_Files = Annotated[list[Path], typer.Argument(help="Image files.", show_default=False)]

# rows of what few files tell, or have more than one of, and what is not worth one
_NOT_SHOWN = {"pages": None, "volumes": 1, "time_s": None}


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(name="inspect", no_args_is_help=True)(inspect)


def inspect(
    files: _Files, axis: options.Axis = None, json: options.Json = False
) -> None:
    """Show format, size, units, modality and range of files, and the model for them.

    Nothing that identifies a patient is shown. For several files, --json is a list.
    """
    from medenh.errors import InputError, MedenhError
    from medenh.pipeline.loading import ZooModels
    from medenh.pipeline.options import EnhanceOptions
    from medenh.pipeline.results import Failure, exit_code_of

    # once for all files: it reads the manifest; a device is of no interest here, and
    # looking for one may load torch
    models = ZooModels(EnhanceOptions(device="cpu"))
    documents: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for file in files:
        try:
            document = _inspected(file, axis, models)
        except MedenhError as error:
            if len(files) == 1 and isinstance(error, InputError):
                raise _alone(error) from error
            if len(files) == 1:
                raise
            failure = Failure(file, error)
            console.warn(f"{file}: {failure.reason}", kind="failed")
            documents.append(failure.to_json())
            failures.append(failure)
            continue
        documents.append({"path": file, **document})
        if not json:
            _show(document, title=str(file) if len(files) > 1 else "")
    if json:
        console.write_json(documents if len(files) > 1 else documents[0])
    raise typer.Exit(exit_code_of(failures, some_done=len(failures) < len(files)))


def _alone(error: InputError) -> NothingReadableError:
    """Return what ends a run whose one file cannot be read, by its word for why."""
    from medenh.errors import NothingReadableError

    nothing = NothingReadableError(error.what, path=error.path, hint=error.hint)
    nothing.code = error.code
    return nothing


def _inspected(file: Path, axis: int | None, models: ModelSource) -> dict[str, Any]:
    from medenh import formats
    from medenh.errors import UnreadableError

    if file.is_dir():
        hint = f"name its files: medenh inspect {quote(str(file))}/*"
        raise UnreadableError("is a folder", path=file, hint=hint)
    return describe(formats.read(file, axis=axis), models)


def _show(document: dict[str, Any], *, title: str) -> None:
    if title:
        console.write(console.one_line(title))
    width = max(map(len, document))
    for name, value in document.items():
        text = " to ".join(map(_text, value)) if name == "range" else _text(value)
        if name in _NOT_SHOWN and value == _NOT_SHOWN[name]:
            continue
        if name == "looks_like" and value is None:  # "unknown" would be a finding
            text = "not judged"
        console.write(f"{name.ljust(width)}  {text}")
    if title:
        console.write("")


def describe(image: Image, models: ModelSource) -> dict[str, Any]:
    """Return what is known of an image, without anything of its header."""
    import numpy as np

    from medenh.formats.readers import contents_of
    from medenh.modality import recognise
    from medenh.pipeline.looks import choose_model
    from medenh.types import Modality

    likeness = recognise(image) if image.modality is Modality.UNKNOWN else None
    auto, _ = choose_model(image, models)
    finite = image.pixels[np.isfinite(image.pixels)]
    place = image.geometry
    return {
        "format": image.format,
        "frames": image.frames,
        "pages": contents_of(image) or None,
        "height": image.height,
        "width": image.width,
        "channels": image.channels,
        "stored_type": str(image.storage.dtype),
        "type": str(image.pixels.dtype),
        "units": image.units,
        "modality": image.modality.value,
        "looks_like": None if likeness is None else str(likeness),
        "auto_model": auto.card.id,
        "auto_reason": auto.reason,
        "minimum": float(finite.min()) if finite.size else None,
        "maximum": float(finite.max()) if finite.size else None,
        "range": [image.unit_range.low, image.unit_range.high],
        "range_reason": image.unit_range.reason,
        "inverted": image.unit_range.inverted,
        "spacing_mm": list(place.spacing_mm),
        "volumes": image.frames // (place.depth or image.frames),
        "time_s": place.time_s if place.time_s > 0 else None,
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
