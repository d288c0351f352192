"""Good files of the kinds that say most of themselves, small ones.

Enhanced DICOM, ultrasound volumes, nuclear medicine in slices and in dynamic frames,
cines with regions, dynamic PET as a series, compressed frames, OME and ImageJ TIFF,
pyramids, NIfTI of four dimensions.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import tifffile
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

SOP = "1.2.840.10008.5.1.4.1.1."
ENHANCED_CT, ENHANCED_MR, NM, US, PET = "2.1", "4.1", "20", "3.1", "128"
US_VOLUME = "6.2"
AXIAL = [1, 0, 0, 0, 1, 0]
SHAPE = (14, 12)


def _item(**fields: Any) -> Dataset:
    made = Dataset()
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    return made


def _save(path: Path, frames: np.ndarray, kind: str, *, rle: bool = False, **fields):
    """Write a DICOM file of (frames, H, W) or (H, W) of 16 bits."""
    made = _item(
        SOPClassUID=SOP + kind,
        SOPInstanceUID=f"1.2.3.{kind}.{sum(path.stem.encode())}",
        StudyInstanceUID="1.2.3.1",
        SeriesInstanceUID=f"1.2.3.2.{kind}",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        InstanceNumber=1,
        Rows=frames.shape[-2],
        Columns=frames.shape[-1],
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16,
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=0,
    )
    if frames.ndim == 3:
        made.NumberOfFrames = len(frames)
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.add_new("PixelData", "OW", frames.astype("<u2").tobytes())
    if rle:
        made.compress(RLELossless, generate_instance_uid=False)
    made.save_as(path, enforce_file_format=True)


def _frame(place: float, time: int) -> Dataset:
    """Return the functional groups of one frame of an enhanced file."""
    return _item(
        FrameContentSequence=[
            _item(
                StackID="1",
                InStackPositionNumber=int(place // 5) + 1,
                TemporalPositionIndex=time,
                DimensionIndexValues=[int(place // 5) + 1, time],
            )
        ],
        PlanePositionSequence=[_item(ImagePositionPatient=[0, 0, place])],
        MREchoSequence=[_item(EffectiveEchoTime=5.0 * time)],
        PixelValueTransformationSequence=[
            _item(RescaleSlope=1.5, RescaleIntercept=-3, RescaleType="US")
        ],
    )


def _enhanced() -> dict[str, Any]:
    """Return the fields of two volumes of three slices."""
    places = itertools.product((0.0, 5.0, 10.0), (1, 2))
    measures = _item(PixelSpacing=[0.5, 0.5], SliceThickness=5)
    window = _item(WindowCenter=1000, WindowWidth=2000)
    return {
        "PerFrameFunctionalGroupsSequence": [_frame(*place) for place in places],
        "SharedFunctionalGroupsSequence": [
            _item(
                PixelMeasuresSequence=[measures],
                PlaneOrientationSequence=[_item(ImageOrientationPatient=AXIAL)],
                FrameVOILUTSequence=[window],
            )
        ],
    }


def _ultrasound() -> dict[str, Any]:
    """Return the fields of two volumes of three frames, in the transducer's system."""
    frames = [
        _item(
            PlanePositionVolumeSequence=[_item(ImagePositionVolume=[0, 0, place])],
            TemporalPositionSequence=[_item(TemporalPositionTimeOffset=time)],
        )
        for place, time in itertools.product((0.0, 5.0, 10.0), (0.0, 0.5))
    ]
    turned = _item(ImageOrientationVolume=AXIAL)
    shared = _item(
        PixelMeasuresSequence=[_item(PixelSpacing=[0.5, 0.5])],
        PlaneOrientationVolumeSequence=[turned],
    )
    return {
        "PerFrameFunctionalGroupsSequence": frames,
        "SharedFunctionalGroupsSequence": [shared],
    }


def _nuclear(pointer: list[int], count: int, **fields: Any) -> dict[str, Any]:
    """Return the fields of frames that vectors put into order."""
    detector = _item(ImagePositionPatient=[0, 0, 9], ImageOrientationPatient=AXIAL)
    return {
        "Modality": "NM",
        "ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        "PixelSpacing": [4.8, 4.0],
        "SliceThickness": 9,
        "FrameIncrementPointer": pointer,
        "EnergyWindowVector": [1] * count,
        "DetectorVector": [1] * count,
        "DetectorInformationSequence": [detector],
        **fields,
    }


