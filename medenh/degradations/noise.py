"""Noise: Gaussian, uniform, shot, Poisson-Gaussian, speckle, impulse.

Each value (pixel and channel) is independent, except that a grey picture stays grey:
where its three channels are equal they get the same noise. The stream is a generator
seeded by a field of the operator, so that a record replays; frames of a volume differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from medenh.degradations.operator import (
    Factor,
    NotNegative,
    Operator,
    Positive,
    Scene,
    Seed,
    Share,
    noise_rng,
)
from medenh.degradations.parameters import Graded, Levels, RangedOperator
from medenh.types import FloatArray

__all__ = [
    "OPERATORS",
    "GaussianNoise",
    "ImpulseNoise",
    "PoissonGaussianNoise",
    "ShotNoise",
    "SpeckleNoise",
]

_MANY = 64.0  # photons, above which counts are nearly Gaussian


@dataclass(frozen=True, slots=True)
class GaussianNoise(RangedOperator):
    """Additive, zero mean; samples ImageNet-C's levels, sigma .08 to .38 [code].

    Attributes
    ----------
    sigma : float
        Standard deviation, in units of the domain ([0, 1] for display).
    noise_seed : int
        Seed of the noise field.
    """

    sigma: NotNegative
    noise_seed: Seed

    name: ClassVar[str] = "gaussian-noise"
    parameters: ClassVar = {
        "sigma": Levels((0.08, 0.12, 0.18, 0.26, 0.38)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Add noise to one frame."""
        noise = _normal(_drawn_shape(pixels), self.noise_seed, scene)
        noise *= np.float32(self.sigma)
        return pixels + noise


@dataclass(frozen=True, slots=True)
class ShotNoise(RangedOperator):
    """Photon counting, y = Poisson(N x) / N; samples ImageNet-C's levels [code].

    Attributes
    ----------
    photons : float
        Mean count N where the picture is 1: 60 to 3.
    noise_seed : int
        Seed of the noise field.
    """

    photons: Positive
    noise_seed: Seed

    name: ClassVar[str] = "shot-noise"
    parameters: ClassVar = {
        "photons": Levels((60, 25, 12, 5, 3)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Count photons of one frame."""
        rng = noise_rng(self.noise_seed, scene)
        light = pixels[..., : _drawn_shape(pixels)[-1]]
        counted = _counted(light, self.photons, rng) / np.float32(self.photons)
        return _spread(counted, pixels)


@dataclass(frozen=True, slots=True)
class PoissonGaussianNoise(RangedOperator):
    """Sensor noise: y = Poisson(N x) / N + N(0, s^2), in linear light.

    Without `gamma` its variance is a x + b, a = 1 / N, b = s^2 (Foi 2008).
    Samples 5000 to 200 photons, read noise of 0 to .02, gamma 2.2 [C].

    Attributes
    ----------
    photons : float
        Mean count N where the picture is 1 (the full well).
    read_sigma : float
        Standard deviation s of the read noise, where 1 is the full well.
    noise_seed : int
        Seed of the noise field.
    gamma : float
        The picture to this power is linear light; 1 where it is linear already.
    """

    photons: Positive
    read_sigma: Factor
    noise_seed: Seed
    gamma: Annotated[float, Field(ge=0.1, le=10)] = 1.0

    name: ClassVar[str] = "poisson-gaussian-noise"
    together: ClassVar = True
    parameters: ClassVar = {
        "photons": Graded(5000.0, 200.0, log=True),
        "read_sigma": Graded(0.0, 0.02),
        "gamma": 2.2,
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Expose one frame."""
        rng = noise_rng(self.noise_seed, scene)
        light = pixels[..., : _drawn_shape(pixels)[-1]]
        if self.gamma != 1.0:
            light = np.maximum(light, np.float32(0.0)) ** np.float32(self.gamma)
        light = _counted(light, self.photons, rng) / np.float32(self.photons)
        if self.read_sigma:
            read = rng.standard_normal(light.shape, dtype=np.float32)
            light += read * np.float32(self.read_sigma)
        if self.gamma != 1.0:
            light = np.maximum(light, np.float32(0.0)) ** np.float32(1.0 / self.gamma)
        return _spread(light, pixels)


@dataclass(frozen=True, slots=True)
class SpeckleNoise(RangedOperator):
    """Multiplicative, y = x + x n; samples ImageNet-C's levels, .15 to .6 [code].

    Attributes
    ----------
    sigma : float
        Standard deviation of n, relative.
    noise_seed : int
        Seed of the noise field.
    """

    sigma: Factor
    noise_seed: Seed

    name: ClassVar[str] = "speckle"
    parameters: ClassVar = {
        "sigma": Levels((0.15, 0.2, 0.35, 0.45, 0.6)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Multiply one frame by noise."""
        noise = _normal(_drawn_shape(pixels), self.noise_seed, scene)
        noise *= np.float32(self.sigma)
        noise += np.float32(1.0)
        return pixels * noise


@dataclass(frozen=True, slots=True)
class ImpulseNoise(RangedOperator):
    """Salt and pepper, half each; samples ImageNet-C's levels, .03 to .27 [code].

    Attributes
    ----------
    amount : float
        Share of values replaced by 0 or 1.
    noise_seed : int
        Seed of the noise field.
    """

    amount: Share
    noise_seed: Seed

    name: ClassVar[str] = "impulse"
    parameters: ClassVar = {
        "amount": Levels((0.03, 0.06, 0.09, 0.17, 0.27)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Replace values of one frame."""
        chance = noise_rng(self.noise_seed, scene).random(
            _drawn_shape(pixels), dtype=np.float32
        )
        half = np.float32(self.amount / 2)
        salted = np.where(chance < half, np.float32(1.0), pixels)
        return np.where(chance > 1 - half, np.float32(0.0), salted)


OPERATORS: tuple[type[Operator], ...] = (
    GaussianNoise,
    ShotNoise,
    PoissonGaussianNoise,
    SpeckleNoise,
    ImpulseNoise,
)


def _drawn_shape(pixels: FloatArray) -> tuple[int, int, int]:
    """Return the shape of noise to draw: one plane for a grey picture of 3 channels."""
    height, width, channels = pixels.shape
    coarse = pixels[::16, ::16]  # decides for nearly all colour pictures
    grey = channels == 1 or all(
        np.array_equal(part[..., 0], part[..., one])
        for part in (coarse, pixels)
        for one in range(1, channels)
    )
    return height, width, 1 if grey else channels


def _spread(plane: FloatArray, pixels: FloatArray) -> FloatArray:
    """Return what was drawn in as many channels as the picture has."""
    if plane.shape == pixels.shape:
        return plane
    return np.repeat(plane, pixels.shape[-1], axis=-1)


def _normal(shape: tuple[int, ...], noise_seed: int, scene: Scene) -> FloatArray:
    return noise_rng(noise_seed, scene).standard_normal(shape, dtype=np.float32)


def _counted(light: FloatArray, photons: float, rng: np.random.Generator) -> FloatArray:
    """Return Poisson counts of a picture of light; none below 0.

    Means of 64 and more: a rounded Gaussian bent to Poisson's skewness (Cornish and
    Fisher), in a third of the time; its variance is 0.2 % too large at most.
    """
    mean = np.maximum(light, np.float32(0.0)) * np.float32(photons)
    few = mean < _MANY
    if few.all():
        return rng.poisson(mean).astype(np.float32)
    z = rng.standard_normal(mean.shape, dtype=np.float32)
    counts = np.rint(mean + np.sqrt(mean) * z + (z * z - 1) / np.float32(6.0))
    counts[few] = rng.poisson(mean[few])
    return counts
