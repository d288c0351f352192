"""Where the control groups around this process keep their limits, on Linux."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["folders_of"]

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def folders_of(controller: str) -> Iterator[tuple[Path, bool]]:
    """Yield the folders in which limits of this process may stand.

    Parameters
    ----------
    controller : str
        "cpu" or "memory".

    Yields
    ------
    Path
        One that may not be there: in a container the path may be the host's.
    bool
        True for version 2 of control groups, False for version 1.
    """
    for folder, unified in _own(controller):
        # a limit may stand anywhere above
        for place in (folder, *folder.parents):
            if place.is_relative_to(_GROUPS):
                yield place, unified


def _own(controller: str) -> Iterator[tuple[Path, bool]]:
    try:
        lines = _OWN_GROUPS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        lines = []
    yield _GROUPS, True
    yield _GROUPS / controller, False
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        below = path.strip("/")
        if not controllers:
            yield _GROUPS / below, True
        elif controller in controllers.split(","):
            yield _GROUPS / controller / below, False
