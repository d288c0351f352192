"""docs/json.md shows the keys that the documents have."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from medenh import formats
from medenh.cli.main import main
from medenh.reports import demo
from medenh.reports.samples import SAMPLES

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
SECTION = re.compile(
    r"^### `medenh ([^\n]+) --json`\n\n```json\n(.+?)```$", re.M | re.S
)
MORE = "..."

# title -> command; `models convert` needs a checkpoint of somebody else's code
WORDS = {
    "enhance ... --dry-run": "enhance eye.png -o out/ -m clahe --dry-run",
    "degrade ... --dry-run": "degrade eye.png -o out --recipe gauss-0.1 --dry-run"
    " --modality xray",
    "degrade --list": "degrade --list",
    "evaluate --list": "evaluate --list",
    "inspect FILE...": "inspect eye.png",
    "models list": "models list",
    "models show ID": "models show dpe-general",
    "models download ID": "models download dpe-general --offline",
    "models verify": "models verify",
    "doctor": "doctor",
    "demo": "demo -o out -q",
}


def shown():
    return {
        title: json.loads(text) for title, text in SECTION.findall(PAGE.read_text())
    }


def check(shown, real, where):
    """Compare keys and types, as deep as the page shows them."""
    if isinstance(shown, dict) and shown:
        told = shown.keys() - {MORE}
        assert told <= real.keys(), where
        assert MORE in shown or told == real.keys(), where
        for key in told:
            check(shown[key], real[key], f"{where}.{key}")
    elif isinstance(shown, list) and shown:
        assert isinstance(real, list), where
        first = shown[0]
        if isinstance(first, dict) and real:
            key = next(iter(first))  # the entry of that name, or any
            same = [one for one in real if one[key] == first[key]]
            check(first, (same or real)[0], f"{where}[{first[key]}]")
    elif shown not in (None, MORE, {}) and real is not None:
        assert type(shown) is type(real), where


def test_every_section_is_looked_at():
    assert shown().keys() == {*WORDS, "models convert FILE"}


@pytest.mark.parametrize("title", WORDS)
def test_the_page_shows_the_keys_of_real_documents(
    title, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    small = [sample for sample in SAMPLES if sample.package == "pydicom"]
    quick = partial(demo.run_demo, models=("identity", demo.TRAINED), samples=small)
    monkeypatch.setattr(demo, "run_demo", quick)
    formats.write(np.tile(np.arange(64, dtype=np.uint8), (64, 1)), tmp_path / "eye.png")
    with pytest.raises(SystemExit) as ended:
        main([*WORDS[title].split(), "--json"])
    assert ended.value.code == 0
    check(shown()[title], json.loads(capsys.readouterr().out), title)
