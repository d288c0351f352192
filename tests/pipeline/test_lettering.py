"""Letters burnt into the surround of a photograph stay as they are."""

import cv2
import numpy as np
import pytest
import skimage

import medenh
from medenh.pipeline.lettering import find_lettering


def eye(side=320, dark=0.0):
    """Return a photograph of the fundus in a dark surround."""
    size = (side, side)
    inner = cv2.resize(skimage.data.retina(), size, interpolation=cv2.INTER_AREA)
    whole = np.full((side, side + 120, 3), round(255 * dark), np.uint8)
    whole[:, 120:] = np.maximum(inner, round(255 * dark))
    return whole


def lettered(pixels, at=(6, 40), colour=(255, 255, 255)):
    """Return a picture with letters, and where these are."""
    written = pixels.copy()
    cv2.putText(written, "OD 12", at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, colour, 2)
    return written, (written != pixels).any(axis=2)


def found_in(pixels):
    return find_lettering(pixels.max(axis=2).astype(np.float32) / 255)


@pytest.mark.parametrize("dark", [0.0, 0.08])
@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 255, 0), (120, 120, 120)])
def test_letters_beside_the_field_are_found(dark, colour):
    plain = eye(dark=dark)
    written, letters = lettered(plain, colour=colour)
    found = found_in(written)
    assert found[letters].all()
    assert plain[found].max() < 60  # nothing of the field
    assert found.mean() < 0.2


def test_nothing_is_found_where_there_are_none():
    assert found_in(eye()) is None
    assert found_in(skimage.data.retina()) is None
    assert found_in(lettered(skimage.data.astronaut())[0]) is None  # no surround
    both = np.concatenate([eye(), eye()], axis=1)
    assert found_in(both) is None  # the second photograph is none
    for shape in ((1, 1, 3), (1, 80, 3), (80, 1, 3)):
        assert found_in(np.full(shape, 200, np.uint8)) is None
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    assert found_in(noise) is None


@pytest.mark.parametrize("name", ["fast-fundus", "mage-fundus", "fast-endo"])
def test_letters_stay_and_the_field_is_enhanced_as_without(name):
    """`mage-fundus` took two thirds of their brightness, and left a brown smear."""
    plain = (eye() * 0.8).astype(np.uint8)
    written, letters = lettered(plain)
    model = medenh.load_model(name)
    answer = model.enhance(written)
    np.testing.assert_array_equal(answer[letters], written[letters])
    field = plain.max(axis=2) > 60
    near = model.enhance(plain)[field].astype(int) - answer[field]
    assert np.abs(near).mean() < 6
    assert (answer[field] != written[field]).any()
