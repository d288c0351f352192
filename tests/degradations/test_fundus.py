"""Cofe-Net's recipes: ranges, means, strength, crops, hostile pictures."""

import cv2
import numpy as np
import pytest
from fundus_pictures import made_up, needs_photographs, photographs
from PIL import Image as PillowImage
from PIL import ImageEnhance

from medenh import degradations
from medenh.degradations import Scene
from medenh.degradations.cofe_detail import CofeBlur, CofeSpots, spot_amplitude
from medenh.degradations.cofe_illumination import CofeColour, CofeHalo, CofeHole
from medenh.degradations.engine import sample_frames
from medenh.degradations.fundus import RECIPES
from medenh.degradations.fundus_plus import RECIPES as PLUS
from medenh.degradations.smoothing import blur_plane, disc, window_taps

EXACT = Scene(options={"mode": "exact"}, eight_bit=True)
NAMES = [recipe.name for recipe in (*RECIPES, *PLUS)]


def _draws(operator, count, scene=EXACT, pixels=None):
    rng = np.random.default_rng(0)
    if pixels is None:
        pixels = np.full((512, 512, 1), 0.5, np.float32)
    return [operator.sample(rng, pixels, scene, None) for _ in range(count)]


def _close(values, low, high, mean):
    values = np.asarray(values, float)
    assert values.min() >= low
    assert values.max() <= high
    assert values.mean() == pytest.approx(mean, rel=0.01)


def test_parameters_have_the_published_ranges_and_means():
    tiny = np.full((2, 2, 1), 0.5, np.float32)
    colour = _draws(CofeColour, 10_000, Scene(), tiny)
    _close([one.brightness for one in colour], 0.7, 1.2, 0.95)
    _close([one.contrast for one in colour], 0.6, 1.4, 1.0)
    _close([one.saturation for one in colour], 0.6, 1.4, 1.0)
    blur = _draws(CofeBlur, 10_000)
    _close([one.sigma for one in blur], 5, 15, 10)
    assert {one.window_w for one in blur} == {1, 3, 5, 7}
    assert any(one.window_w != one.window_h for one in blur)
    spots = [spot for one in _draws(CofeSpots, 1500) for spot in one.spots]
    assert len(spots) > 10_000
    _close([spot.radius for spot in spots], 6, 25, 15.5)
    _close([spot.centre[0] for spot in spots], 7, 505, 256)
    assert {spot.disc_radius for spot in spots} == set(range(3, 13))


def test_discs_have_the_published_ranges_and_means():
    small = np.full((512, 512, 1), 0.5, np.float32)[:, :, :1]
    halo = _draws(CofeHalo, 3000, EXACT, small)
    _close([one.diameter_a for one in halo], 384, 512, 448)
    _close([one.centre_a[0] for one in halo], 192, 320, 256)
    assert {one.kind for one in halo} == {1, 2}
    assert min(one.diameter_b for one in halo) >= 704
    hole = _draws(CofeHole, 3000, EXACT, small)
    _close([one.diameter for one in hole], 204, 358, 281)
    _close([one.centre[0] for one in hole], 128, 384, 256)
    _close([one.centre[1] for one in hole], 192, 320, 256)
    _close([-one.factor for one in hole], 0.26 + 0.025, 0.262 + 0.03, 0.2885)
    dark = _draws(CofeHole, 5, EXACT, small * np.float32(0.4))
    assert {one.factor for one in dark} == {0.0}


def test_amplitudes_of_spots_are_the_published_ones():
    known = {6: 0.069, 10: 0.119, 14: 0.163, 18: 0.195, 22: 0.208, 25: 0.203}
    for radius, amplitude in known.items():
        assert spot_amplitude(radius / 25) == pytest.approx(amplitude, abs=6e-4)


def test_plans_draw_their_types():
    rng = np.random.default_rng(1)
    train = degradations.find_recipe("train")
    drawn = [train.plan(rng) for _ in range(4000)]
    assert all(drawn)
    some = 1 - 0.3 * 0.5 * 0.3
    for operator, chance in ((CofeHalo, 0.7), (CofeSpots, 0.5), (CofeBlur, 0.7)):
        share = np.mean([operator in one for one in drawn])
        assert share == pytest.approx(chance / some, abs=0.03)
    mix = degradations.find_recipe("cofe-mix7")
    kinds = [mix.plan(rng) for _ in range(4000)]
    assert len(set(kinds)) == 7
    assert min(kinds.count(kind) for kind in set(kinds)) > 400
    spots = [
        len(
            degradations.degrade(made_up(64)[0], "tmage", draw=n)[1]
            .steps[3]
            .params["spots"]
        )
        for n in range(30)
    ]
    assert min(spots) >= 10
    assert max(spots) <= 30
    assert max(spots) > 20


