"""Arrays and single images enhanced in memory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medenh import formats
from medenh.arrays import PillowPicture, is_pillow, not_taken
from medenh.errors import InputError, OutputError, UsageError
from medenh.formats import array, writers
from medenh.formats.maps import MAP_FORMATS, map_image, write_map
from medenh.formats.readers import said_of
from medenh.paths import IN_MEMORY, StrPath, as_place
from medenh.pipeline import fidelity
from medenh.pipeline.loading import Prepared, ZooModels
from medenh.pipeline.looks import choose_model
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.uncertainty import TOP, Ensemble
from medenh.pipeline.work import WorkItem
from medenh.pipeline.writing import check_fits, losses, provenance_of, remaining_names
from medenh.types import FloatArray, Image

__all__ = [
    "Source",
    "answer",
    "as_image",
    "as_paths",
    "enhance_in_memory",
    "refuse_file_options",
    "run",
    "to_say",
]

Source: TypeAlias = StrPath | Image | NDArray[Any] | PillowPicture

_FILE_OPTIONS = ("shard", "format", "recursive")


def enhance_in_memory(
    source: Source,
    output: StrPath | None,
    options: EnhanceOptions,
) -> Any:
    """Return what `medenh.enhance` does of an array, an Image or one file to read."""
    refuse_file_options(options, output)
    image = options.told(as_image(source, options))
    item, told = None, []
    if output is not None:
        item = _item_of(image, Path(output), options)
        check_fits(image, item.targets, item.kind)
        remaining = remaining_names(image, options.deidentify)
        wrong, lost = losses(image, item.kind, item.map_format)
        if wrong and options.strict:
            raise fidelity.describe(wrong, image)
        told = [*wrong, *remaining, *lost]
    models = ZooModels(options)
    card = choose_model(image, models)[0].card
    said = to_say(source, image)
    guessed = array.guesses(image) if isinstance(source, np.ndarray) else []
    enhanced, spread = run(models.prepare(card), image, options, said=said)
    for word in (*(said or ()), *guessed):
        warnings.warn(word, stacklevel=3)
    if item is None:
        return answer(source, enhanced, spread)
    writers.write(
        enhanced,
        item.targets,
        format=item.kind,
        provenance=enhanced.provenance,
        deidentify=options.deidentify,
    )
    if spread is not None:
        write_map(spread, enhanced, item.maps, format=item.map_format, top=TOP)
    for word in told:
        warnings.warn(word, stacklevel=3)
    return item.targets[0]


def to_say(source: Source, image: Image) -> list[str] | None:
    """Return what is to be said of a file before it is enhanced; None of the rest."""
    return said_of(image) if isinstance(source, str | os.PathLike) else None


def _item_of(image: Image, output: Path, options: EnhanceOptions) -> WorkItem:
    """Return what an image in memory becomes; refuse what would be lost."""
    kind = writers.kind_for(image, output)
    wanted = MAP_FORMATS.get(kind, "npy") if options.uncertainty else ""
    item = WorkItem((), (output,), image.format, kind=kind, map_format=wanted)
    there = [path for path in item.outputs if path.exists()]
    if there and options.on_exists == "error":
        raise OutputError(
            "is already there", path=there[0], hint='on_exists="overwrite"'
        )
    return item


def refuse_file_options(options: EnhanceOptions, output: StrPath | None = None) -> None:
    """Refuse options that only a run over files can follow, and lost outputs."""
    allowed = ("error",) if output is None else ("error", "overwrite")
    if options.on_exists not in allowed:
        raise UsageError(f"in memory, on_exists can only be {' or '.join(allowed)}")
    if options.deidentify is not None and output is None:
        raise UsageError("deidentify is for files that are written")
    plain = EnhanceOptions()
    for name in _FILE_OPTIONS:
        if getattr(options, name) != getattr(plain, name):
            raise UsageError(
                f"{name} is for files with an output, and has no meaning in memory"
            )


def run(
    prepared: Prepared,
    image: Image,
    options: EnhanceOptions,
    *,
    said: list[str] | None = None,
) -> tuple[Image, FloatArray | None]:
    """Return an image enhanced, frame by frame, and its uncertainty if it is wanted.

    Where the input or the result is outside the model's card is added to ``said``,
    where that is given.

    Raises
    ------
    RefusedError
        ``strict`` is set, and the input or the result is outside the model's card.
    """
    looks = options.strict or said is not None
    said = [] if said is None else said
    if looks:
        told = options.modality is not None
        problems, remarks = fidelity.check_input(image, prepared.card, told=told)
        if problems and options.strict:
            raise fidelity.describe(problems, image)
        said += [*problems, *remarks]
    out = np.empty_like(image.pixels)
    tasks = prepared.enhancer.tasks(image, out)
    ensemble = Ensemble(prepared.enhancer, image) if options.uncertainty else None
    alone = image.frames == 1
    for first in range(0, len(tasks), prepared.batch):
        group = tasks[first : first + prepared.batch]
        if ensemble is None:
            prepared.enhancer.enhance(group, alone=alone)
            continue
        group = [ensemble.kept(task) for task in group]
        prepared.enhancer.enhance(group, alone=alone)
        for task in group:
            ensemble.measure(task, alone=alone)
    how = provenance_of(prepared, options)
    enhanced = replace(image, pixels=out).made_by(how, source=image)
    if looks:
        figures = fidelity.measure(image, enhanced)
        problems = fidelity.warnings_of(figures, prepared.card)
        problems += fidelity.cut_off(image, enhanced)
        if problems and options.strict:
            raise fidelity.describe(problems, image, figures)
        said += [*problems, *prepared.enhancer.caveats(image)]
    return enhanced, None if ensemble is None else ensemble.spread


def as_paths(source: Any) -> list[str]:
    """Return the paths that an iterable holds.

    Raises
    ------
    UsageError
        It is none, or holds something else.
    """
    if (
        isinstance(source, (*IN_MEMORY, Mapping))
        or not isinstance(source, Iterable)
        or hasattr(source, "__array__")
    ):
        raise _not_taken(source)
    paths = list(source)
    for one in paths:
        if not isinstance(one, str | os.PathLike):
            raise _not_taken(one, of_several=True)
    return [as_place(one, "input") for one in paths]


def _not_taken(source: object, *, of_several: bool = False) -> UsageError:
    hint = (
        "give a path, several paths, a medenh.Image, a PIL image, or an array "
        "(H, W), (H, W, 3), (frames, H, W) or (frames, H, W, 3)"
    )
    if of_several and (isinstance(source, np.ndarray | Image) or is_pillow(source)):
        hint = f"one by one: [model.enhance(one) for one in pictures]; {hint}"
    error = not_taken(source, "enhanced", hint=hint)
    return (
        UsageError(f"several of {error.what}", hint=error.hint) if of_several else error
    )


def as_image(source: Source, options: EnhanceOptions) -> Image:
    """Return an array, or what a file holds, as an Image; an Image as it is.

    Raises
    ------
    UsageError
        The array is of no shape or type that images have, the path is a folder.
    InputError
        The file cannot be read.
    """
    if isinstance(source, Image):
        return source
    if isinstance(source, str | os.PathLike):
        if Path(source).is_dir():
            raise UsageError(
                f"{source} is a folder, and its images need an output folder",
                hint='output="OUT"; of a DICOM series: '
                'enhance(medenh.read(sorted(folder.glob("*"))))',
            )
        return formats.read(source, axis=options.axis, limits=options.limits)
    if not isinstance(source, np.ndarray):
        raise _not_taken(source)
    try:
        return array.from_array(source, data_range=options.data_range)
    except InputError as error:
        raise UsageError(error.what, hint=error.hint) from error


def answer(source: Source, enhanced: Image, spread: FloatArray | None) -> Any:
    """Return arrays for an array, else Images: one, or two with the uncertainty."""
    result: Image | NDArray[Any] = enhanced
    if isinstance(source, np.ndarray):
        result = array.to_array(enhanced).astype(source.dtype, copy=False)
    if spread is None:
        return result
    uncertainty = map_image(spread, enhanced, top=TOP)
    if isinstance(source, np.ndarray):
        return result, array.to_array(uncertainty)
    return result, uncertainty
