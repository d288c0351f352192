"""OpenCV, imported so that it leaves the environment of the process alone.

Its loader puts a folder and a colon before `LD_LIBRARY_PATH`. Where that was not set,
the colon stands at the end, and an empty entry is the present folder: programs started
later, medenh's own processes among them, would take their libraries from there.
"""

from __future__ import annotations

import os

_NAME = "LD_LIBRARY_PATH"
_before = os.environ.get(_NAME)

import cv2  # noqa: E402

if _before is None:
    os.environ.pop(_NAME, None)
else:
    os.environ[_NAME] = _before

__all__ = ["cv2"]
