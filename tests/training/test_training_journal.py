"""log.csv: means over steps, and only rows of steps that count."""

import copy
import csv
import math

import pytest
from matplotlib.figure import Figure

from medenh.errors import OutputError
from medenh.training.config_file import load_config
from medenh.training.journal import Journal
from medenh.training.plots import save_curve
from medenh.training.strategies import Measured


def _journal(folder, step=0, seen=None):
    config = load_config("dpe-general", ["batch=8"])
    return Journal(config, folder, ("psnr",), lambda _: None, step, seen)


def _rows(folder):
    with (folder / "log.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def _take(journal, steps):
    for step in steps:
        losses = {"loss": float(step), "open": step % 2, "task": math.nan}
        if step % 16 == 0:
            losses["r1"] = 5.0
        journal.note(step, losses, 1e-3, Measured({}))


def test_a_row_holds_means_over_the_steps_since_the_last(tmp_path):
    _take(_journal(tmp_path), range(1, 41))
    first, second = _rows(tmp_path)
    assert [first["step"], second["step"]] == ["20", "40"]
    assert float(first["loss"]) == pytest.approx(10.5)
    assert float(second["loss"]) == pytest.approx(30.5)
    assert float(first["open"]) == 0.5
    assert float(first["r1"]) == 5.0  # the mean of the steps that had it
    assert first["task"] == "nan"


def test_rows_of_lost_steps_are_forgotten(tmp_path):
    before = _journal(tmp_path)
    _take(before, range(1, 31))
    seen = copy.deepcopy(before.seen)  # as the state of step 30 holds it
    _take(before, range(31, 61))
    with (tmp_path / "log.csv").open("a") as handle:
        handle.write("80,1")  # killed while it wrote
    resumed = _journal(tmp_path, 30, seen)
    resumed.forget_later_rows()
    assert [row["step"] for row in _rows(tmp_path)] == ["20"]
    _take(resumed, range(31, 41))
    _, second = _rows(tmp_path)
    assert second["step"] == "40"
    assert float(second["loss"]) == pytest.approx(30.5), "steps 21 to 40"


def test_a_log_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        _take(_journal(tmp_path), range(1, 21))


def test_each_figure_has_an_axis_of_its_own(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *_, **__: drawn.append(figure)
    )
    log = tmp_path / "log.csv"
    log.write_text(
        "step,loss,psnr,psnr_identity,ssim,ssim_identity\n"
        "1,0.3,,,,\n2,0.2,21,20,0.8,0.7\n4,0.1,22,20,0.9,0.7\n"
    )
    figures = ("psnr", "psnr_identity", "ssim", "ssim_identity")
    save_curve(log, tmp_path / "curve.png", figures)
    lines = [{line.get_label() for line in axes.lines} for axes in drawn[0].axes[1:]]
    assert lines == [{"psnr", "psnr identity"}, {"ssim", "ssim identity"}]
    assert drawn[0].axes[2].lines[0].get_ydata().tolist() == [0.8, 0.9]


def test_speed_is_of_learning_without_what_validation_took(tmp_path, monkeypatch):
    clock = iter([0.0, 30.0, 40.0])  # made, noted at step 10 and at step 20
    monkeypatch.setattr("medenh.training.journal.time.monotonic", lambda: next(clock))
    journal = _journal(tmp_path)
    measured = Measured({"psnr": 20.0})
    journal.note(10, {"loss": 1.0}, 1e-3, measured, measuring_s=20.0)
    journal.note(20, {"loss": 1.0}, 1e-3, Measured({}))
    speeds = [float(row["images_per_s"]) for row in _rows(tmp_path)]
    assert speeds == [8.0, 8.0]  # 10 steps of 8 pictures in 10 s
