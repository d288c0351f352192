"""`medenh models convert`: a user's own checkpoint of somebody else's code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medenh.cli import console, options

__all__ = ["run"]


def run(
    path: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    architecture: Annotated[
        str, typer.Option(help="hqg-legacy or dpe.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="NAME.safetensors, or NAME.zip to import.",
            show_default=False,
        ),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            help="High-quality image whose look to keep (hqg-legacy).",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Turn a checkpoint of the authors' code, which you have, into weights of ours."""
    from medenh.pipeline.reference import read_reference
    from medenh.zoo.convert import convert as convert_file

    guide = None if reference is None else read_reference(reference)
    done = convert_file(path, output, architecture, reference=guide)
    console.warn(done.licence, kind="licence")
    if json:
        console.write_json(
            {
                "path": output,
                "architecture": done.architecture,
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


def _module(key: str) -> str:
    """Return what a key belongs to, for people: its first names, without numbers."""
    names = [name for name in key.split(".")[:-1] if not name.isdigit()]
    return ".".join(names[:3])
