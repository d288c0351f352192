"""`medenh models`: what the zoo holds, where from, how good; fetch, verify, carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medenh.cli import console, convert, options, publish, remeasure
from medenh.cli.model_tables import show_measured
from medenh.errors import UsageError

if TYPE_CHECKING:
    from medenh.zoo.card import ModelCard
    from medenh.zoo.download import Progress

__all__ = ["register"]

_Names = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", show_default=False)
]
_Name = Annotated[str, typer.Argument(metavar="ID", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    group = typer.Typer(
        no_args_is_help=True, help="List, show, fetch, move and make models."
    )
    for name, function in (
        ("list", list_models),
        ("show", show),
        ("download", download),
        ("verify", verify),
        ("export", export),
        ("import", import_),
        ("remove", remove),
        ("publish", publish.run),
        ("remeasure", remeasure.run),
        ("convert", convert.run),
        ("cite", cite),
    ):
        group.command(name)(function)
    app.add_typer(group, name="models")


def list_models(
    modality: options.ModelModality = None,
    task: Annotated[
        str | None, options.optional(help="What the model does: enhance, denoise...")
    ] = None,
    licence: Annotated[
        str | None,
        options.optional(help="Part of the name of the licence."),
    ] = None,
    json: options.Json = False,
) -> None:
    """List the models, their licences, and where their weights are."""
    from medenh.zoo.cache import where
    from medenh.zoo.manifest import load_manifest

    cards = load_manifest().select(modality=modality, task=task, licence=licence)
    if json:
        console.write_json([_summary(card, where(card)) for card in cards])
        return
    rows = [
        (
            card.id,
            card.task,
            ", ".join(card.modalities) or "any",
            card.licence,
            console.human_size(card.weights.size_bytes) if card.weights else "-",
            where(card),
        )
        for card in cards
    ]
    console.write_table(("id", "task", "for", "licence", "size", "where"), rows)


def _summary(card: ModelCard, where: str) -> dict[str, Any]:
    return {
        "id": card.id,
        "version": card.version,
        "title": card.title,
        "task": card.task,
        "architecture": card.architecture,
        "modalities": card.modalities,
        "default_for": card.default_for,
        "aliases": card.aliases,
        "licence": card.licence,
        "size_bytes": card.weights.size_bytes if card.weights else None,
        "where": where,
    }


def show(
    name: _Name, modality: options.ModelModality = None, json: options.Json = False
) -> None:
    """Show the card of a model: what it takes, how it was made, how good it is."""
    from medenh.zoo.cache import where
    from medenh.zoo.manifest import resolve

    found = resolve(name, modality)
    card = found.card
    if json:
        console.write_json({**card.to_dict(), "where": where(card)})
        return
    if name not in (card.id, card.full_id):
        console.warn(found.reason, kind="note")
    for label, text in _facts(card, where(card)):
        console.write(f"{label:<16}{console.one_line(text)}")
    show_measured(card)


def _facts(card: ModelCard, where: str) -> Iterator[tuple[str, str]]:
    yield "model", card.full_id
    yield "title", card.title
    yield "what it does", card.description
    yield "task", card.task
    yield "made for", ", ".join(card.modalities) or "any image"
    if card.default_for:
        yield "default for", ", ".join(card.default_for)
    if card.aliases:
        yield "also called", ", ".join(card.aliases)
    yield from _needs(card)
    for precision, proof in sorted(card.precision.items()):
        yield (
            precision,
            f"{proof.psnr_db:g} dB, at most {proof.max_levels:g} levels from fp32",
        )
    yield "licence", card.licence
    for source in card.data:
        yield "data", f"{source.name}: {source.images} images, {source.terms}"
    if card.training is not None:
        yield "training", f"{card.training.hours:g} h, seed {card.training.seed}"
        yield "train again", card.training.command
    if card.weights is not None:
        yield "weights", f"{console.human_size(card.weights.size_bytes)}, {where}"
        yield "sha256", card.weights.sha256
    if card.recognition is not None:
        yield "recognises", ", ".join(card.recognition.classes)
        thresholds = ", ".join(f"{t:g}" for t in card.recognition.thresholds)
        yield "thresholds", thresholds
    if card.paper:
        yield "paper", card.paper
    if card.notes:
        yield "notes", card.notes


def _needs(card: ModelCard) -> Iterator[tuple[str, str]]:
    yield "architecture", f"{card.architecture} ({card.method or card.preset})"
    yield "takes", _takes(card)
    yield "tiling", _tiling(card)
    if card.bytes_per_pixel:
        yield "memory", _memory(card)
    if card.method:
        yield from _method_options(card.method)


def _method_options(method: str) -> Iterator[tuple[str, str]]:
    """Say what a weight-free method takes in Python."""
    from medenh.classical import INFO

    for option in INFO[method].options:
        default = "" if option.default is None else f"{option.default:g}, "
        span = f"{default}{option.low:g} to {option.high:g}"
        yield "option", f"{option.name} ({span}): {option.help}"


def _takes(card: ModelCard) -> str:
    takes = {1: "grey", 3: "RGB", None: "grey or RGB"}[card.input.channels]
    if card.input.enlarged > 1:
        takes += f", enlarged {card.input.enlarged} times before"
    takes += f", at least {card.input.min_size} px"
    if card.input.largest_side is None:
        return takes
    return f"{takes}; sees larger sides reduced to {card.input.largest_side} px"


def _tiling(card: ModelCard) -> str:
    if card.receptive_field is None:
        return "whole image"
    if card.global_ops:
        return (
            "statistics of the whole image; exact in tiles (halo of "
            f"{card.receptive_field} px) where the network takes them apart"
        )
    return f"exact in tiles (halo of {card.receptive_field} px)"


def _memory(card: ModelCard) -> str:
    """Return what a large frame takes; no more than that of a tile where those are."""
    needs = card.bytes_per_pixel.items()
    side = 2000
    sizes = (f"{console.human_size(side**2 * need)} ({name})" for name, need in needs)
    return f"{side}x{side} px as a whole take {', '.join(sizes)} on a CPU"


def download(
    names: _Names = None,
    every: Annotated[bool, typer.Option("--all", help="Fetch all models.")] = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Fetch weights into the cache and verify them."""
    from medenh.zoo.cache import where
    from medenh.zoo.fetch import weights_path
    from medenh.zoo.manifest import load_manifest

    manifest = load_manifest()
    if bool(names) == every:
        raise UsageError("name the models, or give --all")
    if every:
        cards = [card for card in manifest.current() if card.weights is not None]
    else:
        cards = [manifest.resolve(name).card for name in names or ()]
    done = []
    for card in cards:
        path = None
        if card.weights is not None:
            with _progress(card, quiet=quiet or json) as progress:
                path = weights_path(card, offline=offline or None, progress=progress)
        done.append({"id": card.id, "where": where(card), "path": path})
    if json:
        console.write_json(done)
    elif not quiet:
        for entry in done:
            console.write(f"{entry['id']}: {entry['where']}")


