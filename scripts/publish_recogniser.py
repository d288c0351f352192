r"""Turn the training run of a recogniser into a bundled model with measured figures.

    python scripts/publish_recogniser.py runs/vessels-fundus --data ../shared/data

Chooses the thresholds on the training images that were held back, scores the weights on
clean images of split "test" (or "val", where the packs have no test split), at their
stored size, copies the weights into the package and writes the model's entry in
weights_manifest.json. With --score-only it prints the table and changes nothing.

Segmentation: a score an image and class, inside the field of view where the pack has
one; means over images with 95 % bootstrap intervals; rows named "pooled" take the
pixels of all images together, as most of the literature on DRIVE does. Classification:
scores over all images, intervals by drawing images anew 2000 times; its held-back
images count as test images too, for nothing is selected on them.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from medenh import models, tasks
from medenh.metrics import bootstrap_ci
from medenh.training.config import TrainConfig
from medenh.training.config_file import load_config
from medenh.training.data import read_rows, split_holdout
from medenh.training.labelled import LabelledImage, load_labelled

ROOT = Path(__file__).resolve().parents[1]
WORDS = Path(__file__).with_name("recognisers.json")
DRAWS = 2000


def main() -> None:
    """Score, print, and unless told otherwise publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--score-only", action="store_true")
    arguments = parser.parse_args()
    stored = json.loads((arguments.run / "config.json").read_text())
    stored["data"]["root"] = str(arguments.data)
    config = TrainConfig.model_validate(stored)
    task = tasks.get_task(config.task)
    recogniser = _load(arguments.run / "best.safetensors", config, task)
    learnt, held, unseen, split = _images(config, task)
    if task.kind == "segmentation":
        thresholds = _choose_thresholds(recogniser, held, config.data.datasets)
        tables = _score_segmentation(recogniser, unseen, split, thresholds)
    else:
        thresholds = (0.5,) * len(task.classes)
        tables = _score_classification(
            recogniser, unseen + held, f"{split} + held back"
        )
    words = json.loads(WORDS.read_text())[task.name]
    for table in tables:
        table["literature"] = words.get("literature", {}).get(table["target"], "")
    _print(task.name, thresholds, tables)
    if not arguments.score_only:
        recognition = {
            "classes": task.classes,
            "thresholds": thresholds,
            "tables": tables,
        }
        _publish(arguments, config, task, words, recognition, learnt)


def _load(weights: Path, config: TrainConfig, task: tasks.Task) -> tasks.Recogniser:
    settings = config.network
    network = models.create(settings.architecture, settings.preset, **settings.options)
    state = load_file(weights)
    network.load_state_dict({k: v.float() for k, v in state.items()})
    return tasks.Recogniser(task, network.eval(), ())


def _images(
    config: TrainConfig, task: tasks.Task
) -> tuple[list[LabelledImage], list[LabelledImage], list[LabelledImage], str]:
    """Return the images learnt from, held back, and never touched, with their split."""
    known = load_labelled(config.data, task, split="train", side=None)
    learnt, held = split_holdout(known, config.data.holdout_share)
    for split in ("test", "val"):
        unseen = load_labelled(config.data, task, split=split, side=None)
        if unseen:
            return learnt, held, unseen, split
    raise SystemExit("the packs hold neither test nor val images of this task")


def _choose_thresholds(
    recogniser: tasks.Recogniser, held: list[LabelledImage], shares: dict[str, float]
) -> tuple[float, ...]:
    """Return for each class the threshold with the best Dice over held-back images.

    The mean over images, weighed as the data sets are in training.
    """
    steps = np.round(np.arange(0.1, 0.91, 0.02), 2)
    guesses = [recogniser.predict(image.pixels) for image in held]
    chosen = []
    for k in range(len(recogniser.task.classes)):
        rows, weights = [], []
        for image, guess in zip(held, guesses, strict=True):
            truth = image.mask[..., k] >= 0.5
            if truth.any():
                inside = _region(image)
                dice = [_dice(guess[..., k] >= t, truth, inside) for t in steps]
                rows.append(dice)
                weights.append(shares.get(image.dataset, 1.0))
        best = np.average(rows, axis=0, weights=weights).argmax()
        chosen.append(float(steps[best]))
    return tuple(chosen)


