"""Standard streams that are closed, full, of few characters, or not wanted at all."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from one_verb import run_verb

from medenh import formats
from medenh.cli import options
from medenh.cli.console import one_line, to_json, warn_once

pytestmark = pytest.mark.skipif(os.name == "nt", reason="streams of POSIX")
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
FULL = "error: standard output cannot be written: no space left on device\n"
ENCODINGS = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture
def shell(tmp_path):
    """Run a line of a shell beside two folders of pictures."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        noise = rng.integers(0, 90, (40, 50, 3), np.uint8)
        formats.write(noise, tmp_path / name / "eye.png")

    def shell(line, **names):
        done = subprocess.run(
            ["sh", "-c", line.replace("medenh", f"{sys.executable} -m medenh", 1)],
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": "", **names},
            timeout=120,
        )
        for said in (done.stdout, done.stderr):
            assert b"Traceback" not in said
            assert b"fault in medenh" not in said
            assert b"Exception ignored" not in said
        return done.returncode, done.stdout, done.stderr.decode()

    return shell


ALL_CLOSED = "<&- >&- 2>&-"
ENHANCE = "medenh enhance a/eye.png -m clahe"


@pytest.mark.parametrize("closed", ["2>&-", "-q >&-", ALL_CLOSED])
def test_closed_streams_cost_no_output(shell, tmp_path, closed):
    assert shell(f"{ENHANCE} -o whole.png")[0] == 0
    assert shell(f"{ENHANCE} -o z.png {closed}")[0] == 0
    assert (tmp_path / "z.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


@pytest.mark.parametrize(
    ("line", "code", "made"),
    [
        ("degrade a -o out --recipe gauss-0.1 --modality xray", 0, "out/eye.png"),
        ("evaluate a b --csv out.csv", 0, "out.csv"),
        ("enhance nope", 3, None),
        ("models list", 0, None),
        ("models list --json", 0, None),
        ("--help", 0, None),
    ],
)
def test_closed_streams_change_no_exit_code(shell, tmp_path, line, code, made):
    assert shell(f"medenh {line} {ALL_CLOSED}") == (code, b"", "")
    assert made is None or (tmp_path / made).stat().st_size > 0


@full
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("models list", 1),
        ("models list --json", 1),
        ("evaluate a b -q", 1),
        ("evaluate a b -q --json", 1),
        ("--help", 1),
        ("--version", 1),
        ("enhance nope -q --json", 3),
    ],
)
def test_a_full_stdout_is_one_sentence(shell, line, code):
    before = "failed: nope: does not exist\n" if "nope" in line else ""
    got = shell(f"medenh {line} >/dev/full")
    assert got == (code, b"", before + FULL)


@full
@pytest.mark.parametrize("line", ["--version", "models list"])
def test_a_full_stdout_is_one_sentence_without_a_buffer(shell, line):
    got = shell(f"medenh {line} >/dev/full", PYTHONUNBUFFERED="1")
    assert got == (1, b"", FULL)


@full
def test_a_full_stderr_costs_no_output(shell, tmp_path):
    assert shell(f"{ENHANCE} -o z.png 2>/dev/full") == (0, b"", "")
    assert (tmp_path / "z.png").exists()


@pytest.mark.parametrize("line", ["--help", "--version", "enhance --help"])
def test_a_reader_that_went_away_is_141(line):
    command = [sys.executable, "-m", "medenh", *line.split()]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdout=pipe, stderr=pipe)
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(30) == 141


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_encoding_ends_the_run(shell, encoding):
    code, out, err = shell("medenh evaluate a b -q", **ENCODINGS[encoding])
    assert (code, err) == (0, "")
    assert b"psnr, dB (higher is better)" in out


def test_arrows_where_they_can_be_written(shell):
    code, out, _ = shell("medenh evaluate a b", PYTHONIOENCODING="utf-8")
    assert code == 0
    assert "psnr, dB \N{UPWARDS ARROW}" in out.decode()


@pytest.mark.parametrize("encoding", ["utf-8", *ENCODINGS])
def test_json_is_valid_in_every_encoding(shell, tmp_path, encoding):
    names = [
        "\N{GREEK SMALL LETTER ALPHA}\N{GRINNING FACE}.png".encode(),
        b"caf\xe9.png",
    ]
    picture = tmp_path / "a" / "eye.png"
    try:
        for name in names:
            os.link(picture, os.fsencode(tmp_path / "a") + b"/" + name)
    except OSError:
        pytest.skip("the file system takes Unicode only")
    asked = ENCODINGS.get(encoding, {"PYTHONIOENCODING": encoding})
    code, out, _ = shell("medenh inspect a/* --json", **asked)
    assert code == 0
    paths = {entry["path"] for entry in json.loads(out.decode())}  # which is UTF-8
    assert paths == {"a/eye.png", f"a/{names[0].decode()}", r"a/caf\xe9.png"}
    code, out, _ = shell("medenh inspect a/*", **asked)
    assert code == 0
    assert rb"a/caf\xe9.png" in out


def test_halves_of_characters_are_spelled_too():
    assert to_json(["\ud83d.png"]) == '[\n  "\\\\ud83d.png"\n]'
    assert one_line("\ud83d\n\udcff") == r"\ud83d \udcff"


def test_quiet_says_nothing_but_errors(shell, tmp_path):
    """Neither of a home that cannot be written, nor of files without partner."""
    home = {"HOME": "/proc/nobody", "MEDENH_CACHE": "", "XDG_CACHE_HOME": ""}
    (tmp_path / "b" / "alone.png").write_bytes((tmp_path / "b/eye.png").read_bytes())
    told = shell("medenh evaluate a b", **home)
    assert "warning: 1 of reference without partner: alone.png" in told[2]
    code, _, err = shell("medenh evaluate a b -q --report page.html", **home)
    assert (code, err) == (0, "")
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize(("words", "said"), [([], "warning: spare\n"), (["-q"], "")])
def test_quiet_silences_what_the_library_logs(monkeypatch, capsys, words, said):
    def speak(quiet: options.Quiet = False):
        logging.getLogger("medenh.zoo.cache").warning("spare")

    code = run_verb(monkeypatch, "speak", speak, "speak", *words)
    assert (code, capsys.readouterr().err) == (0, said)


def test_warnings_that_differ_in_numbers_only_are_one(capsys):
    warn_once(
        [
            ("1.png", "looks like no picture (0.84), for x2 and CT-1"),
            ("2.png", "looks like no picture (0.7), for x2 and CT-1"),
            ("3.png", "looks like no picture (0.84), for x4 and CT-1"),
            ("4.png", "looks like no picture (0.84), for x4 and CT-1"),
            ("5.png", "looks like no picture (0.84), for x4 and CT-2"),
        ]
    )
    assert capsys.readouterr().err.splitlines() == [
        "warning: 1.png and 1 more (figures differ): "
        "looks like no picture (0.84), for x2 and CT-1",
        "warning: 3.png and 1 more: looks like no picture (0.84), for x4 and CT-1",
        "warning: 5.png: looks like no picture (0.84), for x4 and CT-2",
    ]
    warn_once([("a", "-160 to 2e-05 HU"), ("b", "40 to 7 HU"), ("c", "-160 to -1 HU")])
    assert capsys.readouterr().err.splitlines() == [
        "warning: a and 2 more (figures differ): -160 to 2e-05 HU"
    ]
