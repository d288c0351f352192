"""A small folder with a picture of each format, made by code."""

from __future__ import annotations

from pathlib import Path

import cv2
import nibabel
import numpy as np
import tifffile
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CT = "1.2.840.10008.5.1.4.1.1.2"


def photo(side=48, *, wide=False, seed=0):
    """Return a smooth colour picture with some texture, (side, side + 8, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((6, 7, 3), np.float32)
    picture = cv2.resize(coarse, (side + 8, side), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(picture * 0.8 + 0.1 + 0.02 * rng.random(picture.shape), 0, 1)
    top, dtype = (65535, np.uint16) if wide else (255, np.uint8)
    return np.rint(picture * top).astype(dtype)


def save_ct(path, number, *, frames=1, side=40):
    """Write a CT slice in HU, or a multi-frame file."""
    rng = np.random.default_rng(number)
    grey = photo(side, seed=number)[:, :side, 0].astype(np.int16) * 4 - 500
    pixels = np.stack([grey + rng.integers(0, 9) for _ in range(frames)])
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = CT
    made.SOPInstanceUID = f"1.2.3.4.{number}"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.StudyInstanceUID = "1.2.3.1"
    made.SeriesInstanceUID = "1.2.3.2" if frames == 1 else f"1.2.3.9.{number}"
    made.Modality, made.InstanceNumber = "CT", number
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.ImagePositionPatient = [0, 0, 2.5 * number]
    made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.PixelSpacing = [0.7, 0.7]
    made.Rows = made.Columns = side
    if frames > 1:
        made.NumberOfFrames = frames
    made.SamplesPerPixel, made.PixelRepresentation = 1, 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PhotometricInterpretation = "MONOCHROME2"
    made.RescaleSlope, made.RescaleIntercept = 1, -1024
    made.PixelData = (pixels + 1024).astype("<u2").tobytes()
    made.save_as(path, enforce_file_format=True)
    return path


def make_folder(root: Path) -> Path:
    """Write the folder and return it: 9 pictures in 11 files."""
    (root / "sub").mkdir(parents=True)
    (root / "series").mkdir()
    cv2.imwrite(str(root / "a.png"), photo(seed=1))
    cv2.imwrite(str(root / "sub" / "a.png"), photo(seed=1))
    cv2.imwrite(str(root / "deep.png"), photo(seed=2, wide=True))
    cv2.imwrite(str(root / "sub" / "camera.jpg"), photo(seed=3))
    cv2.imwrite(str(root / "b.bmp"), photo(seed=4))
    tifffile.imwrite(root / "t.tif", photo(seed=5, wide=True), photometric="rgb")
    np.save(root / "n.npy", photo(seed=6)[..., 0].astype(np.float32) / 255)
    volume = np.stack([photo(seed=s)[:, :48, 0] for s in (7, 8)], axis=-1)
    nibabel.save(
        nibabel.Nifti1Image(volume.astype(np.int16) * 5, np.diag([1, 1, 4, 1])),
        root / "sub" / "v.nii.gz",
    )
    for number in (1, 2, 3):
        save_ct(root / "series" / f"{number}.dcm", number)
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Return the bytes of each visible file below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
