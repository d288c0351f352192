"""One degraded picture from its files to a staging folder, with its record."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import __version__
from medenh.degradations import (
    Pair,
    Recipe,
    Record,
    degrade_image,
    find_recipe,
    framing,
    replay_image,
)
from medenh.degradations.api import as_field, unit_severity
from medenh.degradations.cofe_record import from_cofe, is_cofe, side_of
from medenh.degradations.record import FileEntry
from medenh.errors import (
    InputError,
    MedenhError,
    OutOfMemoryError,
    UnreadableError,
    UsageError,
    as_ours,
)
from medenh.formats import writers
from medenh.formats.array import from_array
from medenh.formats.files import atomic_output
from medenh.formats.limits import size_text
from medenh.formats.nifti import frame_axis, told_as
from medenh.formats.viewing import Viewing, viewing_of
from medenh.intensity import told_bits
from medenh.pipeline.budget import usable_memory
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.degrade_records import content_sha256
from medenh.pipeline.fidelity import cut_off, no_picture
from medenh.pipeline.journal import with_partners
from medenh.pipeline.looks import strange_looks
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.reading import read_within, time_limit_s
from medenh.pipeline.results import Failure
from medenh.pipeline.writing import (
    check_fits,
    losses,
    remaining_names,
)
from medenh.tasks.masks import mask_orientation, read_mask, refuse_photograph
from medenh.types import FloatArray, Image, Modality, on_all_volumes

__all__ = ["Admit", "Outcome", "Task", "Workshop"]

# Bytes at work for each value of the whole and of one frame [measured: a single frame
# takes 54 to 89, by recipe, a volume of 32 frames 9 to 19]
_WHOLE, _FRAME = 20, 72
_LEAST_WHOLE, _LEAST_FRAME = 8, 44
_TURNED = ("png", "tiff")  # formats that tell which way is up, of those written here

Admit = Callable[[int], None]
"""Called with the bytes that are needed before they are; returns once they may be."""


def _memory_for(image: Image) -> int:
    """Return about how many bytes degrading takes.

    Raises
    ------
    OutOfMemoryError
        Even the least that any recipe takes is more than there is: the system grants
        memory that it lacks, and kills the process when that is used.
    """
    whole, frame = int(image.pixels.size), int(image.pixels[0].size)
    least = whole * _LEAST_WHOLE + frame * _LEAST_FRAME
    size = usable_memory()
    if least > size:
        raise OutOfMemoryError(
            f"to degrade it takes about {size_text(least)} of memory, and there are "
            f"{size_text(size)}",
            path=image.source,
            hint="use a machine with more memory, or a smaller picture",
        )
    return whole * _WHOLE + frame * _FRAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One degraded picture to make.

    Attributes
    ----------
    index : int
        Its place in the plan.
    sources : tuple of path
        What is read: one file, or the slices of a DICOM series.
    names : tuple of str
        The same, relative, with "/" between folders: the first fixes chance.
    kind, format : str
        Format of the sources and of the outputs.
    outputs, references : tuple of str
        Names below the output folder, of degraded and (with pairs) clean pictures.
    recipe : str
        Its name.
    drawn_by : Recipe, optional
        The recipe, read once for the whole run; None where nothing is drawn.
    draw : int
        Number of the copy.
    mask : path, optional
        File of the field of view.
    label_mask : path, optional
        File of the label mask that goes along, to `label_outputs`.
    label_outputs : tuple of str
        Its name below the output folder: one where there is one.
    legacy : path, optional
        File of Cofe-Net's parameters, instead of drawing.
    record : Record, optional
        To be replayed instead of drawing.
    remarks : tuple of str
        What a reader of the output must know of why it is made.
    """

    index: int
    sources: tuple[Path, ...]
    names: tuple[str, ...]
    kind: str
    format: str
    outputs: tuple[str, ...]
    references: tuple[str, ...] = ()
    recipe: str = ""
    drawn_by: Recipe | None = None
    draw: int = 0
    mask: Path | None = None
    label_mask: Path | None = None
    label_outputs: tuple[str, ...] = ()
    legacy: Path | None = None
    record: Record | None = None
    remarks: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The first source, which names the task."""
        return self.sources[0]

    def part(self, indices: Sequence[int]) -> Task:
        """Return the task with some of its sources only."""

        def some(values: tuple[Any, ...]) -> tuple[Any, ...]:
            parallel = len(values) == len(self.sources)
            return tuple(values[i] for i in indices) if parallel else values

        return replace(
            self,
            sources=some(self.sources),
            names=some(self.names),
            outputs=some(self.outputs),
            references=some(self.references),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task: a record with its files in the staging folder, or why not.

    A series may have both: a record of what is sound, and failures of damaged slices.
    """

    index: int
    record: Record | None = None
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    guessed_bits: int = 0


