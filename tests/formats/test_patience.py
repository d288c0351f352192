"""Work that may be given up: computing counts, a machine's pauses do not."""

import os
import subprocess
import sys
import threading
import time

import pytest

from medenh.formats import patience
from medenh.formats.patience import Patience, cpu_clock, cpu_clock_of


class Clocks:
    """A wall clock and one of CPU time, turned by hand."""

    def __init__(self, monkeypatch):
        self.wall = self.cpu = 100.0
        monkeypatch.setattr(patience.time, "monotonic", lambda: self.wall)

    def run(self, work, ticks, share):
        """Let ticks pass in which the work has a share of a CPU."""
        for _ in range(ticks):
            self.wall += work.tick
            self.cpu += share * work.tick
            if spent := work.spent():
                return spent
        return ""


@pytest.fixture
def clocks(monkeypatch):
    return Clocks(monkeypatch)


def test_computing_counts(clocks):
    work = Patience(30, lambda: clocks.cpu)
    assert clocks.run(work, 29, 1) == ""
    assert clocks.run(work, 1, 1) == "30 s of computing"


def test_a_busy_machine_gives_it_longer(clocks):
    work = Patience(30, lambda: clocks.cpu)
    assert clocks.run(work, 299, 0.05) == ""
    assert clocks.run(work, 1, 0.05) == "300 s"


def test_a_pause_of_the_machine_counts_for_nothing(clocks):
    work = Patience(30, lambda: clocks.cpu)
    assert clocks.run(work, 5, 0.1) == ""
    clocks.wall += 86_400
    assert work.spent() == ""
    assert clocks.run(work, 290, 0) == ""
    assert clocks.run(work, 10, 0) == "300 s"


def test_where_no_clock_tells_it_is_the_wall(clocks):
    work = Patience(30, lambda: None)
    assert clocks.run(work, 29, 1) == ""
    assert clocks.run(work, 1, 1) == "30 s"


def test_work_that_has_just_ended_is_not_given_up(clocks):
    told = iter([0.0, *[0.0] * 60, None])  # its clock ends with it
    work = Patience(30, lambda: next(told))
    assert clocks.run(work, 60, 0) == ""
    assert clocks.run(work, 1, 0) == ""


def test_without_a_limit_nothing_is_too_long(clocks):
    work = Patience(float("inf"), lambda: clocks.cpu)
    assert clocks.run(work, 10_000, 1) == ""


def _spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.skipif(
    not hasattr(time, "pthread_getcpuclockid"), reason="no clocks of threads here"
)
def test_the_clock_of_a_thread_is_its_own_and_ends_with_it():
    found, done = [], threading.Event()

    def work():
        found.append(cpu_clock())
        _spin(0.2)
        done.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    _spin(0.3)
    while (told := found[0]()) < 0.2:
        time.sleep(0.01)
    assert told < 0.5  # without what the others computed
    done.set()
    thread.join()
    assert found[0]() is None or found[0]() >= told


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_clock_of_a_process():
    code = "import sys\nwhile True:\n    pass"
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        clock = cpu_clock_of(child.pid)
        end = time.monotonic() + 60
        while (told := clock()) < 0.3 and time.monotonic() < end:
            time.sleep(0.01)
        assert 0.3 <= told < 30
    finally:
        child.kill()
        child.wait()
    assert clock() is None
    assert cpu_clock_of(os.getpid())() > 0
