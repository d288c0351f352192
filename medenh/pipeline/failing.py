"""What becomes of errors that nobody raised on purpose."""

from __future__ import annotations

import logging
from pathlib import Path

from medenh.errors import MedenhError, OutOfMemoryError, is_out_of_memory

__all__ = ["as_ours"]

_log = logging.getLogger(__name__)


def as_ours(error: BaseException, path: Path) -> MedenhError:
    """Return an error of our own kind, whatever was raised while at work on a file."""
    if isinstance(error, MedenhError):
        return error
    if is_out_of_memory(error):
        return OutOfMemoryError("not enough memory for this file", path=path)
    _log.debug("unexpected error", exc_info=error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return MedenhError(f"unexpected {what[:300]}", path=path)
