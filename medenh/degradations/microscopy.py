"""Microscopy: photons, defocus, uneven light, bright field and stain.

Order: slide -> optics -> illumination -> sensor -> processing -> compression.
"""

from __future__ import annotations

import numpy as np

from medenh.degradations.blobs import OPERATORS as BLOBS
from medenh.degradations.blobs import Bubbles, Deposits
from medenh.degradations.blur import DefocusBlur, GaussianBlur, MotionBlur
from medenh.degradations.compression import Jpeg
from medenh.degradations.light import (
    Contrast,
    Exposure,
    Offset,
    Saturation,
    draw_side,
)
from medenh.degradations.noise import PoissonGaussianNoise
from medenh.degradations.operator import (
    Drawn,
    Operator,
    Scene,
    at_level,
    draw_share,
    log_span,
    new_seed,
    relative_size,
    span,
)
from medenh.degradations.recipe import Plan, Recipe, Step, in_order, one_of, then
from medenh.degradations.shading import Vignette
from medenh.degradations.stain import OPERATORS as STAIN
from medenh.degradations.stain import StainJitter
from medenh.types import FloatArray

__all__ = ["OPERATORS", "RECIPES"]

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


_defocus = Drawn(
    lambda rng, pixels, scene, severity: DefocusBlur(
        span(rng, 2.0, 7.0, severity) * relative_size(pixels, 224, scene)
    )
)
_weak_defocus = Drawn(
    lambda rng, pixels, scene, severity: DefocusBlur(
        span(rng, 0.5, 3.5, severity) * relative_size(pixels, 224, scene)
    )
)
_psf = Drawn(
    lambda rng, pixels, scene, severity: GaussianBlur(
        span(rng, 0.5, 3.0, severity) * relative_size(pixels, 224, scene)
    )
)
_motion = Drawn(  # ImageNet-C's (radius, sigma), (3, 3) to (15, 12)
    lambda rng, pixels, scene, severity: _motion_of(
        rng, draw_share(rng, severity), relative_size(pixels, 224, scene)
    )
)


def _motion_of(rng: np.random.Generator, share: float, scale: float) -> MotionBlur:
    return MotionBlur(
        length=2 * at_level((3.0, 15.0), share) * scale,
        angle_deg=float(rng.uniform(0.0, 180.0)),
        sigma=at_level((3.0, 12.0), share) * scale,
    )


_lamp = Drawn(
    lambda rng, pixels, scene, severity: Exposure(
        span(rng, 1.0, draw_side(rng, 0.5, 1.4), severity)
    )
)
_camera = Drawn(
    lambda rng, pixels, scene, severity: PoissonGaussianNoise(
        log_span(rng, 3000.0, 100.0, severity), 0.005, new_seed(rng)
    )
)
_contrast = Drawn(
    lambda rng, pixels, scene, severity: Contrast(
        span(rng, 1.0, draw_side(rng, 0.5, 1.6), severity)
    )
)
_saturation = Drawn(
    lambda rng, pixels, scene, severity: Saturation(
        1.0 + draw_side(rng, -1.0, 1.0) * span(rng, 0.05, 0.25, severity)
    )
)
_jpeg = Drawn(
    lambda rng, pixels, scene, severity: Jpeg(round(span(rng, 50.0, 7.0, severity)))
)
_light_jpeg = Drawn(
    lambda rng, pixels, scene, severity: Jpeg(round(span(rng, 95.0, 40.0, severity)))
)


def _recipe(name: str, title: str, source: str, plan: Plan) -> Recipe:
    return Recipe(
        name=name, title=title, source=source, plan=plan, modalities=("microscopy",)
    )


RECIPES: tuple[Recipe, ...] = (
    _recipe(
        "micro-shot",
        "Few photons: 1000 to 10 at the peak, read noise",
        "Foi 2008, FMD [paper]; levels [C]",
        in_order(Drawn(_fluorescence)),
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
            Drawn(_fluorescence),
            Step(_light_jpeg, 0.3),
        ),
    ),
)
