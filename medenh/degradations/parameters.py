"""How a recipe draws an operator's parameters: ranges, levels, words, whole steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, ClassVar, Protocol, Self, TypeAlias, cast, get_type_hints

import numpy as np

from medenh.degradations.operator import (
    Drawn,
    Operator,
    Sampler,
    Scene,
    at_level,
    draw_share,
    new_seed,
    relative_size,
)
from medenh.types import FloatArray

__all__ = [
    "Choices",
    "Draw",
    "Graded",
    "Levels",
    "Parameter",
    "Ranged",
    "RangedOperator",
    "Scaled",
    "Uniform",
    "is_seed",
    "operator_of",
    "ranged",
]


class Draw(Protocol):
    """How one number or word is drawn.

    Attributes
    ----------
    at_side : int or None
        The number is a length in pixels of a picture with this long side, and grows
        with the picture.
    """

    @property
    def at_side(self) -> int | None:
        """Long side that the number is meant for, in pixels."""
        ...

    def draw(
        self, rng: np.random.Generator, severity: float | None, share: float | None
    ) -> Any:
        """Return a value.

        Parameters
        ----------
        rng : Generator
        severity : float or None
            In [0, 1], mild to strong; None draws from the whole range.
        share : float or None
            The place in the range that the step's parameters share, where they do.
        """
        ...


@dataclass(frozen=True, slots=True)
class Graded:
    """A number that grows, or falls, with the severity.

    Attributes
    ----------
    mild, strong : float or tuple of float
        Ends of the range. Several of either are sides (too dark and too bright), one
        of which is drawn; a single one holds for all sides.
    log : bool
        Even steps in the logarithm; the ends have one sign.
    at_side : int or None
    """

    mild: float | tuple[float, ...]
    strong: float | tuple[float, ...]
    log: bool = False
    at_side: int | None = None

    def draw(
        self, rng: np.random.Generator, severity: float | None, share: float | None
    ) -> float:
        """Return a number, see `Draw.draw`."""
        mild, strong = self._side(rng)
        place = draw_share(rng, severity) if share is None else share
        if self.log:
            return float(mild * (strong / mild) ** place)
        return mild + (strong - mild) * place

    def sides(self) -> list[tuple[float, float]]:
        """Return the ends of each side."""
        mild, strong = (
            list(ends) if isinstance(ends, tuple) else [ends]
            for ends in (self.mild, self.strong)
        )
        count = max(len(mild), len(strong))
        return list(
            zip(
                mild * (count if len(mild) == 1 else 1),
                strong * (count if len(strong) == 1 else 1),
                strict=True,
            )
        )

    def _side(self, rng: np.random.Generator) -> tuple[float, float]:
        sides = self.sides()
        return sides[int(rng.integers(len(sides)))]


@dataclass(frozen=True, slots=True)
class Levels:
    """A number by severity, with levels in between: piecewise linear, exact at each.

    Attributes
    ----------
    levels : tuple of float
        Mild to strong, evenly spaced over the severity.
    at_side : int or None
    """

    levels: tuple[float, ...]
    at_side: int | None = None

    def draw(
        self, rng: np.random.Generator, severity: float | None, share: float | None
    ) -> float:
        """Return a number, see `Draw.draw`."""
        place = draw_share(rng, severity) if share is None else share
        return at_level(self.levels, place)


@dataclass(frozen=True, slots=True)
class Uniform:
    """A number from its whole range, whatever the severity: an angle, a place.

    Attributes
    ----------
    low, high : float
    at_side : int or None
    """

    low: float
    high: float
    at_side: int | None = None

    def draw(
        self, rng: np.random.Generator, severity: float | None, share: float | None
    ) -> float:
        """Return a number, see `Draw.draw`."""
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True, slots=True)
class Choices:
    """One of several values, each equally likely.

    Attributes
    ----------
    choices : tuple
    """

    choices: tuple[Any, ...]

    @property
    def at_side(self) -> None:
        """None: the values are taken as they are."""

    def draw(
        self, rng: np.random.Generator, severity: float | None, share: float | None
    ) -> Any:
        """Return a value, see `Draw.draw`."""
        return self.choices[int(rng.integers(len(self.choices)))]


@dataclass(frozen=True, slots=True)
class Scaled:
    """A fixed length that grows with the picture.

    Attributes
    ----------
    value : float
        In pixels, where the long side is ``at_side``.
    at_side : int
    """

    value: float
    at_side: int

    def draw(
        self, rng: np.random.Generator, severity: float | None, share: float | None
    ) -> float:
        """Return the length, see `Draw.draw`."""
        return self.value


# Of a tuple each part is drawn by itself. What is no draw is taken as it is.
Parameter: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Ranged:
    """An operator whose parameters a recipe draws, some or all.

    Attributes
    ----------
    base : Sampler
        Draws those that are not given; not asked where all are, seeds aside.
    parameters : mapping of str to Draw or value
        Drawn in the order of the operator's fields.
    together : bool
        One draw places all that follow the severity in their ranges: they are mild or
        strong together.
    """

    base: Sampler
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    together: bool = False

    def sample(
        self,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Operator:
        """Draw parameters for a picture, see `Operator.sample`."""
        operator = operator_of(self.base)
        share = draw_share(rng, severity) if self.together else None
        names = [one.name for one in fields(operator)]  # type: ignore[arg-type]
        lacking = _lacking(operator, self.parameters)
        begun = self.base.sample(rng, pixels, scene, severity) if lacking else None
        values: dict[str, Any] = {}
        for name in names:
            if name in self.parameters:
                drawn = _drawn(
                    self.parameters[name], rng, pixels, scene, severity, share
                )
                whole = _is_whole(operator, name) and isinstance(drawn, float)
                values[name] = round(drawn) if whole else drawn
            elif begun is None:
                values[name] = new_seed(rng)
        if begun is None:
            return operator(**values)
        return replace(begun, **values)  # type: ignore[type-var]


class RangedOperator(Operator, Protocol):
    """An operator whose class says how each parameter is drawn, seeds aside.

    Attributes
    ----------
    parameters, together
        As in `Ranged`.
    """

    __slots__ = ()
    parameters: ClassVar[Mapping[str, Parameter]]
    together: ClassVar[bool] = False

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw parameters for a picture, see `Operator.sample`."""
        lacking = _lacking(cls, cls.parameters)
        if lacking:  # or it would ask itself, again and again
            raise TypeError(
                f"{cls.__name__}.parameters does not say how to draw "
                f"{', '.join(lacking)}; only names that end in _seed may be left out"
            )
        ranges = Ranged(cls, cls.parameters, cls.together)
        return cast(Self, ranges.sample(rng, pixels, scene, severity))


