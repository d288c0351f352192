"""Replay of every recipe on every format, and Cofe-Net's parameters in and out."""

from __future__ import annotations

import json
import random
from itertools import cycle

import cv2
import numpy as np
import pytest
from degrade_folder import contents, make_folder
from skimage import data

from medenh.degradations import RECIPES
from medenh.errors import MedenhError, UsageError
from medenh.formats.discover import discover
from medenh.pipeline.degrade import degrade_files, plan_degrade
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.degrade_records import read_records

ONE = DegradeOptions(workers=1)


def below(record, name):
    """Return a record with its outputs in a folder."""

    def moved(entries):
        return tuple(e.model_copy(update={"name": f"{name}/{e.name}"}) for e in entries)

    return record.model_copy(
        update={
            "output": f"{name}/{record.output}",
            "more_outputs": moved(record.more_outputs),
            "references": moved(record.references),
        }
    )


def test_all_recipes_and_formats_replay_shuffled_in_two_processes(tmp_path):
    folder = make_folder(tmp_path / "in")
    items = cycle(discover([folder]).items)
    made, lines = tmp_path / "made", []
    for number, name in enumerate(sorted(RECIPES)):
        options = DegradeOptions(
            recipes=(name,), workers=1, seed=number, pairs=number % 4 == 0
        )
        paths = list(next(items).paths)
        assert not degrade_files(paths, made / name, options).failed
        records = made / name / "records.jsonl"
        lines += [below(one, name).to_json() for one in read_records(records)]
        records.unlink()
    random.Random(0).shuffle(lines)
    records = tmp_path / "shuffled.jsonl"
    records.write_text("\n".join(lines))
    again = tmp_path / "again"
    two = DegradeOptions(workers=2)
    # the files were named without their folders: they are found by content
    summary = degrade_files([folder], again, two, replay=records)
    assert not summary.failed
    expected = contents(made)
    found = contents(again)
    assert [json.loads(line) for line in found.pop("records.jsonl").splitlines()] == [
        json.loads(line) for line in lines
    ]
    assert found == expected


@pytest.fixture
def fundus(tmp_path):
    folder = tmp_path / "fundus"
    folder.mkdir()
    small = cv2.resize(data.retina(), (512, 512), interpolation=cv2.INTER_AREA)
    for name in ("x", "y"):
        cv2.imwrite(str(folder / f"{name}.png"), small[..., ::-1])
    return folder


def test_cofe_parameters_go_out_and_come_in(fundus, tmp_path):
    written = tmp_path / "json"
    options = DegradeOptions(
        recipes=("cofe-111",),
        recipe_options={"mode": "exact"},
        size=512,
        pairs=True,
        workers=1,
        write_legacy_json=written,
    )
    first = degrade_files([fundus], tmp_path / "first", options)
    assert not first.failed
    assert {path.name for path in written.iterdir()} == {"x.json", "y.json"}
    assert json.loads((written / "x.json").read_text())["type"] == "111"
    legacy = DegradeOptions(legacy_json=written, workers=1)
    clean, out = tmp_path / "first" / "high", tmp_path / "second"
    second = degrade_files([clean], out, legacy)
    assert not second.failed
    inside = np.hypot(*np.mgrid[-256:256, -256:256]) < 240  # the rim is found anew
    for name in ("x.png", "y.png"):
        low = cv2.imread(str(tmp_path / "first" / "low" / name)).astype(int)
        again = cv2.imread(str(out / name)).astype(int)
        assert np.abs(low - again)[inside].max() <= 1
    assert not degrade_files([clean], out, legacy).written
    replay = out / "records.jsonl"
    degrade_files([clean], tmp_path / "third", ONE, replay=replay)
    assert contents(tmp_path / "third") == contents(out)


def test_cofe_parameters_of_each_type_make_a_file_each(fundus, tmp_path):
    made = DegradeOptions(
        recipes=("cofe-011", "cofe-100"),
        recipe_options={"mode": "exact"},
        size=512,
        workers=1,
        write_legacy_json=tmp_path / "made",
    )
    degrade_files([fundus / "x.png"], tmp_path / "first", made)
    parameters = tmp_path / "json"  # named as the program names them
    parameters.mkdir()
    for path in (tmp_path / "made").iterdir():
        kind = json.loads(path.read_text())["type"]
        path.rename(parameters / f"x_{kind}.json")
    words = {"size": 512, "recipe_options": {"mode": "exact"}, "recipes": ("cofe-011",)}
    legacy = DegradeOptions(legacy_json=parameters, workers=1, **words)
    summary = degrade_files([fundus / "x.png"], tmp_path / "out", legacy)
    assert not summary.failed
    assert sorted(one.record.output for one in summary.written) == [
        "x_011.png",
        "x_100.png",
    ]
    assert {one.record.preset for one in summary.written} == {"cofe-011", "cofe-100"}
    for wrong in ({"mode": "scaled"}, {"severity": 2.0}, {"copies": 2}):
        options = {"recipe_options": wrong} if "mode" in wrong else wrong
        with pytest.raises(UsageError, match="do not go together"):
            degrade_files(
                [fundus / "x.png"],
                tmp_path / "out",
                DegradeOptions(legacy_json=parameters, workers=1, **options),
            )


def test_cofe_parameters_that_are_none_cost_their_file(fundus, tmp_path):
    parameters = tmp_path / "json"
    parameters.mkdir()
    (parameters / "x.json").write_text('{"nothing": 1}')
    legacy = DegradeOptions(legacy_json=parameters, workers=1)
    summary = degrade_files([fundus], tmp_path / "out", legacy)
    reasons = {f.path.name: f.reason for f in summary.failed}
    assert "not a Cofe-Net record" in reasons["x.png"]
    assert "no record of that name" in reasons["y.png"]
    one = DegradeOptions(legacy_json=parameters / "x.json", workers=1)
    with pytest.raises(UsageError, match="one image"):
        degrade_files([fundus], tmp_path / "out", one)
    both = DegradeOptions(legacy_json=parameters, recipes=("dpe",))
    with pytest.raises(UsageError, match="--recipe"):
        degrade_files([fundus], tmp_path / "out", both)


