"""Write docs/zoo.md from weights_manifest.json: `make zoo-docs`.

python scripts/zoo_docs.py            # writes the page
python scripts/zoo_docs.py --check    # exit 1 where it is not what it should be
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from safetensors import safe_open

from medenh.classical import INFO
from medenh.reports.cards import (
    best_classical,
    estimate_text,
    figure_tables,
    leading_metric,
)
from medenh.zoo.cache import bundled_path
from medenh.zoo.card import ModelCard
from medenh.zoo.manifest import Manifest, read_card

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "zoo.md"
HINT = "docs/zoo.md is not what weights_manifest.json makes it: run `make zoo-docs`"

_INTRO = """\
# The zoo

Made from `weights_manifest.json` by `make zoo-docs`, never by hand.
[models.md](models.md) tells in words how the enhancers work and where they fail,
[tasks.md](tasks.md) what the recognisers are for, [evaluate.md](evaluate.md) what the
protocols do. `make zoo-report` measures every figure again; a table of an enhancer is

```sh
medenh evaluate --protocol cofe-111 --data packs/fundus --limit 60 --models fast-fundus
```

by the words of its heading ("cofe-111, fundus, test, n = 60") and names of its rows;
`--limit` is its n, without which a larger set is measured whole.

Figures are means over pictures that training never saw, with 95 % bootstrap intervals.
Beside a model stand `identity`, doing nothing, and the weight-free methods that suit
the kind of picture. `oracle-affine`, the best single gain and offset chosen with the
clean picture in hand, is a bound and no method; `reference` is the clean pictures.
`recovered` is the share of a task's lost score that came back. Higher is better, but
for `de2000` (CIEDE2000) and `mae`. IoU and Dice measure how two areas overlap, AUC how
well scores part two classes. No model is a medical device.

