"""Hair, highlights, bubbles, deposits, smoke, stain, low light, video faults."""

import cv2
import numpy as np
import pytest
from skimage import color, data

from medenh import degradations
from medenh.degradations import RECIPES, Scene
from medenh.degradations.blobs import GLARE, Bubbles, Deposits, Highlights
from medenh.degradations.hair import DrawnHair, RealHair
from medenh.degradations.scope import (
    ChromaShift,
    Interlacing,
    LowLight,
    OverExposure,
    Smoke,
    smooth_field,
)
from medenh.degradations.stain import StainJitter

SKIN = np.full((256, 256, 3), (0.85, 0.65, 0.55), np.float32)


def _sampled(operator, severity, pixels=SKIN, seed=0, scene=None):
    rng = np.random.default_rng(seed)
    return operator.sample(rng, pixels, scene or Scene(), severity)


def _hair(**changes):
    plain = {
        "mask": 9,
        "flip_x": False,
        "flip_y": False,
        "turned": False,
        "zoom": 1.0,
        "offset": (0.0, 0.0),
        "colour": (0.1, 0.1, 0.1),
        "opacity": 0.9,
    }
    return RealHair(**(plain | changes))


def test_real_hairs_cover_what_their_mask_covers():
    skin = np.full((512, 512, 3), 0.8, np.float32)
    thin = (_hair(mask=0).apply(skin, Scene())[..., 0] < 0.5).mean()
    thick = (_hair(mask=22).apply(skin, Scene())[..., 0] < 0.5).mean()
    assert 0.005 < thin < 0.02
    assert 0.05 < thick < 0.1
    low = _hair().apply(skin, Scene())
    np.testing.assert_allclose(
        _hair(flip_x=True).apply(skin, Scene()), low[:, ::-1], atol=1e-6
    )
    np.testing.assert_allclose(
        _hair(turned=True).apply(skin, Scene()), low.transpose(1, 0, 2), atol=1e-6
    )
    assert low.min() >= 0.1 - 1e-6


@pytest.mark.parametrize("side", [64, 128, 900])
def test_real_hairs_look_alike_at_any_size(side):
    small = _hair(mask=20).apply(np.full((side, side, 1), 0.8, np.float32), Scene())
    large = _hair(mask=20).apply(np.full((512, 512, 1), 0.8, np.float32), Scene())
    assert (0.8 - small).mean() == pytest.approx((0.8 - large).mean(), rel=0.15)


@pytest.mark.parametrize("kind", [RealHair, DrawnHair])
def test_more_severe_hairs_hide_more(kind):
    def hidden(severity):
        draws = [_sampled(kind, severity, seed=i) for i in range(8)]
        return np.mean(
            [np.abs(one.apply(SKIN, Scene()) - SKIN).mean() for one in draws]
        )

    assert hidden(1.0) > 2 * hidden(0.0)


def test_drawn_hairs_have_their_number_and_width():
    strokes = _sampled(DrawnHair, 1.0, np.zeros((512, 512, 3), np.float32)).strokes
    assert len(strokes) == 40
    assert max(stroke[6] for stroke in strokes) <= 4.0
    assert len(_sampled(DrawnHair, 0.0).strokes) == 5


def test_highlights_are_white_and_on_the_brighter_parts():
    photo = data.retina()[300:700, 300:700].astype(np.float32) / 255
    spots = _sampled(Highlights, 1.0, photo)
    assert len(spots.ellipses) == 40
    luma = photo @ np.array([0.299, 0.587, 0.114])
    limit = np.percentile(luma, 79)
    assert all(luma[int(y), int(x)] >= limit for x, y, *_ in spots.ellipses)
    lit = np.clip(spots.apply(photo, Scene()), 0, 1)
    assert (lit >= photo - 1e-6).all()
    assert (lit.min(-1) > 0.95).sum() > 200


def test_highlights_stay_inside_the_field():
    field = np.zeros(SKIN.shape[:2], np.float32)
    field[100:150, 60:90] = 1
    for x, y, *_ in _sampled(Highlights, 1.0, scene=Scene(field=field)).ellipses:
        assert field[int(y), int(x)] == 1
    none = Scene(field=np.zeros_like(field))
    assert _sampled(Highlights, 0.0, scene=none).ellipses


def test_glare_is_soft():
    glare = GLARE.sample(np.random.default_rng(0), SKIN, Scene(), 1.0)
    light = glare.apply(SKIN, Scene())[..., 0] - SKIN[..., 0]
    assert len(glare.ellipses) == 6
    assert np.abs(np.diff(light, axis=1)).max() < 0.05


def test_deposits_take_light_and_bubbles_bend_it():
    dirty = _sampled(Deposits, 1.0).apply(SKIN, Scene())
    assert (dirty <= SKIN + 1e-6).all()
    assert (dirty < SKIN - 0.1).any()
    stripes = np.zeros((64, 64, 1), np.float32)
    stripes[:, ::8] = 1
    bubble = Bubbles(((32.0, 32.0, 20.0),), 0.8, 0.5)
    bent = bubble.apply(stripes, Scene())
    np.testing.assert_array_equal(bent[:, :8], stripes[:, :8])  # outside
    assert np.abs(bent[32] - stripes[32]).max() > 0.5
    off_frame = Bubbles(((-50.0, 10.0, 20.0),), 0.8, 0.5)
    np.testing.assert_array_equal(off_frame.apply(stripes, Scene()), stripes)


