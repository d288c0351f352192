"""CT faults of detector, beam and patient: rings, beam hardening, motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from medenh.degradations.ct_scanner import Views, change_slice, full_views, pixel_mm
from medenh.degradations.operator import (
    Operator,
    Scene,
    Seed,
    Share,
    Signed,
    log_span,
    new_seed,
    noise_rng,
    span,
)
from medenh.degradations.radon import (
    detector_bins,
    filtered_back_project,
    project,
    view_angles,
)
from medenh.types import FloatArray

__all__ = ["OPERATORS", "CtBeamHardening", "CtMotion", "CtRing"]


@dataclass(frozen=True, slots=True)
class CtRing(Operator):
    """Bins of unequal gain: rings about the middle of the slice.

    Attributes
    ----------
    gain_std : float
        Of the bins' gains about 1; U(log) 0.001 to 0.01, the usual value 0.005.
    views : int
        Over half a turn.
    noise_seed : int
        Seed of the gains; each slice has its own detector row.

    Notes
    -----
    A scan goes all around: every ray is measured from both sides, by two bins.
    """

    gain_std: Share
    views: Views
    noise_seed: Seed

    name: ClassVar[str] = "ct-ring"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw how unequal the bins are."""
        return cls(
            log_span(rng, 0.001, 0.01, severity), full_views(pixels), new_seed(rng)
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the rings to one slice."""
        rng = noise_rng(self.noise_seed, scene)

        def alter(attenuation: FloatArray) -> FloatArray:
            shape = (attenuation.shape[0], attenuation.shape[1])
            noise = rng.standard_normal(detector_bins(shape))
            gains = np.maximum(1.0 + self.gain_std * noise, 0.01)
            row = -np.log(gains)
            row = (0.5 * (row + row[::-1])).astype(np.float32)
            angles = view_angles(self.views)
            every = np.broadcast_to(row, (self.views, row.size))
            return filtered_back_project(every, angles, shape)

        return change_slice(pixels, scene, alter)


@dataclass(frozen=True, slots=True)
class CtBeamHardening(Operator):
    """Long paths attenuate too little: cupping, dark bands between bones.

    Attributes
    ----------
    curvature : float
        ``p -> p + curvature p^2``; U -0.002 to -0.02.
    views : int
        Over half a turn.

    Notes
    -----
    Deviation: of the error ``curvature p^2`` the part in proportion to p is taken out,
    as the calibration of a scanner on water does: HU do not drop as a whole [C].
    """

    curvature: Signed
    views: Views

    name: ClassVar[str] = "ct-beam-hardening"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the curvature."""
        return cls(span(rng, -0.002, -0.02, severity), full_views(pixels))

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the error to one slice."""
        angles = view_angles(self.views)

        def alter(attenuation: FloatArray) -> FloatArray:
            path = project(attenuation, angles)
            squared = path**2
            power = float(squared.sum(dtype=np.float64))
            scale = float((squared * path).sum(dtype=np.float64)) / max(power, 1e-12)
            error = np.float32(self.curvature) * (squared - np.float32(scale) * path)
            return filtered_back_project(error, angles, attenuation.shape)

        return change_slice(pixels, scene, alter)


@dataclass(frozen=True, slots=True)
class CtMotion(Operator):
    """The patient shifts during a part of the views: doubled edges, streaks.

    Attributes
    ----------
    right_mm, down_mm : float
        The shift; its length is U 1 to 8 mm [C], its direction any.
    start, length : float
        Share of the views before it begins, and during which it lasts; the length is
        U 0.1 to 0.4 [C].
    views : int
        Over half a turn.

    Notes
    -----
    A rigid shift (x, y) moves the projection at angle a by ``x cos a - y sin a``.
    """

    right_mm: float
    down_mm: float
    start: Share
    length: Share
    views: Views

    name: ClassVar[str] = "ct-motion"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the shift and when it happens."""
        shift = span(rng, 1.0, 8.0, severity)
        direction = float(rng.uniform(0.0, 2.0 * np.pi))
        length = span(rng, 0.1, 0.4, severity)
        return cls(
            right_mm=float(shift * np.cos(direction)),
            down_mm=float(shift * np.sin(direction)),
            start=float(rng.uniform(0.0, 1.0 - length)),
            length=length,
            views=full_views(pixels),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the change of the moved views to one slice."""
        side = pixel_mm(scene, (pixels.shape[0], pixels.shape[1]))
        first = round(self.start * self.views)
        moved = slice(first, first + round(self.length * self.views))
        angles = view_angles(self.views)[moved]
        turn = np.deg2rad(angles.astype(np.float64))
        shifts = (self.right_mm * np.cos(turn) - self.down_mm * np.sin(turn)) / side

        def alter(attenuation: FloatArray) -> FloatArray:
            change = _shift_change(project(attenuation, angles), shifts)
            arc = 180.0 * len(angles) / self.views
            return filtered_back_project(change, angles, attenuation.shape, arc=arc)

        return change_slice(pixels, scene, alter) if len(angles) else pixels


def _shift_change(sinogram: FloatArray, shifts: NDArray[np.float64]) -> FloatArray:
    """Return rows moved by fractions of a bin, less the rows as they were."""
    bins = np.arange(sinogram.shape[1])
    rows = [
        np.interp(bins - shift, bins, row, 0.0, 0.0) - row
        for row, shift in zip(sinogram, shifts, strict=True)
    ]
    return np.asarray(rows, np.float32)


OPERATORS: tuple[type[Operator], ...] = (CtRing, CtBeamHardening, CtMotion)
