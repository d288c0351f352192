from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage

from medenh import formats
from medenh.evaluation.packs import read_set
from medenh.formats.array import from_array
from medenh.modality import OTHER, recognise
from medenh.modality.features import features
from medenh.types import UnitRange
from medenh.zoo.card import MODALITIES

PACKS = Path(__file__).resolve().parents[3] / "shared" / "data"
SAMPLES = Path(skimage.__file__).parent / "data"
LEARNT = [word for word in MODALITIES if word != "nuclear"]  # no pack has any


def sample(name):
    return formats.read(SAMPLES / name)


def made_up(sort):
    rng = np.random.default_rng(5)
    if sort == "noise":
        return rng.integers(0, 256, (300, 260, 3), np.uint8)
    if sort == "grey noise":
        return rng.integers(0, 256, (300, 260), np.uint8)
    if sort == "flat":
        return np.full((200, 300, 3), (40, 120, 200), np.uint8)
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    return np.stack([np.tile(ramp, (200, 1)), np.tile(ramp[::-1], (200, 1))] * 2, 2)[
        ..., :3
    ]


def shares(image):
    return np.array(list(recognise(image).shares.values()))


@pytest.mark.parametrize("sort", ["noise", "grey noise", "flat", "ramp"])
@pytest.mark.parametrize("modality", LEARNT)
def test_made_up_pictures_suit_no_model(sort, modality):
    assert not recognise(from_array(made_up(sort))).suits([modality])


@pytest.mark.parametrize(
    "name", ["chelsea.png", "coffee.png", "page.png", "astronaut.png"]
)
def test_everyday_photographs_suit_no_colour_model(name):
    likeness = recognise(sample(name))
    assert likeness.best == OTHER
    assert not likeness.suits(["fundus", "dermoscopy", "endoscopy", "microscopy"])


def test_looks_do_not_speak_against_a_modality_they_never_saw():
    assert recognise(from_array(made_up("noise"))).suits(["ct", "nuclear"])


def test_pictures_from_elsewhere_are_known():
    fundus, stained = recognise(sample("retina.jpg")), recognise(sample("ihc.png"))
    assert fundus.best == "fundus"
    assert fundus.suits(["fundus"])
    assert not fundus.suits(["xray", "ct", "mri"])
    assert stained.suits(["microscopy", "fundus"])
    assert not stained.suits(["fundus"])


@pytest.mark.parametrize("modality", LEARNT)
def test_most_unseen_pictures_of_a_pack_suit_their_own_model(modality):
    folder = {"dermoscopy": "derm", "microscopy": "micro", "endoscopy": "endo"}
    pack = PACKS / folder.get(modality, "us" if modality == "ultrasound" else modality)
    if not pack.is_dir():
        pytest.skip("the data packs are not beside the checkout")
    cases = read_set(pack, [], asked=False, native=True).cases[:24]
    found = [recognise(case.read([]).image) for case in cases]
    assert np.mean([one.suits([modality]) for one in found]) >= 0.9
    for other in {"fundus", "xray"} - {modality}:
        assert np.mean([one.suits([other]) for one in found]) <= 0.1


def test_the_answer_does_not_hang_on_how_a_picture_is_stored():
    grey = sample("camera.png").pixels[0, ..., 0]
    plain = shares(from_array(grey))
    assert plain.sum() == pytest.approx(1)
    wide = from_array(grey.astype(np.uint16) * 257)
    real = from_array(grey.astype(np.float32) / 255)
    rgb = from_array(np.stack([grey] * 3, axis=2))
    dark = from_array(255 - grey)
    turned = replace(dark, unit_range=UnitRange(0.0, 255.0, inverted=True))
    for same in (wide, real, rgb, turned):
        np.testing.assert_allclose(shares(same), plain, atol=1e-3)
    assert np.abs(shares(dark) - plain).max() > 0.01


def test_of_a_volume_the_inner_slices_count():
    grey = sample("camera.png").pixels[0, ..., 0]
    volume = np.zeros((20, *grey.shape), np.uint8)
    volume[4:17] = grey
    np.testing.assert_allclose(shares(from_array(volume)), shares(from_array(grey)))


@pytest.mark.parametrize(
    ("name", "kind"), [("retina.jpg", "fundus"), ("ihc.png", "microscopy")]
)
def test_more_black_around_a_picture_hides_nothing(name, kind):
    """As of cameras whose sensor is wider than the field, and of captured screens."""
    whole = sample(name)
    bordered = np.pad(whole.pixels[0], ((20, 60), (500, 400), (0, 0)))
    for black in (0, 6):
        likeness = recognise(from_array(np.maximum(bordered, black)))
        assert likeness.shares[kind] >= recognise(whole).shares[kind] - 0.05
        assert not likeness.suits(["xray", "endoscopy"])


def test_small_pictures_are_not_judged():
    assert recognise(from_array(np.zeros((31, 400), np.uint8))) is None
    assert recognise(from_array(np.zeros((32, 32), np.uint8))) is not None


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 900, 3), (900, 2, 1), (17, 16, 3)])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, "noise"])
def test_figures_are_finite_whatever_the_picture(shape, value):
    if value == "noise":
        picture = np.random.default_rng(0).random(shape).astype(np.float32)
    else:
        picture = np.full(shape, value, np.float32)
    figures = features(picture)
    assert figures.shape == (154,)
    assert np.isfinite(figures).all()


def test_missing_values_do_no_harm():
    grey = np.random.default_rng(0).random((80, 90)).astype(np.float32)
    grey[:40] = np.nan
    assert np.isfinite(shares(from_array(grey))).all()
