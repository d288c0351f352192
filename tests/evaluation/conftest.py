from __future__ import annotations

import numpy as np
import pytest

from medenh import formats


@pytest.fixture
def make_folder(tmp_path):
    """Return a function that writes named arrays into a folder."""

    def make(name, pictures):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for file, pixels in pictures.items():
            formats.write(pixels, folder / file)
        return folder

    return make


@pytest.fixture
def picture():
    """Return a function that draws a picture of waves with seeded noise."""

    def draw(seed=0, side=48, channels=3, noise=6.0, dtype=np.uint8):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:side, :side]
        plane = 0.5 + 0.3 * np.sin(x / 5.0) * np.cos(y / 7.0)
        unit = np.repeat(plane[..., None], channels, 2)
        unit += rng.normal(0, noise / 255, unit.shape)
        top = np.iinfo(dtype).max
        pixels = np.rint(np.clip(unit, 0, 1) * top).astype(dtype)
        return pixels if channels == 3 else pixels[..., 0]

    return draw
