"""How fast `medenh evaluate` is: pairs a second, start and end included.

    python tests/bench/evaluate_speed.py [--pairs 200] [--side 512] [--workers 2]

Makes noisy pairs of RGB PNG in a temporary folder and runs the command as a user would.
Bar: 200 pairs of 512 x 512 with psnr, ssim and de2000 on two cores, 12 pairs a second.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from medenh import formats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_pairs(root, arguments.pairs, arguments.side)
        words = ["evaluate", str(root / "enhanced"), str(root / "reference")]
        words += ["--workers", str(arguments.workers), "--json"]
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "medenh", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.monotonic() - start
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime
    pairs = json.loads(done.stdout)["pairs"]
    sys.stdout.write(
        f"{pairs} pairs of {arguments.side} px in {seconds:.1f} s: "
        f"{pairs / seconds:.1f} pairs/s by {arguments.workers} workers; "
        f"{cpu:.1f} s of processor, {1000 * cpu / pairs:.0f} ms a pair\n"
    )


def make_pairs(root: Path, count: int, side: int) -> None:
    """Write pictures of waves and noise, and noisier copies of them."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    for index in range(count):
        waves = [np.sin(x / (20 + index % 7) + c) * np.cos(y / 30) for c in range(3)]
        clean = 128 + 80 * np.stack(waves, -1)
        for name, sigma in (("reference", 4.0), ("enhanced", 12.0)):
            noisy = clean + rng.normal(0, sigma, clean.shape)
            levels = np.clip(noisy, 0, 255).astype(np.uint8)
            formats.write(levels, root / name / f"{index:04d}.png")


if __name__ == "__main__":
    main()
