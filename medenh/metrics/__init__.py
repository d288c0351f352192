"""Measures of images: against a reference, of kept structure, over a set of images.

All take ``(H, W)`` or ``(H, W, C)`` arrays; functions of two take the judged one first.
"""

from __future__ import annotations

from medenh.metrics.fidelity import clipped_share, mean_shift, structure_correlation
from medenh.metrics.full_reference import delta_e2000, mae, ms_ssim, psnr, ssim
from medenh.metrics.statistics import (
    Interval,
    PairedTests,
    bootstrap_ci,
    paired_tests,
)

__all__ = [
    "Interval",
    "PairedTests",
    "bootstrap_ci",
    "clipped_share",
    "delta_e2000",
    "mae",
    "mean_shift",
    "ms_ssim",
    "paired_tests",
    "psnr",
    "ssim",
    "structure_correlation",
]
