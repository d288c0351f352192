"""From an enhanced image to its files: what made it, whether it fits, the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medenh.errors import OutputError, UnsupportedError
from medenh.formats import array, dicom, nifti_new, readers, writers
from medenh.formats.maps import write_map
from medenh.formats.viewing import viewing_of
from medenh.formats.writers import check_deidentifiable
from medenh.pipeline.journal import (
    Fingerprint,
    Journal,
    OutputRecord,
    Record,
    prints_of,
    with_partners,
)
from medenh.pipeline.loading import Prepared
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.reading import Reading
from medenh.pipeline.uncertainty import TOP
from medenh.pipeline.work import WorkItem
from medenh.types import FloatArray, Image, Modality, Provenance

__all__ = [
    "ONLY_FROM_DICOM",
    "Ledger",
    "check_fits",
    "losses",
    "lost_meaning",
    "provenance_of",
    "remaining_names",
]

ONLY_FROM_DICOM = (
    "only an image read from DICOM can be written as DICOM, at the size it had"
)
_OTHER_FORMAT = "choose another output format"
_SINGLE_FRAME = ("png", "jpeg", "bmp")


def provenance_of(prepared: Prepared, options: EnhanceOptions) -> Provenance:
    """Return what an output says of its making."""
    card = prepared.card
    weights = card.weights.sha256 if card.weights is not None else ""
    runner = prepared.runner
    settings = (
        f"{options.pixel_settings} engine={runner.engine} precision={runner.precision}"
    )
    return Provenance(card.id, card.version, weights, settings)


def check_fits(image: Image, targets: Sequence[Path], kind: str) -> None:
    """Pass in silence if targets of a format can hold an image.

    Raises
    ------
    UnsupportedError
        It cannot; better known before the model runs than after.
    """
    if kind == image.format:
        return
    problem, hint = _misfit(image, kind, len(targets))
    if problem:
        raise UnsupportedError(problem, path=image.source, hint=hint)


def losses(
    image: Image, kind: str, map_format: str = ""
) -> tuple[list[str], list[str]]:
    """Return what an output, or a map beside it, does not say as its input does.

    Parameters
    ----------
    image : Image
        The input.
    kind, map_format : str
        Formats of the output and of the map; "" is the input's own, and no map.

    Returns
    -------
    wrong : list of str
        What it would tell wrong, which ``strict`` refuses.
    lost : list of str
        What else a reader of it must know.
    """
    lost = [*_jpeg_loss(image, kind), *_lost_turn(image, kind)]
    lost += [*writers.lost_numbers(image, kind), *writers.unsized(image, kind)]
    lost += readers.said_of(image)
    return lost_meaning(image, kind, map_format), lost


def _jpeg_loss(image: Image, kind: str) -> list[str]:
    """Return a warning where a JPEG is made of what was none; else nothing."""
    if kind != "jpeg" or image.format == "jpeg":
        return []
    return ["JPEG is lossy and holds 8 bits: a name in .png or .tif keeps more"]


def _lost_turn(image: Image, kind: str) -> list[str]:
    """Return a warning where the way up would be lost; else nothing."""
    if kind in ("png", "jpeg", "tiff"):
        return []
    turned = viewing_of(image).orientation
    if turned == 1:
        return []
    return [f"stands turned: its orientation ({turned}) is not kept in {kind.upper()}"]


def lost_meaning(image: Image, kind: str, map_format: str = "") -> list[str]:
    """Return what an output, or a map beside it, would tell wrong; else nothing."""
    return readers.lost_meaning(image, kind or image.format, map_kind=map_format)


def remaining_names(image: Image, profile: str | None) -> list[str]:
    """Return what may still name the patient of a de-identified image.

    Raises
    ------
    UnsupportedError
        It cannot be de-identified; better known before the model runs than after.
    """
    if profile is None:
        return []
    check_deidentifiable(image.format, image.source, profile)
    told = dicom.burned_in_text(image)
    if told == "NO":
        return []
    if told == "YES":
        return ["text is burned into its pixels (BurnedInAnnotation YES): it stays"]
    return ["nothing says that its pixels hold no text (no BurnedInAnnotation): look"]


def _misfit(image: Image, kind: str, count: int) -> tuple[str, str]:
    """Return why files of a format cannot hold an image, and what to do; or "" twice.

    In the words of the writers, which refuse the same.
    """
    found = "", ""
    if kind == "dicom":
        found = ONLY_FROM_DICOM, _OTHER_FORMAT
    elif kind in _SINGLE_FRAME and image.frames != count:
        what = f"{image.frames} frames do not fit into one {kind.upper()} file"
        found = what, "write TIFF, NIfTI or NPY"
    elif kind == "jpeg" and image.alpha is not None:
        found = "JPEG cannot keep the alpha channel", "write PNG or TIFF"
    elif kind == "nifti":
        found = nifti_new.misfit(image)
    elif kind == "npy" and (what := array.misfit(image)):
        found = what, "write DICOM or TIFF"
    elif kind == "tiff" and image.unit_range.inverted and image.channels > 1:
        found = "TIFF has no inverted colour", _OTHER_FORMAT
    return found


@dataclass(frozen=True, slots=True)
class Ledger:
    """Writes outputs, and into the journal that it did.

    Attributes
    ----------
    journal : Journal or None
        None for a single named file.
    root : path or None
        The output folder.
    request : str
        Hash of what was asked.
    deidentify : str or None
        Profile of de-identification.
    """

    journal: Journal | None
    root: Path | None
    request: str
    deidentify: str | None = None

    def write(
        self,
        reading: Reading,
        enhanced: Image,
        made_by: Provenance,
        computation: str,
        spread: FloatArray | None = None,
        modality: Modality = Modality.UNKNOWN,
    ) -> None:
        """Write an enhanced image, and its map of uncertainty, where its item says.

        The modality is what decided on the model.

        Raises
        ------
        MedenhError
            It cannot be written, or the journal cannot.
        """
        item = reading.item
        _refuse_newcomers(item)
        if self.journal is not None:
            self.journal.begin(item.origins(reading.prints), self.request)
        try:
            writers.write(
                enhanced,
                item.targets,
                format=item.kind or None,
                provenance=made_by,
                deidentify=self.deidentify,
            )
        except UnsupportedError as error:
            # it is about the image, which users know by its input's name
            error.path = item.path
            raise
        if spread is not None:
            write_map(spread, enhanced, item.maps, format=item.map_format, top=TOP)
        if self.journal is None or self.root is None:
            return
        root = self.root
        self.journal.add(
            Record(
                source=Fingerprint.joined(reading.prints),
                request=self.request,
                model=made_by.model,
                version=made_by.version,
                weights_sha256=made_by.weights_sha256,
                modality=modality.value,
                outputs=tuple(
                    OutputRecord.of(path, root)
                    for path in (*with_partners(item.targets), *item.maps)
                ),
                computation=computation,
                sources=tuple(path.name for path in item.sources),
                left_out=tuple(path.name for path in item.left_out),
                damaged={
                    path.name: found for path, found in prints_of(item.damaged).items()
                },
            )
        )


def _refuse_newcomers(item: WorkItem) -> None:
    """Refuse to replace what was not there when the run was planned."""
    there = [] if item.replaces else [one for one in item.outputs if one.exists()]
    if there:
        raise OutputError(
            "has appeared since this run began: another run writes here too",
            path=there[0],
            hint="when that has ended, give the same command again",
        )
