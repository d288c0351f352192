"""The picture that guides HQG-Net, or `ref-color`: `enhance --reference`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medenh import formats
from medenh.arrays import without_pillow
from medenh.errors import InputError, UsageError
from medenh.formats.array import from_array
from medenh.hashing import sha256_file
from medenh.paths import StrPath, as_path
from medenh.types import FloatArray, Image

__all__ = ["Reference", "check_reference", "read_reference", "reference_hash"]

Reference: TypeAlias = StrPath | Image | NDArray[Any]


def check_reference(picture: object) -> None:
    """Pass in silence if something can be a reference: a picture, or a path.

    Raises
    ------
    UsageError
        It is neither.
    """
    if not isinstance(without_pillow(picture), Image | np.ndarray):
        as_path(picture, "reference")


def read_reference(picture: Reference) -> FloatArray:
    """Return a picture's first frame, float32, (1, 3, H, W), in [0, 1].

    Raises
    ------
    UsageError
        Its file is not there, or cannot be read.
    """
    picture = without_pillow(picture)
    if isinstance(picture, np.ndarray):
        picture = from_array(picture)
    try:
        image = picture if isinstance(picture, Image) else formats.read(picture)
    except InputError as error:  # it is no input of the run
        raise UsageError(f"cannot read the reference: {error}") from error
    unit = image.to_unit()[:1]
    return np.repeat(unit, 3, axis=1) if unit.shape[1] == 1 else unit


def reference_hash(picture: Reference) -> str:
    """Return 16 hexadecimal digits that stand for a picture: its file, or what is seen.

    Raises
    ------
    UsageError
        Its file cannot be read.
    """
    if not isinstance(picture, str | os.PathLike):
        unit = read_reference(picture)
        digest = hashlib.sha256(f"{unit.shape}".encode())
        digest.update(unit.tobytes())
        return digest.hexdigest()[:16]
    try:
        return sha256_file(Path(picture))[:16]
    except OSError as error:
        raise UsageError(
            f"cannot read the reference {picture}: {error.strerror}"
        ) from error
