"""docs/models.md tells of the models that come along, and not of former versions."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from medenh.zoo.manifest import load_manifest

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
CARDS = {c.id: c for c in load_manifest().current() if c.results}
METRICS = {
    "PSNR": "psnr",
    "SSIM": "ssim",
    "CIEDE2000": "de2000",
    "IoU": "iou",
    "Dice": "dice",
}
MODALITIES = {"X-ray": "xray"}  # all others are called as the manifest calls them
ROWS = {"untouched": "identity", "clean": "reference"}
PROTOCOLS = {result.protocol for card in CARDS.values() for result in card.results}


def tables() -> list[list[list[str]]]:
    """Return the tables of figures, as rows of cells: those of a protocol."""
    blocks = re.findall(r"(?:^\|.*\n)+", PAGE, re.M)
    split = [
        [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in block]
        for block in (found.splitlines() for found in blocks)
    ]
    return [table for table in split if re.search(r"\bPSNR\b", " ".join(table[0]))]


def asked(corner: str, head: str) -> dict[str, Any]:
    """Return what a column shows, by its head and the table's corner."""
    both = f"{corner}, {head}"
    quoted = re.findall(r"`([^`]+)`", both)
    (protocol,) = [word for word in quoted if word in PROTOCOLS]
    task = "".join(f"{word}." for word in quoted if word not in PROTOCOLS)
    parts = [part.strip() for part in re.sub(r"`[^`]+`", "", both).split(",")]
    (n,) = [int(part) for part in parts if part.isdigit()]
    keys = [
        METRICS[word] for part in parts for word in part.split(" / ") if word in METRICS
    ]
    kinds = {result.modality for card in CARDS.values() for result in card.results}
    named = {MODALITIES.get(part, part.lower()) for part in parts} & kinds
    return {"protocol": protocol, "n": n, "task": task, "keys": keys, "kinds": named}


def measured(what: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the scores of each row that cards have of it, and of the best model."""
    rows: dict[str, list[dict[str, Any]]] = {}
    own = []
    for card in CARDS.values():
        for result in card.results:
            if (result.protocol, result.n) != (what["protocol"], what["n"]):
                continue
            if what["kinds"] and result.modality not in what["kinds"]:
                continue
            own.append(result.rows[card.id])
            for name, scores in result.rows.items():
                rows.setdefault(name, []).append(scores)
    rows["best model"] = [max(own, key=lambda scores: scores["psnr"].mean)]
    return rows


def rounds_to(value: float, shown: str) -> bool:
    """Return whether a figure is shown right; a card's half may go either way."""
    unit = Decimal(10) ** -len(shown.partition(".")[2])
    return abs(Decimal(str(value)) - Decimal(shown)) <= unit / 2


@pytest.mark.parametrize("table", tables(), ids=lambda table: table[0][0])
def test_figures_are_those_of_the_cards(table):
    (corner, *heads), _, *lines = table
    wrong = []
    for head, *column in zip(heads, *(line[1:] for line in lines), strict=True):
        what = asked(corner, head)
        cards = measured(what)
        for label, cell in zip((line[0] for line in lines), column, strict=True):
            name = label.replace("*", "").replace("`", "")
            if not cell:
                continue
            shown = cell.replace("*", "").split(" / ")
            for scores in cards[ROWS.get(name, name)]:
                for figure, key in zip(shown, what["keys"], strict=True):
                    task = "" if key in scores else what["task"]
                    if not rounds_to(scores[task + key].mean, figure):
                        wrong.append((head, name, figure, scores[task + key].mean))
    assert wrong == []


def test_all_protocols_of_the_cards_have_a_table():
    shown = " ".join(cell for table in tables() for cell in table[0])
    assert {name for name in PROTOCOLS if f"`{name}`" not in shown} == set()


@pytest.mark.parametrize("name", CARDS)
def test_a_section_tells_of_the_present_version(name):
    card = CARDS[name]
    found = [
        text
        for text in PAGE.split("\n## ")
        if f"`{name}`" in text.split("\n")[0] and text.startswith("`")
    ]
    assert len(found) == 1, f"docs/models.md needs one section titled ## `{name}`"
    (section,) = found
    title = section.split("\n")[0]
    place = re.findall(r"`([^`]+)`", title).index(name)
    versions = re.search(r"Versions? ([\d and]+);", " ".join(section.split()))[1]
    assert (versions.split(" and ") * 2)[place] == card.version
    assert f"](zoo.md#{name})" in section
    assert f"{card.weights.size_bytes / 1e6:.1f}" in section
    assert f"{card.training.images:,}" in section
