"""Fundus recipes: images per second of processor time, one core.

    OMP_NUM_THREADS=1 python tests/bench/degradation_speed.py [--seconds 4]

Squares of 512 through `degrade` (record and scores included), and through
`sample_frames` alone; crops of 128 through `sample_frames` without a field.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
from skimage import data

from medenh.degradations import Recipe, Scene, degrade, find_recipe
from medenh.degradations.engine import sample_frames
from medenh.degradations.field_of_view import disc_weights

RECIPES = ("train", "cofe-111", "tmage", "fundus-plus")


def per_second(work: Callable[[int], object], seconds: float) -> float:
    """Return calls per second of processor time, whatever else runs."""
    work(0)
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        count += 1
        work(count)
    return count / (time.process_time() - start)


def frames(recipe: Recipe, pixels: np.ndarray, scene: Scene) -> Callable[[int], object]:
    """Return what degrades pixels by a fresh draw."""

    def work(draw: int) -> object:
        rng = np.random.default_rng(draw)
        return sample_frames(pixels.copy(), recipe, scene, rng, None)

    return work


def squares(name: str, square: np.ndarray, field: np.ndarray, chosen: dict) -> Callable:
    """Return what degrades a square, with its record."""
    return lambda draw: degrade(square, name, draw=draw, mask=field, options=chosen)


def main() -> None:
    """Print a line a recipe and mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    seconds = parser.parse_args().seconds
    cv2.setNumThreads(1)
    square = cv2.resize(data.retina(), (512, 512), interpolation=cv2.INTER_AREA)
    unit = square[None].astype(np.float32) / 255
    crop = np.ascontiguousarray(unit[:, 192:320, 192:320])
    field = disc_weights((512, 512), (255.5, 255.5), 252.0)
    for name in RECIPES:
        recipe = find_recipe(name)
        for mode in recipe.options.get("mode", ("",)):
            chosen = {"mode": mode} if mode else {}
            inside = Scene(field=field, eight_bit=True, options=chosen)
            plain = Scene(options=chosen)
            rates = [
                per_second(work, seconds)
                for work in (
                    squares(name, square, field, chosen),
                    frames(recipe, unit, inside),
                    frames(recipe, crop, plain),
                )
            ]
            sys.stdout.write(
                f"{name:12} {mode:7} 512: {rates[0]:6.1f}/s with scores, "
                f"{rates[1]:6.1f}/s alone; 128 crops: {rates[2]:7.1f}/s\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
