"""Invented edges: what was drawn in is found, what was there is not blamed."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.draw import line
from skimage.exposure import equalize_adapthist

from medenh.metrics import invented_edges, lost_edges


@pytest.fixture(scope="module")
def retina():
    return data.retina()[300:812, 300:812].astype(np.float32) / 255


def _with_lines(image, count):
    rng = np.random.default_rng(0)
    drawn = np.zeros(image.shape[:2], np.float32)
    for _ in range(count):
        row, column = rng.integers(70, 440, 2)
        angle = rng.uniform(0, 2 * np.pi)
        end = (int(row + 60 * np.sin(angle)), int(column + 60 * np.cos(angle)))
        drawn[line(row, column, *end)] = 1
    thick = np.clip(3 * gaussian_filter(drawn, 1.2), 0, 1)
    return image * (1 - 0.4 * thick[..., None])


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + 0.1,
        lambda x: 0.3 * x,
        lambda x: 0.5 + 0.3 * (x - 0.5),
        lambda x: x**0.5,
        lambda x: x**2,
        lambda x: x * np.linspace(0.3, 1, 512, dtype=np.float32)[:, None],
        lambda x: equalize_adapthist(x, clip_limit=0.01),
        lambda x: gaussian_filter(x, (2, 2, 0)),
        lambda x: x,
    ],
    ids=[
        *("brighter", "darker", "paler", "gamma-up", "gamma-down"),
        *("shading", "clahe", "blur", "same"),
    ],
)
def test_changes_of_tone_invent_nothing(retina, change):
    assert invented_edges(change(retina), retina, data_range=1) < 0.01


def test_stretching_eight_bits_invents_nothing(retina):
    pale = np.rint(255 * (0.4 + 0.2 * retina)) / 255
    assert invented_edges((pale - 0.4) / 0.2, pale) < 0.01


@pytest.mark.parametrize("sigma", [0.02, 0.06])
def test_denoising_invents_nothing(retina, sigma):
    noisy = retina + np.random.default_rng(1).normal(0, sigma, retina.shape)
    assert invented_edges(retina, noisy, data_range=1) < 0.01
    smooth = gaussian_filter(noisy, (1, 1, 0))
    assert invented_edges(smooth, noisy, data_range=1) < 0.01


def test_moderate_deblurring_invents_little(retina):
    assert invented_edges(retina, gaussian_filter(retina, (1.5, 1.5, 0))) < 0.02


def test_false_vessels_are_found_in_proportion(retina):
    few, some, many = (
        invented_edges(_with_lines(retina, count), retina) for count in (5, 15, 45)
    )
    assert 0.01 < few < some < many
    assert some / few == pytest.approx(3, rel=0.5)


def test_all_is_invented_on_a_blank_and_nothing_on_none(retina):
    flat = np.full_like(retina, 0.4)
    disc = (np.hypot(*np.mgrid[-256:256, -256:256]) < 100).astype(np.float32)
    drawn = flat + 0.3 * gaussian_filter(disc, 1)[..., None]
    assert invented_edges(drawn, flat) == 1
    assert invented_edges(flat, drawn) == 0
    assert invented_edges(flat, flat) == 0


def test_mask_and_reduction_keep_the_place(retina):
    spoilt = retina.copy()
    spoilt[:256] = _with_lines(retina, 40)[:256]
    mask = np.zeros((512, 512), bool)
    mask[300:] = True
    assert invented_edges(spoilt, retina, mask=mask) < 0.01
    assert invented_edges(spoilt, retina, mask=~mask) > 0.05
    large, before = (np.kron(x[..., 1], np.ones((4, 4))) for x in (spoilt, retina))
    assert invented_edges(large, before) > 0.015
    assert invented_edges(large, before, mask=np.kron(mask, np.ones((4, 4)))) < 0.005


def test_lines_that_vanish_are_lost_and_paler_ones_are_not(retina):
    drawn = _with_lines(retina, 15)
    assert lost_edges(drawn, drawn) == 0
    assert lost_edges(0.5 + 0.3 * (drawn - 0.5), drawn, data_range=1) < 0.01
    few, many = (lost_edges(retina, _with_lines(retina, n)) for n in (5, 45))
    assert 0.005 < few < many
    assert lost_edges(drawn, retina) < 0.01  # that lines came is not a loss
    rough = np.random.default_rng(1).normal(0, 0.03, retina.shape).astype(np.float32)
    noisy = retina + rough
    assert lost_edges(retina, noisy, data_range=1) < 0.01
