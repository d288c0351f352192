"""The pipeline as functions: enhance an array, an image, a file, or a whole cohort."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medenh import formats, intensity
from medenh.errors import InputError, UsageError
from medenh.pipeline.engine import Engine
from medenh.pipeline.loading import Prepared, ZooModels
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.plan import make_plan
from medenh.pipeline.results import Listener, Summary
from medenh.pipeline.work import Plan, WorkItem
from medenh.types import Image, Modality

if TYPE_CHECKING:
    import torch

    from medenh.zoo.manifest import ModelCard

__all__ = [
    "Model",
    "chosen_model",
    "enhance",
    "enhance_files",
    "enhance_one",
    "list_models",
    "load_model",
    "plan_files",
]

PathLike: TypeAlias = str | Path
Source: TypeAlias = PathLike | Image | NDArray[Any]


def plan_files(
    inputs: Sequence[PathLike],
    output: PathLike | None,
    options: EnhanceOptions,
    models: ZooModels,
) -> Plan:
    """Return what `enhance_files` would do, without doing any of it."""
    models.resolve(Modality.UNKNOWN)  # an unknown name is known before anything
    return make_plan(inputs, output, options, models=models)


def chosen_model(
    item: WorkItem, models: ZooModels, options: EnhanceOptions
) -> tuple[str, str]:
    """Return which model an item would get, and why; reads it where that matters."""
    plain = models.resolve(Modality.UNKNOWN)
    if options.model in (plain.card.id, plain.card.full_id):
        return plain.card.id, plain.reason
    try:
        image = formats.read(item.sources, axis=options.axis, limits=options.limits)
    except InputError as error:
        return "none", f"it cannot be read: {error.what}"
    resolution = models.resolve(image.modality)
    return resolution.card.id, resolution.reason


def enhance_files(
    inputs: Sequence[PathLike],
    output: PathLike | None,
    options: EnhanceOptions,
    *,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
) -> Summary:
    """Enhance files and folders into files.

    Parameters
    ----------
    inputs : sequence of path
    output : path or None
        A file for one file, else a folder; None is ``NAME.enhanced.EXT`` beside it.
    options : EnhanceOptions
    listener : Listener, optional
        Hears how it goes.
    stop : threading.Event, optional
        Set it to end early; KeyboardInterrupt is raised.

    Returns
    -------
    Summary
        With every file that failed, and why; one bad file costs only itself.

    Raises
    ------
    UsageError, NothingReadableError, WeightsError
        Nothing could be started.
    """
    stop = stop or threading.Event()
    models = ZooModels(options, cancelled=stop.is_set)
    plan = plan_files(inputs, output, options, models)
    if plan.work:
        card = models.resolve(Modality.UNKNOWN).card
        if options.model in (card.id, card.full_id):
            # whatever the images are, it is this one: fail before reading any
            models.prepare(card)
    return Engine(options, models, listener=listener, stop=stop).run(plan)


def enhance(
    input: Source | Sequence[PathLike],
    output: PathLike | None = None,
    *,
    model: str = "auto",
    modality: str | None = None,
    **options: Any,
) -> Any:
    """Enhance an array, an image, a file, or many.

    Parameters
    ----------
    input : array, Image, path, or sequence of paths
        Arrays are (H, W), (H, W, C), (frames, H, W) or (frames, H, W, C), with 1 or 3
        channels, of any integer or floating-point type.
    output : path, optional
        Where files go: a file for one file, else a folder.
    model : str
        Id, alias or "auto"; see `medenh.list_models`.
    modality : str, optional
        What an array shows, where the model is picked by it.
    **options
        Fields of `EnhanceOptions`: ``strength=0.5``, ``device="cpu"``...

    Returns
    -------
    array, Image, Path or Summary
        An array for an array; an Image for an Image, and for a path without
        ``output``; the output's path for one file; a summary for several.

    Raises
    ------
    MedenhError
        The one of its kinds that tells what is wrong. Of several files, each failure
        is in the summary instead.
    """
    known = {field.name for field in fields(EnhanceOptions)}
    if unknown := sorted(set(options) - known):
        raise UsageError(
            f"unknown option {unknown[0]!r}", hint=f"one of {', '.join(sorted(known))}"
        )
    asked = EnhanceOptions(model=model, **options)
    if output is None and isinstance(input, np.ndarray | Image | str | Path):
        return _enhance_in_memory(input, asked, modality)
    if isinstance(input, np.ndarray | Image):
        image = _enhance_in_memory(_as_image(input), asked, modality)
        formats.write(image, Path(str(output)))
        return Path(str(output))
    inputs = [input] if isinstance(input, str | Path) else list(input)
    summary = enhance_files(inputs, output, asked)
    if len(inputs) > 1 or Path(inputs[0]).is_dir():
        return summary
    if summary.failed:
        raise summary.failed[0].error
    done = [result.output for result in summary.written]
    return (done or [skip.output for skip in summary.skipped])[0]


def _enhance_in_memory(
    source: Source, options: EnhanceOptions, modality: str | None
) -> Any:
    models = ZooModels(options)
    if isinstance(source, str | Path):
        source = formats.read(source, axis=options.axis, limits=options.limits)
    if modality is not None:
        kind = _modality(modality)
    else:
        kind = source.modality if isinstance(source, Image) else Modality.UNKNOWN
    prepared = models.prepare(models.resolve(kind).card)
    return enhance_one(prepared, source)


def enhance_one(
    prepared: Prepared, source: Source, *, axis: int | None = None
) -> Image | NDArray[Any]:
    """Return an array for an array, an Image for an Image or a file."""
    if isinstance(source, str | Path):
        source = formats.read(source, axis=axis)
    if isinstance(source, np.ndarray):
        return _run(prepared, _as_image(source)).pixels.reshape(source.shape)
    return _run(prepared, source)


def _modality(word: str) -> Modality:
    try:
        return Modality(word)
    except ValueError as error:
        raise UsageError(
            f"unknown modality {word!r}", hint=f"one of {', '.join(Modality)}"
        ) from error


def _run(prepared: Prepared, image: Image) -> Image:
    """Return an image enhanced, frame by frame."""
    out = np.empty_like(image.pixels)
    tasks = prepared.enhancer.tasks(image, out)
    for first in range(0, len(tasks), prepared.batch):
        group = tasks[first : first + prepared.batch]
        prepared.enhancer.enhance(group, alone=image.frames == 1)
    return replace(image, pixels=out)


def _as_image(source: Image | NDArray[Any]) -> Image:
    if isinstance(source, Image):
        return source
    from medenh.formats.array import plain_storage

    if source.dtype.kind not in "uifb" or source.dtype == np.float16:
        raise UsageError(f"arrays of {source.dtype} are not supported")
    pixels = _four_axes(source)
    if source.dtype.kind == "f":
        unit_range = intensity.float_range(pixels)
    else:
        unit_range = intensity.bit_depth_range(pixels)
    return Image(
        pixels=pixels, unit_range=unit_range, storage=plain_storage(source.dtype)
    )


def _four_axes(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as (frames, H, W, channels)."""
    shape = array.shape
    if 0 in shape or array.ndim not in (2, 3, 4):
        raise UsageError(f"an array of shape {shape} is no image")
    coloured = array.ndim > 2 and shape[-1] in (1, 3)
    if array.ndim == 4 and not coloured:
        raise UsageError(f"an array of shape {shape} has neither 1 nor 3 channels")
    if array.ndim == 2:
        return array[None, ..., None]
    if array.ndim == 3:
        return array[None] if coloured else array[..., None]
    return array