@dataclass(frozen=True, slots=True)
class _Read:
    """A picture that was read, kept for the next task on the same files."""

    wanted: tuple[Path, ...]
    task: Task
    image: Image
    hashes: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    bits: int = 0


class Workshop:
    """Carries out tasks, one at a time.

    Parameters
    ----------
    options : DegradeOptions
    staging : path
        Outputs go to ``staging/INDEX/NAME``, for the caller to move or to drop.
    """

    def __init__(self, options: DegradeOptions, staging: Path) -> None:
        self._options = options
        self._staging = staging
        self._last: _Read | None = None

    def carry_out(self, task: Task, admit: Admit) -> Outcome:
        """Return what came of a task; whatever goes wrong is in it."""
        try:
            return self._carry_out(task, admit)
        except Exception as error:
            ours = as_ours(error, task.path)
            self._name_target(ours, task)
            failures = tuple(Failure(path, ours) for path in task.sources)
            return Outcome(task.index, failures=failures)

    def _name_target(self, error: MedenhError, task: Task) -> None:
        """Let an error of a file in the making speak of where it was to go."""
        made = self._staging / str(task.index)
        if error.path is not None and error.path.is_relative_to(made):
            error.path = self._staging.parent / error.path.relative_to(made)

    def foresee(self, task: Task) -> tuple[Failure, ...]:
        """Return which files of a task fail before they are degraded; makes nothing."""
        try:
            task, read = self._open(task)
            remaining_names(read.image, self._profile(task))
            _memory_for(read.image)
            if task.mask is not None:
                field = _read_mask(task.mask, read.image)
                framing.check_field(read.image, field)
            if task.label_mask is not None:
                _read_labels(task.label_mask, read.image)
            if task.legacy is not None:
                _read_legacy(task.legacy, read.image, self._options.size)
        except Exception as error:
            ours = as_ours(error, task.path)
            return tuple(Failure(path, ours) for path in task.sources)
        return read.failures

    def _open(self, task: Task) -> tuple[Task, _Read]:
        """Read a task's pictures; return what of it is sound, and them."""
        wanted = (task.sources, _bits(task, self._options))
        if self._last is None or (self._last.wanted, self._last.bits) != wanted:
            self._last = None  # its memory, before the next is read
            self._last = _read(task, self._options)
        read = self._last
        task = task.part([task.sources.index(path) for path in read.task.sources])
        if task.record is not None:
            _check_sources(task, read.hashes)
        check_fits(read.image, [Path(name) for name in task.outputs], task.format)
        return task, read

    def _carry_out(self, task: Task, admit: Admit) -> Outcome:
        task, read = self._open(task)
        image = read.image
        remaining = remaining_names(image, self._profile(task))
        admit(_memory_for(image))
        pair = self._pair(task, image)
        record = self._write(task, pair, image, read.hashes)
        wrong, lost = ([], []) if task.draw else losses(image, task.format)
        idle = _nothing_done(record)
        if pair.low.pixels.shape == image.pixels.shape:
            idle += cut_off(image, pair.low)
        warnings = (*_warnings(task, image), *remaining, *wrong, *lost, *idle)
        return Outcome(
            task.index,
            record,
            read.failures,
            (*task.remarks, *warnings),
            _guessed_bits(image, record),
        )

    def _profile(self, task: Task) -> str | None:
        """Return how a task's files are de-identified, if they are."""
        if task.record is not None:
            return task.record.deidentify or None
        return self._options.deidentify

    def _pair(self, task: Task, image: Image) -> Pair:
        field = None if task.mask is None else _read_mask(task.mask, image)
        asked = self._options
        if task.record is not None:
            return replay_image(image, task.record, field=field)
        if task.legacy is not None:
            known = _read_legacy(task.legacy, image, asked.size)
            return replay_image(image, known, field=field)
        recipe = task.drawn_by or find_recipe(task.recipe)
        options = asked.recipe_options
        return degrade_image(
            image,
            recipe,
            name=task.names[0],
            seed=asked.seed,
            draw=task.draw,
            severity=None if asked.severity is None else unit_severity(asked.severity),
            size=asked.size,
            options={k: v for k, v in options.items() if k in recipe.options},
            field=field,
        )

    def _write(
        self, task: Task, pair: Pair, image: Image, hashes: tuple[str, ...]
    ) -> Record:
        """Write the pictures into the staging folder and return the whole record."""
        folder = self._staging / str(task.index)
        mask, labels, legacy = task.mask, task.label_mask, task.legacy
        parameters = pair.record.parameters_sha256
        if legacy is not None:
            parameters = content_sha256(legacy)
        record = pair.record.model_copy(
            update={
                "source": task.names[0],
                "source_sha256": hashes[0],
                "more_sources": _entries(task.names[1:], hashes[1:]),
                "output": task.outputs[0],
                "format": task.format,
                "deidentify": self._profile(task) or "",
                "bits": _bits(task, self._options),
                "mask_sha256": "" if mask is None else content_sha256(mask),
                "label_mask_sha256": "" if labels is None else content_sha256(labels),
                "parameters_sha256": parameters,
            }
        )
        low = [folder / name for name in task.outputs]
        profile = self._profile(task)
        writers.write(
            pair.low,
            low,
            format=task.format,
            provenance=record.provenance(),
            deidentify=profile,
        )
        high = [folder / name for name in task.references]
        if high:
            _write_clean(pair, high, task, image, profile)
        along = [folder / name for name in task.label_outputs]
        if labels is not None:
            _write_labels(labels, along[0], pair, image, task.format)
        done = [content_sha256(path) for path in low]
        return record.model_copy(
            update={
                "output_sha256": done[0],
                "more_outputs": _entries(task.outputs[1:], done[1:]),
                "references": _entries(
                    task.references, [content_sha256(path) for path in high]
                ),
                "label_masks": _entries(
                    task.label_outputs, [content_sha256(path) for path in along]
                ),
            }
        )


