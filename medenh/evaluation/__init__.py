"""Fair measurement: pairs of folders, frozen protocols, downstream tasks, statistics."""

from __future__ import annotations
