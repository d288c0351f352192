"""Cofe-Net's own records, against a literal carrying-out of its equations."""

import copy
import json

import cv2
import numpy as np
import pytest
from cofe_reference import TYPES, carry_out, clean, draw
from fundus_pictures import (
    made_up,
    needs_photographs,
    photographs,
)

from medenh import degradations
from medenh.degradations import Record
from medenh.degradations.cofe_record import from_cofe, to_cofe
from medenh.degradations.engine import replay_image
from medenh.errors import UsageError


def _through_jpeg(levels):
    code = cv2.imencode(".jpg", levels)[1]
    return cv2.imdecode(code, cv2.IMREAD_UNCHANGED)


def _wrapped(params, kind, name="eye.png"):
    return {"name": name, "type": kind, "params": params}


def _differences(levels, mask, record):
    ours = degradations.apply(levels, record, mask=mask)
    theirs = carry_out(levels, record["params"], mask)
    return np.abs(ours.astype(int) - theirs)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_equals_the_program_within_a_level(kind, older):
    rng = np.random.default_rng(int(kind, 2) + 100 * older)
    picture, mask = made_up(256, seed=int(kind, 2))
    for soft in (False, True):
        if soft:
            picture, mask = _through_jpeg(picture), _through_jpeg(mask)
        record = _wrapped(draw(rng, kind, side=256, older=older), kind)
        ours = degradations.apply(picture, from_cofe(record, size=256), mask=mask)
        theirs = carry_out(picture, record["params"], mask)
        difference = np.abs(ours.astype(int) - theirs)
        assert difference.max() <= 1
        # exact ties of the last truncation fall either way with another rounding
        assert (difference > 0).mean() < (0.005 if "1" in kind[1:] else 0.5)


@pytest.mark.shared
@needs_photographs
@pytest.mark.parametrize("older", [False, True])
def test_equals_the_program_on_photographs(older):
    rng = np.random.default_rng(7)
    for kind, photo in zip(
        ("001", "010", "111"), photographs("drive-test.tar", 3), strict=True
    ):
        clean = degradations.degrade_image(
            degradations.api._as_image(photo, "display", None),
            degradations.find_recipe("cofe-010"),
            size=512,
        ).high.pixels[0]
        mask = np.zeros((512, 512), np.uint8)
        cv2.circle(mask, (256, 256), 255, 255, -1)
        difference = _differences(
            clean, mask, _wrapped(draw(rng, kind, older=older), kind)
        )
        assert difference.max() <= 1


def test_real_layouts_round_trip():
    rng = np.random.default_rng(0)
    for kind in TYPES:
        record = _wrapped(draw(rng, kind), kind)
        ours = from_cofe(json.dumps(record))
        assert ours.preset == f"cofe-{kind}"
        assert to_cofe(Record.from_json(ours.to_json())) == record


@pytest.mark.parametrize("mode", ["exact", "scaled"])
def test_our_records_go_out_and_come_back(mode):
    picture, mask = made_up(512)
    low, record = degradations.degrade(
        picture, "cofe-111", mask=mask, options={"mode": mode}, name="a/b.png"
    )
    out = to_cofe(record)
    assert out["name"] == "b.png"
    assert out["type"] == "111"
    again = degradations.apply(picture, out, mask=mask)
    difference = np.abs(again.astype(int) - low)[mask > 0]
    # scaled keeps fractions of levels that the program truncates four times, and
    # contrast above 1 spreads what was lost
    assert difference.max() <= (0 if mode == "exact" else 6)


def test_numbers_may_be_written_in_any_way():
    picture, mask = made_up(512, seed=3)
    record = _wrapped(draw(np.random.default_rng(1), "111"), "111")
    plain = degradations.apply(picture, record, mask=mask)

    def worded(value):
        if isinstance(value, dict):
            return {key: worded(one) for key, one in value.items()} | {"more": None}
        if isinstance(value, list):
            return [worded(one) for one in value]
        return str(value) if not isinstance(value, str) else value

    strange = worded(record)
    strange["params"]["illumination"]["hole"]["rad_w"] = (
        record["params"]["illumination"]["hole"]["rad_w"] - 1  # even: grows by one
    )
    strange["params"]["illumination"]["halo"].pop("center_b")
    spot = strange["params"]["spots"][0]
    spot |= {"A": [[1.0], [1.0], [1.0]], "t": [0.0]}  # three equal rows, as in the code
    record["params"]["spots"][0] |= {"A": 1.0, "t": 0.0}
    plain = degradations.apply(picture, record, mask=mask)
    np.testing.assert_array_equal(
        degradations.apply(picture, strange, mask=mask), plain
    )
    bare = json.dumps(record["params"])  # without name and type
    np.testing.assert_array_equal(degradations.apply(picture, bare, mask=mask), plain)
    floats = picture.astype(np.float32) / 255  # 8-bit levels in another type
    unit = degradations.apply(floats, record, mask=mask.astype(np.float32) / 255)
    np.testing.assert_array_equal(np.rint(unit * 255), plain)


