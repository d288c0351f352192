"""Loss terms of training, one family a file, for loops of one's own too.

A term takes float tensors and returns a scalar with a gradient; most take pictures,
(B, C, H, W) in [0, 1]. A family's module, and torch, is imported at its first use. No
module has the name of a term: it would hide the term once it is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medenh.losses.adversarial import (
        bce_discriminator,
        bce_generator,
        hinge_discriminator,
        hinge_generator,
        lsgan_discriminator,
        lsgan_generator,
        r1_penalty,
    )
    from medenh.losses.bands import wavelet
    from medenh.losses.correlation import structure
    from medenh.losses.distribution import code_consistency, code_kl, intensity_distance
    from medenh.losses.features import (
        AnalyticFeatures,
        FeatureExtractor,
        content_features,
        feature_distance,
        gradient_difference,
        regularised_features,
    )
    from medenh.losses.imagenet import VGG19Features
    from medenh.losses.laplacian import edge
    from medenh.losses.lighting import illumination
    from medenh.losses.reconstruction import charbonnier, gradient_l1, log_mse
    from medenh.losses.segmentation import bce_dice
    from medenh.losses.similarity import ssim_loss

__all__ = [
    "AnalyticFeatures",
    "FeatureExtractor",
    "VGG19Features",
    "bce_dice",
    "bce_discriminator",
    "bce_generator",
    "charbonnier",
    "code_consistency",
    "code_kl",
    "content_features",
    "edge",
    "feature_distance",
    "gradient_difference",
    "gradient_l1",
    "hinge_discriminator",
    "hinge_generator",
    "illumination",
    "intensity_distance",
    "log_mse",
    "lsgan_discriminator",
    "lsgan_generator",
    "r1_penalty",
    "regularised_features",
    "ssim_loss",
    "structure",
    "wavelet",
]

_HOMES = {
    "AnalyticFeatures": "features",
    "FeatureExtractor": "features",
    "VGG19Features": "imagenet",
    "bce_dice": "segmentation",
    "bce_discriminator": "adversarial",
    "bce_generator": "adversarial",
    "charbonnier": "reconstruction",
    "code_consistency": "distribution",
    "code_kl": "distribution",
    "content_features": "features",
    "edge": "laplacian",
    "feature_distance": "features",
    "gradient_difference": "features",
    "gradient_l1": "reconstruction",
    "hinge_discriminator": "adversarial",
    "hinge_generator": "adversarial",
    "illumination": "lighting",
    "intensity_distance": "distribution",
    "log_mse": "reconstruction",
    "lsgan_discriminator": "adversarial",
    "lsgan_generator": "adversarial",
    "r1_penalty": "adversarial",
    "regularised_features": "features",
    "ssim_loss": "similarity",
    "structure": "correlation",
    "wavelet": "bands",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'medenh.losses' has no attribute {name!r}")
    value = getattr(import_module(f"medenh.losses.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
