"""Loss of sharpness: Gaussian, box, defocus, motion, hand shake, zoom.

Kernels have unit sum and their centroid in the middle, so that a pair stays
registered. Borders repeat the edge pixel (SciPy's "reflect"), which conserves the
mean. Inside a field of view nothing leaks in from outside: weights are renormalised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from medenh.degradations.operator import (
    Angle,
    Length,
    Operator,
    Scene,
    Seed,
    Share,
)
from medenh.degradations.parameters import Graded, Levels, RangedOperator, Uniform
from medenh.degradations.psf import disc_kernel, line_kernel, shake_kernel
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = [
    "OPERATORS",
    "DefocusBlur",
    "GaussianBlur",
    "MotionBlur",
    "TrajectoryBlur",
    "ZoomBlur",
]

_IMAGENET_SIDE = 224  # the side that ImageNet-C's lengths are made for [code]
_ZOOM_STEPS = 24


@dataclass(frozen=True, slots=True)
class GaussianBlur(RangedOperator):
    """Gaussian blur; samples ImageNet-C's levels, sigma 1 to 6 at 224 px [code].

    Attributes
    ----------
    sigma : float
        In pixels; the window reaches 4 sigma.
    """

    sigma: Length

    name: ClassVar[str] = "gaussian-blur"
    parameters: ClassVar = {
        "sigma": Levels((1, 2, 3, 4, 6), at_side=_IMAGENET_SIDE),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Blur one frame."""
        if self.sigma <= 0:
            return pixels
        side = 2 * round(4 * self.sigma) + 1
        return _filtered(
            pixels,
            scene,
            lambda x: cv2.GaussianBlur(
                x, (side, side), self.sigma, borderType=cv2.BORDER_REFLECT
            ),
        )


@dataclass(frozen=True, slots=True)
class DefocusBlur(RangedOperator):
    """Disc-shaped point spread; samples ImageNet-C's levels, 3 to 10 px [code].

    Attributes
    ----------
    radius : float
        In pixels.
    softness : float
        Sigma of the Gaussian that softens the disc's edge, in pixels (ImageNet-C's
        "alias").
    """

    radius: Length
    softness: Length = 0.0

    name: ClassVar[str] = "defocus"
    together: ClassVar = True
    parameters: ClassVar = {
        "radius": Levels((3, 4, 6, 8, 10), at_side=_IMAGENET_SIDE),
        "softness": Levels((0.1, 0.5, 0.5, 0.5, 0.5), at_side=_IMAGENET_SIDE),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Blur one frame."""
        return _convolved(pixels, scene, disc_kernel(self.radius, self.softness))


@dataclass(frozen=True, slots=True)
class MotionBlur(RangedOperator):
    """Straight motion; samples ImageNet-C's levels, radius/sigma 10/3 to 20/15 [code].

    Attributes
    ----------
    length : float
        Of the path, in pixels; a window of "radius" r reaches over 2 r.
    angle_deg : float
        Of the path to the horizontal.
    sigma : float or None
        Weights fall along the path like half a Gaussian of this sigma, in pixels;
        None: constant speed.
    """

    length: Length
    angle_deg: Angle
    sigma: Length | None = None

    name: ClassVar[str] = "motion-blur"
    together: ClassVar = True
    parameters: ClassVar = {
        "length": Levels((20, 30, 30, 30, 40), at_side=_IMAGENET_SIDE),
        "angle_deg": Uniform(-45.0, 45.0),
        "sigma": Levels((3, 5, 8, 12, 15), at_side=_IMAGENET_SIDE),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Blur one frame."""
        kernel = line_kernel(self.length, self.angle_deg, sigma=self.sigma)
        return _convolved(pixels, scene, kernel)


@dataclass(frozen=True, slots=True)
class TrajectoryBlur(RangedOperator):
    """Hand or eye shake along a random walk, after Boracchi & Foi 2012.

    Samples a length of 3 to 25 px at 512 px [C].

    Attributes
    ----------
    length : float
        Of the path, in pixels.
    inertia : float
        Pull back to the start, 0 to 0.7.
    shake : float
        Chance of a sudden turn, over the whole path's steps, 0 to 0.2.
    path_seed : int
        Seed of the walk.
    """

    length: Length
    inertia: Share
    shake: Share
    path_seed: Seed

    name: ClassVar[str] = "trajectory-blur"
    parameters: ClassVar = {
        "length": Graded(3, 25, at_side=512),
        "inertia": Uniform(0.0, 0.7),
        "shake": Uniform(0.0, 0.2),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Blur one frame."""
        kernel = shake_kernel(
            self.length, inertia=self.inertia, shake=self.shake, seed=self.path_seed
        )
        return _convolved(pixels, scene, kernel)


@dataclass(frozen=True, slots=True)
class ZoomBlur(RangedOperator):
    """Mean of ever larger views about the centre; samples ImageNet-C's levels [code].

    Attributes
    ----------
    zoom : float
        The largest view's scale: 1.11 to 1.31.
    """

    zoom: Annotated[float, Field(ge=1, le=4)]

    name: ClassVar[str] = "zoom-blur"
    parameters: ClassVar = {
        "zoom": Levels((1.11, 1.16, 1.21, 1.26, 1.31)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Blur one frame."""
        return _filtered(pixels, scene, self._mean_of_views)

    def _mean_of_views(self, pixels: FloatArray) -> FloatArray:
        height, width = pixels.shape[:2]
        reach = (self.zoom - 1.0) * max(height, width) / 2  # px moved at the border
        steps = int(np.clip(np.ceil(reach), 2, _ZOOM_STEPS))
        total = np.zeros_like(pixels)
        for zoom in np.linspace(1.0, self.zoom, steps):
            shift = [(side - 1) / 2 * (1 - zoom) for side in (width, height)]
            matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
            view = cv2.warpAffine(
                pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT
            )
            total += view.reshape(pixels.shape)
        total /= np.float32(steps)
        return total


OPERATORS: tuple[type[Operator], ...] = (
    GaussianBlur,
    DefocusBlur,
    MotionBlur,
    TrajectoryBlur,
    ZoomBlur,
)


def _convolved(pixels: FloatArray, scene: Scene, kernel: FloatArray) -> FloatArray:
    turned = np.ascontiguousarray(kernel[::-1, ::-1])  # filter2D correlates
    return _filtered(
        pixels,
        scene,
        lambda x: cv2.filter2D(x, -1, turned, borderType=cv2.BORDER_REFLECT),
    )


def _filtered(
    pixels: FloatArray, scene: Scene, smooth: Callable[[FloatArray], NDArray[Any]]
) -> FloatArray:
    """Filter a frame; with a field, only from pixels inside it."""
    if scene.field is None:
        whole: FloatArray = smooth(pixels).reshape(pixels.shape)
        return whole
    weight = scene.field[..., None]
    inside = smooth(pixels * weight).reshape(pixels.shape)
    mass = smooth(scene.field).reshape(weight.shape)
    result: FloatArray = inside / np.maximum(mass, np.float32(1e-6))
    return result
