"""MRI with part of k-space missing, scaled or hit: undersampling, ghosts, spikes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from medenh.degradations.grey import change_grey
from medenh.degradations.kspace import (
    Axis,
    ComplexArray,
    draw_axis,
    draw_phase,
    smooth_phase,
    to_image,
    to_kspace,
)
from medenh.degradations.operator import (
    Factor,
    Operator,
    Scene,
    Seed,
    Share,
    Signed,
    log_span,
    new_seed,
    span,
)
from medenh.types import FloatArray

__all__ = [
    "OPERATORS",
    "MriGhosting",
    "MriGibbs",
    "MriSpike",
    "MriUndersampling",
    "kept_lines",
]

_CENTRE_TIMES_FACTOR = 0.32  # of the pairs (2, .16), (4, .08), (8, .04)


@dataclass(frozen=True, slots=True)
class MriUndersampling(Operator):
    """Fewer phase-encode lines, the rest zero: aliasing and blur along one axis.

    Attributes
    ----------
    acceleration : float
        All lines over kept lines; U(log) 2 to 8.
    centre : float
        Share of the lines around the middle that are all kept; 0.32 / acceleration,
        which is fastMRI's (4, .08) and (8, .04) [known].
    pattern : str
        "random" or "equispaced" places of the others, equally likely.
    axis : str
        Phase encoding runs down the "row"s or across the "column"s.
    phase : tuple of float
        See `medenh.degradations.kspace.smooth_phase`.
    line_seed : int
        Places the random lines, the same in all frames.
    """

    acceleration: Annotated[float, Field(ge=1, le=1e4)]
    centre: Share
    pattern: Literal["random", "equispaced"]
    axis: Axis
    phase: tuple[float, ...]
    line_seed: Seed

    name: ClassVar[str] = "mri-undersampling"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw which lines are kept."""
        acceleration = log_span(rng, 2.0, 8.0, severity)
        return cls(
            acceleration=acceleration,
            centre=_CENTRE_TIMES_FACTOR / acceleration,
            pattern=("random", "equispaced")[int(rng.integers(2))],
            axis=draw_axis(rng),
            phase=draw_phase(rng),
            line_seed=new_seed(rng),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Reconstruct one frame from the kept lines."""

        def damage(kspace: ComplexArray) -> None:
            lines = kspace if self.axis == "row" else kspace.T
            rng = np.random.default_rng(self.line_seed)
            lines[~kept_lines(len(lines), self, rng)] = 0.0

        return _through_kspace(pixels, self.phase, damage)


def kept_lines(
    lines: int, sampling: MriUndersampling, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which of the phase-encode lines are measured, centre in the middle."""
    kept = np.zeros(lines, bool)
    wanted = min(lines, max(1, round(lines / sampling.acceleration)))
    middle = min(wanted, round(lines * sampling.centre))
    first = (lines - middle + 1) // 2
    kept[first : first + middle] = True
    others = np.flatnonzero(~kept)
    rest = wanted - middle
    if rest and sampling.pattern == "random":
        kept[rng.choice(others, rest, replace=False)] = True
    elif rest:
        step = len(others) / rest
        places = (np.arange(rest) + rng.random()) * step
        kept[others[places.astype(np.intp)]] = True
    return kept


@dataclass(frozen=True, slots=True)
class MriGhosting(Operator):
    """Pulsation or breathing: every n-th line weaker, shifted copies of the picture.

    Attributes
    ----------
    every : int
        4 to 10.
    strength : float
        What the lines lose, of 1; U 0.5 to 1.
    centre : float
        Share of the lines around the middle that stay intact, 0.02.
    axis : str
        As in `MriUndersampling`.
    phase : tuple of float
        See `medenh.degradations.kspace.smooth_phase`.

    Notes
    -----
    TorchIO's RandomGhosting [known].
    """

    every: Annotated[int, Field(ge=1, le=10_000)]
    strength: Share
    centre: Share
    axis: Axis
    phase: tuple[float, ...]

    name: ClassVar[str] = "mri-ghosting"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw number and strength of the ghosts."""
        return cls(
            every=int(rng.integers(4, 11)),
            strength=span(rng, 0.5, 1.0, severity),
            centre=0.02,
            axis=draw_axis(rng),
            phase=draw_phase(rng),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the ghosts to one frame."""

        def damage(kspace: ComplexArray) -> None:
            lines = kspace if self.axis == "row" else kspace.T
            count = len(lines)
            weak = np.arange(count) % self.every == (count // 2) % self.every
            intact = np.abs(np.arange(count) - count // 2) <= self.centre * count / 2
            lines[weak & ~intact] *= np.float32(1.0 - self.strength)

        return _through_kspace(pixels, self.phase, damage)


@dataclass(frozen=True, slots=True)
class MriSpike(Operator):
    """Single wrong points of k-space: stripes over the whole picture.

    Attributes
    ----------
    places : tuple of (float, float)
        1 to 3 points (across, down), -1..1 from the middle of k-space.
    strength : float
        Of each, relative to the largest value of k-space; U(log) 0.1 to 1 [C].
    phase : tuple of float
        See `medenh.degradations.kspace.smooth_phase`.

    Notes
    -----
    TorchIO's RandomSpike, whose strengths of 1 to 3 leave little to see of the
    picture: ours end where its begin.
    """

    places: tuple[tuple[Signed, Signed], ...]
    strength: Factor
    phase: tuple[float, ...]

    name: ClassVar[str] = "mri-spike"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the points."""
        strength = log_span(rng, 0.1, 1.0, severity)
        drawn = rng.uniform(-0.6, 0.6, (int(rng.integers(1, 4)), 2))
        places = tuple((float(across), float(down)) for across, down in drawn)
        return cls(places, strength, draw_phase(rng))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the stripes to one frame."""

        def damage(kspace: ComplexArray) -> None:
            height, width = kspace.shape
            spike = np.float32(self.strength) * np.abs(kspace).max()
            for across, down in self.places:
                row = height // 2 + int(down * ((height - 1) // 2))
                column = width // 2 + int(across * ((width - 1) // 2))
                kspace[row, column] += spike

        return _through_kspace(pixels, self.phase, damage)


@dataclass(frozen=True, slots=True)
class MriGibbs(Operator):
    """k-space cut off: blur, and ringing beside edges.

    Attributes
    ----------
    kept : float
        Central share of k-space along each axis; U 0.9 to 0.3.
    phase : tuple of float
        See `medenh.degradations.kspace.smooth_phase`.
    """

    kept: Share
    phase: tuple[float, ...]

    name: ClassVar[str] = "mri-gibbs"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw how much is kept."""
        return cls(span(rng, 0.9, 0.3, severity), draw_phase(rng))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Cut off the outer k-space of one frame."""

        def damage(kspace: ComplexArray) -> None:
            for lines in (kspace, kspace.T):
                count = len(lines)
                far = np.abs(np.arange(count) - count // 2) > self.kept * count / 2
                lines[far] = 0.0

        return _through_kspace(pixels, self.phase, damage)


def _through_kspace(
    pixels: FloatArray,
    phase: tuple[float, ...],
    damage: Callable[[ComplexArray], None],
) -> FloatArray:
    """Return a frame whose k-space was damaged in place."""

    def change(plane: FloatArray) -> FloatArray:
        kspace = to_kspace(plane * smooth_phase(phase, plane.shape))
        damage(kspace)
        return np.abs(to_image(kspace)) - plane

    return change_grey(pixels, change)


OPERATORS: tuple[type[Operator], ...] = (
    MriUndersampling,
    MriGhosting,
    MriSpike,
    MriGibbs,
)
