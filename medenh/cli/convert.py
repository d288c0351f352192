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
            help="hqg-legacy or dpe, of the authors' code; or the network of weights "
            "of your own."
        ),
    ],
    output: Annotated[
        Path,
        options.optional(
            "--output", "-o", help="NAME.safetensors, or NAME.zip to import."
        ),
    ],
    reference: Annotated[
        Path | None,
        options.optional(help="High-quality image whose look to keep (hqg-legacy)."),
    ] = None,
    preset: Annotated[
        str | None,
        options.optional(help="Size of your own network (default)."),
    ] = None,
    option: Annotated[
        list[str] | None,
        options.optional(
            metavar="KEY=VALUE",
            help="What it was made with over the preset; may be given several times.",
        ),
    ] = None,
    modality: options.ModelModality = None,
    task: Annotated[str, typer.Option(help="What it does.")] = "enhance",
    json: options.Json = False,
) -> None:
    """Turn a checkpoint, of the authors' code or of your own, into a model to import.

    Of your own: the state dict (.safetensors, .pt) of `medenh.models.create`.
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
