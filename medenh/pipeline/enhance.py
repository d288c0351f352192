"""The pipeline as functions: enhance an array, an image, a file, or a whole cohort."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from medenh import formats
from medenh.arrays import PillowPicture, is_pillow, not_taken, without_pillow
from medenh.errors import InputError, OutputError, RefusedError, UsageError
from medenh.formats import array, writers
from medenh.formats.maps import MAP_FORMATS, map_image, write_map
from medenh.formats.readers import said_of
from medenh.paths import IN_MEMORY, StrPath, as_place
from medenh.pipeline import fidelity
from medenh.pipeline.attempt import attempt
from medenh.pipeline.engine import Engine
from medenh.pipeline.loading import Prepared, ZooModels
from medenh.pipeline.looks import choose_model
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.plan import make_plan
from medenh.pipeline.results import Failure, Listener, Summary
from medenh.pipeline.uncertainty import TOP, Ensemble
from medenh.pipeline.work import Plan, WorkItem
from medenh.pipeline.writing import (
    check_fits,
    losses,
    lost_meaning,
    provenance_of,
    remaining_names,
)
from medenh.types import FloatArray, Image, Modality

if TYPE_CHECKING:
    import torch

    from medenh.zoo.manifest import ModelCard

__all__ = [
    "Model",
    "enhance",
    "enhance_files",
    "foresee",
    "list_models",
    "load_model",
    "plan_files",
]

Source: TypeAlias = StrPath | Image | NDArray[Any] | PillowPicture

_Number = TypeVar("_Number", bound=np.generic)

_FILE_OPTIONS = ("shard", "format", "recursive")


def plan_files(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    options: EnhanceOptions,
    models: ZooModels,
) -> Plan:
    """Return what `enhance_files` would do, without doing any of it."""
    models.resolve(Modality.UNKNOWN)  # an unknown name is known before anything
    return make_plan(inputs, output, options, models=models)


def foresee(
    plan: Plan, models: ZooModels, options: EnhanceOptions
) -> tuple[Plan, list[tuple[str, str]]]:
    """Return a plan without what cannot be read or ``strict`` would refuse unseen.

    With it come the models of what is left, and why. What keeps its format is not read
    here where the model is known without. What is read and outside the card is remarked
    on, as the run would warn of it.

    Only a run knows whether a result is outside the card's limits.
    """
    work, chosen, refused = [], [], []
    for item in plan.work:
        try:
            model, reason, said = _foreseen(item, models, options)
        except (RefusedError, InputError) as error:
            refused += [Failure(path, error) for path in item.sources]
        else:
            chosen.append((model, reason))
            work.append(replace(item, remarks=(*item.remarks, *said)))
    failed = (*plan.failed, *refused)
    return replace(plan, work=tuple(work), failed=failed), chosen


def _foreseen(
    item: WorkItem, models: ZooModels, options: EnhanceOptions
) -> tuple[str, str, list[str]]:
    """Return an item's model, why, and what would be warned about.

    Raises
    ------
    RefusedError
        ``strict`` is set, and the image is outside the model's card.
    InputError
        It is one file, which cannot be read; or its outputs cannot hold it.
    """
    plain = models.resolve(Modality.UNKNOWN)
    named = options.model in (plain.card.id, plain.card.full_id)
    if named and not options.strict and item.kind in ("", item.format):
        return plain.card.id, plain.reason, []
    try:
        image = formats.read(item.sources, axis=options.axis, limits=options.limits)
    except InputError as error:
        if len(item.sources) == 1:
            raise
        return "none", f"not all of it can be read: {error.what}", []
    check_fits(image, item.targets, item.kind)
    image = options.told(image)
    resolution, modality = choose_model(image, models)
    seen = replace(image, modality=modality)
    told = options.modality is not None
    problems, said = fidelity.check_input(seen, resolution.card, told=told)
    problems += lost_meaning(image, item.kind, item.map_format)
    if options.strict and problems:
        raise fidelity.describe(problems, image)
    return resolution.card.id, resolution.reason, [*problems, *said]


def enhance_files(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    options: EnhanceOptions,
    *,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
    summary: Summary | None = None,
) -> Summary:
    """Enhance files and folders into files.

    Parameters
    ----------
    inputs : sequence of path
    output : path or None
        A file for one image (a file, or a DICOM series), else a folder; None is
        ``NAME.enhanced.EXT`` beside one file.
    options : EnhanceOptions
    listener : Listener, optional
        Hears how it goes.
    stop : threading.Event, optional
        Set it to end early; KeyboardInterrupt is raised.
    summary : Summary, optional
        Filled and returned; it tells what was done of a run that ends early too.

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

    def prepare() -> tuple[ZooModels, Plan]:
        models = ZooModels(options, cancelled=stop.is_set)
        plan = plan_files(inputs, output, options, models)
        if plan.work:
            card = models.resolve(Modality.UNKNOWN).card
            if options.model in (card.id, card.full_id):
                # whatever the images are, it is this one: fail before reading any
                models.prepare(card)
        return models, plan

    # hashing, downloads and imports take long, and ask nobody whether to stop
    models, plan = attempt(prepare, name="prepare", stop=stop)
    engine = Engine(options, models, listener=listener, stop=stop, summary=summary)
    return engine.run(plan)


