"""An enhancer's figures: frozen protocols, limits of fidelity, proof of bf16.

The model is measured as it will be run: imported into a cache of its own and loaded by
the pipeline, under an id that no model has.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from medenh.device import cpu_has_bf16
from medenh.errors import UsageError, counted
from medenh.evaluation.benchmark import BenchmarkOptions, run_protocol
from medenh.evaluation.entrants import usual_rows
from medenh.evaluation.output import summarise
from medenh.evaluation.packs import is_pack
from medenh.evaluation.protocols import Protocol
from medenh.evaluation.result import Evaluation, Row
from medenh.pipeline.fidelity import told_apart
from medenh.publishing import limits
from medenh.publishing.images import EnhancerImages
from medenh.publishing.memory import measure_memory
from medenh.publishing.options import PublishOptions
from medenh.scratch import scratch_folder
from medenh.types import FloatArray
from medenh.zoo.card import ModelCard, Weights
from medenh.zoo.transfer import import_model, pack

__all__ = ["measure_enhancer", "result_table"]

_FEWEST_FOR_BF16 = 5  # [chosen]
_UNDER_TEST = "model-under-test"
_ROOM = "medenh-publish-"


def measure_enhancer(
    card: ModelCard,
    weights: Path,
    images: EnhancerImages,
    plan: Sequence[tuple[Protocol, Path]],
    options: PublishOptions,
    on_step: Callable[[str], None],
) -> tuple[dict[str, Any], list[str]]:
    """Measure an enhancer.

    Parameters
    ----------
    card : ModelCard
        Without figures.
    weights : path
    images : EnhancerImages
        Pictures for limits and certificate; of too few there is none.
    plan : list of (Protocol, path)
    options : PublishOptions
        Its ``limit``; without its ``draft`` a model that loses is measured no further.
    on_step : callable
        Told what is measured next.

    Returns
    -------
    fields : dict
        ``results`` and ``bytes_per_pixel``, and where there are ``limits`` and
        ``precision`` of the card.
    lost : list of str
        Where it does not beat doing nothing.
    """
    results, lost = [], []
    only = card.modalities[0] if len(card.modalities) == 1 else None
    for protocol, place in plan:
        if only is None and len(protocol.modalities) != 1 and not is_pack(place):
            raise _of_unknown_kind(place)  # before the work
    with _known_to_the_zoo(card, weights) as name:
        for protocol, place in plan:
            on_step(f"measuring {protocol.name} on {place.name}")
            told = None if is_pack(place) else only
            found = run_protocol(
                protocol.name,
                BenchmarkOptions(
                    data=place,
                    models=(name, *usual_rows(card)),
                    modality=told,
                    limit=options.limit,
                ),
            )
            for failed in found.failed[:1]:
                count = len(found.failed)
                on_step(f"{count} failed: {failed['path']}: {failed['error']}")
            results.append(result_table(found, place, {_UNDER_TEST: card.id}))
            lost += _losses(found, place)
        if lost and not options.draft:
            return {"results": results}, lost
        fields = {"results": results, **_fidelity(name, images, on_step)}
        if card.input.largest_side is None:  # else every frame takes alike
            on_step("measuring memory")
            engines = tuple(e.replace("auto", "openvino") for e in _engines())
            fields["bytes_per_pixel"] = measure_memory(name, engines, on_step)
        return fields, lost


def _fidelity(
    name: str, images: EnhancerImages, on_step: Callable[[str], None]
) -> dict[str, Any]:
    """Return limits and certificate of a model, as far as the pictures suffice."""
    from medenh.pipeline.model import load_model

    fields: dict[str, Any] = {}
    count = sum(len(group) for group in images.usual)
    if count < limits.FEWEST:
        on_step(
            f"no limits: {counted(count, 'picture')}, and {limits.FEWEST} are needed"
        )
    else:
        on_step(f"limits on {count} pictures")
        model = load_model(name, "cpu", "fp32", engine=_engines()[0])
        fields["limits"] = limits.limits_on(images.usual, model.enhance)
    held = images.held
    if len(held) < _FEWEST_FOR_BF16:
        few = f"{len(held)} held back, {_FEWEST_FOR_BF16} are needed"
        on_step(f"bf16 uncertified: {few}")
    elif cpu_has_bf16():
        on_step("certifying bf16")
        exact = [_answers(name, held, "fp32", engine) for engine in _engines()]
        fast = [_answers(name, held, "bf16", engine) for engine in _engines()]
        fields["precision"] = {"bf16": _certificate(exact, fast)}
    return fields


@contextmanager
def _known_to_the_zoo(card: ModelCard, weights: Path) -> Iterator[str]:
    """Have the zoo know a model for a while, and no other that was added to it."""
    before = os.environ.get("MEDENH_CACHE")
    described = card.weights
    if described is None:
        raise ValueError("a network has weights")
    with scratch_folder(Path(tempfile.gettempdir()), _ROOM) as room:
        os.environ["MEDENH_CACHE"] = str(room / "cache")
        try:
            _import(card, described, weights, room / "draft.zip")
            yield _UNDER_TEST
        finally:
            if before is None:
                del os.environ["MEDENH_CACHE"]
            else:
                os.environ["MEDENH_CACHE"] = before


def _import(card: ModelCard, described: Weights, weights: Path, archive: Path) -> None:
    draft = card.model_copy(
        update={
            "id": _UNDER_TEST,
            "weights": described.model_copy(update={"bundled": False}),
        }
    )
    pack(draft, described, weights, archive)
    import_model(archive)


def _of_unknown_kind(place: Path) -> UsageError:
    return UsageError(
        "what these pictures show is not known, so their figures have no place",
        path=place,
        hint='say it in the words of the card: "modalities": ["fundus"]',
    )


def result_table(
    found: Evaluation, place: Path, renamed: Mapping[str, str]
) -> dict[str, Any]:
    """Return what a run of a protocol found, as a table of a card.

    Parameters
    ----------
    found : Evaluation
    place : path
        The pictures it was run on.
    renamed : mapping
        Row -> its name on the card, where that is another.

    Raises
    ------
    UsageError
        It is not known what the pictures show, or none could be measured.
    """
    modality = str(found.settings["modality"])
    if modality == "unknown":
        raise _of_unknown_kind(place)
    if not found.files:
        raise UsageError("no picture could be measured", path=place)
    return {
        "protocol": found.protocol,
        "modality": modality,
        "split": str(found.settings.get("split", f"folder {place.name}")),
        "n": len(found.files),
        "rows": {renamed.get(r.name, r.name): _scores(r, found) for r in found.rows},
    }


def _scores(row: Row, found: Evaluation) -> dict[str, Any]:
    """Return the estimates of a row: means over files, then scores of the set."""
    scores: dict[str, Any] = {}
    for column in found.columns:
        summary = summarise(row, column.name)
        if summary is not None:
            counted = summary.n - summary.n_infinite - summary.n_undefined
            scores[column.name] = _estimate(summary.mean, summary.ci95, counted)
    for score in row.set_scores:
        if score.value is not None:
            count = score.n or len(found.files)
            scores[score.name] = _estimate(score.value, score.ci95, count)
    return scores


def _estimate(
    mean: float, interval: tuple[float, float] | None, n: int
) -> dict[str, Any]:
    known = interval is not None and n > 1 and bool(np.isfinite(interval).all())
    ends = [round(float(v), 4) for v in interval or ()] if known else None
    return {"mean": round(float(mean), 4), "ci95": ends, "n": n}


def _losses(found: Evaluation, place: Path) -> list[str]:
    """Say where the mean of the first metric is no better than that of the input."""
    first = found.columns[0]
    tests = found.against_identity.get(_UNDER_TEST, {}).get(first.name)
    sign = -1 if first.better == "lower" else 1
    if tests is not None and sign * tests.difference > 0:
        return []
    rows = [
        summarise(found.row(name), first.name) for name in (_UNDER_TEST, "identity")
    ]
    means = [float("nan") if one is None else one.mean for one in rows]
    figures = " against ".join(told_apart(means[0], means[1], ".4g"))
    where = f"{found.protocol}, {place.name}, n = {len(found.files)}"
    return [f"{first.name} {figures} ({where})"]


def _engines() -> list[str]:
    """Return the engines of a CPU; "auto" is OpenVINO where it can run the model."""
    there = importlib.util.find_spec("openvino") is not None
    return ["auto", "torch"] if there else ["torch"]


def _answers(
    name: str, pictures: Sequence[FloatArray], precision: str, engine: str
) -> list[FloatArray]:
    from medenh.pipeline.model import load_model

    model = load_model(name, "cpu", precision, engine=engine)
    return [np.clip(model.enhance(picture), 0, 1) for picture in pictures]


def _certificate(
    exact: Sequence[Sequence[FloatArray]], fast: Sequence[Sequence[FloatArray]]
) -> dict[str, float]:
    """Return how far bf16 is from float32 on the worst picture, of any engine."""
    psnr, levels = [], []
    for one, two in zip(exact, fast, strict=True):
        for a, b in zip(one, two, strict=True):
            error = float(np.mean(np.square(a - b), dtype=np.float64))
            psnr.append(-10 * np.log10(max(error, 1e-10)))
            levels.append(float(np.abs(np.rint(255 * a) - np.rint(255 * b)).max()))
    return {"psnr_db": round(float(min(psnr)), 2), "max_levels": max(levels)}
