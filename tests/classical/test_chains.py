"""Chains are their steps in order, and undo together what none undoes alone."""

import numpy as np
import pytest
from scipy import ndimage

from medenh.classical import METHODS
from medenh.zoo.manifest import resolve

RNG = np.random.default_rng(3)


def psnr(image, reference):
    return -10 * np.log10(np.mean(np.square(image - reference, dtype=np.float64)))


def scene(channels=3, side=200):
    noise = np.random.default_rng(0).normal(0, 1, (side, side, channels))
    smooth = ndimage.gaussian_filter(noise, (4, 4, 0))
    low, high = smooth.min(), smooth.max()
    return ((smooth - low) / (high - low)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        (
            "tv-stretch",
            {"sigma": 0.05, "strength": 2, "low": 1, "high": 98},
            [
                ("tv", {"sigma": 0.05, "strength": 2}),
                ("stretch", {"low": 1, "high": 98}),
            ],
        ),
        (
            "tv-flat-field",
            {"sigma": 0.05, "strength": 2, "light": 0.3, "floor": 0.5},
            [
                ("tv", {"sigma": 0.05, "strength": 2}),
                ("flat-field", {"sigma": 0.3, "floor": 0.5}),
            ],
        ),
        (
            "flat-field-ref-color",
            {"light": 0.3, "floor": 0.5, "lightness": 60, "b_spread": 3, "limit": 4},
            [
                ("flat-field", {"sigma": 0.3, "floor": 0.5}),
                ("ref-color", {"lightness": 60, "b_spread": 3, "limit": 4}),
            ],
        ),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_is_its_steps(name, options, steps, masked):
    pixels = (scene() * np.mgrid[0.4:1:200j, :1][0][:, None]).astype(np.float32)
    mask = np.hypot(*(np.mgrid[:200, :200] - 100)) < 80 if masked else None
    wanted = pixels
    for step, given in steps:
        wanted = METHODS[step](wanted, mask, **given)

    out = METHODS[name](pixels, mask, **options)

    np.testing.assert_allclose(out, wanted, atol=1e-5)
    assert np.abs(out - METHODS[name](pixels, mask)).mean() > 0.01  # options tell


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_makes_no_ends_of_the_range(channels):
    clean = METHODS["stretch"](scene(channels), low=0.1, high=99.9)
    noise = RNG.normal(0, 0.03, clean.shape)
    seen = (0.3 + 0.3 * clean + noise).astype(np.float32)
    alone = METHODS["stretch"](seen, low=0.1, high=99.9)
    assert psnr(METHODS["tv-stretch"](seen), clean) > psnr(alone, clean) + 6


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_and_uneven_light_go(channels):
    clean = 0.3 + 0.4 * scene(channels)
    shade = np.mgrid[0.6:1:200j, :1][0][:, None]
    seen = clean * shade + RNG.normal(0, 0.03, clean.shape)
    seen = seen.clip(0, 1).astype(np.float32)

    def left(name):
        out = METHODS[name](seen)
        return psnr(out * (clean.mean() / out.mean()), clean)

    assert left("tv-flat-field") > max(left("tv"), left("flat-field")) + 2


def test_classic_goes_by_the_kind_of_picture():
    kinds = {
        "fundus": "flat-field-ref-color",
        "xray": "tv",
        "endoscopy": "tv",
        "mri": "nlm-rician",
        "dermoscopy": "tv-flat-field",
        "ct": "tv",
        "microscopy": "tv",
        "ultrasound": "tv",
        "nuclear": "tv",
        None: "tv",
    }
    for kind, method in kinds.items():
        assert resolve("classic", kind).card.method == method