@overload
def enhance(
    input: NDArray[_Number],
    output: None = None,
    *,
    uncertainty: Literal[True],
    **options: Any,
) -> tuple[NDArray[_Number], NDArray[np.float32]]: ...
@overload
def enhance(
    input: PillowPicture,
    output: None = None,
    *,
    uncertainty: Literal[True],
    **options: Any,
) -> tuple[NDArray[Any], NDArray[np.float32]]: ...
@overload
def enhance(
    input: Image | StrPath,
    output: None = None,
    *,
    uncertainty: Literal[True],
    **options: Any,
) -> tuple[Image, Image]: ...
@overload
def enhance(
    input: NDArray[_Number], output: None = None, **options: Any
) -> NDArray[_Number]: ...
@overload
def enhance(
    input: PillowPicture, output: None = None, **options: Any
) -> NDArray[Any]: ...
@overload
def enhance(input: Image | StrPath, output: None = None, **options: Any) -> Image: ...
@overload
def enhance(
    input: Image | NDArray[Any] | PillowPicture, output: StrPath, **options: Any
) -> Path: ...
@overload
def enhance(input: StrPath, output: StrPath, **options: Any) -> Path | Summary: ...
@overload
def enhance(input: Iterable[StrPath], output: StrPath, **options: Any) -> Summary: ...
def enhance(
    input: Source | Iterable[StrPath],
    output: StrPath | None = None,
    *,
    model: str = "auto",
    **options: Any,
) -> Any:
    """Enhance an array, an image, a file, or many.

    Parameters
    ----------
    input : array, Image, picture of Pillow, path, or iterable of paths
        Arrays are (H, W), (H, W, C), (frames, H, W) or (frames, H, W, C), with 1, 3 or
        4 channels (RGB and opacity), of integers, floats of up to 64 bits (longdouble
        is refused), or booleans, which are 0 and 1 and come back as booleans. NaN keeps
        its place; masked values (`numpy.ma`) are refused: fill them. Channels come
        last: (3, H, W) is taken for three grey frames. Pictures of Pillow, of mode L,
        I;16, RGB, RGBA or F, are taken as `numpy.asarray` gives them.
    output : path, optional
        Where files go: a file for one image (a file, or a DICOM series), else a folder.
        An iterable of paths needs one.
    model : str
        Id, alias or "auto"; see `medenh.list_models`.
    **options
        Fields of `EnhanceOptions`: ``strength=0.5``, ``modality="fundus"``...

    Returns
    -------
    array, Image, Path or Summary
        An array for an array or a picture of Pillow; an Image for an Image, and for a
        path without ``output``, else the output's path; a summary for a folder, and for
        an iterable of paths, however many it holds.
        With ``uncertainty=True`` and no ``output`` a pair of arrays or Images: the
        enhanced one, and the map of the answers' standard deviation, float32 of shape
        ([frames,] H, W) in parts of the range; with an output it is a file beside it.

    Warns
    -----
    UserWarning
        What a reader of the output of one file must know: the input or the result is
        outside the model's card, something of the file is lost. Arrays and Images are
        not measured; ``strict=True`` does, and refuses. Black and white of an array
        were guessed from its values, or (3, H, W) was taken for frames.

    Raises
    ------
    MedenhError
        The one of its kinds that tells what is wrong. Where a summary is returned,
        each file's failure is in it instead.
    """
    asked = _asked(model=model, **options)
    source = without_pillow(input)
    if isinstance(source, str | os.PathLike):
        source = as_place(source, "input")
    output = None if output is None else as_place(output, "output")
    array.check_own_range(source, asked.data_range)
    if isinstance(source, np.ndarray | Image):
        return _enhance_in_memory(source, output, asked)
    if not isinstance(source, str | Path):
        paths = _as_paths(source)
        if output is None:  # one of several would be written beside its input
            raise UsageError(
                "paths need an output, the folder that the files go to",
                hint='enhance(paths, "out"); of one path an Image is returned',
            )
        return enhance_files(paths, output, asked)
    if output is None:
        return _enhance_in_memory(source, None, asked)
    summary = enhance_files([source], output, asked)
    if Path(source).is_dir():
        return summary
    if summary.failed:
        raise summary.failed[0].error
    told = (word for result in summary.written for word in result.warnings)
    for word in dict.fromkeys(told):  # slices of a series share theirs
        warnings.warn(word, stacklevel=2)
    done = [result.output for result in summary.written]
    return (done or [skip.output for skip in summary.skipped])[0]


