import csv
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from run_states import assert_same_state
from safetensors.torch import load_file, save_file

from medenh import models
from medenh.errors import MedenhError, OutputError, UsageError
from medenh.training import loop
from medenh.training.checkpoint import save_state, save_weights, start_from
from medenh.training.config_file import load_config
from medenh.training.data import CleanImage, load_pack, split_holdout
from medenh.training.gradients import Promoter
from medenh.training.loop import _rate_at, train
from medenh.training.sampler import PairSampler, SingleSampler, draw_cut
from medenh.training.sections import OptimiserConfig
from medenh.training.sources import load_sources
from medenh.training.validation import PairValidation


def _weights(run_dir):
    return torch.load(run_dir / "last.pt", weights_only=True)


def test_a_run_leaves_weights_log_and_pictures(tiny_settings, tmp_path):
    config = load_config("dpe-general", tiny_settings)
    result = train(config, tmp_path / "run")
    assert result.finished
    assert result.step == 12
    tensors = load_file(tmp_path / "run" / "best.safetensors")
    assert {t.dtype for t in tensors.values()} == {torch.float16}
    models.create("dpe-plus", "tiny").load_state_dict(tensors)
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert [row["step"] for row in rows if row["psnr"]] == ["6", "12"]
    for picture in ("curve.png", "samples.png"):
        assert (tmp_path / "run" / picture).read_bytes()[:4] == b"\x89PNG"


@pytest.mark.skipif(os.name == "nt", reason="no such modes there")
def test_files_of_a_run_are_for_whom_the_umask_says(tiny_settings, tmp_path):
    before = os.umask(0o027)
    try:
        train(load_config("dpe-general", tiny_settings), tmp_path / "run")
    finally:
        os.umask(before)
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "run").iterdir()}
    assert {"best.safetensors", "last.pt", "log.csv", "config.json"} <= set(modes)
    assert set(modes.values()) == {0o640}


@pytest.mark.parametrize(
    "settings", [[], ["optimiser.name=muon", "network.preset=light"]]
)
def test_resume_equals_the_undisturbed_run_bit_for_bit(
    tiny_settings, tmp_path, settings
):
    config = load_config("dpe-general", [*tiny_settings, *settings])
    train(config, tmp_path / "whole")
    stopped = train(config, tmp_path / "parts", max_minutes=0)
    assert stopped.step == 1
    assert not stopped.finished
    train(config, tmp_path / "parts", resume=True)
    whole, parts = _weights(tmp_path / "whole"), _weights(tmp_path / "parts")
    assert whole["step"] == parts["step"] == 12
    assert_same_state(whole["update"], parts["update"])


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_the_precision_that_the_device_has_and_a_run_keeps_it(
    tiny_settings, tmp_path, monkeypatch, has_bf16, precision
):
    config = load_config(
        "dpe-general", [*tiny_settings, "precision=auto", "batch=1", "steps=2"]
    )
    monkeypatch.setattr(loop, "has_bf16", lambda device: has_bf16)
    train(config, tmp_path / "run", max_minutes=0)
    monkeypatch.setattr(loop, "has_bf16", lambda device: not has_bf16)
    train(config, tmp_path / "run", resume=True)
    told = json.loads((tmp_path / "run" / "config.json").read_text())
    assert told["precision"] == precision


def test_bf16_where_it_is_imitated_is_told(
    tiny_settings, tmp_path, monkeypatch, caplog
):
    settings = [*tiny_settings, "batch=1", "steps=1"]
    monkeypatch.setattr(loop, "has_bf16", lambda device: False)
    monkeypatch.setattr(loop, "cpu_flags", lambda: frozenset({"avx2"}))
    for precision, told in (("auto", False), ("bf16", True)):
        caplog.clear()
        config = load_config("dpe-general", [*settings, f"precision={precision}"])
        train(config, tmp_path / precision)
        assert ("has no bf16 and imitates it" in caplog.text) == told


def test_the_log_of_a_resumed_run_is_that_of_an_undisturbed_one(
    tiny_settings, tmp_path
):
    config = load_config(
        "dpe-general", [*tiny_settings, "steps=20", "validate_every=8"]
    )
    train(config, tmp_path / "whole")
    asked = iter([*[False] * 10, True])
    train(config, tmp_path / "parts", should_stop=lambda: next(asked))
    train(config, tmp_path / "parts", resume=True)
    rows = [
        [
            {name: value for name, value in row.items() if name != "images_per_s"}
            for row in csv.DictReader((tmp_path / name / "log.csv").open())
        ]
        for name in ("whole", "parts")
    ]
    assert [row["step"] for row in rows[0]] == ["8", "16", "20"]
    assert rows[0] == rows[1]


