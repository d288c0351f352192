"""Make low-quality medical images better, and keep every pixel's meaning.

Importing medenh is cheap: torch, OpenCV, pydicom and nibabel are loaded by the
functions that need them.
"""

from __future__ import annotations

__version__ = "0.1.0"
