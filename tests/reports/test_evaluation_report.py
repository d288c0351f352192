from __future__ import annotations

import base64
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from synthetic_evaluation import COLUMNS, Gallery, make_evaluation

from medenh.errors import OutputError, UnreadableError, UsageError
from medenh.evaluation.result import Evaluation, Row
from medenh.reports.evaluation import write_evaluation_report
from medenh.reports.ranking import GROUPS, choose
from medenh.reports.score_tables import file_table, mean_table, paired_tables
from medenh.reports.tables import p_text

HOSTILE = (
    "<script>alert(1)</script>.png",
    "\" onerror='x' & </title></svg>.png",
    "\u202egnp.elif\u05d0\u05d1.png",
    "\udc80\n{{ 7*7 }}.png",
    "a" * 250 + ".png",
)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.text, self.tags, self.words = text, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(" ".join(data.split()))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(tmp_path, evaluation, **options):
    path = tmp_path / "page.html"
    write_evaluation_report(evaluation, path, **options)
    return Page(path.read_text(encoding="utf-8"))


def texts(table):
    return [[getattr(cell, "text", cell) for cell in row] for row in table.rows]


def with_scores(evaluation, change):
    rows = tuple(
        replace(
            row,
            scores={
                column: {file: change(value) for file, value in by_file.items()}
                for column, by_file in row.scores.items()
            },
        )
        for row in evaluation.rows
    )
    return replace(evaluation, rows=rows, tests={})


def test_page_says_what_was_measured(tmp_path):
    page = page_of(tmp_path, make_evaluation())
    for word in (
        "Not a medical device; for research",
        "field of view",
        "0-255 (8-bit)",
        "Without partner among reference (1)",
        "lost.png",
        "bad.png: damaged",
        "medenh evaluate 'my data'",
        "Paired tests of dpe",
        "Smallest gains or losses",
    ):
        assert word in page.words
    assert page.all("html")[0]["lang"] == "en"