def ranged(base: Sampler, *, together: bool = False, **parameters: Parameter) -> Ranged:
    """Return a sampler with its own ranges for parameters of an operator."""
    return Ranged(base, parameters, together)


def operator_of(sampler: Sampler) -> type[Operator]:
    """Return the operator that a sampler draws."""
    if isinstance(sampler, Ranged):
        return operator_of(sampler.base)
    if isinstance(sampler, Drawn):
        return sampler.operator
    return cast(type[Operator], sampler)  # an operator's class draws itself


def is_seed(name: str) -> bool:
    """Tell whether a parameter is the seed of a noise field."""
    return name.endswith("_seed")


def _lacking(
    operator: type[Operator], parameters: Mapping[str, Parameter]
) -> list[str]:
    names = [one.name for one in fields(operator)]  # type: ignore[arg-type]
    return [one for one in names if one not in parameters and not is_seed(one)]


def _drawn(
    parameter: Parameter,
    rng: np.random.Generator,
    pixels: FloatArray,
    scene: Scene,
    severity: float | None,
    share: float | None,
) -> Any:
    if isinstance(parameter, tuple):
        return tuple(
            _drawn(one, rng, pixels, scene, severity, share) for one in parameter
        )
    if not hasattr(parameter, "draw"):
        return parameter
    value = parameter.draw(rng, severity, share)
    if parameter.at_side is None:
        return value
    return value * relative_size(pixels, parameter.at_side, scene)


@cache
def _is_whole(operator: type[Operator], name: str) -> bool:
    return get_type_hints(operator)[name] is int
