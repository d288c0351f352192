"""`medenh models convert`: a checkpoint of somebody else's code, or of one's own."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from medenh.cli import console, options
from medenh.errors import UsageError

__all__ = ["run"]


def run(
    path: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    architecture: Annotated[
        str,
        options.optional(
            help="hqg-legacy or dpe for the authors' weights; for your own, the name "
            "of the network."
        ),
    ],
    output: Annotated[
        Path,
        options.optional(
            "--output", "-o", help="NAME.zip to import, or NAME.safetensors."
        ),
    ],
    reference: Annotated[
        Path | None,
        options.optional(
            help="Good image whose look the model is to follow (hqg-legacy)."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        options.optional(help="Preset of your own network; by default `default`."),
    ] = None,
    option: Annotated[
        list[str] | None,
        options.optional(
            metavar="KEY=VALUE",
            help="Setting that differs from the preset; may be given several times.",
        ),
    ] = None,
    modality: options.ModelModality = None,
    task: Annotated[str, typer.Option(help="What the model does.")] = "enhance",
    json: options.Json = False,
) -> None:
    """Turn a checkpoint, from the authors' code or your own, into a model to import.

    Your own: the state dict (.safetensors, .pt) of a network of `medenh.models.create`.
    """
    from medenh.pipeline.reference import read_reference
    from medenh.zoo.convert import convert as convert_file

    guide = None if reference is None else read_reference(reference)
    done = convert_file(
        path,
        output,
        architecture,
        preset=preset,
        options=_parsed(option or ()),
        modality=modality,
        task=task,
        reference=guide,
    )
    console.warn(done.licence, kind="licence")
    if json:
        console.write_json(
            {
                "path": output,
                "architecture": done.architecture,
                "preset": done.preset,
                "options": done.options,
                "tensors": done.tensors,
                "ignored": done.ignored,
                "licence": done.licence,
            }
        )
        return
    if done.ignored:
        parts = sorted({_module(key) for key in done.ignored})
        console.warn(f"left out, of no use here: {', '.join(parts)}", kind="note")
    console.write(f"{output}: {done.architecture}, {done.tensors} tensors")


def _parsed(words: Sequence[str]) -> dict[str, Any]:
    """Return options of a network; a value is JSON, or else a word."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageError(f"--option {word}: not KEY=VALUE")
        try:
            found[name] = json_module.loads(value)
        except ValueError:
            found[name] = value
    return found


def _module(key: str) -> str:
    """Return what a key belongs to, for people: its first names, without numbers."""
    names = [name for name in key.split(".")[:-1] if not name.isdigit()]
    return ".".join(names[:3])
