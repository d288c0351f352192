"""The elements of a derived image: what must change, what is added, what goes.

PS3.3 C.7.6.1 (General Image), C.12.1 (SOP Common), C.7.6.16 (functional groups).
Everything not named here is the source's own.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    SecondaryCaptureImageStorage,
)

from medenh import __version__
from medenh.formats.dicom.dataset import keep_text, put_text, to_bytes
from medenh.formats.dicom.deidentify import deidentify
from medenh.formats.dicom.header import text
from medenh.formats.dicom.palette import PALETTE_TAGS
from medenh.formats.dicom.reader import DicomPart
from medenh.formats.dicom.uids import uid_of_hash
from medenh.types import Provenance, Storage

__all__ = ["derived", "file_meta_of"]

_LOSSY = {
    str(JPEGBaseline8Bit): "ISO_10918_1",
    str(JPEGExtended12Bit): "ISO_10918_1",
    str(JPEGLSNearLossless): "ISO_14495_1",
    str(JPEG2000): "ISO_15444_1",
    str(HTJ2K): "ISO_15444_15",
}
_PERHAPS_LOSSY = (str(JPEG2000), str(HTJ2K))  # reversible data too, if the source says
# True of the source's instance or pixels only
_STALE = (
    "LengthToEnd",  # retired; some programs stop reading there
    "InstanceCreationDate",
    "InstanceCreationTime",
    "InstanceCreatorUID",
    "IconImageSequence",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "HistogramSequence",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "DataSetTrailingPadding",
    "PixelDataProviderURL",
    "StorageMediaFileSetID",
    "StorageMediaFileSetUID",
)
_ENHANCED = (
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.3",
    "1.2.840.10008.5.1.4.1.1.12.1.1",
    "1.2.840.10008.5.1.4.1.1.12.2.1",
    "1.2.840.10008.5.1.4.1.1.128.1",
    "1.2.840.10008.5.1.4.1.1.130",
)
# Of how an ORIGINAL enhanced image was acquired, what dciodvfy calls an error in a
# DERIVED one. Deviation: PS3.3 C.8.13.4 and C.7.6.18 let it stay; the source image,
# which is referenced, has it.
_ORIGINAL_ONLY = (
    "BulkMotionCompensationTechnique",
    "CardiacRRIntervalSpecified",
    "IntervalsAcquired",
    "IntervalsRejected",
    "MRAcquisitionType",
    "PulseSequenceName",
)


def derived(
    part: DicomPart,
    frames: np.ndarray[Any, Any],
    storage: Storage,
    how: Provenance | None,
    *,
    deidentified: bool = False,
) -> Dataset:
    """Return the data set of a derived image, without its pixel data.

    Parameters
    ----------
    part : DicomPart
        The source.
    frames : array, shape (frames, rows, columns, channels)
        The new stored numbers.
    storage : Storage
    how : Provenance or None
    deidentified : bool
        Nothing of the source that names the patient is in it; see `deidentify`.
    """
    dataset = copy.deepcopy(part.dataset)
    keep_text(dataset)
    if deidentified:
        deidentify(dataset)
    source = (text(dataset, "SOPClassUID"), text(dataset, "SOPInstanceUID"))
    if not source[0]:  # broken files; nothing can be written without a class
        told = dataset.file_meta.get("MediaStorageSOPClassUID")
        dataset.SOPClassUID = UID(str(told or SecondaryCaptureImageStorage))
    if source[0] in _ENHANCED:
        _delete(dataset, _ORIGINAL_ONLY)
    _delete(dataset, _STALE)
    for tag in [tag for tag in dataset.keys() if tag.group < 0x0008]:  # noqa: SIM118
        del dataset[tag]  # commands and file meta that strayed into the data set
    _set_common_uids(dataset, frames, how)
    _set_image_type(dataset)
    _set_pixel_module(dataset, frames, storage)
    _set_lossy(dataset, part)
    _add_description(dataset, how)
    _add_source(dataset, *source)
    _add_equipment(dataset, how)
    dataset.SOPInstanceUID = _uid_of_content(dataset, frames)
    return dataset


def file_meta_of(dataset: Dataset) -> FileMetaDataset:
    """Return our own file meta information for a derived image."""
    from medenh import __version__

    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(text(dataset, "SOPClassUID"))
    meta.MediaStorageSOPInstanceUID = UID(text(dataset, "SOPInstanceUID"))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _derived_uid("", "implementation", None)
    meta.ImplementationVersionName = f"MEDENH_{__version__}"[:16]
    return meta


def _delete(dataset: Dataset, keywords: Iterable[str]) -> None:
    for keyword in keywords:
        if keyword in dataset:
            del dataset[keyword]


def _set_common_uids(
    dataset: Dataset, frames: np.ndarray[Any, Any], how: Provenance | None
) -> None:
    """Set the UIDs that files share: they must not follow from one file's pixels."""
    series = text(dataset, "SeriesInstanceUID") or text(dataset, "SOPInstanceUID")
    if not series:  # broken, but pixels can tell two of them apart
        series = hashlib.sha256(_little_endian(frames).data).hexdigest()
    dataset.SeriesInstanceUID = _derived_uid(series, "series", how)
    parent = text(dataset, "ConcatenationUID")
    if parent:
        dataset.ConcatenationUID = _derived_uid(parent, "concatenation", how)


