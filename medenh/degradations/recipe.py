"""Recipes: named pipelines of operators.

A plan of `in_order`, `one_of` and `then` is data, and can be written to a file
(`recipe_file`); any function of a generator is a plan as well, in Python alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from medenh.degradations.operator import Domain, Sampler, Scene
from medenh.errors import UsageError

__all__ = [
    "InOrder",
    "OneOf",
    "Recipe",
    "Step",
    "at_times",
    "follows_severity",
    "idle_severity",
    "in_order",
    "one_of",
    "then",
]

Plan = Callable[[np.random.Generator], tuple[Sampler, ...]]

_MOST_DRAWS = 10_000  # of a plan that must not come out empty
_TRIED, _TRIALS = 64, 4  # pixels, draws: see `follows_severity`


@dataclass(frozen=True, slots=True)
class Step:
    """An operator at its fixed place, applied with a probability.

    Attributes
    ----------
    operator : Sampler
    probability : float or None
        None: always, and nothing is drawn for it; 1.0 draws a number that is not
        needed, as in-order plans do where other steps stay out at times.
    """

    operator: Sampler
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class OneOf:
    """Alternatives, each equally likely, followed with a probability.

    Attributes
    ----------
    alternatives : tuple of tuples of Step and OneOf
        Any may be empty: then nothing is done.
    probability : float or None
        None: one is always followed.
    """

    alternatives: tuple[tuple[Item, ...], ...]
    probability: float | None = None

    def draw(self, rng: np.random.Generator) -> tuple[Sampler, ...]:
        """Return the steps of an alternative, or none."""
        if self.probability is not None and rng.random() >= self.probability:
            return ()
        return _drawn(self.alternatives[int(rng.integers(len(self.alternatives)))], rng)


Item: TypeAlias = Step | OneOf


@dataclass(frozen=True, slots=True)
class InOrder:
    """A plan: steps and alternatives, one after the other.

    Attributes
    ----------
    items : tuple of Step and OneOf
    at_least_one : bool
        Drawn again until there is a step.
    """

    items: tuple[Item, ...]
    at_least_one: bool = False

    def __call__(self, rng: np.random.Generator) -> tuple[Sampler, ...]:
        """Draw which operators apply, in order.

        Raises
        ------
        UsageError
            At least one is wanted, and thousands of draws had none.
        """
        for _ in range(_MOST_DRAWS):
            found = _drawn(self.items, rng)
            if found or not self.at_least_one:
                return found
        raise UsageError(
            "the recipe needs at least one step, but none was ever drawn",
            hint="raise the probability of its steps",
        )

    def samplers(self) -> tuple[Sampler, ...]:
        """Return all that may come up."""
        return tuple(_samplers(self.items))


@dataclass(frozen=True, slots=True)
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
    text : str
        The file it was read from, as it stood; empty for one that comes along.
    sha256 : str
        Hash of that file's bytes; empty for one that comes along.
    """

    name: str
    title: str
    source: str
    plan: Plan
    _: KW_ONLY
    modalities: tuple[str, ...] = ()
    domain: Domain = "display"
    framing: Literal["none", "fundus", "surround"] = "none"
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    text: str = ""
    sha256: str = ""


def in_order(*steps: Step | Sampler, at_least_one: bool = False) -> InOrder:
    """Return a plan of steps in a fixed order, each applied with its probability."""
    items = tuple(s if isinstance(s, Step) else Step(s) for s in steps)
    if any(step.probability is not None for step in items):
        items = tuple(replace(s, probability=_chance(s)) for s in items)
    return InOrder(items, at_least_one)


def one_of(*plans: InOrder) -> InOrder:
    """Return a plan that follows one of several, each equally likely."""
    return InOrder((OneOf(tuple(plan.items for plan in plans)),))


def at_times(probability: float, plan: InOrder) -> InOrder:
    """Return a plan that is followed as a whole, or not at all."""
    first = plan.items[0]
    if len(plan.items) == 1 and isinstance(first, OneOf) and first.probability is None:
        return InOrder((replace(first, probability=probability),))
    return InOrder((OneOf((plan.items,), probability),))


def then(*plans: InOrder, at_least_one: bool = False) -> InOrder:
    """Return a plan that follows several, one after the other."""
    return InOrder(tuple(item for plan in plans for item in plan.items), at_least_one)


def idle_severity(recipe: Recipe) -> str:
    """Say that nothing in a recipe follows the severity; "" where something does."""
    if follows_severity(recipe):
        return ""
    return f"severity changes nothing in {recipe.name}: nothing in it follows one"


def follows_severity(recipe: Recipe) -> bool:
    """Tell whether anything in a recipe follows the severity.

    Tried out: each operator is drawn for a small picture at both ends. True of a plan
    that is a function.
    """
    if not isinstance(recipe.plan, InOrder):
        return True
    picture = np.random.default_rng(0).random((_TRIED, _TRIED, 3), np.float32)
    options = {name: words[0] for name, words in recipe.options.items()}
    kind = recipe.modalities[0] if recipe.modalities else "unknown"
    scene = Scene(domain=recipe.domain, modality=kind, options=options)
    return any(
        sampler.sample(np.random.default_rng(seed), picture, scene, 0.0)
        != sampler.sample(np.random.default_rng(seed), picture, scene, 1.0)
        for sampler in recipe.plan.samplers()
        for seed in range(_TRIALS)
    )


def _chance(step: Step) -> float:
    return 1.0 if step.probability is None else step.probability


def _samplers(items: tuple[Item, ...]) -> Iterator[Sampler]:
    for item in items:
        if isinstance(item, OneOf):
            for alternative in item.alternatives:
                yield from _samplers(alternative)
        else:
            yield item.operator


def _drawn(items: tuple[Item, ...], rng: np.random.Generator) -> tuple[Sampler, ...]:
    """Return the operators that apply.

    What is followed as a whole, or not, is drawn before all others: so it always was in
    "mri-mixed", and equal seeds give equal pictures.
    """
    early = {
        at: item.draw(rng)
        for at, item in enumerate(items)
        if isinstance(item, OneOf) and item.probability is not None
    }
    found: list[Sampler] = []
    for at, item in enumerate(items):
        if isinstance(item, OneOf):
            found += early[at] if at in early else item.draw(rng)
        elif item.probability is None or rng.random() < item.probability:
            found.append(item.operator)
    return tuple(found)
