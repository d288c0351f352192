"""Loss terms of training, one family a file."""

from __future__ import annotations
