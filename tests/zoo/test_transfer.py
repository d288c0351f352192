"""Models carried from one cache to another, and files that only look like models."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile

import pytest
from zoo_site import make_card, safetensors_bytes

from medenh.errors import OutputError, UsageError, WeightsError
from medenh.zoo.cache import find_weights, where
from medenh.zoo.fetch import weights_path
from medenh.zoo.manifest import SCHEMA, load_manifest
from medenh.zoo.transfer import CARD_FILE, export_model, import_model, remove_model


@pytest.fixture
def listed(content, tmp_path, monkeypatch):
    """A card that the manifest lists and whose weights a mirror folder has."""
    card = make_card(content, "https://127.0.0.1:1/x", aliases=["toy"])
    document = {"schema": SCHEMA, "models": [card.to_dict()]}
    (tmp_path / "extra.json").write_text(json.dumps(document))
    monkeypatch.setenv("MEDENH_MANIFEST", str(tmp_path / "extra.json"))
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "toy-fundus.safetensors").write_bytes(content)
    monkeypatch.setenv("MEDENH_WEIGHTS_URL", mirror.as_uri())
    return card


@pytest.fixture
def other_machine(tmp_path, monkeypatch):
    """Leave for a machine with an empty cache, no network and no extra manifest."""

    def leave(*, keep_manifest=False):
        monkeypatch.setenv("MEDENH_CACHE", str(tmp_path / "other"))
        monkeypatch.setenv("MEDENH_OFFLINE", "1")
        monkeypatch.delenv("MEDENH_WEIGHTS_URL", raising=False)
        if not keep_manifest:
            monkeypatch.delenv("MEDENH_MANIFEST", raising=False)

    return leave


@pytest.mark.parametrize("name", ["toy.zip", "toy"])
@pytest.mark.parametrize("keep_manifest", [True, False])
def test_carried_to_an_offline_machine(
    listed, content, tmp_path, other_machine, name, keep_manifest
):
    export_model("toy-fundus", tmp_path / name)
    other_machine(keep_manifest=keep_manifest)
    card = import_model(tmp_path / name)
    assert card.full_id == "toy-fundus@1"
    found = load_manifest().get("toy-fundus")
    assert found == card
    assert where(found) == "cached"
    assert weights_path(found).read_bytes() == content


def test_exports_are_the_same_bytes(listed, tmp_path):
    export_model("toy-fundus", tmp_path / "a.zip")
    export_model("toy-fundus@1", tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_import_of_a_stranger_takes_no_other_name(listed, tmp_path, other_machine):
    export_model("toy-fundus", tmp_path / "a.zip")
    other_machine()
    card = import_model(tmp_path / "a.zip")
    assert (card.aliases, card.default_for) == ((), ())
    again = import_model(tmp_path / "a.zip")  # twice is once
    assert again == card


def test_export_refuses(listed, tmp_path):
    (tmp_path / "there.zip").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        export_model("toy-fundus", tmp_path / "there.zip")
    assert (tmp_path / "there.zip").read_text() == "mine"
    with pytest.raises(UsageError, match="no weights"):
        export_model("clahe", tmp_path / "clahe.zip")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        export_model("toy-fundus", tmp_path / "file" / "a.zip")


@pytest.mark.parametrize("name", ["e.onnx", "e.pt", "e.SAFETENSORS", "e.tar.gz"])
def test_export_writes_nothing_under_a_name_of_another_kind(listed, tmp_path, name):
    with pytest.raises(UsageError, match="the card and the weights"):
        export_model("toy-fundus", tmp_path / name)
    assert not (tmp_path / name).exists()
    export_model("toy-fundus", tmp_path / "toy-1.2")  # a version is no extension
    assert (tmp_path / "toy-1.2" / CARD_FILE).is_file()


def test_export_offline_without_weights_leaves_nothing(listed, tmp_path, other_machine):
    other_machine(keep_manifest=True)
    with pytest.raises(WeightsError):
        export_model("toy-fundus", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def bundle(path, card, *members):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(CARD_FILE, json.dumps(card))
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_bad_bundles_are_refused_and_store_nothing(content, tmp_path, cache):
    good = make_card(content).to_dict()
    name = good["weights"]["file"]
    torn = content[:-1] + b"!"
    pickled = b"\x80\x04K\x01." + bytes(64)
    as_pickle = {
        **good["weights"],
        "size_bytes": len(pickled),
        "sha256": hashlib.sha256(pickled).hexdigest(),
    }

    def weights(**changes):
        return {**good, "weights": {**good["weights"], **changes}}

    above = "../../x.safetensors"
    bundles = {
        "wrong hash": (good, (name, torn)),
        "too long": (good, (name, content + b"x")),
        "cut": (good, (name, content[:100])),
        "pickle": ({**good, "weights": as_pickle}, (name, pickled)),
        "traversal": (weights(file=above), (above, content)),
        "absolute": (weights(file="/x.safetensors"), ("/x.safetensors", content)),
        "not safetensors": (weights(file="x.pt"), ("x.pt", content)),
        "extra member": (good, (name, content), ("../evil.py", b"1")),
        "doubled": (good, (name, content), (name, content)),
        "no weights": (good,),
        "id with a path": ({**good, "id": "../x"}, (name, content)),
        "id taken": ({**good, "id": "clahe"}, (name, content)),
        "auto": ({**good, "id": "auto"}, (name, content)),
        "no licence": ({**good, "licence": ""}, (name, content)),
        "method": ({**good, "weights": None}, (name, content)),
        "unknown field": ({**good, "run": "me"}, (name, content)),
        "unknown network": ({**good, "architecture": "nope"}, (name, content)),
        "unknown preset": ({**good, "preset": "nope"}, (name, content)),
    }
    for what, (card, *members) in bundles.items():
        path = bundle(tmp_path / f"{what}.zip", card, *members)
        with pytest.raises(WeightsError) as caught:
            import_model(path)
        assert str(path) in str(caught.value), what
        assert [p for p in cache.rglob("*") if p.is_file()] == [], what
    import_model(bundle(tmp_path / "good.zip", good, (name, content)))


@pytest.mark.parametrize("kept", ["last.pt", "best.safetensors"])
def test_a_training_run_is_told_what_it_is(tmp_path, cache, kept):
    run = tmp_path / "my run"
    run.mkdir()
    (run / kept).write_bytes(b"x")
    with pytest.raises(WeightsError, match="folder of a training run") as caught:
        import_model(run)
    assert f"models publish '{run}'`" in caught.value.hint
    assert not any(path.is_file() for path in cache.rglob("*"))


def test_another_folder_is_told_what_is_missing(tmp_path):
    with pytest.raises(WeightsError, match=r"no card\.json") as caught:
        import_model(tmp_path)
    assert caught.value.path == tmp_path
    with pytest.raises(WeightsError, match="No such file"):
        import_model(tmp_path / "nothing")


def test_damaged_zip_is_refused(content, tmp_path, cache):
    card = make_card(content).to_dict()
    whole = bundle(tmp_path / "a.zip", card, (card["weights"]["file"], content))
    data = whole.read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.zip").write_bytes(data[:cut])
        with pytest.raises(WeightsError):
            import_model(tmp_path / "cut.zip")
    with pytest.raises(WeightsError, match="cannot be imported"):
        import_model(tmp_path / "none.zip")


def test_zip_bomb_is_refused(content, tmp_path, cache):
    card = make_card(content).to_dict()
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CARD_FILE, json.dumps(card))
        archive.writestr(card["weights"]["file"], bytes(200_000_000))
    with pytest.raises(WeightsError, match="size on its card"):
        import_model(path)


def test_folder_with_links_is_refused(content, tmp_path, cache):
    card = make_card(content).to_dict()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / CARD_FILE).write_text(json.dumps(card))
    (tmp_path / "secret").write_bytes(content)
    (folder / card["weights"]["file"]).symlink_to(tmp_path / "secret")
    with pytest.raises(WeightsError, match="regular"):
        import_model(folder)
    (folder / card["weights"]["file"]).unlink()
    os.mkfifo(folder / card["weights"]["file"])
    with pytest.raises(WeightsError, match="regular"):
        import_model(folder)


def test_other_weights_under_a_known_name_are_refused(listed, tmp_path):
    other = safetensors_bytes({"weight": bytes(10)})
    card = make_card(other).to_dict()
    path = bundle(tmp_path / "a.zip", card, (card["weights"]["file"], other))
    with pytest.raises(WeightsError, match="other weights"):
        import_model(path)
    assert list(find_weights(make_card(other))) == []


def test_damaged_imported_card_is_left_out(content, tmp_path, cache, caplog):
    card = make_card(content).to_dict()
    path = bundle(tmp_path / "a.zip", card, (card["weights"]["file"], content))
    import_model(path)
    (cache / "models" / "toy-fundus@1.json").write_text("{")
    names = [c.id for c in load_manifest().cards]
    assert "toy-fundus" not in names
    assert "clahe" in names
    assert "left out" in caplog.text


def test_removed_weights_of_a_listed_model_can_be_had_again(listed, content):
    weights_path(listed)
    assert where(listed) == "cached"
    card, freed = remove_model("toy-fundus")
    assert (card, freed) == (listed, len(content))
    assert where(listed) == "remote"
    assert weights_path(listed).read_bytes() == content


def test_weights_that_two_models_have_stay(listed, content, tmp_path):
    weights_path(listed)
    twin = make_card(content, id="twin").to_dict()
    import_model(bundle(tmp_path / "t.zip", twin, (twin["weights"]["file"], content)))
    with pytest.raises(UsageError, match="are those of another model too"):
        remove_model("toy-fundus")
    assert remove_model("twin")[0].id == "twin"
    assert weights_path(listed, offline=True).read_bytes() == content
    with pytest.raises(UsageError, match="unknown model"):
        remove_model("twin")


def test_weights_that_a_bundled_model_has_too_are_removed(tmp_path, cache):
    bundled = load_manifest().get("gradprom-sr-x2")
    data = weights_path(bundled).read_bytes()
    mine = bundled.to_dict() | {"id": "mine", "aliases": [], "default_for": []}
    mine["weights"] = mine["weights"] | {"bundled": False}
    import_model(bundle(tmp_path / "m.zip", mine, (mine["weights"]["file"], data)))
    assert remove_model("mine")[1] > len(data)  # the card goes, too
    assert not list((cache / "weights").iterdir())
    assert weights_path(bundled).read_bytes() == data


def test_what_cannot_be_removed_is_said(listed, monkeypatch):
    with pytest.raises(UsageError, match="clahe@1 is part of the installation"):
        remove_model("clahe")
    with pytest.raises(UsageError, match="part of the installation"):
        remove_model("fast-fundus")
    with pytest.raises(UsageError, match="nothing of toy-fundus@1 lies in the cache"):
        remove_model("toy-fundus")
    kept = weights_path(listed)

    def refused(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(kept), "unlink", refused)
    with pytest.raises(OutputError, match="cannot be removed: Permission denied"):
        remove_model("toy-fundus")


def test_import_of_a_newer_version_changes_no_default(content, tmp_path, cache):
    """The package's own default for fundus stays one, though its id is taken over."""
    before = load_manifest().resolve("auto", "fundus").card
    newer = make_card(content, id=before.id, version="999", default_for=[]).to_dict()
    file = newer["weights"]["file"]
    import_model(bundle(tmp_path / "new.zip", newer, (file, content)))
    manifest = load_manifest()
    assert manifest.get(before.id).version == "999"
    assert manifest.resolve("auto", "fundus").card == before
    for alias in before.aliases:
        assert manifest.resolve(alias, "fundus").card == before
    assert manifest.listed().get(before.id) == before  # what remeasure measures


def test_what_the_installation_has_is_not_stored_again(tmp_path, cache):
    export_model("fast-fundus", tmp_path / "ff.zip")
    card = import_model(tmp_path / "ff.zip")
    assert where(card) == "bundled"
    assert not (cache / "weights").exists()


def test_an_import_mends_what_the_installation_has_damaged(
    tmp_path, cache, monkeypatch
):
    export_model("fast-fundus", tmp_path / "ff.zip")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"torn")
    monkeypatch.setattr("medenh.zoo.cache.bundled_path", lambda weights: damaged)
    card = import_model(tmp_path / "ff.zip")
    assert len(list((cache / "weights").iterdir())) == 1
    assert weights_path(card, offline=True).parent == cache / "weights"


def test_what_is_no_exported_model_is_told_what_is(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"PK no zip")
    with pytest.raises(WeightsError) as told:
        import_model(tmp_path / "model.pth")
    assert "`convert`" in told.value.hint
