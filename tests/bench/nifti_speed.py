"""Reading and writing `.nii.gz` beside nibabel: seconds and how many times as fast.

    python tests/bench/nifti_speed.py [--shape 256 256 160] [--rounds 5]

One volume of int16 with noise in smooth shapes, as of an MR scan. Both programs are
taken in turn, in one process; the median of the rounds stands, wall clock and processor
time. nibabel has its defaults, of compression too. What ours wrote is read by nibabel
and compared. Wants a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

import medenh
from medenh.types import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 160))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = Path(folder, "theirs.nii.gz"), Path(folder, "ours.nii.gz")
        volume = nibabel.Nifti1Image(scan(tuple(arguments.shape)), np.eye(4))
        nibabel.save(volume, theirs)
        image: Image = medenh.read(theirs)
        compare(
            "write",
            lambda: nibabel.save(volume, theirs),
            lambda: medenh.write(image, ours),
            arguments.rounds,
        )
        compare(
            "read",
            lambda: np.asarray(nibabel.load(theirs).dataobj),
            lambda: medenh.read(theirs),
            arguments.rounds,
        )
        known = np.asarray(volume.dataobj)
        again = np.asarray(nibabel.load(ours).dataobj)
        equal = np.array_equal(known, again)
        sizes = f"{ours.stat().st_size / theirs.stat().st_size:.2f} of nibabel's size"
        sys.stdout.write(f"equal numbers: {equal}; {sizes}\n")


def scan(shape: tuple[int, int, int]) -> np.ndarray:
    """Return smooth shapes under noise, int16, air cut off at zero."""
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 3) * 4000
    noisy = smooth.clip(-300) + 300 + np.abs(rng.normal(0, 8, shape))
    return noisy.astype(np.int16)


def compare(
    what: str,
    theirs: Callable[[], object],
    ours: Callable[[], object],
    rounds: int,
) -> None:
    """Run both in turn and print the medians and their ratio."""
    taken: dict[str, list[tuple[float, float]]] = {"nibabel": [], "medenh": []}
    for _ in range(rounds):
        for name, run in (("nibabel", theirs), ("medenh", ours)):
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (
        {
            name: statistics.median(one[part] for one in runs)
            for name, runs in taken.items()
        }
        for part in (0, 1)
    )
    sys.stdout.write(
        f"{what}: nibabel {wall['nibabel']:.3f} s ({cpu['nibabel']:.3f} of processor), "
        f"medenh {wall['medenh']:.3f} s ({cpu['medenh']:.3f}): "
        f"{wall['nibabel'] / wall['medenh']:.1f} times as fast, "
        f"{cpu['nibabel'] / cpu['medenh']:.1f} in processor time\n"
    )


if __name__ == "__main__":
    main()