class Model:
    """A model of the zoo, loaded.

    Attributes
    ----------
    card : ModelCard
        What the zoo knows of it.

    Parameters
    ----------
    name : str
        Id, ``id@version`` or alias.
    options : EnhanceOptions
    """

    def __init__(self, name: str, options: EnhanceOptions) -> None:
        self._options = replace(options, model=name)
        self._models = ZooModels(self._options)
        self.card: ModelCard = self._models.resolve(Modality.UNKNOWN).card
        self._prepared = self._models.prepare(self.card)

    @cached_property
    def network(self) -> torch.nn.Module:
        """The torch network: NCHW float32 in [0, 1], in and out, any size.

        Raises
        ------
        UsageError
            The model is a classical method, without a network.
        """
        from medenh.zoo.load import load_network

        if self.card.weights is None:
            raise UsageError(f"{self.card.id} is a classical method without a network")
        network = load_network(self.card, offline=self._options.offline or None)
        return network.to(self._models.device.name)

    def enhance(self, source: Source) -> Any:
        """Return an array for an array, else an Image."""
        return enhance_one(self._prepared, source, axis=self._options.axis)


def load_model(
    name: str, device: str = "auto", precision: str = "auto", **options: Any
) -> Model:
    """Return a model ready to enhance.

    Parameters
    ----------
    name : str
        Id, ``id@version`` or alias; "auto" is the general model.
    device, precision : str
        As in `EnhanceOptions`.
    **options
        Other fields of `EnhanceOptions`.

    Raises
    ------
    UsageError
        The name is unknown.
    WeightsError
        Its weights cannot be had.
    """
    return Model(name, EnhanceOptions(device=device, precision=precision, **options))


def list_models(
    modality: str | None = None, task: str | None = None
) -> tuple[ModelCard, ...]:
    """Return the cards of the zoo that suit a modality and a task."""
    from medenh.zoo.manifest import load_manifest

    return load_manifest().select(modality=modality, task=task)
