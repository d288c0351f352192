"""DICOM files made by code, for the DICOM tests."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGExtended12Bit,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
US = "1.2.840.10008.5.1.4.1.1.6.1"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PATIENT = "Xylophon^Quirinus"


def ramp(shape=(8, 6), dtype="u2", low=0, high=4095):
    """Return values from low to high in order, in a given type."""
    return np.linspace(low, high, int(np.prod(shape))).astype(dtype).reshape(shape)


def dataset(pixels, *, bits=None, photometric="", sop_class=MR, modality="MR", **more):
    """Return a data set around pixels of shape ([frames,] rows, columns[, 3])."""
    colour = pixels.ndim > 2 and pixels.shape[-1] == 3
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = sop_class, "1.2.3.4"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    made.PatientName, made.PatientID = PATIENT, "PID-91823"
    made.Modality = modality
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.InstanceNumber = 1
    shape = pixels.shape[:-1] if colour else pixels.shape
    made.Rows, made.Columns = shape[-2:]
    if len(shape) == 3:
        made.NumberOfFrames = shape[0]
    made.SamplesPerPixel = 3 if colour else 1
    if colour:
        made.PlanarConfiguration = 0
    made.PhotometricInterpretation = photometric or ("RGB" if colour else "MONOCHROME2")
    made.BitsAllocated = 8 * pixels.dtype.itemsize
    made.BitsStored = bits or made.BitsAllocated
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in more.items():
        setattr(made, keyword, value)
    return made


def save(path: Path, pixels, *, syntax=ExplicitVRLittleEndian, encode=None, **options):
    """Write a DICOM file; ``encode`` may change the finished data set."""
    made = dataset(pixels, **options)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = made.SOPClassUID
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    out = FileDataset(
        "",
        made,
        preamble=b"\0" * 128,
        file_meta=meta,
        is_implicit_VR=meta.TransferSyntaxUID.is_implicit_VR,
        is_little_endian=order == "<",
    )
    raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    out.add_new("PixelData", "OW" if pixels.dtype.itemsize > 1 else "OB", raw)
    if len(raw) % 2:
        out.PixelData = raw + b"\0"
    if encode is not None:
        encode(out)
    out.save_as(path, enforce_file_format=True)
    return path


def noise(shape=(33, 21), dtype="u2", high=4096):
    """Return the same random values each time."""
    return np.random.default_rng(5).integers(0, high, shape).astype(dtype)


def save_jpeg(path: Path, pixels, syntax, *, change=None, **options):
    """Write a DICOM file of one JPEG frame: lossless, or extended with 12 bits."""
    lossless = syntax != JPEGExtended12Bit
    how = {"lossless": True} if lossless else {"bitspersample": 12, "level": 95}
    plain = pixels if pixels.dtype.kind == "u" else pixels.view(f"u{pixels.itemsize}")
    stream = imagecodecs.jpeg8_encode(plain, **how)
    stream = stream if change is None else change(stream)

    def encode(made):
        made.PixelData = encapsulate([stream])
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True

    return save(path, pixels, syntax=syntax, encode=encode, **options)


def frame_groups(items, *, sop_class, **measured):
    """Return the fields of an enhanced file: axial frames of half a millimetre.

    ``items`` are those of its frames; ``measured`` goes into the pixels' measures.
    """
    shared, measures, turn = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.5, 0.5]
    for keyword, value in measured.items():
        setattr(measures, keyword, value)
    turn.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([turn])
    return {
        "PerFrameFunctionalGroupsSequence": Sequence(items),
        "SharedFunctionalGroupsSequence": Sequence([shared]),
        "sop_class": sop_class,
    }
