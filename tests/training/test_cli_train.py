import logging
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import typer
from safetensors.torch import load_file

from medenh.cli import train as verb
from medenh.errors import UsageError
from medenh.training import loop, sweep
from medenh.zoo.fetch import weights_path
from medenh.zoo.manifest import load_manifest


def _train(*arguments):
    command = [sys.executable, "-m", "medenh", "train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_verb_trains_stops_and_resumes(tiny_settings, tmp_path):
    settings = [part for item in tiny_settings for part in ("--set", item)]
    run = str(tmp_path / "run")
    first = _train("dpe-general", *settings, "-o", run, "--max-minutes", "0")
    assert first.returncode == 0, first.stderr
    assert "stopped; --resume goes on at step 1" in first.stderr
    again = _train("dpe-general", *settings, "-o", run, "-q")
    assert again.returncode == 2
    assert "holds a run already" in again.stderr
    more = _train(
        "dpe-general", *settings, "-o", run, "--resume", "--max-minutes", "0", "-q"
    )
    assert (more.returncode, more.stdout, more.stderr) == (0, "", "")
    rest = _train("--resume", "-o", run)  # by the run's own configuration
    assert rest.returncode == 0, rest.stderr
    assert "finished at step 12" in rest.stderr
    none = _train("--resume", "-o", str(tmp_path))
    assert none.returncode == 2
    assert "holds no config.json of a run to resume" in none.stderr


def test_a_model_of_the_zoo_is_tuned_on_other_images(tiny_settings, tmp_path):
    others = [item for item in tiny_settings if not item.startswith("network.")]
    settings = [part for item in [*others, "steps=1"] for part in ("--set", item)]
    run = tmp_path / "run"
    told = _train("--tune", "fast-general", *settings, "-o", str(run))
    assert told.returncode == 0, told.stderr
    assert "anew" not in told.stderr  # all of its weights fit
    again = _train("--resume", "-o", str(run))
    assert again.returncode == 0, again.stderr
    made = load_file(run / "best.safetensors")
    before = load_file(weights_path(load_manifest().get("fast-general")))
    assert made.keys() == before.keys()
    for name, tensor in before.items():
        assert torch.allclose(made[name].float(), tensor.float(), atol=0.05), name
    both = _train("--sweep", "hqg-peer", "--tune", "hqg-endo")
    assert both.returncode == 2
    assert "a sweep names its own configuration" in both.stderr


def test_configurations_are_listed_and_printed():
    listed = _train("--list").stdout
    assert "dpe-general" in listed
    assert "strategies: supervised" in listed
    assert "losses: [loss] l1, mse," in listed
    assert "; [adversarial] adversarial, features; [guided] " in listed
    assert "; [still_gan] adversarial, cycle, identity, structure, ill" in listed
    assert "task vessels-fundus (segmentation): vessel" in listed
    assert "network unet: presets default" in listed
    assert 'name = "dpe-general"' in _train("--print-config", "dpe-general").stdout
    assert 'name = "hqg-losses"' in _train("--print-config", "hqg-losses").stdout
    assert _train().returncode == 2
    assert _train("nonsense").returncode == 2


def test_an_interrupted_run_is_told_how_to_go_on(tiny_settings, tmp_path):
    endless = [*tiny_settings, "steps=100000", "data.workers=2"]
    settings = [part for item in endless for part in ("--set", item)]
    command = [sys.executable, "-m", "medenh", "train", "dpe-general", *settings,
               "-o", str(tmp_path / "run"), "-d", "cpu"]  # fmt: skip
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        log = tmp_path / "run" / "log.csv"
        deadline = time.monotonic() + 60
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: its workers too
        _, told = run.communicate(timeout=60)
    assert run.returncode == 130, told
    assert "the same command with --resume goes on" in told
    assert (tmp_path / "run" / "last.pt").exists()


@pytest.mark.parametrize("steps", [0, 1])
def test_ctrl_c_before_the_first_step_ends_a_run_at_once(
    tmp_path, monkeypatch, capsys, steps
):
    reached = []

    def train(*_, should_stop, **__):
        for _ in range(steps):
            assert not should_stop()
        signal.raise_signal(signal.SIGINT)
        reached.append(should_stop())  # with a state to be saved
        return SimpleNamespace(
            finished=False, best=0.0, identity=None, start=None, step=1, score="psnr"
        )

    monkeypatch.setattr(loop, "train", train)
    # a thread that an earlier test left would have it end this whole process
    monkeypatch.setattr(threading, "enumerate", list)
    settings = SimpleNamespace(name="mine", steps=2)
    with pytest.raises(typer.Exit) as ended:
        verb._run(
            settings, tmp_path, resume=False, max_minutes=None, device="cpu", quiet=True
        )
    assert ended.value.exit_code == 130
    assert reached == [True] * steps
    said = capsys.readouterr().err
    assert ("with --resume goes on" in said) == bool(steps)
    assert ("starts again" in said) == (not steps)


def test_names_are_told_as_they_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    name = "a[old]b:smile:[/x]"
    ended = SimpleNamespace(
        finished=True, best=1.0, identity=None, start=None, step=2, score="psnr"
    )
    monkeypatch.setattr(loop, "train", lambda *_, **__: ended)
    settings = SimpleNamespace(name=name, steps=2)
    asked = {"max_minutes": None, "device": "cpu", "quiet": False}
    verb._run(settings, Path(name), resume=False, **asked)
    assert f"best validation psnr 1; {name}\n" in capsys.readouterr().err
    with monkeypatch.context() as terminal:
        terminal.setattr("sys.stderr.isatty", lambda: True)
        verb._run(settings, Path(name), resume=False, **asked)
        assert f"{name} " in capsys.readouterr().err  # before the bar

    def run(_, folder, *, on_run, **__):
        on_run(sweep.SweepRun(name, 0, 1, 1))
        folder.mkdir(parents=True)
        (folder / "summary.csv").touch()
        return True

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "load_sweep", lambda _: SimpleNamespace(name=name))
    monkeypatch.setattr(sweep, "run_sweep", run)
    verb._sweep("a.toml", Path(name), [], **asked)
    said = capsys.readouterr().err
    assert f"1/1: {name}, seed 0" in said
    assert f"{name}/summary.csv" in said
    monkeypatch.setattr(sweep, "run_sweep", lambda *_, **__: False)
    verb._sweep("a.toml", tmp_path / "none", [], **asked)
    assert "the same command goes on; no run measured" in capsys.readouterr().err


