"""What goes into which file, and what is refused or told."""

from __future__ import annotations

import warnings
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from dicom_maker import ramp, save

import medenh
from medenh.errors import UsageError
from medenh.types import Geometry


@pytest.fixture
def slice_(tmp_path):
    return medenh.read(save(tmp_path / "a.dcm", ramp(), PixelSpacing=[0.39, 0.39]))


@pytest.mark.parametrize("name", ["d.gif", "d.webp", "d.jp2", "d.mha", "d.nrrd"])
def test_dicom_is_not_written_under_names_of_other_formats(slice_, tmp_path, name):
    with pytest.raises(UsageError, match="no format has the extension"):
        medenh.write(slice_, tmp_path / name)
    assert not (tmp_path / name).exists()
    medenh.write(slice_, tmp_path / name, format="dicom")


@pytest.mark.parametrize("name", ["d", "d.IMA", "d.dcm", "1.2.840.10008.77"])
def test_dicom_is_written_under_names_of_its_own(slice_, tmp_path, name):
    medenh.write(slice_, tmp_path / name)
    assert medenh.read(tmp_path / name).format == "dicom"


@pytest.fixture
def volume(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 900, (40, 40, 6)).astype(np.int16)
    affine = np.diag([0.5, 0.5, 3, 1])
    nibabel.save(nibabel.Nifti1Image(numbers, affine), tmp_path / "a.nii.gz")
    return medenh.read(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("part", [np.s_[:, ::2, ::2], np.s_[[0, 0]], np.s_[:, 1:]])
@pytest.mark.parametrize("source", ["slice_", "volume"])
def test_pixels_of_another_size_do_not_go_with_the_old_geometry(
    source, part, tmp_path, request
):
    image = request.getfixturevalue(source)
    other = replace(image, pixels=image.pixels[part])
    for name in ["b.nii"] + ["b.dcm"] * (image.format == "dicom"):
        with pytest.raises(UsageError, match=r"for a header of .*spacing and place"):
            medenh.write(other, tmp_path / name)
        assert not (tmp_path / name).exists()
    medenh.write(other, tmp_path / "b.npy")
    placed = replace(other, header=None, geometry=Geometry((3.0, 0.78, 0.78)))
    medenh.write(placed, tmp_path / "b.nii")
    assert medenh.read(tmp_path / "b.nii").geometry.spacing_mm[1] == np.float32(0.78)


def test_pixels_of_equal_number_and_other_shape_are_told(tmp_path):
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((4, 8, 9)), np.eye(4)), tmp_path / "a.nii"
    )
    image = medenh.read(tmp_path / "a.nii")
    turned = replace(image, pixels=image.pixels.swapaxes(1, 2))
    with pytest.raises(UsageError, match="for a header of"):
        medenh.write(turned, tmp_path / "b.nii")


def test_a_resized_volume_loses_its_place_with_a_warning(volume, tmp_path):
    low, _ = medenh.degrade(volume, "gauss-0.1", size=20)
    with pytest.warns(UserWarning, match="its place .the affine. is lost"):
        medenh.write(low, tmp_path / "b.nii.gz")
    back = medenh.read(tmp_path / "b.nii.gz")
    assert back.geometry.spacing_mm == (3, 1, 1)
    same, _ = medenh.degrade(volume, "gauss-0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        medenh.write(same, tmp_path / "c.nii.gz")
        medenh.write(low, tmp_path / "b.npy")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.bmp"])
def test_booleans_are_black_and_white_in_picture_formats(name, tmp_path):
    array = np.random.default_rng(0).random((20, 30)) > 0.5
    medenh.write(array, tmp_path / name)
    back = medenh.read(tmp_path / name)
    np.testing.assert_array_equal(back.pixels[0, ..., 0], array.astype(np.uint8) * 255)
    np.save(tmp_path / "a.npy", array)
    medenh.enhance(tmp_path / "a.npy", tmp_path / "b.tif", model="identity")
    assert (tmp_path / "b.tif").exists()