def test_a_run_that_time_ends_is_validated_and_leaves_weights(tiny_settings, tmp_path):
    config = load_config("dpe-general", [*tiny_settings, "validate_every=100"])
    stopped = train(config, tmp_path / "run", max_minutes=0)
    assert stopped.step == 1
    assert np.isfinite(stopped.best)
    assert load_file(tmp_path / "run" / "best.safetensors")
    (row,) = csv.DictReader((tmp_path / "run" / "log.csv").open())
    assert float(row["psnr"]) == pytest.approx(stopped.best, rel=1e-4)


def test_a_stop_by_time_chooses_no_weights_of_the_whole_run(
    tiny_settings, tmp_path, monkeypatch
):
    more = [*tiny_settings, "steps=3", "validate_every=3"]
    config = load_config("dpe-general", more)
    train(config, tmp_path / "whole")
    scores = iter([99.0, 10.0])  # at the stop, at the end

    strategy = loop.STRATEGIES[config.strategy]
    validate = strategy.validate

    def scored(self, *args):
        measured = validate(self, *args)
        figures = {**measured.figures, self.figures[0]: next(scores)}
        return replace(measured, figures=figures)

    monkeypatch.setattr(strategy, "validate", scored)
    stopped = train(config, tmp_path / "parts", max_minutes=0)
    assert (stopped.step, stopped.best) == (1, 99)
    ended = train(config, tmp_path / "parts", resume=True)
    assert (ended.step, ended.best) == (3, 10)
    whole, parts = (
        (tmp_path / name / "best.safetensors").read_bytes()
        for name in ("whole", "parts")
    )
    assert whole == parts


def test_options_that_make_no_network_are_refused(tiny_settings, tmp_path):
    for options, what in (
        ("{ channels = 1 }", "with {'channels': 1}"),  # as it first sees a picture
        ("{ width = -1 }", "with {'width': -1}"),  # as it is built
    ):
        settings = [
            *tiny_settings,
            "network.architecture='srresnet'",
            "network.preset='x1'",
            "condition_batch=0",
            "teacher_share=0",
            f"network.options={options}",
        ]
        config = load_config("dpe-general", settings)
        with pytest.raises(UsageError, match=r"network\.options: ") as caught:
            train(config, tmp_path / "run")
        assert what in caught.value.what


def test_a_run_does_not_go_on_with_other_images(tiny_settings, tmp_path):
    config = load_config("dpe-general", tiny_settings)
    train(config, tmp_path / "run", max_minutes=0)
    fewer = [*tiny_settings, "data.holdout_share=0.4"]
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    state["config"] = load_config("dpe-general", fewer).model_dump_json()
    torch.save(state, tmp_path / "run" / "last.pt")
    with pytest.raises(UsageError, match="the images are not those"):
        train(load_config("dpe-general", fewer), tmp_path / "run", resume=True)


def test_a_run_that_the_user_ends_is_not_validated(tiny_settings, tmp_path):
    config = load_config("dpe-general", [*tiny_settings, "validate_every=100"])
    stopped = train(config, tmp_path / "run", should_stop=lambda: True)
    assert stopped.step == 1
    assert not (tmp_path / "run" / "best.safetensors").exists()
    assert (tmp_path / "run" / "last.pt").exists()


def test_overfits_what_it_sees(tiny_settings, tmp_path):
    """The loss on the run's own samples falls well below the untrained network's."""
    longer = [*tiny_settings, "steps=150", "validate_every=150", "optimiser.lr=0.003"]
    config = load_config("dpe-general", longer)
    train(config, tmp_path / "run")
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    losses = [float(row["loss"]) for row in rows]
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
    assert float(rows[-1]["psnr"]) > float(rows[-1]["psnr_identity"]) + 2


def test_a_finished_folder_is_not_overwritten(tiny_settings, tmp_path):
    config = load_config("dpe-general", [*tiny_settings, "steps=1"])
    train(config, tmp_path / "run")
    with pytest.raises(UsageError, match="holds a run already"):
        train(config, tmp_path / "run")


def test_a_folder_in_which_a_run_goes_on_is_refused(tiny_settings, tmp_path):
    config = load_config("dpe-general", [*tiny_settings, "steps=2"])
    run, refused = tmp_path / "run", []

    def begin_another():
        for resume in (False, True):
            with pytest.raises(OutputError, match="another run writes into this"):
                train(config, run, resume=resume)
            refused.append(resume)
        return len(refused) == 2

    train(config, run, should_stop=begin_another)
    assert refused == [False, True]
    assert train(config, run, resume=True).finished
    assert not [path for path in run.iterdir() if "lock" in path.name]


@pytest.mark.skipif(os.name == "nt", reason="no such signal there")
def test_a_killed_run_holds_no_folder(tiny_settings, tmp_path):
    config = load_config("dpe-general", [*tiny_settings, "steps=2"])
    train(config, tmp_path / "run", max_minutes=0)
    kept = tmp_path / "config.json"
    kept.write_text(config.model_dump_json())
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from medenh.training.config_file import load_config\n"
        "from medenh.training.loop import train\n"
        "train(load_config(sys.argv[1]), Path(sys.argv[2]), resume=True,\n"
        "      should_stop=lambda: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    command = [sys.executable, "-c", code, str(kept), str(tmp_path / "run")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "run" / ".medenh-train.lock").exists()
    assert train(config, tmp_path / "run", resume=True).finished
    assert not (tmp_path / "run" / ".medenh-train.lock").exists()