def _entries(names: Sequence[str], hashes: Sequence[str]) -> tuple[FileEntry, ...]:
    return tuple(
        FileEntry(name=name, sha256=digest)
        for name, digest in zip(names, hashes, strict=True)
    )


def _write_clean(
    pair: Pair, paths: list[Path], task: Task, image: Image, profile: str | None
) -> None:
    """Write the clean picture; volumes that are as they were, byte for byte."""
    high = pair.high
    untouched = high is image or (
        high.header is image.header
        and np.array_equal(high.pixels, image.pixels, equal_nan=_is_float(image))
    )
    whole = with_partners(task.sources) == list(task.sources)
    copied = task.kind in ("dicom", "nifti", "npy") and task.kind == task.format
    if profile is not None or not (untouched and whole and copied):
        writers.write(
            high,
            paths,
            format=task.format,
            provenance=high.provenance,
            deidentify=profile,
        )
        return
    for source, target in zip(task.sources, paths, strict=True):
        with atomic_output(target) as part:
            shutil.copyfile(source, part)


def _write_labels(
    source: Path, target: Path, pair: Pair, image: Image, kind: str
) -> None:
    """Write a picture's label mask as PNG, cropped and resized as the picture was.

    It is to be seen the same way up as the picture, where the format of that tells it.
    """
    along = from_array(pair.view.along(_read_labels(source, image)))
    turned = viewing_of(pair.low).orientation if kind in _TURNED else 1
    turning = replace(along, header=Viewing(orientation=turned))
    writers.write(turning, [target], format="png")


def _read_labels(source: Path, image: Image) -> NDArray[np.uint8 | np.uint16]:
    """Return a picture's label mask in a type of PNG.

    Raises
    ------
    InputError
        It cannot be read, or holds numbers that PNG does not.
    UsageError
        It is of another size, or the picture is a volume.
    """
    labels = read_mask(source)
    if image.frames > 1:
        raise UsageError(
            "is a volume: label masks are for images of one frame",
            hint="volumes are neither cropped nor resized in their own format: use "
            "the masks of the originals",
        )
    if labels.shape != (image.height, image.width):
        raise UsageError(
            f"the label mask is {labels.shape[1]} x {labels.shape[0]}, "
            f"the picture {image.width} x {image.height}",
            path=source,
        )
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most > np.iinfo(np.uint16).max:
        raise InputError(
            f"its labels go from {least} to {most}: PNG holds 0 to 65535", path=source
        )
    kind = np.uint8 if most <= np.iinfo(np.uint8).max else np.uint16
    return labels.astype(kind)


def _is_float(image: Image) -> bool:
    return image.pixels.dtype.kind == "f"


def _read(task: Task, options: DegradeOptions) -> _Read:
    """Read a task's picture; of a damaged series what is sound.

    Raises
    ------
    InputError
        It is one file, and something is wrong with it; or no slice is sound.
    """
    hashes = [content_sha256(path) for path in task.sources]
    bits = _bits(task, options)
    try:
        image = _read_image(task.sources, options, bits)
    except InputError:
        if len(task.sources) == 1 or task.record is not None:
            raise
        sound, failures = _sift(task, options)
        if not sound or not failures:
            raise
        image = _read_image(task.part(sound).sources, options, bits)
        kept = tuple(hashes[i] for i in sound)
        part = task.part(sound)
        return _Read(task.sources, part, image, kept, tuple(failures), bits)
    return _Read(task.sources, task, image, tuple(hashes), bits=bits)


