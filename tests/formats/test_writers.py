"""What goes into which file, and what is refused or told."""

from __future__ import annotations

import warnings
from dataclasses import replace

import cv2
import nibabel
import numpy as np
import pytest
from dicom_maker import ramp, save

import medenh
from medenh.errors import UsageError
from medenh.formats.array import from_array
from medenh.types import Geometry


@pytest.fixture
def slice_(tmp_path):
    return medenh.read(save(tmp_path / "a.dcm", ramp(), PixelSpacing=[0.39, 0.39]))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.npy"])
@pytest.mark.parametrize(("sizes", "told"), [((np.nan, 0.5), 1), ((0.5, 0.7), 0)])
def test_nifti_is_told_to_have_pixels_of_unknown_size(
    name, sizes, told, tmp_path, recwarn
):
    medenh.write(np.full((8, 9), 7, np.uint8), tmp_path / name)
    image = medenh.read(tmp_path / name)
    image = replace(image, geometry=Geometry((np.nan, *sizes)))
    medenh.write(image, tmp_path / "b.nii")
    medenh.enhance(image, tmp_path / "c.nii", model="identity", strict=True)
    words = [str(one.message) for one in recwarn]
    assert len(words) == 2 * told
    assert all("nothing tells the size of its pixels" in word for word in words)
    recwarn.clear()
    medenh.write(image, tmp_path / "d.tif")
    medenh.write(medenh.read(tmp_path / "b.nii"), tmp_path / "e.nii")
    assert not list(recwarn)


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
        with pytest.raises(UsageError, match=r"the header's .*spacing and place"):
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
    with pytest.raises(UsageError, match="do not fit the header"):
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


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4", "i8", "u8", "u1", "u2"])
def test_integers_that_fit_keep_their_values_in_picture_formats(dtype, tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (20, 30, 3)).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("a.png", "a.bmp"):
            medenh.write(labels, tmp_path / name)
            back = medenh.read(tmp_path / name)
            np.testing.assert_array_equal(back.pixels[0], labels)
            assert back.pixels.dtype == (
                "u2" if (dtype, name) == ("u2", "a.png") else "u1"
            )
        if dtype in ("i1", "u1"):
            return
        deep = (labels * np.dtype(dtype).type(1500))[..., 0]
        medenh.write(deep, tmp_path / "b.png")
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "b.png"), -1), deep)


def test_opacity_of_any_integers_is_kept(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 4))
    medenh.write(array, tmp_path / "a.png")
    back = medenh.read(tmp_path / "a.png")
    np.testing.assert_array_equal(back.alpha[0], array[..., 3])


def test_frames_of_a_volume_share_their_depth(tmp_path):
    volume = np.zeros((2, 20, 30), np.int32)
    volume[1] = 3000
    medenh.write(from_array(volume), [tmp_path / "a.png", tmp_path / "b.png"])
    for index, name in enumerate(("a.png", "b.png")):
        back = cv2.imread(str(tmp_path / name), -1)
        assert back.dtype == np.uint16
        np.testing.assert_array_equal(back, volume[index])


RESCALED = [
    (np.arange(-300, 300, dtype=np.int16), "a.png"),
    (np.arange(600) * 1000, "a.png"),
    (np.arange(600, dtype=np.uint16), "a.bmp"),
    (np.arange(600) / 3, "a.png"),
]


@pytest.mark.parametrize(("numbers", "name"), RESCALED)
def test_numbers_that_become_other_levels_are_told_of(numbers, name, tmp_path):
    array = numbers.reshape(20, 30)
    with pytest.warns(UserWarning, match=r"become levels of .* keep them") as said:
        medenh.write(array, tmp_path / name)
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        medenh.write(array, tmp_path / "a.tif")
        medenh.write(from_array(array / 1.0, data_range=(0, 600)), tmp_path / "b.png")


def test_nan_in_a_picture_format_is_told_of(tmp_path):
    array = np.full((20, 30), 0.5)
    array[3, 4:6] = np.nan
    with pytest.warns(UserWarning, match="black or white in PNG: 2"):
        medenh.write(array, tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        medenh.write(array, tmp_path / "a.npy")


def test_what_is_put_into_another_picture_is_not_rescaled(tmp_path):
    medenh.write(np.zeros((20, 30), np.uint16), tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers = np.arange(600).reshape(20, 30) / 3
        medenh.write(numbers, tmp_path / "b.png", like=tmp_path / "a.png")
