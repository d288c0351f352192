"""Measures of images: against a reference, of kept structure, over a set of images.

All take ``(H, W)`` or ``(H, W, C)`` arrays; functions of two take the judged one first.
`METRICS` lists them under their names on the command line, callable in one way.
Listing is cheap: a metric's module is imported at its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medenh.metrics.ciede2000 import delta_e2000
    from medenh.metrics.fidelity import clipped_share, mean_shift, structure_correlation
    from medenh.metrics.full_reference import mae, psnr
    from medenh.metrics.similarity import ms_ssim, ssim
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

_HOMES = {
    "Interval": "statistics",
    "PairedTests": "statistics",
    "bootstrap_ci": "statistics",
    "clipped_share": "fidelity",
    "delta_e2000": "ciede2000",
    "mae": "full_reference",
    "mean_shift": "fidelity",
    "ms_ssim": "similarity",
    "paired_tests": "statistics",
    "psnr": "full_reference",
    "ssim": "similarity",
    "structure_correlation": "fidelity",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'medenh.metrics' has no attribute {name!r}")
    value = getattr(import_module(f"medenh.metrics.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