def test_a_quiet_sweep_tells_what_failed_alone(monkeypatch, capsys):
    def run(*_, on_run, on_diverged, on_failed, **__):
        one = sweep.SweepRun("a", 0, 1, 1)
        on_run(one)
        on_diverged(one, "at step 3")
        on_failed(one, UsageError("no image"))
        return True

    monkeypatch.setattr(sweep, "load_sweep", lambda _: SimpleNamespace(name="s"))
    monkeypatch.setattr(sweep, "run_sweep", run)
    with pytest.raises(typer.Exit):
        verb._sweep("a.toml", None, [], max_minutes=None, device="cpu", quiet=True)
    told = capsys.readouterr().err.splitlines()
    assert told == ["diverged: a, seed 0: at step 3", "failed: a, seed 0: no image"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("fast-fundus", "runs/fast-fundus"),
        ("my run/second", "runs/my run/second"),
        ("con", "runs/con-"),
        ("lr: 3", "runs/lr- 3"),
        ("../other", "runs/--/other"),
    ],
)
def test_the_usual_folder_is_one_that_every_system_can_have(
    request, monkeypatch, name, folder
):
    logger = logging.getLogger("medenh.training")  # what training says is let through
    request.addfinalizer(partial(logger.setLevel, logger.level))
    places = []

    def run(_, place, **__):
        places.append(place)
        return True

    monkeypatch.setattr(sweep, "load_sweep", lambda _: SimpleNamespace(name=name))
    monkeypatch.setattr(sweep, "run_sweep", run)
    verb._sweep("a.toml", None, [], max_minutes=None, device="cpu", quiet=True)
    monkeypatch.setattr(verb, "_run", lambda _, place, **__: places.append(place))
    verb._train("dpe-general", override=[f"name='{name}'"])
    assert places == [Path(folder)] * 2
