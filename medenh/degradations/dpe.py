"""DPE's degradation: brightness and contrast loss, 8-bit rounding, faint noise.

Read from the published code of the DPE paper (Algorithm 1 there): a colour jitter on
8-bit pixels followed by a one-sided uniform noise that the code calls Gaussian.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Self

import numpy as np

from medenh.colour import luma
from medenh.degradations.operator import (
    Drawn,
    Factor,
    Operator,
    Scene,
    Seed,
)
from medenh.degradations.parameters import ranged
from medenh.degradations.recipe import Recipe, in_order
from medenh.types import FloatArray

__all__ = ["OPERATORS", "RECIPES", "WIDE", "DpeParameters", "apply", "sample"]

_BRIGHTNESS = _CONTRAST = (0.8, 0.1)  # mild to strong
_NOISE_MAX = 0.1**1.5  # in [-1, 1] units


@dataclass(frozen=True, slots=True)
class DpeParameters(Operator):
    """Brightness and contrast loss, 8-bit rounding, faint noise, as DPE's code [code].

    Attributes
    ----------
    brightness, contrast : float
        Factors; 1 leaves the picture alone. The paper's code draws U(0.1, 0.8).
    brightness_first : bool
        Order of the two; they differ by rounding only.
    sigma : float
        Amplitude of the uniform noise on the [-1, 1] scale.
    noise_seed : int
        Seed of the noise field.
    gaussian : bool
        Noise is Gaussian with this sigma instead of uniform, as the code has it. The
        paper's abstract says "noise" only [guessed].
    """

    brightness: Factor
    contrast: Factor
    brightness_first: bool
    sigma: Factor
    noise_seed: Seed
    gaussian: bool = False

    name: ClassVar[str] = "dpe"

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        pixels: FloatArray,
        scene: Scene,
        severity: float | None,
    ) -> Self:
        """Draw as the paper's code does; a severity fixes the three strengths."""
        drawn = sample(rng)
        share = severity
        if share is None:
            return cls(**asdict(drawn))
        return cls(
            brightness=_between(_BRIGHTNESS, share),
            contrast=_between(_CONTRAST, share),
            brightness_first=drawn.brightness_first,
            sigma=share * _NOISE_MAX,
            noise_seed=drawn.noise_seed,
        )

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Degrade one frame; of a volume each frame has its own noise."""
        mine = self
        if scene.frame:
            mine = replace(self, noise_seed=self.noise_seed + scene.frame)
        return apply(pixels, mine, quantise=scene.eight_bit)


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share


def sample(rng: np.random.Generator) -> DpeParameters:
    """Draw parameters as the paper's code does."""
    return DpeParameters(
        brightness=float(rng.uniform(0.1, 0.8)),
        contrast=float(rng.uniform(0.1, 0.8)),
        brightness_first=bool(rng.integers(2)),
        sigma=float(rng.uniform(0.0, _NOISE_MAX)),
        noise_seed=int(rng.integers(2**31)),
    )


def apply(
    pixels: FloatArray, parameters: DpeParameters, *, quantise: bool = True
) -> FloatArray:
    """Degrade a picture.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C), in [0, 1]
        C is 1 (treated as R = G = B) or 3.
    parameters : DpeParameters
    quantise : bool
        Truncate to 8 bits after each step, as Pillow does. False for pictures of more
        than 8 bits, whose depth must survive.

    Returns
    -------
    float32 array, same shape, in [0, 1]
        Deviations: clipped to [0, 1], where the paper's code leaves the noise unclipped
        in memory and clips when it saves; and up to one level of 255 from Pillow, which
        rounds the luma of each pixel before it takes the mean.
    """
    x = pixels * np.float32(255.0)
    if quantise:
        x = np.rint(x)
    steps = (
        (_brighten, _flatten)
        if parameters.brightness_first
        else (
            _flatten,
            _brighten,
        )
    )
    for step in steps:
        x = np.clip(step(x, parameters), 0.0, 255.0)
        if quantise:
            x = np.floor(x)
    x /= np.float32(255.0)
    if parameters.sigma:
        noise = np.random.default_rng(parameters.noise_seed)
        draw = noise.standard_normal if parameters.gaussian else noise.random
        field = draw(x.shape, dtype=np.float32)
        x += np.float32(parameters.sigma / 2) * field
    x = x.astype(np.float32, copy=False)
    return np.clip(x, np.float32(0.0), np.float32(1.0), out=x)


def _brighten(x: FloatArray, parameters: DpeParameters) -> FloatArray:
    return x * np.float32(parameters.brightness)


def _flatten(x: FloatArray, parameters: DpeParameters) -> FloatArray:
    """Blend towards the rounded mean of the luma, the same grey in all channels."""
    mean = np.floor(luma(x).mean(dtype=np.float64) + 0.5)
    factor = np.float32(parameters.contrast)
    return x * factor + np.float32((1.0 - factor) * mean)


def _draw_wide(
    rng: np.random.Generator,
    pixels: FloatArray,
    scene: Scene,
    severity: float | None,
) -> DpeParameters:
    """Draw factors of .1 to 1.1; a severity gives those of dpe."""
    drawn = DpeParameters.sample(rng, pixels, scene, severity)
    if severity is not None:
        return drawn
    brightness, contrast = rng.uniform(0.1, 1.1, 2)
    return replace(drawn, brightness=float(brightness), contrast=float(contrast))


WIDE = Drawn(DpeParameters, _draw_wide)

OPERATORS: tuple[type[Operator], ...] = (DpeParameters,)
RECIPES = (
    Recipe(
        name="dpe",
        title="Brightness and contrast loss, faint one-sided noise (DPE)",
        source="DPE, released code [code]",
        plan=in_order(DpeParameters),
    ),
    Recipe(
        name="dpe-gauss",
        title="Like dpe, with zero-mean Gaussian noise of the same sigma",
        source="DPE's released code [code] with Gaussian noise [guessed]",
        plan=in_order(ranged(DpeParameters, gaussian=True)),
    ),
    Recipe(
        name="dpe-wide",
        title="Like dpe, with factors of .1 to 1.1: some untouched or brighter",
        source="specification of DPE, section 7, for training [C]",
        plan=in_order(WIDE),
    ),
)
