"""A frame enhanced on a reduced copy, and the change carried over to its full size.

A network that learnt whole pictures of some hundred pixels takes a larger one for a
part of something else. It sees a copy of the size that it knows; what it did there is
told as a gain around each pixel (the guided filter's, He et al., TPAMI 2013, eq. 5,
here of the answer on the copy) and what the gain leaves over. Both are enlarged and
applied to the full picture, which keeps the detail that the copy has lost.
"""

from __future__ import annotations

import numpy as np

from medenh import intensity
from medenh.pipeline.frames import STRIP, FrameTask
from medenh.types import FloatArray

__all__ = ["carry_over", "reduced_copy"]

_RADIUS = 2  # of the windows, in pixels of the copy [measured, as is the next]
_LEAST_VARIANCE = 1e-4  # where a window varies less its gain goes to 1
_LARGEST_GAIN = 100.0  # as of the exposure that DPE's degradation takes away
_RESIZED = ("uint8", "uint16", "int16", "float32")  # by OpenCV


def reduced_copy(task: FrameTask, side: int) -> FloatArray:
    """Return a frame reduced to a long side, float32 (1, channels, h, w) in [0, 1].

    Every pixel is the mean of those it stands for, at the depth of the frame.
    """
    from medenh.opencv import cv2

    pixels = task.native
    if pixels.dtype.name not in _RESIZED:
        pixels = pixels.astype(np.float32)
    height, width, channels = pixels.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    small = small.reshape(1, size[1], size[0], channels)
    return intensity.to_unit(small, task.image.unit_range)


def carry_over(task: FrameTask, copy: FloatArray, answer: FloatArray) -> None:
    """Do to a frame what was done to its reduced copy, and store it, by strips.

    Parameters
    ----------
    task : FrameTask
    copy, answer : float32 arrays, shape (channels, h, w), in [0, 1]
        What the model was shown, and gave.
    """
    more = np.stack([_gain(x, y) for x, y in zip(copy, answer, strict=True)]) - 1
    rest = answer - copy - more * copy  # where nothing changes both are exactly 0
    height, width = task.shape[1:]
    step = max(1, STRIP // width)
    for top in range(0, height, step):
        rows = slice(top, min(height, top + step))
        whole = task.unit(rows)[0]
        enhanced = whole + whole * _enlarged(more, rows, height, width)
        enhanced += _enlarged(rest, rows, height, width)
        task.store(np.clip(enhanced, 0.0, 1.0), rows, slice(None))


def _gain(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the slope of y over x in the window around each pixel, smoothed."""
    mean_x, mean_y = _mean(x), _mean(y)
    variance = _mean(x * x) - mean_x * mean_x
    covariance = _mean(x * y) - mean_x * mean_y
    slope = (covariance + _LEAST_VARIANCE) / (variance + _LEAST_VARIANCE)
    return _mean(np.clip(slope, 0.0, _LARGEST_GAIN, dtype=np.float32))


def _mean(plane: FloatArray) -> FloatArray:
    from medenh.opencv import cv2

    side = 2 * _RADIUS + 1
    return np.asarray(cv2.blur(plane, (side, side)), np.float32)


def _enlarged(maps: FloatArray, rows: slice, height: int, width: int) -> FloatArray:
    """Return some rows of (channels, h, w) brought to a height and width, linear."""
    from medenh.opencv import cv2

    last = maps.shape[1] - 1
    at = (np.arange(rows.start, rows.stop) + 0.5) * (last + 1) / height - 0.5
    at = np.clip(at, 0, last)
    above = at.astype(int)
    share = (at - above).astype(np.float32)[:, None]
    below = np.minimum(above + 1, last)
    strips = maps[:, above] * (1 - share) + maps[:, below] * share
    size = (width, len(at))
    return np.stack([cv2.resize(strip, size) for strip in strips])
