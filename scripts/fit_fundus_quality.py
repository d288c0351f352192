"""Fit the logistic model behind `fundus_quality` on graded fundus photographs.

    python scripts/fit_fundus_quality.py PACK [-o medenh/metrics/fundus_quality.json]
        [--others 400]

PACK is the fundus training pack. Of photographs that no EyeQ grader saw, OTHERS are
drawn by a fixed seed, all that there are if 0. Grades good, usable and reject count as
1, 0.5 and 0; a photograph graded by people weighs as much as four graded by prediction.
The model written is fitted on `split=train`. How well it does is measured on graders'
labels only (EyeQ): on the other splits, and by five folds of patients over all of them,
each fold scored by a model that saw none of its patients.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata
from training_packs import Row, manifest, pictures

from medenh.metrics.fundus import FEATURES, fundus_features

GRADES = {"good": 1.0, "usable": 0.5, "reject": 0.0}
LEFT_OUT = ("disc-cup.tar", "drive-test.tar", "vessels-train.tar")
RIDGE = 1e-2  # on weights of standardised features, a mean loss a photograph


def is_by_people(source: str) -> bool:
    """Return whether the EyeQ graders gave the label."""
    return "eyeq" in source.lower() and "predicted" not in source.lower()


def of_bytes(pixels: np.ndarray) -> np.ndarray:
    """Return the features of an 8-bit photograph."""
    return fundus_features(pixels, data_range=255)


def drawn(rows: list[Row], others: int) -> set[str]:
    """Return the files to use: all that graders saw, and some of the others."""
    usable = [
        row for row in rows if row["quality"] in GRADES and row["shard"] not in LEFT_OUT
    ]
    people = {row["file"] for row in usable if is_by_people(row["quality_source"])}
    rest = sorted(row["file"] for row in usable if row["file"] not in people)
    order = np.random.default_rng(0).permutation(rest).tolist()
    return people | set(order[:others] if others else order)


def fit(features: np.ndarray, grades: np.ndarray, weights: np.ndarray) -> dict:
    """Return mean and deviation of the features, weights and offset."""
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
    standard = np.clip((features - mean) / deviation, -4, 4)
    share = weights / weights.sum()

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        logits = standard @ free[1:] + free[0]
        terms = np.logaddexp(0, logits) - grades * logits
        slope = share * (1 / (1 + np.exp(-logits)) - grades)
        gradient = np.concatenate([[slope.sum()], standard.T @ slope])
        gradient[1:] += 2 * RIDGE * free[1:]
        return float(share @ terms + RIDGE * free[1:] @ free[1:]), gradient

    best = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B")
    return {"mean": mean, "std": deviation, "weight": best.x[1:], "offset": best.x[0]}


def score(model: dict, features: np.ndarray) -> np.ndarray:
    """Return the model's scores, as `fundus_quality` does."""
    standard = np.clip((features - model["mean"]) / model["std"], -4, 4)
    return 1 / (1 + np.exp(-(standard @ model["weight"] + model["offset"])))


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the curve."""
    count, others = positive.sum(), (~positive).sum()
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * others))


def report(scores: np.ndarray, grades: np.ndarray) -> dict[str, float | int]:
    """Return counts, and the areas at both cuts of the grades."""
    return {
        **{name: int((grades == value).sum()) for name, value in GRADES.items()},
        "auc_good_against_rest": round(auc(scores, grades == 1), 3),
        "auc_reject_against_rest": round(auc(scores, grades > 0), 3),
    }


def main() -> None:
    """Measure the features, fit, validate, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path)
    parser.add_argument(
        "-o", "--output", type=Path, default="medenh/metrics/fundus_quality.json"
    )
    parser.add_argument("--others", type=int, default=400)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    chosen = drawn(manifest(options.pack), options.others)
    found = list(pictures(options.pack, lambda row: row["file"] in chosen))
    rows = [row for row, _ in found]
    with ProcessPoolExecutor(options.workers) as pool:
        figures = pool.map(of_bytes, (pixels for _, pixels in found), chunksize=8)
        features = np.array(list(figures))
    grades = np.array([GRADES[row["quality"]] for row in rows])
    people = np.array([is_by_people(row["quality_source"]) for row in rows])
    train = np.array([row["split"] == "train" for row in rows])
    groups = np.unique([row["group"] for row in rows], return_inverse=True)[1]
    weights = np.where(people, 4.0, 1.0)

    model = fit(features[train], grades[train], weights[train])
    held = ~train & people
    fold = np.random.default_rng(0).integers(5, size=groups.max() + 1)[groups]
    crossed = np.empty(len(rows))
    for index in range(5):
        rest = fold != index
        part = fit(features[rest], grades[rest], weights[rest])
        crossed[~rest] = score(part, features[~rest])
    validation = {
        "held-out splits, EyeQ labels": report(
            score(model, features[held]), grades[held]
        ),
        "five folds of patients, EyeQ labels": report(crossed[people], grades[people]),
        "held-out splits, all labels": report(
            score(model, features[~train]), grades[~train]
        ),
    }
    stored = {
        "about": "weights of medenh.metrics.fundus_quality; features standardised",
        "training_images": int(train.sum()),
        "validation": validation,
        "offset": round(float(model["offset"]), 5),
        "features": {
            name: {
                key: round(float(model[key][at]), 5)
                for key in ("mean", "std", "weight")
            }
            for at, name in enumerate(FEATURES)
        },
    }
    options.output.write_text(json.dumps(stored, indent=1) + "\n")
    sys.stdout.write(json.dumps(validation, indent=1) + "\n")


if __name__ == "__main__":
    main()
