"""Images a second of every bundled enhancer, by engine and precision, on the CPU.

    python tests/bench/model_speed.py [--models fast-fundus dpe-general] [--sizes 512]
        [--threads 1] [--rounds 5] [-o model_speed.csv]

For every model, engine and precision: milliseconds an image by the clock (the network
alone, through the program's own runner, as many images at a time as that takes) and of
processor time, which others on the machine disturb less, GFLOP/s, and their share of
this machine's matrix product of that precision on as many threads, measured beside it;
then of a process of
its own, that enhances one PNG, its most memory (picture of the same size) and the
seconds from start to end (256x256; the second run, with the converted model cached).
`torch-loop` is the plain network in fp32, as a first script would run it. All engines
of a model and size are taken in turn, and the median of the rounds stands. Writes a CSV
and a plot. Wants a quiet machine.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

import medenh
from medenh.device import Device
from medenh.pipeline.openvino_runner import OpenVinoRunner
from medenh.pipeline.runners import TorchRunner
from medenh.zoo.load import load_network
from medenh.zoo.manifest import load_manifest

_COLUMNS = ("model", "engine", "precision", "size", "ms", "cpu_ms", "images_per_s",
            "gflop", "gflop_per_s", "share_of_peak", "times_faster_than_loop",
            "start_up_s", "peak_mb")  # fmt: skip
_START_UP_SIDE = 256
# a child's peak counts what its parent held when it was made: the parent must be small
_WATCH = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(time.perf_counter() - start, most)
"""
# what a first script does with a picture: load, run, save
_LOOP = """
import sys, cv2, numpy as np, torch
from medenh.zoo.load import load_network
from medenh.zoo.manifest import load_manifest
model, source, target = sys.argv[1:]
torch.set_num_threads(1)
network = load_network(load_manifest().resolve(model, "unknown").card)
x = torch.from_numpy(cv2.imread(source)[..., ::-1] / np.float32(255)).permute(2, 0, 1)
with torch.no_grad():
    y = network(x[None])[0].clamp(0, 1).permute(1, 2, 0).numpy()
cv2.imwrite(target, np.rint(y[..., ::-1] * 255).astype(np.uint8))
"""


def peak(dtype: torch.dtype, rounds: int) -> float:
    """Return GFLOP/s of a matrix product on torch's threads, the best of rounds."""
    n = 2048
    a, b = (torch.randn(n, n).to(dtype) for _ in range(2))
    return max(2 * n**3 / timed(lambda: a @ b) / 1e9 for _ in range(rounds + 1))


