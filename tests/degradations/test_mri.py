"""MRI: statistics of the noise, identities, what k-space operators do."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from skimage import data
from skimage.transform import resize
from skimage.util import random_noise

from medenh.degradations import OPERATORS, RECIPES, Scene, degrade_image, replay_image
from medenh.degradations.kspace import smooth_phase, to_image, to_kspace
from medenh.degradations.mri_bias import MriBias, bias_field
from medenh.degradations.mri_kspace import (
    MriGhosting,
    MriGibbs,
    MriSpike,
    MriUndersampling,
    kept_lines,
)
from medenh.degradations.mri_motion import MriMotion
from medenh.degradations.mri_noise import MriNoise
from medenh.degradations.operator import noise_rng
from medenh.degradations.record import StepRecord, read_step
from medenh.types import Geometry, Image, Modality, Storage, UnitRange

SCENE = Scene(domain="magnitude")
PHASE = (0.3, -0.5, 0.4, 0.2, -0.1, 0.05)


@pytest.fixture(scope="module")
def brain():
    small = resize(data.shepp_logan_phantom(), (97, 80), anti_aliasing=True)
    return (small / small.max()).astype(np.float32)[..., None]


def noise(sigma, coils=1, boost=1.0, band=1.0):
    return MriNoise(sigma, coils, boost, 0.0, 0.0, noise_seed=5, band=band)


def test_air_becomes_rayleigh_and_bright_tissue_gaussian():
    air = noise(0.05).apply(np.zeros((400, 400, 1), np.float32), SCENE)
    assert air.mean() == pytest.approx(1.2533 * 0.05, rel=0.01)
    shape = scipy.stats.rice.stats(0.0, scale=0.05, moments="mv")
    assert air.var() == pytest.approx(shape[1], rel=0.02)
    tissue = noise(0.05).apply(np.full((400, 400, 1), 0.8, np.float32), SCENE)
    mean, variance = scipy.stats.rice.stats(0.8 / 0.05, scale=0.05, moments="mv")
    assert tissue.mean() == pytest.approx(mean, rel=1e-3)
    assert tissue.var() == pytest.approx(variance, rel=0.02)
    gaussian = random_noise(np.full((400, 400), 0.8), "gaussian", rng=0, var=0.05**2)
    assert tissue.std() == pytest.approx(gaussian.std(), rel=0.02)


@pytest.mark.parametrize("coils", [4, 32])
def test_several_coils_give_non_central_chi(coils):
    sigma, signal = 0.02, 0.1
    plane = np.full((400, 400, 1), signal, np.float32)
    squared = (noise(sigma, coils).apply(plane, SCENE) / sigma) ** 2
    theory = scipy.stats.ncx2(2 * coils, (signal / sigma) ** 2)
    assert squared.mean() == pytest.approx(theory.mean(), rel=0.01)
    assert squared.var() == pytest.approx(theory.var(), rel=0.03)


@pytest.mark.parametrize("coils", [1, 4])
def test_noise_of_a_smaller_matrix_is_as_strong_and_of_its_band_alone(coils):
    sigma, signal, shape = 0.02, 0.4, (401, 300)
    plane = np.full((*shape, 1), signal, np.float32)
    noisy = noise(sigma, coils, band=0.6).apply(plane, SCENE)[..., 0]
    theory = scipy.stats.ncx2(2 * coils, (signal / sigma) ** 2)
    squared = (noisy / sigma) ** 2
    assert squared.mean() == pytest.approx(theory.mean(), rel=0.01)
    assert squared.std() == pytest.approx(theory.std(), rel=0.02)
    power = np.abs(np.fft.fftshift(np.fft.fft2(noisy - noisy.mean()))) ** 2
    rows, columns = (
        np.abs(np.arange(side) - side // 2) < 0.3 * side + 1 for side in shape
    )
    inside = power[np.ix_(rows, columns)].sum() / power.sum()
    assert inside > 0.99  # what the magnitude spreads is next to nothing here


def test_air_can_stay_black_while_what_tissue_encloses_gets_noise():
    y, x = np.mgrid[:200, :160]
    radius = np.hypot(y - 100, x - 80)
    plane = np.where((radius < 60) & (radius > 20), 0.5, 0.0).astype(np.float32)
    plane = plane[..., None]
    everywhere = noise(0.05, 4).apply(plane, SCENE)
    inside = replace(noise(0.05, 4), air=0.0).apply(plane, SCENE)
    tissue, air = (radius < 59)[..., None], (radius > 64)[..., None]
    np.testing.assert_array_equal(inside[tissue], everywhere[tissue])
    assert (inside[air] == 0.0).all()
    half = replace(noise(0.05, 4), air=0.5).apply(plane, SCENE)
    np.testing.assert_allclose(half[air], everywhere[air] / 2, rtol=1e-6)


def test_the_real_part_has_gaussian_noise_cut_off_at_zero():
    real = replace(noise(0.05), part="real")
    plane = np.full((400, 400, 1), 0.1, np.float32)
    noisy = real.apply(plane, SCENE)
    # two standard deviations above zero: a fortieth of the pixels is cut off
    assert (noisy == 0.0).mean() == pytest.approx(scipy.stats.norm.cdf(-2), rel=0.05)
    assert noisy.min() == 0.0
    bright = real.apply(plane + 0.5, SCENE)
    assert bright.mean() == pytest.approx(0.6, abs=1e-3)
    assert bright.std() == pytest.approx(0.05, rel=0.01)


def test_records_from_before_the_band_still_replay(brain):
    params = {"sigma": 0.05, "coils": 1, "boost": 1.0, "right": 0.0, "down": 0.0}
    step = StepRecord(op="mri-noise", params=params | {"noise_seed": 5})
    replayed = read_step(step, OPERATORS).apply(brain, SCENE)
    rng = noise_rng(5, SCENE)
    real, imaginary = (
        np.float32(0.05) * rng.standard_normal(brain.shape[:2], np.float32)
        for _ in range(2)
    )
    expected = np.hypot(brain[..., 0] + real, imaginary)
    np.testing.assert_allclose(replayed[..., 0], expected, atol=1e-6)


def test_noise_grows_where_coils_see_least_and_frames_differ():
    plane = np.full((200, 200, 1), 0.9, np.float32)
    uneven = noise(0.02, boost=3.0).apply(plane, SCENE)
    ratio = uneven[90:110, 90:110].std() / uneven[:20, :20].std()
    assert 2.0 < ratio < 3.5
    other = noise(0.02).apply(plane, replace(SCENE, frame=1))
    assert np.abs(noise(0.02).apply(plane, SCENE) - other).max() > 0
    np.testing.assert_array_equal(noise(0.0).apply(plane, SCENE), plane)


@pytest.mark.parametrize("shape", [(64, 64), (33, 50), (1, 7)])
def test_kspace_is_centred_orthonormal_and_invertible(shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    kspace = to_kspace(image)
    np.testing.assert_allclose(to_image(kspace), image, atol=1e-5)
    energy = np.linalg.norm(kspace)
    assert energy == pytest.approx(np.linalg.norm(image), rel=1e-5)
    middle = kspace[shape[0] // 2, shape[1] // 2]
    assert middle.real == pytest.approx(image.sum() / np.sqrt(image.size), rel=1e-4)


def test_without_damage_nothing_changes(brain):
    for same in (
        MriUndersampling(1.0, 0.32, "random", "row", PHASE, 1),
        MriUndersampling(1.0, 0.0, "equispaced", "column", PHASE, 1),
        MriGhosting(4, 0.0, 0.02, "row", PHASE),
        MriSpike(((0.3, 0.2),), 0.0, PHASE),
        MriGibbs(1.0, PHASE),
        MriMotion(((0.4, 0.0, 0.0, 0.0), (0.6, 0.0, 0.0, 0.0)), "row", PHASE),
        MriMotion((), "column", PHASE),
    ):
        np.testing.assert_allclose(same.apply(brain, SCENE), brain, atol=1e-5)


def test_zero_coefficients_give_a_bias_of_one(brain):
    assert (bias_field((0.0,) * 19, (40, 30)) == 1.0).all()
    assert (bias_field((), (40, 30)) == 1.0).all()
    same = MriBias((0.0,) * 19).apply(brain[None], SCENE)
    np.testing.assert_array_equal(same[0], brain)
    shaded = MriBias((0.5,) * 19).apply(brain[None], SCENE)
    assert (shaded[0][brain == 0] == 0).all()  # air has nothing to shade


def test_bias_runs_through_a_volume_and_begins_anew_with_the_next():
    frames = np.ones((6, 8, 9, 1), np.float32)
    linear_in_z = [0.0] * 19
    linear_in_z[0] = 0.5  # the first term is Z
    shaded = MriBias(tuple(linear_in_z)).apply(frames, replace(SCENE, depth=3))
    expected = np.exp([-0.5, 0.0, 0.5, -0.5, 0.0, 0.5])
    np.testing.assert_allclose(shaded[:, 0, 0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("pattern", ["random", "equispaced"])
@pytest.mark.parametrize(("factor", "centre"), [(2, 0.16), (4, 0.08), (8, 0.04)])
@pytest.mark.parametrize("lines", [320, 97])
def test_one_in_r_lines_is_kept_and_the_centre_whole(pattern, factor, centre, lines):
    sampling = MriUndersampling(factor, centre, pattern, "row", PHASE, 1)
    kept = kept_lines(lines, sampling, np.random.default_rng(0))
    assert kept.sum() == round(lines / factor)
    half = int(lines * centre / 2) - 1
    assert kept[lines // 2 - half : lines // 2 + half + 1].all()


def test_phase_breaks_the_symmetry_of_kspace(brain):
    plain = to_kspace(brain[:64, :64, 0])
    turned = to_kspace(brain[:64, :64, 0] * smooth_phase(PHASE, (64, 64)))

    def asymmetry(k):
        inner = k[1:, 1:]
        gap = np.abs(inner - np.conj(inner[::-1, ::-1])).max()
        return float(gap / np.abs(inner).max())

    assert asymmetry(plain) < 1e-5
    assert asymmetry(turned) > 0.1
    assert np.abs(np.angle(smooth_phase(PHASE, (64, 64)))).max() <= np.pi / 2


def test_undersampling_along_rows_is_that_along_columns_of_the_transpose(brain):
    # without a phase, which has an order of its own
    down = MriUndersampling(4.0, 0.08, "random", "row", (), 7)
    across = replace(down, axis="column")
    turned = across.apply(brain.swapaxes(0, 1), SCENE).swapaxes(0, 1)
    np.testing.assert_allclose(down.apply(brain, SCENE), turned, atol=1e-5)


def test_motion_of_all_lines_but_the_middle_is_the_moved_picture(brain):
    moves = ((0.5, 0.0, 3.0, -2.0), (0.5, 0.0, 3.0, -2.0))
    half = MriMotion(moves, "row", ()).apply(brain, SCENE)
    # half of k-space moved: what is left differs from both poses
    moved = scipy.ndimage.shift(brain[..., 0], (-2, 3), order=1)
    assert np.abs(half[..., 0] - moved).mean() > 1e-3
    assert np.abs(half - brain).mean() > 1e-3
    wide = Scene(domain="magnitude", spacing_mm=(np.nan, 2.0, 1.0))
    in_mm = MriMotion(((0.5, 0.0, 3.0, -4.0),), "row", ()).apply(brain, wide)
    in_px = MriMotion(((0.5, 0.0, 3.0, -2.0),), "row", ()).apply(brain, SCENE)
    np.testing.assert_allclose(in_mm, in_px, atol=1e-5)


def test_the_whole_scan_in_one_pose_is_that_pose(brain):
    turned = MriMotion(((0.0, 0.0, 0.0, 0.0), (1.0, 9.0, 5.0, 5.0)), "row", PHASE)
    np.testing.assert_allclose(turned.apply(brain, SCENE), brain, atol=1e-5)


def test_turning_is_that_of_scipy():
    from medenh.degradations.mri_motion import _moved

    y, x = np.mgrid[:65, :65] - 32.0
    blob = np.exp(-((x - 12) ** 2 + y**2) / 50).astype(np.float32)
    ours = _moved(blob, (10.0, 0.0, 0.0), SCENE)
    theirs = scipy.ndimage.rotate(blob, -10, reshape=False, order=1)
    np.testing.assert_allclose(ours, theirs, atol=5e-3)


def test_ghosts_lie_where_the_period_puts_them():
    line = np.zeros((96, 40, 1), np.float32)
    line[48, 10:30] = 1.0
    low = MriGhosting(4, 1.0, 0.0, "row", ()).apply(line, SCENE)
    bright = np.flatnonzero(low[:, 20, 0] > 0.1)
    assert set(bright) == {0, 24, 48, 72}


def test_gibbs_rings_and_spikes_stripe():
    step = np.zeros((64, 64, 1), np.float32)
    step[:, 32:] = 1.0
    cut = MriGibbs(0.4, ()).apply(step, SCENE)
    assert 1.05 < cut.max() < 1.25  # 9 % overshoot, twice where borders meet
    stripes = MriSpike(((0.5, 0.0),), 0.5, ()).apply(np.ones((64, 64, 1), "f4"), SCENE)
    assert stripes.std(axis=1).min() > 0.1  # along rows
    assert stripes.std(axis=0).max() < 1e-4


def volume(channels=1):
    head = data.shepp_logan_phantom()[::6, ::6]
    slab = np.stack([np.roll(head, z, axis=0) for z in range(6)])
    pixels = np.rint(slab * 900).astype(np.int16)[..., None]
    return Image(
        pixels=np.repeat(pixels, channels, axis=3),
        unit_range=UnitRange(0, 700),
        storage=Storage(np.dtype(np.int16), minimum=-32768, maximum=32767),
        modality=Modality.MRI,
        geometry=Geometry((4.0, 1.0, 1.0)),
    )


@pytest.mark.parametrize("name", [n for n in RECIPES if n.startswith("mri")])
def test_volumes_keep_type_and_replay(name):
    clean = volume()
    pair = degrade_image(clean, RECIPES[name], name="v", severity=1.0)
    assert pair.low.pixels.dtype == np.int16
    changed = (pair.low.pixels != clean.pixels).any(axis=(1, 2, 3))
    assert changed.all()
    again = replay_image(clean, pair.record)
    np.testing.assert_array_equal(again.low.pixels, pair.low.pixels)


def test_bright_values_are_not_clipped_and_colours_stay_grey():
    clean = volume(channels=3)
    pair = degrade_image(clean, RECIPES["mri-bias"], name="b", severity=1.0)
    assert pair.low.pixels.max() > clean.pixels.max()
    assert (pair.low.pixels == pair.low.pixels[..., :1]).all()


def test_sampled_parameters_are_in_their_ranges(brain):
    rng = np.random.default_rng(0)
    draws = [
        OPERATORS["mri-noise"].sample(rng, brain, SCENE, None) for _ in range(10_000)
    ]
    sigmas = [draw.sigma for draw in draws]
    assert np.mean(sigmas) == pytest.approx(0.05, rel=0.01)
    assert 0.01 <= min(sigmas) <= max(sigmas) <= 0.09
    for severity, reach in ((0.0, 2.0), (1.0, 10.0)):
        motion = MriMotion.sample(rng, brain, SCENE, severity)
        assert len(motion.moves) == 2
        assert np.abs([move[1:] for move in motion.moves]).max() <= reach
    bias = MriBias.sample(rng, brain, SCENE, None)
    assert np.abs(bias.coefficients).max() <= 0.5
    assert len(bias.coefficients) == 19