`train again` is the last run alone. Where its `network.start_from` names a file, or the
model's own id with or without a version, it went on from weights of an earlier version,
which do not come along
([training.md](training.md#ready-configurations)).
"""


def page() -> str:
    """Return the whole page."""
    entries = json.loads((ROOT / "weights_manifest.json").read_text("utf-8"))["models"]
    cards = Manifest(tuple(read_card(json.dumps(one)) for one in entries)).current()
    enhancers = [c for c in cards if c.weights and c.recognition is None]
    recognisers = [c for c in cards if c.recognition is not None]
    methods = [c for c in cards if c.is_classical]
    names = [card.id for card in methods]
    lines = [
        _INTRO,
        "## Enhancers",
        "",
        *_overview(enhancers, names),
        "",
        "## Recognisers",
        "",
        *_recognisers(recognisers),
        "",
        "## Weight-free methods",
        "",
        *_methods(methods),
        "",
        *_not_compared(),
        "",
    ]
    for card in (*enhancers, *recognisers):
        lines += _section(card)
    return "\n".join(lines)


def _overview(cards: Iterable[ModelCard], classical: Sequence[str]) -> list[str]:
    """Return a line a model: its leading figure in the first of its tables."""
    rows = []
    for card in cards:
        figures = ["-"] * 4
        if card.results:
            first = card.results[0]
            metric = leading_metric(first)
            best = best_classical(first, metric, classical)
            figures = [f"`{first.protocol}`, {first.modality}: {metric}"]
            figures += [
                estimate_text(first.rows.get(name, {}).get(metric))
                + (f" (`{name}`)" if name == best else "")
                for name in (card.id, "identity", best or "")
            ]
        rows.append([*_facts(card), *figures])
    head = ("figure", "model", "identity", "best weight-free method")
    return _table((*_FACTS, *head), rows)


def _recognisers(cards: Iterable[ModelCard]) -> list[str]:
    rows = []
    for card in cards:
        tables = card.recognition.tables if card.recognition else ()
        figures = ["-", "-"]
        if tables:
            metric = "dice" if "dice" in tables[0].scores else "auc"
            where = ", ".join(
                word for word in (tables[0].data, tables[0].target) if word
            )
            figures = [
                f"{metric}: {where}",
                estimate_text(tables[0].scores.get(metric)),
            ]
        rows.append([*_facts(card), *figures])
    return _table((*_FACTS, "figure", "model"), rows)


def _methods(cards: Iterable[ModelCard]) -> list[str]:
    rows = [
        [f"`{card.id}`", card.title, ", ".join(card.modalities) or "any", card.licence]
        for card in cards
    ]
    return _table(("id", "what", "for", "licence"), rows)


def _not_compared() -> list[str]:
    """Say which methods stand in none of the tables below, and why."""
    names = [f"`{name}`" for name, one in INFO.items() if not one.natural]
    return [
        f"In no table of a model stand {' and '.join(names)}: what they give is for "
        "machines and no natural picture, see "
        "[models.md](models.md#weight-free-methods) for figures."
    ]


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_FACTS = ("id", "what for", "modality", "parameters", "weights", "licence")


def _facts(card: ModelCard) -> list[str]:
    return [
        f"[`{card.id}`](#{card.id})",
        card.title,
        ", ".join(card.modalities) or "any",
        _parameters(card),
        _size(card),
        card.licence,
    ]


def _parameters(card: ModelCard) -> str:
    """Return the number of weights in the file, statistics of normalisation apart."""
    assert card.weights is not None
    if not card.weights.bundled:
        return "-"
    with safe_open(bundled_path(card.weights), "np") as tensors:
        count = sum(
            math.prod(tensors.get_slice(name).get_shape())
            for name in tensors.keys()  # noqa: SIM118 - it is no mapping
            if not name.endswith(_STATISTICS)
        )
    return f"{count:,}"


def _size(card: ModelCard) -> str:
    assert card.weights is not None
    where = "bundled" if card.weights.bundled else "to download"
    return f"{card.weights.size_bytes / 1e6:.1f} MB, {where}"


def _section(card: ModelCard) -> Iterator[str]:
    yield from (f"## {card.id}", "", f"**{card.title}.** {card.description}", "")
    for name, text in _lines(card):
        yield f"- {name}: {text}"
    if card.data:
        yield from ("", "Data behind the weights:", "")
        rows = [[one.name, str(one.images), one.terms] for one in card.data]
        yield from _table(("set", "images", "terms"), rows)
    for table in figure_tables(card):
        yield from ("", f"### {card.id}: {table.title}", "")
        rows = [
            [f"**{cell}**" if row[0] == card.id else cell for cell in row]
            for row in table.rows
        ]
        yield from _table(table.headers, rows)
        if table.published:
            yield from ("", f"Published, protocol differs: {table.published}.")
    if card.notes:
        yield from ("", f"### {card.id}: limits and notes", "", card.notes)
    yield ""


def _lines(card: ModelCard) -> Iterator[tuple[str, str]]:
    preset = "" if card.preset == "default" else f", preset `{card.preset}`"
    yield "network", f"`{card.architecture}`{preset}, {_parameters(card)} parameters"
    yield "for", ", ".join(card.modalities) or "any picture"
    if card.input.largest_side is not None:
        yield "longest side that it knows", f"{card.input.largest_side} pixels"
    if card.default_for:
        yield "`auto` picks it for", ", ".join(card.default_for)
    yield "weights", f"{_size(card)}, {card.licence}, version {card.version}"
    if card.training is not None:
        yield "train again", f"`{card.training.command}`"
        yield (
            "training",
            f"seed {card.training.seed}, {card.training.hours:g} hours, "
            f"{card.training.images:,} images",
        )
    if card.recognition is not None:
        yield "answers", ", ".join(card.recognition.classes)
        marks = ", ".join(f"{one:g}" for one in card.recognition.thresholds)
        yield "probability that counts as yes", marks
    for precision, proof in sorted(card.precision.items()):
        yield (
            precision,
            f"{proof.psnr_db:g} dB and at most {proof.max_levels:g} grey levels "
            "from fp32",
        )
    limits = card.limits.model_dump(exclude_none=True)
    if limits:
        words = ", ".join(f"`{name}` {value:g}" for name, value in limits.items())
        yield "an answer is suspicious beyond", words
    if card.paper:
        yield "paper", card.paper


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [headers, ["---"] * len(headers), *rows]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    ]


def main() -> None:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    text = page()
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(HINT)


if __name__ == "__main__":
    main()
