"""Runs of a few steps on a small pack, for the tests of publishing."""

import csv
from dataclasses import dataclass
from pathlib import Path

from labelled_pack import write_pack

from medenh.training.config_file import load_config
from medenh.training.loop import train


@dataclass
class Trained:
    """A run, and the packs that it learnt from."""

    folder: Path
    root: Path


def pack_with_tests(root):
    """Write the pack with six images of split test, and terms that say so."""
    write_pack(root)
    path = root / "derm" / "manifest.csv"
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for index, row in enumerate(rows):
        row["split"] = "test" if index in (1, 4, 5, 8, 9, 12) else "train"
        row["licence"], row["quality"] = "terms of the pack", "high"
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def run_of(folder, name, root, *more):
    """Train a built-in configuration for as few steps as it takes."""
    settings = [
        f"data.root='{root.as_posix()}'",
        "data.packs=['derm']",
        "data.size=32",
        "data.max_side=96",
        "data.holdout_share=0.3",
        "precision=fp32",
        "batch=2",
        "steps=1",
        "validate_every=1",
        "optimiser.warmup_steps=0",
        *more,
    ]
    train(load_config(name, settings), folder)
    return Trained(folder, root)