@contextmanager
def _progress(card: ModelCard, *, quiet: bool) -> Iterator[Progress | None]:
    shown = console.stderr_console(quiet=quiet)
    if quiet or not shown.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, console=shown, transient=True, redirect_stdout=False)
    with bar:
        row = bar.add_task(card.id, total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


def verify(names: _Names = None, json: options.Json = False) -> None:
    """Check the hashes of all weights on this machine; exit code 4 if one is wrong."""
    from medenh.zoo.manifest import load_manifest

    manifest = load_manifest()
    if names:
        cards: Sequence[ModelCard] = [manifest.resolve(name).card for name in names]
    else:
        cards = manifest.cards
    found = [entry for card in cards for entry in _check(card, named=bool(names))]
    if json:
        console.write_json(found)
    else:
        rows = [[e["id"], e["state"], e["path"] or "-"] for e in found]
        console.write_table(("id", "state", "file"), rows)
    if any(entry["state"] in ("damaged", "missing") for entry in found):
        raise typer.Exit(4)


def _check(card: ModelCard, *, named: bool) -> Iterator[dict[str, Any]]:
    """Yield a line for each place that a card's weights lie in."""
    from medenh.zoo.cache import find_weights, is_intact

    if card.weights is None:
        if named:
            yield {"id": card.full_id, "state": "built in", "path": None}
        return
    paths = list(find_weights(card))
    for path in paths:
        intact = is_intact(path, card.weights, force=True)
        state = "intact" if intact else "damaged"
        yield {"id": card.full_id, "state": state, "path": path}
    if not paths:
        state = "missing" if named or card.weights.bundled else "not here"
        yield {"id": card.full_id, "state": state, "path": None}


def export(
    name: _Name,
    path: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    size: Annotated[
        str | None,
        typer.Option(
            metavar="N|WxH", help="Side, or width and height, of an ONNX file's images."
        ),
    ] = None,
    offline: options.Offline = False,
) -> None:
    """Write a model and its card to a zip or folder, or its network as ONNX (.onnx)."""
    from medenh.errors import UsageError

    onnx = path.suffix.lower() == ".onnx"
    if onnx != (size is not None):
        raise UsageError(
            "an ONNX file is for images of one size"
            if onnx
            else "only ONNX has a size",
            hint="--size 512, or 640x480" if onnx else "end the name in .onnx",
        )
    if size is not None:
        from medenh.zoo.onnx_file import export_onnx

        card, difference = export_onnx(
            name, path, _height_and_width(size), offline=offline or None
        )
        console.write(f"{card.full_id}: {path}, within {difference:.1g} of torch")
        return
    from medenh.zoo.transfer import export_model

    card = export_model(name, path, offline=offline or None)
    console.write(f"{card.full_id}: {path}")


def _height_and_width(size: str) -> tuple[int, int]:
    from medenh.errors import UsageError

    sides = size.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise UsageError(f"--size {size!r} is no size", hint="512, or 640x480")
    return int(sides[-1]), int(sides[0])


def import_(
    path: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
) -> None:
    """Install a model that `medenh models publish`, `convert` or `export` wrote."""
    from medenh.zoo.cache import is_bundled
    from medenh.zoo.transfer import import_model

    card = import_model(path)
    done = "part of the installation already" if is_bundled(card) else "imported"
    console.write(f"{card.full_id}: {done}")
    _tell_what_the_id_means(card)


def remove(name: _Name) -> None:
    """Delete an imported model, or the fetched weights of a listed one."""
    from medenh.zoo.transfer import remove_model

    card, freed = remove_model(name)
    console.write(f"{card.full_id}: removed, {console.human_size(freed)}")
    _tell_what_the_id_means(card)


def _tell_what_the_id_means(card: ModelCard) -> None:
    """Say which version an id stands for, where there were or are several."""
    from medenh.zoo.manifest import load_manifest

    manifest = load_manifest()
    versions = [one for one in manifest.cards if one.id == card.id]
    if not versions or versions == [card]:
        return
    now = manifest.get(card.id)
    note = f"{card.id} means {now.full_id} now"
    others = ", ".join(one.full_id for one in versions if one is not now)
    if others:
        note += f", and there is {others}; aliases and auto mean what they did"
    console.warn(note, kind="note")


def cite(name: _Name) -> None:
    """Print what to cite for a model: papers (also as BibTeX) and data sets."""
    from medenh.zoo.manifest import resolve
    from medenh.zoo.papers import papers_of

    card = resolve(name).card
    papers = papers_of(card)
    known = "".join(papers)
    words = [text for text in (card.paper, card.citation) if text not in known]
    parts = [console.one_line(text) for text in words]
    none = "common practice" if card.method else "no paper of its network is known"
    parts += papers or ([] if words else [f"nothing to cite: {none}"])
    if card.data:
        lines = ["Images behind the weights, and their terms:"]
        for source in card.data:
            named = source.terms.startswith(source.name)
            name = "" if named else f"{source.name}: "
            lines.append(console.one_line(name + source.terms))
        parts.append("\n".join(lines))
    console.write("\n\n".join(parts))
