"""The examples of the pages on Python run as written, from an empty folder."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page):
    text = (DOCS / page).read_text("utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(code):
    names = {"__name__": "page"}
    exec(compile(code, "page", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")


@pytest.mark.parametrize(
    "code",
    [code for page in ("python.md", "degrade.md") for code in blocks(page)],
)
def test_the_page_runs_and_nothing_in_it_warns(code):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="medenh")
        warnings.filterwarnings("error", module="page")
        run(code)


EPOCHS = """
seen = []
for workers in (0, 2):
    pictures = [np.full((40, 40, 3), 0.5, np.float32)] * 4
    dataset = DegradedCrops(pictures, "gauss-0.1", side=32)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=2,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
    )
    for _ in range(2):
        seen.append(torch.cat([low for low, _ in loader]))
        dataset.epoch += 1
assert torch.equal(seen[0], seen[2])
assert torch.equal(seen[1], seen[3])
assert not torch.equal(seen[0], seen[1])
"""


def test_workers_that_persist_degrade_anew_in_each_epoch():
    """They keep the dataset that they started with; its counter is shared with them.

    In a process of its own: one with threads of other tests had better not fork.
    """
    (code,) = [code for code in blocks("degrade.md") if "DegradedCrops" in code]
    command = [sys.executable, "-c", code + EPOCHS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_transform_is_its_generators_alone():
    (code,) = [code for code in blocks("python.md") if "class LowQuality" in code]
    transform = run(code)["LowQuality"]("dpe", severity=3)
    sample = {"image": torch.full((1, 20, 24), 0.5), "label": 3}
    lows = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        lows.append(transform(sample))
    assert torch.equal(lows[0]["low"], lows[1]["low"])
    assert not torch.equal(lows[0]["low"], lows[2]["low"])
    assert lows[0]["low"].shape == (1, 20, 24)
    assert lows[0]["label"] == 3
    assert set(sample) == {"image", "label"}
