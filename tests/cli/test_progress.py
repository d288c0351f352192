"""How far a run is, as a terminal and a log show it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from medenh.cli import progress
from medenh.cli.progress import Meter, ProgressListener
from medenh.errors import UnreadableError
from medenh.pipeline.results import Failure


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_log_gets_a_line_a_minute_with_the_time_left(clock, capsys):
    meter = Meter("enhancing", clock=clock)
    for done in range(21):  # one each 15 s
        meter.update(done, 100)
        clock.now += 15
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "enhancing: 4 of 100 images, about 24 min left; 15 s each",
        "enhancing: 8 of 100 images, about 23 min left; 15 s each",
        "enhancing: 12 of 100 images, about 22 min left; 15 s each",
        "enhancing: 16 of 100 images, about 21 min left; 15 s each",
        "enhancing: 20 of 100 images, about 20 min left; 15 s each",
    ]


def test_a_day_comes_to_some_hundred_lines(clock, capsys):
    meter = Meter("x-ray", unit="steps", clock=clock)
    for done in range(24 * 60 * 6):
        meter.update(done, 24 * 60 * 6, "loss 0.1")
        clock.now += 10
    lines = capsys.readouterr().err.splitlines()
    assert 80 < len(lines) < 130
    assert lines[0].startswith("x-ray: 6 of 8640 steps, about 24 h left; loss 0.1")


def test_a_run_that_goes_on_counts_its_own_steps_for_the_time_left(clock, capsys):
    meter = Meter("x", unit="steps", clock=clock)
    meter.update(900, 1000)
    clock.now += 600
    meter.update(910, 1000)  # one a minute
    assert "910 of 1000 steps, about 90 min left" in capsys.readouterr().err


def test_a_second_part_starts_its_time_anew(clock, capsys):
    meter = Meter("evaluating", clock=clock)
    meter.update(90, 100)
    clock.now += 3000
    meter.update(1, 100)
    assert not capsys.readouterr().err
    clock.now += 60
    meter.update(11, 100)
    assert "11 of 100 images, about 9 min left" in capsys.readouterr().err


def test_one_volume_tells_its_share(clock, capsys):
    meter = Meter("enhancing", clock=clock)
    meter.update(0, 1)
    clock.now += 70
    meter.update(0.35, 1)
    assert capsys.readouterr().err == "enhancing: 35 %, about 2 min left\n"
    clock.now += 130
    meter.update(1, 1)  # measuring and writing it takes time too
    assert capsys.readouterr().err == "enhancing: 100 %\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_quiet_run_shows_nothing(clock, capsys, monkeypatch, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with Meter("enhancing", quiet=True, clock=clock) as meter:
        for done in range(5):
            meter.update(done, 5)
            clock.now += 100
    assert not capsys.readouterr().err


def test_a_terminal_gets_a_bar(clock, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Meter("enhancing [a]", clock=clock) as meter:
        meter.update(0, 8)
        clock.now += 2
        meter.update(3, 8, "loss [b]")
        sys.stdout.write("data\n")  # may go to a file: not to where the bar is
    out, shown = capsys.readouterr()
    assert out == "data\n"
    assert "enhancing [a]" in shown
    assert "3/8" in shown
    assert "loss [b]" in shown


def test_files_of_a_run_are_counted_once(clock, capsys):
    listener = ProgressListener(label="degrading", clock=clock)
    broken = Failure(Path("broken.png"), UnreadableError("is empty"))
    listener.failed(broken)  # while the run was planned: not among those to do
    listener.started(4)
    listener.progressed(Path("a.nii"), 0.5)
    listener.failed(broken)
    clock.now += 90
    listener.progressed(Path("a.nii"), 0.9)
    listener.finished(Path("a.nii"))
    clock.now += 90
    listener.finished(Path("b.png"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "degrading: 1 of 4 images",  # and most of a second
        "degrading: 3 of 4 images",
    ]


def test_nothing_to_do_shows_nothing(clock, capsys):
    with ProgressListener(clock=clock) as listener:
        listener.started(0)
        clock.now += 100
        listener.finished(Path("a.png"))
    assert not capsys.readouterr().err


def test_lines_stay_lines(clock, capsys):
    meter = Meter("my\nrun", clock=clock)
    meter.update(0, 10)
    clock.now += progress._LEAST_S
    meter.update(1, 10)
    assert capsys.readouterr().err.count("\n") == 1
