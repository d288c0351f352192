"""Endoscopy: low light, reflections, motion, smoke, and all in order.

Order: scene (smoke, reflections) -> optics -> illumination -> sensor -> video.
Artefact classes of Ali et al., Medical Image Analysis 2021. Lengths are for 512 px
and grow with the picture.
"""

from __future__ import annotations

from medenh.degradations.blobs import Bubbles, Highlights
from medenh.degradations.blur import MotionBlur, TrajectoryBlur
from medenh.degradations.compression import Jpeg
from medenh.degradations.light import ColourGains
from medenh.degradations.noise import PoissonGaussianNoise
from medenh.degradations.operator import Operator
from medenh.degradations.parameters import Graded, Uniform, ranged
from medenh.degradations.recipe import Plan, Recipe, Step, in_order, one_of, then
from medenh.degradations.scope import OPERATORS as SCOPE
from medenh.degradations.scope import (
    ChromaShift,
    Interlacing,
    LowLight,
    OverExposure,
    Smoke,
)

__all__ = ["OPERATORS", "RECIPES"]

OPERATORS: tuple[type[Operator], ...] = SCOPE

_line = ranged(
    MotionBlur,
    length=Graded(5.0, 25.0, at_side=512),
    angle_deg=Uniform(0.0, 180.0),
    sigma=0.0,  # constant speed
)
_shake = ranged(
    TrajectoryBlur,
    length=Graded(10.0, 50.0, at_side=512),
    inertia=Uniform(0.0, 0.7),
    shake=Uniform(0.0, 0.2),
)
_sensor = ranged(  # full well of 3000 to 200
    PoissonGaussianNoise,
    photons=Graded(3000.0, 200.0, log=True),
    read_sigma=Graded(0.001, 0.005),
    gamma=2.2,
)
_blood = ranged(ColourGains, red=1.0, green=Graded(0.95, 0.65), blue=Graded(0.95, 0.6))
_bubbles = ranged(Bubbles, rim=Graded(-0.2, -0.5))  # of saliva or mucus: bright rims
_video = ranged(Jpeg, quality=Graded(70, 20))

_motion = one_of(in_order(_line), in_order(_shake))
_exposure = one_of(
    in_order(LowLight, _sensor), in_order(OverExposure), in_order(_sensor)
)


def _recipe(name: str, title: str, plan: Plan) -> Recipe:
    return Recipe(
        name=name,
        title=title,
        source="artefacts of Ali et al. 2021 [paper]; forms and ranges [C]",
        plan=plan,
        modalities=("endoscopy",),
        framing="surround",
    )


RECIPES: tuple[Recipe, ...] = (
    _recipe(
        "endo-lowlight",
        "Little light, falling off from the tip, and sensor noise",
        in_order(LowLight, _sensor),
    ),
    _recipe("endo-overexposure", "Too much light, with bloom", in_order(OverExposure)),
    _recipe("endo-specular", "Specular reflections", in_order(Highlights)),
    _recipe("endo-motion", "Motion blur, straight or shaken", _motion),
    _recipe("endo-smoke", "Surgical smoke or haze", in_order(Smoke)),
    _recipe(
        "endo-mixed",
        "Smoke, reflections, bubbles, motion, exposure, noise, video faults, JPEG",
        then(
            in_order(
                Step(Smoke, 0.2),
                Step(Highlights, 0.3),
                Step(_bubbles, 0.1),
                Step(_blood, 0.1),
            ),
            one_of(_motion, in_order()),
            _exposure,
            in_order(Step(ChromaShift, 0.2), Step(Interlacing, 0.1), Step(_video, 0.6)),
        ),
    ),
)
