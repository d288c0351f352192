"""Models taken into a source tree of the project."""

from __future__ import annotations

import json

import pytest
from zoo_site import make_card, safetensors_bytes

from medenh.errors import UsageError
from medenh.zoo.checkout import add_to_checkout
from medenh.zoo.manifest import SCHEMA, read_card


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    (root / "medenh" / "zoo" / "bundled").mkdir(parents=True)
    document = {"schema": SCHEMA, "models": []}
    (root / "weights_manifest.json").write_text(json.dumps(document))
    return root


def add(root, tmp_path, content, **changes):
    plain = make_card(content).to_dict() | changes
    plain["weights"] |= {
        "file": f"{plain['id']}-{plain['version']}.safetensors",
        "urls": [],
        "bundled": True,
    }
    card = read_card(json.dumps(plain))
    source = tmp_path / "best.safetensors"
    source.write_bytes(content)
    add_to_checkout(card, source, root)
    return card


def models(root):
    return json.loads((root / "weights_manifest.json").read_text())["models"]


def test_a_new_version_takes_the_place_of_the_old(checkout, tmp_path):
    one, two = (safetensors_bytes({"w": bytes([n] * 64)}) for n in (1, 2))
    add(checkout, tmp_path, one, id="first")
    add(checkout, tmp_path, one, id="second")
    card = add(checkout, tmp_path, two, id="first", version="2")
    assert [entry["id"] for entry in models(checkout)] == ["first", "second"]
    assert read_card(json.dumps(models(checkout)[0])) == card
    bundled = checkout / "medenh" / "zoo" / "bundled"
    assert {p.name: p.read_bytes() for p in bundled.iterdir()} == {
        "first-2.safetensors": two,
        "second-1.safetensors": one,
    }


def test_what_contradicts_the_manifest_changes_nothing(checkout, tmp_path):
    content = safetensors_bytes({"w": bytes(64)})
    add(checkout, tmp_path, content, id="first", aliases=["eyes"])
    before = (checkout / "weights_manifest.json").read_bytes()
    with pytest.raises(UsageError, match="eyes"):
        add(checkout, tmp_path, content, id="eyes")
    assert (checkout / "weights_manifest.json").read_bytes() == before
    assert not (checkout / "medenh/zoo/bundled/eyes-1.safetensors").exists()


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no checkout"):
        add(tmp_path, tmp_path, safetensors_bytes({"w": bytes(64)}), id="first")