def test_nothing_to_resume_from(tiny_settings, tmp_path):
    config = load_config("dpe-general", tiny_settings)
    with pytest.raises(UsageError, match="nothing to resume"):
        train(config, tmp_path / "empty", resume=True)
    assert not (tmp_path / "empty").exists()


def test_a_run_that_cannot_start_leaves_no_folder(tiny_settings, tmp_path):
    config = load_config("dpe-general", [*tiny_settings, "data.qualities=['none']"])
    with pytest.raises(UsageError, match="0 images to learn from"):
        train(config, tmp_path / "runs" / "a")
    assert not (tmp_path / "runs").exists()


def test_a_run_beyond_its_steps_says_so_and_is_left_alone(
    tiny_settings, tmp_path, caplog
):
    train(load_config("dpe-general", [*tiny_settings, "steps=2"]), tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    fewer = load_config("dpe-general", [*tiny_settings, "steps=1"])
    assert train(fewer, tmp_path / "run", resume=True).step == 2
    assert "at step 2 already, beyond steps = 1" in caplog.text
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("rule", ["off", "sum"])
def test_a_task_that_was_left_out_is_told(
    tiny_settings, tmp_path, caplog, monkeypatch, rule
):
    finish = Promoter.finish

    def with_infinite_task(self, params):
        self.skipped += self.rule == "sum"
        return finish(self, params)

    monkeypatch.setattr(Promoter, "finish", with_infinite_task)
    task = ["promote.task=vessels-fundus", "promote.loss=unsupervised"]
    task += ['data.packs=["fundus"]']
    more = [f"promote.rule={rule}", "steps=2", *(task if rule == "sum" else [])]
    config = load_config("dpe-general", [*tiny_settings, *more])
    train(config, tmp_path / "run")
    told = "the task was not finite 2 times" in caplog.text
    assert told == (rule == "sum")


def test_squares_larger_than_the_pictures_are_told_once(
    tiny_settings, tmp_path, caplog
):
    config = load_config("dpe-general", [*tiny_settings, "data.size=96", "steps=1"])
    train(config, tmp_path / "run")
    assert caplog.text.count("data.size 96 is above data.max_side 64") == 1
    caplog.clear()
    even = load_config("dpe-general", [*tiny_settings, "data.size=64"])
    load_sources(even)
    assert "max_side" not in caplog.text


def test_a_damaged_checkpoint_is_refused(tiny_settings, tmp_path):
    config = load_config("dpe-general", [*tiny_settings, "steps=1"])
    train(config, tmp_path / "run")
    last = tmp_path / "run" / "last.pt"
    last.write_bytes(last.read_bytes()[:500])
    with pytest.raises(UsageError, match="not a usable checkpoint") as caught:
        train(config, tmp_path / "run", resume=True)
    assert "network.start_from" in str(caught.value.hint)
    assert "\n" not in caught.value.what


def test_a_network_that_enlarges_is_refused(tiny_settings, tmp_path):
    more = ["network.architecture=srresnet", "network.preset=x2", "condition_batch=0",
            "teacher_share=0", "network.options.from_enlarged=false"]  # fmt: skip
    with pytest.raises(UsageError, match="larger pictures"):
        train(load_config("dpe-general", [*tiny_settings, *more]), tmp_path / "run")


def test_a_file_of_something_else_is_no_checkpoint(tiny_settings, tmp_path):
    torch.save({"weights": torch.zeros(1)}, tmp_path / "last.pt")
    with pytest.raises(UsageError, match="not a checkpoint of a training run"):
        train(load_config("dpe-general", tiny_settings), tmp_path, resume=True)


def test_a_setting_that_is_newer_than_the_run_does_not_stop_its_resume(
    tiny_settings, tmp_path
):
    train(load_config("dpe-general", [*tiny_settings, "steps=1"]), tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    config = json.loads(state["config"])
    del config["guided"]["pair_reference"], config["data"]["squared_share"]
    torch.save({**state, "config": json.dumps(config)}, tmp_path / "last.pt")
    longer = load_config("dpe-general", [*tiny_settings, "steps=2"])
    assert train(longer, tmp_path, resume=True).step == 2


def test_a_setting_that_is_no_longer_known_is_another_one(tiny_settings, tmp_path):
    config = load_config("dpe-general", [*tiny_settings, "steps=1"])
    train(config, tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    known = {**json.loads(state["config"]), "phase": 3}
    torch.save({**state, "config": json.dumps(known)}, tmp_path / "last.pt")
    with pytest.raises(UsageError, match="other settings: phase"):
        train(config, tmp_path, resume=True)


def test_a_refused_resume_leaves_the_run_as_it_was(tiny_settings, tmp_path):
    train(load_config("dpe-general", [*tiny_settings, "steps=1"]), tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    other = load_config("dpe-general", [*tiny_settings, "data.size=48", "steps=2"])
    with pytest.raises(UsageError, match=r"other settings: data\.size \("):
        train(other, tmp_path, resume=True)
    assert (tmp_path / "config.json").read_bytes() == before
    moved = tmp_path.with_name("moved")
    shutil.copytree(tmp_path / "data", moved)
    elsewhere = [f"data.root='{moved.as_posix()}'", "data.workers=0", "steps=2"]
    config = load_config("dpe-general", [*tiny_settings, *elsewhere])
    assert train(config, tmp_path, resume=True).finished


def test_a_folder_that_cannot_be_written_is_a_clear_error(tiny_settings, tmp_path):
    config = load_config("dpe-general", [*tiny_settings, "steps=1"])
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: cannot be written"):
        train(config, tmp_path / "file")
    (tmp_path / "run" / "config.json").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"config.json: cannot be written"):
        train(config, tmp_path / "run")


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    resource = pytest.importorskip("resource")
    last, best = tmp_path / "last.pt", tmp_path / "best.safetensors"
    network = torch.nn.Linear(300, 300)
    save_state(last, {"step": 1})
    before = last.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            save_state(last, {"step": 2, "weights": torch.zeros(100_000)})
        with pytest.raises(OutputError, match="cannot be written"):
            save_weights(best, network)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert last.read_bytes() == before
    assert list(tmp_path.iterdir()) == [last]


def test_scores_that_are_no_number_choose_nothing(tiny_settings, tmp_path, monkeypatch):
    scores, measured, saved = [math.nan, 3.0, math.nan, 2.0], [], []

    def measure(self, answers):
        measured.append(scores[len(measured)])
        others = dict.fromkeys(("psnr_identity", "ssim", "ssim_identity"), 0.0)
        return {"psnr": measured[-1], **others}, None

    monkeypatch.setattr(PairValidation, "measure", measure)
    monkeypatch.setattr(loop, "save_weights", lambda *_: saved.append(len(measured)))
    config = load_config("dpe-general", [*tiny_settings, "steps=4", "validate_every=1"])
    assert train(config, tmp_path / "run").best == 3.0
    assert saved == [1, 2]  # better than none, then the only number that is best


def test_non_finite_loss_stops_the_run(tiny_settings, tmp_path):
    config = load_config(
        "dpe-general", [*tiny_settings, "optimiser.lr=1e30", "optimiser.warmup_steps=0"]
    )
    with pytest.raises(MedenhError, match="no longer finite"):
        train(config, tmp_path / "run")


def test_pack_keeps_clean_training_images_only(pack_root):
    images = load_pack(pack_root / "fundus", ["good"], ("train",), 48)
    assert len(images) == 22  # one reject, one val
    assert max(max(i.pixels.shape[:2]) for i in images) == 48
    grey = load_pack(pack_root / "xray", ["good"], ("val",), 48)
    assert [i.pixels.shape[2] for i in grey] == [1]


def _damaged(pack, how):
    shard, manifest = pack / "a.tar", pack / "manifest.csv"
    if how == "missing":
        shard.unlink()
    elif how == "truncated":
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    elif how == "other":
        shard.write_bytes(b"no tar" * 1000)
    else:
        manifest.write_text(manifest.read_text().replace("quality", "grade"))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "a.tar: cannot read this part of the pack"),
        ("truncated", "a.tar: cannot read this part of the pack"),
        ("other", "a.tar: cannot read this part of the pack"),
        ("columns", "lacks the columns quality"),
    ],
)
def test_a_damaged_pack_is_a_clear_error(pack_root, how, message):
    _damaged(pack_root / "fundus", how)
    with pytest.raises(UsageError, match=message):
        load_pack(pack_root / "fundus", ["good"], ("train",), 48)


