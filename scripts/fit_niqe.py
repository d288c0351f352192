"""Fit the models of `niqe` on good training images, one for each modality.

    python scripts/fit_niqe.py DATA [-o medenh/metrics/niqe.npz] [--limit 400]

DATA holds the training packs. Only `split=train` rows whose quality is good or high are
used, at most LIMIT a modality, drawn by a fixed seed. What is written are the mean and
the covariance of 36 statistics of patches; no image can be made from them. The model
"all" is the mixture of the others in equal parts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from training_packs import MODALITIES, Row, manifest, pictures

from medenh.metrics.natural_statistics import Gaussian, fit_gaussian, patch_features

SHARPEST = 0.75  # as the paper has it: a model is of the sharpest patches
CLOSE_UPS = ("disc-cup.tar", "drive-test.tar")  # fundus shards to stay out of


def is_good(row: Row) -> bool:
    """Return whether a row is a good training image."""
    good = row["quality"] in ("good", "high") and row["shard"] not in CLOSE_UPS
    return good and row["split"] == "train" and row.get("bits") != "16"


def fit(pack: Path, limit: int) -> tuple[Gaussian, int, int]:
    """Return a pack's model, and how many images and patches are behind it."""
    names = sorted(row["file"] for row in manifest(pack) if is_good(row))
    drawn = set(np.random.default_rng(0).permutation(names)[:limit].tolist())
    features = [
        patch_features(pixels, data_range=255, sharpest=SHARPEST)
        for _, pixels in pictures(pack, lambda row: row["file"] in drawn)
    ]
    together = np.concatenate(features)
    return fit_gaussian(together), len(features), len(together)


def mixture(models: list[Gaussian]) -> Gaussian:
    """Return mean and covariance of equal parts of some models."""
    mean = np.mean([model.mean for model in models], axis=0)
    spread = [np.outer(model.mean - mean, model.mean - mean) for model in models]
    within = [model.covariance for model in models]
    return Gaussian(mean, np.mean(within, axis=0) + np.mean(spread, axis=0))


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, default="medenh/metrics/niqe.npz")
    parser.add_argument("--limit", type=int, default=400)
    options = parser.parse_args()
    models = {}
    for folder, modality in MODALITIES.items():
        models[modality], images, patches = fit(options.data / folder, options.limit)
        sys.stdout.write(f"{modality}: {images} images, {patches} patches\n")
        sys.stdout.flush()
    models["all"] = mixture(list(models.values()))
    arrays = {
        f"{modality}-{name}": np.asarray(value, np.float32)
        for modality, model in models.items()
        for name, value in model._asdict().items()
    }
    np.savez_compressed(options.output, **arrays)


if __name__ == "__main__":
    main()
