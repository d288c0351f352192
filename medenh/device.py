"""Where the work runs: device, precision and threads. Picked once, said in words.

torch is imported only when the machine could have an accelerator, so that a run that
OpenVINO serves from its cache starts without it.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from medenh import control_groups
from medenh.errors import UsageError, spelled

__all__ = [
    "Device",
    "Precision",
    "cpu_flags",
    "cpu_has_bf16",
    "environment_of_one_thread",
    "has_bf16",
    "interpreter",
    "keep_freed_memory",
    "num_threads",
    "one_thread_each",
    "one_thread_for_sums",
    "one_torch_thread_in_forks",
    "pick_device",
    "pick_precision",
    "surroundings_of_children",
    "usable_cores",
]

Precision = Literal["fp32", "bf16", "fp16"]

# what libraries read when they are loaded
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    ),
    "1",
)

# What glibc reads when a process starts: pieces of up to 32 MiB are cut from memory
# that was freed before, of which 64 MiB stay. By its own rules it hands the memory of
# each picture back to the system and asks for it anew, page by page, for the next one.
# Name -> number in malloc.h, value.
_MEMORY_KEPT = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 << 20),
    "MALLOC_TRIM_THRESHOLD_": (-1, 64 << 20),
}

_NAME = re.compile(r"cpu|mps|cuda(:\d+)?")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True, slots=True)
class Device:
    """A place to run a network.

    Attributes
    ----------
    name : str
        "cpu", "cuda", "cuda:1" or "mps", as torch spells it.
    reason : str
        Why it was picked.
    """

    name: str
    reason: str = "asked for"

    @property
    def kind(self) -> str:
        """The name without an index: "cpu", "cuda" or "mps"."""
        return self.name.partition(":")[0]

    def describe(self) -> str:
        """Return the device in words, with its model where that is known."""
        if self.kind == "cuda":
            import torch

            return f"{self.name} ({torch.cuda.get_device_name(self.name)})"
        if self.kind == "cpu":
            return f"cpu ({num_threads()} threads)"
        return self.name


def pick_device(name: str = "auto") -> Device:
    """Return the device to run on.

    Parameters
    ----------
    name : str
        "auto" (CUDA, else the CPU), "cpu", "cuda", "cuda:N", or "mps", Apple's GPU.

    Raises
    ------
    UsageError
        The name is unknown, or this machine has no such device.
    """
    if name == "auto":
        return _best_device()
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"unknown device {name!r}", hint="use auto, cpu, cuda, cuda:N or mps"
        )
    if name != "cpu":
        _check_accelerator(name)
    return Device(name)


def _best_device() -> Device:
    if _may_have_cuda():
        import torch

        if torch.cuda.is_available():
            return Device("cuda", "a CUDA device is there")
    # not Apple's: torch 2.13 refuses networks of ours there for most sizes of pictures
    # (adaptive pooling), and nobody has measured what the rest gives
    return Device("cpu", "no accelerator is there")


def _may_have_cuda() -> bool:
    """Tell cheaply whether asking torch for CUDA is worth its import."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        return False
    if "torch" in sys.modules or sys.platform == "win32":
        return True
    return any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def _check_accelerator(name: str) -> None:
    import torch

    kind, _, index = name.partition(":")
    if kind == "mps":
        there = torch.backends.mps.is_available()
    else:
        there = torch.cuda.is_available() and (
            int(index or 0) < torch.cuda.device_count()
        )
    if not there:
        raise UsageError(
            f"no device {name} on this machine", hint=f"use {spelled(device='cpu')}"
        )


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let libraries that are loaded inside, here or in new processes, use one thread.

    Sums of several threads may round differently: the bytes of an output must not
    depend on the number of cores.
    """
    with _environment(ONE_THREAD, limits=True):
        yield


@contextmanager
def surroundings_of_children() -> Iterator[None]:
    """Set what Python's processes that are started inside inherit.

    They use one thread each, keep freed memory, and take no module of the present
    folder for Python's own: `multiprocessing` starts them by ``python -c``, which looks
    there first.
    """
    with _environment({**ONE_THREAD, **_memory_to_keep(), "PYTHONSAFEPATH": "1"}):
        yield


def environment_of_one_thread() -> dict[str, str]:
    """Return the environment for a process of one thread, as a copy.

    Threads may take names away meanwhile, of which ``dict(os.environ)`` is a KeyError.
    """
    found = {name: os.environ.get(name) for name in list(os.environ)}
    return {n: value for n, value in found.items() if value is not None} | ONE_THREAD


def interpreter() -> str:
    """Return the program that runs Python here, also where Python is embedded.

    In a server that embeds it (uWSGI, mod_wsgi) `sys.executable` is the server, or
    nothing. What `multiprocessing.set_executable` was told comes first.
    """
    from multiprocessing import spawn

    own = sys.executable or ""
    told = os.fsdecode(spawn.get_executable() or "")
    if told not in ("", own) or "py" in Path(own).name.lower():
        return told or own
    name = "python.exe" if os.name == "nt" else "bin/python3"
    usual = Path(sys.exec_prefix) / name
    return str(usual) if usual.exists() else own


def keep_freed_memory() -> None:
    """Let this process use freed memory again, where the C library is glibc.

    For a program of one's own: it is a setting of the whole process. What the
    environment says of it (``MALLOC_TRIM_THRESHOLD_``...) comes first.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries lack it
    if mallopt is not None:
        for name in _memory_to_keep():
            mallopt(*_MEMORY_KEPT[name])


