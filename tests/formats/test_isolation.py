"""Decoders in a process of their own: their numbers, their ends, and nothing else."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from medenh.errors import (
    InputError,
    MedenhError,
    OutOfMemoryError,
    OverBudgetError,
    UnreadableError,
)
from medenh.formats import isolation

HERE = Path(__file__).parent
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def ask(function, shape=(1,), dtype=np.uint8, data=b"", **words):
    target = np.full(shape, 9, dtype)
    name = f"faulty_decoders:{function}"
    isolation.fill(target, name, words, data, Path("picture.dcm"))
    return target


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # ended, and nobody has asked yet
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def eventually(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_parts_fill_the_array_in_order():
    got = ask("count_up", (4, 25), np.int32, type="int32", sizes=[1, 60, 39])
    np.testing.assert_array_equal(got.reshape(-1), np.arange(100))


def test_bytes_go_there_and_back_unchanged():
    data = np.random.default_rng(0).bytes(5_000_000)
    assert ask("echo", (len(data),), data=data).tobytes() == data


def test_one_process_is_kept_and_threads_get_their_own():
    first, again = (int(ask("process_id", dtype=np.int64)[0]) for _ in range(2))
    assert first == again != os.getpid()
    found = []

    def work():
        found.append(int(ask("sleepy_process_id", dtype=np.int64)[0]))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 3
    assert int(ask("process_id", dtype=np.int64)[0]) in found


def test_errors_come_back_as_they_were():
    with pytest.raises(OverBudgetError) as caught:
        ask("refuse", (5,))
    assert str(caught.value) == "picture.dcm: too much of it (take less)"
    before = int(ask("process_id", dtype=np.int64)[0])
    for name, told in {"fail_with_os_error": "OSError", "panic": "Panic"}.items():
        with pytest.raises(UnreadableError, match=told):
            ask(name)
    with pytest.raises(OutOfMemoryError, match=r"picture\.dcm: does not fit"):
        ask("run_out_of_memory")
    with pytest.raises(OutOfMemoryError, match=r"picture\.dcm: does not fit"):
        ask("lack_a_library", reason="x.so: failed to map segment")
    with pytest.raises(
        MedenhError, match=r"dcm: .*not found \(install medenh"
    ) as caught:
        ask("lack_a_library", reason="x.so: not found")
    assert not isinstance(caught.value, UnreadableError)
    # an error is an answer: no process was lost
    assert int(ask("process_id", dtype=np.int64)[0]) == before


def test_what_native_code_prints_is_no_answer():
    assert ask("chatter")[0] == 7


@posix
@pytest.mark.parametrize("end", ["SIGSEGV", "SIGABRT", "SIGKILL", "exit code 3"])
def test_a_crash_is_tried_once_more_and_then_said(tmp_path, end):
    log = tmp_path / "log"
    with pytest.raises(UnreadableError, match="crashed") as caught:
        ask("die", (2,), log=str(log), end=end)
    assert end in caught.value.what
    assert len(log.read_text().split()) == 2
    assert ask("chatter")[0] == 7


@posix
def test_one_that_crashes_once_only_costs_nothing(tmp_path):
    log = str(tmp_path / "log")
    assert ask("die", (2,), log=log, end="SIGKILL", deaths=1).tolist() == [0, 1]


@posix
def test_one_that_hangs_is_ended_in_time_and_replaced(tmp_path, monkeypatch):
    ask("chatter")  # its start does not count here
    monkeypatch.setattr(isolation, "read_seconds", lambda size: 0.3)
    log = tmp_path / "log"
    begun = time.monotonic()
    with pytest.raises(UnreadableError, match="more than 3 s"):
        ask("hang", log=str(log))
    assert time.monotonic() - begun < 10
    assert not is_alive(int(log.read_text()))
    monkeypatch.undo()
    assert ask("chatter")[0] == 7


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells its CPU time")
def test_one_that_computes_without_end_is_ended_long_before_one_that_waits(
    tmp_path, monkeypatch
):
    ask("chatter")
    monkeypatch.setattr(isolation, "read_seconds", lambda size: 1.0)
    with pytest.raises(UnreadableError, match="more than 1 s of computing"):
        ask("spin", log=str(tmp_path / "log"))


@pytest.mark.parametrize("sizes", [[50], [100, 1], [10**6]])
def test_too_few_or_too_many_numbers_are_no_answer(sizes):
    with pytest.raises(UnreadableError, match="crashed"):
        ask("count_up", (100,), type="uint8", sizes=sizes)
    assert ask("chatter")[0] == 7


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"n",
        struct.pack("<cQ", b"n", 2**60),
        struct.pack("<cQ", b"e", 2**60),
        struct.pack("<cQ", b"?", 0),
        struct.pack("<cQ", b".", 0),
    ],
)
def test_nonsense_costs_no_memory(monkeypatch, said):
    """A process that hostile bytes have taken over may say anything."""
    liar = f"import sys; sys.stdout.buffer.write({said!r})"
    monkeypatch.setattr(isolation, "_START", liar)
    monkeypatch.setattr(isolation, "_idle", [])
    with pytest.raises(UnreadableError, match="crashed"):
        ask("chatter")


def test_an_error_that_is_no_error_is_one_all_the_same():
    for text in (b"\xff", b"[1]", b"{}", b'["unheard of", "oh", ""]'):
        assert isinstance(isolation._error(text, Path("a")), InputError)


def test_no_process_to_be_had_is_said(monkeypatch):
    def refuse(*args, **options):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(isolation, "_idle", [])
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(OutOfMemoryError, match="no process can be started"):
        ask("chatter")


_HANGS = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pathlib import Path
from medenh.formats import isolation
isolation.fill(
    np.zeros(1), "faulty_decoders:hang", {"log": sys.argv[2]}, b"", Path("a")
)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the child")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_parent(tmp_path, number):
    log = tmp_path / "log"
    parent = subprocess.Popen(
        [sys.executable, "-c", _HANGS, str(HERE), str(log)], stderr=subprocess.DEVNULL
    )
    assert eventually(lambda: log.exists() and log.read_text())
    child = int(log.read_text())
    time.sleep(0.1)  # until it is inside native code
    assert is_alive(child)
    parent.send_signal(number)
    parent.wait(10)
    assert eventually(lambda: not is_alive(child))


def test_modules_of_the_present_folder_are_not_taken(tmp_path):
    (tmp_path / "pydicom.py").write_text("raise SystemExit('planted')")
    (tmp_path / "json.py").write_text("raise SystemExit('planted')")
    code = (
        "import sys, os, numpy as np; from pathlib import Path\n"
        "from medenh.formats import isolation\n"
        f"sys.path = [{str(HERE)!r}, *sys.path[1:]]\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "a = np.zeros(1, np.uint8)\n"
        "isolation.fill(a, 'faulty_decoders:chatter', {}, b'', Path('a'))\n"
        "print(a[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "7\n", done.stderr


@pytest.mark.parametrize("executable", ["", None, "/usr/bin/uwsgi"])
def test_python_may_be_embedded_in_a_server(executable):
    """There `sys.executable` is no Python, and nothing was decoded."""
    code = (
        f"import sys; sys.executable = {executable!r}\n"
        "import medenh, pydicom.data\n"
        "path = pydicom.data.get_testdata_file('J2K_pixelrep_mismatch.dcm')\n"
        "print(medenh.read(path).pixels.size)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout)
