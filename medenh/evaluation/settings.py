"""What an evaluation says of itself: versions, conventions, ranges of values."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata

import medenh
from medenh.errors import UsageError
from medenh.evaluation.measuring import PSNR_CAP_DB
from medenh.tasks import Task

__all__ = [
    "common_settings",
    "described_recognisers",
    "joined_hashes",
    "joined_ranges",
]

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


def joined_hashes(files: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return one hash a row, which tells whether two runs saw the same files.

    Parameters
    ----------
    files : mapping
        File -> row -> SHA-256.

    Returns
    -------
    dict
        Row -> SHA-256 of lines "hash, two blanks, name", sorted by name, as
        ``sha256sum`` writes them.
    """
    lines: dict[str, list[str]] = {}
    for name in sorted(files):
        for row, digest in files[name].items():
            lines.setdefault(row, []).append(f"{digest}  {name}\n")
    return {
        row: hashlib.sha256("".join(each).encode(errors="replace")).hexdigest()
        for row, each in lines.items()
    }


def described_recognisers(tasks: Sequence[Task]) -> dict[str, dict[str, str]]:
    """Return model, version and hash behind every task."""
    from medenh.zoo.load import recogniser_card

    found: dict[str, dict[str, str]] = {}
    for task in tasks:
        try:
            card = recogniser_card(task.model)
        except UsageError:  # not in the zoo: a recogniser of the user's own
            found[task.name] = {"model": task.model}
            continue
        digest = card.weights.sha256 if card.weights else ""
        found[task.name] = {"model": card.full_id, "sha256": digest}
    return found
