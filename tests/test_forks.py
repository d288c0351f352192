"""Models that a process has used, in processes that are forked from it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_FORK = """
import os, signal, sys, warnings
import numpy as np
import medenh

pixels = np.random.default_rng(0).integers(0, 200, (300, 200, 3), np.uint8)
model = medenh.load_model("fast-general", engine=sys.argv[1])
expected = model.enhance(pixels)
child = os.fork()
if child == 0:
    signal.alarm(60)
    assert np.array_equal(model.enhance(pixels), expected)
    other = medenh.load_model("fast-fundus", engine=sys.argv[1])
    assert other.enhance(pixels).shape == pixels.shape
    if sys.argv[2] == "given up":
        del model
    sys.exit(7)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert np.array_equal(model.enhance(pixels), expected)
sys.exit(code)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("engine", ["openvino", "torch"])
@pytest.mark.parametrize("then", ["given up", "kept"])
def test_a_model_in_use_works_on_in_a_forked_process(engine, then, tmp_path):
    """It computes there as here, and neither its end nor the process's hangs."""
    if engine == "openvino":
        pytest.importorskip("openvino")
    environment = os.environ | {
        "OMP_NUM_THREADS": "2",
        "MEDENH_CACHE": str(tmp_path),  # another model is converted in the child
    }
    done = subprocess.run(
        [sys.executable, "-c", _FORK, engine, then],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 7, done.stderr


_FORK_AFTERWARDS = """
import gc, os, signal, sys
import numpy as np
import medenh

pixels = np.random.default_rng(0).integers(0, 200, (300, 200, 3), np.uint8)

def use():
    model = medenh.load_model("fast-general", engine="openvino")
    return model.enhance(pixels)

expected = use()
gc.collect()
child = os.fork()
if child == 0:
    signal.alarm(60)
    assert np.array_equal(use(), expected)
    gc.collect()
    sys.exit(7)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_after_models_were_given_up_ends_well(tmp_path):
    """It inherits OpenVINO's idle threads, which are none, and no model of its own."""
    pytest.importorskip("openvino")
    done = subprocess.run(
        [sys.executable, "-c", _FORK_AFTERWARDS],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "2", "MEDENH_CACHE": str(tmp_path)},
    )
    assert done.returncode == 7, done.stderr


_AWAIT = """
signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
signal.alarm(60)  # where it waits for what nobody gives back
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
done.set()
other.join()
sys.exit(code)
"""

_FORK_WHILE_OTHERS_WORK = """
import os, signal, sys, threading
import numpy as np
import medenh
from medenh import device
from medenh.pipeline import openvino_cache

model = medenh.load_model("fast-general", engine="openvino")
model.enhance(np.zeros((64, 64, 3), np.uint8))
locked, done = threading.Event(), threading.Event()

def work():
    with openvino_cache._importing, device.surroundings_of_children():
        locked.set()
        done.wait()

other = threading.Thread(target=work)
other.start()
locked.wait()
child = os.fork()
if child == 0:
    device.num_threads()
    os._exit(7)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_waits_for_nothing_that_another_thread_does():
    """A child that has no use for models may be forked at any time."""
    pytest.importorskip("openvino")
    done = subprocess.run(
        [sys.executable, "-c", _FORK_WHILE_OTHERS_WORK + _AWAIT],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stderr


_FORK_BESIDE_A_MODEL_AT_WORK = """
import os, signal, sys, threading
import numpy as np
import medenh
from medenh.pipeline.budget import MEMORY_OF_PROCESS

pixels = np.zeros((64, 64), np.uint8)
medenh.enhance(pixels, model="clahe")
inside, done = threading.Event(), threading.Event()

def hold():
    with MEMORY_OF_PROCESS.room(MEMORY_OF_PROCESS._size):
        inside.set()
        done.wait()

other = threading.Thread(target=hold)
other.start()
inside.wait()
child = os.fork()
if child == 0:
    medenh.enhance(pixels, model="clahe")
    os._exit(7)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_waits_for_no_memory_of_its_parents_calls():
    done = subprocess.run(
        [sys.executable, "-c", _FORK_BESIDE_A_MODEL_AT_WORK + _AWAIT],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stderr
