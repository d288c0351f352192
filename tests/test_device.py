from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, nullcontext

import pytest

from medenh import control_groups, device
from medenh.device import (
    Device,
    environment_of_one_thread,
    num_threads,
    one_thread_each,
    pick_device,
    pick_precision,
    surroundings_of_children,
)
from medenh.errors import UsageError


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,4")
    assert num_threads() == 2


def test_threads_are_set_for_new_libraries_and_set_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with one_thread_each():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_opencv_leaves_the_path_of_libraries_alone():
    """Its loader ends `LD_LIBRARY_PATH` with a colon: the present folder."""
    code = "import os, medenh.opencv; print(os.environ.get('LD_LIBRARY_PATH'))"
    clean = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    for more, kept in (({}, "None"), ({"LD_LIBRARY_PATH": "/a:/b"}, "/a:/b")):
        out = subprocess.check_output(
            [sys.executable, "-c", code], env=clean | more, text=True
        )
        assert out.strip() == kept


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is a Linux notion")
def test_threads_follow_the_affinity():
    code = (
        "import os; os.environ.pop('OMP_NUM_THREADS', None);"
        "from medenh.device import num_threads; num_threads();"  # as a server's parent
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "print(num_threads())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert out.stdout.strip() == b"1"


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/job/step\n", {"job/cpu.max": "300000 100000"}, 3),
        (
            "0::/job/step\n",
            {"job/cpu.max": "300000 100000", "job/step/cpu.max": "max 100000"},
            3,
        ),
        (
            "4:cpu,cpuacct:/job\n",
            {
                "cpu/job/cpu.cfs_quota_us": "200000",
                "cpu/job/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (
            "4:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            64,
        ),
        ("", {}, 64),
    ],
)
def test_threads_follow_the_quota_of_the_job(monkeypatch, tmp_path, own, files, cores):
    """On a machine of many jobs it stands in the job's own control group."""
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    monkeypatch.setattr(control_groups, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(control_groups, "_OWN_GROUPS", tmp_path / "own")
    anew = device._core_quotas.__wrapped__
    monkeypatch.setattr(device, "_core_quotas", anew)
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda pid: set(range(64)), raising=False
    )
    assert device.usable_cores() == cores


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_unknown_devices_are_refused(name):
    with pytest.raises(UsageError, match="unknown device"):
        pick_device(name)


def test_a_missing_device_is_refused():
    with pytest.raises(UsageError, match="no device cuda:99"):
        pick_device("cuda:99")


def test_auto_on_a_plain_cpu_does_not_import_torch():
    code = (
        "import sys, os; os.environ['CUDA_VISIBLE_DEVICES'] = '';"
        "from medenh.device import pick_device; d = pick_device();"
        "print(d.name, 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    if sys.platform == "linux":
        assert out.stdout.split() == [b"cpu", b"False"]


def test_auto_leaves_apple_gpus_alone(monkeypatch):
    """Where torch 2.13 refuses the adaptive pooling of `fast-general` at most sizes."""
    import torch

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device().name == "cpu"
    assert pick_device("mps").name == "mps"


@pytest.mark.parametrize(
    ("asked", "certified", "has_bf16", "expected"),
    [
        ("auto", frozenset(), True, "fp32"),
        ("auto", frozenset({"bf16"}), True, "bf16"),
        ("auto", frozenset({"bf16"}), False, "fp32"),
        ("bf16", frozenset(), False, "bf16"),
        ("fp32", frozenset({"bf16"}), True, "fp32"),
    ],
)
def test_precision_is_quick_only_where_certified(
    monkeypatch, asked, certified, has_bf16, expected
):
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: has_bf16)
    assert pick_precision(asked, Device("cpu"), certified=certified) == expected


@pytest.mark.parametrize("asked", ["fp16", "int8"])
def test_precisions_that_a_cpu_lacks_are_refused(asked):
    with pytest.raises(UsageError, match=r"precision|fp16"):
        pick_precision(asked, Device("cpu"))


PAGES = """
import resource, sys
from medenh.device import keep_freed_memory, surroundings_of_children
if sys.argv[1] == "kept":
    keep_freed_memory()

def asked():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def pictures():
    for piece in [bytearray(3_000_000) for _ in range(6)]:
        piece[::4096] = b"1" * len(range(0, len(piece), 4096))

pictures()
before = asked()
for _ in range(10):
    pictures()
print(asked() - before)
"""


