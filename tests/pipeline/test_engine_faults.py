"""Faults that no ordinary handler catches, and files that must never be lost."""

from __future__ import annotations

import ctypes
import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fakes_pipeline import FakeModels, FakeRunner

from medenh import control_groups, formats
from medenh.formats import writers
from medenh.pipeline import budget
from medenh.pipeline.budget import ByteBudget
from medenh.pipeline.engine import Engine
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.plan import make_plan
from medenh.pipeline.results import Listener


class Panic(BaseException):
    """As a Rust extension raises it: not an Exception."""


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for index in range(6):
        cv2.imwrite(str(root / f"{index}.png"), np.full((20, 20), index, np.uint8))
    return root


def enhance(folder, out, runner=None, listener=None, **options):
    asked = EnhanceOptions(**options)
    models = FakeModels(runner or FakeRunner())
    engine = Engine(asked, models, listener=listener, budget_bytes=1)
    outcome = []
    thread = threading.Thread(
        target=lambda: outcome.append(engine.run(make_plan([folder], out, asked))),
        daemon=True,
    )
    thread.start()
    thread.join(30)
    assert outcome, "the run hangs"
    return outcome[0]


def test_a_panic_of_a_decoder_costs_its_file_and_is_said(folder, tmp_path, monkeypatch):
    read = formats.read

    def sometimes(paths, **options):
        if paths[0].name in ("0.png", "1.png", "2.png"):
            raise Panic("called unwrap on None")
        return read(paths, **options)

    monkeypatch.setattr(formats, "read", sometimes)
    summary = enhance(folder, tmp_path / "out")
    assert {f.path.name for f in summary.failed} == {"0.png", "1.png", "2.png"}
    assert {f.error.code for f in summary.failed} == {"unreadable"}
    assert len(summary.written) == 3
    assert summary.exit_code() == 1


def test_a_panic_of_the_model_costs_its_file_and_is_said(folder, tmp_path):
    runner = FakeRunner(faults={0: Panic("oh"), 3: Panic("no")})
    summary = enhance(folder, tmp_path / "out", runner)
    assert len(summary.failed) == 2
    assert len(summary.written) == 4
    assert summary.exit_code() == 1


def test_panics_of_the_writer_do_not_make_the_run_hang(folder, tmp_path, monkeypatch):
    write = writers.write

    def sometimes(image, paths, **options):
        if paths[0].name in ("0.png", "1.png", "2.png"):
            raise Panic("oh")
        write(image, paths, **options)

    monkeypatch.setattr(writers, "write", sometimes)
    summary = enhance(folder, tmp_path / "out")
    assert {f.path.name for f in summary.failed} == {"0.png", "1.png", "2.png"}
    assert len(summary.written) == 3


def test_a_file_that_vanishes_on_its_way_is_a_failure(folder, tmp_path, monkeypatch):
    open_ = Engine._open

    def forgets(self, reading, started):
        if reading.item.path.name != "2.png":
            open_(self, reading, started)

    monkeypatch.setattr(Engine, "_open", forgets)
    summary = enhance(folder, tmp_path / "out")
    assert [f.path.name for f in summary.failed] == ["2.png"]
    assert summary.exit_code() == 1


def test_a_progress_bar_that_breaks_costs_no_file(folder, tmp_path):
    class Broken(Listener):
        def progressed(self, path, files):
            raise OSError("terminal gone")

        def written(self, results, image, enhanced):
            raise OSError("terminal gone")

    summary = enhance(folder, tmp_path / "out", listener=Broken())
    assert len(summary.written) == 6
    assert not summary.failed


def test_small_items_do_not_overtake_a_large_one_for_ever():
    line = ByteBudget(10, threading.Event())
    order = []

    def take(name, count):
        line.acquire(count)
        order.append(name)

    line.acquire(5)
    large = threading.Thread(target=take, args=("large", 20), daemon=True)
    large.start()
    time.sleep(0.1)
    small = threading.Thread(target=take, args=("small", 1), daemon=True)
    small.start()
    time.sleep(0.15)
    assert order == []
    line.release(5)
    large.join(5)
    assert order == ["large"]
    line.release(20)
    small.join(5)
    assert order == ["large", "small"]


def test_waiting_for_bytes_ends_when_the_run_does():
    stop = threading.Event()
    line = ByteBudget(10, stop)
    line.acquire(10)
    stop.set()
    assert not line.acquire(5)
    line.release(10)
    assert line.acquire(5)


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/job\n", {"job/memory.max": "1000"}, 1000),
        (
            "0::/job/step\n",
            {"job/memory.max": "900", "job/step/memory.max": "max"},
            900,
        ),
        ("5:cpu,memory:/a\n", {"memory/a/memory.limit_in_bytes": "800"}, 800),
        ("5:memory:/not/here\n", {"memory/memory.limit_in_bytes": "700"}, 700),
        ("0::/elsewhere\n", {"memory.max": "600"}, 600),
    ],
)
def test_memory_of_a_container_is_not_that_of_the_machine(
    tmp_path, monkeypatch, own, files, limit
):
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    monkeypatch.setattr(control_groups, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(control_groups, "_OWN_GROUPS", tmp_path / "own")
    assert budget.usable_memory() == limit


@pytest.mark.parametrize(("told", "expected"), [(16 << 20, 16 << 30), (0, 4 << 30)])
def test_the_memory_of_windows_is_told_by_its_kernel(monkeypatch, told, expected):
    """It has no `os.sysconf`: all machines counted for 4 GiB, and refused more."""

    def tell(place):
        place._obj.value = told  # KiB
        return int(told > 0)

    kernel = SimpleNamespace(GetPhysicallyInstalledSystemMemory=tell)
    library = SimpleNamespace(kernel32=kernel)
    monkeypatch.setattr(ctypes, "windll", library, raising=False)
    monkeypatch.setattr(budget, "sys", SimpleNamespace(platform="win32"), raising=False)
    monkeypatch.setattr(budget, "os", SimpleNamespace())
    monkeypatch.setattr(budget, "_group_limits", list)
    assert budget.usable_memory() == expected