def test_equal_evaluations_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        write_evaluation_report(make_evaluation(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_page_loads_nothing_and_runs_nothing_else(tmp_path):
    page = page_of(tmp_path, make_evaluation(names=HOSTILE, title=HOSTILE[0]))
    assert len(page.all("script")) == 1
    policy = page.all("meta")
    assert any("script-src 'sha256-" in m.get("content", "") for m in policy)
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:", "#"))
    assert "url(" not in re.search(r"<style>(.*?)</style>", page.text, re.S).group(1)
    assert "49.png" not in page.text


def test_hostile_names_are_shown_as_they_are(tmp_path):
    evaluation = make_evaluation(names=HOSTILE, subject=HOSTILE[1])
    row = evaluation.rows[2]
    rows = (evaluation.rows[0], replace(row, name=HOSTILE[1], note=HOSTILE[0]))
    page = page_of(tmp_path, replace(evaluation, rows=rows, tests={}))
    assert HOSTILE[0] in page.words
    assert HOSTILE[1] in page.words
    assert HOSTILE[4] in page.words
    assert len(page.all("script")) == 1


def test_best_mean_has_a_star_and_bounds_have_none(tmp_path):
    rows = mean_table(make_evaluation()).rows
    marks = {row[0].text: [cell.mark for cell in row[1:4]] for row in rows}
    assert marks["dpe"] == ["best", "best", ""]
    assert marks["oracle"] == marks["identity"] == ["", "", ""]
    assert rows[0][0].text == "identity"
    assert rows[3][0].below == "bound, sees the reference"


def test_no_star_where_it_would_say_nothing():
    equal = with_scores(make_evaluation(), lambda value: 1.0)
    assert {c.mark for row in mean_table(equal).rows for c in row[1:4]} == {""}
    some = make_evaluation()
    scores = {"psnr": {**some.rows[1].scores["psnr"], some.files[0]: math.inf}}
    perfect = replace(some.rows[1], scores={**some.rows[1].scores, **scores})
    unequal = replace(some, rows=(some.rows[0], perfect, some.rows[2]))
    cells = [row[1] for row in mean_table(unequal).rows]
    assert {cell.mark for cell in cells} == {""}
    assert "1 infinite" in cells[1].below


def test_means_and_intervals_are_those_of_the_files():
    evaluation = make_evaluation(50)
    cell = mean_table(evaluation).rows[0][1]
    values = list(evaluation.rows[0].scores["psnr"].values())
    assert float(cell.text) == pytest.approx(np.mean(values), abs=0.005)
    low, high = map(float, re.findall(r"[\d.]+", cell.below))
    half = 1.96 * np.std(values, ddof=1) / math.sqrt(50)
    assert low == pytest.approx(np.mean(values) - half, abs=0.15)
    assert high == pytest.approx(np.mean(values) + half, abs=0.15)


def test_verdicts_follow_the_direction_of_the_measure():
    verdicts = {
        (r[0], r[1]): r[3] for r in texts(paired_tables(make_evaluation(40))[0])
    }
    assert verdicts["identity", "PSNR"] == "better"
    assert verdicts["identity", "CIEDE2000"] == "better"
    assert verdicts["oracle", "PSNR"] == "worse"
    assert verdicts["identity", "Contrast"] == "higher"


@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_pairs_too_few_for_a_verdict_have_none(pairs):
    (table,) = paired_tables(make_evaluation(pairs))
    assert {row[3] for row in texts(table)} == {"too few pairs for a verdict"}


def test_six_pairs_have_a_verdict():
    (table,) = paired_tables(make_evaluation(6))
    verdicts = {row[3] for row in texts(table)}
    assert "better" in verdicts
    assert "too few pairs for a verdict" not in verdicts


def test_rows_against_doing_nothing_have_a_table_of_their_own():
    evaluation = make_evaluation(40)
    against = {"dpe": evaluation.tests["identity"]}
    _, table = paired_tables(replace(evaluation, against_identity=against))
    assert texts(table)[0][:4] == ["dpe", "PSNR", "+4.49 dB", "better"]


def test_tiny_p_values_are_not_zero():
    assert [p_text(p) for p in (0.0, 0.0312, 0.9999)] == ["< 0.001", "0.031", "1.000"]
    assert p_text(math.nan) == ""


def test_cases_are_worst_best_and_middling():
    evaluation = make_evaluation(90)
    places = choose(evaluation, 6)
    assert [place.group for place in places] == [GROUPS[0], GROUPS[2], GROUPS[1]] * 2
    chosen = {place.position: place.file for place in places}
    assert chosen == {
        i: f"file-{i - 1}.png" for i in (1, 2, 45, 46, 89, 90)
    }  # file i gains i / 90 dB more than the first


def test_few_files_are_all_cases_once():
    for count in range(8):
        places = choose(make_evaluation(count), 12)
        assert len({place.file for place in places}) == count
    assert choose(make_evaluation(5), 0) == []


def test_lower_is_better_turns_the_order():
    evaluation = replace(make_evaluation(9), columns=COLUMNS[1:])
    first = choose(evaluation, 3)[0]
    assert (first.file, first.group) == ("file-0.png", GROUPS[0])


def test_pictures_reach_the_page(tmp_path):
    from imagecodecs import webp_decode

    page = page_of(tmp_path, make_evaluation(1))
    images = {image["alt"]: image for image in page.all("img") if image.get("src")}
    name = "file-0.png: "
    assert set(images) == {
        name + title
        for title in (
            "Input (identity)",
            "clahe",
            "dpe",
            "oracle",
            "Reference",
            "Input (identity) \N{MINUS SIGN} Reference",
            "dpe \N{MINUS SIGN} Reference",
            "vessels, Input (identity)",
            "vessels, dpe",
        )
    }
    raw = images[name + "Reference"]["src"].split(",", 1)[1]
    shown = webp_decode(base64.b64decode(raw))
    expected = np.rint(255 * Gallery().get("", "reference"))
    np.testing.assert_array_equal(shown, expected)  # small ones are lossless
    raw = images[name + "dpe \N{MINUS SIGN} Reference"]["src"].split(",", 1)[1]
    residual = webp_decode(base64.b64decode(raw)).astype(int)
    assert (abs(residual[0, 0] - residual[0, 0].mean()) < 6).all()  # no error: neutral
    assert residual[0, -1, 2] > residual[0, -1, 0] + 50  # too dark: blue
    raw = images[name + "vessels, dpe"]["src"].split(",", 1)[1]
    colours = webp_decode(base64.b64decode(raw))[0, [0, 20, 40, 59]].argmax(axis=1)
    assert colours.tolist() == [2, 1, 0, 0]  # missed, found, invented, nothing


@pytest.mark.parametrize("missing", [("dpe",), ("reference",), ("degraded",)])
def test_missing_pictures_leave_the_rest(tmp_path, missing):
    pictures = Gallery(missing=missing)
    page = page_of(tmp_path, make_evaluation(3, pictures=pictures))
    assert len(page.all("img")) > 12


def test_unreadable_pictures_do_not_cost_the_page(tmp_path):
    class Broken(Gallery):
        def get(self, file, row):
            raise UnreadableError("gone", path=file)

    page = page_of(tmp_path, make_evaluation(3, pictures=Broken()))
    assert page.words.count("No pictures of this file.") == 3


def test_pictures_of_other_sizes_have_no_residual(tmp_path):
    class Odd(Gallery):
        def get(self, file, row):
            other = Gallery(20, 30) if row == "dpe" else Gallery()
            return other.get(file, row)

    page = page_of(tmp_path, make_evaluation(1, pictures=Odd()))
    alts = [image["alt"] for image in page.all("img")]
    assert not any("dpe \N{MINUS SIGN}" in alt or "vessels, dpe" in alt for alt in alts)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_or_one_file_is_a_page(tmp_path, count):
    page = page_of(tmp_path, make_evaluation(count))
    assert ("No file could be measured." in page.words) == (count == 0)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, 3.0])
