"""Batches made ahead, by a thread or by processes, are the same."""

import multiprocessing
import signal

import cv2
import numpy as np
import pytest

from medenh.training import batches
from medenh.training.batches import batches_ahead


class _Blurred:
    """Draws by cv2, in its own threads where it has some."""

    def draw(self, step, positions):
        planes = [np.full((256, 256), step + p / 10, np.float32) for p in positions]
        return {"image": np.stack([cv2.GaussianBlur(p, (0, 0), 3) for p in planes])}


@pytest.fixture
def many_threads():
    """Cv2 has started threads, as it has after images were loaded; nothing hangs."""

    def give_up(_number, _frame):
        raise TimeoutError("the processes hang")

    threads, before = cv2.getNumThreads(), signal.signal(signal.SIGALRM, give_up)
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000), np.float32), (0, 0), 3)
    signal.alarm(120)  # far from what a busy machine takes: it would end the worker
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    cv2.setNumThreads(threads)


@pytest.mark.usefixtures("many_threads")
def test_processes_make_what_a_thread_makes():
    parts = [range(2), range(2, 4)]
    by_thread = list(batches_ahead(_Blurred(), range(3, 7), parts))
    by_processes = list(batches_ahead(_Blurred(), range(3, 7), parts, workers=2))
    assert cv2.getNumThreads() == 4
    assert len(by_thread) == len(by_processes) == 4
    for one, two in zip(by_thread, by_processes, strict=True):
        for mine, theirs in zip(one, two, strict=True):
            np.testing.assert_array_equal(mine["image"], theirs["image"].numpy())


def test_processes_take_no_module_of_the_present_folder(tmp_path, monkeypatch):
    """They are spawned on macOS, and from Python 3.14 on started by a server."""
    planted = tmp_path / "multiprocessing.py"
    planted.write_text("open(__file__ + '.ran', 'w').close()\nraise SystemExit(1)\n")
    monkeypatch.chdir(tmp_path)
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        made = list(batches_ahead(_Blurred(), range(2), [range(2)], workers=1))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert len(made) == 2
    assert list(tmp_path.iterdir()) == [planted]


def test_processes_are_no_more_than_the_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr(batches, "usable_cores", lambda: 3)
    assert batches.count_workers("auto", "cuda:0") == 2
    assert batches.count_workers("auto", "cpu") == 0
