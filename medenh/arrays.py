"""What callers give as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medenh.errors import UsageError

__all__ = ["unmasked"]


def unmasked(values: ArrayLike) -> NDArray[Any]:
    """Return values as a plain array, without a copy where there is one.

    Raises
    ------
    UsageError
        Some are masked (`numpy.ma`): whether they are to be filled, and with what, is
        the caller's to say.
    """
    if np.ma.is_masked(values):
        raise UsageError(
            "a masked array is not taken: its masked values would count",
            hint="fill it: array.filled(value); NaN in arrays of floats keeps its "
            "place, and metrics and methods take mask=~array.mask",
        )
    return np.asarray(values)
