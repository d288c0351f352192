import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from labelled_pack import scene
from run_states import assert_same_state
from safetensors.torch import load_file

from medenh import models, tasks
from medenh.errors import UsageError
from medenh.losses.segmentation import bce_dice
from medenh.tasks.recogniser import Recogniser
from medenh.training import labelled
from medenh.training.checkpoint import weights_file
from medenh.training.config_file import load_config
from medenh.training.labelled import LabelledSampler, load_labelled, load_parts
from medenh.training.loop import train


@pytest.fixture
def settings(labelled_root):
    return [
        f"data.root='{labelled_root.as_posix()}'",
        "data.datasets={SET=1.0}",
        "data.size=48",
        "data.holdout_share=0.3",
        "network.preset=tiny",
        "network.start_from=''",
        "precision=fp32",
        "batch=4",
        "steps=6",
        "validate_every=3",
        "optimiser.warmup_steps=2",
    ]


@pytest.mark.parametrize(
    ("name", "figures"),
    [("lesion-derm", ["dice", "auc"]), ("class-derm", ["auc", "balanced_accuracy"])],
)
def test_a_run_leaves_weights_that_a_recogniser_takes(
    settings, tmp_path, name, figures
):
    run = tmp_path / "run"
    result = train(load_config(name, settings), run)
    assert result.finished
    assert result.score == figures[0]
    rows = list(csv.DictReader((run / "log.csv").open()))
    assert list(rows[0])[4:6] == figures
    assert [row["step"] for row in rows if row[figures[0]]] == ["3", "6"]
    assert (run / "curve.png").exists()
    assert (run / "samples.png").exists() == (name == "lesion-derm")
    config = json.loads((run / "config.json").read_text())["network"]
    network = models.create(config["architecture"], "tiny", **config["options"])
    network.load_state_dict(load_file(run / "best.safetensors"))
    recogniser = Recogniser(tasks.TASKS[name], network.eval(), (0.5,))
    answer = recogniser.predict(scene(5)[0] / 255.0)
    assert answer.shape == ((60, 80, 1) if name == "lesion-derm" else (2,))


@pytest.mark.parametrize("more", [["batch=1"], ["batch=2", "accumulate=2"]])
def test_a_batch_that_is_too_small_is_blamed_and_no_option(settings, tmp_path, more):
    small = [*settings, "network.preset=default", "data.size=32", *more]
    config = load_config("class-derm", small)
    with pytest.raises(UsageError, match=r"^batch: .*\(raise batch"):
        train(config, tmp_path / "run")
    train(load_config("class-derm", [*settings, "batch=1", "steps=1"]), tmp_path / "b")


@pytest.mark.parametrize("name", ["lesion-derm", "class-derm"])
def test_resume_equals_the_undisturbed_run_bit_for_bit(settings, tmp_path, name):
    config = load_config(name, settings)
    train(config, tmp_path / "whole")
    assert not train(config, tmp_path / "parts", max_minutes=0).finished
    train(config, tmp_path / "parts", resume=True)
    whole, parts = (
        torch.load(tmp_path / part / "last.pt", weights_only=True)
        for part in ("whole", "parts")
    )
    assert_same_state(whole["update"], parts["update"])


@pytest.mark.parametrize(("name", "bar"), [("lesion-derm", 0.85), ("class-derm", 0.95)])
def test_learns_what_is_easy(settings, tmp_path, name, bar):
    """Held-back discs are found, and their colour told, after a few steps."""
    longer = ["steps=80", "validate_every=80", "optimiser.lr=0.02", "optimiser.ema=0.8"]
    longer += ["data.size=96", "augment.brightness=0.02", "augment.gamma=0.1"]
    result = train(load_config(name, [*settings, *longer]), tmp_path / "run")
    assert result.best > bar