def test_records_that_cofe_cannot_say_are_refused_before_the_work(fundus, tmp_path):
    options = DegradeOptions(
        recipes=("cofe-111", "dpe"), workers=1, write_legacy_json=tmp_path / "json"
    )
    with pytest.raises(UsageError, match="no place for what dpe does"):
        degrade_files([fundus / "x.png"], tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_no_file_of_cofe_nets_is_promised_for_other_steps(fundus, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(
        'options = { mode = ["exact"] }\n[[steps]]\noperator = "cofe-blur"\n'
        '[[steps]]\none_of = [{ operator = "gaussian-noise" }, []]\n'
    )
    options = DegradeOptions(
        recipes=(str(own),), workers=1, write_legacy_json=tmp_path / "json"
    )
    with pytest.raises(UsageError, match=r"no place for what own.toml does"):
        degrade_files([fundus / "x.png"], tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_a_replay_under_other_names_is_the_records_and_is_made_once(tmp_path):
    folder = make_folder(tmp_path / "in")
    two = DegradeOptions(recipes=("gauss-0.1",), pairs=True, workers=1)
    degrade_files([folder], tmp_path / "made", two)
    out, records = tmp_path / "out", tmp_path / "made" / "records.jsonl"
    for name, made in contents(tmp_path / "made").items():
        if name != "records.jsonl":
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(made[:20])  # something else of that name
    rename = DegradeOptions(on_exists="rename", workers=1)
    first = degrade_files([folder], out, rename, replay=records)
    assert (first.failed, len(first.written)) == ([], 9)
    assert (out / "low" / "a-1.png").read_bytes() == (
        tmp_path / "made" / "low" / "a.png"
    ).read_bytes()
    before = contents(out)
    again = degrade_files([folder], out, rename, replay=records)
    assert (again.failed, again.written) == ([], [])
    assert contents(out) == before


@pytest.mark.parametrize("fault", ["changed", "damaged", "no picture", "missing"])
def test_a_file_that_is_not_the_records_is_told_once_and_all_of_its_pictures_counted(
    tmp_path, fault
):
    folder = tmp_path / "in"
    folder.mkdir()
    grey = np.arange(900, dtype=np.uint8).reshape(30, 30)
    for name in ("a", "b"):
        cv2.imwrite(str(folder / f"{name}.png"), grey + ord(name))
    two = DegradeOptions(recipes=("gauss-0.1", "defocus"), copies=2, workers=1)
    assert degrade_files([folder], tmp_path / "made", two).not_made == 0
    path = folder / "a.png"
    whole = path.read_bytes()
    path.unlink()
    if fault == "changed":
        cv2.imwrite(str(path), grey)
    elif fault == "damaged":
        path.write_bytes(whole[:-30])
    elif fault == "no picture":
        path.write_bytes(b"text")
    records = tmp_path / "made" / "records.jsonl"
    summary = degrade_files([folder], tmp_path / "again", ONE, replay=records)
    assert [one.path.name for one in summary.failed] == ["a.png"]
    assert (len(summary.written), summary.not_made) == (4, 4)
    assert summary.to_json()["not_made"] == 4
    plan = plan_degrade([folder], tmp_path / "third", ONE, replay=records)
    unseen = fault in ("no picture", "missing")  # before pixels are read
    assert (len(plan.failed), plan.not_made) == ((1, 4) if unseen else (0, 0))
    if fault in ("damaged", "no picture"):
        summary = degrade_files([folder], tmp_path / "anew", two)
        assert (len(summary.failed), summary.not_made) == (1, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"output": "../stolen.png"},
        {"output": "sub/../../stolen.png"},
        {"output": "{root}/stolen.png"},
        {"references": [{"name": "../stolen.png", "sha256": "0" * 64}]},
        {"more_outputs": [{"name": "../stolen.png", "sha256": "0" * 64}]},
        {"output": "link/stolen.png"},
        {"output": "records.jsonl"},
        {"output": ".medenh-degrade.jsonl"},
        {"format": "exe"},
        {"steps": [{"op": "__import__", "params": {}}]},
        {"source": "../secret.png", "source_sha256": "0" * 64},
    ],
    ids=lambda changes: "-".join(map(str, changes)),
)
def test_records_of_a_stranger_write_nothing_outside(tmp_path, changes):
    first, out, outside = tmp_path / "first", tmp_path / "out", tmp_path / "outside"
    cv2.imwrite(str(tmp_path / "a.png"), np.arange(900, dtype=np.uint8).reshape(30, 30))
    one = DegradeOptions(recipes=("gauss-0.1",), workers=1)
    degrade_files([tmp_path / "a.png"], first, one)
    record = json.loads((first / "records.jsonl").read_text().splitlines()[0])
    text = json.dumps(record | changes).replace("{root}", str(outside))
    (tmp_path / "hostile.jsonl").write_text(text + "\n")
    out.mkdir(), outside.mkdir()
    (out / "link").symlink_to(outside)
    before = sorted(tmp_path.rglob("*"))
    hostile = tmp_path / "hostile.jsonl"
    summary = degrade_files([tmp_path / "a.png"], out, ONE, replay=hostile)
    assert len(summary.failed) == 1
    assert isinstance(summary.failed[0].error, MedenhError)
    assert sorted(tmp_path.rglob("*")) == before
