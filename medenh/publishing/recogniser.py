"""A recogniser's figures: thresholds, then scores on clean pictures it never saw.

Thresholds are chosen on the training images that were held back. Scores are those of
split "test" (or "val", where the packs have no test split), at the stored size.

Segmentation: a score an image and class, inside the field of view where the pack has
one; means over images with 95 % bootstrap intervals; rows named "pooled" take the
pixels of all images together, as most of the literature on DRIVE does. Classification:
scores over all images, intervals by drawing images anew 2000 times; its held-back
images count as test images too, where nothing was selected on them and the weights that
it began with had not learnt from them either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import tasks
from medenh.errors import UsageError
from medenh.evaluation.cases import choose
from medenh.metrics import bootstrap_ci
from medenh.pipeline.fidelity import told_apart
from medenh.publishing.record import OWN
from medenh.publishing.run_folder import Run
from medenh.training.config import TrainConfig
from medenh.training.data import hold_back, split_holdout
from medenh.training.labelled import LabelledImage, load_labelled
from medenh.types import FloatArray
from medenh.zoo.manifest import load_manifest

__all__ = ["LabelledImages", "load_images", "measure_recogniser", "score_tables"]

_DRAWS = 2000
_THRESHOLDS = np.round(np.arange(0.1, 0.91, 0.02), 2)
_POOLED = ("auc", "iou", "dice", "accuracy", "sensitivity", "specificity")

Triple = tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """The images of a recogniser's run.

    Attributes
    ----------
    learnt, held, unseen : list of LabelledImage
        Learnt from; held back from it; never touched.
    split : str
        Of the unseen ones.
    """

    learnt: list[LabelledImage]
    held: list[LabelledImage]
    unseen: list[LabelledImage]
    split: str

    def digests(self) -> dict[str, str]:
        """Return a hash of what was read of each image of the run, by its name."""
        return {one.name: one.digest for one in (*self.learnt, *self.held)}


def load_images(config: TrainConfig) -> LabelledImages:
    """Read the images of a recogniser's run again, at their stored size.

    Raises
    ------
    UsageError
        The packs are not there, or hold no image that the run never touched; or it
        learnt from a folder, which has no such images.
    """
    if config.data.high:
        raise UsageError(
            "this recogniser learnt from a folder, but it is measured on images of "
            "split test or val, which only data packs have",
            path=config.data.high,
            hint="make a data pack of the folder, and train on that",
        )
    task = tasks.get_task(config.task)
    known = load_labelled(config.data, task, split="train", side=None)
    learnt, held = hold_back(known, config.data.holdout_share)
    if not learnt or not held:
        raise UsageError(
            f"the packs hold {len(known)} images of split train with an answer to "
            f"{task.name}, too few for a run",
            path=config.data.root,
            hint="--data DIR, the folder of the packs that it learnt from",
        )
    for split in ("test", "val"):
        unseen = load_labelled(config.data, task, split=split, side=None)
        if unseen:
            return LabelledImages(learnt, held, unseen, split)
    raise UsageError(
        f"the packs hold no image of split test or val with an answer to {task.name}",
        path=config.data.root,
        hint="--data DIR, a folder of packs that have some",
    )


def measure_recogniser(
    run: Run, images: LabelledImages, literature: Mapping[str, str], limit: int | None
) -> tuple[dict[str, Any], list[str]]:
    """Measure a recogniser.

    Parameters
    ----------
    run : Run
    images : LabelledImages
    literature : mapping
        Class, or "" for the picture as a whole -> what others report.
    limit : int, optional
        At most so many images, the same at every call.

    Returns
    -------
    recognition : dict
        As in the card.
    lost : list of str
        Where it does not beat guessing, an area under the curve of 0.5.
    """
    task = tasks.get_task(run.config.task)
    recogniser = tasks.Recogniser(task, run.network, ())
    if task.kind == "segmentation":
        held, shares = choose(images.held, limit), run.config.data.datasets
        thresholds = _choose_thresholds(recogniser, held, shares)
    else:
        thresholds = (0.5,) * len(task.classes)
    recogniser = replace(recogniser, thresholds=thresholds)
    tables = score_tables(recogniser, run.config, images, limit)
    for table in tables:
        table["literature"] = literature.get(table["target"], "")
    found = {
        "classes": list(task.classes),
        "thresholds": list(thresholds),
        "tables": tables,
    }
    return found, [line for table in tables for line in _losses(table)]


def score_tables(
    recogniser: tasks.Recogniser,
    config: TrainConfig,
    images: LabelledImages,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Score a recogniser on clean pictures that it did not learn from.

    Parameters
    ----------
    recogniser : Recogniser
        With its thresholds.
    config : TrainConfig
        Of the run behind it: which pictures it may be scored on.
    images : LabelledImages
    limit : int, optional
        At most so many images, the same at every call.

    Returns
    -------
    list of dict
        Tables as in the card, without literature: one a data set and class.
    """
    unseen, split = choose(images.unseen, limit), images.split
    if recogniser.task.kind == "segmentation":
        return _score_segmentation(recogniser, unseen, split)
    untouched = choose(_untouched(config, images.held), limit)
    if untouched:
        unseen, split = unseen + untouched, f"{split} + held back"
    return _score_classification(recogniser, unseen, split)


