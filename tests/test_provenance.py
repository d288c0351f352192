"""What was done to an `Image` travels with it, and `medenh.write` tells the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom.data import get_testdata_file

import medenh

LOW = {"recipe": "ct-low-dose"}


@pytest.fixture
def scan():
    return medenh.read(get_testdata_file("CT_small.dcm"))


@pytest.fixture
def written(tmp_path):
    def write(image, **how):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.dcm"
        medenh.write(image, path, **how)
        return pydicom.dcmread(path)

    return write


def test_a_degraded_image_says_recipe_and_seed(scan, written):
    made = {s: written(medenh.degrade(scan, **LOW, seed=s)[0]) for s in (1, 2)}
    assert not np.array_equal(made[1].pixel_array, made[2].pixel_array)
    for seed, one in made.items():
        said = one.DerivationDescription
        assert said.startswith("Degraded by medenh")
        assert "recipe ct-low-dose" in said
        assert f"seed={seed}" in said
        (equipment,) = one.ContributingEquipmentSequence
        assert equipment.ManufacturerModelName == "ct-low-dose"
    assert made[1].SOPInstanceUID != made[2].SOPInstanceUID
    assert made[1].SeriesInstanceUID != made[2].SeriesInstanceUID
    again = written(medenh.degrade(scan, **LOW, seed=1)[0])
    assert again.SOPInstanceUID == made[1].SOPInstanceUID


def test_a_replayed_record_says_what_its_degradation_said(scan, written):
    low, record = medenh.degrade(scan, **LOW, seed=4)
    again = medenh.degradations.apply(scan, record)
    assert written(again).SOPInstanceUID == written(low).SOPInstanceUID


def test_what_went_before_an_enhancement_is_told(scan, written):
    low, _ = medenh.degrade(scan, **LOW, seed=7)
    made = written(medenh.enhance(low, model="nlm"))
    clean = written(medenh.enhance(scan, model="nlm"))
    last, first = made.DerivationDescription.split("; before that: ")
    assert last == clean.DerivationDescription
    assert "Degraded" in first
    assert "seed=7" in first
    assert made.SOPInstanceUID != clean.SOPInstanceUID
    assert made.SeriesInstanceUID != clean.SeriesInstanceUID


def test_an_image_changed_by_hand_is_not_called_enhanced(scan, written):
    hands = [replace(scan, pixels=scan.pixels + n) for n in (1, 2)]
    made = [written(one) for one in (scan, *hands)]
    assert len({one.SOPInstanceUID for one in made}) == 3
    for one in made:
        assert one.ImageType[0] == "DERIVED"
        assert one.DerivationDescription.startswith("Written by medenh")
        assert "nhanced" not in one.DerivationDescription + one.SeriesDescription
        (equipment,) = one.ContributingEquipmentSequence
        assert "nhanced" not in str(equipment)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_change_after_an_enhancement_is_told(scan, written, in_place):
    better = medenh.enhance(scan, model="nlm")
    untouched = written(better)
    if in_place:
        better.pixels[:, 3:9, 3:9] += 5
    else:
        better = replace(better, pixels=better.pixels + 5)
    made = written(better)
    last, first = made.DerivationDescription.split("; before that: ")
    assert last.startswith("Changed")
    assert first == untouched.DerivationDescription
    assert made.SeriesInstanceUID != untouched.SeriesInstanceUID
    twice = written(medenh.enhance(better, model="clahe")).DerivationDescription
    assert twice.startswith("Enhanced")
    assert "; before that: Changed" in twice


def test_pixels_given_a_place_keep_what_made_them(scan, written):
    better = medenh.enhance(scan, model="nlm")
    plain = replace(better, format="array", header=None, source=None)
    made = written(plain, like=scan)
    assert made.SOPInstanceUID == written(better).SOPInstanceUID
    array = written(better.pixels[0, ..., 0], like=scan)
    assert array.DerivationDescription.startswith("Written by medenh")


def test_other_knowledge_of_an_image_does_not_change_its_pixels(scan):
    better = medenh.enhance(scan, model="nlm")
    told = replace(better, modality=medenh.Modality.MRI, source=Path("x"))
    assert told.history() == better.provenance


def test_a_png_says_all_steps_too(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    medenh.write(pixels, tmp_path / "a.png")
    low, _ = medenh.degrade(medenh.read(tmp_path / "a.png"), "dpe", seed=9)
    better = medenh.enhance(low, model="clahe")
    medenh.write(replace(better, pixels=255 - better.pixels), tmp_path / "b.png")
    with PIL.Image.open(tmp_path / "b.png") as opened:
        steps = opened.text["Processing"].split("; before that: ")
    assert steps[0] == "medenh change"
    assert steps[1].startswith("medenh clahe")
    assert steps[2].startswith("medenh degrade dpe")
    assert "seed=9" in steps[2]