def test_images_of_a_pack_are_told_apart_by_their_digests(pack_root):
    images = load_pack(pack_root / "fundus", ["good"], ("train",), 64)
    assert len({image.digest for image in images}) == len(images) > 2


def test_holdout_never_splits_a_group(pack_root):
    images = load_pack(pack_root / "fundus", ["good"], ("train",), 48)
    train_part, held = split_holdout(images * 2, 0.3)
    assert held
    assert not {i.group for i in held} & {i.group for i in train_part}


def test_samples_depend_on_step_and_position_only(pack_root, tiny_settings):
    config = load_config("dpe-general", tiny_settings)
    images = load_pack(pack_root / "fundus", ["good"], ("train",), 48)
    one, two = (PairSampler(images, config.data, seed=0) for _ in range(2))
    two.sample(3, 2)
    low, clean = one.sample(5, 1).values()
    low_again, clean_again = two.sample(5, 1).values()
    np.testing.assert_array_equal(low, low_again)
    np.testing.assert_array_equal(clean, clean_again)
    assert not np.array_equal(low, one.sample(5, 2)["low"])
    assert low.shape == clean.shape == (3, 32, 32)
    assert low.min() >= 0
    assert low.max() <= 1


def _eye(side=48):
    """Return a photograph with a black surround, which darkening may or may not see."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = np.hypot(x, y) < 0.45 * side
    pixels = np.full((side, side, 3), (150, 90, 60), np.uint8)
    pixels[:, ::3] += 40
    pixels[~disc] = 6
    return CleanImage("eye", "fundus", "train", "eye", pixels)


def test_the_surround_of_the_eye_changes_in_a_share_of_the_samples(tiny_settings):
    image = _eye()
    corner = (slice(None), 0, 0)
    for share, expected in ((1.0, {False}), (0.0, {True}), (0.5, {False, True})):
        more = ["data.whole_share=1", "data.size=48", "data.identity_share=0",
                "data.recipes={dpe=1.0}", f"data.field_share={share}",
                "data.recolour_share=0"]  # fmt: skip
        data = load_config("dpe-general", [*tiny_settings, *more]).data
        sampler = PairSampler([image], data, seed=0)
        samples = [sampler.sample(0, position) for position in range(12)]
        changed = {bool((s["low"] != s["high"])[corner].any()) for s in samples}
        assert changed == expected
        inside = [np.abs(s["low"] - s["high"])[:, 24, 24].max() for s in samples]
        assert min(inside) > 0.01


def test_a_share_of_the_eyes_is_seen_as_the_square_around_the_field(tiny_settings):
    eye = _eye(64)
    wide = np.full((96, 128, 3), 6, np.uint8)
    wide[16:80, 40:104] = eye.pixels
    mask = np.where(wide[..., :1] > 20, 255, 0).astype(np.uint8)
    image = replace(eye, pixels=wide, mask=mask)
    for share, expected in ((0.0, {False}), (1.0, {True}), (0.5, {False, True})):
        more = ["data.whole_share=1", "data.size=64", "data.identity_share=1",
                f"data.squared_share={share}", "data.recolour_share=0"]  # fmt: skip
        data = load_config("dpe-general", [*tiny_settings, *more]).data
        sampler = PairSampler([image], data, seed=0)
        samples = [sampler.sample(0, position) for position in range(12)]
        filled = [(s["high"].max(0) > 0.1).mean() for s in samples]
        assert {bool(f > 0.6) for f in filled} == expected
        for sample in samples:
            marked = sample["mask"][0] > 0.5
            assert (sample["high"].max(0)[marked] > 0.1).all(), "the mask goes along"
        surrounds = [float(s["high"][:, 0, 0].max()) for s in samples]
        for part, surround in zip(filled, surrounds, strict=True):
            black = 0.0 if part > 0.6 else 6 / 255
            assert surround == pytest.approx(black, abs=1e-6)
        single = SingleSampler([image], data, seed=0)
        alone = [single.sample(0, position)["image"] for position in range(12)]
        assert {bool(one[:, 0, 0].max() == 0) for one in alone} == expected


def test_recoloured_samples_are_pairs_like_the_others(tiny_settings):
    """The clean square is the recoloured one, and the other is made of it."""
    image = _eye()
    more = ["data.whole_share=1", "data.size=48", "data.identity_share=0",
            "data.recipes={dpe=1.0}", "data.recolour_share=1"]  # fmt: skip
    data = load_config("dpe-general", [*tiny_settings, *more]).data
    own = image.pixels.astype(np.float32) / 255
    for position in range(6):
        low, high = PairSampler([image], data, seed=0).sample(0, position).values()
        flat, answer = low.ravel(), high.ravel()
        assert abs(np.corrcoef(flat, answer)[0, 1]) > 0.9
        assert low.mean() < high.mean()
        assert np.abs(np.sort(answer) - np.sort(own.ravel())).mean() > 0.05


def test_only_the_named_parts_of_a_network_learn(tiny_settings, tmp_path):
    settings = [*tiny_settings, "steps=2", "validate_every=2", "optimiser.ema=0"]
    train(load_config("dpe-general", settings), tmp_path / "first")
    weights = tmp_path / "first" / "best.safetensors"
    settings += [f"network.start_from='{weights.as_posix()}'"]
    part = [*settings, 'network.trained=["estimator.guess", "head"]']
    train(load_config("dpe-general", part), tmp_path / "second")
    before = load_file(weights)
    after = load_file(tmp_path / "second" / "best.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert {name.partition(".")[0] for name in changed} == {"estimator", "head"}
    assert not any(name.startswith("estimator.features") for name in changed)
    unknown = [*settings, 'network.trained=["estimator.guess", "hea"]']
    with pytest.raises(UsageError, match="no part 'hea'") as caught:
        train(load_config("dpe-general", unknown), tmp_path / "third")
    assert "head" in caught.value.hint


def test_a_loss_and_a_figure_of_one_name_have_a_column_each(tiny_settings, tmp_path):
    more = ["loss.ssim=100", "steps=2", "validate_every=2"]
    train(load_config("dpe-general", [*tiny_settings, *more]), tmp_path / "run")
    with (tmp_path / "run" / "log.csv").open(newline="") as handle:
        last = list(csv.DictReader(handle))[-1]
    assert 0 < float(last["ssim"]) < 1 < float(last["loss_ssim"])


def test_the_share_of_whole_pictures_can_be_given_for_a_sample(tiny_settings):
    """A cut as large as the picture for 1, a smaller one for 0."""
    data = load_config("dpe-general", [*tiny_settings, "data.smallest_crop=0.1"]).data
    for share, whole in ((1.0, True), (0.0, False)):
        boxes = [
            draw_cut((48, 64, 3), data, np.random.default_rng(i), 32, share).box
            for i in range(8)
        ]
        assert any(box == (0, 0, 48, 64) for box in boxes) == whole


def test_a_native_cut_is_the_picture_pixel_by_pixel(tiny_settings):
    more = ["data.whole_share=0", "data.native_share=1"]
    data = load_config("dpe-general", [*tiny_settings, *more]).data
    picture = np.random.default_rng(0).random((48, 64, 3))
    for i in range(8):
        cut = draw_cut(picture.shape, data, np.random.default_rng(i), 32)
        top, left, *sides = cut.box
        assert sides == [32, 32]
        square = np.rot90(picture[top : top + 32, left : left + 32], cut.quarter_turns)
        expected = square[:, ::-1] if cut.mirrored else square
        np.testing.assert_array_equal(cut.apply(picture), expected)
    small = draw_cut((20, 64, 3), data, np.random.default_rng(0), 32)
    assert small.box[2:] == (20, 32)


def test_recipes_with_air_leave_squares_of_tissue_to_the_others(tiny_settings):
    """Noise of 32 coils doubles what is dark; Rician noise of so little does not."""
    recipes = 'data.recipes={"mri-multi-coil"=9.0, "mri-rician"=1.0}'
    asked = [recipes, 'data.recipes_with_air=["mri-multi-coil"]', "data.severity=1"]
    more = ["data.identity_share=0", "data.whole_share=1", "data.size=64"]
    data = load_config("dpe-general", [*tiny_settings, *asked, *more]).data
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    head = np.hypot(x, y) < 0.7
    tissue = np.where(x > 0, 0.9, 0.15)
    brighter = {}
    for kind, picture in (("air", tissue * head), ("tissue", tissue)):
        pixels = np.uint8(255 * picture)[..., None]
        image = CleanImage("a", "mri", "train", "a", pixels)
        sampler = PairSampler([image], data, 0)
        pairs = [sampler.sample(0, k) for k in range(20)]
        dark = [(p["high"][0] > 0.1) & (p["high"][0] < 0.2) for p in pairs]
        brighter[kind] = np.array(
            [
                (p["low"] - p["high"])[0][d].mean()
                for p, d in zip(pairs, dark, strict=True)
            ]
        )
    assert brighter["air"].max() > 4 * brighter["tissue"].max()
    assert np.mean(brighter["air"] > brighter["tissue"].max()) > 0.5


def test_each_kind_of_image_wants_a_recipe_without_air(tiny_settings):
    """Else a run would end at the first square of tissue, hours in perhaps."""
    asked = ['data.recipes={"mri-rician"=1.0, "xray-mixed"=1.0}']
    asked += ['data.recipes_with_air=["mri-rician"]']
    data = load_config("dpe-general", [*tiny_settings, *asked]).data
    pixels = np.zeros((64, 64, 1), np.uint8)
    with pytest.raises(UsageError, match="no recipe for mri images without air"):
        PairSampler([CleanImage("a", "mri", "train", "a", pixels)], data, 0)
    PairSampler([CleanImage("a", "xray", "train", "a", pixels)], data, 0)
    PairSampler([CleanImage("a", "mri", "train", "a", pixels, low=pixels)], data, 0)


def test_a_lift_share_of_all_leaves_no_black(tiny_settings):
    more = ["data.packs=['mri']", "data.whole_share=1", "data.lift_share=1"]
    data = load_config("dpe-general", [*tiny_settings, *more]).data
    head = np.zeros((64, 64, 1), np.uint8)
    head[16:48, 16:48] = 200
    sampler = PairSampler([CleanImage("a", "mri", "train", "a", head)], data, 0)
    darkest = [sampler.sample(0, k)["high"].min() for k in range(10)]
    assert min(darkest) >= 0.05
    assert len({round(float(one), 2) for one in darkest}) > 4


def test_squares_are_turned_as_asked_for_and_cut_alike(tiny_settings):
    drawn = {}
    for turned in ("any", "mirrored", "none"):
        settings = [*tiny_settings, f"data.turned={turned}"]
        data = load_config("dpe-general", settings).data
        cuts = [
            draw_cut((48, 64, 3), data, np.random.default_rng(i), 32) for i in range(40)
        ]
        drawn[turned] = [cut.box for cut in cuts]
        assert len({cut.quarter_turns for cut in cuts}) == (4 if turned == "any" else 1)
        assert len({cut.mirrored for cut in cuts}) == (1 if turned == "none" else 2)
        if turned == "none":
            assert not any(cut.quarter_turns or cut.mirrored for cut in cuts)
    assert drawn["any"] == drawn["mirrored"] == drawn["none"]


def test_a_native_share_of_none_draws_what_was_drawn_before(tiny_settings):
    """Shares add up from the whole pictures on, so only some crops change."""
    some = load_config("dpe-general", [*tiny_settings, "data.native_share=0.3"]).data
    none = load_config("dpe-general", tiny_settings).data
    boxes = [
        [
            draw_cut((48, 64, 3), d, np.random.default_rng(i), 16).box
            for d in (none, some)
        ]
        for i in range(64)
    ]
    native = [after[2:] == (16, 16) for _, after in boxes]
    assert 8 < sum(native) < 32
    assert all(b == a for (b, a), new in zip(boxes, native, strict=True) if not new)


def test_fieldnet_learns_its_fields_from_thumbnails_and_its_detail_from_crops(
    tiny_settings, tmp_path
):
    """With every full-size sample taught, only the extra ones move the fields."""
    extra = ["network.architecture=fieldnet", "teacher_share=1", "steps=2", "batch=2",
             "validate_every=2", "optimiser.weight_decay=0"]  # fmt: skip
    train(load_config("dpe-general", [*tiny_settings, *extra]), tmp_path / "a")
    without = [*tiny_settings, *extra, "condition_batch=0"]
    train(load_config("dpe-general", without), tmp_path / "b")
    states = [_weights(tmp_path / name)["update"]["networks"] for name in "ab"]
    a, b = (state["network"]["overall.guess.4.bias"] for state in states)
    assert a.abs().max() > 0
    assert b.abs().max() == 0


def test_extra_condition_samples_reach_the_estimator(tiny_settings, tmp_path):
    extra = ["condition_batch=3", "condition_size=32", "steps=2", "batch=1"]
    with_extra = load_config("dpe-general", [*tiny_settings, *extra])
    without = load_config("dpe-general", [*tiny_settings, *extra, "condition_batch=0"])
    train(with_extra, tmp_path / "a")
    train(without, tmp_path / "b")
    states = [_weights(tmp_path / name)["update"]["networks"] for name in "ab"]
    a, b = (state["network"] for state in states)
    assert not torch.equal(a["estimator.guess.4.weight"], b["estimator.guess.4.weight"])


def test_starting_from_weights_takes_what_fits(tiny_settings, tmp_path):
    config = load_config("dpe-general", [*tiny_settings, "steps=1"])
    train(config, tmp_path / "first")
    weights = tmp_path / "first" / "best.safetensors"
    frozen = [*tiny_settings, "steps=1", "optimiser.lr=1e-12"]
    start = f"network.start_from='{weights.as_posix()}'"
    train(load_config("dpe-general", [*frozen, start]), tmp_path / "second")
    second = load_file(tmp_path / "second" / "best.safetensors")
    for name, tensor in load_file(weights).items():
        torch.testing.assert_close(second[name], tensor, atol=1e-3, rtol=1e-3)
    other = f"network.start_from='{(tmp_path / 'none.safetensors').as_posix()}'"
    nowhere = "data.root='/nowhere'"  # told before images are read
    with pytest.raises(UsageError, match="cannot start from"):
        train(load_config("dpe-general", [*frozen, other, nowhere]), tmp_path / "third")


def test_mage_starts_from_a_segmenter_that_learnt_alone(tmp_path):
    """The first of the paper's two phases: AG-Net's tensors, at their place inside."""
    torch.manual_seed(1)
    alone, whole = models.create("agnet", "default"), models.create("mage", "default")
    save_file(alone.state_dict(), tmp_path / "segmenter.safetensors")
    before = {name: t.clone() for name, t in whole.state_dict().items()}
    taken = start_from(tmp_path / "segmenter.safetensors", whole)
    assert taken == len(alone.state_dict())
    for name, tensor in whole.state_dict().items():
        inside = name.removeprefix("rsp.")
        expected = alone.state_dict()[inside] if inside != name else before[name]
        assert torch.equal(tensor, expected)


def test_the_figure_of_the_weights_at_the_start_is_told_and_kept(
    tiny_settings, tmp_path, caplog
):
    first = train(load_config("dpe-general", tiny_settings), tmp_path / "first")
    assert first.start is None
    weights = (tmp_path / "first" / "best.safetensors").as_posix()
    start = [*tiny_settings, f"network.start_from='{weights}'"]
    with caplog.at_level("INFO", logger="medenh"):
        part = train(
            load_config("dpe-general", start), tmp_path / "part", max_minutes=0
        )
    assert part.start == pytest.approx(first.best, abs=0.01)  # fp16 in the file
    assert f"before the first step: validation psnr {part.start:.4g}" in caplog.text
    caplog.clear()
    (tmp_path / "first" / "best.safetensors").unlink()  # the state has what is needed
    rest = train(load_config("dpe-general", start), tmp_path / "part", resume=True)
    assert rest.start == part.start
    assert "before the first step" not in caplog.text


def test_a_start_from_part_of_a_model_is_told(tiny_settings, tmp_path, caplog):
    config = load_config("dpe-general", [*tiny_settings, "steps=1"])
    train(config, tmp_path / "first")
    weights = (tmp_path / "first" / "best.safetensors").as_posix()
    start = [*tiny_settings, "steps=1", f"network.start_from='{weights}'"]
    with caplog.at_level("INFO", logger="medenh"):
        train(load_config("dpe-general", start), tmp_path / "same")
        assert "start from" not in caplog.text
        wider = [*start, "network.options={widths = [12, 8, 12, 16]}"]
        train(load_config("dpe-general", wider), tmp_path / "wider")
    told = re.search(r"(\d+) of the network's (\d+) tensors start from", caplog.text)
    assert told
    assert 0 < int(told[1]) < int(told[2])


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("cosine", [1, 0.93971, 0.55, 0.325, 0.16029]),
        ("linear", [1, 1, 1, 0.7, 0.4]),  # StillGAN: half of the run, then down
        ("drops", [1, 1, 1, 0.1, 0.01]),  # ESTR: after 20 and 25 of 30 epochs
    ],
)
def test_rates_follow_their_schedule(schedule, shares):
    optimiser = OptimiserConfig(
        lr=1e-2, final_lr=1e-3, schedule=schedule, warmup_steps=10
    )
    assert _rate_at(4, optimiser, 70) == pytest.approx(0.5)
    found = [_rate_at(step, optimiser, 70) for step in (10, 20, 40, 50, 60)]
    np.testing.assert_allclose(found, shares, rtol=1e-4)


def test_best_affine_undoes_an_affine_degradation():
    torch.manual_seed(0)
    clean = torch.rand(3, 3, 16, 16)
    scale = torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1, 1)
    network = models.create("dpe-plus", "tiny")
    condition = network.best_condition(scale * clean + 0.05, clean)
    restored = network.corrected(scale * clean + 0.05, condition)
    torch.testing.assert_close(restored, clean, atol=1e-4, rtol=0)


def test_losses_compute_in_whole_float32(tiny_settings, tmp_path, monkeypatch):
    """cuDNN's default for float32 convolutions keeps ten bits."""
    seen = set()
    plain = loop._take_step

    def watched(*args):
        seen.add(torch.backends.cudnn.allow_tf32)
        return plain(*args)

    monkeypatch.setattr(loop, "_take_step", watched)
    before = torch.backends.cudnn.allow_tf32
    train(load_config("dpe-general", tiny_settings), tmp_path / "run")
    assert seen == {False}
    assert torch.backends.cudnn.allow_tf32 == before