def _derived_uid(source: str, kind: str, how: Provenance | None) -> UID:
    """Return a UID that follows from a source's UID, its kind, and what was done."""
    words = ["medenh", kind, source]
    for step in _steps(how):
        settings = (step.version, step.weights_sha256, step.options)
        words += [step.verb, step.model, *settings]
    return uid_of_hash(hashlib.sha256("\0".join(words).encode()).digest())


def _uid_of_content(dataset: Dataset, frames: np.ndarray[Any, Any]) -> UID:
    """Return a UID that follows from all that a file holds, its source's UID too.

    What was done does not tell all that pixels depend on: neighbouring slices, the
    machine. One UID must never name two objects (PS3.5 9).
    """
    # a copy does not know how its elements were encoded, and encodes them anew
    digest = hashlib.sha256(to_bytes(Dataset(dataset)))
    digest.update(_little_endian(frames).data)
    return uid_of_hash(digest.digest())


def _little_endian(frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(frames, dtype=frames.dtype.newbyteorder("<"))


def _steps(how: Provenance | None) -> tuple[Provenance, ...]:
    return () if how is None else how.steps


def _set_image_type(dataset: Dataset) -> None:
    values = _as_derived(dataset.get("ImageType"))
    dataset.ImageType = values
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    framed = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    # each kind of object has it in a sequence of its own
    described = [
        item
        for group in [*shared, *framed]
        for element in group
        if element.VR == "SQ" and not element.tag.is_private
        for item in element.value
    ]
    for item in described:
        if "FrameType" in item:
            item.FrameType = _as_derived(item.get("FrameType"))


def _as_derived(value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else list(value or [])
    return (
        ["DERIVED", *(str(one) for one in found[1:])]
        if found[1:]
        else [
            "DERIVED",
            "SECONDARY",
        ]
    )


def _set_pixel_module(
    dataset: Dataset, frames: np.ndarray[Any, Any], storage: Storage
) -> None:
    _, rows, columns, channels = frames.shape
    bits = int(storage.maximum - storage.minimum + 1).bit_length() - 1
    dataset.SamplesPerPixel = channels
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = 8 * frames.dtype.itemsize
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(frames.dtype.kind == "i")
    if channels == 3:
        dataset.PhotometricInterpretation = "RGB"
        dataset.PlanarConfiguration = 0
        _delete(dataset, PALETTE_TAGS)
    else:
        _delete(dataset, ("PlanarConfiguration",))
    _set_extremes(dataset, frames)


def _set_extremes(dataset: Dataset, frames: np.ndarray[Any, Any]) -> None:
    vr = "SS" if frames.dtype.kind == "i" else "US"
    extremes = {
        "SmallestImagePixelValue": frames.min(),
        "LargestImagePixelValue": frames.max(),
    }
    for keyword, value in extremes.items():
        if keyword in dataset:
            del dataset[keyword]
            dataset.add_new(keyword, vr, int(value))


def _set_lossy(dataset: Dataset, part: DicomPart) -> None:
    """Say that pixels have been through lossy compression; never unsay it."""
    method = _LOSSY.get(part.transfer_syntax)
    told = text(dataset, "LossyImageCompression")
    if method is None or told == "01":
        return
    if part.transfer_syntax in _PERHAPS_LOSSY and told == "00":
        return
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = f"{part.compression:.4g}"
    dataset.LossyImageCompressionMethod = method


def _sentence(how: Provenance | None) -> str:
    if how is None:
        written = f"Written by medenh {__version__}"
        return f"{written}; what changed the pixels, if anything, is not recorded"
    if how.verb == "change":
        return "Changed, but by no model or recipe of medenh"
    words = [f"{how.verb.capitalize()}d by medenh {__version__}"]
    if how.model:
        kind = "recipe" if how.verb == "degrade" else "model"
        words.append(f"{kind} {how.model} {how.version}".strip())
    if how.weights_sha256:
        words.append(f"weights sha256 {how.weights_sha256}")
    if how.options:
        words.append(f"options {how.options}")
    return ", ".join(words)


def _add_description(dataset: Dataset, how: Provenance | None) -> None:
    encodings = convert_encodings(dataset.get("SpecificCharacterSet"))
    ours = [
        encode_string(_sentence(step), encodings) for step in _steps(how) or (None,)
    ]
    before = _encoded(dataset, "DerivationDescription", encodings)
    told = b"; before that: ".join([*ours, *([before] if before else [])])
    if len(told) > 1024:
        told = told[:1024].rpartition(b" ")[0]  # never within a character
    _put(dataset, "DerivationDescription", told)
    label = _encoded(dataset, "SeriesDescription", encodings)
    done = [f"{step.verb}d {step.model}" for step in reversed(_steps(how))]
    for words in done or ["written by medenh"]:
        longer = b" ".join([label, encode_string(words, encodings)]).strip()
        if len(decode_bytes(longer, encodings, set())) <= 64:
            label = longer
            _put(dataset, "SeriesDescription", label)


def _encoded(dataset: Dataset, keyword: str, encodings: list[str]) -> bytes:
    """Return a text element as it is encoded, stripped."""
    value = dataset.get(keyword)
    if not isinstance(value, bytes):
        value = encode_string(text(dataset, keyword), encodings)
    return value.strip(b" \0")


def _put(dataset: Dataset, keyword: str, value: bytes) -> None:
    tag = Tag(keyword)
    put_text(dataset, tag, dictionary_VR(tag), value)


def _code(value: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = meaning
    return Sequence([item])


def _add_source(dataset: Dataset, sop_class: str, sop_instance: str) -> None:
    if not sop_class or not sop_instance:
        return
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = sop_instance
    item.PurposeOfReferenceCodeSequence = _code(
        "121322", "Source image for image processing operation"
    )
    older = list(dataset.get("SourceImageSequence") or [])
    dataset.SourceImageSequence = Sequence([item, *older])


def _add_equipment(dataset: Dataset, how: Provenance | None) -> None:
    ours = [step for step in reversed(_steps(how)) if step.verb != "change"]
    items = [_equipment(step) for step in ours or (None,)]
    older = list(dataset.get("ContributingEquipmentSequence") or [])
    dataset.ContributingEquipmentSequence = Sequence([*older, *items])


def _equipment(how: Provenance | None) -> Dataset:
    item = Dataset()
    item.Manufacturer = "medenh"
    model, version = ("", "") if how is None else (how.model, how.version)
    item.ManufacturerModelName = (model or "medenh")[:64]
    item.SoftwareVersions = [one[:64] for one in (__version__, version) if one]
    item.ContributionDescription = _sentence(how)[:1024]
    item.PurposeOfReferenceCodeSequence = _code("109102", "Processing Equipment")
    return item