def timed(action: Callable[[], Any]) -> float:
    """Return the wall seconds of a call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def at_a_time(
    run: Callable[[np.ndarray], Any], count: int
) -> Callable[[np.ndarray], tuple[float, float]]:
    """Return what runs an image in so many threads: wall and CPU seconds for one."""
    pool = ThreadPoolExecutor(count)
    each = 16 if count > 1 else 1  # threads begin and end at their own times

    def seconds(x: np.ndarray) -> tuple[float, float]:
        images = [x] * (each * count)
        start = time.process_time()
        # answers are let go, as a folder's are once they are written
        answers = partial(pool.map, lambda image: run(image).shape, images)
        wall = timed(lambda: list(answers()))
        return wall / len(images), (time.process_time() - start) / len(images)

    return seconds


def candidates(card: Any, network: torch.nn.Module) -> dict[tuple[str, str], Any]:
    """Return what times an image, by engine and precision."""
    found: dict[tuple[str, str], Any] = {}
    precisions = ["fp32", *card.precision]
    for precision in precisions:
        for runner in (
            OpenVinoRunner.of_card(card, precision),
            TorchRunner(load_network(card), Device("cpu"), precision),
        ):
            found[runner.engine, precision] = at_a_time(runner.run, runner.workers)

    def loop(batch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.from_numpy(batch)).numpy()

    found["torch-loop", "fp32"] = at_a_time(loop, 1)
    return found


def measure(card: Any, size: int, rounds: int, peaks: dict[str, float]) -> list[dict]:
    """Return a row for each engine and precision."""
    network = load_network(card)
    x = np.random.default_rng(0).random((1, 3, size, size), np.float32)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.from_numpy(x))
    gflop = counter.get_total_flops() / 1e9
    clocks = candidates(card, network)
    for clock in clocks.values():
        clock(x)  # compiles
    times: dict[tuple[str, str], list[float]] = {key: [] for key in clocks}
    spent: dict[tuple[str, str], list[float]] = {key: [] for key in clocks}
    for _ in range(rounds):
        for key, clock in clocks.items():
            wall, processor = clock(x)
            times[key].append(wall)
            spent[key].append(processor)
    seconds = {key: statistics.median(found) for key, found in times.items()}
    rows = []
    for (engine, precision), s in seconds.items():
        rate = gflop / s
        start_up, _ = whole_process(card.id, engine, precision, _START_UP_SIDE)
        _, most = whole_process(card.id, engine, precision, size)
        rows.append(dict(zip(_COLUMNS, (
            card.id, engine, precision, size, round(s * 1e3, 1),
            round(statistics.median(spent[engine, precision]) * 1e3, 1),
            round(1 / s, 2), round(gflop, 2), round(rate, 1),
            round(rate / peaks[precision], 3),
            round(seconds["torch-loop", "fp32"] / s, 2), round(start_up, 2),
            round(most)), strict=True)))  # fmt: skip
    return rows


def whole_process(
    model: str, engine: str, precision: str, side: int
) -> tuple[float, float]:
    """Return seconds and most MB of a process for one square PNG, the second time."""
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "a.png", Path(name) / "b.png"
        ramp = np.linspace(0, 255, side, dtype=np.uint8)
        cv2.imwrite(str(source), np.dstack([ramp + ramp[:, None] // 2] * 3))
        command = [sys.executable, "-c", _LOOP, model, str(source), str(target)]
        if engine != "torch-loop":
            command = [sys.executable, "-m", "medenh", "enhance", str(source), "-q",
                       "-m", model, "--engine", engine, "--precision", precision,
                       "--on-exists", "overwrite", "-o", str(target)]  # fmt: skip
        return [run_child(command) for _ in range(2)][-1]


def run_child(command: list[str]) -> tuple[float, float]:
    """Return seconds and most MB of a process."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", _WATCH, *command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds, most = done.stdout.split()
    unit = 1 if sys.platform == "darwin" else 1024
    return float(seconds), int(most) * unit / 2**20


def plot(rows: list[dict], path: Path) -> None:
    """Draw speed, share of the peak, start-up and memory, a bar for each row."""
    names = [f"{r['model']} {r['size']} {r['engine']} {r['precision']}" for r in rows]
    titles = {
        "images_per_s": "images/s",
        "share_of_peak": "share of the matrix product's GFLOP/s",
        "start_up_s": f"seconds for one PNG of {_START_UP_SIDE}, start and all",
        "peak_mb": "most MB of a process",
    }
    figure = Figure(figsize=(16, 1.2 + 0.22 * len(rows)))
    for axes, (column, title) in zip(
        figure.subplots(1, len(titles), sharey=True), titles.items(), strict=True
    ):
        axes.barh(names[::-1], [row[column] for row in rows][::-1])
        axes.set_xlabel(title)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*")
    parser.add_argument("--sizes", nargs="*", type=int, default=[512, 1024])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", default="model_speed.csv")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # what runners ask
    torch.set_num_threads(arguments.threads)
    peaks = {"fp32": peak(torch.float32, arguments.rounds),
             "bf16": peak(torch.bfloat16, arguments.rounds)}  # fmt: skip
    print(f"medenh {medenh.__version__}, {arguments.threads} threads, "  # noqa: T201
          f"matrix product in GFLOP/s: {peaks}")  # fmt: skip
    manifest = load_manifest()
    cards = [c for c in manifest.current()
             if c.weights is not None and c.recognition is None
             and (not arguments.models or c.id in arguments.models)]  # fmt: skip
    rows = []
    for card in cards:
        for size in arguments.sizes:
            for row in measure(card, size, arguments.rounds, peaks):
                rows.append(row)
                print("  ".join(f"{row[name]}" for name in _COLUMNS), flush=True)  # noqa: T201
    output = Path(arguments.output)
    with output.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, output.with_suffix(".png"))


if __name__ == "__main__":
    main()