def test_colour_is_pillows_bit_for_bit():
    rng = np.random.default_rng(2)
    levels = rng.integers(0, 256, (90, 70, 3), np.uint8)
    for _ in range(20):
        factors = rng.uniform([0.5, 0.5, 0.5], [1.4, 1.5, 1.5]).tolist()
        picture = PillowImage.fromarray(levels)
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind, factor in zip(kinds, factors, strict=True):
            picture = kind(picture).enhance(factor)
        unit = levels.astype(np.float32) / np.float32(255)
        ours = CofeColour(*factors).apply(unit, EXACT)
        np.testing.assert_array_equal(np.rint(ours * 255), np.array(picture))
        scaled = CofeColour(*factors).apply(unit, Scene())
        assert np.abs(scaled.clip(0, 1) * 255 - np.array(picture)).max() < 5


@pytest.mark.parametrize("window", [(5, 9), (33, 65), (217, 191)])
def test_wide_blurs_on_a_grid_stay_within_half_a_level(window):
    sigma = 0.7 * max(window)
    plane = disc((512, 500), (230, 270), 200) * 0.29
    ours = blur_plane(plane, window, sigma)
    full = cv2.GaussianBlur(plane, window, sigma)
    assert np.abs(ours - full).max() * 255 < 0.5


def test_windows_may_be_fractional():
    np.testing.assert_allclose(
        window_taps(5, 4.0), cv2.getGaussianKernel(5, 4.0)[:, 0], rtol=1e-12
    )
    np.testing.assert_allclose(
        window_taps(1.5, 1e3), [0.25 / 1.5, 1 / 1.5, 0.25 / 1.5], rtol=1e-5
    )
    assert window_taps(1, 3.0).tolist() == [1.0]


def test_scaled_mode_looks_alike_at_any_size():
    picture, _ = made_up(512)
    small = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
    low = degradations.degrade(picture, "cofe-111", name="same")[0]
    low = cv2.resize(low, (128, 128), interpolation=cv2.INTER_AREA)
    other = degradations.degrade(small, "cofe-111", name="same")[0]
    assert np.abs(low.astype(int) - other).mean() < 4
    wrong = degradations.degrade(small, "cofe-111", name="other")[0]
    assert np.abs(low.astype(int) - wrong).mean() > 5


def test_stronger_severities_add_to_weaker_ones():
    clean = made_up(192)[0]
    for name in ("cofe-001", "cofe-010", "cofe-100", "cofe-111", "tmage"):
        scores = [
            np.mean(
                [
                    degradations.degrade(clean, name, severity=level, draw=n)[
                        1
                    ].metrics["psnr_in"]
                    or 60.0
                    for n in range(4)
                ]
            )
            for level in (1, 3, 5)
        ]
        assert np.all(np.diff(scores) < 0.3), (name, scores)
        assert scores[0] - scores[-1] > 1.5, (name, scores)


@pytest.mark.parametrize("name", NAMES)
def test_crops_without_a_field_work_in_training(name):
    recipe = degradations.find_recipe(name)
    crop = made_up(300)[0][86:214, 80:208].astype(np.float32)[None] / 255
    before = crop.copy()
    changed = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        low, operators = sample_frames(crop, recipe, Scene(), rng, None)
        assert low.shape == crop.shape
        assert low.dtype == np.float32
        assert 0.0 <= low.min() <= low.max() <= 1.0
        assert operators
        changed.append(np.abs(low - crop).max())
    assert max(changed) > 0.02
    np.testing.assert_array_equal(crop, before)


@pytest.mark.parametrize("mode", ["scaled", "exact"])
@pytest.mark.parametrize(
    "clean",
    [
        made_up(64)[0][..., 0],
        made_up(64)[0].astype(np.uint16) * 257,
        made_up(64)[0].astype(np.float32) / 255,
        np.full((48, 90, 3), 128, np.uint8),
        np.zeros((40, 30, 3), np.uint8),
        made_up(32)[0],
        np.full((1, 1, 3), 77, np.uint8),
        np.full((3, 200), 77, np.uint8),
    ],
)
@pytest.mark.parametrize("size", [None, 48])
def test_hostile_pictures_pass(clean, mode, size):
    low, record = degradations.degrade(
        clean, "cofe-111", options={"mode": mode}, size=size
    )
    assert low.dtype == clean.dtype
    assert low.ndim == clean.ndim
    assert np.isfinite(low).all()
    np.testing.assert_array_equal(degradations.apply(clean, record), low)


@pytest.mark.shared
@needs_photographs
@pytest.mark.parametrize("mode", ["scaled", "exact"])
def test_photographs_lose_as_much_as_published(mode):
    """Identity PSNR of type 111 is 17.8 dB +- 1 over the whole square (A.7)."""
    recipe = degradations.find_recipe("cofe-111")
    scores = []
    for shard in ("drive-test.tar", "good-idrid.tar", "vessels-train.tar"):
        for number, photo in enumerate(photographs(shard, 5)):
            image = degradations.api._as_image(photo, "display", None)
            for draw in (0, 1):
                pair = degradations.degrade_image(
                    image,
                    recipe,
                    size=256,
                    draw=draw,
                    name=f"{shard}{number}",
                    options={"mode": mode},
                )
                change = pair.low.pixels.astype(float) - pair.high.pixels
                scores.append(-10 * np.log10(np.square(change / 255).mean()))
    assert np.mean(scores) == pytest.approx(17.8, abs=1.0)
