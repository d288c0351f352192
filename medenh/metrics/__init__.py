"""Measures of images: against a reference, of kept structure, over a set of images.

All take ``(H, W)`` or ``(H, W, C)`` arrays; functions of two take the judged one first.
`METRICS` lists them under their names on the command line, callable in one way.
Listing is cheap: a metric's module is imported at its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medenh.metrics.registry import METRICS, Metric, resolve_metrics

if TYPE_CHECKING:
    from medenh.metrics.appearance import (
        automatic_cnr,
        cnr,
        contrast,
        noise,
        sharpness,
    )
    from medenh.metrics.ciede2000 import delta_e2000
    from medenh.metrics.edges import invented_edges, lost_edges
    from medenh.metrics.fidelity import clipped_share, mean_shift, structure_correlation
    from medenh.metrics.flat import flat_bias
    from medenh.metrics.full_reference import mae, psnr
    from medenh.metrics.fundus import fundus_quality
    from medenh.metrics.natural_statistics import niqe
    from medenh.metrics.similarity import ms_ssim, ssim
    from medenh.metrics.statistics import (
        Interval,
        PairedTests,
        Summary,
        bootstrap_ci,
        paired_tests,
        summarise,
    )
    from medenh.metrics.structures import ring_cnr, snr_ccm, snr_ccm_legacy

__all__ = [
    "METRICS",
    "Interval",
    "Metric",
    "PairedTests",
    "Summary",
    "automatic_cnr",
    "bootstrap_ci",
    "clipped_share",
    "cnr",
    "contrast",
    "delta_e2000",
    "flat_bias",
    "fundus_quality",
    "invented_edges",
    "lost_edges",
    "mae",
    "mean_shift",
    "ms_ssim",
    "niqe",
    "noise",
    "paired_tests",
    "psnr",
    "resolve_metrics",
    "ring_cnr",
    "sharpness",
    "snr_ccm",
    "snr_ccm_legacy",
    "ssim",
    "structure_correlation",
    "summarise",
]

_HOMES = {
    "Interval": "statistics",
    "PairedTests": "statistics",
    "Summary": "statistics",
    "automatic_cnr": "appearance",
    "bootstrap_ci": "statistics",
    "clipped_share": "fidelity",
    "cnr": "appearance",
    "contrast": "appearance",
    "delta_e2000": "ciede2000",
    "flat_bias": "flat",
    "fundus_quality": "fundus",
    "invented_edges": "edges",
    "lost_edges": "edges",
    "mae": "full_reference",
    "mean_shift": "fidelity",
    "ms_ssim": "similarity",
    "niqe": "natural_statistics",
    "noise": "appearance",
    "paired_tests": "statistics",
    "psnr": "full_reference",
    "ring_cnr": "structures",
    "sharpness": "appearance",
    "snr_ccm": "structures",
    "snr_ccm_legacy": "structures",
    "ssim": "similarity",
    "structure_correlation": "fidelity",
    "summarise": "statistics",
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