def dicom_files(folder: Path) -> None:
    """Write single files of several frames."""
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 4096, (6, *SHAPE))
    _save(folder / "emr.dcm", frames, ENHANCED_MR, Modality="MR", **_enhanced())
    _save(
        folder / "ect-rle.dcm", frames, ENHANCED_CT, rle=True, Modality="CT",
        **_enhanced(),
    )  # fmt: skip
    _save(folder / "us.dcm", frames, US_VOLUME, Modality="US", **_ultrasound())
    order = {"TimeSlotVector": [1, 1, 1, 2, 2, 2], "SliceVector": [1, 2, 3, 1, 2, 3]}
    gated = {"RRIntervalVector": [1] * 6, **order}
    pointer = [0x00540060, 0x00540070, 0x00540080]
    _save(folder / "gated.dcm", frames, NM, **_nuclear(pointer, 6, **gated))
    phase = _item(ActualFrameDuration=2000, PauseBetweenFrames=0, PhaseDelay=0)
    times = {"PhaseVector": [1] * 6, "TimeSliceVector": [1, 2, 3, 4, 5, 6]}
    pointer = [0x00540010, 0x00540020, 0x00540030, 0x00540100]
    dynamic = _nuclear(pointer, 6, PhaseInformationSequence=[phase], **times)
    _save(folder / "dynamic.dcm", frames, NM, **dynamic)
    region = _item(
        RegionSpatialFormat=1, RegionDataType=1, RegionFlags=0,
        RegionLocationMinX0=1, RegionLocationMinY0=1,
        RegionLocationMaxX1=9, RegionLocationMaxY1=9,
        PhysicalUnitsXDirection=3, PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.02, PhysicalDeltaY=0.03,
    )  # fmt: skip
    cine = {"FrameTime": 40, "FrameIncrementPointer": 0x00181063, "Modality": "US"}
    cine["SequenceOfUltrasoundRegions"] = [region]
    _save(folder / "cine.dcm", frames, US, rle=True, **cine)


def pet_series(folder: Path) -> None:
    """Write three volumes of two slices, one minute after another."""
    rng = np.random.default_rng(2)
    for index, (time, place) in enumerate(itertools.product((0, 1, 2), (0, 5))):
        _save(
            folder / f"pet-{index}.dcm", rng.integers(0, 4096, SHAPE), PET,
            Modality="PT", InstanceNumber=index + 1, PixelSpacing=[4, 4],
            SOPInstanceUID=f"1.2.3.128.{index + 1}",
            ImagePositionPatient=[0, 0, place], ImageOrientationPatient=AXIAL,
            FrameReferenceTime=500 + 60000 * time, RescaleSlope=1.5 + index,
            RescaleIntercept=0, Units="BQML", SliceThickness=5,
        )  # fmt: skip


def tiff_files(folder: Path) -> None:
    """Write TIFF whose pages are told of, and a pyramid."""
    stack = np.random.default_rng(3).integers(0, 4096, (2, 3, 2, *SHAPE), np.uint16)
    told = {"axes": "TZCYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    told |= {"PhysicalSizeZ": 2.0, "TimeIncrement": 1.5, "SignificantBits": 12}
    tifffile.imwrite(folder / "told.ome.tif", stack, ome=True, metadata=told)
    tifffile.imwrite(
        folder / "imagej.tif", stack[:, :, 0], imagej=True, resolution=(2, 2),
        metadata={"axes": "TZYX", "spacing": 2.0, "unit": "um", "finterval": 1.5},
    )  # fmt: skip
    large = np.random.default_rng(4).integers(0, 256, (64, 64, 3), np.uint8)
    with tifffile.TiffWriter(folder / "pyramid.tif") as tiff:
        tiff.write(large, subifds=1, tile=(32, 32), photometric="rgb")
        tiff.write(large[::2, ::2], subfiletype=1, tile=(32, 32), photometric="rgb")


def nifti_files(folder: Path) -> None:
    """Write NIfTI of four dimensions, in both versions, and of colours."""
    rng = np.random.default_rng(5)
    series = rng.integers(0, 900, (9, 8, 3, 4)).astype(np.int16)
    image = nibabel.Nifti1Image(series, np.diag([-2.0, 2, 3, 1]))
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.5
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, folder / "series.nii")
    nibabel.save(image, folder / "series4d.nii.gz")
    floats = nibabel.Nifti2Image(rng.random((9, 8, 3, 2)).astype(">f4"), np.eye(4))
    nibabel.save(floats, folder / "two.nii")
    colours = np.zeros((9, 8, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), folder / "colours.nii")


def write_all(folder: Path) -> None:
    """Write every single file; series have folders of their own."""
    dicom_files(folder)
    tiff_files(folder)
    nifti_files(folder)
