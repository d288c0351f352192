"""Low-dose CT: Poisson counts and electronic noise in the projections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from medenh.degradations.ct_scanner import Views, change_slice, full_views
from medenh.degradations.operator import (
    NotNegative,
    Operator,
    Positive,
    Scene,
    Seed,
    log_span,
    new_seed,
    noise_rng,
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

__all__ = ["OPERATORS", "CtLowDose", "low_dose_projections"]

_STRAY = 1.0  # mean of the background counts


@dataclass(frozen=True, slots=True)
class CtLowDose(Operator):
    """Fewer photons: noise, and streaks where hardly any come through.

    Attributes
    ----------
    photons : float
        Counts a bin and view get through air at full dose; U(log) 1e6 to 1e5.
    dose : float
        Share of the full dose; U(log) 0.5 to 0.05.
    read_noise : float
        Standard deviation of the electronic noise, counts; its square is 10 to 11.
    views : int
        Over half a turn.
    kernel : str
        "ramp" (sharp) or "hann" (soft tissue).
    noise_seed : int
        Seed of the counts; each slice has its own stream.

    Notes
    -----
    Zeng et al., IEEE TNS 2015 [known], photons as there:
    ``y = Poisson(k I0 exp(-p) + r) + N(0, s^2)``, ``p' = -ln(max(y - r, 1) / (k I0))``
    with r = 1. Only the noise is reconstructed: ``HU + FBP(p' - p)``, which is linear,
    so that the input keeps its own kernel.
    """

    photons: Positive
    dose: Positive
    read_noise: NotNegative
    views: Views
    kernel: Kernel
    noise_seed: Seed

    name: ClassVar[str] = "ct-low-dose"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw the scanner and the dose."""
        return cls(
            photons=log_span(rng, 1e6, 1e5, severity),
            dose=log_span(rng, 0.5, 0.05, severity),
            read_noise=span(rng, 10.0, 11.0, severity) ** 0.5,
            views=full_views(pixels),
            kernel=draw_kernel(rng),
            noise_seed=new_seed(rng),
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add the noise to one slice."""
        rng = noise_rng(self.noise_seed, scene)
        angles = view_angles(self.views)

        def alter(attenuation: FloatArray) -> FloatArray:
            clean = project(attenuation, angles)
            noise = low_dose_projections(
                clean, rng, photons=self.photons * self.dose, read_noise=self.read_noise
            )
            noise -= clean
            return filtered_back_project(
                noise, angles, attenuation.shape, kernel=self.kernel
            )

        return change_slice(pixels, scene, alter)


def low_dose_projections(
    clean: FloatArray,
    rng: np.random.Generator,
    *,
    photons: float,
    read_noise: float,
) -> FloatArray:
    """Return line integrals as measured with few photons.

    Parameters
    ----------
    clean : float32 array
        Line integrals without noise.
    rng : Generator
    photons : float
        Counts through air.
    read_noise : float
        Standard deviation, counts.

    Returns
    -------
    float32 array, same shape
    """
    mean = photons * np.exp(-clean.astype(np.float64)) + _STRAY
    counts = rng.poisson(mean) - _STRAY
    counts += read_noise * rng.standard_normal(clean.shape)
    measured = -np.log(np.maximum(counts, 1.0) / photons)
    return np.asarray(measured, np.float32)


OPERATORS: tuple[type[Operator], ...] = (CtLowDose,)