def test_only_rows_of_the_split_with_an_answer_are_read(settings):
    data = load_config("lesion-derm", settings).data
    task = tasks.TASKS["lesion-derm"]
    kept = {i.name for i in load_labelled(data, task, split="train", side=None)}
    assert kept == {f"derm/images/{i}.png" for i in range(20) if i not in (1, 2, 3)}
    (test,) = load_labelled(data, task, split="test", side=None)
    assert test.name == "derm/images/1.png"
    learnt, held = load_parts(data, task)
    assert not {i.group for i in learnt} & {i.group for i in held}
    assert "derm/images/1.png" not in {i.name for i in (*learnt, *held)}
    assert len({i.digest for i in (*learnt, *held)}) == len(kept)


def test_images_come_at_the_working_size_with_their_masks(settings):
    config = load_config("lesion-derm", settings)
    task = tasks.TASKS["lesion-derm"]
    image, *_ = load_labelled(config.data, task, split="train", side=40)
    assert image.pixels.shape == (30, 40, 3)
    assert image.mask.shape == (30, 40, 1)
    assert 0 < image.mask.mean() < 1
    _, disc = scene(0)
    assert image.mask.mean() == pytest.approx(disc.mean(), abs=0.01)


def test_picture_and_mask_move_together(settings):
    config = load_config("lesion-derm", settings)
    learnt, _ = load_parts(config.data, tasks.TASKS["lesion-derm"])
    sampler = LabelledSampler(learnt, config.data, config.augment, seed=1)
    for position in range(12):
        picture, mask = sampler.sample(0, position)
        assert picture.shape == (3, 48, 48)
        assert mask.shape == (1, 48, 48)
        assert picture.min() >= 0
        assert picture.max() <= 1
        inside, outside = picture[0][mask[0] > 0.99], picture[0][mask[0] < 0.01]
        if inside.size and outside.size:
            assert inside.mean() > outside.mean() + 0.1


@pytest.mark.parametrize("name", ["lesion-derm", "class-derm"])
def test_a_recogniser_may_learn_from_degraded_pictures(settings, name):
    """Half clean, half degraded; the same squares, answers as they were."""
    more = ["data.recipes={'gauss-0.3'=1.0}", "data.identity_share=0.5"]
    plain, config = (load_config(name, [*settings, *m]) for m in ([], more))
    samples = []
    for one in (plain, config):
        learnt, _ = load_parts(one.data, tasks.TASKS[name])
        sampler = LabelledSampler(learnt, one.data, one.augment, 0, "dermoscopy")
        samples.append([sampler.sample(0, i) for i in range(40)])
    changes = [np.abs(b[0] - a[0]).mean() for a, b in zip(*samples, strict=True)]
    assert 10 < sum(change > 0.05 for change in changes) < 30
    assert 10 < sum(change == 0 for change in changes) < 30
    for clean, low in zip(*samples, strict=True):
        np.testing.assert_array_equal(clean[1], low[1])


def test_blur_of_degraded_squares_goes_by_the_whole_picture(settings, monkeypatch):
    """Lengths of recipes are in proportion to the picture, not to its square."""
    more = ["data.recipes={'gaussian-blur'=1.0}", "data.identity_share=0",
            "augment.scale=2", "data.size=32"]  # fmt: skip
    config = load_config("lesion-derm", [*settings, *more])
    learnt, _ = load_parts(config.data, tasks.TASKS["lesion-derm"])
    sides = []

    def seen(picture, recipe, rng, modality, field, whole_side, data):
        assert modality == "dermoscopy"
        sides.append(whole_side)
        return picture

    monkeypatch.setattr(labelled, "degraded", seen)
    sampler = LabelledSampler(learnt, config.data, config.augment, 0, "dermoscopy")
    for i in range(40):
        sampler.sample(0, i)
    longest = max(learnt[0].pixels.shape)
    assert longest / 2 <= min(sides) < 0.8 * longest
    assert 1.25 * longest < max(sides) <= 2 * longest


