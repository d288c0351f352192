"""Motion during an MRI scan: k-space put together from several poses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from medenh.degradations.grey import change_grey
from medenh.degradations.kspace import (
    Axis,
    draw_axis,
    draw_phase,
    smooth_phase,
    to_image,
    to_kspace,
)
from medenh.degradations.operator import Operator, Scene, span
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["OPERATORS", "MriMotion"]

_MOVES = 2


@dataclass(frozen=True, slots=True)
class MriMotion(Operator):
    """Rigid moves between segments of the phase-encode lines: ghosted, doubled edges.

    Attributes
    ----------
    moves : tuple of (float, float, float, float)
        Time of a move as a share of the scan, U 0.2 to 0.02 from its middle [C]; then
        turn in degrees, shift right and shift down in mm. Two moves, each part up to
        +-2 at the lowest severity and +-10 at the highest.
    axis : str
        Phase encoding runs down the "row"s or across the "column"s.
    phase : tuple of float
        See `medenh.degradations.kspace.smooth_phase`.

    Notes
    -----
    TorchIO's RandomMotion [known]: rotation +-10 degrees, translation +-10 mm, two
    moves; lines are measured from one side of k-space to the other. The pose in the
    middle of the scan, which holds k-space's centre, is that of the clean picture, so
    that a pair stays registered: poses are relative to it [C]. Where spacing is
    unknown a pixel counts as 1 mm.
    """

    moves: tuple[tuple[float, float, float, float], ...]
    axis: Axis
    phase: tuple[float, ...]

    name: ClassVar[str] = "mri-motion"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw when and how far the patient moves."""
        reach = span(rng, 2.0, 10.0, severity)
        sides = rng.choice((-1.0, 1.0), _MOVES)
        times = [0.5 + side * span(rng, 0.2, 0.02, severity) for side in sides]
        # a low severity moves less in every part: signs and shares are drawn once
        parts = rng.uniform(0.3, 1.0, (_MOVES, 3)) * rng.choice(
            (-1.0, 1.0), (_MOVES, 3)
        )
        moves = (
            (float(time), *(float(part) for part in reach * row))
            for time, row in zip(times, parts, strict=True)
        )
        return cls(
            tuple((time, turn, right, down) for time, turn, right, down in moves),
            draw_axis(rng),
            draw_phase(rng),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Compose one frame's k-space from its poses."""

        def change(plane: FloatArray) -> FloatArray:
            phase = smooth_phase(self.phase, plane.shape)
            whole = to_kspace(plane * phase)
            composed = whole if self.axis == "row" else whole.T
            count = len(composed)
            for time, turn, right, down in self._outward():
                moved = _moved(plane, (turn, right, down), scene)
                other = to_kspace(moved * phase)
                lines = other if self.axis == "row" else other.T
                at = round(time * count)
                segment = slice(at, None) if time >= 0.5 else slice(0, at)
                composed[segment] = lines[segment]
            return np.abs(to_image(whole)) - plane

        return change_grey(pixels, change)

    def _outward(self) -> list[tuple[float, float, float, float]]:
        """Return the moves from the middle of the scan outwards."""
        return sorted(self.moves, key=lambda move: abs(move[0] - 0.5))


def _moved(
    plane: FloatArray, pose: tuple[float, float, float], scene: Scene
) -> FloatArray:
    """Return a plane turned about its middle and shifted, air beyond its borders."""
    turn, right, down = pose
    row_mm, column_mm = (
        step if np.isfinite(step) and step > 0 else 1.0 for step in scene.spacing_mm[1:]
    )
    angle = np.deg2rad(turn)
    scale = np.diag([column_mm, row_mm])
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    linear = np.linalg.inv(scale) @ rotation @ scale
    middle = np.array([(plane.shape[1] - 1) / 2, (plane.shape[0] - 1) / 2])
    shift = middle - linear @ middle + [right / column_mm, down / row_mm]
    matrix = np.column_stack([linear, shift])
    size = (plane.shape[1], plane.shape[0])
    moved = cv2.warpAffine(plane, matrix, size, flags=cv2.INTER_LINEAR)
    return np.asarray(moved, np.float32)


OPERATORS: tuple[type[Operator], ...] = (MriMotion,)
