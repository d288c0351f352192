"""Recognisers in the zoo: loaded by their task, listed, and never used to enhance."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save

from medenh import models, tasks
from medenh.errors import UsageError, WeightsError
from medenh.pipeline.model import load_model
from medenh.training.config_file import load_config
from medenh.training.task_loss import TaskLoss
from medenh.zoo.card import ModelCard
from medenh.zoo.manifest import SCHEMA, load_manifest


def _entry(content, **changes):
    return {
        "id": "toy-lesions",
        "version": "1",
        "title": "Toy",
        "description": "Marks skin lesions.",
        "task": "segmentation",
        "architecture": "unet",
        "preset": "tiny",
        "modalities": ["dermoscopy"],
        "licence": "CC-BY-NC-SA-4.0",
        "data": [{"name": "SET", "terms": "research only", "images": 7}],
        "weights": {
            "file": "toy-lesions.safetensors",
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        },
        "recognition": {
            "classes": ["lesion"],
            "thresholds": [0.4],
            "tables": [
                {
                    "data": "SET, test",
                    "region": "whole",
                    "target": "lesion",
                    "n": 3,
                    "scores": {"dice": {"mean": 0.8, "ci95": [0.7, 0.9], "n": 3}},
                    "literature": "0.9, recalled",
                }
            ],
        },
        **changes,
    }


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Put a tiny recogniser of skin lesions into the zoo."""
    torch.manual_seed(0)
    content = save(models.create("unet", "tiny").half().state_dict())
    (tmp_path / "toy-lesions.safetensors").write_bytes(content)
    document = {"schema": SCHEMA, "models": [_entry(content)]}
    (tmp_path / "extra.json").write_text(json.dumps(document))
    monkeypatch.setenv("MEDENH_MANIFEST", str(tmp_path / "extra.json"))
    monkeypatch.setenv("MEDENH_WEIGHTS_URL", tmp_path.as_uri())
    monkeypatch.setenv("MEDENH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MEDENH_OFFLINE", raising=False)
    return tmp_path


def _task(monkeypatch, **changes):
    task = tasks.Task(
        **{
            "name": "toy",
            "title": "Toy",
            "modality": "dermoscopy",
            "kind": "segmentation",
            "classes": ("lesion",),
            "side": 32,
            "model": "toy-lesions",
            "positive": ((),),
            **changes,
        }
    )
    monkeypatch.setitem(tasks.TASKS, "toy", task)


def test_a_task_loads_its_recogniser(zoo, monkeypatch):
    _task(monkeypatch)
    recogniser = tasks.load("toy")
    assert recogniser.thresholds == (0.4,)
    unit = np.random.default_rng(0).random((50, 41, 3))
    answer = recogniser.predict(unit)
    assert answer.shape == (50, 41, 1)
    np.testing.assert_array_equal(answer, tasks.load("toy").predict(unit))


def _known_as(zoo, name, **changes):
    """Let the extra manifest hold the recogniser under a name."""
    content = (zoo / "toy-lesions.safetensors").read_bytes()
    training = {
        "seed": 0,
        "command": "medenh train x",
        "hours": 0.0,
        "images": 7,
        "config": {"task": "lesion-derm"},
    }
    entry = _entry(content, id=name, training=training, **changes)
    document = {"schema": SCHEMA, "models": [entry]}
    (zoo / "extra.json").write_text(json.dumps(document))


def test_an_own_recogniser_answers_to_its_id(zoo):
    _known_as(zoo, "own-seg")
    task = tasks.find_task("own-seg")
    assert (task.name, task.model) == ("own-seg", "own-seg@1")
    assert task.side == tasks.TASKS["lesion-derm"].side
    recogniser = tasks.load("own-seg")
    assert recogniser.task == task
    assert recogniser.thresholds == (0.4,)


