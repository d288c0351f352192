"""Recipes for fundus photographs: Cofe-Net's types, their mixes, and variants."""

from __future__ import annotations

from functools import partial

from medenh.degradations.cofe_detail import OPERATORS as _DETAIL
from medenh.degradations.cofe_detail import CofeBlur, CofeSpots, ManySpots
from medenh.degradations.cofe_illumination import OPERATORS as _LIGHT
from medenh.degradations.cofe_illumination import CofeColour, CofeHalo, CofeHole
from medenh.degradations.operator import Operator, Sampler
from medenh.degradations.recipe import (
    InOrder,
    Recipe,
    Step,
    at_times,
    in_order,
    one_of,
    then,
)

__all__ = ["OPERATORS", "RECIPES", "TYPES"]

OPERATORS: tuple[type[Operator], ...] = (*_LIGHT, *_DETAIL)

TYPES = ("001", "010", "011", "100", "101", "110", "111")  # blur, spots, illumination
_TITLES = {"001": "uneven light", "010": "spots", "100": "blur"}
_CODE = "Cofe-Net, Shen et al. 2020, released code [code]"


class WideColour(CofeColour):
    """PCE-Net's and GFE-Net's wider colour ranges; recorded as `CofeColour`."""

    ranges = ((0.5, 1.4), (0.5, 1.5), (0.5, 1.5))


def _plan(
    kind: str, *, colour: Sampler = CofeColour, spots: Sampler = CofeSpots
) -> InOrder:
    """Return the plan of one of Cofe-Net's types, in its fixed order."""
    blur, spotted, lit = (bit == "1" for bit in kind)
    steps: list[Sampler] = [colour, CofeHalo, CofeHole] if lit else []
    steps += [spots] if spotted else []
    steps += [CofeBlur] if blur else []
    return in_order(*steps)


def _title(kind: str) -> str:
    bits = [f"{1 << 2 - at:03b}" for at in (2, 1, 0) if kind[at] == "1"]
    return f"Cofe-Net type {kind}: " + ", ".join(_TITLES[bit] for bit in bits)


_recipe = partial(
    Recipe,
    modalities=("fundus",),
    framing="fundus",
    options={"mode": ("scaled", "exact")},
)

RECIPES: tuple[Recipe, ...] = (
    *(_recipe(f"cofe-{kind}", _title(kind), _CODE, _plan(kind)) for kind in TYPES),
    _recipe(
        "cofe-mix7",
        "One of Cofe-Net's seven types, equally likely",
        _CODE,
        one_of(*map(_plan, TYPES)),
    ),
    _recipe(
        "train",
        "Cofe-Net's uneven light (.7), spots (.5), blur (.7), at least one",
        "Cofe-Net's operations [code]; chances [C]",
        then(  # chances [C]
            at_times(0.7, _plan("001")),
            in_order(Step(CofeSpots, 0.5), Step(CofeBlur, 0.7)),
            at_least_one=True,
        ),
    ),
    _recipe(
        "tmage",
        "Cofe-Net type 111 with 10 to 30 spots (T-MAGE-Net)",
        "Cofe-Net's operations [code]; number of spots [paper]",
        _plan("111", spots=ManySpots),
    ),
    _recipe(
        "pce-mix7",
        "One of Cofe-Net's seven types with PCE-Net's wider colour",
        "PCE-Net and GFE-Net scripts, the ranges that take effect [code]",
        one_of(*(_plan(kind, colour=WideColour) for kind in TYPES)),
    ),
)
