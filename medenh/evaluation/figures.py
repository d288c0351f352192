"""The second half of a protocol's work on one picture: figures, and pictures kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from medenh import formats
from medenh.errors import MedenhError
from medenh.evaluation.degrading import IDENTITY, Prepared
from medenh.evaluation.failures import Failure, failure
from medenh.evaluation.measuring import describe_range, measure_image
from medenh.evaluation.pictures import keep_picture, middle_frame
from medenh.evaluation.regained import CLEAN
from medenh.formats.array import from_array
from medenh.formats.files import safe_output_path
from medenh.formats.like import placed_like
from medenh.formats.pairing import key_of
from medenh.metrics.registry import METRICS
from medenh.paths import portable_name
from medenh.types import Image, Modality

__all__ = ["DEGRADED", "REGION", "Figures", "measure"]

DEGRADED, REGION = "degraded", "region"  # folders of pictures that no row is called by


_LIKE = {"dicom": (".dcm", "basic"), "nifti": (".nii.gz", None)}


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one picture.

    Attributes
    ----------
    name : str
    rows : mapping
        Row -> metric -> figure.
    seconds : mapping
        Row -> time it took.
    data_range : str
    sha256 : str
        Of the clean picture's numbers as they were read.
    failed : tuple of Failure
    said : Modality
        What the file itself says that it shows.
    """

    name: str
    rows: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    data_range: str = ""
    sha256: str = ""
    failed: tuple[Failure, ...] = ()
    said: Modality = Modality.UNKNOWN


def measure(
    prepared: Prepared,
    *,
    metrics: Sequence[str],
    folder: Path | None,
    keep: Path | None,
) -> Figures:
    """Measure every row of a picture: against the clean one, as a rule.

    Metrics of fidelity compare with the degraded picture; of consistency that one with
    the output degraded again.

    Parameters
    ----------
    prepared : Prepared
    metrics : sequence of str
    folder : path or None
        Where the pictures of a report go.
    keep : path or None
        Where pictures are kept for the user: ``ROW/NAME.png``, what that cannot hold
        as DICOM, NIfTI or NPY; where not all of a picture is measured,
        ``region/NAME.png`` is 255 where it is.

    Raises
    ------
    OutputError
        A picture cannot be written.
    """
    clean = prepared.clean
    failed = list(prepared.failed)
    rows: dict[str, Mapping[str, float | None]] = {}
    if clean is None:
        return Figures(prepared.name, failed=tuple(failed))
    for row, image in prepared.outputs.items():
        try:
            rows[row] = _figures(image, clean, prepared, metrics)
        except MedenhError as error:
            failed.append(failure(error, prepared.name, by=row))
    for row, image in {CLEAN: clean, **prepared.outputs}.items():
        if folder is not None:
            keep_picture(folder, prepared.name, row, middle_frame(image))
        if keep is not None:
            folder_of_row = DEGRADED if row == IDENTITY else row
            _keep(keep, folder_of_row, prepared.name, image, prepared.origin)
    if keep is not None and prepared.region is not None:
        levels = prepared.region[..., None].astype(np.uint8) * np.uint8(255)
        mask = replace(from_array(levels), header=clean.header)  # turned like these
        _keep(keep, REGION, prepared.name, mask)
    return Figures(
        prepared.name,
        rows,
        prepared.seconds,
        describe_range(clean),
        prepared.sha256,
        tuple(failed),
        prepared.said,
    )


def _figures(
    image: Image, clean: Image, prepared: Prepared, metrics: Sequence[str]
) -> dict[str, float | None]:
    before, found = prepared.outputs[IDENTITY], dict[str, float | None]()
    for kind in dict.fromkeys(METRICS[name].kind for name in metrics):
        judged, other = image, clean if kind == "full-reference" else before
        names = [name for name in metrics if METRICS[name].kind == kind]
        if kind == "consistency":
            if prepared.forward is None:
                found |= dict.fromkeys(names)
                continue
            judged = prepared.forward(image)
        found |= measure_image(judged, other, names, region=prepared.region)
    return {name: found[name] for name in metrics}


def _keep(
    root: Path, row: str, name: str, image: Image, origin: Path | None = None
) -> None:
    """Write a picture as PNG where that holds it, else as its origin, or as NPY.

    What is black and white, and in what units, stands in the header of its origin:
    without it figures could not be had again. DICOM goes without its patient.
    """
    stem = f"{portable_name(row)}/{key_of(name)}"
    raster = image.frames == 1 and image.pixels.dtype in (np.uint8, np.uint16)
    if raster and not image.units:
        formats.write(image, safe_output_path(root, Path(f"{stem}.png")))
        return
    if origin is not None:
        with suppress(MedenhError):  # its header may be damaged
            whole = placed_like(image, [origin])
            ending, profile = _LIKE[whole.format]
            path = safe_output_path(root, Path(f"{stem}{ending}"))
            formats.write(whole, path, deidentify=profile)
            return
    formats.write(image, safe_output_path(root, Path(f"{stem}.npy")))
