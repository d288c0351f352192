"""Which versions may be installed, and which are: no version with a known fault."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]
# the last version with the fault -> what it is
FAULTY = {
    "torch": ("2.9.1", "CVE-2026-24747: weights_only loading corrupts memory"),
    "pydicom": ("3.0.1", "CVE-2026-32711: a DICOMDIR leads out of its folder"),
    "pillow": ("12.2.0", "files that expand without bound"),
    "filelock": (
        "3.20.2",
        "CVE-2025-68146, CVE-2026-22701: a planted link is followed",
    ),
    "jinja2": ("3.1.5", "CVE-2025-27516: the sandbox of templates can be left"),
    "certifi": ("2024.6.2", "CVE-2024-39689: GLOBALTRUST's roots are trusted"),
}
# what a declared package brings, and pins itself, as part of its own interface
BROUGHT = {"pydantic_core"}


def requirements():
    extras = PROJECT["optional-dependencies"]
    everything = [
        *PROJECT["dependencies"],
        *(one for group in extras.values() for one in group),
    ]
    return {canonicalize_name(one.name): one for one in map(Requirement, everything)}


@pytest.mark.parametrize("name", FAULTY)
def test_no_version_with_a_known_fault_is_accepted(name):
    version, fault = FAULTY[name]
    assert not requirements()[name].specifier.contains(version), fault


@pytest.mark.parametrize("name", sorted(requirements()))
def test_every_dependency_has_a_floor_and_is_pinned_above_it(name):
    wanted = requirements()[name]
    assert any(one.operator == ">=" for one in wanted.specifier)
    (pin,) = [one for one in PINS if canonicalize_name(one.name) == name]
    (exact,) = pin.specifier
    assert exact.operator == "=="
    assert wanted.specifier.contains(Version(exact.version))


def test_all_that_is_imported_is_declared():
    names = set()
    for path in (ROOT / "medenh").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition(".")[0])
    strange = names - sys.stdlib_module_names - BROUGHT - {"medenh"}
    owners = packages_distributions()
    for name in strange:
        found = {canonicalize_name(one) for one in owners.get(name, [name])}
        assert found & set(requirements()), f"{name} is not declared"
