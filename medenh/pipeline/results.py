"""What came of a run: records for the report, the JSON and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medenh.errors import (
    InputError,
    MedenhError,
    RefusedError,
    UsageError,
    exit_code,
    spelled,
)

if TYPE_CHECKING:
    from medenh.types import Image, UnitRange

__all__ = [
    "Failure",
    "FileResult",
    "Listener",
    "Skip",
    "Summary",
    "differing_depths",
    "exit_code_of",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that came to nothing, and why."""

    path: Path
    error: MedenhError

    @property
    def reason(self) -> str:
        """What happened and what to do, without repeating the path."""
        if self.error.path not in (None, self.path):
            return str(self.error)
        hint = f" ({self.error.hint})" if self.error.hint else ""
        return f"{self.error.what}{hint}"

    def to_json(self) -> dict[str, Any]:
        """Return the failure as the ``--json`` of every verb shows it."""
        entry: dict[str, Any] = {
            "path": str(self.path),
            "error": self.reason,
            "code": self.error.code,
        }
        if isinstance(self.error, RefusedError) and self.error.fidelity:
            entry["fidelity"] = dict(self.error.fidelity)
        return entry


def exit_code_of(failures: Sequence[Failure], *, some_done: bool) -> int:
    """Return the exit code of a run over files.

    Parameters
    ----------
    failures : sequence of Failure
    some_done : bool
        Something was written or needed nothing.

    Returns
    -------
    int
        0 all done; 3 nothing was readable; the common code where all failures have
        one (weights, memory, refused; usage only where nothing could be done); else 1.
    """
    if not failures:
        return 0
    if not some_done and all(isinstance(f.error, InputError) for f in failures):
        return 3
    codes = {exit_code(failure.error) for failure in failures}
    if len(codes) > 1 or (some_done and codes == {exit_code(UsageError(""))}):
        return 1
    return codes.pop()


@dataclass(frozen=True, slots=True)
class Skip:
    """An input that needed no work, and why."""

    path: Path
    output: Path
    reason: str

    def to_json(self) -> dict[str, str]:
        """Return the entry as plans and runs show it in their JSON."""
        return {
            "path": str(self.path),
            "output": str(self.output),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """A file that was enhanced; each slice of a series has one.

    Attributes
    ----------
    input, output : path
        What was read, and where it went.
    image : path
        The first file of the image that it belongs to.
    seconds : float
        Spent on it: reading, its share of the model's calls, measuring and writing,
        without waiting. Each slice of a series has an equal share.
    model, reason : str
        What enhanced it, and why that.
    fidelity : mapping of str to float
        How far the output is from the input.
    unit_range : UnitRange
        The native values that were 0 and 1 for the model, and why these; fidelity is
        in parts of them. To a method that wants 0 as 0 (`MethodInfo.from_zero`) they
        begin there, whatever stands here.
    warnings : tuple of str
        What a reader of the output must know.
    uncertainty : path, optional
        Where the map of uncertainty went.
    """

    input: Path
    output: Path
    image: Path
    seconds: float
    model: str
    reason: str
    fidelity: Mapping[str, float]
    unit_range: UnitRange
    warnings: tuple[str, ...] = ()
    uncertainty: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the entry of ``files`` in ``enhance --json``."""
        entry: dict[str, Any] = {
            "input": str(self.input),
            "output": str(self.output),
            "model": self.model,
            "reason": self.reason,
            "seconds": round(self.seconds, 4),
            "range": {
                "low": self.unit_range.low,
                "high": self.unit_range.high,
                "reason": self.unit_range.reason,
            },
            "fidelity": dict(self.fidelity),
            "warnings": list(self.warnings),
        }
        if self.uncertainty is not None:
            entry["uncertainty"] = str(self.uncertainty)
        return entry


class Listener:
    """Hears how a run goes; each method may be called from any thread."""

    def started(self, total: int) -> None:
        """Hear how many files will be worked on."""

    def progressed(self, path: Path, files: float) -> None:
        """Hear how many files' worth of the image that starts at ``path`` is done."""

    def written(
        self, results: Sequence[FileResult], image: Image, enhanced: Image
    ) -> None:
        """Hear that an image, of one file or a series, has its final names."""

    def failed(self, failure: Failure) -> None:
        """Hear that a file came to nothing."""


@dataclass(slots=True, kw_only=True)
class Summary:
    """A whole run.

    Attributes
    ----------
    device, precision, engine : str
        Where and how; several are joined by a comma.
    inputs : int
        Files found, readable or not; each slice of a series is one.
    written, skipped, failed : list
        What came of each.
    passed_over : dict
        What folders hold that is not taken: kind -> number of files.
    seconds : float
        Wall clock.
    error : str, code : str
        What ended the whole run early, if anything did.
    """

    device: str = ""
    precision: str = ""
    engine: str = ""
    inputs: int = 0
    written: list[FileResult] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    passed_over: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    code: str = ""

    @property
    def models(self) -> list[str]:
        """Models used, in alphabetical order."""
        return sorted({result.model for result in self.written})

    @property
    def warnings(self) -> list[str]:
        """What a reader of all outputs together must know."""
        return differing_depths(
            (one.input.name, round(log2(one.unit_range.high + 1)))
            for one in self.written
            if one.unit_range.guessed
        )

    def exit_code(self) -> int:
        """Return the process exit code: see `exit_code_of`."""
        return exit_code_of(self.failed, some_done=bool(self.written or self.skipped))

    def to_json(self) -> dict[str, Any]:
        """Return the summary in the documented shape of ``enhance --json``."""
        ended = {"error": self.error, "code": self.code} if self.error else {}
        document: dict[str, Any] = {
            "model": ",".join(self.models),
            "device": self.device,
            "precision": self.precision,
            "engine": self.engine,
            "inputs": self.inputs,
            "written": len(self.written),
            "skipped": len(self.skipped),
            "skipped_files": [skip.to_json() for skip in self.skipped],
            "failed": [failure.to_json() for failure in self.failed],
            "files": [result.to_json() for result in self.written],
            "passed_over": dict(self.passed_over),
            "warnings": self.warnings,
            "seconds": round(self.seconds, 3),
        }
        return document | ended


def differing_depths(guessed: Iterable[tuple[str, int]]) -> list[str]:
    """Warn where files of one run were taken for different depths.

    Parameters
    ----------
    guessed : iterable of (str, int)
        Name and bits of each file that does not tell its depth.
    """
    depths: dict[int, list[str]] = {}
    for name, bits in guessed:
        depths.setdefault(bits, []).append(name)
    if len(depths) < 2:
        return []
    parts = [
        f"{len(names)} as {bits} bits, {min(names)} for one"
        for bits, names in sorted(depths.items())
    ]
    return [
        "16-bit files were taken for different depths, each by its own largest "
        f"value ({'; '.join(parts)}): their outputs do not compare; "
        f"{spelled(bits=max(depths))} says the depth of all"
    ]
