"""Recipes: named pipelines of operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from medenh.degradations.operator import Domain, Sampler

__all__ = ["Recipe", "Step", "in_order", "one_of", "then"]

Plan = Callable[[np.random.Generator], tuple[Sampler, ...]]


@dataclass(frozen=True, slots=True)
class Step:
    """An operator at its fixed place, applied with a probability."""

    operator: Sampler
    probability: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A named degradation.

    Attributes
    ----------
    name : str
        As on the command line: "cofe-111", "ct-low-dose".
    title : str
        One line for lists.
    source : str
        Paper, code or standard it follows, with its mark: [code], [paper], [M], [C].
    modalities : tuple of str
        What it is made for; empty is any.
    plan : callable
        Draws which operators apply, in order: see `in_order` and `one_of`.
    domain : str
        Numbers the operators work on, see `Scene.domain`.
    framing : str
        "fundus": the disc is found, operators work on its square, the rest of the
        photograph is kept. "surround": black corners are found and left as they are.
        "none": the whole picture.
    options : dict
        Allowed words of each option, the first is the default: {"mode": ("scaled",
        "exact")}.
    fixed : bool
        The name says the strength: severity changes nothing.
    """

    name: str
    title: str
    source: str
    plan: Plan
    modalities: tuple[str, ...] = ()
    domain: Domain = "display"
    framing: Literal["none", "fundus", "surround"] = "none"
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    fixed: bool = False


def in_order(*steps: Step | Sampler) -> Plan:
    """Return a plan of steps in a fixed order, each applied with its probability."""
    fixed = [s if isinstance(s, Step) else Step(s) for s in steps]
    certain = all(step.probability == 1.0 for step in fixed)

    def plan(rng: np.random.Generator) -> tuple[Sampler, ...]:
        chances = np.zeros(len(fixed)) if certain else rng.random(len(fixed))
        return tuple(
            step.operator
            for step, chance in zip(fixed, chances, strict=True)
            if chance < step.probability
        )

    return plan


def one_of(*plans: Plan) -> Plan:
    """Return a plan that follows one of several, each equally likely."""

    def plan(rng: np.random.Generator) -> tuple[Sampler, ...]:
        return plans[int(rng.integers(len(plans)))](rng)

    return plan


def then(*plans: Plan) -> Plan:
    """Return a plan that follows several, one after the other."""

    def plan(rng: np.random.Generator) -> tuple[Sampler, ...]:
        return tuple(step for part in plans for step in part(rng))

    return plan
