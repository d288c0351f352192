"""What Ctrl-C leaves behind in a script: threads that the end of the process awaits.

Native code that comes back into an interpreter that is going aborts the process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

_PREPARING = """
import os, signal, time
from medenh.pipeline.attempt import attempt

def work():
    os.kill(os.getpid(), signal.SIGINT)
    try:
        time.sleep(0.7)
    finally:
        print("whole", flush=True)

attempt(work, name="test")
"""

_IMPORTING = """
import os, signal, time
from medenh.pipeline.attempt import attempt

def work():
    os.kill(os.getpid(), signal.SIGINT)
    ending = time.monotonic() + 4
    while time.monotonic() < ending:
        exec("time.sleep(0.01)")
    print("to its end", flush=True)

attempt(work, name="test")
"""

_RUNNING = """
import os, signal, sys, time
import medenh
from medenh.pipeline.runners import ClassicalRunner

def run(self, batch, *how, **more):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.7)
    print("whole", flush=True)
    return batch

ClassicalRunner.run = run
medenh.enhance(*sys.argv[1:], model="identity")
"""

_HEARD = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs of a shell ignore it
"""


def interrupted(script, *words):
    done = subprocess.run(
        [sys.executable, "-c", _HEARD + script, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr.rstrip().endswith("KeyboardInterrupt"), done.stderr
    assert done.returncode == -signal.SIGINT
    return done.stdout


@pytest.fixture
def folder(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 200, (30, 40, 3), np.uint8)
    (tmp_path / "in").mkdir()
    for index in range(3):
        cv2.imwrite(str(tmp_path / "in" / f"{index}.png"), pixels)
    return tmp_path / "in"


def test_what_was_being_prepared_comes_to_its_end():
    assert interrupted(_PREPARING) == "whole\n"


def test_python_that_was_preparing_is_not_waited_for():
    """As an import of torch, of 10 s: code it runs made the exit code 1, too."""
    assert interrupted(_IMPORTING) == ""


def test_what_was_being_enhanced_comes_to_its_end(folder, tmp_path):
    assert "whole\n" in interrupted(_RUNNING, folder, tmp_path / "out")
