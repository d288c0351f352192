"""Pages of the documentation name all that can be asked for by name."""

from pathlib import Path

import pytest

from medenh.classical import METHODS
from medenh.degradations import RECIPES
from medenh.evaluation.protocols import PROTOCOLS
from medenh.metrics import METRICS
from medenh.models import ARCHITECTURES
from medenh.tasks import TASKS

DOCS = Path(__file__).parents[1] / "docs"
LISTS = [
    ("metrics.md", METRICS),
    ("evaluate.md", PROTOCOLS),
    ("degrade.md", RECIPES),
    ("models.md", METHODS),
    ("models.md", ARCHITECTURES),
    ("tasks.md", TASKS),
]


@pytest.mark.parametrize(("page", "names"), LISTS)
def test_a_page_names_all_that_there_is(page, names):
    text = (DOCS / page).read_text("utf-8")
    lacking = [name for name in names if f"`{name}`" not in text]
    assert lacking == [], f"docs/{page} does not name them"
