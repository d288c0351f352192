"""The picture that guides a network (HQG-Net): `enhance --reference`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medenh import formats
from medenh.errors import UsageError
from medenh.hashing import sha256_file
from medenh.types import FloatArray

__all__ = ["read_reference", "reference_hash"]


def read_reference(path: Path) -> FloatArray:
    """Return a picture's first frame, float32, (1, 3, H, W), in [0, 1].

    Raises
    ------
    InputError
        It is not there, or cannot be read.
    """
    unit = formats.read(path).to_unit()[:1]
    return np.repeat(unit, 3, axis=1) if unit.shape[1] == 1 else unit


def reference_hash(path: Path) -> str:
    """Return 16 hexadecimal digits that stand for a picture's file.

    Raises
    ------
    UsageError
        It cannot be read.
    """
    try:
        return sha256_file(path)[:16]
    except OSError as error:
        raise UsageError(
            f"cannot read the reference {path}: {error.strerror}"
        ) from error