@pytest.fixture
def nothing_said_of_memory(monkeypatch):
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own rules")
@pytest.mark.parametrize("how", ["kept", "inherited"])
@pytest.mark.usefixtures("nothing_said_of_memory")
def test_memory_that_was_freed_is_used_again(how):
    """By glibc's rules each picture's pages are asked of the system anew."""
    asked = {}
    for way in ("plain", how):
        environment = (
            surroundings_of_children() if way == "inherited" else nullcontext()
        )
        with environment:
            command = [sys.executable, "-c", PAGES, way]
            out = subprocess.run(command, capture_output=True, check=True)
        asked[way] = int(out.stdout)
    assert asked[how] < asked["plain"] / 10


@pytest.mark.usefixtures("nothing_said_of_memory")
def test_what_the_user_says_of_memory_stays(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    with surroundings_of_children():
        assert os.environ["MALLOC_TRIM_THRESHOLD_"] == "1000"
        assert os.environ["MALLOC_MMAP_THRESHOLD_"] == str(32 << 20)
    assert "MALLOC_MMAP_THRESHOLD_" not in os.environ


def test_threads_that_start_processes_leave_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    before = dict(os.environ)
    inside = threading.Event()

    def start(seconds):
        with device.surroundings_of_children():
            inside.set()
            time.sleep(seconds)

    first = threading.Thread(target=start, args=(0.3,))
    first.start()
    inside.wait()
    second = threading.Thread(target=start, args=(0.6,))  # would end after the first
    second.start()
    assert device.num_threads() == 3
    first.join()
    second.join()
    assert dict(os.environ) == before


@pytest.mark.parametrize("held", [one_thread_each, surroundings_of_children])
def test_threads_that_start_processes_wait_for_no_other(held, monkeypatch):
    """A thread that has set the environment may wait for one that sets it, too."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    seen = []

    def start():
        with surroundings_of_children():
            seen.append((os.environ["OMP_NUM_THREADS"], num_threads()))

    with held():
        other = threading.Thread(target=start, daemon=True)
        other.start()
        other.join(20)
        assert os.environ["OMP_NUM_THREADS"] == "1"  # the other one has ended
    assert seen == [("1", 1 if held is one_thread_each else 3)]
    assert os.environ["OMP_NUM_THREADS"] == "3"


@pytest.mark.usefixtures("nothing_said_of_memory")
def test_the_last_thread_that_starts_processes_sets_the_environment_back():
    """The first to end takes nothing from one that is still starting processes."""
    before = dict(os.environ)
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(surroundings_of_children())
        inside = dict(os.environ)
        second.enter_context(surroundings_of_children())
        first.close()
        assert dict(os.environ) == inside != before
    assert dict(os.environ) == before


def test_the_environment_is_copied_while_threads_change_it(monkeypatch):
    """Other threads take names away in between: no KeyError."""

    class Vanishing(dict):
        def __getitem__(self, name):
            if name == "GONE":
                raise KeyError(name)
            return super().__getitem__(name)

        def get(self, name, default=None):
            return default if name == "GONE" else super().get(name, default)

    monkeypatch.setattr(device.os, "environ", Vanishing(GONE="1", KEPT="2"))
    found = environment_of_one_thread()
    assert (found["KEPT"], found["OMP_NUM_THREADS"]) == ("2", "1")
    assert "GONE" not in found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("whose", ["own", "another's"])
def test_a_fork_inherits_what_its_own_thread_has_set_alone(whose):
    """Another thread starts processes meanwhile; nobody there sets it back."""
    code = """
import os, sys, threading
from medenh.device import num_threads, surroundings_of_children

def fork():
    child = os.fork()
    if child == 0:
        print(os.environ["OMP_NUM_THREADS"], num_threads(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)

with surroundings_of_children():
    if sys.argv[1] == "own":
        fork()
    else:
        other = threading.Thread(target=fork)
        other.start()
        other.join()
"""
    out = subprocess.run(
        [sys.executable, "-c", code, whose],
        capture_output=True, check=True, timeout=60,
        env=os.environ | {"OMP_NUM_THREADS": "3"},
    )  # fmt: skip
    assert out.stdout.split() == ([b"1", b"3"] if whose == "own" else [b"3", b"3"])
