"""Publish: read a run, measure it, refuse what does not help, write the model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medenh.errors import UsageError, counted, first_problem
from medenh.hashing import sha256_file
from medenh.publishing import images, recogniser
from medenh.publishing.copies import refuse_copies
from medenh.publishing.enhancer import measure_enhancer
from medenh.publishing.options import PublishOptions
from medenh.publishing.record import data_sources, training_record
from medenh.publishing.run_folder import Run, read_run
from medenh.publishing.sets import plan_protocols
from medenh.publishing.words import Words, read_words
from medenh.tasks import TASKS
from medenh.training.config import TrainConfig
from medenh.zoo.card import MODALITIES, ModelCard
from medenh.zoo.checkout import add_to_checkout, check_checkout
from medenh.zoo.manifest import load_manifest
from medenh.zoo.transfer import pack

__all__ = ["publish"]

Fields = dict[str, Any]
OnStep = Callable[[str], None]


def publish(
    folder: Path, options: PublishOptions, *, on_step: OnStep = lambda _: None
) -> ModelCard:
    """Turn a training run into a model with measured figures.

    Parameters
    ----------
    folder : path
        What `medenh.training.loop.train` left.
    options : PublishOptions
    on_step : callable
        Told what is done next, in words.

    Returns
    -------
    ModelCard
        Of the model that was written.

    Raises
    ------
    UsageError
        No run folder, words that no card takes, an id that is taken, no pictures to
        measure on, a target that is there already, or a model that does not beat doing
        nothing.
    WeightsError
        The weights are damaged.
    OutputError
        The target cannot be written.

    Notes
    -----
    While an enhancer is measured, ``MEDENH_CACHE`` of this process points to a folder
    that is removed afterwards: not for several threads at once.
    """
    target = _place(options)
    run = read_run(folder, _root(options.data))
    words = read_words(options.card, options.words, _usual_id(run))
    if target is not None:
        _check_free(words, run)
    describe = _recogniser if run.config.task else _enhancer
    fields, lost = describe(run, words, options, on_step)
    if lost and not options.draft:
        raise UsageError(
            f"{words.id} does not beat doing nothing: {'; '.join(lost)}",
            hint="train it further, or publish it all the same with --draft",
        )
    if options.draft:
        fields["notes"] = f"{_draft_note(lost)} {fields['notes']}".strip()
    card = _card(fields)
    weights = card.weights
    if weights is None:
        raise ValueError("a network has weights")
    if target is not None:
        pack(card, weights, run.weights, target)
    if options.checkout is not None:
        add_to_checkout(card, run.weights, options.checkout)
    return card


def _place(options: PublishOptions) -> Path | None:
    """Check where the model goes, before any work."""
    target, checkout = options.target, options.checkout
    if target is None and checkout is None:
        raise UsageError("name the file to write", hint="-o NAME.zip")
    if target is not None and checkout is not None:
        raise UsageError("-o and --into are two places", hint="give one of them")
    if checkout is not None:
        check_checkout(checkout)
        return None
    if target is not None and target.suffix.lower() != ".zip":
        raise UsageError("a model is written as a zip file", path=target)
    if target is not None and (target.exists() or target.is_symlink()):
        raise UsageError("exists already", path=target, hint="choose another name")
    return target


def _check_free(words: Words, run: Run) -> None:
    """Refuse a name that other weights have here: none could import it, or find it."""
    for known in load_manifest().current():
        if words.id == "auto" or words.id in known.aliases:
            raise UsageError(f"the name {words.id!r} is taken", hint="--id, another")
        if words.id != known.id or _numbers(words.version) > _numbers(known.version):
            continue
        if known.weights is None or known.weights.sha256 != sha256_file(run.weights):
            raise UsageError(
                f"{known.full_id} is known here, with other weights",
                hint="--id, another, or a higher --version",
            )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _root(data: Path | None) -> Path | None:
    """Return ``data`` where it is a folder of packs, and so may be the run's."""
    if data is None or (data / "manifest.csv").is_file():
        return None
    return data if any(data.glob("*/manifest.csv")) else None


def _usual_id(run: Run) -> str:
    config = run.config
    if config.task:
        return TASKS[config.task].model
    return re.sub(r"[^a-z0-9]+", "-", config.name.lower()).strip("-")


