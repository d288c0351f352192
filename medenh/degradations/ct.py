"""Recipes for CT, in Hounsfield units."""

from __future__ import annotations

from functools import partial

from medenh.degradations import ct_detector, ct_dose, ct_views
from medenh.degradations.ct_detector import CtBeamHardening, CtMotion, CtRing
from medenh.degradations.ct_dose import CtLowDose
from medenh.degradations.ct_views import CtLimitedAngle, CtSparseView
from medenh.degradations.operator import Operator
from medenh.degradations.parameters import Graded, ranged
from medenh.degradations.recipe import Recipe, Step, in_order
from medenh.degradations.thick_slice import CtThickSlice

__all__ = ["OPERATORS", "RECIPES"]

OPERATORS: tuple[type[Operator], ...] = (
    *ct_detector.OPERATORS,
    *ct_dose.OPERATORS,
    *ct_views.OPERATORS,
    CtThickSlice,
)

_recipe = partial(Recipe, modalities=("ct",), domain="hu")

RECIPES = (
    _recipe(
        "ct-low-dose",
        "Quantum and electronic noise at 50 to 5 % of the dose",
        "Zeng et al., IEEE TNS 2015 [known]; only the noise is reconstructed [C]",
        in_order(CtLowDose),
    ),
    _recipe(
        "ct-dose-any",
        "Quantum and electronic noise from ten times the dose down to 5 %",
        "as ct-low-dose, and up to noise that hardly shows, for training [C]",
        in_order(ranged(CtLowDose, dose=Graded(10.0, 0.05, log=True))),
    ),
    _recipe(
        "ct-sparse-view",
        "180 to 60 views",
        "Specification B.2 [C]",
        in_order(CtSparseView),
    ),
    _recipe(
        "ct-limited-angle",
        "Views over 150 to 90 degrees",
        "Specification B.2 [C]",
        in_order(CtLimitedAngle),
    ),
    _recipe(
        "ct-ring",
        "Detector bins of unequal gain",
        "Specification B.2 [C]",
        in_order(CtRing),
    ),
    _recipe(
        "ct-beam-hardening",
        "Cupping: long paths attenuate too little",
        "Specification B.2 [C]",
        in_order(CtBeamHardening),
    ),
    _recipe(
        "ct-motion",
        "A shift of 1 to 8 mm during some of the views",
        "Specification B.2; ranges [C]",
        in_order(CtMotion),
    ),
    _recipe(
        "ct-thick-slice",
        "Slices 2 to 5 times as thick (volumes only)",
        "Specification B.2 [C]",
        in_order(CtThickSlice),
    ),
    _recipe(
        "ct-mixed",
        "Low dose, often with rings, beam hardening, motion, few views, thick slices",
        "Specification B.2; probabilities [C]",
        in_order(
            Step(CtThickSlice, 0.2),
            Step(CtBeamHardening, 0.2),
            Step(CtMotion, 0.2),
            Step(CtSparseView, 0.2),
            Step(CtRing, 0.3),
            CtLowDose,
        ),
    ),
)
