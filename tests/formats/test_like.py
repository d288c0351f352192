"""Arrays from outside, written back as the file they came from."""

from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_maker import CT, ramp, save
from PIL import Image as Pil

from medenh import formats
from medenh.errors import NonFiniteError, OutputError, UsageError
from medenh.formats.array import from_array

RESCALE = {"RescaleSlope": 1, "RescaleIntercept": -1024, "sop_class": CT}


def test_an_array_is_written_back_as_the_dicom_file_it_came_from(tmp_path):
    source = save(tmp_path / "a.dcm", ramp(), bits=12, modality="CT", **RESCALE)
    hounsfield = formats.read(source).pixels[0, :, :, 0] + 10.4
    formats.write(hounsfield, tmp_path / "b.dcm", like=source)
    made = pydicom.dcmread(tmp_path / "b.dcm")
    wanted = np.clip(ramp().astype(int) + 10, 0, 4095)
    np.testing.assert_array_equal(made.pixel_array, wanted)
    before = pydicom.dcmread(source)
    assert made.PatientID == before.PatientID
    assert made.StudyInstanceUID == before.StudyInstanceUID
    assert made.SOPInstanceUID != before.SOPInstanceUID
    assert formats.read(tmp_path / "b.dcm").units == "HU"


def test_a_dicom_series_is_written_back_slice_by_slice(tmp_path):
    sources = []
    for place in range(3):
        more = {
            "ImagePositionPatient": [0, 0, place],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "SOPInstanceUID": f"1.2.5.{place + 1}",
        }
        pixels = np.full((4, 5), 100 * place, "u2")
        sources.append(save(tmp_path / f"{place}.dcm", pixels, **more))
    volume = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    outputs = [tmp_path / f"out{place}.dcm" for place in range(3)]
    formats.write(volume[..., None], outputs, like=sources)
    for place, output in enumerate(outputs):
        made = pydicom.dcmread(output)
        np.testing.assert_array_equal(made.pixel_array, volume[place])
        assert made.ImagePositionPatient[2] == place


@pytest.mark.parametrize("as_path", [True, False])
def test_an_array_is_written_back_as_the_nifti_file_it_came_from(tmp_path, as_path):
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    data = np.arange(210, dtype=np.int16).reshape(5, 6, 7)
    picture = nibabel.Nifti1Image(data, affine)
    picture.header["descrip"] = b"some scanner"
    picture.header.set_slope_inter(0.5, 7.0)
    nibabel.save(picture, tmp_path / "a.nii")
    image = formats.read(tmp_path / "a.nii")
    enhanced = image.pixels.astype(np.float64) * 2
    like = tmp_path / "a.nii" if as_path else image
    formats.write(enhanced, tmp_path / "b.nii", like=like)
    made, before = (nibabel.load(tmp_path / name) for name in ("b.nii", "a.nii"))
    np.testing.assert_allclose(made.get_fdata(), before.get_fdata() * 2)
    assert made.header.binaryblock == before.header.binaryblock


def test_an_array_is_written_back_as_the_png_file_it_came_from(tmp_path):
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (6, 7, 4), np.uint8)
    Pil.fromarray(rgba).save(tmp_path / "a.png", dpi=(300, 300))
    enhanced = np.clip(rgba[..., :3] * 1.5, 0, 300)
    formats.write(enhanced, tmp_path / "b.png", like=tmp_path / "a.png")
    with Pil.open(tmp_path / "b.png") as made:
        assert made.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        out = np.asarray(made)
    np.testing.assert_array_equal(out[..., :3], np.rint(enhanced).clip(0, 255))
    np.testing.assert_array_equal(out[..., 3], rgba[..., 3])


def _png(path):
    Pil.fromarray(np.full((6, 7), 200, np.uint8)).save(path)
    return path


def test_pixels_that_do_not_fit_the_file_are_refused(tmp_path):
    like, target = _png(tmp_path / "a.png"), tmp_path / "b.png"
    with pytest.raises(UsageError, match="shape"):
        formats.write(np.zeros((7, 6), np.uint8), target, like=like)
    with pytest.raises(UsageError, match="in 0 to 1"):
        formats.write(np.full((6, 7), 0.5), target, like=like)
    with pytest.raises(NonFiniteError):
        formats.write(np.full((6, 7), np.nan), target, like=like)
    ct = save(tmp_path / "a.dcm", ramp((6, 7)), bits=12, modality="CT", **RESCALE)
    with pytest.raises(UsageError, match="HU"):
        formats.write(formats.read(ct), target, like=like)
    assert not target.exists()


def test_neither_the_picture_nor_what_it_is_like_is_overwritten(tmp_path):
    like, source = _png(tmp_path / "a.png"), _png(tmp_path / "b.png")
    image, before = formats.read(source), like.read_bytes()
    for target in (like, source):
        with pytest.raises(OutputError, match="input itself"):
            formats.write(image, target, like=like)
        assert target.read_bytes() == before


def test_an_array_alone_is_written_by_its_own_range(tmp_path):
    array = np.linspace(0, 1, 42).reshape(6, 7)
    formats.write(array, tmp_path / "a.png")
    again = formats.read(tmp_path / "a.png").to_unit()[0, 0]
    np.testing.assert_allclose(again, array, atol=1e-4)
    custom = from_array(array, data_range=(0.0, 2.0))
    formats.write(custom, tmp_path / "b.png")
    again = formats.read(tmp_path / "b.png").to_unit()[0, 0]
    np.testing.assert_allclose(again, array / 2, atol=1e-4)
