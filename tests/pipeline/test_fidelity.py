"""Whether outputs outside a card's limits are told."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from medenh import formats, load_model
from medenh.formats.array import from_array
from medenh.pipeline.fidelity import check_input, measure, told_apart, warnings_of
from medenh.types import Modality
from medenh.zoo.card import Limits
from medenh.zoo.manifest import load_manifest

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "formats"


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared sample files")
def test_a_washed_out_doppler_is_warned_about():
    image = formats.read(SHARED / "us_rgb_planar.dcm")
    model = load_model("dpe-general")
    veiled = replace(image, pixels=(155 + image.pixels * 0.4).astype(np.uint8))
    told = warnings_of(measure(image, veiled), model.card)
    assert any("washed out" in one for one in told)
    assert not warnings_of(measure(image, model.enhance(image)), model.card)
    assert not warnings_of(measure(image, image), model.card)


@pytest.mark.parametrize(
    ("value", "limit", "style", "texts"),
    [
        (0.9, 0.967, ".3f", ("0.900", "0.967")),
        (0.96697, 0.967, ".3f", ("0.96697", "0.96700")),
        (0.0420001, 0.042, ".1%", ("4.20001%", "4.20000%")),
        (24.12341, 24.1234, ".4g", ("24.12341", "24.1234")),
        (0.5, 0.5, ".3f", ("0.500", "0.500")),
    ],
)
def test_two_numbers_are_told_apart(value, limit, style, texts):
    assert told_apart(value, limit, style) == texts


@dataclass
class Card:
    limits: Limits


@pytest.mark.parametrize("by", [1e-6, 0.0004, 0.02])
def test_a_warning_shows_two_numbers_that_differ(by):
    limits = Limits(
        min_structure_correlation=0.967, max_clipped=0.042, max_mean_shift=0.055
    )
    figures = {
        "structure_correlation": round(0.967 - by, 6),
        "clipped_share": round(0.042 + by, 6),
        "mean_shift": round(-0.055 - by, 6),
        "brightness_excess": 0.0,
    }
    found = warnings_of(figures, Card(limits))
    assert len(found) == 3
    for text in found:
        one, other = re.findall(r"\d+\.\d+", text)
        assert one != other, text


def test_tissue_that_moved_is_told_in_hounsfield_units():
    rng = np.random.default_rng(0)
    hu = np.full((96, 96), -1000.0, np.float32)
    hu[10:86, 10:86] = 50 + 5 * rng.standard_normal((76, 76))
    image = from_array(hu, modality=Modality.CT, data_range=(-160.0, 240.0))
    moved = replace(
        image, pixels=np.where(image.pixels > -500, image.pixels + 3, -1000)
    )
    assert "flat_bias_hu" not in measure(image, moved)  # numbers of no known unit
    image, moved = replace(image, units="HU"), replace(moved, units="HU")
    assert measure(image, moved)["flat_bias_hu"] == pytest.approx(3, abs=1e-3)
    assert measure(image, image)["flat_bias_hu"] == 0
    air = replace(image, pixels=np.full_like(image.pixels, -1000))
    assert "flat_bias_hu" not in measure(air, air)
    wide = replace(image.unit_range, low=-1350.0, high=150.0)  # air inside, and flat
    image, moved = (replace(one, unit_range=wide) for one in (image, moved))
    assert measure(image, moved)["flat_bias_hu"] == pytest.approx(3, abs=1e-2)


def test_frames_that_moved_in_opposite_ways_do_not_cancel_out():
    before = from_array(np.full((3, 40, 50), 0.5, np.float32))
    moved = before.pixels + np.array([0.1, 0.0, -0.3]).reshape(3, 1, 1, 1)
    after = replace(before, pixels=moved.astype(np.float32))
    assert measure(before, after)["mean_shift"] == pytest.approx(-0.3, abs=1e-5)


def test_a_nearly_blank_picture_is_told_before_its_noise_is_brought_out():
    noise = np.random.default_rng(0).normal(0, 2, (96, 96))
    glass = np.stack([noise + level for level in (198, 210, 202)], axis=2)
    cell = glass.copy()
    cell[30:60, 30:60] = (120, 60, 140)

    def said(pixels, model):
        image = replace(from_array(pixels.astype(np.uint8)), modality=Modality.XRAY)
        refused, words = check_input(image, load_manifest().get(model))
        assert not any("nearly blank" in word for word in refused)
        return sum("nearly blank (its values spread by 2." in word for word in words)

    assert [said(glass, model) for model in ("fast-general", "clahe")] == [1, 1]
    assert [said(glass, model) for model in ("nlm", "identity")] == [0, 0]
    assert said(cell, "fast-general") == 0
    assert said(np.full((96, 96), 200), "fast-general") == 0  # nothing to bring out
