"""What start-up loads, and how the command ends: codes, one line, no traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from one_verb import run_verb

from medenh import errors
from medenh.cli import main as main_module

HEAVY = {
    "torch",
    "numpy",
    "cv2",
    "pydicom",
    "nibabel",
    "scipy",
    "skimage",
    "matplotlib",
    "PIL",
    "pooch",
    "requests",
    "safetensors",
    "tifffile",
    "openvino",
}

_REPORT_MODULES = """
import json, sys
from medenh.cli.main import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write("MODULES" + json.dumps(sorted(sys.modules)))
"""


_REPORT_THREADS = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            sys.stderr.write("THREADS" + os.environ.get("OPENBLAS_NUM_THREADS", "-"))
            sys.meta_path.remove(self)
sys.meta_path.insert(0, Watch())
from medenh.cli.main import main
main(sys.argv[1:])
"""


def modules_after(words, tmp_path):
    """Run a command line that succeeds; return what it said and what it imported."""
    done = subprocess.run(
        [sys.executable, "-c", _REPORT_MODULES, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "MEDENH_CACHE": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, set(json.loads(done.stderr.split("MODULES")[1]))


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("models", "list"),
        ("models", "list", "--json"),
        ("models", "show", "clahe"),
        *((verb, "--help") for verb in main_module.VERBS),
    ],
)
def test_start_up_imports_nothing_heavy(words, tmp_path):
    said, modules = modules_after(words, tmp_path)
    assert said
    assert "medenh.cli.main" in modules
    assert modules & HEAVY == set()


def test_a_png_is_enhanced_without_the_readers_of_other_formats(tmp_path):
    source = tmp_path / "a.png"
    cv2.imwrite(str(source), np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
    words = ["enhance", str(source), "-o", str(tmp_path / "b.png"), "-m", "clahe"]
    _, modules = modules_after(words, tmp_path)
    assert modules & {"pydicom", "nibabel", "torch", "tifffile", "requests"} == set()


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "no.png", "no.png", "--csv", "figures.csv"),
        ("models", "publish", "no"),
        ("models", "remeasure", "no"),
    ],
)
def test_what_measures_lets_numpy_sum_in_one_thread(words, tmp_path):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    env.pop("OPENBLAS_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", _REPORT_THREADS, *words],
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
        check=False,
    )
    assert "THREADS1" in done.stderr


def medenh(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "medenh", *words],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_version_is_one_line():
    from medenh import __version__

    assert medenh("--version").stdout == f"medenh {__version__}\n"


def test_wrong_usage_is_2():
    for words in (["nonsense"], ["models", "list", "--nonsense"], ["models", "show"]):
        done = medenh(*words)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "Traceback" not in done.stderr


def end_of(monkeypatch, capsys, error, *words):
    """Run a command line whose only verb raises ``error``."""

    def fail():
        raise error

    code = run_verb(monkeypatch, "fail", fail, *words, "fail")
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("wrong"), 2),
        (errors.NothingReadableError("wrong"), 3),
        (errors.WeightsError("wrong"), 4),
        (errors.OutOfMemoryError("wrong"), 5),
        (MemoryError(), 5),
        (ImportError("a.so: failed to map segment from shared object"), 5),
        (errors.RefusedError("wrong"), 6),
        (errors.UnreadableError("wrong"), 1),
        (errors.OutputError("wrong", path="x", hint="move"), 1),
        (ValueError("a fault"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
    ],
)
def test_every_error_has_its_code_and_one_line(monkeypatch, capfd, error, code):
    # capfd: a closed pipe makes the command point stdout's descriptor elsewhere
    keep = os.dup(1)
    try:
        ended, err = end_of(monkeypatch, capfd, error)
    finally:
        os.dup2(keep, 1)
        os.close(keep)
    assert ended == code
    assert "Traceback" not in err
    if code != 141:
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_error_line_says_what_where_and_what_to_do(monkeypatch, capsys):
    error = errors.OutputError("cannot be written", path="out.png", hint="free space")
    _, err = end_of(monkeypatch, capsys, error)
    assert err == "error: out.png: cannot be written (free space)\n"


def test_debug_shows_where(monkeypatch):
    with pytest.raises(errors.WeightsError):
        end_of(monkeypatch, None, errors.WeightsError("wrong"), "--debug")


def test_debug_may_stand_anywhere_before_the_end_of_options():
    assert main_module._take_debug(["a", "--debug", "b"]) == (["a", "b"], True)
    assert main_module._take_debug(["a", "--", "--debug"]) == (
        ["a", "--", "--debug"],
        False,
    )
    done = medenh("models", "show", "nonsense", "--debug")
    assert "Traceback" in done.stderr


def test_closed_pipe_ends_quietly(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-m", "medenh", "models", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.stdout.close()
    err = child.stderr.read()
    assert child.wait(30) == 141
    assert err == b""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupted_is_130(tmp_path):
    """Ctrl-C while a download waits for its server, which never answers."""
    import socket

    from medenh.zoo.manifest import SCHEMA, load_manifest

    entry = load_manifest().get("identity").to_dict()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(30)
        entry |= {
            "id": "toy",
            "architecture": "dpe",
            "method": None,
            "data": [{"name": "a", "terms": "b", "images": 1}],
            "weights": {
                "file": "toy.safetensors",
                "size_bytes": 10,
                "sha256": "0" * 64,
                "urls": [f"http://127.0.0.1:{server.getsockname()[1]}/"],
            },
        }
        manifest = tmp_path / "extra.json"
        manifest.write_text(json.dumps({"schema": SCHEMA, "models": [entry]}))
        cache = tmp_path / "cache"
        names = {"MEDENH_MANIFEST": str(manifest), "MEDENH_CACHE": str(cache)}
        child = subprocess.Popen(
            [sys.executable, "-m", "medenh", "models", "download", "toy"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **names, "MEDENH_OFFLINE": "", "no_proxy": "*"},
        )
        connection, _ = server.accept()
        start = time.monotonic()
        child.send_signal(signal.SIGINT)
        err = child.stderr.read()
        assert child.wait(30) == 130
        assert time.monotonic() - start < 5
        connection.close()
    assert err == b"error: interrupted\n"
    left = [p.name for p in (cache / "weights").iterdir()]
    assert all(name.startswith(".") for name in left), left


def test_shells_complete_verbs_and_options():
    """By the script that `medenh --install-completion` puts into the shell's start."""
    names = {"COMP_CWORD": "2", "_MEDENH_COMPLETE": "complete_bash"}
    for words, found in (
        ("medenh models ver", "verify"),
        ("medenh demo --se", "--seed"),
    ):
        done = medenh(env={**os.environ, **names, "COMP_WORDS": words})
        assert done.stdout.split() == [found]
    script = medenh(env={**os.environ, "_MEDENH_COMPLETE": "source_zsh"})
    assert "#compdef medenh" in script.stdout.splitlines()
