"""Batches made ahead, by a thread or by processes, are the same."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from medenh.training import batches


class _Blurred:
    """Draws by cv2, in its own threads where it has some."""

    def draw(self, step, positions):
        planes = [np.full((256, 256), step + p / 10, np.float32) for p in positions]
        return {"image": np.stack([cv2.GaussianBlur(p, (0, 0), 3) for p in planes])}


# cv2 has started threads, as it has after images were loaded; nothing hangs
_AFTER_MANY_THREADS = """
import cv2
import numpy as np
from tests.training.test_batches import _Blurred
from medenh.training.batches import batches_ahead

if __name__ == "__main__":
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000), np.float32), (0, 0), 3)
    parts = [range(2), range(2, 4)]
    by_thread = list(batches_ahead(_Blurred(), range(3, 7), parts))
    by_processes = list(batches_ahead(_Blurred(), range(3, 7), parts, workers=2))
    assert cv2.getNumThreads() == 4
    assert len(by_thread) == len(by_processes) == 4
    for one, two in zip(by_thread, by_processes, strict=True):
        for mine, theirs in zip(one, two, strict=True):
            np.testing.assert_array_equal(mine["image"], theirs["image"].numpy())
"""
# as on macOS; from Python 3.14 on they are started by a server
_SPAWNED = """
import multiprocessing
from tests.training.test_batches import _Blurred
from medenh.training.batches import batches_ahead

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    made = list(batches_ahead(_Blurred(), range(2), [range(2)], workers=1))
    assert len(made) == 2
"""


def _run(code, folder, cwd):
    """Run code in a process of its own: where it hangs or crashes, it says where."""
    script = folder / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", script],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,  # far from what a busy machine takes
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_processes_make_what_a_thread_makes(tmp_path):
    _run(_AFTER_MANY_THREADS, tmp_path, tmp_path)


def test_processes_take_no_module_of_the_present_folder(tmp_path):
    present = tmp_path / "present"
    present.mkdir()
    planted = present / "multiprocessing.py"
    planted.write_text("open(__file__ + '.ran', 'w').close()\nraise SystemExit(1)\n")
    _run(_SPAWNED, tmp_path, present)
    assert list(present.iterdir()) == [planted]


def test_processes_are_no_more_than_the_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr(batches, "usable_cores", lambda: 3)
    assert batches.count_workers("auto", "cuda:0") == 2
    assert batches.count_workers("auto", "cpu") == 0
