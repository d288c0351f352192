"""Opacity in other types, and colours that are multiplied by it."""

from __future__ import annotations

from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import tifffile

import medenh
from medenh import formats
from medenh.formats.array import from_array
from medenh.formats.writers import lost_numbers

SHAPE = (24, 30)


def rng():
    return np.random.default_rng(8)


def png_of(array, path):
    formats.write(from_array(array), path)
    return imagecodecs.png_decode(path.read_bytes())


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("scale", [1, 255])
def test_opacity_of_floats_has_the_scale_of_the_picture(tmp_path, dtype, scale):
    array = rng().random((*SHAPE, 4))
    if scale > 1:
        array = np.rint(array * scale)
    array[0, :4, 3] = (0, 1 * scale, scale / 2, scale)
    array = array.astype(dtype)
    found = png_of(array, tmp_path / "a.png")
    expected = np.rint(array[..., 3].astype(float) / scale * 65535)
    np.testing.assert_array_equal(found[..., 3], expected)


def test_opacity_beside_colours_of_no_scale_has_its_own(tmp_path):
    array = (rng().random((*SHAPE, 4)) * 7.3).astype("f4")
    array[..., 3] = np.linspace(0, 1, SHAPE[1])
    found = png_of(array, tmp_path / "a.png")
    expected = np.rint(array[..., 3].astype(float) * 65535)
    np.testing.assert_array_equal(found[..., 3], expected)


@pytest.mark.parametrize("dtype", ["i2", "i4", "i8", "u4", "u8"])
@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_opacity_of_wide_integers_is_opaque_where_the_picture_is_white(
    tmp_path, dtype, name
):
    array = rng().integers(0, 4096, (*SHAPE, 4)).astype(dtype)
    array[0, :3] = np.array([4095, 0, 2048])[:, None]
    formats.write(from_array(array), tmp_path / name)
    back = formats.read(tmp_path / name).alpha
    top = np.iinfo(back.dtype).max
    assert list(back[0, 0, :2]) == [top, 0]
    assert abs(int(back[0, 0, 2]) - top / 2) < 1 + top / 4096


def test_opacity_beyond_white_does_not_wrap(tmp_path):
    array = rng().integers(0, 256, (*SHAPE, 4))
    array[..., 3] = 4095
    assert (png_of(array, tmp_path / "a.png")[..., 3] == 255).all()
    floats = array / 255.0
    floats[0, 0, 3], floats[0, 1, 3] = np.nan, -1.0
    opacity = png_of(floats, tmp_path / "a.png")[..., 3]
    assert list(opacity[0, :3]) == [0, 0, 65535]


def veiled(dtype):
    """Return straight RGBA, and the same with its colours multiplied by alpha."""
    plain = rng().random((*SHAPE, 4))
    plain[:3, :4, 3], plain[3:6, :4, 3] = 0.0, 1.0
    whole = 1.0 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    alpha = (plain[..., 3:] * whole).astype(dtype)
    if whole > 1.0:
        alpha = np.rint(alpha).astype(dtype)
    colours = plain[..., :3] * alpha
    colours = colours if whole == 1.0 else np.rint(colours)
    together = np.concatenate([colours.astype(dtype), alpha], axis=-1)
    return plain[..., :3] * whole, np.minimum(together, alpha)


def write_veiled(path, samples, **options):
    tifffile.imwrite(
        path, samples, photometric="rgb", extrasamples=["assocalpha"], **options
    )
    return path


TYPES = ["u1", "u2", "f2", "f4", "f8"]


@pytest.mark.parametrize("dtype", TYPES)
def test_multiplied_colours_are_read_as_they_are_without_it(tmp_path, dtype):
    plain, samples = veiled(dtype)
    image = formats.read(write_veiled(tmp_path / "a.tif", samples))
    alpha = samples[..., 3].astype(float)
    whole = 1.0 if alpha.max() <= 1 else np.iinfo(dtype).max
    seen = alpha > 0.2 * whole
    step = 0.5 / 0.2 + 0.5 if whole > 1 else np.finfo(dtype).eps * 4
    assert np.abs(image.pixels[0] - plain)[seen].max() <= step
    np.testing.assert_array_equal(image.pixels[0][alpha == 0], 0)
    assert image.unit_range.high == whole
    assert lost_numbers(image, "png") == []


@pytest.mark.parametrize("dtype", [*TYPES, "u4", "i2"])
def test_multiplied_colours_come_back_to_the_bit(tmp_path, dtype):
    _, samples = veiled(dtype)
    if np.dtype(dtype).kind == "f":
        samples[7, 7, :3] = (np.nan, -0.0, 3.5)
    samples[8, 8] = (9, 9, 9, 1)  # brighter than their opacity lets them be
    samples[9, 9] = (9, 9, 9, 0)
    source = write_veiled(tmp_path / "a.tif", samples, description="mine")
    formats.write(formats.read(source), tmp_path / "b.tif")
    medenh.enhance(source, tmp_path / "c.tif", model="identity")
    for name in ("b.tif", "c.tif"):
        with tifffile.TiffFile(tmp_path / name) as tiff:
            page = tiff.pages[0]
            assert page.asarray().tobytes() == samples.tobytes()
            assert [int(one) for one in page.extrasamples] == [1]
            assert page.description == "mine"


@pytest.mark.parametrize("dtype", TYPES)
def test_enhanced_colours_are_multiplied_again(tmp_path, dtype):
    _, samples = veiled(dtype)
    image = formats.read(write_veiled(tmp_path / "a.tif", samples))
    brighter = image.to_unit()
    brighter[..., 4:] = np.sqrt(brighter[..., 4:])
    image = image.from_unit(brighter)
    formats.write(image, tmp_path / "b.tif")
    found = tifffile.imread(tmp_path / "b.tif")
    np.testing.assert_array_equal(found[:, :4], samples[:, :4])
    np.testing.assert_array_equal(found[..., 3], samples[..., 3])
    assert (found[..., :3] <= found[..., 3:]).all()
    assert found[..., :3].mean() > samples[..., :3].mean()
    again = formats.read(tmp_path / "b.tif")
    whole = image.unit_range.high
    seen = samples[..., 3] > 0.2 * whole
    error = np.abs(again.pixels.astype(float) - image.pixels)[0][seen].max()
    assert error <= (3 if whole > 1 else float(np.finfo(dtype).eps) * 4)


def test_a_part_of_a_veiled_picture_is_written_too(tmp_path):
    _, samples = veiled("u1")
    image = formats.read(write_veiled(tmp_path / "a.tif", samples))
    part = np.s_[:, 5:15, 5:15]
    image = replace(image, pixels=image.pixels[part], alpha=image.alpha[part])
    formats.write(image, tmp_path / "b.tif")
    found = tifffile.imread(tmp_path / "b.tif")
    np.testing.assert_array_equal(found, samples[5:15, 5:15])


def test_png_of_a_veiled_picture_has_its_colours(tmp_path):
    samples = np.full((*SHAPE, 4), (100, 60, 20, 128), "u1")
    formats.write(
        formats.read(write_veiled(tmp_path / "a.tif", samples)), tmp_path / "b.png"
    )
    found = imagecodecs.png_decode((tmp_path / "b.png").read_bytes())
    np.testing.assert_array_equal(found[0, 0], (199, 120, 40, 128))
