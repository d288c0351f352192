from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from medenh.errors import OutputError
from medenh.evaluation.latex import LATEX_BEGINS
from medenh.evaluation.output import summarise, to_json, write_csv, write_summary
from medenh.evaluation.result import Column, Evaluation, Row, SetScore
from medenh.metrics import paired_tests

HOSTILE = '=1+1,"\n\udc80<b>.png'
FILES = ("a.png", "b.png", HOSTILE)
COLUMNS = (
    Column(name="psnr", title="PSNR", unit="dB", digits=2),
    Column(name="mae", title="MAE", better="lower"),
)


def row(name, psnr, mae=(0.3, 0.2, 0.1), **extra):
    scores = {
        "psnr": dict(zip(FILES, psnr, strict=True)),
        "mae": dict(zip(FILES, mae, strict=True)),
    }
    return Row(name=name, scores=scores, **extra)


def evaluation(**changes):
    rows = (
        row("identity", (20.0, 22.0, 24.5)),
        row(
            "enhanced",
            (25.0, math.inf, None),
            mae=(math.nan, 0.1, 0.05),
            seconds=1.23456,
            note="a note",
            set_scores=(SetScore(name="t.auc", title="AUC", value=math.nan),),
        ),
    )
    return Evaluation(
        **{
            "title": "T",
            "columns": COLUMNS,
            "rows": rows,
            "files": FILES,
            "subject": "enhanced",
            "tests": {"identity": {"mae": paired_tests([0.1, 0.2], [0.3, 0.4])}},
            "settings": {
                "seed": np.int64(3),
                "path": Path("a/b"),
                "bad": float("inf"),
                "list": np.array([1.0, math.nan]),
                "flag": True,
            },
            "unmatched": {"reference": ("c.png",)},
            "failed": ({"path": "d.png", "error": "broken", "code": "unreadable"},),
        }
        | changes
    )


def strict(document):
    return json.loads(json.dumps(document, allow_nan=False))


def test_pairs_have_the_documented_shape():
    document = strict(to_json(evaluation()))
    assert document["pairs"] == 3
    psnr = document["metrics"]["psnr"]
    assert psnr["per_file"] == {"a.png": 25.0, "b.png": None, HOSTILE: None}
    assert psnr["infinite"] == ["b.png"]
    assert psnr["n"] == 2
    assert psnr["mean"] == 25.0
    assert psnr["ci95"] is None  # one finite figure has no spread
    assert psnr["std"] is None
    identity = document["baselines"]["identity"]["psnr"]
    assert identity["mean"] == pytest.approx(66.5 / 3)
    low, high = identity["ci95"]
    assert 20.0 <= low < identity["mean"] < high <= 24.5
    tests = document["tests"]["identity"]["mae"]
    assert tests["pairs"] == 2
    assert tests["difference"] == pytest.approx(-0.2)
    assert {"wilcoxon_p", "t_p"} < set(tests)
    assert document["against_identity"] == {}
    assert document["metrics"]["t.auc"] == {"value": None, "ci95": None, "n": None}
    assert document["metrics"]["seconds"] == 1.235
    assert document["settings"] == {
        "seed": 3,
        "path": "a/b",
        "bad": None,
        "list": [1.0, None],
        "flag": True,
    }
    assert document["unmatched"] == {"reference": ["c.png"]}
    assert document["failed"][0]["code"] == "unreadable"


def test_protocol_has_a_row_a_model():
    document = strict(to_json(evaluation(protocol="cofe-111")))
    assert document["protocol"] == "cofe-111"
    assert document["n"] == 3
    assert list(document["rows"]) == ["identity", "enhanced"]
    assert document["rows"]["enhanced"]["note"] == "a note"
    assert document["rows"]["identity"]["mae"]["mean"] == pytest.approx(0.2)
    assert "metrics" not in document


def test_nothing_measured_is_still_a_document():
    document = strict(to_json(evaluation(files=(), rows=(), tests={}, protocol="dpe")))
    assert document["rows"] == {}
    empty = Row(name="enhanced", scores={})
    document = strict(to_json(evaluation(rows=(empty,))))
    assert document["metrics"]["psnr"]["n"] == 0
    assert document["metrics"]["psnr"]["mean"] is None


def test_summary_is_that_of_the_defined_figures():
    found = summarise(row("x", (20.0, None, 24.5)), "psnr")
    assert found.n - found.n_undefined == 2
    assert found.mean == 22.25
    assert found.std == pytest.approx(stats.tstd([20.0, 24.5]))
    assert summarise(row("x", (1.0, None, math.nan)), "psnr").mean == 1.0
    assert summarise(row("x", (None, None, None)), "psnr") is None
    assert summarise(row("x", (1.0, None, None)), "no such column") is None