@pytest.mark.parametrize(
    ("centre", "radius"), [((256, 256), 256), ((253, 258), 247), ((256, 256), 300)]
)
def test_a_field_cut_out_with_a_hard_edge_is_seen_exactly(centre, radius):
    picture, mask = made_up(512, centre=centre, radius=radius, seed=8)
    picture[250:256, np.flatnonzero(mask[252])[0]] = 0  # a dark notch at the rim
    record = _wrapped(draw(np.random.default_rng(9), "111"), "111")
    low = degradations.apply(picture, record)
    theirs = carry_out(picture, record["params"], mask)
    assert np.abs(low.astype(int) - theirs).max() <= 1


def test_without_a_mask_the_black_surround_shows_the_field():
    picture, _ = made_up(512, radius=255, seed=4)
    record = _wrapped(draw(np.random.default_rng(2), "111"), "111")
    low = degradations.apply(picture, record)
    outside = np.hypot(*(np.mgrid[:512, :512] - 256)) > 258
    assert low[outside].max() == 0
    inside = np.hypot(*(np.mgrid[:512, :512] - 256)) < 253
    mask = np.full((512, 512), 255, np.uint8)
    theirs = carry_out(picture, record["params"], mask)
    assert np.abs(low.astype(int) - theirs)[inside].max() <= 1


@pytest.mark.parametrize(
    ("shape", "centre", "radius"),
    [
        ((560, 600), (320, 270), 240),  # 600 wide: no side of a record of 512
        ((640, 800), (410, 330), 340),  # cut above and below
        ((600, 600), (300, 300), 299),  # touches all four sides
        ((1500, 1700), (800, 760), 700),  # shrunk by more than 2
    ],
)
def test_a_native_photograph_is_cleaned_as_the_program_does(shape, centre, radius):
    photo, _ = made_up(shape=shape, radius=radius, centre=centre)
    record = _wrapped(draw(np.random.default_rng(radius), "111"), "111")
    square, mask = clean(photo)
    low = degradations.apply(photo, record)
    assert low.shape == (512, 512, 3)
    theirs = carry_out(square, record["params"], mask)
    assert np.abs(low.astype(int) - theirs).max() <= 1
    image = degradations.api._as_image(photo, "display", None)
    pair = replay_image(image, from_cofe(record))
    np.testing.assert_array_equal(pair.low.pixels[0], low)
    np.testing.assert_array_equal(pair.high.pixels[0], square)
    again = replay_image(image, Record.from_json(pair.record.to_json()))
    np.testing.assert_array_equal(again.low.pixels, pair.low.pixels)


def test_a_native_photograph_without_a_disc_falls_back():
    photo = np.full((300, 400, 3), 90, np.uint8)
    record = _wrapped(draw(np.random.default_rng(3), "001"), "001")
    image = degradations.api._as_image(photo, "display", None)
    pair = replay_image(image, from_cofe(record))
    assert pair.record.framing.method == "frame"
    assert pair.low.pixels.shape == (1, 512, 512, 3)
    again = replay_image(image, pair.record)
    np.testing.assert_array_equal(again.low.pixels, pair.low.pixels)


def test_records_of_larger_squares_are_known_by_their_halo():
    picture, mask = made_up(256)
    record = _wrapped(draw(np.random.default_rng(5), "001", side=256), "001")
    assert _differences(picture, mask, record).max() <= 1


def test_sixteen_bits_stay():
    picture, mask = made_up(512)
    deep = picture.astype(np.uint16) * np.uint16(257)
    deep[picture > 0] -= np.uint16(3)
    record = _wrapped(draw(np.random.default_rng(6), "111"), "111")
    low = degradations.apply(deep, record, mask=mask)
    assert low.dtype == np.uint16
    assert len(np.unique(low)) > 1000


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("params", "illumination", "halo", "num"), 5),
        (("params", "illumination", "halo", "center_a"), [1]),
        (("params", "illumination", "hole", "sigma"), "nan"),
        (("params", "illumination", "color"), [1, 2]),
        (("params", "spots"), {"radius": 3}),
        (("params", "spots", 0, "radius"), None),
        (("params", "blur", "rad_w"), "wide"),
        (("params",), 3),
    ],
)
def test_garbled_records_are_refused(path, value):
    record = _wrapped(draw(np.random.default_rng(0), "111"), "111")
    garbled = copy.deepcopy(record)
    place = garbled
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(UsageError, match="Cofe-Net"):
        degradations.apply(np.zeros((512, 512, 3), np.uint8), garbled)


def test_what_the_layout_cannot_hold_is_refused():
    picture, _ = made_up(256)
    for recipe, wanted in (("cofe-001", {"severity": 2}), ("cofe-110", {})):
        _, record = degradations.degrade(picture, recipe, **wanted)
        with pytest.raises(UsageError, match="layout"):
            to_cofe(record)
    with pytest.raises(UsageError, match="unknown step"):
        to_cofe(degradations.degrade(picture, "dpe")[1])
