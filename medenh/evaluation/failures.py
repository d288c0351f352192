"""Errors as evaluations list them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medenh.errors import MedenhError

__all__ = ["Failure", "failure"]

Failure = Mapping[str, str]


def failure(error: MedenhError, path: Path | str, *, by: str = "") -> Failure:
    """Return an error as an entry of `Evaluation.failed`.

    Parameters
    ----------
    error : MedenhError
    path : path or str
        The file concerned, where the error names none.
    by : str
        The row it happened to.
    """
    what = error.what + (f" ({error.hint})" if error.hint else "")
    return {
        "path": str(error.path or path),
        "error": f"{by}: {what}" if by else what,
        "code": error.code,
    }
