"""`medenh enhance` on a folder of PNGs against a plain loop: a process each way.

    python tests/bench/enhance_vs_loop.py [--images 50] [--size 512] [--rounds 3]
        [--model dpe-general] [--precision fp32|auto]

The loop reads with OpenCV, runs the network at batch 1 in torch fp32 and writes PNG,
with the same weights. Both are whole processes, taken in turn; the ratio of wall times
is printed for each round, with the difference between the two outputs in grey levels.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from skimage import data

LOOP = """
import sys, pathlib, cv2, numpy as np, torch
import medenh
network = medenh.load_model(sys.argv[1], device="cpu", precision="fp32").network
out = pathlib.Path(sys.argv[3])
with torch.inference_mode():
    for path in sorted(pathlib.Path(sys.argv[2]).glob("*.png")):
        image = cv2.imread(str(path))[..., ::-1].astype("float32") / 255
        batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        result = network(batch)[0].numpy().transpose(1, 2, 0)
        pixels = np.rint(result * 255).clip(0, 255).astype("uint8")
        cv2.imwrite(str(out / path.name), pixels[..., ::-1])
"""


def make_folder(folder: Path, count: int, size: int) -> None:
    """Write ``count`` different darkened crops of a real photograph."""
    picture = np.concatenate([data.retina(), data.retina()[::-1]])
    picture = np.tile(picture, (1 + size // 1411, 1 + size // 1411, 1))
    rng = np.random.default_rng(0)
    for index in range(count):
        top = rng.integers(picture.shape[0] - size)
        left = rng.integers(picture.shape[1] - size + 1)
        crop = picture[top : top + size, left : left + size]
        dark = np.floor(crop * rng.uniform(0.2, 0.8)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index:03d}.png"), dark[..., ::-1])


def timed(command: list[str]) -> float:
    """Run a command and return its wall time in seconds."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the ratio of each round and the median."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="dpe-general")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--engine", default="auto")
    arguments = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        source, ours, loop = (Path(name) / part for part in ("in", "ours", "loop"))
        for folder in (source, ours, loop):
            folder.mkdir()
        make_folder(source, arguments.images, arguments.size)
        enhance = [sys.executable, "-m", "medenh", "enhance", str(source), "-o"]
        enhance += [str(ours), "-m", arguments.model, "-d", "cpu", "-q"]
        enhance += ["--precision", arguments.precision, "--engine", arguments.engine]
        plain = [sys.executable, "-c", LOOP, arguments.model, str(source), str(loop)]
        for number in range(arguments.rounds + 1):
            for leftover in (*ours.glob("*"), *ours.glob(".medenh*")):
                leftover.unlink(missing_ok=True)
            a, b = timed(enhance), timed(plain)
            label = "warm-up" if number == 0 else "round"
            print(f"{label}: medenh {a:.2f} s, loop {b:.2f} s, ratio {b / a:.2f}")  # noqa: T201
            if number:
                ratios.append(b / a)
        differences = [
            np.abs(cv2.imread(str(p)).astype(int) - cv2.imread(str(loop / p.name)))
            for p in ours.glob("*.png")
        ]
    summary = {
        "images": len(differences),
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
        "mean_difference_levels": round(float(np.mean(differences)), 4),
        "max_difference_levels": int(np.max(differences)),
    }
    print(json.dumps(summary))  # noqa: T201


if __name__ == "__main__":
    main()