def test_csv_has_a_line_a_file_and_row(tmp_path):
    write_csv(evaluation(), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    shown = "'" + HOSTILE.encode("utf-8", "backslashreplace").decode()
    assert [(line["file"], line["row"]) for line in lines] == [
        (file, name)
        for file in ("a.png", "b.png", shown)
        for name in ("identity", "enhanced")
    ]
    assert lines[0]["psnr"] == "20.0"
    assert lines[1]["mae"] == ""
    assert float(lines[3]["psnr"]) == math.inf
    assert lines[5]["psnr"] == ""


def test_summary_has_a_line_a_row(tmp_path):
    one, two = evaluation().rows
    score = SetScore(name="t.auc", title="AUC", value=0.75, ci95=(0.5, 1.0), n=2)
    rows = (replace(one, name="=1+1"), two, row("last", (1, 2, 3), set_scores=(score,)))
    write_summary(evaluation(rows=rows), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        identity, enhanced, last = csv.DictReader(stream)
    assert list(identity)[:7] == [
        "row", "files", "psnr", "psnr.low", "psnr.high", "psnr.n", "mae"
    ]  # fmt: skip
    assert identity["row"] == "'=1+1"
    assert float(identity["psnr"]) == pytest.approx(66.5 / 3)
    assert float(identity["psnr.low"]) < 66.5 / 3 < float(identity["psnr.high"])
    assert (identity["psnr.n"], identity["files"]) == ("3", "3")
    # one finite figure has no interval, an undefined score no value
    assert [enhanced[f"psnr{end}"] for end in (".low", ".high", ".n")] == ["", "", "2"]
    assert (enhanced["t.auc"], enhanced["t.auc.n"]) == ("", "")
    assert (last["t.auc"], last["t.auc.low"], last["t.auc.n"]) == ("0.75", "0.5", "2")
    assert identity["t.auc.high"] == ""


def test_a_name_in_tex_gets_the_means_as_latex(tmp_path):
    score = SetScore(name="t.auc", title="AUC", value=-0.75, ci95=(-1.0, 0.5), n=2)
    hostile = "[a]_50%&#$ {x}~^\\\n\udc80*<|>"
    rows = (
        row(hostile, (20.0, 22.0, 24.5), note="see\n100 %"),
        row("mine", (25.0, 26.0, 27.5), mae=(0.1, None, 0.1), set_scores=(score,)),
    )
    write_summary(evaluation(rows=rows, notes=("a note",)), tmp_path / "out.tex")
    text = (tmp_path / "out.tex").read_bytes()
    assert text.startswith(LATEX_BEGINS)
    *comments, begin, _, head, _, one, two, _, end = text.decode().splitlines()
    assert comments[1:] == [
        r"% [a]_50%&#$ {x}~^\ \udc80*<|>: see 100 %", "% note: a note", "% 1 failed"
    ]  # fmt: skip
    assert (begin, end) == (r"\begin{tabular}{lrrr}", r"\end{tabular}")
    assert head == r"method & psnr, dB $\uparrow$ & mae $\downarrow$ & t.auc \\"
    assert one.startswith(
        r"{[}a]\_50\%\&\#\$ \{x\}\textasciitilde{}\textasciicircum{}\textbackslash{} "
        r"\textbackslash{}udc80{*}\textless{}\textbar{}\textgreater{} "
        r"& $22.17\ [20.00, "
    )
    assert one.endswith(r"]$ & -- \\")
    assert two.startswith(r"mine & $\mathbf{26.17}\ [25.00, ")
    # a mean over fewer files competes with none
    assert r" & $0.100\ [0.100, 0.100]$ ($n = 2$) & " in two
    assert two.endswith(r" & $-0.750\ [-1.000, 0.500]$ ($n = 2$) \\")


@pytest.mark.parametrize("given", [print, repr])
def test_printed_it_is_a_few_lines(given, capsys):
    found = evaluation(protocol="dpe", notes=("a note",))
    text = given(found) or capsys.readouterr().out.rstrip("\n")
    first, head, identity, enhanced, *rest = text.splitlines()
    assert first == "protocol dpe: T, n = 3"
    assert head.split() == ["psnr", "mae", "t.auc"]
    assert identity.startswith("identity  22.17 [20.00, 24.50]  0.200 [")
    assert enhanced.split()[:2] == ["enhanced", "25.00"]
    assert enhanced.endswith(" -")
    assert rest == ["1 failed", "note: a note"]
    assert len(repr(found.rows)) < 500  # no figures of single files


def test_printed_without_a_figure_it_is_still_text():
    nothing = evaluation(files=(), rows=(), columns=(), tests={}, failed=())
    assert str(nothing).startswith("T, n = 0")


@pytest.mark.parametrize("mark", ["=", "+", "-", "@", "\t"])
def test_no_name_in_a_csv_runs_as_a_formula(tmp_path, mark):
    name = f"{mark}HYPERLINK(1)\r\n.png"
    rows = (Row(name=f"{mark}row", scores={"psnr": {name: -1.5}}),)
    write_csv(evaluation(files=(name,), rows=rows), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        (line,) = csv.DictReader(stream)
    assert line["file"] == f"'{mark}HYPERLINK(1)\\r\n.png"
    assert line["row"] == f"'{mark}row"
    assert line["psnr"] == "-1.5"


def test_csv_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_csv(evaluation(), tmp_path / "file" / "out.csv")
