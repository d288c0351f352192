"""Carries recipes out: draws operators one after the other, or replays a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import medenh
from medenh.degradations import framing
from medenh.degradations.domain import (
    clip_to_domain,
    from_domain,
    in_hounsfield,
    scale_for,
    to_domain,
)
from medenh.degradations.operator import Operator, Scene
from medenh.degradations.recipe import Recipe
from medenh.degradations.record import Record, read_step, write_step
from medenh.degradations.registry import OPERATORS
from medenh.degradations.seeding import rng_for
from medenh.errors import UsageError
from medenh.metrics import psnr, ssim
from medenh.types import FloatArray, Image

_SMALLEST_SSIM = 11  # its window
_MOST_DB = 100.0  # of an equal frame in a mean
_COUNTING = frozenset(  # steps that draw from Poisson's distribution
    ("ct-low-dose", "poisson-gaussian-noise", "shot-noise", "xray-detector")
)

__all__ = [
    "Pair",
    "apply_operators",
    "can_degrade_again",
    "checked_options",
    "degrade_again",
    "degrade_image",
    "replay_image",
    "sample_frames",
]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A degraded image beside its clean one.

    Attributes
    ----------
    low, high : Image
        Degraded and clean, of equal shape; `high` is the source, or what cropping
        and resizing made of it.
    record : Record
        What was done.
    view : View or SquareView
        Which part of the source it was done to.
    """

    low: Image
    high: Image
    record: Record
    view: framing.AnyView


def degrade_image(
    image: Image,
    recipe: Recipe,
    *,
    name: str = "",
    seed: int = 0,
    draw: int = 0,
    severity: float | None = None,
    size: int | None = None,
    options: Mapping[str, Any] | None = None,
    field: FloatArray | None = None,
) -> Pair:
    """Degrade a picture or volume by a recipe.

    Parameters
    ----------
    image : Image
    recipe : Recipe
    name : str
        Relative name of the file: with seed and draw it fixes all chance.
    seed, draw : int
        The user's seed; the number of the copy.
    severity : float, optional
        In [0, 1], mild to strong; without it parameters come from their whole range.
    size : int, optional
        Side of the square the field is cropped and resized to ("fundus" framing), or
        the long side the picture is resized to.
    options : mapping, optional
        Values of `Recipe.options`.
    field : float32 array, shape (H, W) or (F, H, W), in [0, 1], optional
        The field of view where the user knows it, instead of finding it.

    Returns
    -------
    Pair

    Raises
    ------
    UsageError
        Unknown option, severity or size out of range, field of another shape.
    """
    chosen = checked_options(recipe, options or {})
    if severity is not None and not 0.0 <= severity <= 1.0:
        raise UsageError(f"severity {severity} is not in 0 to 1")
    if size is not None and size < 1:
        raise UsageError(f"size must be at least 1 pixel, not {size}")
    if recipe.domain == "hu":
        image = in_hounsfield(image)
    rng = rng_for(name, seed=seed, draw=draw)

    def work(pixels: FloatArray, scene: Scene) -> tuple[FloatArray, list[Operator]]:
        return sample_frames(pixels, recipe, scene, rng, severity)

    head = Record(
        tool_version=medenh.__version__,
        source=name,
        modality=str(image.modality),
        preset=recipe.name,
        recipe_sha256=recipe.sha256,
        severity=severity,
        seed=seed,
        draw=draw,
        size=size,
        domain=recipe.domain,
        options=chosen,
        eight_bit=image.pixels.dtype == np.uint8,
        steps=(),
    )
    view = framing.find(image, recipe.framing, size=size, field=field, options=chosen)
    return _carry_out(image, view, head, work)


def replay_image(
    image: Image, record: Record, *, field: FloatArray | None = None
) -> Pair:
    """Do again what a record says, on the same picture: the same bytes come out.

    Raises
    ------
    UsageError
        The record names steps or parameters that do not exist.
    """
    work = _work_of(record)
    if record.domain == "hu" and record.scale == (0.0, 1.0):
        image = in_hounsfield(image)
    if record.framing is not None and record.framing.method == "shown":
        record = _of_this_picture(image, record)
    view = framing.recall(
        image,
        record.framing,
        size=record.size,
        field=field,
        eight_bit=record.eight_bit,
    )
    return _carry_out(image, view, record, work, scale=record.scale)


def can_degrade_again(record: Record) -> bool:
    """Whether a record's noise is the same on other pictures.

    Photons are counted by numbers of draws that depend on the picture, so that a
    slightly different one gets another noise.
    """
    return _COUNTING.isdisjoint(step.op for step in record.steps)


def degrade_again(image: Image, record: Record, view: framing.AnyView) -> Image:
    """Degrade an enhanced picture as its input was: what it would have looked like.

    Parameters
    ----------
    image : Image
        Of the shape of `Pair.high`: cropped and resized already.
    record : Record
        Of the pair; noise is the same again where `can_degrade_again`.
    view : View or SquareView
        Of the source, see `framing.recall`.
    """
    return _worked(image, view, record, _work_of(record), record.scale)[0]


