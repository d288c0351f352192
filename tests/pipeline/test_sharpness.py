import cv2
import numpy as np
import pytest
from fakes_pipeline import make_card
from skimage import data

from medenh import formats
from medenh.pipeline.fidelity import check_input
from medenh.pipeline.sharpness import is_sharp
from medenh.zoo.card import InputContract

SHARP = data.astronaut()
WAYS = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR}


def image(pixels, tmp_path):
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), pixels)
    return formats.read([path])


def enlarged(pixels, factor, way):
    height, width = pixels.shape[:2]
    small = cv2.resize(
        pixels, (width // factor, height // factor), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=WAYS[way])


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("kind", ["colour", "grey", "deep", "odd"])
def test_a_sharp_picture_is_told_from_an_enlarged_one(tmp_path, factor, kind):
    pixels = {
        "colour": SHARP,
        "grey": SHARP[..., 1],
        "deep": SHARP[..., 1].astype(np.uint16) * 257,
        "odd": SHARP[:301, :203],
    }[kind]
    assert is_sharp(image(pixels, tmp_path), factor)
    for way in WAYS:
        assert not is_sharp(image(enlarged(pixels, factor, way), tmp_path), factor)


def test_one_enlarged_by_less_is_sharp_for_more(tmp_path):
    twice = image(enlarged(SHARP, 2, "cubic"), tmp_path)
    assert not is_sharp(twice, 2)
    assert is_sharp(twice, 4)


@pytest.mark.parametrize("shape", [(1, 1), (20, 300), (400, 400)])
def test_what_is_flat_or_small_cannot_be_told(tmp_path, shape):
    rng = np.random.default_rng(0)
    flat = (128 + rng.integers(0, 2, (*shape, 3))).astype(np.uint8)
    assert not is_sharp(image(flat, tmp_path), 2)


def test_the_card_asks_for_it(tmp_path):
    card = make_card()
    asks = card.model_copy(update={"input": InputContract(channels=3, enlarged=2)})
    sharp, soft = image(SHARP, tmp_path), enlarged(SHARP, 2, "cubic")
    assert check_input(sharp, card)[0] == []
    (problem,) = check_input(sharp, asks)[0]
    assert "sharp at its own size" in problem
    assert check_input(image(soft, tmp_path), asks)[0] == []
