"""What the fidelity measures see, and what they do not mind."""

import numpy as np
import pytest
from scipy import ndimage

from medenh.classical import METHODS
from medenh.errors import NonFiniteError, UsageError
from medenh.metrics import clipped_share, mean_shift, structure_correlation
from medenh.metrics.fidelity import brightness_excess

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def retina():
    from skimage.data import retina as picture

    return (picture()[300:812, 300:812] / 255).astype(np.float32)


def noise(shape, sigma):
    return RNG.normal(0, sigma, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (7, 5), (64, 65), (33, 40, 3)])
def test_equal_pictures_correlate_fully(shape):
    picture = RNG.random(shape, np.float32)
    assert structure_correlation(picture, picture) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda x: 0.3 * x + 0.2, 0.99999),
        (lambda x: 0.001 * x + 0.9, 0.99),
        (lambda x: x**0.5, 0.999),
        (lambda x: x**2, 0.99),
        (lambda x: x * np.linspace(0.3, 1, 512, dtype=np.float32)[:, None, None], 0.95),
        (lambda x: METHODS["clahe"](x), 0.98),
        (lambda x: METHODS["lime"](x * np.float32(0.4)), 0.98),
        (lambda x: METHODS["unsharp"](x), 0.98),
    ],
    ids=["affine", "weak", "gamma", "darkening", "shading", "clahe", "lime", "unsharp"],
)
def test_enhancement_keeps_structure(retina, change, least):
    assert structure_correlation(change(retina), retina) > least


def test_unrelated_pictures_do_not_correlate(retina):
    turned = np.ascontiguousarray(retina[::-1, ::-1])
    assert abs(structure_correlation(turned, retina)) < 0.05
    assert abs(structure_correlation(RNG.random(retina.shape), retina)) < 0.02


def test_inversion_is_negative(retina):
    assert structure_correlation(1 - retina, retina) == pytest.approx(-1, abs=1e-4)


def test_lost_structure_lowers_it_step_by_step(retina):
    kept = [
        structure_correlation(ndimage.gaussian_filter(retina, (s, s, 0)), retina)
        for s in (1, 2, 4, 8)
    ]
    assert sorted(kept, reverse=True) == kept
    assert kept[0] > 0.9
    assert kept[1] < 0.9
    assert kept[3] < 0.5


def test_invented_structure_in_a_quiet_place_lowers_it(retina):
    y, x = np.mgrid[:512, :512]
    ring = np.abs(np.hypot(y - 300, x - 150) - 40) < 1.5
    invented = retina.copy()
    invented[ring] = (0.5, 0.1, 0.1)
    assert structure_correlation(invented, retina) < 0.95
    # taken away again is as bad
    assert structure_correlation(retina, invented) < 0.95


def test_denoising_is_not_blamed_but_noising_is(retina):
    rough = (retina + noise(retina.shape, 0.03)).clip(0, 1)
    assert structure_correlation(METHODS["nlm"](rough), rough) > 0.92
    assert structure_correlation(rough, retina) < 0.6


def test_flat_pictures():
    flat = np.full((40, 40), 0.3, np.float32)
    other = np.full((40, 40), 0.7, np.float32)
    busy = ndimage.gaussian_filter(RNG.random((40, 40), np.float32), 2)
    assert structure_correlation(other, flat) == 1
    assert structure_correlation(flat, busy) == 0
    assert structure_correlation(busy, flat) == 0


def test_mask_limits_where_it_looks(retina):
    spoilt = retina.copy()
    spoilt[:200] = RNG.random((200, 512, 3))
    mask = np.zeros((512, 512), bool)
    mask[220:] = True
    assert structure_correlation(spoilt, retina, mask=mask) > 0.999
    assert structure_correlation(spoilt, retina) < 0.9


@pytest.mark.parametrize("channels", [1, 3])
def test_large_pictures_are_measured_reduced(channels, retina):
    large = np.tile(retina[..., :channels], (5, 6, 1))[:2501, :3003]
    mask = np.zeros(large.shape[:2], bool)
    mask[1000:] = True
    assert structure_correlation(large**0.7, large, mask=mask) > 0.99
    assert structure_correlation(1 - large, large) < -0.99


def test_unusable_input_is_refused():
    grey = np.zeros((20, 20))
    with pytest.raises(UsageError, match="compare"):
        structure_correlation(grey, np.zeros((20, 21)))
    with pytest.raises(NonFiniteError):
        structure_correlation(grey + np.nan, grey)
    with pytest.raises(UsageError, match="empty"):
        structure_correlation(grey, grey, mask=np.zeros((20, 20), bool))


def test_clipped_share_counts_only_what_is_new():
    before = np.array([0.0, 1.0, 0.5, 0.5, 0.2, 0.8, 0.0, 0.9])
    after = np.array([0.0, 1.0, 1.0, 0.0, 0.3, 0.9, 0.2, 1.0])
    assert clipped_share(after, before) == 3 / 8
    assert clipped_share(before, before) == 0
    with pytest.raises(UsageError):
        clipped_share(before, before[:3])


def test_brightness_is_in_excess_where_bright_parts_cannot_have_stayed_apart():
    before = np.linspace(0, 0.6, 1000, dtype=np.float32).reshape(20, 50)
    room = 1 - np.percentile(before, 99)
    assert brightness_excess(before + np.float32(0.3), before) == 0.0
    white = np.ones_like(before)
    assert brightness_excess(white, before) == pytest.approx(0.7 - room)
    assert brightness_excess(before, white) == 0.0
    assert brightness_excess(before[:0], before[:0]) == 0.0


def test_mean_shift_is_signed():
    before = np.full((2, 3, 4, 5), 0.25, np.float32)
    assert mean_shift(before + np.float32(0.5), before) == pytest.approx(0.5)
    assert mean_shift(before, before + np.float32(0.5)) == pytest.approx(-0.5)
    with pytest.raises(UsageError):
        mean_shift(before, before[0])


@pytest.mark.parametrize("place", [np.s_[31], np.s_[:, 31], np.s_[33, 33]])
def test_a_mask_of_odd_lines_is_seen(place):
    picture = ndimage.gaussian_filter(np.random.default_rng(1).random((64, 64)), 2)
    mask = np.zeros((64, 64), bool)
    mask[place] = True
    assert structure_correlation(1 - picture, picture, mask=mask) < -0.9


def test_a_mask_in_what_reducing_leaves_out_has_no_structure():
    picture = np.random.default_rng(1).random((2049, 1500))
    mask = np.zeros(picture.shape, bool)
    mask[-1] = True
    assert np.isnan(structure_correlation(1 - picture, picture, mask=mask))
