"""The manifest that ships, the rules for entries, and what names resolve to."""

from __future__ import annotations

import json

import pytest
from zoo_site import make_card

from medenh.classical import METHODS
from medenh.cli import options
from medenh.errors import UsageError, WeightsError
from medenh.types import Modality
from medenh.zoo.cache import bundled_path, is_intact
from medenh.zoo.card import BUNDLED_LIMIT, MODALITIES, ModelCard
from medenh.zoo.manifest import (
    SCHEMA,
    Manifest,
    load_manifest,
    manifest_path,
    read_card,
    resolve,
)


def test_shipped_manifest_is_valid():
    manifest = load_manifest()
    assert manifest.cards
    for card in manifest.cards:
        assert card.licence


def test_bundled_weights_are_as_hashed():
    for card in load_manifest().cards:
        if card.weights is not None and card.weights.bundled:
            assert is_intact(bundled_path(card.weights), card.weights, force=True)


def test_what_sees_frames_as_a_whole_tells_the_memory_it_takes():
    for card in load_manifest().cards:
        if card.recognition is None and card.input.largest_side is None:
            engines = {"classical"} if card.is_classical else {"openvino", "torch"}
            assert set(card.bytes_per_pixel) == engines, (
                f"bytes_per_pixel of {card.id} in weights_manifest.json: "
                f"`python scripts/measure_memory.py {card.id}` writes it"
            )


def test_nothing_is_bundled_unlisted():
    listed = {c.weights.file for c in load_manifest().cards if c.weights is not None}
    folder = manifest_path().parent / "medenh" / "zoo" / "bundled"
    assert {p.name for p in folder.glob("*.safetensors")} <= listed


def test_every_weight_free_method_is_listed():
    cards = {c.method: c for c in load_manifest().cards if c.is_classical}
    lists = "medenh/classical/table.py and weights_manifest.json differ about"
    assert set(cards) == set(METHODS), f"{lists} {sorted(set(cards) ^ set(METHODS))}"
    for name, card in cards.items():
        METHODS[name].checked(card.options)


def test_modality_words_are_those_of_the_images():
    words = [m.value for m in Modality if m is not Modality.UNKNOWN]
    assert list(MODALITIES) == words
    assert options._KINDS.split(", ") == words


def test_auto_answers_for_every_modality():
    for modality in Modality:
        found = resolve("auto", modality)
        assert found.reason
        assert modality == "unknown" or found.card.suits(modality)


def entry(**changes):
    return {**make_card(b"12345678").to_dict(), **changes}


def estimate(mean=1.0):
    return {"psnr": {"mean": mean, "ci95": [0.5, 1.5], "n": 3}}


def result(*rows):
    return {
        "protocol": "cofe-111",
        "modality": "fundus",
        "split": "test",
        "n": 3,
        "rows": {row: estimate() for row in rows},
    }


def with_weights(**changes):
    return entry(weights={**entry()["weights"], **changes})


@pytest.mark.parametrize(
    "bad",
    [
        entry(licence=""),
        entry(licence="see website"),
        entry(id="Toy"),
        entry(id="toy_fundus"),
        entry(version="v1"),
        entry(modalities=["eyes"]),
        entry(surprise=1),
        entry(weights=None),
        entry(data=[]),
        entry(method="clahe"),
        entry(global_ops="no"),
        entry(default_for=["ct"]),
        entry(receptive_field=-1),
        entry(bytes_per_pixel={"torch": -1}),
        entry(input={"channels": 2}),
        entry(results=[result("toy-fundus")]),
        entry(precision={"int8": {"psnr_db": 60.0, "max_levels": 1.0}}),
        with_weights(sha256="0" * 63),
        with_weights(sha256="G" * 64),
        with_weights(size_bytes=0),
        with_weights(size_bytes=True),
        with_weights(size_bytes=BUNDLED_LIMIT, bundled=True),
        with_weights(file="a/b.safetensors"),
        with_weights(file="..safetensors"),
        with_weights(file="a.pth"),
        with_weights(urls=["file:///etc/passwd"]),
        with_weights(urls=["ftp://127.0.0.1/a"]),
    ],
)
def test_bad_entry_is_refused(bad):
    with pytest.raises(WeightsError, match=r"toy|Toy"):
        read_card(json.dumps(bad))


