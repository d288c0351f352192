"""Processes that die, ask for memory, or are told to stop."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import cv2
import pytest
from degrade_folder import contents, photo

from medenh.errors import MedenhError, OutOfMemoryError
from medenh.pipeline import degrade_crew, degrade_work
from medenh.pipeline.degrade import degrade_files
from medenh.pipeline.degrade_crew import Crew
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.degrade_work import Task

OPTIONS = DegradeOptions(recipes=("dpe",), workers=2)
serve = degrade_crew._serve

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


def serve_until_poison(connection, options, staging):
    """Serve, but crash at a file called poison.png as a decoder might."""
    carry_out = degrade_work.Workshop.carry_out

    def crash(self, task, admit):
        if task.path.name == "poison.png":
            os.kill(os.getpid(), signal.SIGSEGV)
        return carry_out(self, task, admit)

    degrade_work.Workshop.carry_out = crash
    serve(connection, options, staging)


def test_what_takes_more_memory_than_there_is_costs_itself_alone(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "large.png"), photo(400))
    cv2.imwrite(str(tmp_path / "in" / "small.png"), photo(40))
    monkeypatch.setattr(degrade_work, "usable_memory", lambda: 20_000_000)
    options = DegradeOptions(recipes=("dpe",), workers=1)
    summary = degrade_files([tmp_path / "in"], tmp_path / "out", options)
    (failure,) = summary.failed
    assert failure.path.name == "large.png"
    assert isinstance(failure.error, OutOfMemoryError)
    assert "24.3 MiB of memory" in failure.error.what
    assert (tmp_path / "out" / "small.png").is_file()


def serve_never(connection, options, staging):
    """End before anything is done."""


@pytest.fixture
def folder(tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    for index, name in enumerate(("a", "b", "c", "poison", "z")):
        cv2.imwrite(str(inputs / f"{name}.png"), photo(seed=index))
    return inputs


def test_a_process_that_dies_costs_one_file(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(degrade_crew, "_serve", serve_until_poison)
    out = tmp_path / "out"
    summary = degrade_files([folder], out, OPTIONS)
    assert [failure.path.name for failure in summary.failed] == ["poison.png"]
    assert "SIGSEGV" in summary.failed[0].reason
    assert summary.exit_code() == 1
    names = ["a.png", "b.png", "c.png", "records.jsonl", "z.png"]
    assert list(contents(out)) == names


def test_processes_that_cannot_start_end_the_run(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(degrade_crew, "_serve", serve_never)
    with pytest.raises(MedenhError, match="cannot be started"):
        degrade_files([folder], tmp_path / "out", OPTIONS)
    assert list((tmp_path / "out").iterdir()) == []


def _tasks(folder):
    return [
        Task(
            index=index,
            sources=(path,),
            names=(path.name,),
            kind="png",
            format="png",
            outputs=(path.name,),
            recipe="dpe",
        )
        for index, path in enumerate(sorted(folder.iterdir()))
    ]


def test_a_small_budget_lets_pictures_go_one_by_one(folder, tmp_path):
    crew = Crew(2, OPTIONS, tmp_path, stop=threading.Event(), budget_bytes=1)
    outcomes = list(crew.run(_tasks(folder)))
    assert sorted(one.index for one in outcomes) == list(range(5))
    assert all(one.record is not None for one in outcomes)


def test_stop_ends_the_processes(folder, tmp_path):
    stop = threading.Event()
    crew = Crew(2, OPTIONS, tmp_path, stop=stop)
    outcomes = crew.run(_tasks(folder) * 20)
    next(outcomes)
    hands = [hand.process for hand in crew._hands]
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        list(outcomes)
    assert hands
    assert not any(process.is_alive() for process in hands)


def test_folders_of_killed_runs_are_removed(folder, tmp_path):
    out = tmp_path / "out"
    stale = out / ".medenh-degrade-0123"
    stale.mkdir(parents=True)
    (stale / "lock").touch()
    (stale / "half.png").touch()
    degrade_files([folder / "a.png"], out, OPTIONS)
    assert sorted(p.name for p in Path(out).iterdir()) == ["a.png", "records.jsonl"]
