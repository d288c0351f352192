"""Dermoscopy: blur, light, sensor noise, hair, and all in order.

Order: optics -> illumination -> sensor -> processing -> compression. Lengths are for
512 px and grow with the picture.
"""

from __future__ import annotations

from medenh.degradations.blobs import Bubbles, draw_glare
from medenh.degradations.blur import DefocusBlur, GaussianBlur, MotionBlur
from medenh.degradations.compression import Jpeg
from medenh.degradations.hair import OPERATORS as HAIR
from medenh.degradations.hair import DrawnHair, RealHair
from medenh.degradations.light import (
    ColourGains,
    Contrast,
    Saturation,
    draw_side,
)
from medenh.degradations.noise import (
    GaussianNoise,
    ImpulseNoise,
    PoissonGaussianNoise,
)
from medenh.degradations.operator import (
    Drawn,
    Operator,
    log_span,
    new_seed,
    relative_size,
    span,
)
from medenh.degradations.recipe import Plan, Recipe, Step, in_order, one_of, then
from medenh.degradations.shading import LightSpot, LinearRamp

__all__ = ["OPERATORS", "RECIPES"]

OPERATORS: tuple[type[Operator], ...] = HAIR

_SOURCE = "blur and Gaussian noise of DermaSR-GAN 2025 [paper], the rest [C]"


_gaussian_blur = Drawn(
    lambda rng, pixels, scene, severity: GaussianBlur(
        span(rng, 0.1, 3.0, severity) * relative_size(pixels, 512, scene)
    )
)
_defocus = Drawn(  # windows of 7 to 21
    lambda rng, pixels, scene, severity: DefocusBlur(
        span(rng, 3.0, 10.0, severity) * relative_size(pixels, 512, scene)
    )
)
_motion = Drawn(
    lambda rng, pixels, scene, severity: MotionBlur(
        span(rng, 6.0, 20.0, severity) * relative_size(pixels, 512, scene),
        angle_deg=float(rng.uniform(0.0, 180.0)),
    )
)
_gaussian_noise = Drawn(
    lambda rng, pixels, scene, severity: GaussianNoise(
        span(rng, 1.0, 30.0, severity) / 255.0, new_seed(rng)
    )
)
_photon_noise = Drawn(
    lambda rng, pixels, scene, severity: PoissonGaussianNoise(
        log_span(rng, 2000.0, 40.0, severity), 0.0, new_seed(rng)
    )
)
_impulse = Drawn(
    lambda rng, pixels, scene, severity: ImpulseNoise(
        span(rng, 0.002, 0.03, severity), new_seed(rng)
    )
)
_contrast = Drawn(
    lambda rng, pixels, scene, severity: Contrast(
        span(rng, 1.0, draw_side(rng, 0.4, 1.6), severity)
    )
)
_saturation = Drawn(
    lambda rng, pixels, scene, severity: Saturation(
        span(rng, 1.0, draw_side(rng, 0.5, 1.5), severity)
    )
)
_jpeg = Drawn(
    lambda rng, pixels, scene, severity: Jpeg(round(span(rng, 90.0, 20.0, severity)))
)

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
            in_order(ColourGains, Step(Drawn(draw_glare), 0.3), Step(Bubbles, 0.15)),
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
            in_order(Step(ColourGains, 0.6), Step(Drawn(draw_glare), 0.15)),
            _sensor,
            in_order(Step(_contrast, 0.4), Step(_saturation, 0.4), Step(_jpeg, 0.7)),
        ),
    ),
)
