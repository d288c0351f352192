"""Padding: outside what was measured, so it changes neither it nor its range."""

from dataclasses import replace

import numpy as np
import pytest

from medenh.degradations import degrade_image, find_recipe
from medenh.intensity import percentile_range
from medenh.types import Image, Storage

PADDING, EDGE = -30000, 24


def _picture(*, inverted):
    levels = np.random.default_rng(0).integers(900, 3000, (1, 128, 160, 1))
    return Image(
        pixels=levels.astype(np.int16),
        unit_range=percentile_range(levels, inverted=inverted),
        storage=Storage(np.dtype(np.int16), minimum=-32768, maximum=32767),
    )


def _padded(image):
    pixels, frozen = image.pixels.copy(), np.zeros(image.pixels.shape[:3], bool)
    pixels[:, :, :EDGE], frozen[:, :, :EDGE] = PADDING, True
    return replace(image, pixels=pixels, frozen=frozen)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("size", [None, 96, 240])
@pytest.mark.parametrize("recipe", ["dpe", "mri-rician"])
def test_padding_says_nothing_of_the_range(recipe, size, inverted):
    plain = _picture(inverted=inverted)
    pairs = [
        degrade_image(image, find_recipe(recipe), severity=0.5, seed=1, size=size)
        for image in (plain, _padded(plain))
    ]
    assert pairs[1].record.scale == pytest.approx(pairs[0].record.scale, rel=0.02)
    low = pairs[1].low.pixels
    edge = EDGE * low.shape[2] // plain.width
    assert (low[:, :, :edge] == PADDING).all()
    assert (low[:, :, edge:] >= 0).all()  # it bled nowhere
    inside = [float(np.std(pair.low.pixels[:, :, 2 * edge :])) for pair in pairs]
    assert inside[1] == pytest.approx(inside[0], rel=0.1)


def test_a_picture_of_padding_alone_is_kept():
    image = _padded(_picture(inverted=False))
    empty = replace(image, frozen=np.ones_like(image.frozen))
    pair = degrade_image(empty, find_recipe("dpe"), severity=0.5, size=64)
    assert set(np.unique(pair.low.pixels)) <= set(np.unique(image.pixels))
