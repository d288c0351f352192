"""What a DICOM file promises: enough to group a series and to refuse a bomb."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, ImplicitVRLittleEndian

from medenh.errors import OverBudgetError, UnreadableError, UnsupportedError
from medenh.formats import files
from medenh.formats.dicom.dataset import load
from medenh.formats.limits import DEFAULT, Limits

__all__ = [
    "DicomHeader",
    "Layout",
    "functional_groups",
    "layout_of",
    "no_magnitude",
    "no_pixels",
    "read_header",
    "slice_position",
]

_RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
_SEGMENTATIONS = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
)
_DICOMDIR = "1.2.840.10008.1.3.10"
# Each file of them is a plane of the patient (PS3.3 C.7.6.2)
_SLICES = (
    "1.2.840.10008.5.1.4.1.1.2",  # CT
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.128",  # PET
)
# They have pixels, but describe pictures beside them.
_NO_PICTURES = (*_SEGMENTATIONS, _RT_DOSE, _DICOMDIR)
_PICTURES_BY_OTHER_NAMES = (
    "1.2.840.10008.5.1.4.1.1.6.2",  # enhanced ultrasound volume
    "1.2.840.10008.5.1.4.1.1.30",  # parametric map
    "1.2.840.10008.5.1.4.1.1.77.1.5.8",  # B-scans of optical coherence tomography
    "1.2.840.10008.5.1.4.1.1.81.1",  # thickness of the retina
    "1.2.840.10008.5.1.4.1.1.82.1",  # topography of the cornea
)

FAR = 1e9  # mm, a cosine or a place in a table: no true one is beyond
_MR_FRAME_TYPE = "MRImageFrameTypeSequence"
# By ImageType and FrameType from the third value on (PS3.3 C.8.3.1.1.1, C.8.13.3.1.1,
# and words of makers) and ComplexImageComponent (C.8.13.3.1.2)
_NO_MAGNITUDES = {
    "P": "phases", "PHASE": "phases", "PHASE MAP": "phases",
    "PHASE SUBTRACT": "phases", "VELOCITY MAP": "velocities",
    "R": "real parts", "REAL": "real parts",
    "I": "imaginary parts", "IMAGINARY": "imaginary parts",
    "ADC": "ADC maps", "EADC": "eADC maps", "EXP": "eADC maps",
    "DIFFUSION MAP": "diffusion maps", "TENSOR": "tensors",
    "FA": "anisotropy maps", "DIFFUSION ANISO": "anisotropy maps",
    "T1 MAP": "T1 maps", "T2 MAP": "T2 maps", "T2 STAR MAP": "T2* maps",
    "R1": "R1 maps", "R1 MAP": "R1 maps", "R2": "R2 maps", "R2 MAP": "R2 maps",
    "R2 STAR": "R2* maps", "R2 STAR MAP": "R2* maps",
    "DENSITY MAP": "density maps", "RHO": "density maps",
    "QMAP": "quantitative maps", "MULTI QMAP": "quantitative maps",
    "QUANTITY": "quantitative maps", "METABOLITE MAP": "metabolite maps",
    "FAT FRACTION": "fat fractions", "FF": "fat fractions",
    "WATER FRACTION": "water fractions", "FIELD MAP": "field maps",
    "B0 MAP": "field maps", "B1 MAP": "B1 maps", "FLIP ANGLE MAP": "B1 maps",
    "CBF": "CBF maps", "RCBF": "CBF maps", "RELCBF": "CBF maps",
    "CBV": "CBV maps", "RCBV": "CBV maps", "RELCBV": "CBV maps",
    "MTT": "MTT maps", "RELMTT": "MTT maps", "TTP": "TTP maps", "TMAX": "Tmax maps",
    "PBP": "perfusion maps", "NEI": "perfusion maps", "OEF": "perfusion maps",
    "RCMRO2": "perfusion maps", "KTRANS": "perfusion maps", "KEP": "perfusion maps",
    "T TEST": "statistics", "TTEST": "statistics", "Z SCORE": "statistics",
    "R COEFFICIENT": "statistics", "SNR MAP": "statistics",
    "UNI": "MP2RAGE ratios",
}  # fmt: skip
# As fourth value, the contrast derived; as third one they are what the scan was for
_DERIVED = {"TEMPERATURE": "temperatures", "VELOCITY": "velocities"}
# Some write "T2_STAR_MAP" and "T2* map", GE "rCBF Basic" and "OEF Model Based"
_SPELLED = str.maketrans({"_": " ", "*": " STAR"})
_WAYS = (" BASIC", " MODEL BASED")
_GE_WORDS = {1: "P", 2: "R", 3: "I"}  # of (0043,102F), where ImageType says no word


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of one file lie.

    Attributes
    ----------
    frames, rows, columns, samples : int
    bits_allocated, bits_stored, high_bit : int
    signed : bool
    photometric : str
        Photometric interpretation as stored.
    """

    frames: int
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    @property
    def voxels(self) -> int:
        """Rows times columns times frames."""
        return self.frames * self.rows * self.columns


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """What discovery needs to group files into series.

    Attributes
    ----------
    path : path
    is_image : bool
        False where there is nothing to read, and of segmentations and doses.
    claims_image : bool
        Its kind of object has pixels: without them it is damaged. False for reports,
        plans, presentation states, directories and the like.
    is_slice : bool
        Its kind of object is a plane of the patient: CT, MR and PET of one frame.
    series_uid, modality : str
    no_magnitude : str
        What it holds in place of magnitudes, where it is MR of one frame: see the
        function.
    transfer_syntax : str
        UID of the transfer syntax.
    rows, columns, frames, samples, bits_stored : int
        Zero where the file has no picture.
    signed : bool
    photometric : str
    position : float or None
        Distance of the slice along its normal, in mm.
    orientation : tuple of float or None
        Direction cosines of the rows and columns.
    instance_number : int or None
    """

    path: Path
    is_image: bool
    claims_image: bool
    is_slice: bool
    series_uid: str
    modality: str
    no_magnitude: str
    transfer_syntax: str
    rows: int
    columns: int
    frames: int
    samples: int
    bits_stored: int
    signed: bool
    photometric: str
    position: float | None
    orientation: tuple[float, ...] | None
    instance_number: int | None

    @property
    def series_key(self) -> tuple[Any, ...]:
        """Files with equal keys can be read as one volume.

        A file of several frames, or without series UID, or a lone kind of picture,
        stands for itself.
        """
        if self.frames != 1 or not self.series_uid or not self.is_image:
            return (str(self.path),)
        turn = None
        if self.orientation is not None:
            turn = tuple(round(cosine, 3) for cosine in self.orientation)
        return (
            self.series_uid,
            self.rows,
            self.columns,
            self.samples,
            self.bits_stored,
            self.signed,
            self.photometric,
            self.no_magnitude,
            turn,
        )


