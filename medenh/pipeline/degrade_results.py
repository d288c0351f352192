"""What came of a run of `degrade`: for the JSON, the summary line and the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from medenh.pipeline.results import Failure, Skip, differing_depths, exit_code_of

if TYPE_CHECKING:
    from medenh.degradations import Record

__all__ = ["DegradeListener", "DegradeSummary", "Degraded"]


@dataclass(frozen=True, slots=True)
class Degraded:
    """A degraded picture.

    Attributes
    ----------
    input, output : path
        First of its sources and of its files.
    record : Record
    warnings : tuple of str
    guessed_bits : int
        Depth that it was taken for by its largest value; 0 where that is no guess.
    """

    input: Path
    output: Path
    record: Record
    warnings: tuple[str, ...] = ()
    guessed_bits: int = 0


class DegradeListener(Protocol):
    """Hears how a run goes."""

    def started(self, total: int) -> None:
        """Hear how many pictures will be made."""

    def finished(self, path: Path) -> None:
        """Hear that one was made of a file, or could not be."""


@dataclass(slots=True, kw_only=True)
class DegradeSummary:
    """A whole run.

    Attributes
    ----------
    recipe : str
        Names of the recipes, joined by a comma.
    seed : int
    inputs : int
        Files found, readable or not; each slice of a series is one.
    written : list of Degraded
        In the order of the inputs; a series is one.
    skipped, failed : list
    not_made : int
        Pictures that were asked for and could not be made; a file that failed stands
        for one of each recipe and copy.
    passed_over : dict
        What folders hold that is not taken: kind -> number of files.
    seconds : float
        Wall clock.
    error, code : str
        What ended the whole run early, if anything did.
    """

    recipe: str = ""
    seed: int = 0
    inputs: int = 0
    written: list[Degraded] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    not_made: int = 0
    passed_over: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    code: str = ""

    def fail(self, failure: Failure) -> None:
        """Add a failure, once for each file and reason."""
        known = {(one.path, one.reason) for one in self.failed}
        if (failure.path, failure.reason) not in known:
            self.failed.append(failure)

    @property
    def warnings(self) -> list[str]:
        """What a reader of all outputs together must know."""
        return differing_depths(
            (one.input.name, one.guessed_bits)
            for one in self.written
            if one.guessed_bits
        )

    def mean_psnr(self) -> float | None:
        """Return the mean PSNR of doing nothing, of the pictures that have one."""
        scores = [one.record.metrics.get("psnr_in") for one in self.written]
        known = [score for score in scores if score is not None]
        return sum(known) / len(known) if known else None

    def exit_code(self) -> int:
        """Return the process exit code: see `exit_code_of`."""
        return exit_code_of(self.failed, some_done=bool(self.written or self.skipped))

    def to_json(self) -> dict[str, Any]:
        """Return the summary in the documented shape of ``degrade --json``."""
        document: dict[str, Any] = {
            "recipe": self.recipe,
            "seed": self.seed,
            "inputs": self.inputs,
            "written": len(self.written),
            "skipped": len(self.skipped),
            "skipped_files": [skip.to_json() for skip in self.skipped],
            "failed": [failure.to_json() for failure in self.failed],
            "not_made": self.not_made,
            "passed_over": dict(self.passed_over),
            "files": [
                {
                    "input": str(one.input),
                    "output": str(one.output),
                    "record": one.record.model_dump(mode="json", by_alias=True),
                    "psnr_in": one.record.metrics.get("psnr_in"),
                    "ssim_in": one.record.metrics.get("ssim_in"),
                    "warnings": list(one.warnings),
                }
                for one in self.written
            ],
            "warnings": self.warnings,
            "seconds": round(self.seconds, 3),
        }
        if self.error:
            document |= {"error": self.error, "code": self.code}
        return document
