"""Seconds a 512 x 512 slice takes on one core, for every CT, MRI and X-ray recipe.

Run with OMP_NUM_THREADS=1.
"""

import sys
import time

import cv2
import numpy as np
from skimage.data import shepp_logan_phantom
from skimage.transform import resize

from medenh.degradations import RECIPES, Scene
from medenh.degradations.engine import sample_frames

cv2.setNumThreads(1)
phantom = resize(shepp_logan_phantom(), (512, 512)).astype(np.float32)[None, ..., None]
for name, recipe in RECIPES.items():
    if name.split("-")[0] not in ("ct", "mri", "xray"):
        continue
    pixels = phantom * 1100 - 1000 if recipe.domain == "hu" else phantom
    scene = Scene(domain=recipe.domain, spacing_mm=(1.0, 0.7, 0.7))
    seconds = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        start = time.process_time()
        sample_frames(pixels, recipe, scene, rng, 0.5)
        seconds.append(time.process_time() - start)
    middle = float(np.median(seconds))
    sys.stdout.write(f"{name:20s} {middle:.3f} s, {1 / middle:.1f} a second\n")
