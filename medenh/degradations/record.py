"""The record of a degradation: everything needed to make the same pixels again."""

from __future__ import annotations

from dataclasses import asdict, fields
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from medenh.degradations.operator import Domain, Operator
from medenh.errors import UsageError, first_problem
from medenh.types import Provenance

__all__ = ["FileEntry", "Framing", "Record", "StepRecord", "read_step", "write_step"]

_FOREIGN = (
    "Cofe-Net's own records are taken as --legacy-json, in Python by "
    "medenh.degradations.apply"
)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True)


class StepRecord(_Model):
    """One operator and its parameters."""

    op: str
    params: dict[str, Any]


class FileEntry(_Model):
    """A file: its relative name and the hash of its bytes.

    Of a NIfTI header and image pair the header is named, and both are hashed.
    """

    name: str
    sha256: str


class Framing(_Model):
    """Which part of the picture was worked on; pixel coordinates as (x, y).

    Attributes
    ----------
    method : str
        How the field was found: "hough", "rows", "box", "frame", or "mask" where the
        user gave one; "surround" beside a dark surround; "shown" where the picture is
        a cleaned square and its black surround shows the field; "cofe" where it was
        cleaned as Cofe-Net's program does.
    centre, radius : tuple of float, float
        Of the disc, in pixels of the picture before cropping.
    box : tuple of int
        left, top, width, height of the crop; it may be padded to a square.
    size : int or None
        Side that the square was resized to; None where it kept its own and was pasted
        back into the picture.
    finish : str
        "blend": the clean picture stays outside the field, by its weights.
        "multiply": everything is multiplied by the weights and truncated to 8 bits, as
        Cofe-Net's program does.
    """

    method: str
    centre: tuple[float, float]
    radius: float
    box: tuple[int, int, int, int]
    size: int | None = None
    finish: Literal["blend", "multiply"] = "blend"


