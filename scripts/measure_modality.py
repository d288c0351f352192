"""Measure how often pictures of one kind are flagged by models made for another.

    python scripts/measure_modality.py DATA --photographs FOLDER [--draws 3]

DATA holds the data packs, of which only rows that are not `split=train` are looked at,
at most 120 of a pack; FOLDER is that of scripts/fit_modality.py, of which the scenes
held back are looked at. Each medical picture is judged as it is, and degraded DRAWS
times. The table's rows are kinds of pictures, its columns what a model was made for:
the share that is flagged, by the function that `medenh enhance` asks. A second table
tells what `auto` takes the pictures for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from modality_pictures import (
    SORTS,
    Picture,
    degraded,
    made_up,
    medical,
    photographs,
    varied,
)
from training_packs import MODALITIES

from medenh.formats.array import from_array
from medenh.modality import OTHER, recognise
from medenh.pipeline.looks import SURE

KINDS = tuple(MODALITIES.values())
MOST = 120  # pictures of a pack
CROPS = 4  # parts of each photograph
MADE_UP = 40  # pictures of each sort


def pictures(data: Path, folder: Path, draws: int) -> Iterator[tuple[str, Picture]]:
    """Yield pictures with the row that they belong to."""
    rng = np.random.default_rng(7)
    of_kind: dict[str, list[Picture]] = {}
    for picture in medical(data, lambda row: row["split"] != "train"):
        of_kind.setdefault(picture.kind, []).append(picture)
    for kind, found in of_kind.items():
        for index in rng.permutation(len(found))[:MOST]:
            yield f"{kind}, clean", found[index]
            for _ in range(draws):
                yield f"{kind}, degraded", degraded(found[index], rng)
    for picture in photographs(folder, held_back=True):
        yield picture.source, picture
        for _ in range(CROPS):
            yield f"{picture.source}, parts", varied(picture, rng)
        grey = np.rint(picture.pixels.mean(axis=2, keepdims=True)).astype(np.uint8)
        yield f"{picture.source}, grey", picture._replace(pixels=grey)
    for sort in SORTS:
        for _ in range(MADE_UP):
            yield sort, made_up(rng, (sort,))


def table(flagged: dict[str, list[list[bool]]]) -> str:
    """Return all shares in %, false alarms in bold, and what they come to."""
    lines = [
        f"| picture | n | {' | '.join(KINDS)} |",
        f"|---|---|{'---|' * len(KINDS)}",
    ]
    answers = {row: np.array(found) for row, found in flagged.items()}
    for row, found in answers.items():
        kind = row.split(",")[0]
        cells = [f"{100 * share:.1f}" for share in found.mean(axis=0)]
        cells = [
            f"**{c}**" if k == kind else c for c, k in zip(cells, KINDS, strict=True)
        ]
        lines.append(f"| {row} | {len(found)} | {' | '.join(cells)} |")
    own, foreign, other = [], [], []
    for at, name in enumerate(KINDS):
        for row, found in answers.items():
            kind = row.split(",")[0]
            target = own if kind == name else foreign if kind in KINDS else other
            target.extend(found[:, at])
    for text, values in (
        ("false alarms", own),
        ("pictures of another modality flagged", foreign),
        ("others flagged", other),
    ):
        lines.append(f"{text}: {100 * np.mean(values):.2f} % of {len(values)}")
    return "\n".join(lines) + "\n"


def chosen(taken: dict[str, list[str]]) -> str:
    """Return how often `auto` knows a picture, and how often it is deceived."""
    lines = ["| picture | n | right | unknown | wrong |", "|---|---|---|---|---|"]
    for row, found in taken.items():
        right = found.count(row.split(",")[0])
        unknown = found.count(OTHER)
        wrong = sorted(set(found) - {row.split(",")[0], OTHER})
        shares = [f"{100 * n / len(found):.1f}" for n in (right, unknown)]
        count = len(found) - right - unknown
        words = f"{100 * count / len(found):.1f} {', '.join(wrong)}".strip()
        lines.append(f"| {row} | {len(found)} | {' | '.join(shares)} | {words} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    flagged: dict[str, list[list[bool]]] = {}
    taken: dict[str, list[str]] = {}
    for row, picture in pictures(options.data, options.photographs, options.draws):
        likeness = recognise(from_array(picture.pixels))
        assert likeness is not None, row
        answers = [not likeness.suits((kind,)) for kind in KINDS]
        flagged.setdefault(row, []).append(answers)
        sure = likeness.shares[likeness.best] >= SURE
        taken.setdefault(row, []).append(likeness.best if sure else OTHER)
    sys.stdout.write(f"{table(flagged)}\n{chosen(taken)}")


if __name__ == "__main__":
    main()