def read_header(path: Path, *, limits: Limits = DEFAULT) -> DicomHeader:
    """Return what a DICOM file says about itself, without its pixels."""
    try:
        with load(path, limits) as source:
            dataset = source.parse(pixels=False)
            _refuse_nonsense(dataset, path)
            return _header(dataset, path)
    except MemoryError:
        raise OverBudgetError("its header fills the memory", path=path) from None


def _header(dataset: Dataset, path: Path) -> DicomHeader:
    frames = integer(dataset, "NumberOfFrames", 1)
    return DicomHeader(
        path=path,
        is_image="Rows" in dataset and text(dataset, "SOPClassUID") not in _NO_PICTURES,
        claims_image=_claims_image(dataset),
        is_slice=text(dataset, "SOPClassUID") in _SLICES,
        series_uid=text(dataset, "SeriesInstanceUID"),
        modality=text(dataset, "Modality"),
        no_magnitude=no_magnitude(dataset) if frames == 1 else "",
        transfer_syntax=str(transfer_syntax(dataset)),
        rows=integer(dataset, "Rows", 0),
        columns=integer(dataset, "Columns", 0),
        frames=frames if "Rows" in dataset else 0,
        samples=integer(dataset, "SamplesPerPixel", 1),
        bits_stored=integer(dataset, "BitsStored", 0),
        signed=integer(dataset, "PixelRepresentation", 0) == 1,
        photometric=text(dataset, "PhotometricInterpretation"),
        position=slice_position(dataset),
        orientation=numbers(dataset, "ImageOrientationPatient", 6),
        instance_number=integer(dataset, "InstanceNumber", None),
    )