def test_a_newer_import_does_not_change_what_a_task_means(zoo):
    before = tasks.load("lesion-derm").thresholds
    _known_as(zoo, "lesion-derm", version="99")
    assert load_manifest().get("lesion-derm").version == "99"
    assert tasks.load("lesion-derm").thresholds == before != (0.4,)
    assert tasks.load("lesion-derm@99").thresholds == (0.4,)


def test_an_own_recogniser_promotes_in_training(zoo):
    _known_as(zoo, "own-seg")
    asked = ["promote.rule=hard", "promote.task=own-seg"]
    assert load_config("gradprom-denoise-derm", asked).promote.task == "own-seg"
    loss = TaskLoss.from_zoo("own-seg")
    found = loss(torch.rand(1, 3, 32, 32), mask=torch.ones(1, 1, 32, 32))
    assert torch.isfinite(found)
    with pytest.raises(UsageError, match=r"promote\.task: unknown task 'own-sag'"):
        load_config("gradprom-denoise-derm", ["promote.task=own-sag"])


@pytest.mark.parametrize("name", ["dpe-general", "nobody", "own-seg@7"])
def test_what_recognises_nothing_known_is_no_task(zoo, name):
    _known_as(zoo, "own-seg")
    with pytest.raises(UsageError, match=f"unknown task '{name}'"):
        tasks.find_task(name)


def test_other_classes_and_other_models_are_refused(zoo, monkeypatch):
    _task(monkeypatch, classes=("vessel",))
    with pytest.raises(WeightsError, match="recognises something else than vessel"):
        tasks.load("toy")
    _task(monkeypatch, model="clahe")
    with pytest.raises(WeightsError, match="recognises something else"):
        tasks.load("toy")


def test_damaged_weights_are_not_used(zoo, monkeypatch):
    path = zoo / "toy-lesions.safetensors"
    path.write_bytes(path.read_bytes()[:-2] + b"!!")
    _task(monkeypatch)
    with pytest.raises(WeightsError):
        tasks.load("toy")


def test_a_recogniser_enhances_nothing(zoo):
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UsageError, match=r"toy-lesions recognises \(lesion\)"):
        load_model("toy-lesions").enhance(image)


def test_auto_never_picks_a_recogniser():
    for card in load_manifest().cards:
        if card.recognition is not None:
            assert not card.default_for
            assert not card.aliases


@pytest.mark.parametrize(
    "changes",
    [
        {"default_for": ["dermoscopy"]},
        {"recognition": {"classes": ["a", "b"], "thresholds": [0.5]}},
        {"recognition": {"classes": [], "thresholds": []}},
        {"recognition": {"classes": ["a"], "thresholds": [1.5]}},
    ],
)
def test_impossible_cards(changes):
    with pytest.raises(ValueError, match=r"recogni|threshold|classes"):
        ModelCard.model_validate_json(json.dumps(_entry(b"x", **changes)))


def test_the_card_is_shown_with_what_others_report(zoo, capsys):
    from medenh.cli import main

    with pytest.raises(SystemExit) as ended:
        main.main(["models", "show", "toy-lesions"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert "0.8 [0.7, 0.9]" in out
    assert "others: 0.9, recalled" in out
    with pytest.raises(SystemExit):
        main.main(["models", "list", "--task", "segmentation"])
    listed = capsys.readouterr().out
    assert "toy-lesions" in listed
    assert "clahe" not in listed


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_bundled_recogniser_fits_its_task(name):
    """Once trained, weights and task must agree, and stay small."""
    task = tasks.TASKS[name]
    ids = [card.id for card in load_manifest().cards]
    if task.model not in ids:
        pytest.skip(f"{task.model} is not trained yet")
    card = load_manifest().get(task.model)
    assert card.recognition is not None
    assert card.recognition.classes == task.classes
    assert card.task == task.kind
    assert card.weights.bundled
    assert card.weights.size_bytes < 3e6
    assert all(table.scores for table in card.recognition.tables)
    recogniser = tasks.load(name)
    answer = recogniser.predict(np.full((30, 40, 3), 0.4, np.float32))
    assert np.isfinite(answer).all()
