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

_Text = Annotated[str | None, options.optional(help="Goes on the card.")]


def run(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_DIR", help="Run folder of `medenh train`.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        options.optional("--output", "-o", help="NAME.zip to write; import it later."),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        options.optional(
            help="Protocol to measure an enhancer by; may be given several times. "
            "By default, every protocol whose recipe the run learnt."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        options.optional(
            metavar="DIR",
            help="Folder of data packs; for protocols also one pack, or a folder of "
            "clean images.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        options.optional(min=1, help="Most images to use of each set."),
    ] = None,
    model_id: Annotated[
        str | None,
        options.optional(
            "--id", help="Id of the model; by default the name of the configuration."
        ),
    ] = None,
    version: _Text = None,
    title: _Text = None,
    description: _Text = None,
    notes: _Text = None,
    licence: Annotated[
        str | None,
        options.optional(help="Licence of the weights, as an SPDX identifier."),
    ] = None,
    card: Annotated[
        Path | None,
        options.optional(metavar="WORDS.json", help="File with the texts of the card."),
    ] = None,
    draft: Annotated[
        bool,
        typer.Option(
            "--draft",
            help="Publish even what is no better than doing nothing; the card says so.",
        ),
    ] = False,
    into: Annotated[
        Path | None,
        options.optional(
            metavar="CHECKOUT",
            help="For developers: put it into a checkout of medenh, instead of -o.",
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
