"""`medenh evaluate` as people and programs meet it: words, exit codes, files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import medenh
from medenh import formats
from medenh.cli.evaluate_tables import write_tables
from medenh.cli.main import main
from medenh.reports.score_tables import mean_table
from medenh.reports.tables import p_text


@pytest.fixture
def folders(tmp_path):
    """Clean pictures, worse ones (enhanced) and bad ones (low), of equal names."""
    rng = np.random.default_rng(0)
    for name, noise in (("clean", 0), ("enhanced", 5), ("low", 20)):
        (tmp_path / name).mkdir()
        for index in range(4):
            clean = np.tile(np.arange(40, 200, 4, np.uint8), (40, 1)) + np.uint8(index)
            moved = clean + rng.normal(0, noise, clean.shape)
            pixels = np.clip(moved, 0, 255).astype(np.uint8)
            formats.write(pixels, tmp_path / name / f"p{index}.png")
    return tmp_path


@pytest.fixture
def run(folders, monkeypatch, capsys):
    """Run the command in the folder of the pictures; exit code, stdout, stderr."""
    monkeypatch.chdir(folders)

    def call(*words):
        monkeypatch.setattr("sys.argv", ["medenh", "evaluate", *words])
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *words])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


def test_page_json_and_csv_hold_the_same_figures(run, folders):
    code, out, err = run(
        "enhanced", "clean", "--baseline", "low", "--report", "r/a.html", "--json"
    )
    assert code == 0
    document = json.loads(out)
    assert document["pairs"] == 4
    assert json.loads((folders / "r/a.json").read_text()) == document
    assert document["settings"]["command"][:3] == ["medenh", "evaluate", "enhanced"]
    with (folders / "r/a.csv").open() as handle:
        rows = [row for row in csv.DictReader(handle) if row["row"] == "low"]
    per_file = document["baselines"]["low"]["psnr"]["per_file"]
    assert {row["file"]: float(row["psnr"]) for row in rows} == per_file
    assert err == "written: r/a.html, r/a.json, r/a.csv\n"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--json"], "name what to judge"),
        (["enhanced", "clean", "--models", "clahe"], "without --protocol"),
        (["enhanced", "--protocol", "dpe"], "with --protocol"),
        (["enhanced", "clean", "--labels", "x.csv"], "give --task NAME"),
        (["enhanced", "clean", "--masks", "low"], "give --region mask"),
        (["enhanced", "clean", "--task", "lung-xray"], "needs answers"),
        (["enhanced", "clean", "--task", "no"], "unknown task 'no'"),
        (["enhanced", "--metrics", "psnr"], "compares with a reference"),
        (["--protocol", "no", "--data", "clean"], "no protocol named 'no'"),
        (["--protocol", "dpe", "--data", "clean", "--models", "no"], "unknown model"),
    ],
)
def test_wrong_usage_is_two_and_one_line(run, words, what):
    code, out, err = run(*words)
    assert code == 2
    assert what in err
    assert err.count("\n") == 1
    if "--json" in words:
        assert json.loads(out)["code"] == "usage"


def test_nothing_measured_is_three(run, folders):
    formats.write(np.full((40, 40), np.nan, np.float32), folders / "nan.tif")
    formats.write(np.zeros((8, 8), np.uint8), folders / "small.png")
    for bad, word in (("nan.tif", "NaN"), ("small.png", "8 x 8")):
        code, out, err = run(bad, "clean/p0.png")
        assert code == 3
        assert word in err
        assert "nothing could be measured" in out
    (folders / "none").mkdir()
    assert run("none", "clean")[0] == run("nowhere", "clean")[0] == 3


def test_some_failed_is_one_and_damaged_files_are_counted_once(run, folders):
    (folders / "enhanced/p0.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    (folders / "enhanced/p1.png").unlink()
    code, out, err = run("enhanced", "clean")
    assert code == 1
    assert "n = 2," in out
    lines = err.splitlines()
    assert sum("p0.png" in line for line in lines) == 1
    assert "warning: 1 of reference without partner: p1.png" in lines


def test_summary_has_the_means_of_the_document(run, folders):
    places = ("--csv", "a.csv", "--summary", "means.csv")
    code, out, err = run("enhanced", "clean", "--baseline", "low", *places, "--json")
    assert code == 0
    assert err == "written: a.csv, means.csv\n"
    document = json.loads(out)
    with (folders / "means.csv").open() as handle:
        enhanced, low = csv.DictReader(handle)
    assert (enhanced["row"], low["row"]) == ("enhanced", "low")
    assert {one["files"] for one in (enhanced, low)} == {"4"}
    for row, found in ((enhanced, document["metrics"]), (low, document["baselines"])):
        for metric in ("psnr", "ssim", "de2000"):
            figures = found.get("low", found)[metric]
            assert float(row[metric]) == pytest.approx(figures["mean"])
            ends = [float(row[f"{metric}.{end}"]) for end in ("low", "high")]
            assert ends == pytest.approx(figures["ci95"])
            assert int(row[f"{metric}.n"]) == figures["n"]
    for name in ("means.csv", "means.tex", "means.tex"):  # the older one is replaced
        assert run("enhanced", "low", "--summary", name)[0] == 0
    (folders / "a.tex").write_bytes((folders / "means.csv").read_bytes())
    for name in ("a.csv", "a.tex"):
        assert "not an earlier report" in run("enhanced", "low", "--summary", name)[2]


@pytest.mark.parametrize("places", [["--report", "a.html"], ["--csv", "a.csv"]])
def test_a_second_run_replaces_its_own_files_and_no_others(run, folders, places):
    assert run("enhanced", "clean", *places)[0] == 0
    before = (folders / "a.csv").read_text()
    assert run("enhanced", "low", *places)[0] == 0
    assert (folders / "a.csv").read_text() != before
    others = {"a.csv": "file,label\np0,benign\n"}
    if "--report" in places:
        others |= {"a.html": "<p>notes</p>", "a.json": '{"files": 3}'}
    for name, words in others.items():
        kept = (folders / name).read_text()
        (folders / name).write_text(words)
        code, _, err = run("enhanced", "clean", *places)
        assert (code, (folders / name).read_text()) == (2, words)
        assert f"{name} is not an earlier report" in err
        (folders / name).write_text(kept)


def test_one_pair_says_that_it_is_one(run):
    code, out, err = run("enhanced/p0.png", "clean/p0.png", "--baseline", "low/p0.png")
    assert code == 0
    assert "one file only" in err
    assert "[" not in out


def test_what_a_folder_holds_beside_pictures_is_told_once_but_for_quiet(run, folders):
    for name in ("a.csv", "b.csv", "c.zip"):
        (folders / "clean" / name).write_text("none")
    told = "warning: clean: passed over: 2 .csv, 1 .zip"
    pairs, protocol = ("enhanced", "clean"), ("--protocol", "dpe", "--data", "clean")
    for words in (pairs, protocol):
        code, out, err = run(*words, "--json")
        assert code == 0
        assert err.splitlines().count(told) == 1
        assert json.loads(out)["passed_over"] == {".csv": 2, ".zip": 1}
    for again in ("./clean", "low/../clean"):
        twice = (*pairs, "--baseline", again, "--json")
        assert json.loads(run(*twice)[1])["passed_over"] == {".csv": 2, ".zip": 1}
    assert run(*pairs)[2].splitlines().count(told) == 1
    assert run(*pairs, "--quiet")[2] == ""
    for path in (folders / "clean").glob("*.png"):
        path.unlink()
    assert run(*pairs)[2].count("passed over") == 1


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--csv", "clean/p0.png"], "this is a table (name it p0.csv)"),
        (["--report", "clean/p0.png"], "this is a page (name it p0.html)"),
        (["--report", "a.csv"], "written twice"),
        (["--report", "a.html", "--csv", "a.json"], "written twice"),
        (["--csv", "b.csv", "--summary", "b.csv"], "written twice"),
        (["--summary", "clean/p0.png"], "this is a table (name it p0.csv)"),
        (["--report", "clean"], "is a folder"),
        (["--report", "-"], "do not go through a pipe"),
        (["--csv", "-"], "do not go through a pipe"),
    ],
)
def test_outputs_replace_no_picture_and_not_each_other(run, folders, words, what):
    before = (folders / "clean/p0.png").read_bytes()
    code, out, err = run("enhanced", "clean", *words)
    assert code in (1, 2)
    assert what in err
    assert out == ""
    assert (folders / "clean/p0.png").read_bytes() == before
    assert not (folders / "-").exists()


def test_csv_beside_the_page_does_not_replace_the_labels(run, folders):
    (folders / "a.csv").write_text("file,label\np0,benign\np1,malignant\n")
    task = ("--task", "class-derm", "--labels", "a.csv")
    code, _, err = run("enhanced", "clean", *task, "--report", "a.html")
    assert code == 2
    assert "is an input" in err
    assert (folders / "a.csv").read_text().startswith("file,label")


@pytest.mark.parametrize("words", [("enhanced", "clean"), ("--protocol", "gauss-0.1")])
def test_labels_that_lie_among_the_pictures_are_not_passed_over(run, folders, words):
    text = "file,label\np0,benign\np1,malignant\np2,benign\np3,malignant\n"
    (folders / "clean" / "a.csv").write_text(text)
    (folders / "clean" / "b.csv").write_text("none")
    data = ("--data", "clean", "--limit", "2") if "--protocol" in words else ()
    task = ("--task", "class-derm", "--labels", "./clean/a.csv", "--json")
    code, out, err = run(*words, *data, *task)
    assert code == 0
    assert json.loads(out)["passed_over"] == {".csv": 1}
    assert "warning: clean: passed over: 1 .csv" in err.splitlines()


def test_protocol_for_other_pictures_says_so(run):
    words = ("--data", "clean", "--modality", "dermoscopy", "--json")
    code, out, err = run("--protocol", "mri-rician", *words)
    assert code == 0
    note = "protocol mri-rician is for mri, these pictures are dermoscopy"
    assert json.loads(out)["notes"][0].startswith(note)
    assert f"note: {note}" in err


def test_list_names_everything(run):
    code, out, _ = run("--list", "--json")
    assert code == 0
    listed = json.loads(out)
    assert {"cofe-111", "dpe"} <= set(listed["protocols"])
    assert {"psnr", "niqe"} <= set(listed["metrics"])
    assert "vessels-fundus" in listed["tasks"]


def test_the_terminal_marks_what_the_page_marks(folders, capsys):
    found = medenh.evaluate(
        folders / "enhanced", folders / "clean", baselines=[folders / "low"]
    )
    one, low = found.rows
    twin, bound = replace(one, name="twin"), replace(one, name="b", is_bound=True)
    shown = replace(found, rows=(one, twin, low, bound))
    write_tables(shown)
    lines = capsys.readouterr().out.splitlines()[2:]
    on_page = mean_table(shown).rows
    assert {line.split()[0] for line in lines if " *" in line} == {"enhanced", "twin"}
    assert {row[0].text for row in on_page if any(cell.mark for cell in row[1:])} == {
        "enhanced",
        "twin",
    }


def test_one_figure_among_several_files_has_no_interval(folders, capsys):
    found = medenh.evaluate(folders / "enhanced", folders / "clean", metrics="psnr")
    (row,) = found.rows
    first, *others = found.files
    scores = {"psnr": {first: 30.0, **dict.fromkeys(others)}}
    write_tables(replace(found, rows=(replace(row, scores=scores),)))
    (line,) = (x for x in capsys.readouterr().out.splitlines() if "30.00" in x)
    assert line.split() == ["enhanced", "30.00", "n=1"]


def test_p_values_are_those_of_the_page(folders, capsys):
    found = medenh.evaluate(
        folders / "enhanced", folders / "clean", baselines=[folders / "low"]
    )
    write_tables(found)
    told = capsys.readouterr().out
    tests = found.tests["low"]["psnr"]
    assert f"({p_text(tests.wilcoxon_p)}, {p_text(tests.t_p)})" in told
    assert "(0.125, < 0.001)" in told
