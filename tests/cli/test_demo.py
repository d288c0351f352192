from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

import medenh.reports.demo as demo_module
from medenh.cli.demo import register
from medenh.errors import UsageError
from medenh.reports.samples import SAMPLES

CLASSICAL = ("identity", "clahe")


@pytest.fixture
def invoke(monkeypatch):
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    small = [sample for sample in SAMPLES if sample.package == "pydicom"]
    quick = partial(demo_module.run_demo, models=CLASSICAL, samples=small)
    monkeypatch.setattr(demo_module, "run_demo", quick)
    return lambda *words: CliRunner().invoke(app, ["demo", *map(str, words)])


def test_prints_a_row_a_model_and_the_page(invoke, tmp_path):
    answer = invoke("-o", tmp_path)
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    for model in CLASSICAL:
        assert sum(line.strip().startswith(model) for line in lines) == 1
    assert f"Page: {tmp_path / 'index.html'}" in lines
    assert (tmp_path / "index.html").is_file()


def test_the_models_behind_the_trained_row_are_data(monkeypatch):
    trained = {"ct": "denoise-ct", "mr": "denoise-mri"}
    result = SimpleNamespace(trained=trained, records=trained, page="p", scores={})
    monkeypatch.setattr(demo_module, "run_demo", lambda *_, **__: result)
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    answer = CliRunner().invoke(app, ["demo", "-q"])
    assert "trained: denoise-ct (ct), denoise-mri (mr)" in answer.stdout.splitlines()


def test_json_is_alone_on_stdout(invoke, tmp_path):
    answer = invoke("-o", tmp_path, "--json", "--seed", 2)
    document = json.loads(answer.stdout)
    assert document["seed"] == 2
    assert set(document["rows"]) == set(CLASSICAL)


def test_quiet_leaves_the_data_and_nothing_else(invoke, tmp_path):
    answer = invoke("-o", tmp_path, "-q")
    assert answer.exit_code == 0
    assert answer.stderr == ""
    assert "identity" in answer.stdout


def test_negative_seed_is_wrong_usage(invoke, tmp_path):
    answer = invoke("-o", tmp_path, "--seed", "-1")
    assert isinstance(answer.exception, UsageError)
    assert list(tmp_path.iterdir()) == []
