"""Options that several verbs share: the same flag means the same everywhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from medenh.cli.console import quieten_logging

__all__ = [
    "Axis",
    "Bits",
    "Deidentify",
    "Device",
    "DryRun",
    "Engine",
    "Inputs",
    "Json",
    "Modality",
    "Model",
    "ModelModality",
    "Offline",
    "OnExists",
    "Output",
    "Precision",
    "Quiet",
    "Recursive",
    "Report",
    "Seed",
    "Verbose",
    "named_folder",
    "named_path",
    "optional",
]

# help says nothing of a default that is not there; typer 0.12 prints "[default: None]"
optional = partial(typer.Option, show_default=False)


def named_path(word: str) -> Path:
    """Return a path; a name that is empty would be the current folder."""
    if not word:
        raise typer.BadParameter("a name is empty; is a variable unset?")
    return Path(word)


def named_folder(word: str) -> Path:
    """Return the path of a folder to write; "-" would be one of that name."""
    if word == "-":
        raise typer.BadParameter("folders do not go through a pipe; name one")
    return named_path(word)


def _logging_of(quiet: bool) -> bool:
    """Show no warnings of the library either, where ``--quiet`` is given."""
    if quiet:
        quieten_logging()
    return quiet


Inputs = Annotated[
    list[Path],
    # one that may not be read costs itself alone, and is no wrong usage
    typer.Argument(
        help="Files or folders.",
        show_default=False,
        readable=False,
        parser=named_path,
        metavar="INPUTS...",
    ),
]
Output = Annotated[
    str | None,  # a path would lose the slash at the end, which says folder
    optional(
        "--output",
        "-o",
        help="Output file (its extension sets the format) or output folder.",
        metavar="PATH",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="Model id, alias or auto; see `medenh models list`."
    ),
]
Device = Annotated[
    str, typer.Option("--device", "-d", help="auto, cpu, cuda, cuda:1 or mps.")
]
Precision = Annotated[
    str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")
]
Engine = Annotated[str, typer.Option("--engine", help="auto, torch or openvino.")]
OnExists = Annotated[
    str,
    typer.Option(
        "--on-exists",
        help="If an output exists: error, skip, overwrite or rename.",
    ),
]
Report = Annotated[
    Path | None,
    optional("--report", help="Write an HTML page.", metavar="FILE.html"),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all random choices.")]
# the words of model cards, whose module takes too long to load; a test compares
_KINDS = "fundus, xray, ct, mri, dermoscopy, microscopy, endoscopy, ultrasound, nuclear"


Bits = Annotated[
    int | None,
    optional(
        min=8,
        max=16,
        help="Bit depth of 16-bit images that do not state it; without it, guessed "
        "from the largest value of each file.",
    ),
]


def _modality(text: str) -> Any:
    return optional("--modality", help=f"{text}.", metavar="WORD")


Modality = Annotated[
    str | None,
    _modality(f"What the images show: {_KINDS}; unknown ignores what the files say"),
]
ModelModality = Annotated[str | None, _modality(f"What the model is for: {_KINDS}")]
Deidentify = Annotated[
    str | None,
    optional(
        "--deidentify",
        metavar="basic",
        help="Remove what identifies the patient (DICOM PS3.15 Basic Profile).",
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive/--no-recursive", help="Search subfolders.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
]
Axis = Annotated[
    int | None,
    optional(min=0, max=2, help="NIfTI axis along which the slices are stacked."),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Never use the network, as with MEDENH_OFFLINE=1."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout.")
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", callback=_logging_of, help="Print only errors on stderr."
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print more detail on stderr.")
]
