"""Measure how often right uses of the zoo's models pass their cards' limits.

    python scripts/measure_limits.py DATA [--limit 60] [--models ID...] [--csv FILE]

DATA holds the data packs. Each enhancer with limits answers the pictures of each
protocol on its card, which it never learnt from: as the protocol degrades them, as they
are, and those that are of low quality without anybody's doing ("found"). A limit that
an answer to a degraded one passes is a false alarm; so it is with the others, but for
models that want what a sharp or clean picture does not have (noise, enlargement).
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from training_packs import MODALITIES

from medenh import load_model
from medenh.evaluation.cases import eight_bits
from medenh.evaluation.degrading import IDENTITY, prepare
from medenh.evaluation.packs import PackCase, read_set
from medenh.evaluation.protocols import Protocol, find_protocol
from medenh.pipeline.fidelity import measure, warnings_of
from medenh.training.data import read_rows
from medenh.types import Image, Modality
from medenh.zoo.manifest import ModelCard, load_manifest

ROWS = ("degraded", "clean", "found")
_GOOD = ("good", "high", "small")
COLUMNS = (
    "model",
    "protocol",
    "modality",
    "row",
    "file",
    "structure_correlation",
    "clipped_share",
    "mean_shift",
    "brightness_excess",
    "warnings",
)


def right_uses(card: ModelCard, data: Path, limit: int) -> Iterator[list[object]]:
    """Yield the figures of every answer."""
    model = load_model(card.id, "cpu", "fp32")
    for table in card.results:
        protocol = find_protocol(table.protocol)
        folder = data / next(
            p for p, kind in MODALITIES.items() if kind == table.modality
        )
        for row, name, image in _inputs(
            folder, protocol, Modality(table.modality), limit
        ):
            figures = measure(image, model.enhance(image))
            found = warnings_of(figures, card)
            numbers = [figures[column] for column in COLUMNS[5:9]]
            yield [
                card.id,
                protocol.name,
                table.modality,
                row,
                name,
                *numbers,
                "; ".join(found),
            ]


def _inputs(
    folder: Path, protocol: Protocol, modality: Modality, limit: int
) -> Iterator[tuple[str, str, Image]]:
    native = protocol.depth == "native"
    cases = read_set(folder, (), asked=False, native=native).cases
    for at in _spread(len(cases), limit):
        found = prepare(
            cases[at], protocol=protocol, modality=modality, methods=(), tasks=()
        )
        if found.clean is None:
            raise SystemExit(f"{cases[at].name}: {found.failed[0].error}")
        yield "degraded", cases[at].name, found.outputs[IDENTITY]
        yield "clean", cases[at].name, found.clean
    low = [
        row
        for row in read_rows(folder)
        if row["split"] in ("val", "test") and row["quality"] not in _GOOD
    ]
    for at in _spread(len(low), limit):
        image = PackCase(folder, low[at], native).read(()).image
        yield "found", low[at]["file"], image if native else eight_bits(image)


def _spread(count: int, limit: int) -> list[int]:
    """Return indices of at most so many, from all over."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, limit))})


def _share(lines: list[list[object]], row: str) -> str:
    flagged = [bool(line[-1]) for line in lines if line[3] == row]
    return f"{sum(flagged)} of {len(flagged)}" if flagged else "-"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=60, help="pictures of each row")
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--csv", type=Path, help="figures of every answer")
    args = parser.parse_args()
    lines: list[list[object]] = []
    _say("| model | protocol | pictures | degraded | clean | found |")
    _say("|---|---|---|---|---|---|")
    for card in load_manifest().current():
        limited = card.limits.max_clipped is not None
        if not limited or (args.models and card.id not in args.models):
            continue
        found = list(right_uses(card, args.data, args.limit))
        lines += found
        for protocol, kind in dict.fromkeys((line[1], line[2]) for line in found):
            of = [line for line in found if line[1:3] == [protocol, kind]]
            cells = " | ".join(_share(of, row) for row in ROWS)
            _say(f"| `{card.id}` | `{protocol}` | {kind} | {cells} |")
    _say(f"\nIn all {', '.join(f'{row} {_share(lines, row)}' for row in ROWS)}.")
    if args.csv is not None:
        with args.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *lines])
    return 0


if __name__ == "__main__":
    sys.exit(main())