def test_any_figures_are_a_page(tmp_path, value):
    evaluation = with_scores(make_evaluation(3), lambda _: value)
    page = page_of(tmp_path, evaluation)
    assert "nan" not in " ".join(page.words).lower()
    assert len(page.all("svg")) >= (3 if value == 3.0 else 0)


def test_bare_evaluation_is_a_page(tmp_path):
    bare = Evaluation(title="x", columns=(), rows=(), files=(), subject="none")
    page = page_of(tmp_path, bare)
    assert "No file could be measured." in page.words
    alone = Row(name="enhanced", scores={"psnr": {"a": 1.0, "b": 2.0}})
    single = replace(
        bare, columns=COLUMNS[:1], rows=(alone,), files=("a", "b"), subject="enhanced"
    )
    assert "change" not in page_of(tmp_path, replace(single, pictures=Gallery())).words


def test_size_limit_costs_cases_then_lines(tmp_path):
    class Noise(Gallery):
        def get(self, file, row):
            noise = np.random.default_rng(len(row)).uniform(size=(90, 90, 3))
            return noise.astype(np.float32)

    evaluation = make_evaluation(20, pictures=Noise(90, 90))
    page = page_of(tmp_path, evaluation, max_cases=6, limit_bytes=900_000)
    shown = len(re.findall(r'class="card case', page.text))
    assert 1 <= shown < 6
    assert len(page.text) <= 900_000
    assert GROUPS[0] in page.words  # the worst one is kept
    many = make_evaluation(900, pictures=None, names=[f"{i:090}" for i in range(900)])
    page = page_of(tmp_path, many, limit_bytes=100_000)
    assert len(page.text) <= 100_000
    assert any("files of 900 that gained least" in words for words in page.words)


def test_thousands_of_files_keep_those_that_gained_least():
    table = file_table(make_evaluation(3000, pictures=None), 100)
    assert [file for file, _ in table.lines] == [f"file-{i}.png" for i in range(100)]
    assert table.total == 3000


def test_page_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_evaluation_report(make_evaluation(1), tmp_path / "file" / "page.html")
    with pytest.raises(UsageError, match="cases"):
        write_evaluation_report(make_evaluation(1), tmp_path / "p.html", max_cases=-1)
