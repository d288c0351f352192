"""Folders for files in the making, and what killed processes left of them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from medenh import scratch
from medenh.scratch import scratch_folder

_HOLD = """
import sys, time
from pathlib import Path
from medenh.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), ".x-") as folder:
    (folder / "half").mkdir()
    (folder / "half" / "done.bin").write_bytes(b"1")
    print(folder.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def killed(tmp_path):
    """Return a living process with a folder, and how to kill it."""
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    yield tmp_path / name, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_folder_goes_after_its_use_and_after_a_kill(killed, tmp_path):
    left, process = killed
    with scratch_folder(tmp_path, ".x-") as folder:
        assert left.is_dir()  # of a process that lives
        assert folder.is_dir()
    assert not folder.exists()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert left.is_dir()
    with scratch_folder(tmp_path, ".y-"):
        assert left.is_dir()  # another kind is not ours to judge
    with scratch_folder(tmp_path, ".x-"):
        assert not left.exists()
    assert not list(tmp_path.iterdir())


def test_what_others_left_stays(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "lock").touch()
    (tmp_path / ".x-notes").mkdir()
    (tmp_path / ".x-notes" / "lock").touch()
    (tmp_path / ".x-0123").mkdir()  # without a lock
    (tmp_path / ".x-4567").symlink_to(mine)
    (tmp_path / ".x-89ab").touch()
    before = sorted(tmp_path.rglob("*"))
    with scratch_folder(tmp_path, ".x-"):
        pass
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("hours", [1, 7])
def test_without_locks_age_decides(tmp_path, monkeypatch, hours):
    monkeypatch.setattr(scratch, "try_lock", lambda handle: None)
    left = tmp_path / ".x-0123"
    left.mkdir()
    (left / "lock").touch()
    at = time.time() - hours * 3600
    os.utime(left / "lock", (at, at))
    with scratch_folder(tmp_path, ".x-"):
        assert left.exists() == (hours < 6)


def test_an_error_inside_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="no"), scratch_folder(tmp_path, ".x-"):
        raise ValueError("no")
    assert not list(tmp_path.iterdir())


def test_no_folder_is_swept_before_its_lock_is_taken(tmp_path, monkeypatch):
    """Another process sweeps at the worst moment: the file is there, and no lock."""
    lock, swept = scratch.try_lock, []

    def late(handle):
        if not swept:
            swept.append(True)
            with scratch_folder(tmp_path, ".x-"):
                pass
        return lock(handle)

    monkeypatch.setattr(scratch, "try_lock", late)
    with scratch_folder(tmp_path, ".x-") as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["lock"]
