"""`medenh models publish`: a training run, measured, as a model."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from medenh.cli import console, options
from medenh.cli.model_tables import show_measured
from medenh.device import one_thread_for_sums

__all__ = ["run"]

_Text = Annotated[str | None, options.optional()]


def run(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_DIR", help="What `medenh train` left.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        options.optional("--output", "-o", help="NAME.zip, to import."),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        options.optional(
            help="What to measure an enhancer under; may be given again. Default: "
            "every protocol whose recipe the run learnt."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        options.optional(
            metavar="DIR",
            help="The folder of data packs; for protocols also one pack, or a folder "
            "of clean pictures.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        options.optional(min=1, help="At most so many pictures a set."),
    ] = None,
    model_id: Annotated[
        str | None,
        options.optional("--id", help="Default: the configuration's name."),
    ] = None,
    version: _Text = None,
    title: _Text = None,
    description: _Text = None,
    notes: _Text = None,
    licence: Annotated[
        str | None,
        options.optional(help="SPDX identifier for the weights."),
    ] = None,
    card: Annotated[
        Path | None,
        options.optional(metavar="WORDS.json", help="The words of the card."),
    ] = None,
    draft: Annotated[
        bool,
        typer.Option(
            "--draft",
            help="Publish what does not beat doing nothing; the card says so.",
        ),
    ] = False,
    into: Annotated[
        Path | None,
        options.optional(
            metavar="CHECKOUT",
            help="For developers: bundle it in a checkout of medenh, in place of -o.",
        ),
    ] = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Turn a training run into a model with measured figures."""
    one_thread_for_sums()  # before what follows imports numpy
    from medenh.publishing import PublishOptions, publish

    words = {
        "id": model_id,
        "version": version,
        "title": title,
        "description": description,
        "notes": notes,
        "licence": licence,
    }
    asked = PublishOptions(
        target=output,
        checkout=into,
        protocols=tuple(protocol or ()),
        data=data,
        limit=limit,
        card=card,
        words={key: value for key, value in words.items() if value is not None},
        draft=draft,
    )

    def tell(step: str) -> None:
        if not quiet:
            console.warn(step, kind="note")

    made = publish(folder, asked, on_step=tell)
    if json:
        console.write_json(made.to_dict())
        return
    console.write(f"{made.full_id}: {output or into}")
    show_measured(made)
    steps = [] if output is None else [f"medenh models import {quote(str(output))}"]
    if made.recognition is None:
        steps.append(f"medenh enhance ... -m {made.id}")
    if steps:
        console.write("")
        console.write(f"published as {made.full_id}: {'; '.join(steps)}")