def _claims_image(dataset: Dataset) -> bool:
    """Tell whether objects of its SOP class have pixels."""
    told = dataset.file_meta.get("MediaStorageSOPClassUID", "")
    sop_class = text(dataset, "SOPClassUID") or str(told)
    name = UID(sop_class).name
    return "Image Storage" in name or sop_class in _PICTURES_BY_OTHER_NAMES


def text(dataset: Dataset, keyword: str) -> str:
    """Return a single-valued text element, stripped, or ""."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def is_tiled(dataset: Dataset) -> bool:
    """Tell whether frames are parts of a larger plane (PS3.3 C.8.12.4.1)."""
    return any(
        integer(dataset, f"TotalPixelMatrix{whole}", 0) > integer(dataset, part, 0)
        for whole, part in (("Rows", "Rows"), ("Columns", "Columns"))
    )


def integer(dataset: Dataset, keyword: str, default: Any) -> Any:
    """Return a whole number, or the default where there is none to be had."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return default
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return default


def numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return a fixed count of numbers below `FAR`, or None."""
    value = dataset.get(keyword)
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        found = tuple(float(one) for one in value)
    except (TypeError, ValueError, OverflowError):
        return None
    good = len(found) == count and all(abs(one) < FAR for one in found)
    return found if good else None


def slice_position(dataset: Dataset) -> float | None:
    """Return how far along its own normal a slice lies, in mm, or None."""
    place = numbers(dataset, "ImagePositionPatient", 3)
    turn = numbers(dataset, "ImageOrientationPatient", 6)
    if place is None or turn is None:
        return None
    return float(np.dot(np.cross(turn[:3], turn[3:]), place))


def no_magnitude(dataset: Dataset) -> str:
    """Return what an MR image, or some of its frames, holds in place of magnitudes.

    Returns
    -------
    str
        "phases", "real parts", "ADC maps", "T1 maps" and the like; empty where nothing
        of it is told. Noise of phases and parts goes up and down about the true value,
        also of one near the darkest, and phases leap from one end to the other besides;
        noise of maps is what their fit made of it.
    """
    if text(dataset, "Modality") != "MR":
        return ""
    for item in (dataset, *functional_groups(dataset, _MR_FRAME_TYPE, some=True)):
        types = item.get("ImageType") or item.get("FrameType")
        told = [_plain(one) for one in types] if isinstance(types, MultiValue) else []
        part = _plain(text(item, "ComplexImageComponent"))
        words = (*told[2:], part, _word_of_ge(item))
        kinds = [_NO_MAGNITUDES.get(word, "") for word in words]
        kinds += [_DERIVED.get(word, "") for word in told[3:4]]
        if found := next(filter(None, kinds), ""):
            return found
    return ""


def _plain(value: Any) -> str:
    """Return a word of ImageType as `_NO_MAGNITUDES` spells it."""
    word = " ".join(str(value).upper().translate(_SPELLED).split())
    for way in _WAYS:
        word = word.removesuffix(way)
    return word


def _word_of_ge(dataset: Dataset) -> str:
    """Return what a private element of GE's scanners says in place of ImageType."""
    try:
        value = dataset.private_block(0x0043, "GEMS_PARM_01")[0x2F].value
    except KeyError:
        return ""
    return _GE_WORDS.get(value, "") if isinstance(value, int) else ""


def functional_groups(
    dataset: Dataset, keyword: str, *, some: bool = False
) -> list[Dataset]:
    """Return the items of one functional group: shared, or one for each frame.

    Empty where the file has none. Where it has it for some frames only it is empty too,
    or with ``some`` has theirs.
    """
    for item in dataset.get("SharedFunctionalGroupsSequence") or []:
        if item.get(keyword):
            return [item.get(keyword)[0]]
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    found = [item.get(keyword)[0] for item in frames if item.get(keyword)]
    return found if some or len(found) == len(frames) else []


