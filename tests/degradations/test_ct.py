"""CT: noise as theory says, identity where nothing happens, air and padding."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.data import shepp_logan_phantom
from skimage.transform import resize

from medenh import degradations
from medenh.degradations import RECIPES, Scene, degrade_image, replay_image
from medenh.degradations.ct_detector import CtBeamHardening, CtMotion, CtRing
from medenh.degradations.ct_dose import CtLowDose, low_dose_projections
from medenh.degradations.ct_scanner import WATER_PER_MM
from medenh.degradations.ct_views import CtLimitedAngle, CtSparseView
from medenh.degradations.radon import filtered_back_project, project, view_angles
from medenh.types import Geometry, Image, Modality, Storage, UnitRange

SIDE = 96
SCENE = Scene(domain="hu", spacing_mm=(np.nan, 3.0, 3.0))


def disc(radius=32.0, inside=40.0, side=SIDE):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    hu = np.where(np.hypot(y, x) < radius, inside, -1000.0)
    return hu.astype(np.float32)[..., None]


def low_dose(photons, **other):
    given = {"dose": 1.0, "read_noise": 0.0, "views": 180, "kernel": "ramp"}
    return CtLowDose(photons, noise_seed=1, **{**given, **other})


def test_noise_of_the_phantom_is_as_measured_for_the_specification():
    side, pixel = 128, 300 / 128
    phantom = resize(shepp_logan_phantom(), (side, side), anti_aliasing=True)
    angles = view_angles(180)
    clean = project((phantom * WATER_PER_MM * pixel).astype(np.float32), angles)
    for photons, expected in ((1e6, 1.6), (1e5, 5.1), (1e4, 16.0), (4096, 25.0)):
        noisy = low_dose_projections(
            clean, np.random.default_rng(0), photons=photons, read_noise=0.0
        )
        noise = filtered_back_project(noisy - clean, angles, phantom.shape)
        hu = noise / (WATER_PER_MM * pixel) * 1000
        assert hu[phantom > 0].std() == pytest.approx(expected, rel=0.04)


def test_noise_falls_with_the_root_of_the_photons():
    hu, inside = disc(), disc() > 0
    photons = np.geomspace(1e4, 1e6, 5)
    stds = [(low_dose(n).apply(hu, SCENE) - hu)[inside].std() for n in photons]
    slope = np.polyfit(np.log(photons), np.log(stds), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.03)


def test_dose_and_photons_count_alike_and_electronics_add():
    hu = disc()
    one = low_dose(1e5, dose=0.1).apply(hu, SCENE)
    np.testing.assert_allclose(one, low_dose(1e4).apply(hu, SCENE), atol=1e-3)
    noisier = low_dose(1e4, read_noise=20.0).apply(hu, SCENE)
    assert (noisier - hu).std() > (one - hu).std()


def test_without_noise_nothing_changes():
    hu = np.rint(disc() + np.random.default_rng(0).normal(0, 30, (SIDE, SIDE, 1)))
    hu = hu.astype(np.float32)
    np.testing.assert_array_equal(np.rint(low_dose(1e14).apply(hu, SCENE)), hu)
    for same in (
        CtSparseView(90, 0.0, 90, "ramp"),
        CtLimitedAngle(180.0, 0.0, 90, "ramp"),
        CtRing(0.0, 90, 1),
        CtBeamHardening(0.0, 90),
        CtMotion(0.0, 0.0, 0.2, 0.3, 90),
        CtMotion(5.0, 0.0, 0.2, 0.0, 90),
    ):
        np.testing.assert_allclose(same.apply(hu, SCENE), hu, atol=1e-3)


def test_slices_have_their_own_noise_and_repeat_it():
    hu = disc()
    first, again = (low_dose(1e4).apply(hu, SCENE) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = low_dose(1e4).apply(hu, replace(SCENE, frame=1))
    assert np.abs(first - other).max() > 1


def test_padding_outside_the_scan_circle_keeps_its_value():
    hu = disc(radius=30)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    outside = np.hypot(y, x) > SIDE / 2
    for padding in (-1024.0, -2000.0, -3024.0):
        hu[outside] = padding
        low = low_dose(1e3).apply(hu, SCENE)
        np.testing.assert_array_equal(low[outside], hu[outside])
        assert np.isfinite(low).all()
        # padding counts as air, whatever its value: it casts no shadow
        inner = np.abs((low - hu)[~outside].mean())
        assert inner < 5


def test_padding_inside_the_scan_circle_keeps_its_value():
    """The field is smaller than the circle; the volume was turned."""
    hu = disc(radius=20)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    for unknown in (np.hypot(y, x) > SIDE / 2 - 4, x + y > SIDE / 2):
        padded = hu.copy()
        padded[unknown] = -2000
        low = low_dose(1e3).apply(padded, SCENE)
        np.testing.assert_array_equal(low[unknown], padded[unknown])
        assert (low[~unknown] != padded[~unknown]).mean() > 0.9


def test_corners_of_a_filled_square_are_no_worse_than_its_middle():
    hu = np.full((64, 64, 1), 0.0, np.float32)
    noise = low_dose(1e6).apply(hu, SCENE) - hu
    corner, centre = noise[:12, :12], noise[26:38, 26:38]
    assert abs(corner.mean()) < 3
    assert corner.std() < 2 * centre.std()


def test_burnt_in_windows_take_their_black_for_air():
    full, shown = disc(), np.clip(disc(), -160, 240)
    kwargs = {"views": 30, "first": 0.0, "full_views": 180, "kernel": "ramp"}
    few = CtSparseView(**kwargs)
    inside = full > 0
    wide, narrow = (few.apply(hu, SCENE) for hu in (full, shown))
    np.testing.assert_allclose(narrow[inside], np.maximum(wide, -160)[inside], atol=1)
    assert narrow.min() == -160
    dark = narrow[full == -1000]
    assert (dark == -160).mean() > 0.9  # streaks in air stay below the window


def test_rings_are_round_and_beam_hardening_cups():
    hu = np.zeros((SIDE, SIDE, 1), np.float32)
    ring = (CtRing(0.01, 180, 3).apply(hu, SCENE) - hu)[..., 0]
    inner = ring[16:-16, 16:-16]
    np.testing.assert_allclose(inner, np.rot90(inner), atol=0.1 * np.abs(inner).max())
    assert inner.std() > 1
    cup = CtBeamHardening(-0.02, 180).apply(disc(), SCENE)[..., 0]
    middle = SIDE // 2
    edge = cup[middle, middle + 26 : middle + 30].mean()
    assert cup[middle - 4 : middle + 4, middle - 4 : middle + 4].mean() < edge - 5
    assert abs(cup[disc()[..., 0] > 0].mean() - 40) < 30


def test_limited_angle_blurs_one_direction_only():
    hu = disc(radius=20)
    low = CtLimitedAngle(120.0, 30.0, 180, "ramp").apply(hu, SCENE)[..., 0]
    # views at 0 +- 30 degrees are missing: edges across columns are lost
    row, column = low[SIDE // 2], low[:, SIDE // 2]
    steepest = [np.abs(np.diff(line)).max() for line in (row, column)]
    assert steepest[0] < 0.8 * steepest[1]


def hu_volume(frames=4, side=48):
    rng = np.random.default_rng(0)
    pixels = np.stack([disc(18, 40 + 20 * z, side) for z in range(frames)])
    pixels = np.rint(pixels + rng.normal(0, 5, pixels.shape)).astype(np.int16)
    return Image(
        pixels=pixels,
        unit_range=UnitRange(-160, 240),
        storage=Storage(np.dtype(np.int16), minimum=-32768, maximum=32767),
        modality=Modality.CT,
        units="HU",
        geometry=Geometry((2.0, 3.0, 3.0)),
    )


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.domain == "hu"])
def test_volumes_stay_in_integer_hu_and_replay(name):
    clean = hu_volume()
    pair = degrade_image(clean, RECIPES[name], name="v", severity=1.0)
    assert pair.low.pixels.dtype == np.int16
    assert pair.low.units == "HU"
    assert np.abs(pair.low.pixels.astype(int) - clean.pixels).max() > 0
    again = replay_image(clean, pair.record)
    np.testing.assert_array_equal(again.low.pixels, pair.low.pixels)


def test_twelve_bit_levels_of_ct_are_hu_plus_1024():
    hu = np.clip(hu_volume().pixels[0, ..., 0], -1024, 3071)
    hu[24, 24] = 1500
    levels = (hu + 1024).astype(np.uint16)
    low, record = degradations.degrade(levels, "ct-low-dose", modality="ct")
    assert record.scale == (1024.0, 1025.0)
    assert low.dtype == np.uint16
    full_range = (levels * 16).astype(np.uint16)
    record = degradations.degrade(full_range, "ct-low-dose", modality="ct")[1]
    assert record.scale[1] - record.scale[0] > 100  # a window over 16 bits


def test_saved_as_colour_stays_grey():
    grey = np.rint(np.clip(disc(), -160, 240) * 0.6375 + 102).astype(np.uint8)
    low, _ = degradations.degrade(np.repeat(grey, 3, axis=2), "ct-low-dose")
    assert (low == low[..., :1]).all()


def test_noise_is_worked_out_in_millimetres():
    hu = disc()
    small, large = (
        low_dose(1e4).apply(hu, Scene(domain="hu", spacing_mm=(np.nan, mm, mm)))
        for mm in (1.0, 4.0)
    )
    inside = hu > 0
    # thin objects let more photons pass, but their pixels weigh less
    assert (small - hu)[inside].std() > 0
    assert np.abs(small - large).max() > 1
    unknown = low_dose(1e4).apply(hu, Scene(domain="hu"))
    known = low_dose(1e4).apply(
        hu, Scene(domain="hu", spacing_mm=(np.nan, 350 / SIDE, 350 / SIDE))
    )
    np.testing.assert_array_equal(unknown, known)
