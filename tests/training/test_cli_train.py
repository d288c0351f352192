import subprocess
import sys


def _train(*arguments):
    command = [sys.executable, "-m", "medenh", "train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_verb_trains_stops_and_resumes(tiny_settings, tmp_path):
    settings = [part for item in tiny_settings for part in ("--set", item)]
    run = str(tmp_path / "run")
    first = _train("dpe-general", *settings, "-o", run, "--max-minutes", "0")
    assert first.returncode == 0, first.stderr
    assert "stopped; --resume goes on at step 1" in first.stderr
    again = _train("dpe-general", *settings, "-o", run)
    assert again.returncode == 1
    assert "holds a run already" in again.stderr
    rest = _train("dpe-general", *settings, "-o", run, "--resume")
    assert rest.returncode == 0, rest.stderr
    assert "finished at step 12" in rest.stderr


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
    assert _train().returncode == 2
    assert _train("nonsense").returncode == 2
