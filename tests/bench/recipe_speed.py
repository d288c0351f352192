"""Images a second of every recipe on crops, as a training loop calls it, one core.

    OMP_NUM_THREADS=1 python tests/bench/recipe_speed.py [--sides 128 256] [--seconds 2]

The crops are cut from scikit-image's fundus photograph; recipes in HU or magnitudes
and those for grey modalities get its mean over the channels. Seconds are processor
time, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np
from skimage import data

from medenh.degradations import RECIPES
from medenh.degradations.training import degrade_crop

GREY = {"xray", "ct", "mri", "ultrasound"}


def crops_of(side: int, *, grey: bool, count: int = 16) -> list[np.ndarray]:
    """Return crops of the retina, float32 in [0, 1]."""
    photo = data.retina().astype(np.float32) / np.float32(255)
    if grey:
        photo = photo.mean(axis=-1, keepdims=True)
    rng = np.random.default_rng(0)
    corners = rng.integers(300, 1100 - side, (count, 2))
    return [photo[y : y + side, x : x + side].copy() for y, x in corners]


def rate_of(name: str, side: int, seconds: float) -> float:
    """Return images a second of a recipe."""
    recipe = RECIPES[name]
    grey = recipe.domain != "display" or bool(GREY & set(recipe.modalities))
    crops = crops_of(side, grey=grey)
    rng = np.random.default_rng(0)
    for crop in crops[:8]:  # tables and pictures of hair are loaded once
        degrade_crop(crop, name, rng=rng)
    count, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        degrade_crop(crops[count % len(crops)], name, rng=rng)
        count += 1
    return count / spent


def main() -> None:
    """Print one line a recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--recipes", nargs="*", default=sorted(RECIPES))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print("recipe".ljust(20), *(f"{side:>7} px" for side in arguments.sides))  # noqa: T201
    for name in arguments.recipes:
        rates = [rate_of(name, side, arguments.seconds) for side in arguments.sides]
        print(name.ljust(20), *(f"{one:>8.0f}/s" for one in rates), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
