"""Microscopy: photons, defocus, uneven light, bright field and stain.

Order: slide -> optics -> illumination -> sensor -> processing -> compression.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from medenh.degradations.blobs import OPERATORS as BLOBS
from medenh.degradations.blobs import Bubbles, Deposits
from medenh.degradations.blur import DefocusBlur, GaussianBlur, MotionBlur
from medenh.degradations.compression import Jpeg
from medenh.degradations.light import Contrast, Exposure, Offset, Saturation
from medenh.degradations.noise import PoissonGaussianNoise
from medenh.degradations.operator import (
    Drawn,
    Operator,
    Scene,
    at_level,
    draw_share,
    new_seed,
)
from medenh.degradations.parameters import Graded, Uniform, ranged
from medenh.degradations.recipe import Recipe, Step, in_order, one_of, then
from medenh.degradations.shading import Vignette
from medenh.degradations.stain import OPERATORS as STAIN
from medenh.degradations.stain import StainJitter
from medenh.types import FloatArray

__all__ = ["FLUORESCENCE", "OPERATORS", "RECIPES"]

OPERATORS: tuple[type[Operator], ...] = (*BLOBS, *STAIN)

_PHOTONS = (1000.0, 300.0, 100.0, 30.0, 10.0)
_READ_ELECTRONS = (1.0, 5.0)
_MEDMNIST = "ranges of MedMNIST-C path and blood [code], photons [C]"


def _fluorescence(
    rng: np.random.Generator,
    pixels: FloatArray,
    scene: Scene,
    severity: float | None,
) -> PoissonGaussianNoise:
    """Draw peak photons and read noise, of at most a tenth of the peak."""
    share = draw_share(rng, severity)
    photons = float(10.0 ** at_level(np.log10(_PHOTONS).tolist(), share))
    electrons = min(at_level(_READ_ELECTRONS, share), photons / 10.0)
    return PoissonGaussianNoise(photons, electrons / photons, new_seed(rng))


FLUORESCENCE = Drawn(PoissonGaussianNoise, _fluorescence)

_defocus = ranged(DefocusBlur, radius=Graded(2.0, 7.0, at_side=224), softness=0.0)
_weak_defocus = ranged(DefocusBlur, radius=Graded(0.5, 3.5, at_side=224), softness=0.0)
_psf = ranged(GaussianBlur, sigma=Graded(0.5, 3.0, at_side=224))
_motion = ranged(  # ImageNet-C's (radius, sigma), (3, 3) to (15, 12)
    MotionBlur,
    length=Graded(6.0, 30.0, at_side=224),
    angle_deg=Uniform(0.0, 180.0),
    sigma=Graded(3.0, 12.0, at_side=224),
    together=True,
)
_lamp = ranged(Exposure, gain=Graded(1.0, (0.5, 1.4)))
_camera = ranged(
    PoissonGaussianNoise,
    photons=Graded(3000.0, 100.0, log=True),
    read_sigma=0.005,
    gamma=1.0,
)
_contrast = ranged(Contrast, factor=Graded(1.0, (0.5, 1.6)))
_saturation = ranged(Saturation, factor=Graded((0.95, 1.05), (0.75, 1.25)))
_jpeg = ranged(Jpeg, quality=Graded(50, 7))
_light_jpeg = ranged(Jpeg, quality=Graded(95, 40))

_recipe = partial(Recipe, modalities=("microscopy",))

RECIPES: tuple[Recipe, ...] = (
    _recipe(
        "micro-shot",
        "Few photons: 1000 to 10 at the peak, read noise",
        "Foi 2008, FMD [paper]; levels [C]",
        in_order(FLUORESCENCE),
    ),
    _recipe(
        "micro-defocus",
        "Out of focus: disc or Gaussian",
        _MEDMNIST,
        one_of(in_order(_defocus), in_order(_psf)),
    ),
    _recipe(
        "micro-light",
        "Uneven light and background, y = S x + D",
        "BaSiC's form [recalled]; ranges [C]",
        in_order(Vignette, Offset),
    ),
    _recipe(
        "micro-stain",
        "Stain too strong or weak, at times deposits",
        "optical density of Ruifrok & Johnston 2001; ranges [C]",
        in_order(StainJitter, Step(Deposits, 0.3)),
    ),
    _recipe(
        "micro-brightfield",
        "Bright field: stain, deposits, bubbles, blur, lamp, camera, JPEG",
        _MEDMNIST,
        then(
            in_order(Step(StainJitter, 0.5), Step(Deposits, 0.15), Step(Bubbles, 0.1)),
            one_of(in_order(_weak_defocus), in_order(_motion), in_order()),
            in_order(
                Step(Vignette, 0.5),
                Step(_lamp, 0.5),
                Step(_camera, 0.7),
                Step(_contrast, 0.3),
                Step(_saturation, 0.3),
                Step(_jpeg, 0.5),
            ),
        ),
    ),
    _recipe(
        "micro-mixed",
        "Fluorescence: defocus, uneven light and background, few photons, JPEG",
        "the forms above in order of the instrument [C]",
        in_order(
            Step(_weak_defocus, 0.7),
            Step(Vignette, 0.6),
            Step(Offset, 0.4),
            FLUORESCENCE,
            Step(_light_jpeg, 0.3),
        ),
    ),
)
