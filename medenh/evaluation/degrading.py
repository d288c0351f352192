"""The first half of a protocol's work on one picture: read, degrade, simple methods."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from medenh.degradations import Record, degrade_image, find_recipe, framing
from medenh.degradations.api import unit_severity
from medenh.degradations.engine import can_degrade_again, degrade_again
from medenh.errors import MedenhError, NonFiniteError
from medenh.evaluation.answers import Answers
from medenh.evaluation.cases import Case, Clean, eight_bits
from medenh.evaluation.failures import Failure, failure
from medenh.evaluation.protocols import Protocol
from medenh.evaluation.regions import BoolArray, field_of_view
from medenh.formats.array import from_array
from medenh.formats.viewing import viewing_of
from medenh.tasks import Task
from medenh.types import FloatArray, Image, Modality

if TYPE_CHECKING:
    from medenh.pipeline.model import Model

__all__ = [
    "IDENTITY",
    "ORACLE",
    "Enhances",
    "Forward",
    "Prepared",
    "oracle_affine",
    "prepare",
]

IDENTITY, ORACLE = "identity", "oracle-affine"


class Enhances(Interface):
    """A model of the zoo, or one of the user's own."""

    def enhance(self, source: Image, /) -> Image:
        """Return a better picture."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """A degradation that was drawn, to be done to other pictures of the same shape.

    Attributes
    ----------
    record : Record
    view : View or SquareView
    """

    record: Record
    view: framing.AnyView

    def __call__(self, image: Image) -> Image:
        """Degrade a picture in the very same way, noise included."""
        return degrade_again(image, self.record, self.view)


@dataclass(slots=True, kw_only=True, eq=False)
class Prepared:
    """A degraded picture beside its clean one, and what methods made of it.

    Attributes
    ----------
    name : str
    clean : Image or None
        None where the case could not be read or degraded.
    region : bool array, shape (1 or frames, H, W), or None
        Where it is measured.
    answers : Answers
        Of the tasks, moved along with the picture.
    forward : Forward or None
        What was done to the clean picture, where it shall be done again and can be.
    outputs : dict
        Row -> Image.
    seconds : dict
        Row -> time it took.
    said : Modality
        What the file itself says that it shows.
    sha256 : str
        Of the clean picture's numbers as they were read.
    origin : path or None
        DICOM or NIfTI file of which all but the pixels holds for the outputs, too.
    failed : list
        What could not be done.
    """

    name: str
    clean: Image | None = None
    region: BoolArray | None = None
    answers: Answers = field(default_factory=Answers)
    forward: Forward | None = None
    outputs: dict[str, Image] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    said: Modality = Modality.UNKNOWN
    sha256: str = ""
    origin: Path | None = None
    failed: list[Failure] = field(default_factory=list)

    def add(self, row: str, model: Enhances) -> None:
        """Let a model enhance the degraded picture; a failure costs its row only."""
        start = time.monotonic()
        try:
            self.outputs[row] = model.enhance(self.outputs[IDENTITY])
        except MedenhError as error:
            self.failed.append(failure(error, self.name, by=row))
        self.seconds[row] = time.monotonic() - start


def prepare(
    case: Case,
    *,
    protocol: Protocol,
    modality: Modality,
    methods: Sequence[str],
    tasks: Sequence[Task],
    again: bool = False,
) -> Prepared:
    """Read a clean picture, degrade it, and let the weight-free methods enhance it.

    ``again`` keeps the degradation, for `Prepared.forward`.
    """
    prepared = Prepared(name=case.name)
    try:
        known = case.read(tasks)
        prepared.said = known.image.modality
        pixels = np.ascontiguousarray(known.image.pixels)
        prepared.sha256 = hashlib.sha256(pixels.data).hexdigest()
        low, record = _degrade(prepared, known, protocol, modality, again=again)
    except MedenhError as error:
        prepared.failed.append(failure(error, case.name))
        return prepared
    prepared.outputs[IDENTITY] = low
    prepared.seconds[IDENTITY] = 0.0
    prepared.answers = _moved(known, record)
    for name in methods:
        prepared.add(name, _method(name))
    if protocol.bound and prepared.clean is not None:
        prepared.outputs[ORACLE] = oracle_affine(low, prepared.clean)
    return prepared


def _degrade(
    prepared: Prepared,
    known: Clean,
    protocol: Protocol,
    modality: Modality,
    *,
    again: bool,
) -> tuple[Image, Record]:
    image = known.image
    if modality is not Modality.UNKNOWN:
        image = replace(image, modality=modality)
    unknown = _not_finite(image)
    if protocol.depth == "8-bit":
        image = eight_bits(image)
    level = protocol.severity
    pair = degrade_image(
        image,
        find_recipe(protocol.recipe),
        name=prepared.name,
        seed=protocol.seed,
        severity=None if level is None else unit_severity(level),
        size=protocol.size,
        options=protocol.options,
        field=known.field,
    )
    prepared.clean = _light(pair.high)
    told = image.format in ("dicom", "nifti")  # by 8 bits and by cuts it is lost
    if told and pair.high.pixels.shape == image.pixels.shape:
        prepared.origin = image.source
    view = _view(image, pair.record, known.field)
    if protocol.region == "fov":
        region = view.region(pair.high)
        seen = field_of_view(pair.high) if region is None else region[None]
        prepared.region = seen
    if protocol.depth == "8-bit" and unknown is not None:  # 8 bits have made it black
        _refuse(unknown, view, prepared.region, known.image.source)
    if again and can_degrade_again(pair.record):
        prepared.forward = Forward(pair.record, view)
    return _light(pair.low), pair.record


def _not_finite(image: Image) -> BoolArray | None:
    """Return where pixels are NaN or infinite, (frames, H, W); None where none is."""
    if image.pixels.dtype.kind != "f":
        return None
    unknown: BoolArray = ~np.isfinite(image.pixels).all(axis=-1)
    return unknown if unknown.any() else None


def _refuse(
    unknown: BoolArray,
    view: framing.AnyView,
    region: BoolArray | None,
    path: Path | None,
) -> None:
    """Refuse a picture with pixels that are no numbers where it is measured.

    Raises
    ------
    NonFiniteError
        As pictures that keep their numbers are refused when they are measured.
    """
    if region is not None:
        unknown = np.stack([view.along(frame) for frame in unknown]) & region
    if unknown.any():
        raise NonFiniteError("holds NaN or infinity", path=path, hint="repair it")


def _light(image: Image) -> Image:
    """Return an image without what costs time between processes and serves nobody."""
    return replace(image, header=viewing_of(image), source=None)


def _view(image: Image, record: Record, given: FloatArray | None) -> framing.AnyView:
    """Return the part of a picture that was degraded."""
    return framing.recall(
        image,
        record.framing,
        size=record.size,
        field=given,
        eight_bit=record.eight_bit,
    )


def _moved(known: Clean, record: Record) -> Answers:
    """Return masks as the picture was cropped and resized."""
    masks = {
        name: _moved_planes(planes, record, known.field)
        for name, planes in known.answers.masks.items()
    }
    return Answers(masks, known.answers.labels)


def _moved_planes(
    planes: BoolArray, record: Record, given: FloatArray | None
) -> BoolArray:
    if record.size is None:
        return planes
    masks = [
        from_array(plane.astype(np.float32), data_range=(0.0, 1.0))
        for plane in np.moveaxis(planes, -1, 0)
    ]
    view = framing.recall(masks[0], record.framing, size=record.size, field=given)
    moved = [view.reshape(mask).pixels[0] for mask in masks]
    return np.asarray(np.concatenate(moved, axis=-1) >= 0.5)


@cache
def _method(name: str) -> Model:
    from medenh.pipeline.model import load_model

    return load_model(name, device="cpu", precision="fp32")


def oracle_affine(low: Image, clean: Image) -> Image:
    """Return the best single gain and offset in hindsight: the bound of exposure.

    Parameters
    ----------
    low, clean : Image
        Of equal shape; the least squares are taken in [0, 1] over the whole picture.
    """
    x, y = low.to_unit(), clean.to_unit()
    centred: NDArray[np.float64] = x.astype(np.float64)
    mean_x, mean_y = centred.mean(), y.mean(dtype=np.float64)
    centred -= mean_x
    gain = np.mean(centred * (y - mean_y)) / max(float(np.mean(centred**2)), 1e-12)
    answer = x * np.float32(gain) + np.float32(mean_y - gain * mean_x)
    return low.from_unit(np.clip(answer, 0.0, 1.0).astype(np.float32))
