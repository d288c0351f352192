"""CT from incomplete projections: few views, or not all around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field

from medenh.degradations.ct_scanner import Views, change_slice, full_views
from medenh.degradations.operator import (
    Angle,
    Operator,
    Scene,
    log_span,
    span,
)
from medenh.degradations.radon import (
    Kernel,
    draw_kernel,
    filtered_back_project,
    project,
    view_angles,
)
from medenh.types import FloatArray

__all__ = ["OPERATORS", "CtLimitedAngle", "CtSparseView"]


@dataclass(frozen=True, slots=True)
class CtSparseView(Operator):
    """Few views: streaks that radiate from edges.

    Attributes
    ----------
    views : int
        Over half a turn, evenly spaced; U(log) 180 to 60.
    first : float
        Angle of the first, degrees.
    full_views : int
        Views of a complete scan.
    kernel : str
        See `medenh.degradations.radon.filtered_back_project`.

    Notes
    -----
    Only the streaks are added: ``HU + FBP_few(p) - FBP_all(p)``.
    """

    views: Views
    first: Angle
    full_views: Views
    kernel: Kernel

    name: ClassVar[str] = "ct-sparse-view"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the number of views and where they begin."""
        return cls(
            views=round(log_span(rng, 180.0, 60.0, severity)),
            first=float(rng.uniform(0.0, 180.0)),
            full_views=full_views(pixels),
            kernel=draw_kernel(rng),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the streaks to one slice."""

        def alter(attenuation: FloatArray) -> FloatArray:
            few = self._reconstruct(attenuation, self.views)
            return few - self._reconstruct(attenuation, self.full_views)

        return change_slice(pixels, scene, alter)

    def _reconstruct(self, attenuation: FloatArray, views: int) -> FloatArray:
        angles = view_angles(views, first=self.first)
        sinogram = project(attenuation, angles)
        return filtered_back_project(
            sinogram, angles, attenuation.shape, kernel=self.kernel
        )


@dataclass(frozen=True, slots=True)
class CtLimitedAngle(Operator):
    """A missing wedge of views: edges along it blur, shadows spread.

    Attributes
    ----------
    arc : float
        Degrees that are measured, of 180; U 150 to 90.
    first : float
        Angle of the first view, degrees.
    full_views : int
        Views of a complete scan.
    kernel : str
        See `medenh.degradations.radon.filtered_back_project`.

    Notes
    -----
    ``HU + 180 / arc FBP_kept(p) - FBP_all(p)``: the kept views count for the missing
    ones too, so that the mean stays.
    """

    arc: Annotated[float, Field(gt=0, le=180)]
    first: Angle
    full_views: Views
    kernel: Kernel

    name: ClassVar[str] = "ct-limited-angle"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the arc and where it begins."""
        return cls(
            arc=span(rng, 150.0, 90.0, severity),
            first=float(rng.uniform(0.0, 180.0)),
            full_views=full_views(pixels),
            kernel=draw_kernel(rng),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Reweigh the views of one slice."""
        angles = view_angles(self.full_views, first=self.first)
        kept = max(1, round(self.full_views * self.arc / 180.0))
        weight = np.full((self.full_views, 1), -1.0, np.float32)
        weight[:kept] += np.float32(self.full_views / kept)

        def alter(attenuation: FloatArray) -> FloatArray:
            return filtered_back_project(
                project(attenuation, angles) * weight,
                angles,
                attenuation.shape,
                kernel=self.kernel,
            )

        return change_slice(pixels, scene, alter)


OPERATORS: tuple[type[Operator], ...] = (CtSparseView, CtLimitedAngle)