def transfer_syntax(dataset: Dataset) -> UID:
    """Return the transfer syntax, guessed from the encoding where it is not said."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    if named:
        return UID(str(named))
    implicit, little = dataset.original_encoding
    if implicit is False:
        return UID("1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2")
    return ImplicitVRLittleEndian


def no_pixels(path: Path) -> UnreadableError:
    """Return the error of a picture's object without pixels.

    Where a file ends between two elements nothing tells whether it is cut short.
    """
    hint = f"if it should, it was cut short: {files.COPY_AGAIN}"
    return UnreadableError("holds no pixel data", path=path, hint=hint)


def _refuse_nonsense(dataset: Dataset, path: Path) -> None:
    """With force=True anything parses; a file without SOP class is no DICOM object."""
    if "SOPClassUID" not in dataset and "Rows" not in dataset:
        if dataset.file_meta.get("MediaStorageSOPClassUID"):
            return
        raise UnreadableError("holds no DICOM object", path=path, hint=files.COPY_AGAIN)


def layout_of(dataset: Dataset, path: Path) -> Layout:
    """Return how the pixels lie, or say why they cannot be enhanced.

    Raises
    ------
    UnsupportedError
        A valid object that is no picture.
    UnreadableError
        The description of the pixels is missing or contradicts itself.
    """
    _refuse_nonsense(dataset, path)
    _refuse_non_pictures(dataset, path)
    layout = Layout(
        frames=integer(dataset, "NumberOfFrames", 1) or 1,
        rows=integer(dataset, "Rows", 0),
        columns=integer(dataset, "Columns", 0),
        samples=integer(dataset, "SamplesPerPixel", 1),
        bits_allocated=integer(dataset, "BitsAllocated", 0),
        bits_stored=integer(dataset, "BitsStored", 0)
        or integer(dataset, "BitsAllocated", 0),
        high_bit=integer(dataset, "HighBit", -1),
        signed=integer(dataset, "PixelRepresentation", 0) == 1,
        photometric=text(dataset, "PhotometricInterpretation"),
    )
    _check_layout(layout, path)
    return layout


def _refuse_non_pictures(dataset: Dataset, path: Path) -> None:
    sop_class = text(dataset, "SOPClassUID")
    if sop_class == _DICOMDIR or "DirectoryRecordSequence" in dataset:
        raise UnsupportedError(
            "is a DICOM directory, which lists files but holds no picture",
            path=path,
            hint="give the folder instead",
        )
    if sop_class == _RT_DOSE:
        raise UnsupportedError("is a radiotherapy dose, not a picture", path=path)
    if sop_class in _SEGMENTATIONS:
        raise UnsupportedError("is a segmentation, not a picture", path=path)
    if "Rows" not in dataset:
        if _claims_image(dataset):
            raise no_pixels(path)
        raise UnsupportedError(
            "holds no pixel data (a report, a plan or a list)", path=path
        )


def _check_layout(layout: Layout, path: Path) -> None:
    if min(layout.rows, layout.columns, layout.frames) < 1:
        raise UnreadableError("rows, columns or frames are not positive", path=path)
    _check_allocated(layout, path)
    if not 1 <= layout.bits_stored <= layout.bits_allocated:
        raise UnreadableError("an impossible number of bits stored", path=path)
    if layout.samples not in (1, 3):
        raise UnsupportedError(
            f"{layout.samples} samples a pixel are not supported", path=path
        )


def _check_allocated(layout: Layout, path: Path) -> None:
    if layout.bits_allocated == 1:
        raise UnsupportedError(
            "holds a 1-bit mask, not a picture",
            path=path,
            hint="if it is a picture, give it 8 bits first",
        )
    if layout.bits_allocated in (32, 64):
        raise UnsupportedError(
            f"{layout.bits_allocated}-bit pixel values are not supported in DICOM",
            path=path,
            hint="give it as NIfTI, or as TIFF of floats",
        )
    if 1 < layout.bits_allocated < 64 and layout.bits_allocated not in (8, 16):
        raise UnsupportedError(
            f"BitsAllocated of {layout.bits_allocated} is not supported",
            path=path,
            hint="convert it to 8 or 16 first",
        )
    if layout.bits_allocated not in (8, 16):
        raise UnreadableError("an impossible number of bits allocated", path=path)