def _untouched(config: TrainConfig, held: list[LabelledImage]) -> list[LabelledImage]:
    """Return held-back images that neither chose weights nor were learnt from before.

    A group is held back where a hash of its name is below the share of a run, so what
    two runs held back is what the smaller share held back.
    """
    if config.validate_every < config.steps:
        return []  # the best of several validations was kept
    start = config.network.start_from
    if not start:
        return held
    if start.endswith(".safetensors"):
        return []  # what those learnt from is not known
    card = load_manifest().get(start)
    settings = None if card.training is None else card.training.config
    if not isinstance(settings, dict):
        return []
    share = float(settings.get("data", {}).get("holdout_share", 0.0))
    _, both = split_holdout(held, share)
    kept = {image.name for image in both}
    names = {source.name for source in card.data}
    return [i for i in held if i.name in kept or i.dataset not in names]


def _losses(table: dict[str, Any]) -> list[str]:
    """Say where the answers are no better than chance."""
    found = table["scores"].get("auc")
    if found is not None and found["mean"] > 0.5:
        return []
    figure = "undefined against 0.5"
    if found is not None:
        figure = " against ".join(told_apart(found["mean"], 0.5))
    target = f", {table['target']}" if table["target"] else ""
    return [f"auc {figure} ({table['data']}{target}, n = {table['n']})"]


def _choose_thresholds(
    recogniser: tasks.Recogniser,
    held: Sequence[LabelledImage],
    shares: Mapping[str, float],
) -> tuple[float, ...]:
    """Return for each class the threshold with the best Dice over held-back images.

    The mean over images, weighed as the data sets are in training; 0.5 for a class
    that no held-back image shows.
    """
    guesses = [recogniser.predict(image.pixels) for image in held]
    chosen = []
    for k in range(len(recogniser.task.classes)):
        rows, weights = [], []
        for image, guess in zip(held, guesses, strict=True):
            truth = _truth(image, k)
            if truth.any():
                inside = _region(image)
                dice = [_dice(guess[..., k] >= t, truth, inside) for t in _THRESHOLDS]
                rows.append(dice)
                weights.append(shares.get(image.dataset, 1.0))
        best = 0.5
        if rows:
            best = float(
                _THRESHOLDS[np.average(rows, axis=0, weights=weights).argmax()]
            )
        chosen.append(best)
    return tuple(chosen)


def _dice(
    answer: NDArray[np.bool_], truth: NDArray[np.bool_], inside: NDArray[np.bool_]
) -> float:
    answer, truth = answer[inside], truth[inside]
    return float(2 * np.sum(answer & truth) / max(1, answer.sum() + truth.sum()))


