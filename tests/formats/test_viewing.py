"""Profile, resolution and orientation from format to format, judged by Pillow."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import dicom_maker
import numpy as np
import pytest
import tifffile
from PIL import Image as Pil
from PIL import ImageCms, ImageOps

import medenh
from medenh import formats
from medenh.formats import exif, jpeg, png
from medenh.formats.array import plain_storage
from medenh.formats.viewing import Viewing, upright, viewing_of

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ENDINGS = ("png", "jpg", "tif")


def grey_profile():
    """Return a header that says grey, all that is looked at."""
    head = bytearray(SRGB)
    head[16:20] = b"GRAY"
    return bytes(head)


def picture(channels=3):
    pixels = np.random.default_rng(0).integers(0, 255, (12, 20, channels), np.uint8)
    return pixels if channels == 3 else pixels[..., 0]


def save(path, *, channels=3, turned=6, dpi=(300, 150), profile=SRGB):
    told = Pil.Exif()
    told[0x0112] = turned
    more = {"quality": 95} if path.suffix == ".jpg" else {}
    Pil.fromarray(picture(channels)).save(
        path, exif=told, dpi=dpi, icc_profile=profile, **more
    )
    return path


def seen(path):
    with Pil.open(path) as opened:
        dpi = tuple(float(one) for one in opened.info["dpi"])
        turned = opened.getexif()[0x0112]  # Pillow turns TIFF when it loads it
        shown = ImageOps.exif_transpose(opened).size
        return opened.info.get("icc_profile"), dpi, turned, shown


@pytest.mark.parametrize("target", ENDINGS)
@pytest.mark.parametrize("source", ENDINGS)
def test_how_a_picture_is_seen_goes_along(tmp_path, source, target):
    before = save(tmp_path / f"a.{source}")
    after = tmp_path / f"b.{target}"
    image = formats.read(before)
    formats.write(replace(image, pixels=255 - image.pixels), after)
    profile, dpi, turned, shown = seen(after)
    assert profile == SRGB
    assert dpi == pytest.approx((300, 150), rel=1e-4)
    assert turned == 6
    assert shown == seen(before)[3] == (12, 20)
    if target != "jpg":
        np.testing.assert_array_equal(formats.read(after).pixels, 255 - image.pixels)


@pytest.mark.parametrize("target", ENDINGS)
@pytest.mark.parametrize("source", ENDINGS)
def test_enhance_says_it_too_and_changes_no_pixel(tmp_path, source, target):
    before, after = save(tmp_path / f"a.{source}"), tmp_path / f"b.{target}"
    medenh.enhance(before, after, model="identity")
    assert seen(after)[0] == SRGB
    if target != "jpg" or source == "jpg":
        stored = formats.read(before).pixels
        np.testing.assert_array_equal(formats.read(after).pixels, stored)


@pytest.mark.parametrize("target", ENDINGS)
def test_a_profile_of_grey_stays_with_grey_only(tmp_path, target):
    grey = save(tmp_path / "a.tif", channels=1, profile=grey_profile())
    formats.write(formats.read(grey), tmp_path / f"b.{target}")
    assert seen(tmp_path / f"b.{target}")[0] == grey_profile()
    other = "png" if target == "tif" else "tif"
    colour = save(tmp_path / f"c.{other}", profile=grey_profile())
    formats.write(formats.read(colour), tmp_path / f"d.{target}")
    assert seen(tmp_path / f"d.{target}")[0] is None


@pytest.mark.parametrize("target", ["png", "jpg", "bmp"])
def test_the_resolution_of_bmp_goes_both_ways(tmp_path, target):
    Pil.fromarray(picture()).save(tmp_path / "a.bmp", dpi=(300, 300))
    formats.write(formats.read(tmp_path / "a.bmp"), tmp_path / f"b.{target}")
    formats.write(formats.read(tmp_path / f"b.{target}"), tmp_path / "c.bmp")
    for name in (f"b.{target}", "c.bmp"):
        with Pil.open(tmp_path / name) as opened:
            assert opened.info["dpi"] == pytest.approx((300, 300), rel=1e-3)


def test_centimetres_and_exif_without_jfif(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        picture(),
        photometric="rgb",
        resolution=(40, 20),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    formats.write(formats.read(tmp_path / "a.tif"), tmp_path / "b.jpg")
    with Pil.open(tmp_path / "b.jpg") as opened:
        assert opened.info["jfif_unit"] == 2
        assert opened.info["jfif_density"] == (40, 20)
    told = Pil.Exif()
    told[0x011A], told[0x011B], told[0x0128] = 180.0, 180.0, 2
    assert exif.viewing(told.tobytes()[6:]).resolution == (180, 180)


def test_pages_tell_each_their_own(tmp_path):
    frames = np.zeros((2, 9, 8), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for frame, dots in zip(frames, (100, 200), strict=True):
            tiff.write(frame, metadata=None, resolution=(dots, dots), resolutionunit=2)
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    formats.write(formats.read(tmp_path / "a.tif"), paths)
    for path, dots in zip(paths, (100, 200), strict=True):
        with Pil.open(path) as opened:
            assert opened.info["dpi"] == pytest.approx((dots, dots), rel=1e-3)


def test_16_bit_keeps_it_on_the_way_to_8(tmp_path):
    image = formats.read(save(tmp_path / "a.tif"))
    wide = image.pixels.astype(np.uint16) * 257
    deep = replace(image, pixels=wide, storage=plain_storage(wide.dtype))
    formats.write(deep, tmp_path / "b.jpg")
    assert seen(tmp_path / "b.jpg")[:3] == (SRGB, (300, 150), 6)


def test_a_long_profile_is_cut_into_segments_and_joined(tmp_path):
    long = SRGB + bytes(200_000)
    image = replace(
        formats.read(save(tmp_path / "a.tif")), header=Viewing(profile=long)
    )
    formats.write(image, tmp_path / "b.jpg")
    with Pil.open(tmp_path / "b.jpg") as opened:
        assert opened.info["icc_profile"] == long
    assert viewing_of(formats.read(tmp_path / "b.jpg")).profile == long


def test_pieces_that_are_missing_make_no_profile():
    whole = jpeg.viewing_segments(Viewing(profile=bytes(150_000)))
    assert jpeg.viewing(whole).profile == bytes(150_000)
    assert jpeg.viewing(whole[:-1]).profile == b""
    assert jpeg.viewing((*whole, whole[-1])).profile == b""


def test_an_endless_or_damaged_profile_is_left_out():
    endless = zlib.compress(bytes(17 * 2**20))
    for packed in (endless, endless[:50], b"no zlib"):
        assert png.viewing((png.chunk(b"iCCP", b"x\0\0" + packed),)).profile == b""


@pytest.mark.parametrize("across", [0, 2**32 - 1])
def test_an_impossible_resolution_is_left_out(tmp_path, across):
    density = png.chunk(b"pHYs", struct.pack(">IIB", across, 3000, 1))
    assert png.viewing((density,)).resolution is None


@pytest.mark.parametrize("target", ENDINGS)
def test_the_profile_of_dicom_goes_along(tmp_path, target):
    odd = SRGB + bytes(1 - len(SRGB) % 2)
    odd = struct.pack(">I", len(odd)) + odd[4:]
    before = dicom_maker.save(
        tmp_path / "a.dcm",
        picture(),
        sop_class=dicom_maker.CAPTURE,
        modality="XC",
        ICCProfile=odd + b"\0",
    )
    after = tmp_path / f"b.{target}"
    medenh.enhance(before, after, model="identity")
    with Pil.open(after) as opened:
        assert opened.info["icc_profile"] == odd


def test_each_page_of_a_tiff_made_of_frames_has_the_profile(tmp_path):
    before = dicom_maker.save(
        tmp_path / "a.dcm",
        np.stack([picture()] * 3),
        sop_class=dicom_maker.CAPTURE,
        modality="ES",
        ICCProfile=SRGB,
    )
    medenh.enhance(before, tmp_path / "b.tif", model="identity")
    with tifffile.TiffFile(tmp_path / "b.tif") as opened:
        found = [page.tags[34675].value for page in opened.pages]
    assert found == [SRGB] * 3


@pytest.mark.parametrize("way", range(1, 9))
def test_upright_is_as_other_readers_turn_it(tmp_path, way):
    with Pil.open(save(tmp_path / "a.png", turned=way)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(upright(picture(), way), expected)


@pytest.mark.parametrize("source", ENDINGS)
def test_a_map_is_turned_as_its_picture_is(tmp_path, source):
    before = save(tmp_path / f"a.{source}")
    medenh.enhance(before, tmp_path / f"b.{source}", model="clahe", uncertainty=True)
    (found,) = tmp_path.glob("b*uncertainty*")
    with Pil.open(found) as opened:  # Pillow turns TIFF, and its size, by itself
        assert opened.size == ((12, 20) if source == "tif" else (20, 12))
        assert opened.getexif()[0x0112] == 6
