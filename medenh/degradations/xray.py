"""Recipes for radiographs, on displayed values where bright is dense."""

from __future__ import annotations

import numpy as np

from medenh.degradations import xray_detector
from medenh.degradations.compression import Jpeg
from medenh.degradations.light import Contrast, Gamma, draw_side
from medenh.degradations.operator import Drawn, Operator, Scene, span
from medenh.degradations.recipe import Plan, Recipe, Step, in_order
from medenh.degradations.xray_detector import XrayDetector, XrayGrid, draw_scatter
from medenh.types import FloatArray

__all__ = ["OPERATORS", "RECIPES"]

OPERATORS: tuple[type[Operator], ...] = xray_detector.OPERATORS


def _draw_gamma(
    rng: np.random.Generator,
    pixels: FloatArray,
    scene: Scene,
    severity: float | None,
) -> Gamma:
    """Draw a wrong exposure: gamma 0.85 to 0.4, or 1.15 to 2."""
    strong = draw_side(rng, 0.4, 2.0)
    return Gamma(span(rng, 0.85 if strong < 1 else 1.15, strong, severity))


def _draw_contrast(
    rng: np.random.Generator,
    pixels: FloatArray,
    scene: Scene,
    severity: float | None,
) -> Contrast:
    """Draw a contrast of 0.85 to 0.4, or 1.15 to 1.6."""
    strong = draw_side(rng, 0.4, 1.6)
    return Contrast(span(rng, 0.85 if strong < 1 else 1.15, strong, severity))


def _draw_jpeg(
    rng: np.random.Generator,
    pixels: FloatArray,
    scene: Scene,
    severity: float | None,
) -> Jpeg:
    """Draw a quality of 50 to 7."""
    return Jpeg(round(span(rng, 50.0, 7.0, severity)))


def _recipe(name: str, title: str, source: str, plan: Plan) -> Recipe:
    return Recipe(
        name=name, title=title, source=source, plan=plan, modalities=("xray",)
    )


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
        in_order(Drawn(draw_scatter)),
    ),
    _recipe(
        "xray-exposure",
        "Wrong gamma and contrast",
        "Gamma .4 to 2 (MedMNIST-C's chest: .4 to 1.6 [known]), contrast .4 to 1.6 [C]",
        in_order(Drawn(_draw_gamma), Drawn(_draw_contrast)),
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
            Step(Drawn(_draw_gamma), 0.4),
            Step(Drawn(_draw_contrast), 0.4),
            Step(Drawn(_draw_jpeg), 0.3),
        ),
    ),
)