def test_smoke_follows_its_equation():
    depth = smooth_field((256, 256), 3)
    assert depth.min() == 0
    assert depth.max() == pytest.approx(1)
    assert np.abs(np.diff(depth, axis=0)).max() < 0.1
    smoky = Smoke(1.5, 0.8, 3).apply(SKIN, Scene())
    passed = np.exp(-1.5 * depth)[..., None]
    np.testing.assert_allclose(smoky, SKIN * passed + 0.8 * (1 - passed), atol=1e-5)
    np.testing.assert_allclose(Smoke(0.0, 0.8, 3).apply(SKIN, Scene()), SKIN, atol=1e-6)


def test_low_light_is_in_linear_light():
    flat = np.full((301, 401, 1), 0.9, np.float32)
    dark = LowLight(2.0, (0.5, 0.5), 0.5).apply(flat, Scene())
    light = (dark / flat) ** 2.2
    assert light[150, 200, 0] == pytest.approx(0.25, rel=1e-3)
    assert light[150, 0, 0] == pytest.approx(0.125, rel=0.01)  # half, at the reach


def test_over_exposure_blooms():
    flat = np.full((101, 101, 1), 0.1, np.float32)
    flat[40:60, 40:60] = 0.9
    lit = OverExposure(2.0, 4.0).apply(flat, Scene())
    assert lit[50, 50, 0] >= 1
    assert lit[50, 63, 0] > 0.25  # beside the spot
    assert lit[5, 5, 0] == pytest.approx(0.2, abs=1e-4)


def test_stain_jitter_scales_the_stains():
    """scikit-image's haematoxylin-eosin separation sees the asked factors."""
    photo = data.immunohistochemistry()[100:228, 100:228].astype(np.float32) / 255
    photo = np.clip(photo, 0.05, 0.98)
    same = StainJitter((1.0, 1.0), (0.0, 0.0)).apply(photo, Scene())
    np.testing.assert_allclose(same, photo, atol=1e-6)
    stains = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    apart = np.linalg.inv(stains)
    before = -np.log10(photo) @ apart
    strong = StainJitter((1.2, 0.8), (0.03, 0.0)).apply(photo, Scene())
    after = -np.log10(strong) @ apart
    np.testing.assert_allclose(after[..., 0], 1.2 * before[..., 0] + 0.03, atol=1e-4)
    np.testing.assert_allclose(after[..., 1], 0.8 * before[..., 1], atol=1e-4)
    np.testing.assert_allclose(after[..., 2], before[..., 2], atol=1e-4)
    assert color.rgb2gray(
        StainJitter((1.2, 1.2), (0, 0)).apply(photo, Scene())
    ).mean() < (color.rgb2gray(photo).mean())


def test_video_faults_move_rows_and_channels():
    photo = data.retina()[300:400, 300:400].astype(np.float32) / 255
    torn = Interlacing(3).apply(photo, Scene())
    np.testing.assert_array_equal(torn[::2], photo[::2])
    np.testing.assert_array_equal(torn[1::2, 3:], photo[1::2, :-3])
    shifted = ChromaShift((2.0, -1.0), (0.0, 0.0)).apply(photo, Scene())
    np.testing.assert_array_equal(shifted[..., 1:], photo[..., 1:])
    np.testing.assert_allclose(shifted[:-1, 2:, 0], photo[1:, :-2, 0], atol=1e-5)
    grey = photo[..., :1]
    assert ChromaShift((2.0, 0.0), (0.0, 0.0)).apply(grey, Scene()) is grey


@pytest.mark.parametrize("name", ["derm-mixed", "micro-brightfield", "endo-mixed"])
def test_steps_follow_the_order_of_the_instrument(name):
    order = [
        {"smoke", "highlights", "stain-jitter", "deposits"},
        {"gaussian-blur", "defocus", "motion-blur", "trajectory-blur"},
        {"linear-ramp", "light-spot", "vignette", "low-light", "over-exposure"},
        {"gaussian-noise", "poisson-gaussian-noise"},
        {"contrast", "saturation", "chroma-shift"},
        {"jpeg"},
    ]
    seen = set()
    for draw in range(40):
        rng = np.random.default_rng(draw)
        kinds = RECIPES[name].plan(rng)
        names = [kind.sample(rng, SKIN, Scene(), 0.5).name for kind in kinds]
        glare = name == "derm-mixed"  # highlights there are glare, part of the light
        places = [
            place
            for one in names
            if not (glare and one == "highlights")
            for place, group in enumerate(order)
            if one in group
        ]
        assert places == sorted(places)
        seen |= set(names)
    assert "jpeg" in seen


def test_micro_shot_has_its_photons():
    rng = np.random.default_rng(0)
    (kind,) = RECIPES["micro-shot"].plan(rng)
    levels = {0: 1000, 0.25: 300, 0.5: 100, 0.75: 30, 1: 10}
    for severity, photons in levels.items():
        noise = kind.sample(rng, SKIN, Scene(), severity)
        assert noise.photons == pytest.approx(photons)
        assert noise.read_sigma * photons <= min(5.0, photons / 10) + 1e-9


def test_a_mask_of_hair_is_in_the_record():
    photo = np.ascontiguousarray(
        cv2.resize(data.retina()[300:900, 300:900], (128, 128))
    )
    kinds = set()
    for draw in range(6):
        _, record = degradations.degrade(photo, "derm-hair", draw=draw)
        (step,) = record.steps
        kinds.add(step.op)
        if step.op == "real-hair":
            assert {"mask", "flip_x", "zoom", "colour"} <= set(step.params)
    assert kinds == {"real-hair", "drawn-hair"}
