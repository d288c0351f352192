"""Grey pictures that may be stored in three channels: degraded once, not thrice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medenh.types import FloatArray

__all__ = ["change_grey"]


def change_grey(
    pixels: FloatArray, change: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Add a change of the grey plane to all channels alike.

    Parameters
    ----------
    pixels : float32 array, shape (H, W, C)
        C is 1, or 3 where a viewer saved a grey picture as colour.
    change : callable
        From the plane, float32 (H, W), to what is added to it.

    Returns
    -------
    float32 array, shape (H, W, C)
        Where the change is 0, pixels keep their value bit for bit.
    """
    if pixels.shape[2] == 1:
        plane = pixels[..., 0]
    else:
        plane = pixels.mean(axis=2, dtype=np.float64).astype(np.float32)
    return pixels + change(plane).astype(np.float32, copy=False)[..., None]