def test_bad_number_is_refused():
    text = json.dumps(entry(results=[result("identity")])).replace("1.0", "NaN")
    with pytest.raises(WeightsError):
        read_card(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, b"\xff\xfe"])
def test_text_that_is_no_card(text):
    with pytest.raises(WeightsError):
        read_card(text)


def test_card_survives_its_own_json():
    card = read_card(
        json.dumps(
            entry(
                results=[result("identity", "toy-fundus")],
                training={
                    "seed": 1,
                    "command": "medenh train toy",
                    "hours": 1,
                    "images": 5,
                    "config": {"steps": 3},
                },
                limits={"max_clipped": 0.1},
                precision={"bf16": {"psnr_db": 60.5, "max_levels": 1}},
            )
        )
    )
    assert read_card(json.dumps(card.to_dict())) == card


def cards(*descriptions) -> Manifest:
    """Build cards from (id, changes) without weights: rules between entries only."""
    base = load_manifest().get("identity").to_dict()
    made = [
        ModelCard.model_validate_json(json.dumps({**base, "id": id_, **changes}))
        for id_, changes in descriptions
    ]
    return Manifest(tuple(made))


@pytest.mark.parametrize(
    ("descriptions", "message"),
    [
        ([("aa", {}), ("aa", {})], "twice"),
        ([("auto", {})], "taken"),
        ([("aa", {"aliases": ["bb"]}), ("bb", {})], "taken"),
        ([("aa", {"aliases": ["auto"]})], "taken"),
        ([("aa", {"aliases": ["xx"]}), ("bb", {"aliases": ["xx"]})], "twice"),
        (
            [
                ("aa", {"aliases": ["xx"], "modalities": ["ct"]}),
                ("bb", {"aliases": ["xx"], "modalities": ["ct", "mri"]}),
            ],
            "twice",
        ),
        ([("aa", {"default_for": ["ct"]}), ("bb", {"default_for": ["ct"]})], "twice"),
    ],
)
def test_entries_in_conflict(descriptions, message):
    with pytest.raises(ValueError, match=message):
        cards(*descriptions).check()


def test_versions_of_one_model_share_its_names():
    manifest = cards(
        ("aa", {"version": "1.9", "aliases": ["xx"], "default_for": ["ct"]}),
        ("aa", {"version": "1.10", "aliases": ["xx"], "default_for": ["ct"]}),
    )
    manifest.check()
    assert manifest.get("aa").version == "1.10"
    assert manifest.get("aa@1.9").version == "1.9"
    assert manifest.resolve("xx").card.version == "1.10"
    assert manifest.resolve("auto", "ct").card.version == "1.10"


def test_alias_follows_the_modality():
    manifest = cards(
        ("dpe-general", {"aliases": ["dpe"]}),
        ("dpe-fundus", {"aliases": ["dpe"], "modalities": ["fundus"]}),
        ("hqg-fundus", {"aliases": ["hqg"], "modalities": ["fundus"]}),
    )
    manifest.check()
    assert manifest.resolve("dpe", "fundus").card.id == "dpe-fundus"
    assert manifest.resolve("dpe", Modality.FUNDUS).card.id == "dpe-fundus"
    assert manifest.resolve("dpe", "ct").card.id == "dpe-general"
    assert manifest.resolve("dpe").card.id == "dpe-general"
    assert manifest.resolve("dpe", Modality.UNKNOWN).card.id == "dpe-general"
    outside = manifest.resolve("hqg", "ct")
    assert outside.card.id == "hqg-fundus"
    assert "no hqg was made for ct" in outside.reason
    assert manifest.resolve("dpe-general", "fundus").card.id == "dpe-general"


@pytest.mark.parametrize(
    ("typed", "meant"), [("claeh", "clahe"), ("CLAHE", "clahe"), ("wavlet", "wavelet")]
)
def test_unknown_name_gets_close_ones(typed, meant):
    with pytest.raises(UsageError, match=f"did you mean.*{meant}"):
        resolve(typed)


@pytest.mark.parametrize(
    ("typed", "meant"), [("mri", "denoise-mri"), ("ct", "denoise-ct")]
)
def test_a_word_of_an_id_gets_the_id(typed, meant):
    with pytest.raises(UsageError, match=f"did you mean.*{meant}"):
        resolve(typed)


