"""Fair measurement: pairs, frozen protocols, downstream tasks, statistics."""

from __future__ import annotations
