"""Dermoscopy: blur, light, sensor noise, hair, and all in order.

Order: optics -> illumination -> sensor -> processing -> compression. Lengths are for
512 px and grow with the picture.
"""

from __future__ import annotations

from medenh.degradations.blobs import GLARE, Bubbles
from medenh.degradations.blur import DefocusBlur, GaussianBlur, MotionBlur
from medenh.degradations.compression import Jpeg
from medenh.degradations.hair import OPERATORS as HAIR
from medenh.degradations.hair import DrawnHair, RealHair
from medenh.degradations.light import ColourGains, Contrast, Saturation
from medenh.degradations.noise import (
    GaussianNoise,
    ImpulseNoise,
    PoissonGaussianNoise,
)
from medenh.degradations.operator import Operator
from medenh.degradations.parameters import Graded, Uniform, ranged
from medenh.degradations.recipe import Plan, Recipe, Step, in_order, one_of, then
from medenh.degradations.shading import LightSpot, LinearRamp

__all__ = ["OPERATORS", "RECIPES"]

OPERATORS: tuple[type[Operator], ...] = HAIR

_SOURCE = "blur and Gaussian noise of DermaSR-GAN 2025 [paper], the rest [C]"


_gaussian_blur = ranged(GaussianBlur, sigma=Graded(0.1, 3.0, at_side=512))
_defocus = ranged(  # windows of 7 to 21
    DefocusBlur, radius=Graded(3.0, 10.0, at_side=512), softness=0.0
)
_motion = ranged(
    MotionBlur,
    length=Graded(6.0, 20.0, at_side=512),
    angle_deg=Uniform(0.0, 180.0),
    sigma=0.0,  # constant speed
)
_gaussian_noise = ranged(GaussianNoise, sigma=Graded(1.0 / 255.0, 30.0 / 255.0))
_photon_noise = ranged(
    PoissonGaussianNoise,
    photons=Graded(2000.0, 40.0, log=True),
    read_sigma=0.0,
    gamma=1.0,
)
_impulse = ranged(ImpulseNoise, amount=Graded(0.002, 0.03))
_contrast = ranged(Contrast, factor=Graded(1.0, (0.4, 1.6)))
_saturation = ranged(Saturation, factor=Graded(1.0, (0.5, 1.5)))
_jpeg = ranged(Jpeg, quality=Graded(90, 20))

_blur = one_of(in_order(_gaussian_blur), in_order(_motion), in_order(_defocus))
_ramp = one_of(in_order(LinearRamp), in_order(LightSpot))
_sensor = one_of(in_order(_gaussian_noise), in_order(_photon_noise))


def _recipe(name: str, title: str, plan: Plan) -> Recipe:
    return Recipe(
        name=name,
        title=title,
        source=_SOURCE,
        plan=plan,
        modalities=("dermoscopy",),
        framing="surround",
    )


RECIPES: tuple[Recipe, ...] = (
    _recipe("derm-blur", "Gaussian, motion or defocus blur", _blur),
    _recipe(
        "derm-light",
        "Uneven light, colour cast, at times glare or bubbles in the gel",
        then(
            _ramp,
            in_order(ColourGains, Step(GLARE, 0.3), Step(Bubbles, 0.15)),
        ),
    ),
    _recipe(
        "derm-noise",
        "Gaussian or photon noise, at times dead pixels",
        then(_sensor, in_order(Step(_impulse, 0.1))),
    ),
    _recipe(
        "derm-hair",
        "Hairs over the skin, from real masks or drawn; the clean picture has none",
        one_of(in_order(RealHair), in_order(RealHair), in_order(DrawnHair)),
    ),
    _recipe(
        "derm-mixed",
        "Optics, light, sensor, processing and JPEG; no hair",
        then(
            _blur,
            _ramp,
            in_order(Step(ColourGains, 0.6), Step(GLARE, 0.15)),
            _sensor,
            in_order(Step(_contrast, 0.4), Step(_saturation, 0.4), Step(_jpeg, 0.7)),
        ),
    ),
)
