"""How much memory a pixel takes a model: `bytes_per_pixel` of its card."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable

__all__ = ["measure_memory"]

_RUNS = 2
_CHILD = """
import json
import sys

places, name, engine, *sides = sys.argv[1:]
sys.path[:] = json.loads(places)

import numpy as np
import medenh
from medenh.formats.array import from_array

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(l for l in lines if l.startswith("VmHWM")).split()[1])

engine = "auto" if engine == "classical" else engine
model = medenh.load_model(name, "cpu", "fp32", engine=engine, tile="off")
rng = np.random.default_rng(0)
for side in map(int, sides):
    pixels = rng.integers(0, 255, (side, side, 3), np.uint8)
    model.enhance(from_array(pixels))
    print(peak())
"""


def measure_memory(
    name: str, engines: tuple[str, ...], on_failure: Callable[[str], None]
) -> dict[str, int]:
    """Measure what each further pixel of a frame takes, in bytes.

    Parameters
    ----------
    name : str
        Id of a model of the zoo.
    engines : tuple of str
        "openvino", "torch"; ("classical",) of a weight-free method.
    on_failure : callable
        Told why an engine could not be measured; it is left out.

    Returns
    -------
    dict
        Engine -> bytes, rounded up to tens. Empty where the system does not tell a
        process's peak (Linux does).

    Notes
    -----
    The growth of a process's peak from one square to the next, in RGB and float32 on
    the CPU, the larger of two runs, which differ by up to a quarter. Squares of 512 and
    1024 pixels; weight-free methods take so little that theirs are 1024 and 2048.
    """
    found = {}
    for engine in engines:
        sides = (1024, 2048) if engine == "classical" else (512, 1024)
        grown = 0
        for _ in range(_RUNS):
            one = _growth(name, engine, sides, on_failure)
            if one is None:
                break
            grown = max(grown, one)
        else:
            more = grown / (sides[1] ** 2 - sides[0] ** 2)
            found[engine] = math.ceil(more / 10) * 10
    return found


def _growth(
    name: str, engine: str, sides: tuple[int, int], on_failure: Callable[[str], None]
) -> int | None:
    """Return by how many bytes a process's peak grows from one side to the next."""
    places = json.dumps(sys.path)
    # -P: what lies in the present folder is no module of ours
    command = [sys.executable, "-P", "-c", _CHILD, places]
    words = [*command, name, engine, *map(str, sides)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it was killed"])[-1]
        on_failure(f"memory under {engine} is not known: {last}")
        return None
    small, large = map(int, ended.stdout.split())
    return large - small
