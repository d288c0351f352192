"""Speed of psnr, ssim and de2000, alone and on a folder of pairs, beside scikit-image.

    python tests/bench/metrics_speed.py [--pairs 200] [--size 512] [--workers 2]

First the processor time of each metric on one pair, one thread, and that of
scikit-image's functions; then a folder of RGB PNG pairs, read and measured by worker
processes that use one thread each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from skimage import color, data, metrics

from medenh.metrics import METRICS

NAMES = ("psnr", "ssim", "de2000")


def make_pairs(folder: Path, count: int, size: int) -> list[tuple[str, str]]:
    """Write crops of a photograph, and noisy darker copies of them."""
    picture = data.retina()
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(count):
        top, left = rng.integers(picture.shape[0] - size, size=2)
        crop = picture[top : top + size, left : left + size]
        noisy = crop * rng.uniform(0.6, 0.95) + rng.normal(0, 4, crop.shape)
        names = [str(folder / f"{index}-{side}.png") for side in ("image", "reference")]
        for name, pixels in zip(names, (noisy.clip(0, 255), crop), strict=True):
            cv2.imwrite(name, np.ascontiguousarray(pixels.astype(np.uint8)[..., ::-1]))
        pairs.append((names[0], names[1]))
    return pairs


def say(line: str) -> None:
    """Write a line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def read(name: str) -> np.ndarray:
    """Return a PNG's pixels, RGB."""
    return cv2.cvtColor(cv2.imread(name), cv2.COLOR_BGR2RGB)


def score(pair: tuple[str, str]) -> list[float]:
    """Read a pair and measure it with the three metrics."""
    cv2.setNumThreads(1)
    image, reference = map(read, pair)
    return [METRICS[name](image, reference, data_range=255) for name in NAMES]


def their_ssim(one: np.ndarray, other: np.ndarray) -> float:
    """SSIM of the same settings by scikit-image."""
    return metrics.structural_similarity(
        one.astype(float),
        other.astype(float),
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )


def their_difference(one: np.ndarray, other: np.ndarray) -> float:
    """CIEDE2000 by scikit-image."""
    lab = (color.rgb2lab(side) for side in (one, other))
    return float(color.deltaE_ciede2000(*lab).mean())


def milliseconds(function: Callable[[], object]) -> float:
    """Return processor time, the best of five runs after a first one."""
    function()
    times = []
    for _ in range(5):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        pairs = make_pairs(Path(folder), options.pairs, options.size)
        say(f"reading a pair: {milliseconds(lambda: [*map(read, pairs[0])]):.1f} ms")
        image, reference = map(read, pairs[0])
        mask = np.indices(image.shape[:2]).sum(0) % 9 < 3
        for name, metric in METRICS.items():
            given = {"mask": mask} if metric.of_structures else {}
            spent = milliseconds(
                lambda: metric(image, reference, data_range=255, **given)  # noqa: B023
            )
            say(f"{name}: {spent:.1f} ms a pair")
        theirs = {"ssim": their_ssim, "de2000": their_difference}
        for name, function in theirs.items():
            spent = milliseconds(lambda: function(image, reference))  # noqa: B023
            say(f"scikit-image's {name}: {spent:.1f} ms a pair")
        workers = options.workers
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(score, pairs[:workers]))  # imports are not counted
            start = time.perf_counter()
            list(pool.map(score, pairs, chunksize=4))
            rate = len(pairs) / (time.perf_counter() - start)
    say(f"{'+'.join(NAMES)} with reading: {rate:.1f} pairs/s, {workers} processes")


if __name__ == "__main__":
    main()
