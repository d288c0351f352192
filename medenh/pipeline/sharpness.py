"""Whether a picture holds detail that a network of super-resolution would take away."""

from __future__ import annotations

import numpy as np

from medenh.types import FloatArray, Image

__all__ = ["is_sharp"]

# [measured] of 30 dermoscopic pictures, reduced in two ways and enlarged in five
# (bicubic, linear, Lanczos; noise, JPEG), the share was at most 0.205; of sharp ones at
# least 0.18 at a factor of 2 (one in 30 below 0.22) and 0.32 at 4. Pixels repeated
# (nearest neighbour) count as sharp: 0.27 to 0.6
_SHARP = 0.22
_LEAST = 0.004  # of [0, 1]: less is rounding of 8 bits
_SIDE = 1024  # of the middle of a picture, which is looked at
_EDGE = 8


def is_sharp(image: Image, factor: int) -> bool:
    """Tell whether a picture is not one that was enlarged.

    Parameters
    ----------
    image : Image
        The middle of its middle frame is looked at.
    factor : int
        By which it should have been enlarged.

    Notes
    -----
    Compares what is lost by reducing it by the factor and enlarging it again with what
    is lost by twice the factor: a picture that was enlarged so loses next to nothing
    by the first. False where it is too small, or too smooth to tell.
    """
    from medenh import intensity

    step = 2 * factor
    size = [min(side, _SIDE) // step * step for side in (image.height, image.width)]
    if min(size) < 4 * _EDGE + step:
        return False
    top, left = (image.height - size[0]) // 2, (image.width - size[1]) // 2
    frame = image.frames // 2
    part = image.pixels[frame, top : top + size[0], left : left + size[1]]
    unit = intensity.to_unit(part[None], image.unit_range)[0]
    grey = unit.mean(0).astype(np.float32)
    by_factor, by_twice = _lost(grey, factor), _lost(grey, step)
    return by_twice > _LEAST**2 and by_factor > _SHARP * by_twice


def _lost(grey: FloatArray, factor: int) -> float:
    """Return the mean square of what reducing and enlarging takes; (H, W)."""
    # the filter of the recipes (`degradations.resampling`) without SciPy; few need it
    import PIL.Image

    how = PIL.Image.Resampling.BICUBIC
    height, width = grey.shape
    small = PIL.Image.fromarray(grey).resize((width // factor, height // factor), how)
    lost = grey - np.asarray(small.resize((width, height), how))
    inner = lost[_EDGE:-_EDGE, _EDGE:-_EDGE]
    return float(np.mean(np.square(inner), dtype=np.float64))
