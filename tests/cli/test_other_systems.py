"""What would break on Windows, as far as Linux can tell."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from medenh.cli import streams

TESTS = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="open files are told by /proc"
)


@pytest.fixture(autouse=True)
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "\u017b\u00f3\u0142\u0107.png"):
        pixels = rng.integers(0, 255, (96, 80, 3), np.uint8)
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return tmp_path / "in"


@pytest.fixture
def run(tmp_path):
    """Run the command as on Windows; return what it says, if nothing was amiss."""
    notes = tmp_path / "notes"

    def on_windows(*words, code=0):
        more = {
            "PYTHONPATH": f"{TESTS / 'windows_like'}{os.pathsep}{TESTS.parent}",
            "WINDOWS_LIKE": str(notes),
            "MEDENH_CACHE": str(tmp_path / "cache"),
            "PYTHONIOENCODING": "cp1252",
            "PYTHONWARNDEFAULTENCODING": "1",
        }
        ended = subprocess.run(
            [sys.executable, "-m", "medenh", *words],
            cwd=tmp_path,
            env=os.environ | more,
            capture_output=True,
            check=False,
        )
        said = ended.stderr.decode("cp1252") + ended.stdout.decode("cp1252")
        assert ended.returncode == code, said
        assert not notes.exists(), notes.read_text()
        return said

    return on_windows


def test_enhance_where_open_files_cannot_be_renamed(pictures, run):
    out = pictures.parent / "out"
    out.mkdir()
    left = out / ".a.png.012345678901.medenh-part"
    left.write_bytes(b"of a run that was killed")
    # no shell of Windows fills in the names
    run("enhance", "in/*.p?g", "-o", "out", "-m", "fast-general", "--report", "p.html")
    assert {p.name for p in out.glob("*.png")} == {p.name for p in pictures.iterdir()}
    assert not left.exists()
    kept = list((pictures.parent / "cache").rglob("*.xml"))
    assert bool(kept) == (find_spec("openvino") is not None)


def test_degrade_where_open_files_cannot_be_renamed(run):
    words = ["degrade", "in", "-o", "out", "--recipe", "dpe", "--pairs"]
    assert "3 written" in run(*words, "--workers", "2")
    assert "3 skipped" in run(*words)
    run("evaluate", "out/low", "out/high", "--csv", "figures.csv", "--report", "e.html")


def test_train_where_open_files_cannot_be_renamed(pictures, run):
    sweep = pictures.parent / "sweep.toml"
    changes = [
        "data.packs=[]",
        "data.high=in",
        "data.size=32",
        "data.max_side=64",
        "data.holdout_share=0.4",
        "network.preset=tiny",
        "precision=fp32",
        "batch=1",
        "steps=1",
        "condition_batch=0",
        "validate_every=1",
        "optimiser.warmup_steps=1",
    ]
    # a letter that cp1252 lacks
    lines = [
        'name = "letters"',
        'config = "dpe-general"',
        f"changes = {changes}",
        "seeds = [0]",
        'figures = ["psnr"]',
        '[variants]\n"\u03bb" = []\ncon = []\n"com1.5" = []\n".." = []',
    ]
    sweep.write_text("\n".join(lines), encoding="utf-8")
    run("train", "--sweep", "sweep.toml", "-o", "runs", "--max-minutes", "1")
    found = (pictures.parent / "runs").glob("*/seed-0/best.safetensors")
    folders = {weights.parents[1].name for weights in found}
    assert folders == {"\u03bb", "con-", "com1-.5", "--"}
    table = (pictures.parent / "runs" / "runs.csv").read_text("utf-8")
    assert "\u03bb,0,1,1" in table


def test_a_folder_in_use_is_refused_where_locks_are_those_of_windows(pictures, run):
    (pictures.parent / "out").mkdir()
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from medenh.formats.files import open_alone\n"
        "open_alone(Path('out/.medenh-degrade.jsonl'))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=pictures.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"ready\n"
        said = run("degrade", "in", "-o", "out", "--recipe", "dpe", code=1)
        other.stdin.close()
    assert "another run writes into this folder" in said


def test_a_closed_pipe_of_windows_is_no_fault(monkeypatch, pictures):
    """There it is told as an invalid argument: `medenh models list | more`."""

    class Closed(io.FileIO):
        def write(self, data):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    windows = {name: getattr(os, name) for name in ("open", "dup2", "close", "devnull")}
    windows |= {"name": "nt", "O_WRONLY": os.O_WRONLY}
    monkeypatch.setattr(streams, "os", SimpleNamespace(**windows))
    place = pictures.parent / "pipe"
    pipe = io.TextIOWrapper(io.BufferedWriter(Closed(place, "w")), "utf-8")
    out = streams._Output(pipe)
    out.write("data\n")
    with pytest.raises(SystemExit) as ended:
        out.flush()
    assert ended.value.code == streams.PIPE_CLOSED
