"""docs/zoo.md is what the manifest makes it, and leaves nothing out."""

import importlib.util
from pathlib import Path

import pytest

from medenh.zoo.manifest import load_manifest

ROOT = Path(__file__).resolve().parents[2]
CARDS = {c.id: c for c in load_manifest().current() if c.weights and c.weights.bundled}


@pytest.fixture(scope="module")
def zoo_docs():
    spec = importlib.util.spec_from_file_location(
        "zoo_docs", ROOT / "scripts" / "zoo_docs.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_manifest_makes_it(zoo_docs):
    written = zoo_docs.PAGE.read_text("utf-8")
    assert written == zoo_docs.page(), zoo_docs.HINT


@pytest.mark.parametrize("name", CARDS)
def test_a_section_has_all_that_the_card_holds(name):
    card = CARDS[name]
    page = (ROOT / "docs" / "zoo.md").read_text("utf-8")
    section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert card.training.command in section
    for source in card.data:
        assert f"| {source.name} | {source.images} | {source.terms} |" in section
    for result in card.results:
        assert {"identity", name} <= set(result.rows)
        for scores in result.rows.values():
            for found in scores.values():
                interval = "" if found.ci95 is None else _interval(*found.ci95)
                assert f"{found.mean:.4g}{interval}" in section
    for table in card.recognition.tables if card.recognition else ():
        assert table.literature in section
        assert all(f"{found.mean:.4g}" in section for found in table.scores.values())
    assert card.notes in section


def _interval(low, high):
    return f" [{low:.4g}, {high:.4g}]"