def _asked(**options: Any) -> EnhanceOptions:
    """Return options that were given by name; unknown ones are refused."""
    known = {field.name for field in fields(EnhanceOptions)}
    if unknown := sorted(set(options) - known):
        raise UsageError(
            f"unknown option {unknown[0]!r}", hint=f"one of {', '.join(sorted(known))}"
        )
    return EnhanceOptions(**options)


def _enhance_in_memory(
    source: Source,
    output: StrPath | None,
    options: EnhanceOptions,
) -> Any:
    _refuse_file_options(options, output)
    image = options.told(_as_image(source, options))
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
    said = _to_say(source, image)
    guessed = array.guesses(image) if isinstance(source, np.ndarray) else []
    enhanced, spread = _run(models.prepare(card), image, options, said=said)
    for word in (*(said or ()), *guessed):
        warnings.warn(word, stacklevel=3)
    if item is None:
        return _answer(source, enhanced, spread)
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


def _to_say(source: Source, image: Image) -> list[str] | None:
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


def _refuse_file_options(
    options: EnhanceOptions, output: StrPath | None = None
) -> None:
    """Refuse options that only a run over files can follow, and lost outputs."""
    allowed = ("error",) if output is None else ("error", "overwrite")
    if options.on_exists not in allowed:
        raise UsageError(f"in memory on_exists is {' or '.join(allowed)}")
    if options.deidentify is not None and output is None:
        raise UsageError("deidentify is for files that are written")
    plain = EnhanceOptions()
    for name in _FILE_OPTIONS:
        if getattr(options, name) != getattr(plain, name):
            raise UsageError(
                f"{name} is for files with an output, and has no meaning in memory"
            )


def _run(
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


def _as_paths(source: Any) -> list[str]:
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


def _as_image(source: Source, options: EnhanceOptions) -> Image:
    if isinstance(source, Image):
        return source
    if isinstance(source, str | os.PathLike):
        if Path(source).is_dir():
            raise UsageError(
                f"{source} is a folder, and its pictures need a place to go",
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


def _answer(source: Source, enhanced: Image, spread: FloatArray | None) -> Any:
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
        _refuse_file_options(options)
        self._models = ZooModels(self._options)
        modality = Modality(options.modality or Modality.UNKNOWN)
        self.card: ModelCard = self._models.resolve(modality).card
        self._prepared = self._models.prepare(self.card)

    def __repr__(self) -> str:
        """Describe which model runs, and how."""
        runner = self._prepared.runner
        how = f"{runner.engine} {runner.precision}, {self._models.device.name}"
        return f"<medenh.Model {self.card.full_id}, {how}>"

    def __reduce__(self) -> tuple[type[Model], tuple[str, EnhanceOptions]]:
        """Let another process, as of a DataLoader, load the same model itself."""
        return type(self), (self._options.model, self._options)

    @cached_property
    def network(self) -> torch.nn.Module:
        """The torch network: NCHW float32 in [0, 1], in and out, any size.

        Raises
        ------
        UsageError
            The model is a classical method, without a network.
        """
        import torch

        from medenh.zoo.load import load_network

        if self.card.weights is None:
            raise UsageError(f"{self.card.id} is a classical method without a network")
        network = load_network(self.card, offline=self._options.offline or None)
        with torch.inference_mode(False):  # as in load_network
            return network.to(self._models.device.name)

    @overload
    def enhance(
        self,
        source: NDArray[_Number],
        *,
        data_range: tuple[float, float] | None = None,
    ) -> NDArray[_Number]: ...
    @overload
    def enhance(
        self, source: PillowPicture, *, data_range: tuple[float, float] | None = None
    ) -> NDArray[Any]: ...
    @overload
    def enhance(self, source: Image | StrPath) -> Image: ...
    def enhance(
        self, source: Source, *, data_range: tuple[float, float] | None = None
    ) -> Any:
        """Return an array for an array, else an Image.

        Of a model that was loaded with ``uncertainty=True`` it is a pair, as `enhance`
        returns it, of which type hints know nothing.

        ``data_range`` is that of this array, in place of the one that the model was
        loaded with. A warning tells where neither is given and it was guessed; of a
        file there are those of `enhance`.
        """
        source = without_pillow(source)
        options = self._options
        if data_range is not None:
            options = replace(options, data_range=data_range)
        array.check_own_range(source, options.data_range)
        image = options.told(_as_image(source, options))
        said = _to_say(source, image)
        enhanced, spread = _run(self._prepared, image, options, said=said)
        guessed = array.guesses(image) if isinstance(source, np.ndarray) else []
        for word in (*(said or ()), *guessed):
            warnings.warn(word, stacklevel=2)
        return _answer(source, enhanced, spread)


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
        The name is unknown, or an option or its value.
    WeightsError
        Its weights cannot be had.
    """
    return Model(name, _asked(device=device, precision=precision, **options))


def list_models(
    modality: str | None = None, task: str | None = None
) -> tuple[ModelCard, ...]:
    """Return the cards of the zoo that suit a modality and a task."""
    from medenh.zoo.manifest import load_manifest

    return load_manifest().select(modality=modality, task=task)