@pytest.mark.parametrize("typed", ["clahee", "class-dermm", "pneumonia", "derm"])
def test_recognisers_are_not_suggested_where_pictures_are_wanted(typed):
    manifest = load_manifest()
    enhancers = {
        name
        for card in manifest.cards
        if card.recognition is None
        for name in (card.id, *card.aliases)
    }
    with pytest.raises(UsageError, match=f"unknown model '{typed}'") as caught:
        manifest.resolve_enhancer(typed)
    suggested = caught.value.hint.removeprefix("did you mean ").rstrip("?")
    if suggested != caught.value.hint.rstrip("?"):
        assert set(suggested.split(", ")) <= enhancers
    with pytest.raises(UsageError, match="enhances nothing"):
        manifest.resolve_enhancer("class-derm")


@pytest.mark.parametrize("name", ["", "best.safetensors"])
def test_a_run_is_no_model_before_it_is_published(tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="medenh models publish RUN"):
        load_manifest().resolve_enhancer(str(tmp_path / name))


def test_the_nearest_name_is_suggested_first():
    with pytest.raises(UsageError, match=r"did you mean clahe\b"):
        load_manifest().resolve_enhancer("clahee")


def test_a_file_of_a_model_is_told_how_it_is_taken_in(tmp_path):
    file = tmp_path / "mine.zip"
    for find in (resolve, load_manifest().resolve_enhancer):
        with pytest.raises(UsageError) as caught:
            find(str(file))
        assert "import" not in caught.value.hint
    file.write_bytes(b"")
    for find in (resolve, load_manifest().resolve_enhancer):
        with pytest.raises(UsageError) as caught:
            find(str(file))
        assert f"medenh models import {file}" in caught.value.hint
        assert type(caught.value) is UsageError


def test_unknown_name_far_from_all():
    with pytest.raises(UsageError, match="models list"):
        resolve("zzzzzzzz")


def test_select():
    manifest = load_manifest()
    assert all(c.suits("ultrasound") for c in manifest.select(modality="ultrasound"))
    assert {c.task for c in manifest.select(task="denoise")} == {"denoise"}
    assert manifest.select(licence="apache")
    assert not manifest.select(licence="no such licence")
    with pytest.raises(UsageError, match="unknown modality"):
        manifest.select(modality="eyes")
    with pytest.raises(UsageError, match="unknown modality 'eyes'"):
        manifest.resolve("dpe", "eyes")


def write(path, *entries, **extra):
    path.write_text(json.dumps({"schema": SCHEMA, "models": list(entries), **extra}))
    return path


def test_extra_manifest_is_added(tmp_path, monkeypatch):
    path = write(tmp_path / "extra.json", entry())
    monkeypatch.setenv("MEDENH_MANIFEST", str(path))
    assert resolve("toy-fundus").card.full_id == "toy-fundus@1"
    assert resolve("clahe").card.is_classical


def test_bad_extra_manifest_names_itself(tmp_path, monkeypatch):
    path = tmp_path / "extra.json"
    monkeypatch.setenv("MEDENH_MANIFEST", str(path))
    bad = {
        "missing": None,
        "text": "hello",
        "schema": json.dumps({"schema": "other", "models": []}),
        "list": json.dumps([]),
        "extra key": json.dumps({"schema": SCHEMA, "models": [], "more": 1}),
        "entry": json.dumps({"schema": SCHEMA, "models": [entry(licence="")]}),
        "taken": json.dumps({"schema": SCHEMA, "models": [entry(), entry()]}),
        "shipped": json.dumps({"schema": SCHEMA, "models": [entry(id="clahe")]}),
    }
    for what, text in bad.items():
        if text is not None:
            path.write_text(text)
        with pytest.raises(UsageError) as caught:
            load_manifest()
        assert caught.value.path == path, what


def test_networks_never_see_a_picture_whose_deepest_map_is_one_pixel_wide():
    """OpenVINO's bf16 kernels gave other numbers at every call on such maps."""
    for card in load_manifest().cards:
        if not card.is_classical and card.recognition is None:
            assert card.input.min_size >= 2 * card.input.multiple_of, card.id
