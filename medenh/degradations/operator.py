"""What an operator is: one physical step, parameters drawn apart from applying them.

An operator is a frozen dataclass whose fields are its parameters, all JSON-able
(numbers, strings, booleans, tuples of them). `sample` draws one, `apply` carries it
out and draws nothing, except noise from a generator seeded by a field of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from pydantic import Field

from medenh.types import FloatArray

__all__ = [
    "PIXELS",
    "Angle",
    "Domain",
    "Drawn",
    "Factor",
    "Length",
    "NotNegative",
    "Operator",
    "Positive",
    "Sampler",
    "Scene",
    "Seed",
    "Share",
    "Signed",
    "at_level",
    "draw_share",
    "log_span",
    "new_seed",
    "noise_rng",
    "relative_size",
    "span",
]

Domain = Literal["display", "hu", "magnitude"]

# Kinds of parameters, with the bounds that records and files of recipes must keep: what
# lies beyond them crashes, hangs or has no meaning.
PIXELS = "pixels"  # marks lengths, which a recipe may let grow with the picture
Angle = Annotated[float, Field(ge=-1e4, le=1e4)]  # degrees
Factor = Annotated[float, Field(ge=0, le=100)]
Length = Annotated[float, Field(ge=0, le=1e6), PIXELS]
NotNegative = Annotated[float, Field(ge=0, le=1e9)]
Positive = Annotated[float, Field(gt=0, le=1e9)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Signed = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """What an operator may know about a picture beside its pixels.

    Attributes
    ----------
    domain : str
        "display": [0, 1], clipped after each step. "hu": Hounsfield units, never
        clipped. "magnitude": 1 is the brightest tissue, not below 0, no upper limit.
    modality : str
        As in `medenh.types.Modality`.
    spacing_mm : tuple of float
        (frame, row, column) in mm; NaN where unknown.
    field : float32 array, shape (H, W), or None
        Weight in [0, 1] of the field of view; outside it nothing is changed. None is
        everywhere. Of volumes it may be (F, H, W), of which each frame gets its own:
        see `of_frame`.
    eight_bit : bool
        True where the pixels are 8-bit levels / 255 and must be rounded to them where
        the published code rounds.
    frame : int
        Number of the frame in its volume: its noise differs from its neighbours'.
    depth : int
        Frames of one volume; several volumes (times, echoes) may follow one another.
    whole_side : int or None
        Long side of the whole picture where the frames are crops of one: lengths that
        grow with a picture follow it. None: they are whole.
    options : dict
        What the user asked of the recipe beside severity ("mode": "exact").
    """

    domain: Domain = "display"
    modality: str = "unknown"
    spacing_mm: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    field: FloatArray | None = None
    eight_bit: bool = False
    frame: int = 0
    depth: int = 1
    whole_side: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def of_frame(self, at: int) -> Scene:
        """Return what is known of one frame, with its plane of the field."""
        field = self.field
        if field is not None and field.ndim > 2:
            field = field[at]
        return dataclasses.replace(self, frame=at, field=field)


class Operator(Protocol):
    """One step of a recipe; a frozen dataclass of its parameters.

    Attributes
    ----------
    name : str
        Its name in records, kebab-case.
    volumetric : bool
        False: `apply` gets one frame, (H, W, C). True: all frames, (F, H, W, C).
    """

    __slots__ = ()
    name: ClassVar[str]
    volumetric: ClassVar[bool] = False

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw parameters for a picture.

        Parameters
        ----------
        rng : Generator
            The only source of chance.
        pixels : float32 array, shape (H, W, C)
            The picture as the steps before left it; of a volume the middle frame.
        scene : Scene
        severity : float or None
            In [0, 1], mild to strong; None draws from the whole range.
        """
        ...

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Return the degraded picture, same shape, float32; the input is not changed.

        The engine clips to the domain and restores what lies outside the field.
        """
        ...


class Sampler(Protocol):
    """What draws an operator: its own class, or a `Drawn` with ranges of another."""

    def sample(
        self,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Operator:
        """Draw parameters for a picture, see `Operator.sample`."""
        ...


@dataclass(frozen=True, slots=True)
class Drawn:
    """An operator drawn by a function of its own instead of its class's `sample`.

    Attributes
    ----------
    operator : type
        What it draws.
    draw : callable
        (rng, pixels, scene, severity) -> operator, as `Operator.sample`.
    """

    operator: type[Operator]
    draw: Callable[[np.random.Generator, FloatArray, Scene, float | None], Operator]

    def sample(
        self,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Operator:
        """Draw parameters for a picture, see `Operator.sample`."""
        return self.draw(rng, pixels, scene, severity)


def draw_share(rng: np.random.Generator, severity: float | None) -> float:
    """Return the place in a range that parameters drawn together share."""
    share = float(rng.random())  # drawn always: a severity must not shift what follows
    return share if severity is None else severity


def at_level(levels: Sequence[float], share: float) -> float:
    """Return a value between levels, mild to strong: piecewise linear, exact at each.

    Examples
    --------
    >>> at_level((1.0, 2.0, 3.0, 4.0, 6.0), 0.75)
    4.0
    """
    place = share * (len(levels) - 1)
    below = min(int(place), len(levels) - 2)
    return levels[below] + (levels[below + 1] - levels[below]) * (place - below)


def relative_size(pixels: FloatArray, reference: int, scene: Scene) -> float:
    """Return how much longer a picture's long side is than a reference, in pixels.

    Of a crop the whole picture counts, where the scene knows it.
    """
    return float(scene.whole_side or max(pixels.shape[:2])) / reference


def span(
    rng: np.random.Generator, mild: float, strong: float, severity: float | None
) -> float:
    """Draw a parameter: uniform over its range, or at a severity's place in it.

    Examples
    --------
    >>> span(np.random.default_rng(0), 1.0, 3.0, 0.5)
    2.0
    """
    share = float(rng.random())  # drawn always: a severity must not shift what follows
    return mild + (strong - mild) * (share if severity is None else severity)


def log_span(
    rng: np.random.Generator, mild: float, strong: float, severity: float | None
) -> float:
    """Draw like `span`, uniform in the logarithm; both ends of one sign."""
    share = float(rng.random())
    return float(mild * (strong / mild) ** (share if severity is None else severity))


def new_seed(rng: np.random.Generator) -> int:
    """Draw the seed of a noise field, to be kept among the parameters."""
    return int(rng.integers(2**31))


def noise_rng(noise_seed: int, scene: Scene) -> np.random.Generator:
    """Return the generator of a noise field: one stream a seed and frame."""
    return np.random.default_rng([noise_seed, scene.frame])
