"""What decoders may do in the process that `isolation` gives them."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np

from medenh.errors import OverBudgetError


def count_up(words, data):
    """Yield parts of 0, 1, 2... of the type and sizes asked for."""
    start = 0
    for size in words["sizes"]:
        yield np.arange(start, start + size, dtype=words["type"])
        start += size


def echo(words, data):
    yield np.frombuffer(data, np.uint8)


def process_id(words, data):
    yield np.array([os.getpid()])


def sleepy_process_id(words, data):
    time.sleep(0.3)
    yield np.array([os.getpid()])


def refuse(words, data):
    yield np.zeros(1, np.uint8)
    raise OverBudgetError("too much of it", hint="take less")


def fail_with_os_error(words, data):
    raise OSError("broken data stream")
    yield


def lack_a_library(words, data):
    raise ImportError(words["reason"])
    yield


def run_out_of_memory(words, data):
    raise MemoryError
    yield


def panic(words, data):
    raise type("PanicException", (BaseException,), {})("called unwrap on None")
    yield


def chatter(words, data):
    """Print where the answers go, as native code does."""
    os.write(1, b"warning: 12 extraneous bytes\n")
    yield np.array([7], np.uint8)


def die(words, data):
    """Give a part, note the try, and end as words say."""
    with Path(words["log"]).open("a") as log:
        log.write(f"{os.getpid()}\n")
    yield np.zeros(1, np.uint8)
    if len(Path(words["log"]).read_text().split()) > words.get("deaths", 99):
        yield np.ones(1, np.uint8)
        return
    ends = {
        "SIGSEGV": lambda: ctypes.string_at(0),
        "SIGABRT": os.abort,
        "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "exit code 3": lambda: os._exit(3),
    }
    ends[words["end"]]()


def spin(words, data):
    """Compute without end."""
    Path(words["log"]).write_text(str(os.getpid()))
    while True:
        pass
    yield


def hang(words, data):
    """Never come back from native code, which keeps Python's lock."""
    Path(words["log"]).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(600)
    yield