def _sift(task: Task, options: DegradeOptions) -> tuple[list[int], list[Failure]]:
    sound, failures = [], []
    for index, path in enumerate(task.sources):
        try:
            _read_image([path], options, _bits(task, options))
        except InputError as error:
            failures.append(Failure(path, error))
        else:
            sound.append(index)
    return sound, failures


def _bits(task: Task, options: DegradeOptions) -> int:
    """Return the bit depth that the user says or said; 0 without."""
    said = options.bits if task.record is None else task.record.bits
    return said or 0


def _read_image(paths: Sequence[Path], options: DegradeOptions, bits: int) -> Image:
    image = read_within(paths, EnhanceOptions(), time_limit_s(paths))
    if bits:
        image = told_bits(image, bits)
    if options.modality is None:
        return image
    return told_as(image, Modality(options.modality))


def _read_mask(path: Path, image: Image) -> FloatArray:
    """Return a picture's field of view, (H, W), or of each frame, (F, H, W)."""
    options = EnhanceOptions(axis=frame_axis(image))  # another header may tell another
    mask = read_within([path], options, time_limit_s([path]))
    levels = np.rint(mask.to_unit()[0] * 255).astype(np.uint8)
    refuse_photograph(np.moveaxis(levels, 0, -1), path)
    marked = mask.pixels
    if np.isnan(marked).any():
        raise UsageError(
            "the mask holds NaN, which is neither inside nor outside", path=path
        )
    if mask.format == "nifti" and (marked == np.rint(marked)).all():
        marked = marked != 0  # labels, no levels; many programs write them as floats
    field = as_field(marked)
    if not field.any():
        raise UsageError("is no mask: all of it is 0, which is outside", path=path)
    return on_all_volumes(field, image)


def _read_legacy(path: Path, image: Image, size: int | None) -> Record:
    """Return Cofe-Net's parameters as a record for a picture, or a square of a size."""
    try:
        data = json.loads(path.read_bytes())
        if not isinstance(data, dict) or not is_cofe(data):
            raise UsageError("not a Cofe-Net record: it has no parameters")
        record = from_cofe(data, size=size or side_of(data, image.width))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"not a Cofe-Net record: {error}", path=path) from error
    except UsageError as error:
        raise UsageError(error.what, path=path, hint=error.hint) from error
    return record.model_copy(update={"tool_version": __version__})


def _check_sources(task: Task, hashes: tuple[str, ...]) -> None:
    record = task.record
    if record is None:
        return
    wanted = (record.source_sha256, *(one.sha256 for one in record.more_sources))
    for path, found, expected in zip(task.sources, hashes, wanted, strict=True):
        if found != expected:
            raise UnreadableError(
                "is not the file of the record: its content differs",
                path=path,
                hint=f"the record wants sha256 {expected[:12]}..., this is "
                f"{found[:12]}...",
            )


def _guessed_bits(image: Image, record: Record) -> int:
    """Return the depth by which a picture was degraded, if it is but a guess; else 0.

    Magnitudes of MRI go by their own brightness.
    """
    known = image.unit_range
    black = not image.pixels.any()
    if not known.guessed or black or record.domain == "magnitude":
        return 0
    return round(math.log2(known.high + 1))


def _nothing_done(record: Record) -> list[str]:
    """Warn where steps left all as it was: thick slices of a single one, say."""
    if record.steps and record.metrics.get("psnr_in", 0.0) is None:
        return [f"{record.preset} changed nothing in it: this makes no pair"]
    return []


def _warnings(task: Task, image: Image) -> tuple[str, ...]:
    if task.record is not None or task.legacy is not None or task.draw:
        return ()  # the copies of one picture need no word each
    meant = task.drawn_by.modalities if task.drawn_by else ()
    found = []
    if image.modality is Modality.UNKNOWN:
        found += strange_looks(image, task.recipe, meant)
    elif meant and image.modality not in meant:
        kinds = ", ".join(meant)
        found.append(f"{task.recipe} is made for {kinds}, this is {image.modality}")
    if problem := no_picture(image):
        found.append(problem)
    return (*found, *_turned_labels(task, image))


def _turned_labels(task: Task, image: Image) -> list[str]:
    """Warn of a label mask that is to be seen another way up than its picture."""
    mask = task.label_mask
    if mask is None or mask_orientation(mask) == viewing_of(image).orientation:
        return []
    return [
        "its label mask is to be seen another way up (Exif's orientation): pixels go "
        "together by their place in the file, which is wrong where one was turned"
    ]