def test_samples_depend_on_seed_step_and_position_only(settings):
    config = load_config("class-derm", settings)
    learnt, _ = load_parts(config.data, tasks.TASKS["class-derm"])
    one, two = (
        LabelledSampler(learnt, config.data, config.augment, seed=0) for _ in range(2)
    )
    two.sample(2, 3)
    np.testing.assert_array_equal(one.sample(5, 1)[0], two.sample(5, 1)[0])
    assert not np.array_equal(one.sample(5, 1)[0], one.sample(5, 2)[0])


def test_images_of_one_class_are_nothing_to_learn_from(settings, monkeypatch):
    config = load_config("class-derm", settings)
    task = tasks.TASKS["class-derm"]
    found = load_labelled(config.data, task, split="train", side=task.side)
    alike = [replace(image, label=1) for image in found]
    monkeypatch.setattr(labelled, "load_labelled", lambda *_, **__: alike)
    with pytest.raises(UsageError, match=r"learn from \(\d+\) are of one class"):
        load_parts(config.data, task)


def test_classes_are_drawn_evenly(settings):
    config = load_config("class-derm", settings)
    learnt, held = load_parts(config.data, tasks.TASKS["class-derm"])
    few = [i for i in learnt + held if i.label == 0][:1]
    many = [i for i in learnt + held if i.label == 1]
    sampler = LabelledSampler(few + many, config.data, config.augment, seed=0)
    labels = [sampler.sample(0, position)[1] for position in range(200)]
    assert 0.35 < np.mean(labels) < 0.65


def test_loss_agrees_with_its_definition():
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 2, 5, 6), (torch.rand(2, 2, 5, 6) > 0.5).float()
    guess = 1 / (1 + np.exp(-logits.numpy().astype(float)))
    t = truth.numpy()
    bce = -np.mean(t * np.log(guess) + (1 - t) * np.log(1 - guess))
    dice = [
        (2 * (guess[:, k] * t[:, k]).sum() + 1)
        / ((guess[:, k] ** 2).sum() + (t[:, k] ** 2).sum() + 1)
        for k in range(2)
    ]
    assert float(bce_dice(logits, truth)) == pytest.approx(
        bce + 1 - np.mean(dice), rel=1e-5
    )
    perfect = bce_dice(100 * (truth - 0.5), truth)
    assert float(perfect) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("task=''", "segmentation wants a task"),
        ("task=class-derm", "segmentation wants a task"),
        ("strategy=supervised", "supervised has no task"),
        ("augment.scale=0.5", "augment.scale"),
        ("strategy=magic", "strategy"),
    ],
)
def test_impossible_settings_are_named(settings, change, message):
    with pytest.raises(UsageError, match=message):
        load_config("lesion-derm", [*settings, change])


def test_empty_parts_and_damaged_packs_are_usage_errors(settings, labelled_root):
    config = load_config("lesion-derm", [*settings, "data.datasets={NONE=1.0}"])
    with pytest.raises(UsageError, match="0 images to learn from") as none:
        load_parts(config.data, tasks.TASKS["lesion-derm"])
    assert "data.datasets (NONE)" in none.value.hint
    assert "data.qualities (high, small)" in none.value.hint
    manifest = labelled_root / "derm" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("masks/5.png", "masks/99.png"))
    config = load_config("lesion-derm", settings)
    with pytest.raises(UsageError, match="not in the pack"):
        load_parts(config.data, tasks.TASKS["lesion-derm"])


def test_start_from_a_model_of_the_zoo_that_is_not_there(settings, tmp_path):
    config = load_config("class-derm", [*settings, "network.start_from='nobody'"])
    with pytest.raises(UsageError, match="unknown model 'nobody'"):
        train(config, tmp_path / "run")


def test_a_start_from_an_alias_or_a_folder_says_what_is_meant(tmp_path):
    with pytest.raises(UsageError, match=r"names no model by itself.*dpe-general"):
        weights_file("dpe")
    with pytest.raises(UsageError, match="names no model by itself"):
        weights_file("auto")
    (tmp_path / "best.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match=r"folder.*run: .*best\.safetensors"):
        weights_file(str(tmp_path))
