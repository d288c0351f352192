"""Cards measured again: what holds, what fell, and what is not measured twice."""

import csv
import json

import pytest
from published_runs import pack_with_tests

from medenh.cli import main
from medenh.publishing.comparison import compare
from medenh.publishing.zoo_report import report_zoo, take_in
from medenh.zoo.card import Estimate, ResultTable
from medenh.zoo.manifest import load_manifest


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    return pack_with_tests(tmp_path_factory.mktemp("packs") / "data")


def _table(psnr, *, identity=10.0, split="test", n=3):
    rows = {
        name: {"psnr": Estimate(mean=mean, n=n)}
        for name, mean in (("identity", identity), ("toy", psnr))
    }
    return ResultTable(
        protocol="dpe", modality="dermoscopy", split=split, n=n, rows=rows
    )


@pytest.mark.parametrize(
    ("new", "verdicts"),
    [
        (_table(29.91), ["kept", "kept"]),
        (_table(29.89), ["kept", "fell"]),
        (_table(31.0), ["kept", "better"]),
        (_table(30.0, identity=11.0), ["changed", "kept"]),
        (_table(30.0, split="val"), ["not comparable"] * 2),
        (_table(30.0, n=2), ["not comparable"] * 2),
        (None, ["not comparable"] * 2),
    ],
)
def test_verdicts(new, verdicts):
    found = compare("toy", _table(30.0), new)
    assert [one.verdict for one in found] == verdicts
    assert [one.is_good for one in found] == [v in ("kept", "better") for v in verdicts]


def test_where_lower_is_better_a_rise_is_a_fall():
    def table(mean):
        rows = {"identity": {}, "toy": {"de2000": Estimate(mean=mean, n=3)}}
        return _table(0.0).model_copy(update={"rows": rows})

    assert compare("toy", table(3.0), table(3.2))[0].verdict == "fell"
    assert compare("toy", table(3.0), table(2.0))[0].verdict == "better"


def _enhancer(psnr):
    """Return the card of a bundled enhancer with figures made up for the pack."""
    card = load_manifest().get("dpe-general")
    table = _table(psnr)
    rows = {"identity": table.rows["identity"], card.id: table.rows["toy"]}
    table = table.model_copy(update={"rows": rows})
    return card.model_copy(update={"results": (table,)})


def _recogniser():
    """Return a bundled recogniser whose run is said to have learnt from the pack."""
    card = load_manifest().get("lesion-derm")
    stored = json.loads(json.dumps(card.training.config))
    stored["data"] |= {"datasets": {}, "qualities": ["high"], "holdout_share": 0.3}
    training = card.training.model_copy(update={"config": stored})
    return card.model_copy(update={"training": training})


@pytest.fixture(scope="module")
def report(packs, tmp_path_factory):
    """The report of an enhancer whose card promises far too much."""
    return report_zoo([_enhancer(99.0)], packs, tmp_path_factory.mktemp("report"))


def test_new_figures_stand_beside_those_of_the_card(report):
    fell = [one for one in report.failures if one.row == "dpe-general"]
    assert [one.verdict for one in fell] == ["fell"]
    with report.csv.open(newline="") as handle:
        lines = {line["row"]: line for line in csv.DictReader(handle)}
    new = float(lines["dpe-general"]["new"])
    assert float(lines["dpe-general"]["difference"]) == pytest.approx(new - 99.0)
    page = report.page.read_text("utf-8")
    assert "99.0000" in page
    assert f"{new:.4f}" in page
    assert "smallest gain" in page
    assert 'href="dpe-general_dpe_dermoscopy.html"' in page
    assert report.page.with_name("dpe-general_dpe_dermoscopy.html").is_file()


def test_what_was_measured_is_not_measured_again(report, packs):
    said, page = [], report.page.read_text("utf-8")
    again = report_zoo(
        [_enhancer(99.0)], packs, report.page.parent, on_step=said.append
    )
    assert said == ["dpe-general_dpe_dermoscopy: measured before"]
    assert again.comparisons == report.comparisons
    assert again.page.read_text("utf-8") == page


def test_what_cannot_be_measured_is_a_failure(packs, tmp_path):
    said = []
    cards = [_enhancer(20.0), _recogniser()]
    for place in (tmp_path / "empty", tmp_path / "report"):
        place.mkdir()
    report = report_zoo(
        cards, tmp_path / "empty", tmp_path / "report", on_step=said.append
    )
    assert len(report.failures) == len(report.comparisons) > 2
    assert "no data pack of dermoscopy pictures" in said[0]


def test_a_recogniser_is_scored_with_its_own_thresholds(packs, tmp_path):
    report = report_zoo([_recogniser()], packs, tmp_path / "report")
    (measured,) = report.measured
    assert not measured.error
    card = load_manifest().get("lesion-derm")
    assert measured.table.thresholds == card.recognition.thresholds
    assert [table.n for table in measured.table.tables] == [6]


def _checkout(folder, card):
    (folder / "medenh" / "zoo" / "bundled").mkdir(parents=True)
    document = {"schema": "medenh.manifest/1", "models": [card.to_dict()]}
    (folder / "weights_manifest.json").write_text(json.dumps(document))
    return folder / "weights_manifest.json"


def test_new_figures_go_into_a_checkout(report, tmp_path):
    manifest = _checkout(tmp_path, _enhancer(99.0))
    assert take_in(report, tmp_path) == ["dpe-general"]
    (entry,) = json.loads(manifest.read_text())["models"]
    (table,) = entry["results"]
    new = table["rows"]["dpe-general"]["psnr"]["mean"]
    assert new == report.failures[-1].new.mean
    assert {"stretch", "oracle-affine"} <= set(table["rows"])


def test_a_model_that_was_replaced_meanwhile_keeps_its_figures(report, tmp_path):
    card = _enhancer(99.0)
    weights = card.weights.model_copy(update={"sha256": "0" * 64})
    manifest = _checkout(tmp_path, card.model_copy(update={"weights": weights}))
    before = manifest.read_bytes()
    assert take_in(report, tmp_path) == []
    assert manifest.read_bytes() == before


def test_the_command_fails_where_a_figure_does_not_hold(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    words = ["lung-xray", "--data", str(tmp_path / "data"), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main.main(["models", "remeasure", *words])
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert "not measured" in out
    assert "0 of" in out