def test_a_run_keeps_its_recipes_and_goes_on_with_no_other(tiny_settings, tmp_path):
    own, run = tmp_path / "grain.toml", tmp_path / "run"
    text = '[[steps]]\noperator = "gaussian-noise"\nsigma = {}\n'
    own.write_text(text.format(0.1))
    asked = [*tiny_settings, f'data.recipes={{"{own.as_posix()}"=1.0}}']
    train(load_config("dpe-general", [*asked, "steps=2"]), run)
    assert (run / "recipes" / "grain.toml").read_text() == text.format(0.1)
    own.write_text(text.format(0.2))
    with pytest.raises(
        UsageError, match=r"the recipes are not those.*grain.toml \(recipe\)"
    ):
        train(load_config("dpe-general", [*asked, "steps=4"]), run, resume=True)
    own.write_text(text.format(0.1))
    config = load_config("dpe-general", [*asked, "steps=4"])
    own.unlink()  # it was read with the settings
    assert train(config, run, resume=True).step == 4


def test_a_run_begun_anew_keeps_the_recipe_that_it_has_now(tiny_settings, tmp_path):
    own, run = tmp_path / "grain.toml", tmp_path / "run"
    (run / "recipes").mkdir(parents=True)
    (run / "recipes" / "grain.toml").write_text("of a run before")
    own.write_text('[[steps]]\noperator = "gaussian-noise"\n')
    asked = [*tiny_settings, f'data.recipes={{"{own.as_posix()}"=1.0}}', "steps=1"]
    train(load_config("dpe-general", asked), run)
    (kept,) = (run / "recipes").iterdir()
    assert kept.read_text() == own.read_text()