def _enhancer(
    run: Run, words: Words, options: PublishOptions, on_step: OnStep
) -> tuple[Fields, list[str]]:
    config = run.config
    plan = plan_protocols(config, options)
    strange = set(words.literature) - {protocol.name for protocol, _ in plan}
    if strange:
        raise UsageError(
            "literature is given for protocols that are not measured: "
            f"{', '.join(sorted(strange))}",
            hint="name it by protocol, or add --protocol",
        )
    on_step("reading the run's images")
    found = images.load_images(config)
    run.check_images(found.digests)
    seen = {image.modality for image in found.learnt}
    fields = _common(run, words, options) | {
        "task": words.task or "enhance",
        "modalities": [word for word in MODALITIES if word in seen],
        "data": data_sources(config, found.learnt),
        "training": training_record(run, len(found.learnt)),
    }
    if words.modalities is not None:
        fields["modalities"] = words.modalities
    card = _card(fields)
    places = [place for _, place in plan]
    refuse_copies(places, found.seen, config.data, options.limit)
    measured, lost = measure_enhancer(card, run.weights, found, plan, options, on_step)
    for table in measured["results"]:
        table["literature"] = words.literature.get(table["protocol"], "")
    return fields | measured, lost


def _recogniser(
    run: Run, words: Words, options: PublishOptions, on_step: OnStep
) -> tuple[Fields, list[str]]:
    config, task = run.config, TASKS[run.config.task]
    if options.protocols:
        raise UsageError("a recogniser is measured on clean pictures: no --protocol")
    on_step("reading the run's images")
    found = recogniser.load_images(config)
    run.check_images(found.digests())
    fields = _common(run, words, options) | {
        "task": task.kind,
        "modalities": [task.modality],
        "data": data_sources(config, found.learnt),
        "training": training_record(run, len(found.learnt)),
    }
    fields["title"] = words.title or task.title
    _card(fields)  # wrong words are known before the work
    on_step(f"scoring {counted(len(found.unseen), 'image')} of split {found.split}")
    recognition, lost = recogniser.measure_recogniser(
        run, found, words.literature, options.limit
    )
    return fields | {"recognition": recognition}, lost


def _common(run: Run, words: Words, options: PublishOptions) -> Fields:
    """Return what every card says: words, network, weights."""
    config = run.config
    network: Any = run.network
    multiple = int(network.multiple_of)
    told = words.model_dump(exclude={"literature", "modalities", "largest_side"})
    start = config.network.start_from
    if start and not start.endswith(".safetensors"):
        began = f"Began with the weights of {start}: see its card for data and licence."
        told["notes"] = f"{told['notes']} {began}".strip()
    named = (*config.data.recipes, *config.data.real_recipes)
    undone = ", ".join(sorted({config.data.recipe(name).name for name in named}))
    return told | {
        "title": words.title or f"{config.network.architecture}, {config.strategy}",
        "description": words.description
        or f"Trained by strategy {config.strategy}"
        + (f" to undo {undone}." if undone else f", task {config.task or 'enhance'}."),
        "architecture": config.network.architecture,
        "preset": config.network.preset,
        "options": config.network.options,
        "input": {
            "channels": 3,
            "multiple_of": multiple,
            # the deepest map of a smaller picture is one pixel wide, and OpenVINO's
            # bf16 kernels are not deterministic there
            "min_size": 2 * multiple,
            "enlarged": _enlarged(network),
            "largest_side": _largest_side(words, config),
        },
        "receptive_field": network.receptive_field,
        "global_ops": network.global_ops,
        "weights": {
            "file": f"{words.id}-{words.version}.safetensors",
            "size_bytes": run.weights.stat().st_size,
            "sha256": sha256_file(run.weights),
            "bundled": options.checkout is not None,
        },
    }


def _largest_side(words: Words, config: TrainConfig) -> int | None:
    """Return the longest side that the words name, or the model that was tuned has."""
    start = config.network.start_from
    if "largest_side" in words.model_fields_set or not start:
        return words.largest_side
    if start.endswith(".safetensors"):
        return None
    with suppress(UsageError):  # it may have been removed since
        card = load_manifest().get(start)
        if card.architecture == config.network.architecture:
            return card.input.largest_side
    return None


def _enlarged(network: Any) -> int:
    """Return how many times what a network takes was enlarged before."""
    return int(network.scale) if getattr(network, "reduces", False) else 1


def _draft_note(lost: list[str]) -> str:
    if not lost:
        return "Draft."
    return f"Draft: does not beat doing nothing: {'; '.join(lost)}."


def _card(fields: Fields) -> ModelCard:
    """Return the card; say which word it does not take."""
    try:
        return ModelCard.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise UsageError(f"no card takes this: {first_problem(error)}") from error
