"""Figures of every bundled model on a few fixed pictures; recorded by `make
zoo-smoke-record`, compared by `test_zoo_smoke.py`.

    python tests/zoo/zoo_smoke.py            # models that are new or have new weights
    python tests/zoo/zoo_smoke.py ID...      # these, whatever is recorded

An enhancer is measured under each protocol of its card; of a recogniser the answers on
clean pictures: of a classifier, the probability that it gives to the right class.
"""

import argparse
import json
from pathlib import Path

from medenh.evaluation.api import evaluate_protocol
from medenh.evaluation.output import summarise
from medenh.evaluation.protocols import PROTOCOLS
from medenh.tasks import TASKS
from medenh.training.data import MODALITY_OF_PACK
from medenh.zoo.manifest import load_manifest

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
RECORD = Path(__file__).with_name("zoo_smoke.json")
PACKS = {modality: pack for pack, modality in MODALITY_OF_PACK.items()}
PICTURES = 2  # of each set; drawn by a fixed seed


def bundled():
    """Return the cards of all bundled models, by id."""
    cards = load_manifest().current()
    return {card.id: card for card in cards if card.weights and card.weights.bundled}


def record():
    """Return what is recorded, by id."""
    return json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {}


def measure(card):
    """Return weights, and for every set of pictures their names and the figures."""
    if card.recognition is None:
        tables = dict(_enhanced(card))
    else:
        tables = dict(_recognised(card))
    return {"weights": card.weights.sha256, "tables": tables}


def _enhanced(card):
    for table in card.results:
        found = evaluate_protocol(
            table.protocol,
            DATA / PACKS[table.modality],
            models=[card.id],
            limit=PICTURES,
        )
        names = PROTOCOLS[table.protocol].metrics
        yield f"{table.protocol}, {table.modality}", _table(found, card.id, names)


def _recognised(card):
    (task,) = [task for task in TASKS.values() if task.model == card.id]
    pack = DATA / PACKS[task.modality]
    found = evaluate_protocol("dpe", pack, tasks=[task.name], limit=PICTURES)
    names = [c.name for c in found.columns if c.name.startswith(f"{task.name}.")]
    yield "clean pictures", _table(found, "reference", names)


def _table(found, row, names):
    assert not found.failed, found.failed
    means = {name: summarise(found.row(row), name) for name in names}
    figures = {name: round(m.mean, 4) for name, m in means.items() if m is not None}
    assert figures, f"{row} has no figure"
    return {"pictures": list(found.files), "figures": figures}


def main():
    """Measure what is asked for, or what lacks a record, and keep the rest."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="ID", choices=[*bundled(), []])
    asked, cards, known = parser.parse_args().names, bundled(), record()
    for name, card in cards.items():
        new = known.get(name, {}).get("weights") != card.weights.sha256
        if name in asked or (not asked and new):
            print(f"measuring {name}")  # noqa: T201
            known[name] = measure(card)
            _write({name: known[name] for name in cards if name in known})


def _write(known):
    RECORD.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
