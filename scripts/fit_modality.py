"""Fit the network behind `medenh.modality` on the data packs and on other pictures.

    python scripts/fit_modality.py DATA --photographs FOLDER [--figures FILE.npz]
        [-o medenh/modality/network.json]

DATA holds the data packs; only `split=train` is looked at. FOLDER holds everyday
photographs and drawings, JPEG or PNG; see docs/enhance.md for those that were used.
FILE keeps the figures of all pictures for the next time.
The thresholds are taken from five folds over patients and scenes: each fold is judged
by a network that saw none of its groups. The network written has seen all.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from modality_pictures import (
    Picture,
    degraded,
    in_circle,
    made_up,
    medical,
    photographs,
    shuffled,
    varied,
)
from training_packs import MODALITIES

from medenh.modality.features import features
from medenh.modality.recognise import OTHER, probabilities

KINDS = (*MODALITIES.values(), OTHER)
EACH = 1000  # pictures a modality, each drawn anew
OTHERS = 1800  # photographs, and made-up pictures
SHUFFLED = 60  # of a modality that falls apart in pieces
FOLDS = 5
NOISE = ("white noise", "smooth noise")  # drawn more often than other sorts
HIDDEN = 64
EPOCHS = 60
MISSED = 0.02  # share of a modality's own pictures below its threshold
LOWEST, HIGHEST = 0.05, 0.5  # of the thresholds


class Network(NamedTuple):
    """What `medenh.modality.recognise` needs."""

    mean: np.ndarray
    deviation: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]


def training_pictures(data: Path, folder: Path, seed: int) -> Iterator[Picture]:
    """Yield what is learned from: about half of the medical pictures are degraded."""
    rng = np.random.default_rng(seed)
    of_kind: dict[str, list[Picture]] = {}
    for picture in medical(data, lambda row: row["split"] == "train"):
        of_kind.setdefault(picture.kind, []).append(picture)
    for kind, pictures in of_kind.items():
        order = rng.permutation(len(pictures))
        for index in range(EACH):
            picture = pictures[order[index % len(pictures)]]
            if rng.random() < 0.8:
                picture = varied(picture, rng)
            again = index // len(pictures) % 2 == 1
            yield degraded(picture, rng) if again or rng.random() < 0.5 else picture
        if kind not in ("microscopy", "dermoscopy"):
            for _ in range(SHUFFLED):
                yield shuffled(pictures[rng.integers(len(pictures))], rng)
    scenes = list(photographs(folder, held_back=False))
    for index in range(OTHERS):
        yield _other(varied(scenes[index % len(scenes)], rng), rng)
    for _ in range(OTHERS):
        noise = rng.random() < 0.25
        picture = made_up(rng, NOISE if noise else None)
        if rng.random() < 0.1:
            picture = in_circle(picture)
        yield degraded(picture, rng) if rng.random() < 0.15 else picture


def _other(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a part of a photograph: recoloured, grey, through a hole, or degraded."""
    if rng.random() < 0.5:
        picture = varied(picture, rng)
    if rng.random() < 0.4:
        mixed = np.ascontiguousarray(picture.pixels[..., rng.permutation(3)])
        picture = picture._replace(pixels=mixed)
    if rng.random() < 0.2:
        picture = in_circle(picture)
    if rng.random() < 0.3:
        grey = np.rint(picture.pixels.mean(axis=2, keepdims=True)).astype(np.uint8)
        picture = picture._replace(pixels=grey)
    return degraded(picture, rng) if rng.random() < 0.3 else picture


def measured(pictures: Iterable[Picture]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the figures, kinds and groups of pictures."""
    figures, kinds, groups = [], [], []
    for picture in pictures:
        figures.append(features(picture.pixels.astype(np.float32) / 255))
        kinds.append(picture.kind)
        groups.append(picture.group)
    return np.array(figures), np.array(kinds), np.array(groups)


def fit(figures: np.ndarray, targets: np.ndarray, seed: int) -> Network:
    """Return a network of one hidden layer."""
    torch.manual_seed(seed)
    mean, deviation = figures.mean(axis=0), figures.std(axis=0) + 1e-3
    standard = np.clip((figures - mean) / deviation, -4, 4)
    inputs = torch.from_numpy(standard.astype(np.float32))
    answers = torch.from_numpy(targets)
    network = torch.nn.Sequential(
        torch.nn.Dropout(0.1),
        torch.nn.Linear(inputs.shape[1], HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.2),
        torch.nn.Linear(HIDDEN, len(KINDS)),
    )
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.02)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(inputs)).split(256):
            noisy = inputs[batch] + 0.1 * torch.randn(len(batch), inputs.shape[1])
            loss = loss_of(network(noisy), answers[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    layers = tuple(
        (layer.weight.detach().numpy().T.astype(float), layer.bias.detach().numpy())
        for layer in network
        if isinstance(layer, torch.nn.Linear)
    )
    return Network(mean, deviation, layers)


def crossed(figures: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return probabilities, each by a network that saw nothing of the group."""
    number = np.unique(groups, return_inverse=True)[1]
    fold = np.random.default_rng(0).integers(FOLDS, size=number.max() + 1)[number]
    found = np.empty((len(figures), len(KINDS)))
    for index in range(FOLDS):
        rest = fold != index
        network = fit(figures[rest], targets[rest], index)
        found[~rest] = probabilities(network, figures[~rest])
    return found


def thresholds(found: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Return for each modality the probability that nearly all its pictures have."""
    chosen = {}
    for index, kind in enumerate(KINDS[:-1]):
        level = float(np.quantile(found[targets == index, index], MISSED))
        chosen[kind] = round(min(max(level, LOWEST), HIGHEST), 4)
    return chosen


def report(found: np.ndarray, targets: np.ndarray, least: dict[str, float]) -> str:
    """Return how much of each kind passes for each modality, in the five folds."""
    lines = ["kind          " + " ".join(f"{kind[:8]:>8}" for kind in least)]
    for index, kind in enumerate(KINDS):
        of_kind = found[targets == index]
        shares = [(of_kind[:, i] >= least[k]).mean() for i, k in enumerate(least)]
        lines.append(f"{kind:13} " + " ".join(f"{share:8.3f}" for share in shares))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Draw, measure, fit, choose thresholds, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--figures", type=Path)
    parser.add_argument(
        "-o", "--output", type=Path, default="medenh/modality/network.json"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.figures and options.figures.is_file():
        with np.load(options.figures) as kept:
            figures, kinds, groups = kept["figures"], kept["kinds"], kept["groups"]
    else:
        pictures = training_pictures(options.data, options.photographs, 0)
        figures, kinds, groups = measured(pictures)
        if options.figures:
            np.savez(options.figures, figures=figures, kinds=kinds, groups=groups)
    targets = np.array([KINDS.index(kind) for kind in kinds])
    found = crossed(figures, targets, groups)
    least = thresholds(found, targets)
    sys.stdout.write(report(found, targets, least))
    network = fit(figures, targets, 0)
    stored = {
        "about": "network of medenh.modality, fitted by scripts/fit_modality.py",
        "training_pictures": {k: int((kinds == k).sum()) for k in KINDS},
        "kinds": KINDS,
        "thresholds": least,
        "mean": network.mean.round(5).tolist(),
        "deviation": network.deviation.round(5).tolist(),
        "layers": [
            {
                "weights": w.round(3).tolist(),
                "offsets": b.astype(float).round(3).tolist(),
            }
            for w, b in network.layers
        ],
    }
    options.output.write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
