"""What an evaluation says of itself: versions, conventions, ranges of values."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata

import medenh
from medenh.evaluation.measuring import PSNR_CAP_DB

__all__ = ["common_settings", "joined_ranges"]

_PACKAGES = ("numpy", "scipy", "scikit-image", "opencv-python-headless", "torch")
_MOST_RANGES = 3  # listed in full


def common_settings() -> dict[str, object]:
    """Return the conventions of the figures, and the versions they may depend on."""
    return {
        "psnr_at_most_db": PSNR_CAP_DB,
        "interval": "95 %, percentile bootstrap over files, seed 0",
        "medenh": medenh.__version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
    }


def joined_ranges(words: Iterable[str]) -> str:
    """Return the ranges of all files, each once, in words.

    Examples
    --------
    >>> joined_ranges(["0-255 (8-bit)", "0-255 (8-bit)"])
    '0-255 (8-bit)'
    """
    different = list(dict.fromkeys(words))
    if len(different) <= _MOST_RANGES:
        return "; ".join(different)
    shown = "; ".join(different[: _MOST_RANGES - 1])
    return f"each file's own, {len(different)} different: {shown}; ..."
