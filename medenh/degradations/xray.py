"""Recipes for radiographs, on displayed values where bright is dense."""

from __future__ import annotations

from functools import partial

from medenh.degradations import xray_detector
from medenh.degradations.compression import Jpeg
from medenh.degradations.light import Contrast, Gamma
from medenh.degradations.operator import Operator
from medenh.degradations.parameters import Graded, Uniform, ranged
from medenh.degradations.recipe import Recipe, Step, in_order
from medenh.degradations.xray_detector import XrayDetector, XrayGrid

__all__ = ["OPERATORS", "RECIPES"]

OPERATORS: tuple[type[Operator], ...] = xray_detector.OPERATORS


_scatter = ranged(  # the veil of a picture taken without a grid [C]
    XrayDetector,
    peak_attenuation=Uniform(2.0, 4.0),
    photons=20_000.0,
    dose=1.0,
    read_noise=1.0,
    scatter=Graded(0.3, 3.0, log=True),
    scatter_px=Uniform(20.0, 50.0, at_side=512),
    blur_px=Graded(0.3, 1.5),
)
_gamma = ranged(Gamma, exponent=Graded((0.85, 1.15), (0.4, 2.0)))
_contrast = ranged(Contrast, factor=Graded((0.85, 1.15), (0.4, 1.6)))
_jpeg = ranged(Jpeg, quality=Graded(50, 7))

_recipe = partial(Recipe, modalities=("xray",))

RECIPES = (
    _recipe(
        "xray-low-dose",
        "Quantum and electronic noise, scatter and blur at 50 to 5 % of the dose",
        "Veldkamp et al. 2009 [recalled]; ranges of specification B.1",
        in_order(XrayDetector),
    ),
    _recipe(
        "xray-scatter",
        "Veil of scattered photons, as without a grid",
        "Specification B.1; scatter of 0.3 to 3 [C]",
        in_order(_scatter),
    ),
    _recipe(
        "xray-exposure",
        "Wrong gamma and contrast",
        "Gamma .4 to 2 (MedMNIST-C's chest: .4 to 1.6 [known]), contrast .4 to 1.6 [C]",
        in_order(_gamma, _contrast),
    ),
    _recipe(
        "xray-grid",
        "Lines of a grid that does not move",
        "Specification B.1; ranges [C]",
        in_order(XrayGrid),
    ),
    _recipe(
        "xray-mixed",
        "Low dose, often with grid lines, wrong gamma and contrast, JPEG",
        "Specification B.1; probabilities [C]",
        in_order(
            Step(XrayGrid, 0.2),
            XrayDetector,
            Step(_gamma, 0.4),
            Step(_contrast, 0.4),
            Step(_jpeg, 0.3),
        ),
    ),
)
