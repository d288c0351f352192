"""What a plan is made of: images to enhance, and all that a run will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medenh.pipeline.journal import Fingerprint
from medenh.pipeline.naming import map_paths
from medenh.pipeline.results import Failure, Skip

__all__ = ["Plan", "WorkItem"]


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One image to enhance.

    Attributes
    ----------
    sources, targets : tuple of path
        What is read and what is written. A DICOM series has several sources, and one
        target for each of them, or one for all where the format holds volumes.
    format : str
        Of the source.
    left_out : tuple of path
        Files of the same series that do not go along: damaged, or done before.
    damaged : tuple of path
        Those of them that cannot be read.
    replaces : bool
        Some outputs were there when the run was planned, and may be replaced.
    kind : str
        Format of the outputs; empty where their names tell it.
    map_format : str
        Format of the maps of uncertainty; empty where none are wanted.
    remarks : tuple of str
        What a reader of the output must know of why it is made.
    """

    sources: tuple[Path, ...]
    targets: tuple[Path, ...]
    format: str
    left_out: tuple[Path, ...] = ()
    damaged: tuple[Path, ...] = ()
    replaces: bool = False
    kind: str = ""
    map_format: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The first source, which names the item."""
        return self.sources[0]

    @property
    def is_parallel(self) -> bool:
        """True where each source has a target of its own."""
        return len(self.sources) == len(self.targets)

    @property
    def maps(self) -> tuple[Path, ...]:
        """Where the maps of uncertainty go, if any are wanted."""
        return map_paths(self.targets, self.map_format) if self.map_format else ()

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All that is written: targets and maps."""
        return (*self.targets, *self.maps)

    def origins(self, prints: Sequence[Fingerprint]) -> list[tuple[Path, Fingerprint]]:
        """Return each output with the fingerprint of the sources that it is made of.

        Parameters
        ----------
        prints : sequence of Fingerprint
            Of each source.
        """
        whole = Fingerprint.joined(prints)
        found: list[tuple[Path, Fingerprint]] = []
        for paths in (self.targets, self.maps):
            apart = len(paths) == len(prints)
            found += zip(paths, prints if apart else [whole] * len(paths), strict=True)
        return found

    def map_of(self, index: int) -> Path | None:
        """Return where the map that a source is in goes."""
        maps = self.maps
        if not maps:
            return None
        return maps[index if len(maps) == len(self.sources) else 0]

    def target_of(self, index: int) -> Path:
        """Return where a source goes."""
        return self.targets[index if self.is_parallel else 0]

    def part(self, indices: Sequence[int]) -> WorkItem:
        """Return the item with some of its sources only."""
        kept = set(indices)
        if len(kept) == len(self.sources):
            return self
        others = [s for i, s in enumerate(self.sources) if i not in kept]
        targets = self.targets
        if self.is_parallel:
            targets = tuple(self.targets[i] for i in indices)
        return replace(
            self,
            sources=tuple(self.sources[i] for i in indices),
            targets=targets,
            left_out=(*self.left_out, *others),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a run will do.

    Attributes
    ----------
    work : tuple of WorkItem
        To be done, in order.
    skipped : tuple of Skip
        Needs nothing: done before, or there and to be kept.
    failed : tuple of Failure
        Cannot be done: no image, or its output is in the way.
    root : path or None
        The output folder, with its journal; None for a single named file.
    request : str
        Hash of everything asked that changes outputs.
    found : int
        Files found in the input, those of other shards included.
    passed_over : dict
        What folders hold that is not taken: kind -> number of files.
    searched : tuple of path
        The inputs, as given.
    """

    work: tuple[WorkItem, ...] = ()
    skipped: tuple[Skip, ...] = ()
    failed: tuple[Failure, ...] = ()
    root: Path | None = None
    request: str = ""
    found: int = 0
    passed_over: Mapping[str, int] = field(default_factory=dict)
    searched: tuple[Path, ...] = ()

    @property
    def inputs(self) -> int:
        """How many files this run is about, readable or not."""
        return self.files + len(self.skipped) + len(self.failed)

    @property
    def files(self) -> int:
        """How many files will be worked on."""
        return sum(len(item.sources) for item in self.work)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as ``--dry-run --json`` prints it."""
        return {
            "work": [_entry(item) for item in self.work],
            "skipped": [skip.to_json() for skip in self.skipped],
            "failed": [failure.to_json() for failure in self.failed],
            "passed_over": dict(self.passed_over),
        }


def _entry(item: WorkItem) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "inputs": [str(path) for path in item.sources],
        "outputs": [str(path) for path in item.targets],
        "format": item.format,
    }
    if item.remarks:
        entry["warnings"] = list(item.remarks)
    if item.maps:
        entry["uncertainty"] = [str(path) for path in item.maps]
    return entry
