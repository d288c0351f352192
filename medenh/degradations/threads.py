"""How many threads OpenCV uses: bytes must not depend on the number of cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from medenh.opencv import cv2

__all__ = ["one_opencv_thread"]


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Let OpenCV use one thread inside, in the whole process."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
