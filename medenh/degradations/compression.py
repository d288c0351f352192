"""Lossy compression, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from medenh.degradations.operator import (
    Operator,
    Scene,
)
from medenh.degradations.parameters import Levels, RangedOperator
from medenh.errors import UsageError
from medenh.opencv import cv2
from medenh.types import FloatArray

__all__ = ["OPERATORS", "Jpeg"]

_LONGEST = 65500  # libjpeg's limit


@dataclass(frozen=True, slots=True)
class Jpeg(RangedOperator):
    """JPEG compression, 4:2:0; samples ImageNet-C's qualities, 25 to 7 [code].

    Attributes
    ----------
    quality : int
        1 to 100.
    """

    quality: Annotated[int, Field(ge=1, le=100)]

    name: ClassVar[str] = "jpeg"
    parameters: ClassVar = {
        "quality": Levels((25, 18, 15, 10, 7)),
    }

    def apply(self, pixels: FloatArray, scene: Scene) -> FloatArray:
        """Compress and decompress one frame.

        Notes
        -----
        JPEG knows 8 bits. Of an 8-bit picture the decoded levels come back as they
        are. Of a deeper one what JPEG changed in its 8-bit rendering is added, so
        that its fine steps survive beside the blocks and rings [C].
        """
        if max(pixels.shape[:2]) > _LONGEST:
            raise UsageError(
                f"JPEG holds at most {_LONGEST} pixels a side",
                hint="use a smaller size, or a recipe without compression",
            )
        levels = np.rint(np.clip(pixels, 0.0, 1.0) * np.float32(255.0))
        decoded = _through_jpeg(levels.astype(np.uint8), self.quality)
        if scene.eight_bit:
            return decoded / np.float32(255.0)
        result: FloatArray = pixels + (decoded - levels) / np.float32(255.0)
        return result


OPERATORS: tuple[type[Operator], ...] = (Jpeg,)


def _through_jpeg(levels: NDArray[np.uint8], quality: int) -> FloatArray:
    order = levels[..., ::-1] if levels.shape[-1] == 3 else levels
    _, code = cv2.imencode(
        ".jpg", np.ascontiguousarray(order), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    decoded: NDArray[Any] = cv2.imdecode(code, cv2.IMREAD_UNCHANGED)  # type: ignore[assignment]
    decoded = decoded.reshape(levels.shape)
    if levels.shape[-1] == 3:
        decoded = decoded[..., ::-1]
    return decoded.astype(np.float32)
