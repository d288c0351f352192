"""The field of a photograph whose surround is not quite black."""

import cv2
import numpy as np
import pytest

from medenh.classical import METHODS
from medenh.classical.photograph import illuminated_field, lit_field

H, W = 300, 340


def disc(radius=130):
    rows, columns = np.mgrid[:H, :W]
    return np.hypot(rows - H / 2, columns - W / 2) < radius


def photograph(surround=0.0, noise=0.0, field=None):
    """Return a lit disc with vessels, and where it is."""
    rng = np.random.default_rng(3)
    field = disc() if field is None else field
    columns = np.mgrid[:H, :W][1]
    light = 0.35 + 0.3 * columns / W
    pixels = np.stack([light, light * 0.55, light * 0.3], axis=2)
    for at in range(40, W, 45):
        cv2.line(pixels, (at, 0), (at + 30, H), (0.25, 0.1, 0.08), 3)
    pixels[~field] = surround + rng.normal(0, noise, ((~field).sum(), 3))
    return np.clip(pixels, 0, 1).astype(np.float32), field


@pytest.mark.parametrize(
    ("surround", "noise"), [(0, 0), (0.07, 0), (0.07, 0.012), (0.11, 0), (0.11, 0.012)]
)
def test_lifted_surrounds_are_no_part_of_the_field(surround, noise):
    pixels, field = photograph(surround, noise)
    for background in (pixels, lettered(pixels)):
        for light in (1, 0.3):
            found = illuminated_field(np.float32(light) * background)
            assert not (found & ~field).any()
            assert (field & ~found).mean() < 0.05


@pytest.mark.parametrize("surround", [0, 0.03, 0.08, 0.1])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_surround_of_a_scope_may_be_some_levels_above_black(surround, channels):
    """At .08, as a third of CVC-ClinicDB has it, the whole frame was the field."""
    rows, columns = np.mgrid[:H, :W]
    octagon = (np.abs(rows - H / 2) < 120) & (np.abs(columns - W / 2) < 130)
    octagon &= np.abs(rows - H / 2) + np.abs(columns - W / 2) < 210
    pixels, _ = photograph(surround, 0.006, field=octagon)
    pixels[140:170, 150:190] = 0.02  # a lumen, darker than the surround
    for view in (pixels, lettered(pixels)):
        found = lit_field(view[..., :channels])
        assert not (found & ~octagon).any()
        assert (octagon & ~found).mean() < 0.05


def test_nothing_is_cut_off_a_picture_that_fills_its_frame():
    rows, columns = np.mgrid[:H, :W]
    whole, _ = photograph(field=np.ones((H, W), bool))
    away = np.hypot(rows - H / 2, columns - W / 2) / np.hypot(H / 2, W / 2)
    vignetted = whole * (1.0 - 0.85 * away**2)[..., None]
    for pixels in (whole, vignetted, *(np.full((1, n, 1), 0.3) for n in (1, 90))):
        assert lit_field(pixels.astype(np.float32)).all()


def lettered(pixels):
    letters = np.zeros((H, W), np.uint8)
    cv2.putText(letters, "OD", (4, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 3)
    return np.maximum(pixels, (letters / np.float32(255))[..., None])


def test_pictures_without_a_surround_are_field_all_over():
    rows, columns = np.mgrid[:H, :W]
    whole = np.ones((H, W), bool)
    assert illuminated_field(photograph(field=whole)[0]).all()
    away = np.hypot(rows - H / 2, columns - W / 2) / np.hypot(H / 2, W / 2)
    vignetted = photograph(field=whole)[0] * (1.0 - 0.85 * away**2)[..., None]
    assert illuminated_field(vignetted.astype(np.float32)).all()
    for shape in ((1, 1, 3), (1, 90, 3), (90, 1, 1), (5, 7, 3)):
        assert illuminated_field(np.full(shape, 0.3, np.float32)).all()


NAMES = ["msr", "msrcp", "msrcr", "dpfr", "dcp-illum", "flat-field", "lcn"]


@pytest.mark.parametrize("name", [*NAMES, "ref-color", "flat-field-ref-color"])
def test_a_lifted_surround_keeps_its_colour_and_the_field_its_answer(name):
    """It was painted brown, and the field was washed out by what it weighs."""
    lifted, _ = photograph(0.07, 0.012)
    black, _ = photograph()
    answer = METHODS[name](lifted)
    assert np.abs(answer - lifted)[~disc()].max() < 1e-6
    assert np.abs(answer - METHODS[name](black))[disc(115)].mean() < 0.02
