"""A recogniser's run becomes a model: thresholds, scores, and what may be scored."""

import json
import shutil

import numpy as np
import pytest
import torch
from labelled_pack import scene
from PIL import Image
from published_runs import pack_with_tests, run_of
from safetensors.torch import load_file, save_file

from medenh import tasks
from medenh.errors import UsageError
from medenh.publishing import PublishOptions, publish
from medenh.publishing.recogniser import load_images
from medenh.publishing.run_folder import read_run
from medenh.training.config import TrainConfig
from medenh.zoo.load import load_network
from medenh.zoo.manifest import load_manifest
from medenh.zoo.transfer import import_model

_QUICK = ("network.preset=tiny", "network.start_from=''", "data.datasets={SET=1.0}")
_LEARN = ("steps=60", "validate_every=60", "optimiser.lr=0.02", "optimiser.ema=0.8")

_NEW = {"version": "7"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return pack_with_tests(tmp_path_factory.mktemp("packs") / "data")


@pytest.fixture(scope="module", params=["lesion-derm", "class-derm"])
def trained(request, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / request.param
    more = (*_QUICK, *_LEARN, "batch=4", "data.size=64")
    return request.param, run_of(folder, request.param, root, *more)


def test_one_that_learnt_from_a_folder_is_told_to_learn_from_a_pack(tmp_path):
    photos, labels = tmp_path / "photos", tmp_path / "labels.csv"
    photos.mkdir()
    rows = ["file,label"]
    for index in range(6):
        name = f"{index}.png"
        Image.fromarray(scene(index)[0]).save(photos / name)
        rows.append(f"{name},{index % 2}")
    labels.write_text("\n".join(rows))
    more = (
        *_QUICK, "data.packs=[]", f"data.high='{photos.as_posix()}'",
        f"data.labels='{labels.as_posix()}'", "data.datasets={}",
    )  # fmt: skip
    run = run_of(tmp_path / "run", "class-derm", tmp_path, *more)
    with pytest.raises(UsageError, match="learnt from a folder") as caught:
        publish(run.folder, PublishOptions(target=tmp_path / "a.zip", words=_NEW))
    assert "data pack" in caught.value.hint


def test_it_is_scored_and_imported(trained, tmp_path, monkeypatch):
    name, run = trained
    words = tmp_path / "words.json"
    found = {name: {"version": "7", "literature": {"": "A", "lesion": "B"}}}
    words.write_text(json.dumps(found))
    target = tmp_path / "a.zip"
    card = publish(run.folder, PublishOptions(target=target, card=words))
    assert (card.full_id, card.task) == (f"{name}@7", tasks.TASKS[name].kind)
    (table,) = card.recognition.tables
    assert table.scores["auc"].mean > 0.5
    assert table.literature == ("B" if name == "lesion-derm" else "A")
    held_too = name == "class-derm"
    config = TrainConfig.model_validate_json((run.folder / "config.json").read_text())
    images = load_images(config)
    assert table.n == len(images.unseen) + held_too * len(images.held)
    (source,) = card.data
    assert source.images == card.training.images == len(images.learnt)
    monkeypatch.setenv("MEDENH_CACHE", str(tmp_path / "cache"))
    import_model(target)
    network = load_network(load_manifest().get(f"{name}@7"))
    recogniser = tasks.Recogniser(tasks.TASKS[name], network, ())
    guesses = [recogniser.predict(image.pixels) for image in images.unseen]
    if name == "lesion-derm":
        threshold = card.recognition.thresholds[0]
        dice = [
            2
            * np.sum((g >= threshold) & (i.mask > 0.5))
            / (np.sum(g >= threshold) + np.sum(i.mask > 0.5))
            for g, i in zip(guesses, images.unseen, strict=True)
        ]
        assert table.scores["dice"].mean == pytest.approx(np.mean(dice), abs=1e-4)


def test_one_that_guesses_is_refused(trained, tmp_path):
    name, run = trained
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    path = copy / "best.safetensors"
    save_file({k: torch.zeros_like(v) for k, v in load_file(path).items()}, path)
    with pytest.raises(UsageError, match=f"{name} does not beat doing nothing: auc"):
        publish(copy, PublishOptions(target=tmp_path / "a.zip", words=_NEW))
    options = PublishOptions(target=tmp_path / "a.zip", words=_NEW, draft=True)
    assert publish(copy, options).notes.startswith("Draft: does not beat")


def test_a_setting_that_recognisers_never_used_does_no_harm(trained, tmp_path):
    _, run = trained
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    stored = json.loads((copy / "config.json").read_text())
    stored["data"]["wide_share"] = 0.15
    (copy / "config.json").write_text(json.dumps(stored))
    assert read_run(copy, None).config == read_run(run.folder, None).config


def test_protocols_are_for_enhancers(trained, tmp_path):
    _, run = trained
    options = PublishOptions(target=tmp_path / "a.zip", words=_NEW, protocols=("dpe",))
    with pytest.raises(UsageError, match="clean pictures"):
        publish(run.folder, options)


def _held_names(root, start, monkeypatch, share, *, steps=1):
    """Return how many images are held back, and how many of them are scored."""
    from types import SimpleNamespace

    from medenh.publishing import recogniser
    from medenh.training.config_file import load_config

    card = SimpleNamespace(
        training=SimpleNamespace(config={"data": {"holdout_share": share}}),
        data=[SimpleNamespace(name="SET")],
    )
    zoo = SimpleNamespace(get=lambda name: card)
    monkeypatch.setattr(recogniser, "load_manifest", lambda: zoo)
    settings = [f"data.root='{root.as_posix()}'", "data.holdout_share=0.45"]
    settings += ["data.datasets={SET=1.0}", f"network.start_from='{start}'"]
    settings += [f"steps={steps}", "validate_every=1"]
    config = load_config("class-derm", settings)
    held = load_images(config).held
    return len(held), len(recogniser._untouched(config, held))


def test_held_back_images_count_only_if_nothing_learnt_or_chose(root, monkeypatch):
    held, counted = _held_names(root, "", monkeypatch, 0.2)
    assert held == counted > 2
    assert _held_names(root, "other", monkeypatch, 0.45) == (held, held)
    held, counted = _held_names(root, "other", monkeypatch, 0.18)
    assert 0 < counted < held
    assert _held_names(root, "other.safetensors", monkeypatch, 0.45)[1] == 0
    assert _held_names(root, "", monkeypatch, 0.45, steps=2)[1] == 0