class Record(_Model):
    """A degradation, replayable.

    Attributes
    ----------
    tool_version : str
        Version of medenh that wrote it.
    source, source_sha256 : str
        Relative name and hash of the clean file; empty for arrays.
    more_sources : tuple of FileEntry
        The other slices of a DICOM series, by position.
    output, output_sha256 : str
        Relative name of the degraded file, and hash of its bytes.
    more_outputs : tuple of FileEntry
        The other degraded files, where a series was written as slices.
    references : tuple of FileEntry
        The clean pictures written beside, one for each degraded file.
    label_masks : tuple of FileEntry
        The label mask written beside, where the user gave one: none or one.
    format : str
        What the files were written as, a key of `medenh.formats.EXTENSIONS`.
    deidentify : str
        Profile by which the files were de-identified; empty where they were not.
    mask_sha256 : str
        Hash of the file of the field of view, where the user gave one.
    label_mask_sha256 : str
        Hash of the file of the label mask, where the user gave one.
    parameters_sha256 : str
        Hash of another program's file of parameters, where they came from one.
    bits : int
        Bit depth that the user said, of a file that does not tell it; 0 without.
    modality, preset : str
        Kind of picture, name of the recipe.
    recipe_sha256 : str
        Hash of the recipe's file, where it is one of the user's own.
    severity : float or None
        In [0, 1]; None where parameters came from the whole range.
    seed, draw : int
        The user's seed and the number of the copy.
    size : int or None
        Long side the picture was resized to before; None where it kept its size.
    options : dict
        The recipe's own options, see `Recipe.options`.
    domain : str
        See `Scene.domain`.
    scale : tuple of two floats
        Native values (in the picture's units) that were 0 and 1 of the domain.
    framing : Framing or None
        Where only a part of the picture was worked on.
    eight_bit : bool
        Whether operators rounded to 8-bit levels.
    steps : tuple of StepRecord
        What was done, in order.
    metrics : dict
        psnr_in, ssim_in of the degraded picture against the clean one; None where
        undefined (equal pictures have no finite PSNR).
    """

    schema_: Literal["medenh.degradation/1"] = Field(
        default="medenh.degradation/1", alias="schema"
    )
    tool_version: str = ""
    source: str = ""
    source_sha256: str = ""
    more_sources: tuple[FileEntry, ...] = ()
    output: str = ""
    output_sha256: str = ""
    more_outputs: tuple[FileEntry, ...] = ()
    references: tuple[FileEntry, ...] = ()
    label_masks: tuple[FileEntry, ...] = ()
    format: str = ""
    deidentify: str = ""
    mask_sha256: str = ""
    label_mask_sha256: str = ""
    parameters_sha256: str = ""
    bits: int = Field(default=0, ge=0, le=16)
    modality: str = "unknown"
    preset: str
    recipe_sha256: str = ""
    severity: float | None = None
    seed: int = 0
    draw: int = 0
    size: int | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    domain: Domain = "display"
    scale: tuple[float, float] = (0.0, 1.0)
    framing: Framing | None = None
    eight_bit: bool = False
    steps: tuple[StepRecord, ...]
    metrics: dict[str, float | None] = Field(default_factory=dict)

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=True
    )

    def to_json(self) -> str:
        """Return the record as one line of JSON, numbers in full precision."""
        return self.model_dump_json(by_alias=True)

    def provenance(self) -> Provenance:
        """Return what an output says of its making."""
        parts = [f"seed={self.seed}", f"draw={self.draw}"]
        if self.severity is not None:
            parts.append(f"severity={1 + 4 * self.severity:g}")
        if self.size is not None:
            parts.append(f"size={self.size}")
        parts += [f"{name}={value}" for name, value in sorted(self.options.items())]
        if self.recipe_sha256:
            parts.append(f"recipe={self.recipe_sha256[:12]}")
        if self.mask_sha256:
            parts.append(f"mask={self.mask_sha256[:12]}")
        if self.parameters_sha256:
            parts.append(f"parameters={self.parameters_sha256[:12]}")
        options = " ".join(parts)
        return Provenance(self.preset, self.tool_version, "", options, verb="degrade")

    @classmethod
    def from_json(cls, text: str | bytes) -> Record:
        """Read a record.

        Raises
        ------
        UsageError
            Not JSON, or not a record of this schema; says which field.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            words = text if isinstance(text, str) else text.decode(errors="replace")
            foreign = '"params"' in words and '"schema"' not in words
            raise UsageError(
                f"not a degradation record: {first_problem(error)}",
                hint=_FOREIGN if foreign else "",
            ) from error


def write_step(operator: Operator) -> StepRecord:
    """Return an operator as a step of a record.

    Numbers take their declared types (44 in a field of floats is 44.0), so that a
    replay writes the same record again.
    """
    drawn = asdict(operator)  # type: ignore[call-overload]
    typed = _adapter(type(operator)).validate_python(drawn)
    return StepRecord(op=operator.name, params=_listed(asdict(typed)))  # type: ignore[call-overload]


def read_step(step: StepRecord, operators: dict[str, type[Operator]]) -> Operator:
    """Return the operator of a step.

    Raises
    ------
    UsageError
        Unknown operator, or parameters that are not its own.
    """
    if step.op not in operators:
        raise UsageError(
            f"the record names an unknown step {step.op!r}",
            hint="it may come from a later version of medenh",
        )
    operator = operators[step.op]
    strange = set(step.params) - {one.name for one in fields(operator)}  # type: ignore[arg-type]
    if strange:
        raise UsageError(f"step {step.op!r} of the record has no {strange.pop()!r}")
    try:
        return _adapter(operator).validate_python(step.params)
    except ValidationError as error:
        raise UsageError(
            f"step {step.op!r} of the record: {first_problem(error)}"
        ) from error


def _listed(value: Any) -> Any:
    """Return parameters with lists for tuples, as JSON gives them back."""
    if isinstance(value, dict):
        return {name: _listed(one) for name, one in value.items()}
    return (
        [_listed(one) for one in value] if isinstance(value, (list, tuple)) else value
    )


@cache
def _adapter(operator: type[Operator]) -> TypeAdapter[Operator]:
    return TypeAdapter(operator)