def _memory_to_keep() -> dict[str, str]:
    """Return names and values of what the user says nothing of."""
    with _changing:
        said = {name: _user_says(name) for name in _MEMORY_KEPT}
    return {n: str(_MEMORY_KEPT[n][1]) for n, value in said.items() if value is None}


@dataclass(slots=True)
class _Change:
    """A name of the environment that is not as the user left it."""

    before: str | None
    threads: list[int]  # that need it so, each as often as it does


# The environment is one for all threads: what one has set another would take for the
# user's, and set again for good. The first that needs a change makes it, the last one
# takes it back. The lock is held for that alone, never while processes start or others'
# code runs: whoever asks for it waits for nothing that could wait for him.
_changing = threading.RLock()
_changed: dict[str, _Change] = {}
_limiting: list[int] = []  # threads that want one thread in this process, too


@contextmanager
def _environment(changes: Mapping[str, str], *, limits: bool = False) -> Iterator[None]:
    thread = threading.get_ident()
    with _changing:
        for name, value in changes.items():
            if name not in _changed:  # noted first: a fork may come in between
                _changed[name] = _Change(os.environ.get(name), [])
                os.environ[name] = value
            _changed[name].threads.append(thread)
        if limits:
            _limiting.append(thread)
    try:
        yield
    finally:
        with _changing:
            for name in changes:
                _changed[name].threads.remove(thread)
            if limits:
                _limiting.remove(thread)
            _take_back()


def _take_back() -> None:
    """Set to what the user said all that no thread needs otherwise."""
    for name in [name for name, change in _changed.items() if not change.threads]:
        before = _changed[name].before
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
        del _changed[name]


def _user_says(name: str) -> str | None:
    return _changed[name].before if name in _changed else os.environ.get(name)


def _forget_other_threads() -> None:
    """In the child of a fork: they are not there, nor what they need or had locked."""
    global _changing
    _changing = threading.RLock()
    here = threading.get_ident()
    for change in _changed.values():
        change.threads = [thread for thread in change.threads if thread == here]
    _limiting[:] = [thread for thread in _limiting if thread == here]
    _take_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


def num_threads() -> int:
    """Return how many threads to use: what the process may use, or OMP_NUM_THREADS."""
    with _changing:  # it may be 1 for processes that are being started
        asked = "1" if _limiting else _user_says("OMP_NUM_THREADS") or ""
    asked = asked.partition(",")[0]
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return usable_cores()


def one_thread_for_sums() -> None:
    """Let OpenBLAS use one thread, unless the environment says otherwise.

    Sums of several threads may round differently: figures must be the same on every
    machine. It has an effect before numpy's first import only.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@cache
def one_torch_thread_in_forks() -> None:
    """Have torch compute on one thread in processes that are forked from this one.

    Its other threads are not there, and it would wait for them for ever. Answers are
    the same on any number of threads.
    """
    import torch

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def usable_cores() -> int:
    """Return how many cores the process may use now, by affinity and control group."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min([cores, *_core_quotas()]))


@cache
def _core_quotas() -> tuple[int, ...]:
    """Return the cores that control groups grant, rounded up to whole ones."""
    found = []
    for folder, unified in control_groups.folders_of("cpu"):
        try:
            if unified:
                quota, period = (folder / "cpu.max").read_text("utf-8").split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text("utf-8")
                period = (folder / "cpu.cfs_period_us").read_text("utf-8")
            cores = -(-int(quota) // int(period))
        except (OSError, ValueError):  # "max"
            continue
        if cores > 0:  # -1 is none in version 1
            found.append(cores)
    return tuple(found)


@cache
def cpu_flags() -> frozenset[str] | None:
    """Return what Linux says the CPU can do ("avx2"...); None where nothing says it."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):  # the second one on ARM
            return frozenset(words.split())
    return None


def cpu_has_bf16() -> bool:
    """Return whether the CPU multiplies bfloat16 natively (AVX-512 BF16 or AMX)."""
    return not _BF16_FLAGS.isdisjoint(cpu_flags() or ())


def pick_precision(
    asked: str, device: Device, *, certified: frozenset[str] = frozenset()
) -> Precision:
    """Return the precision to compute in.

    Parameters
    ----------
    asked : str
        "auto", "fp32", "bf16" or "fp16".
    device : Device
        Where the network runs.
    certified : set of str
        Precisions for which the model's card proves at least 55 dB against fp32 and
        at most 2 grey levels of difference.

    Raises
    ------
    UsageError
        The precision is unknown, or fp16 is asked for on a CPU, where it is neither
        quick nor safe.
    """
    if asked == "auto":
        fast = "bf16" in certified and has_bf16(device)
        return "bf16" if fast else "fp32"
    if asked == "fp16" and device.kind == "cpu":
        raise UsageError(
            "fp16 is not supported on a CPU", hint=f"use {spelled(precision='fp32')}"
        )
    if asked == "fp32":
        return "fp32"
    if asked == "bf16":
        return "bf16"
    if asked == "fp16":
        return "fp16"
    raise UsageError(
        f"unknown precision {asked!r}", hint="use auto, fp32, bf16 or fp16"
    )


def has_bf16(device: Device) -> bool:
    """Return whether a device multiplies bfloat16 natively; elsewhere it is slow."""
    if device.kind == "cpu":
        return cpu_has_bf16()
    if device.kind == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return False
