"""Radiography: few photons, scatter, a blurring detector; lines of the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, get_args

import numpy as np
from pydantic import Field

from medenh.degradations.grey import change_grey
from medenh.degradations.kspace import Axis
from medenh.degradations.operator import (
    PIXELS,
    Factor,
    Length,
    NotNegative,
    Operator,
    Positive,
    Scene,
    Seed,
    Signed,
    noise_rng,
)
from medenh.degradations.parameters import Choices, Graded, RangedOperator, Uniform
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["OPERATORS", "XrayDetector", "XrayGrid"]

_SIDE = 512  # the side that lengths of scatter are meant for
_FINE_ENOUGH = 4.0  # sigma in pixels below which blur is worked out at full size


@dataclass(frozen=True, slots=True)
class XrayDetector(RangedOperator):
    """What a detector makes of the photons that pass the body.

    Attributes
    ----------
    peak_attenuation : float
        Line integral that is shown white; U 2 to 4 [C].
    photons : float
        Counts a pixel gets through air at full dose; U(log) 20,000 to 2,000 [C]: the
        500 of other detectors leaves nothing to see at a low dose.
    dose : float
        Share of the full dose; U(log) 0.5 to 0.05.
    read_noise : float
        Standard deviation of the electronic noise, counts; U 1 to 10.
    scatter : float
        Scattered over primary photons; U 0 to 1 (behind a grid).
    scatter_px : float
        Sigma of the scatter's spread, pixels; U 20 to 50 at 512.
    blur_px : float
        Sigma of the detector's blur, pixels; U 0.3 to 1.5.
    noise_seed : int
        Seed of the counts; each frame has its own stream.

    Notes
    -----
    Bright is dense: ``p = peak_attenuation v``, mean counts ``N0 dose (exp(-p) +
    scatter blur(exp(-p)))``, blurred by the detector before Poisson and electronic
    noise (structure: Veldkamp et al., J Digit Imaging 2009 [recalled]). Deviation: the
    logarithm is taken of counts over ``N0 dose (1 + scatter)``, as automatic exposure
    does, so that scatter lowers contrast and does not drive lungs into black [C].
    """

    peak_attenuation: Annotated[float, Field(gt=0, le=50)]
    photons: Positive
    dose: Positive
    read_noise: NotNegative
    scatter: Factor
    scatter_px: Length
    blur_px: Length
    noise_seed: Seed

    name: ClassVar[str] = "xray-detector"
    parameters: ClassVar = {
        "peak_attenuation": Uniform(2.0, 4.0),
        "photons": Graded(20_000.0, 2_000.0, log=True),
        "dose": Graded(0.5, 0.05, log=True),
        "read_noise": Graded(1.0, 10.0),
        "scatter": Graded(0.0, 1.0),
        "scatter_px": Uniform(20.0, 50.0, at_side=_SIDE),
        "blur_px": Graded(0.3, 1.5),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Take one frame again."""
        rng = noise_rng(self.noise_seed, scene)

        def change(shown: FloatArray) -> FloatArray:
            primary = np.exp(np.float32(-self.peak_attenuation) * shown)
            light = primary
            if self.scatter > 0:
                stray = _wide_blur(primary, self.scatter_px)
                light = primary + np.float32(self.scatter) * stray
            light = _blur(light, self.blur_px)
            air = self.photons * self.dose
            counts = rng.poisson(air * light.astype(np.float64)).astype(np.float64)
            counts += self.read_noise * rng.standard_normal(shown.shape)
            passed = np.maximum(counts, 1.0) / (air * (1.0 + self.scatter))
            again = -np.log(passed) / self.peak_attenuation
            return np.clip(again, 0.0, 1.0).astype(np.float32) - shown

        return change_grey(pixels, change)


@dataclass(frozen=True, slots=True)
class XrayGrid(RangedOperator):
    """Lines of a grid that does not move: a faint periodic pattern.

    Attributes
    ----------
    depth : float
        Amplitude in the displayed range [0, 1]; U 0.005 to 0.04 [C].
    period_px : float
        U 2.2 to 8 [C]: grids finer than the pixels beat with them.
    offset : float
        Phase, radians.
    axis : str
        Lines change down the "row"s or across the "column"s.
    """

    depth: Signed
    period_px: Annotated[float, Field(gt=0, le=1e6), PIXELS]
    offset: float
    axis: Axis

    name: ClassVar[str] = "xray-grid"
    parameters: ClassVar = {
        "depth": Graded(0.005, 0.04),
        "period_px": Uniform(2.2, 8.0),
        "offset": Uniform(0.0, 2.0 * np.pi),
        "axis": Choices(get_args(Axis)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Lay the lines over one frame: attenuation adds up in the logarithm."""
        count = pixels.shape[0] if self.axis == "row" else pixels.shape[1]
        angle = 2.0 * np.pi * np.arange(count) / self.period_px + self.offset
        wave = (self.depth * np.cos(angle)).astype(np.float32)
        lines: FloatArray = wave[:, None]
        return pixels + (lines[:, None] if self.axis == "row" else lines)


def _blur(image: FloatArray, sigma: float) -> FloatArray:
    if sigma <= 0:
        return image
    side = 2 * int(np.ceil(4.0 * sigma)) + 1
    soft = cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(soft, np.float32)


def _wide_blur(image: FloatArray, sigma: float) -> FloatArray:
    """Return a Gaussian blur of many pixels, worked out on a smaller picture."""
    shrink = max(1, int(sigma / _FINE_ENOUGH))
    height, width = image.shape
    size = (-(-width // shrink), -(-height // shrink))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    blurred = _blur(np.asarray(small, np.float32), sigma / shrink)
    wide = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide, np.float32)


OPERATORS: tuple[type[Operator], ...] = (XrayDetector, XrayGrid)