def _dice(answer: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> float:
    answer, truth = answer[inside], truth[inside]
    return 2 * np.sum(answer & truth) / max(1, answer.sum() + truth.sum())


def _region(image: LabelledImage) -> np.ndarray:
    return np.ones(image.pixels.shape[:2], bool) if image.field is None else image.field


def _score_segmentation(
    recogniser: tasks.Recogniser,
    images: list[LabelledImage],
    split: str,
    thresholds: tuple[float, ...],
) -> list[dict[str, Any]]:
    """Return a table a class and data set."""
    tables = []
    for dataset in sorted({image.dataset for image in images}):
        chosen = [image for image in images if image.dataset == dataset]
        guesses = [recogniser.predict(image.pixels) for image in chosen]
        for k, name in enumerate(recogniser.task.classes):
            triples = [
                (guess[..., k], image.mask[..., k] >= 0.5, _region(image))
                for guess, image in zip(guesses, chosen, strict=True)
            ]
            scores = _pixel_scores(triples, thresholds[k])
            fields = all(image.field is not None for image in chosen)
            tables.append(
                {
                    "data": f"{dataset}, {split}",
                    "region": "field of view" if fields else "whole",
                    "target": name,
                    "n": len(chosen),
                    "scores": scores,
                }
            )
    return tables


def _pixel_scores(triples: list[Any], threshold: float) -> dict[str, Any]:
    each = [
        tasks.score_segmentation(guess, truth, region=inside, threshold=threshold)
        for guess, truth, inside in triples
    ]
    scores = {}
    for metric in each[0]:
        values = np.array([row[metric] for row in each])
        values = values[np.isfinite(values)]
        if values.size:
            low, high = bootstrap_ci(values)
            scores[metric] = _estimate(values.mean(), (low, high), values.size)
    guess, truth = (np.concatenate([t[i][t[2]] for t in triples])[None] for i in (0, 1))
    pooled = tasks.score_segmentation(guess, truth, threshold=threshold)
    for metric in ("auc", "iou", "dice", "accuracy", "sensitivity", "specificity"):
        name = f"{metric} pooled"
        scores[name] = _estimate(pooled[metric], None, len(triples))
    return scores


def _score_classification(
    recogniser: tasks.Recogniser, images: list[LabelledImage], split: str
) -> list[dict[str, Any]]:
    """Return a table a data set."""
    tables = []
    for dataset in sorted({image.dataset for image in images}):
        chosen = [image for image in images if image.dataset == dataset]
        guesses = np.stack([recogniser.predict(image.pixels) for image in chosen])
        labels = np.array([image.label for image in chosen])
        counts = "/".join(str(n) for n in np.bincount(labels))
        tables.append(
            {
                "data": f"{dataset}, {split}, classes {counts}",
                "region": "whole",
                "target": "",
                "n": len(chosen),
                "scores": _picture_scores(guesses, labels),
            }
        )
    return tables


def _picture_scores(guesses: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        index = rng.integers(len(labels), size=len(labels))
        draws.append(tasks.score_classification(guesses[index], labels[index]))
    scores = {}
    for metric, value in tasks.score_classification(guesses, labels).items():
        low, high = np.nanpercentile([draw[metric] for draw in draws], [2.5, 97.5])
        scores[metric] = _estimate(value, (low, high), len(labels))
    return scores


def _estimate(
    mean: float, interval: tuple[float, float] | None, n: int
) -> dict[str, Any]:
    ci95 = None if interval is None else [round(float(v), 4) for v in interval]
    return {"mean": round(float(mean), 4), "ci95": ci95, "n": int(n)}


def _print(
    name: str, thresholds: tuple[float, ...], tables: list[dict[str, Any]]
) -> None:
    sys.stdout.write(f"\n{name}, thresholds {thresholds}\n")
    for table in tables:
        head = f"{table['data']} {table['target']} ({table['region']})"
        sys.stdout.write(f"  {head}, n = {table['n']}\n")
        for metric, found in table["scores"].items():
            interval = "" if found["ci95"] is None else str(found["ci95"])
            sys.stdout.write(f"    {metric:20s} {found['mean']:.4f} {interval}\n")


def _sources(config: TrainConfig, learnt: list[LabelledImage]) -> list[dict[str, Any]]:
    """Return the training sets with their terms, counted as they were used."""
    terms = {
        row["source_dataset"]: row["licence"]
        for pack in config.data.packs
        for row in read_rows(Path(config.data.root) / pack)
    }
    names = [image.dataset for image in learnt]
    return [
        {
            "name": name,
            "terms": terms[name] or "see the set",
            "images": names.count(name),
        }
        for name in sorted(set(names))
    ]


def _hours(run: Path, batch: int) -> float:
    """Return the duration of a run from its log."""
    with (run / "log.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    seconds, before = 0.0, 0
    for row in rows:
        step = int(row["step"])
        seconds += batch * max(0, step - before) / float(row["images_per_s"])
        before = step
    return round(seconds / 3600, 2)


def _publish(
    arguments: argparse.Namespace,
    config: TrainConfig,
    task: tasks.Task,
    words: dict[str, Any],
    recognition: dict[str, Any],
    learnt: list[LabelledImage],
) -> None:
    name = f"{task.model}-{words['version']}.safetensors"
    target = ROOT / "medenh" / "zoo" / "bundled" / name
    shutil.copyfile(arguments.run / "best.safetensors", target)
    target.chmod(0o644)
    data = target.read_bytes()
    stored = config.model_dump(mode="json")
    ready = load_config(config.name)
    stored["data"]["root"] = ready.data.root
    stored["network"]["start_from"] = ready.network.start_from
    card = {
        "id": task.model,
        "version": words["version"],
        "title": task.title,
        "description": words["description"],
        "task": task.kind,
        "architecture": config.network.architecture,
        "preset": config.network.preset,
        "options": config.network.options,
        "modalities": [task.modality],
        "licence": words["licence"],
        "data": _sources(config, learnt),
        "paper": words["paper"],
        "weights": {
            "file": name,
            "size_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "bundled": True,
        },
        "training": {
            "seed": config.seed,
            "command": f"medenh train {config.name}",
            "hours": _hours(arguments.run, config.batch),
            "images": len(learnt),
            "config": stored,
        },
        "recognition": recognition,
        "notes": words["notes"],
    }
    path = ROOT / "weights_manifest.json"
    manifest = json.loads(path.read_text())
    others = [m for m in manifest["models"] if m["id"] != card["id"]]
    manifest["models"] = [*others, card]
    path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
