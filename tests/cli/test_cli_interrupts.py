"""Runs that are killed, and runs that are asked to stop, as a shell would do it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from medenh.pipeline.journal import Journal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

COUNT = 16


def command(*words):
    return [sys.executable, "-m", "medenh", "enhance", "-m", "clahe", *map(str, words)]


def digests(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("*.png")
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("run") / "in"
    root.mkdir()
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        noise = rng.integers(0, 255, (300, 300 + index, 3), np.uint8)
        cv2.imwrite(str(root / f"{index:02}.png"), noise)
    return root


@pytest.fixture(scope="module")
def undisturbed(folder):
    out = folder.parent / "undisturbed"
    subprocess.run(command(folder, "-o", out), check=True, capture_output=True)
    return digests(out)


def start(folder, out, done):
    """Start a run and return once about ``done`` outputs are there."""
    process = subprocess.Popen(
        command(folder, "-o", out), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while process.poll() is None and len(list(out.glob("*.png"))) < done:
        time.sleep(0.002)
    return process


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_run_goes_on_and_ends_the_same(folder, undisturbed, tmp_path, seed):
    rng = random.Random(seed)
    out = tmp_path / "out"
    process = start(folder, out, rng.randrange(COUNT - 2))
    time.sleep(rng.random() * 0.02)
    process.kill()
    process.communicate()
    assert digests(out).items() <= undisturbed.items()
    resumed = subprocess.run(command(folder, "-o", out), capture_output=True)
    assert resumed.returncode == 0, resumed.stderr
    assert digests(out) == undisturbed


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_run_asked_to_stop_ends_soon_and_cleanly(
    folder, undisturbed, tmp_path, number, code
):
    out = tmp_path / "out"
    process = start(folder, out, 2)
    asked = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    if process.returncode == 0:
        pytest.skip("the run was quicker than the signal")
    assert time.monotonic() - asked < 4
    assert process.returncode == code, said
    assert b"Traceback" not in said
    assert b"interrupted" in said
    assert not list(out.glob(".*part"))
    done = digests(out)
    assert done.items() <= undisturbed.items()
    journal = Journal(out)
    for name in done:
        record = journal.find(out / name)
        assert record is not None
        assert journal.is_intact(record)
    resumed = subprocess.run(command(folder, "-o", out), capture_output=True)
    assert resumed.returncode == 0, resumed.stderr
    assert digests(out) == undisturbed


def test_a_signal_that_comes_twice_at_once_is_one(folder, tmp_path):
    """`timeout` sends one to the process and one to its group."""
    process = start(folder, tmp_path / "out", 2)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    if process.returncode == 0:
        pytest.skip("the run was quicker than the signal")
    assert process.returncode == 143
    assert b"interrupted" in said


def interrupted(folder, out, slow, *words):
    """Run with a part that takes for ever, press Ctrl-C in it, return what came."""
    code = (
        "import sys, threading\n"
        f"import {slow.rpartition('.')[0]} as place\n"
        "def wait(*a, **k):\n"
        "    sys.stderr.write('waiting\\n'); sys.stderr.flush()\n"
        "    threading.Event().wait(60)\n"
        f"place.{slow.rpartition('.')[2]} = wait\n"
        "from medenh.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "enhance", str(folder), "-o", str(out), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "waiting" in process.stderr.readline()
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err, time.monotonic() - asked


@pytest.mark.parametrize(
    ("slow", "words"),
    [
        ("medenh.pipeline.plan.discover", ["--json"]),
        ("medenh.pipeline.plan.discover", ["--dry-run"]),
        ("medenh.pipeline.loading.make_runner", ["-m", "clahe", "--json"]),
    ],
)
def test_ctrl_c_while_planning_or_loading_ends_at_once(folder, tmp_path, slow, words):
    code, out, err, seconds = interrupted(folder, tmp_path / "out", slow, *words)
    assert code == 130, err
    assert seconds < 3
    assert "Traceback" not in err
    if "--json" in words:
        assert json.loads(out)["code"] == "interrupted"
    else:
        assert out == ""


def test_json_is_printed_for_a_run_that_is_interrupted(folder, tmp_path):
    slow = "medenh.formats.writers.write"
    words = ("-m", "clahe", "--json")
    code, out, err, _ = interrupted(folder, tmp_path / "out", slow, *words)
    assert code == 130, err
    document = json.loads(out)
    assert (document["code"], document["inputs"]) == ("interrupted", COUNT)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sigterm_ends_the_processes_of_evaluate(folder):
    words = ["evaluate", folder, folder, "--workers", "2", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "medenh", *words, "--metrics", "niqe,ms-ssim"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    children: list[str] = []
    while len(children) < 2 and process.poll() is None:
        children = listed.read_text().split()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert json.loads(out)["code"] == "interrupted"
    until = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("times", [1, 2])
def test_a_large_output_that_is_being_written_leaves_nothing(tmp_path, times):
    """Threads of the writers may be inside native code, and are left to die."""
    script = """
import os, signal, sys, threading, time
from pathlib import Path
from medenh.cli.interrupt import interruptible
from medenh.formats.files import atomic_output

written = threading.Event()

def write():
    with atomic_output(Path(sys.argv[1]) / "large.tif") as part:
        part.write_bytes(b"half")
        written.set()
        time.sleep(60)

with interruptible() as stop:
    threading.Thread(target=write, name="medenh-write-0", daemon=True).start()
    written.wait()
    for _ in range(int(sys.argv[2])):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
    raise KeyboardInterrupt
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(times)],
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 130, ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_worker_forked_before_the_first_step_outlives_ctrl_c():
    script = """
import os, signal, threading, time
import typer
from medenh.cli.interrupt import interruptible

try:
    with interruptible(started=threading.Event()) as stop:
        worker = os.fork()
        if not worker:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            os._exit(7 if stop.is_set() else 8)
        print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))
        os.kill(os.getpid(), signal.SIGINT)
        print("was not interrupted")
except typer.Exit as ended:
    print(ended.exit_code)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.stdout == "7\n130\n", ended.stderr
