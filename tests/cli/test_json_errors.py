"""With --json stdout is one JSON document, whatever goes wrong and wherever."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medenh import formats
from medenh.cli import doctor as doctor_module
from medenh.cli.main import main
from medenh.errors import NothingReadableError, UsageError
from medenh.pipeline import files
from medenh.zoo.manifest import resolve


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command beside `eye.png`; exit code, and the document on stdout."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    formats.write(noise, tmp_path / "eye.png")
    (tmp_path / "file").write_text("in the way")

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, err = capsys.readouterr()
        assert err
        return ended.value.code, json.loads(out)

    return run


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        ("", 2, "usage"),
        ("nosuch", 2, "usage"),
        ("enhance", 2, "usage"),
        ("enhance eye.png --precision fp8", 2, "usage"),
        ("enhance eye.png --on-exists maybe", 2, "usage"),
        ("enhance eye.png --strength 2", 2, "usage"),
        ("enhance eye.png --strength much", 2, "usage"),
        ("enhance eye.png --format gif", 2, "usage"),
        ("enhance eye.png --engine onnx", 2, "usage"),
        ("enhance eye.png --tile huge", 2, "usage"),
        ("enhance eye.png --batch 0", 2, "usage"),
        ("enhance eye.png --axis 7", 2, "usage"),
        ("enhance eye.png --shard 3/2", 2, "usage"),
        ("enhance eye.png --modality art", 2, "usage"),
        ("enhance eye.png --deidentify full", 2, "usage"),
        ("enhance eye.png --nosuch", 2, "usage"),
        ("enhance eye.png -m clahee", 2, "usage"),
        ("enhance eye.png -m clahee --dry-run", 2, "usage"),
        ("evaluate eye.png eye.png --workers 0", 2, "usage"),
        ("evaluate eye.png eye.png --region lung", 2, "usage"),
        ("degrade eye.png -o out --recipe gauss-0.1 --severity 9", 2, "usage"),
        ("degrade eye.png -o out --recipe nosuch", 2, "usage"),
        ("models nosuch", 2, "usage"),
        ("models show nosuch", 2, "usage"),
        ("models verify nosuch", 2, "usage"),
        ("models download nosuch", 2, "usage"),
        ("models download", 2, "usage"),
        ("models cite clahe", 2, "usage"),  # it has no --json
        ("inspect nope.png", 3, "unreadable"),
        ("inspect file", 3, "unreadable"),
        ("demo -o file/out", 1, "output"),
    ],
)
def test_an_error_is_the_document(run, words, code, kind):
    got, document = run(*words.split(), "--json")
    assert (got, document["code"]) == (code, kind)
    assert document["error"]
    assert list(document)[-2:] == ["error", "code"]


def test_a_fault_of_medenh_is_the_document_too(run, monkeypatch):
    def fail():
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(doctor_module, "examine", fail)
    code, document = run("doctor", "--json")
    assert (code, document["code"]) == (1, "error")
    assert "ZeroDivisionError: oh" in document["error"]


def test_a_traceback_comes_beside_the_document(capsys):
    with pytest.raises(NothingReadableError, match="does not exist"):
        main(["inspect", "/nope.png", "--json", "--debug"])
    assert json.loads(capsys.readouterr().out)["code"] == "unreadable"


def test_what_stands_behind_two_dashes_is_a_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["inspect", "a.png", "--", "--json"])
    out, err = capsys.readouterr()
    assert out == ""
    assert "--json: does not exist" in err


def test_names_far_from_all_others_suggest_none():
    with pytest.raises(UsageError) as caught:
        resolve("nosuch")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(("words", "code"), [("nope file", 3), ("nope eye.png", 1)])
def test_inspect_of_several_follows_the_table_of_codes(run, words, code):
    got, documents = run("inspect", *words.split(), "--json")
    assert (got, len(documents)) == (code, 2)
    assert documents[0]["code"] == "unreadable"


def test_a_document_says_what_the_exit_code_says(run, monkeypatch):
    """A library that finds no room when it is loaded raises an error of its own."""

    def fail(*_, **__):
        raise ImportError("lib.so: failed to map segment from shared object")

    monkeypatch.setattr(files, "enhance_files", fail)
    code, document = run("enhance", "eye.png", "--json")
    assert (code, document["code"]) == (5, "out-of-memory")
    assert "out of memory" in document["error"]