def sample_frames(
    pixels: FloatArray,
    recipe: Recipe,
    scene: Scene,
    rng: np.random.Generator,
    severity: float | None,
) -> tuple[FloatArray, list[Operator]]:
    """Draw and apply a recipe's operators; the path that training uses.

    Parameters
    ----------
    pixels : float32 array, shape (F, H, W, C), in the recipe's domain
    recipe, scene, rng, severity
        As for `Operator.sample`.

    Returns
    -------
    degraded : float32 array, same shape
    operators : list
        What was applied, with their parameters.
    """
    operators: list[Operator] = []
    for kind in recipe.plan(rng):
        at = len(pixels) // 2
        shown = replace(scene, field=scene.of_frame(at).field)
        operator = kind.sample(rng, pixels[at], shown, severity)
        pixels = _apply(pixels, operator, scene)
        operators.append(operator)
    return pixels, operators


def apply_operators(
    pixels: FloatArray, operators: list[Operator], scene: Scene
) -> FloatArray:
    """Apply operators to frames, shape (F, H, W, C), in a domain."""
    for operator in operators:
        pixels = _apply(pixels, operator, scene)
    return pixels


def _apply(pixels: FloatArray, operator: Operator, scene: Scene) -> FloatArray:
    if operator.volumetric:
        return clip_to_domain(operator.apply(pixels, scene), scene.domain)
    frames = [
        clip_to_domain(operator.apply(frame, scene.of_frame(at)), scene.domain)
        for at, frame in enumerate(pixels)
    ]
    return frames[0][None] if len(frames) == 1 else np.stack(frames)


def _of_this_picture(image: Image, record: Record) -> Record:
    """Return a foreign program's record with what it does not know of a picture.

    Its 8-bit steps are kept for 8-bit levels in any type; deeper pictures stay deep.
    """
    levels = image.to_unit() * np.float32(255.0)
    eight_bit = bool(np.abs(levels - np.rint(levels)).max(initial=0.0) < 1e-3)
    scale = scale_for(image, record.domain)
    return record.model_copy(update={"scale": scale, "eight_bit": eight_bit})


_Work = Callable[[FloatArray, Scene], tuple[FloatArray, list[Operator]]]


def _work_of(record: Record) -> _Work:
    """Return what carries a record's steps out."""
    operators = [read_step(step, OPERATORS) for step in record.steps]
    return lambda pixels, scene: (apply_operators(pixels, operators, scene), operators)


def _carry_out(
    image: Image,
    view: framing.AnyView,
    head: Record,
    work: _Work,
    *,
    scale: tuple[float, float] | None = None,
) -> Pair:
    clean = view.reshape(image)  # cropped and resized where asked for
    if scale is None:
        scale = scale_for(clean, head.domain)
    low, operators = _worked(clean, view, head, work, scale)
    record = head.model_copy(
        update={
            "scale": scale,
            "framing": view.framing,
            "steps": tuple(write_step(operator) for operator in operators),
            "metrics": _score(low, clean, view.region(clean)),
        }
    )
    return Pair(low.made_by(record.provenance(), source=image), clean, record, view)


def _worked(
    clean: Image,
    view: framing.AnyView,
    head: Record,
    work: _Work,
    scale: tuple[float, float],
) -> tuple[Image, list[Operator]]:
    """Let operators work on the view's part of a picture; return them, too."""
    domain = head.domain
    pixels = to_domain(clean, domain, scale)
    square = view.cut(pixels)
    scene = Scene(
        domain=domain,
        modality=head.modality,
        spacing_mm=clean.geometry.spacing_mm,
        depth=clean.geometry.depth or clean.frames,
        field=view.field,
        eight_bit=head.eight_bit,
        options=head.options,
    )
    worked, operators = work(square, scene)
    return from_domain(clean, view.paste(pixels, worked), domain, scale), operators


def checked_options(recipe: Recipe, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option of a recipe, the user's over the defaults."""
    chosen = {name: words[0] for name, words in recipe.options.items()}
    for name, value in given.items():
        if name not in chosen:
            raise UsageError(f"recipe {recipe.name} has no option {name!r}")
        if value not in recipe.options[name]:
            known = ", ".join(str(word) for word in recipe.options[name])
            raise UsageError(f"{name} {value!r} is unknown", hint=f"one of {known}")
        chosen[name] = value
    return chosen


def _score(
    low: Image, high: Image, region: NDArray[np.bool_] | None
) -> dict[str, float | None]:
    """Return PSNR and SSIM of the degraded picture, mean over frames, in [0, 1].

    A frame that stayed as it was has 100 dB, as in an evaluation; None where all did.
    Frames without a place to score, as the ends of an organ's mask, have no say.
    """
    frames = zip(
        np.moveaxis(low.to_unit(), 1, -1),
        np.moveaxis(high.to_unit(), 1, -1),
        strict=True,
    )
    shape = (low.frames, low.height, low.width)
    where = [None] * low.frames if region is None else np.broadcast_to(region, shape)
    pairs = [
        (a, b, mask)
        for (a, b), mask in zip(frames, where, strict=True)
        if mask is None or mask.any()
    ]
    peaks = [psnr(a, b, data_range=1.0, mask=mask) for a, b, mask in pairs]
    changed = bool(np.isfinite(peaks).any())
    peak = float(np.mean(np.minimum(peaks, _MOST_DB))) if changed else None
    side = min(low.height, low.width)
    similar = (
        float(np.mean([ssim(a, b, data_range=1.0, mask=mask) for a, b, mask in pairs]))
        if side >= _SMALLEST_SSIM and pairs
        else None
    )
    return {"psnr_in": peak, "ssim_in": similar}