def _region(image: LabelledImage) -> NDArray[np.bool_]:
    return np.ones(image.pixels.shape[:2], bool) if image.field is None else image.field


def _truth(image: LabelledImage, k: int) -> NDArray[np.bool_]:
    if image.mask is None:
        raise UsageError(f"{image.name} has no mask")
    return np.asarray(image.mask[..., k] >= 0.5)


def _score_segmentation(
    recogniser: tasks.Recogniser, images: Sequence[LabelledImage], split: str
) -> list[dict[str, Any]]:
    """Return a table a class and data set."""
    tables = []
    for dataset in sorted({image.dataset for image in images}):
        chosen = [image for image in images if image.dataset == dataset]
        guesses = [recogniser.predict(image.pixels) for image in chosen]
        fields = all(image.field is not None for image in chosen)
        for k, name in enumerate(recogniser.task.classes):
            triples = [
                (guess[..., k], _truth(image, k), _region(image))
                for guess, image in zip(guesses, chosen, strict=True)
            ]
            tables.append(
                {
                    "data": f"{dataset or OWN}, {split}",
                    "region": "field of view" if fields else "whole",
                    "target": name,
                    "n": len(chosen),
                    "scores": _pixel_scores(triples, recogniser.thresholds[k]),
                }
            )
    return tables


def _pixel_scores(triples: Sequence[Triple], threshold: float) -> dict[str, Any]:
    each = [
        tasks.score_segmentation(guess, truth, region=inside, threshold=threshold)
        for guess, truth, inside in triples
    ]
    scores = {}
    for metric in each[0]:
        values = np.array([row[metric] for row in each])
        values = values[np.isfinite(values)]
        if values.size:
            interval = bootstrap_ci(values) if values.size > 1 else None
            scores[metric] = _estimate(values.mean(), interval, values.size)
    guess = np.concatenate([guess[inside] for guess, _, inside in triples])[None]
    truth = np.concatenate([truth[inside] for _, truth, inside in triples])[None]
    pooled = tasks.score_segmentation(guess, truth, threshold=threshold)
    for metric in _POOLED:
        if np.isfinite(pooled[metric]):
            name = f"{metric} pooled"
            scores[name] = _estimate(pooled[metric], None, len(triples))
    return scores


def _score_classification(
    recogniser: tasks.Recogniser, images: Sequence[LabelledImage], split: str
) -> list[dict[str, Any]]:
    """Return a table a data set."""
    tables = []
    for dataset in sorted({image.dataset for image in images}):
        chosen = [image for image in images if image.dataset == dataset]
        guesses = np.stack([recogniser.predict(image.pixels) for image in chosen])
        labels = np.array([image.label for image in chosen])
        counted = np.bincount(labels, minlength=len(recogniser.task.classes))
        counts = "/".join(str(n) for n in counted)
        tables.append(
            {
                "data": f"{dataset or OWN}, {split}, classes {counts}",
                "region": "whole",
                "target": "",
                "n": len(chosen),
                "scores": _picture_scores(guesses, labels),
            }
        )
    return tables


def _picture_scores(guesses: FloatArray, labels: NDArray[np.int_]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(_DRAWS):
        index = rng.integers(len(labels), size=len(labels))
        draws.append(tasks.score_classification(guesses[index], labels[index]))
    scores = {}
    for metric, value in tasks.score_classification(guesses, labels).items():
        if not np.isfinite(value):
            continue
        drawn = np.array([draw[metric] for draw in draws])
        drawn = drawn[np.isfinite(drawn)]
        ends = np.percentile(drawn, [2.5, 97.5]) if drawn.size else None
        interval = None if ends is None else (float(ends[0]), float(ends[1]))
        scores[metric] = _estimate(value, interval, len(labels))
    return scores


def _estimate(
    mean: float, interval: tuple[float, float] | None, n: int
) -> dict[str, Any]:
    ci95 = None if interval is None else [round(float(v), 4) for v in interval]
    return {"mean": round(float(mean), 4), "ci95": ci95, "n": int(n)}
