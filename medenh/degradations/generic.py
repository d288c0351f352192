"""Generic degradations in ImageNet-C's five levels, and the papers' fixed ones."""

from __future__ import annotations

from medenh.degradations.blur import DefocusBlur, GaussianBlur, MotionBlur, ZoomBlur
from medenh.degradations.compression import Jpeg
from medenh.degradations.light import Brightness, Contrast
from medenh.degradations.noise import (
    GaussianNoise,
    ImpulseNoise,
    ShotNoise,
    SpeckleNoise,
)
from medenh.degradations.operator import Operator
from medenh.degradations.parameters import Levels, ranged
from medenh.degradations.recipe import Recipe, in_order
from medenh.degradations.resampling import BicubicReduction, Pixelate

__all__ = ["OPERATORS", "RECIPES"]

OPERATORS: tuple[type[Operator], ...] = ()

_GRADED: tuple[tuple[type[Operator], str], ...] = (
    (GaussianNoise, "Additive Gaussian noise, sigma .08 to .38"),
    (ShotNoise, "Photon noise, 60 to 3 photons"),
    (ImpulseNoise, "Salt and pepper, 3 to 27 % of values"),
    (SpeckleNoise, "Multiplicative noise, 15 to 60 %"),
    (GaussianBlur, "Gaussian blur, sigma 1 to 6 px at 224"),
    (DefocusBlur, "Defocus disc, radius 3 to 10 px at 224"),
    (MotionBlur, "Straight motion blur, radius 10 to 20 px at 224"),
    (ZoomBlur, "Zoom blur, up to 1.11 to 1.31 times"),
    (Contrast, "Contrast loss, factor .4 to .05"),
    (Brightness, "Brightening, +.1 to +.5"),
    (Jpeg, "JPEG compression, quality 25 to 7"),
    (Pixelate, "Pixelation, factor .6 to .25 at 224"),
)


RECIPES: tuple[Recipe, ...] = (
    *(
        Recipe(
            name=operator.name,
            title=title,
            source="ImageNet-C, Hendrycks & Dietterich 2019, levels 1 to 5 [code]",
            plan=in_order(operator),
        )
        for operator, title in _GRADED
    ),
    *(
        Recipe(
            name=f"gauss-{sigma}",
            title=f"Additive Gaussian noise of sigma {sigma}, clipped (GradProm)",
            source="GradProm; sigma .3 is the one in its figures [paper], .03 [C]",
            plan=in_order(ranged(GaussianNoise, sigma=sigma)),
        )
        for sigma in (0.03, 0.1, 0.2, 0.3)
    ),
    Recipe(
        name="gauss-any",
        title="Additive Gaussian noise of any sigma from .01 to .3, clipped",
        source="as gauss-0.3, and down to what pictures in use have [C]",
        plan=in_order(
            ranged(GaussianNoise, sigma=Levels((0.01, 0.03, 0.08, 0.17, 0.3)))
        ),
    ),
    *(
        Recipe(
            name=f"bicubic-x{factor}",
            title=f"Antialiased bicubic reduction by {factor}, and back (GradProm)",
            source="ESTR, GradProm: x4, 224 to 56 [code]; enlarged again [C]",
            plan=in_order(ranged(BicubicReduction, factor=float(factor))),
        )
        for factor in (2, 4)
    ),
)
