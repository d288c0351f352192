from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import medenh
from medenh.evaluation.workers import workers


def _inherited(meeting):
    """Tell what this process inherited, once another one has come to the meeting."""
    (meeting / str(os.getpid())).touch()
    latest = time.monotonic() + 120
    while len(list(meeting.iterdir())) < 2 and time.monotonic() < latest:
        time.sleep(0.01)
    deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    return os.getpid(), os.environ.get("OPENBLAS_NUM_THREADS"), deaf


def test_every_process_has_one_thread_and_is_deaf_to_ctrl_c(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with workers(2) as pool:
        tasks = [pool.submit(_inherited, tmp_path) for _ in range(2)]
        found = {task.result() for task in tasks}
    assert len(found) == 2
    assert {one[1:] for one in found} == {("1", True)}
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    assert "PYTHONSAFEPATH" not in os.environ
    assert signal.getsignal(signal.SIGINT) != signal.SIG_IGN


def test_an_error_ends_no_process_of_others():
    """What the program or another thread has started meanwhile goes on."""
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0.2,))
    own = []

    def fail():
        with workers(2) as pool:
            assert pool.submit(abs, -3).result() == 3
            own.extend(multiprocessing.active_children())
            other.start()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    for one in (*own, other):
        one.join(60)
    assert own
    assert not any(one.is_alive() for one in own)
    assert other.exitcode == 0


_PLANTED = "open(__file__ + '.ran', 'w').close()\nraise SystemExit('planted')\n"
_RUN = """
import sys
sys.path.remove("")
import medenh
from medenh.cli.main import main
from medenh.evaluation.workers import workers

if __name__ == "__main__":
    with workers(2) as pool:
        assert pool.submit(abs, -3).result() == 3
    main("degrade . -o out --recipe gauss-0.1 --workers 2 -q".split())
"""


def test_processes_take_no_module_of_the_present_folder(tmp_path):
    """`multiprocessing` starts them, and its trackers, by python -c."""
    for name in ("a.png", "b.png"):
        medenh.write(np.zeros((32, 32), np.uint8), tmp_path / name)
    (tmp_path / "multiprocessing.py").write_text(_PLANTED)
    done = subprocess.run(
        [sys.executable, "-c", _RUN], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "multiprocessing.py.ran").exists()
    assert (tmp_path / "out" / "b.png").exists()


_POOL = """
import multiprocessing, sys
import medenh

def measure(count):
    found = medenh.evaluate(sys.argv[1], sys.argv[1], workers=count)
    return len(found.row("enhanced").scores["ssim"])

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(measure, [2, None]) == [2, 2]
"""


def test_a_process_that_may_start_none_works_alone(tmp_path):
    """As in a worker of `multiprocessing.Pool` or of Celery."""
    for name in ("a.png", "b.png"):
        medenh.write(np.zeros((32, 32), np.uint8), tmp_path / name)
    (tmp_path / "pool.py").write_text(_POOL)
    done = subprocess.run(
        [sys.executable, tmp_path / "pool.py", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
