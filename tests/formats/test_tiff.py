from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as Pil

import medenh
from medenh import formats
from medenh.errors import (
    InputError,
    OverBudgetError,
    UnreadableError,
    UnsupportedError,
)
from medenh.formats.array import from_array
from medenh.pipeline.naming import enhanced_name, numbered


def numbers(shape, dtype="u1"):
    rng = np.random.default_rng(4)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 9, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def make(path: Path, data, **options) -> Path:
    tifffile.imwrite(path, data, **options)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "compression", [None, "zlib", "lzw", "packbits", "zstd", "lzma"]
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_grey_round_trip(tmp_path, dtype, compression, order):
    data = numbers((33, 21), dtype)
    source = make(tmp_path / "a.tif", data, compression=compression, byteorder=order)
    image = formats.read(source)
    assert image.pixels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.pixels[0, ..., 0], data)
    formats.write(image, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        np.testing.assert_array_equal(tiff.asarray(), data)
        assert tiff.byteorder == order
        with tifffile.TiffFile(source) as before:
            assert tiff.pages[0].compression == before.pages[0].compression


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
def test_tiles_stay_tiles(tmp_path, samples, planar, compression):
    data = numbers((2, 70, 53, samples), "u2")
    extra = {"extrasamples": ["unassalpha"]} if samples == 4 else {}
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for frame in data:
            tiff.write(
                np.moveaxis(frame, -1, 0) if planar == "separate" else frame,
                photometric="rgb",
                planarconfig=planar,
                tile=(32, 16),
                compression=compression,
                metadata=None,
                **extra,
            )
    formats.write(formats.read(tmp_path / "a.tif"), tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert [page.is_tiled for page in tiff.pages] == [True, True]
        assert {(p.tilelength, p.tilewidth) for p in tiff.pages} == {(32, 16)}
    again = formats.read(tmp_path / "b.tif")
    np.testing.assert_array_equal(again.pixels, data[..., :3])
    if samples == 3 and planar == "contig":  # libtiff's word on it
        found = cv2.imread(str(tmp_path / "b.tif"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found[..., ::-1], data[0])


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_tiles_of_grey_stay_tiles(tmp_path, dtype):
    data = numbers((70, 53), dtype)
    source = make(tmp_path / "a.tif", data, tile=(16, 48), compression="lzw")
    formats.write(formats.read(source), tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert (tiff.pages[0].tilelength, tiff.pages[0].tilewidth) == (16, 48)
        np.testing.assert_array_equal(tiff.asarray(), data)


def test_tiles_larger_than_the_picture_become_strips(tmp_path):
    data = numbers((40, 20), "u1")
    formats.write(
        formats.read(make(tmp_path / "a.tif", data, tile=(256, 256))),
        tmp_path / "b.tif",
    )
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert not tiff.pages[0].is_tiled
        np.testing.assert_array_equal(tiff.asarray(), data)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("pages", [1, 4])
def test_colour_round_trip(tmp_path, dtype, planar, samples, pages):
    data = numbers((pages, 16, 21, samples), dtype)
    extra = {"extrasamples": ["unassalpha"]} if samples == 4 else {}
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=True) as tiff:
        for frame in data:
            plane = np.moveaxis(frame, -1, 0) if planar == "separate" else frame
            tiff.write(
                plane,
                photometric="rgb",
                planarconfig=planar,
                compression="zlib",
                predictor=True,
                metadata=None,
                **extra,
            )
    image = formats.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, data[..., :3])
    if samples == 4:
        np.testing.assert_array_equal(image.alpha, data[..., 3])
    formats.write(image, tmp_path / "b.tif")
    with (
        tifffile.TiffFile(tmp_path / "a.tif") as before,
        tifffile.TiffFile(tmp_path / "b.tif") as after,
    ):
        assert after.is_bigtiff
        assert len(after.pages) == pages
        for one, other in zip(before.pages, after.pages, strict=True):
            np.testing.assert_array_equal(one.asarray(), other.asarray())
            one, other = one.aspage(), other.aspage()
            for name in ("planarconfig", "extrasamples", "predictor", "photometric"):
                assert getattr(one, name) == getattr(other, name)


def test_pillow_and_opencv_read_what_is_written(tmp_path):
    grey, colour = numbers((20, 30), "u2"), numbers((20, 30, 3))
    formats.write(from_array(grey), tmp_path / "a.tif")
    formats.write(from_array(colour), tmp_path / "b.tif")
    read = cv2.imread(str(tmp_path / "a.tif"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, grey)
    with Pil.open(tmp_path / "b.tif") as picture:
        np.testing.assert_array_equal(np.asarray(picture), colour)


def test_white_is_zero_is_inverted_and_kept(tmp_path):
    data = numbers((9, 8))
    image = formats.read(make(tmp_path / "a.tif", data, photometric="miniswhite"))
    assert image.unit_range.inverted
    expected = 1 - data.astype(np.float32) / 255
    np.testing.assert_allclose(image.to_unit()[0, 0], expected, atol=1e-6)
    formats.write(image, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages[0].photometric == 0
        np.testing.assert_array_equal(tiff.asarray(), data)
    formats.write(image, tmp_path / "b.png")
    with Pil.open(tmp_path / "b.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), 255 - data)


@pytest.mark.parametrize(("told", "high"), [(0, 1023), (4095, 4095), (65535, 65535)])
def test_a_dark_picture_keeps_the_depth_that_its_tags_tell(tmp_path, told, high):
    data = numbers((9, 8), "u2") % 600 + 300
    tags = [(281, "H", 1, told, False)] if told else []
    image = formats.read(make(tmp_path / "a.tif", data, extratags=tags))
    assert image.unit_range.high == high


def test_packed_bits_tell_the_depth(tmp_path):
    data = numbers((9, 8), "u2") % 600
    path = make(tmp_path / "a.tif", data, bitspersample=12)
    image = formats.read(path)
    np.testing.assert_array_equal(image.pixels[0, ..., 0], data)
    assert image.unit_range.high == 4095


def test_a_tag_of_the_largest_value_may_say_anything(tmp_path):
    tags = [(281, "s", 4, "abc", False)]
    image = formats.read(make(tmp_path / "a.tif", numbers((9, 8)), extratags=tags))
    assert image.unit_range.high == 255


def test_palette_becomes_the_colours_pillow_sees(tmp_path):
    picture = Pil.fromarray(numbers((30, 31, 3))).quantize(64)
    picture.save(tmp_path / "a.tif")
    image = formats.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels[0], np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("bits", [(5, 6, 5), (8, 8, 16), (6, 6, 6)])
def test_samples_of_odd_bits_are_refused_with_what_to_do(tmp_path, bits):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers((8, 8, 3)), photometric="rgb")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["BitsPerSample"].overwrite(bits)
    with pytest.raises(UnsupportedError, match="samples of") as raised:
        formats.read(path)
    assert "16 bits a sample" in raised.value.hint


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_of_few_bits_has_the_colours_pillow_sees(tmp_path, bits):
    data = numbers((7, 13)) >> (8 - bits)
    table = numbers((3, 1 << bits), "u2")
    wide = np.unpackbits(data[..., None], axis=-1)[..., -bits:].reshape(7, -1)
    packed = np.packbits(wide, axis=1)
    options = {"photometric": "palette", "colormap": np.zeros((3, 256), "u2")}
    path = make(tmp_path / "a.tif", packed, metadata=None, **options)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages[0].tags
        tags["BitsPerSample"].overwrite(bits)
        tags["ImageWidth"].overwrite(13)
        tags["ColorMap"].overwrite(table.ravel().tolist())
    with Pil.open(path) as picture:
        expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(formats.read(path).pixels[0], expected)


def test_a_palette_that_was_not_shifted_is_not_black(tmp_path):
    data = numbers((30, 31))
    table = numbers((3, 256)).astype("u2")
    make(tmp_path / "a.tif", data, photometric="palette", colormap=table)
    make(tmp_path / "b.tif", data, photometric="palette", colormap=table * 257)
    seen = cv2.imread(str(tmp_path / "a.tif"))[..., ::-1]  # by libtiff
    np.testing.assert_array_equal(seen, np.moveaxis(table[:, data], 0, -1))
    for name in ("a.tif", "b.tif"):
        np.testing.assert_array_equal(formats.read(tmp_path / name).pixels[0], seen)


@pytest.mark.parametrize("inverted", [False, True])
def test_one_bit_becomes_eight(tmp_path, inverted):
    data = numbers((11, 13)) > 100
    kind = "miniswhite" if inverted else "minisblack"
    path = make(tmp_path / "a.tif", data, photometric=kind)
    image = formats.read(path)
    np.testing.assert_array_equal(image.pixels[0, ..., 0], data * np.uint8(255))
    assert image.unit_range.inverted == inverted


def test_tags_are_kept_page_by_page(tmp_path):
    data = numbers((2, 9, 8), "u2")
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for index, frame in enumerate(data):
            tiff.write(
                frame,
                metadata=None,
                description=f"page {index}",
                software="scanner 1.2",
                resolution=(300, 150),
                resolutionunit="CENTIMETER",
                iccprofile=b"profile!" * 4,
                datetime="2001:02:03 04:05:06",
                extratags=[(271, 2, 0, "maker", False), (274, 3, 1, 6, False)],
            )
    formats.write(formats.read(tmp_path / "a.tif"), tmp_path / "b.tif")
    with (
        tifffile.TiffFile(tmp_path / "a.tif") as before,
        tifffile.TiffFile(tmp_path / "b.tif") as after,
    ):
        codes = (270, 271, 274, 282, 283, 296, 305, 306, 34675)
        for one, other in zip(before.pages, after.pages, strict=True):
            for code in codes:
                assert one.aspage().tags.valueof(code) is not None
                assert one.aspage().tags.valueof(code) == other.aspage().tags.valueof(
                    code
                )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_white_point_and_primaries_keep_their_numbers(tmp_path, order, big):
    white = (3127, 10000, 329, 1000)
    primaries = (64, 100, 33, 100, 30, 100, 60, 100, 15, 100, 6, 100)
    tags = [
        (285, 10, 1, (-1, 3), True),  # a page name of a type it should not have
        (318, 5, 2, white, True),
        (319, 5, 6, primaries, True),
    ]
    path, data = tmp_path / "a.tif", numbers((9, 8, 3))
    make(path, data, photometric="rgb", byteorder=order, bigtiff=big, extratags=tags)
    formats.write(formats.read(path), tmp_path / "b.tif")
    formats.write(formats.read(tmp_path / "b.tif"), tmp_path / "c.tif")
    for name in ("b.tif", "c.tif"):
        with tifffile.TiffFile(tmp_path / name) as tiff:
            for code, kind, count, value, _ in tags:
                tag = tiff.pages[0].tags[code]
                assert (tag.dtype, tag.count, tag.value) == (kind, count, value)
        if big and order == ">":
            continue  # Pillow reads none
        with Pil.open(tmp_path / name) as picture:
            assert picture.tag_v2[318] == pytest.approx((0.3127, 0.329))
            assert len(picture.tag_v2[319]) == 6


def test_imagej_stays_imagej(tmp_path):
    data = numbers((4, 9, 8), "u2")
    options = {"metadata": {"axes": "ZYX", "spacing": 2.5, "Info": "hello"}}
    make(tmp_path / "a.tif", data, imagej=True, resolution=(3, 3), **options)
    image = formats.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels[..., 0], data)
    formats.write(image, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.is_imagej
        assert tiff.imagej_metadata["spacing"] == 2.5
        assert tiff.imagej_metadata["Info"] == "hello"
        np.testing.assert_array_equal(tiff.asarray(), data)


def test_ome_stays_ome(tmp_path):
    data = numbers((3, 9, 8), "u2")
    path = tmp_path / "a.ome.tif"
    make(path, data, ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 0.5})
    formats.write(formats.read(path), tmp_path / "b.ome.tif")
    with (
        tifffile.TiffFile(path) as one,
        tifffile.TiffFile(tmp_path / "b.ome.tif") as two,
    ):
        assert two.is_ome
        assert one.ome_metadata == two.ome_metadata
        np.testing.assert_array_equal(two.asarray(), data)


def test_ome_keeps_the_name_by_which_others_know_it():
    assert enhanced_name("a.b.ome.tif", "tiff", "same") == "a.b.enhanced.ome.tif"
    assert enhanced_name("a.OME.TIFF", "tiff", "tiff") == "a.enhanced.OME.TIFF"
    assert enhanced_name("a.ome.tif", "tiff", "png") == "a.enhanced.png"
    assert enhanced_name("a.png", "png", "tiff") == "a.enhanced.tif"
    assert numbered(Path("a.ome.tif"), 2) == Path("a-2.ome.tif")


def test_jpeg_inside_becomes_lossless(tmp_path):
    rows, columns = np.mgrid[:64, :64]
    data = np.stack([rows, columns, rows + columns], -1).astype("u1")
    make(tmp_path / "a.tif", data, compression="jpeg", photometric="rgb")
    image = formats.read(tmp_path / "a.tif")
    assert np.abs(image.pixels[0].astype(int) - data).mean() < 4
    formats.write(image, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        np.testing.assert_array_equal(tiff.asarray(), image.pixels[0])


def test_tiles_are_read(tmp_path):
    data = numbers((70, 90), "u2")
    image = formats.read(make(tmp_path / "a.tif", data, tile=(32, 32)))
    np.testing.assert_array_equal(image.pixels[0, ..., 0], data)


def test_pages_of_different_size_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(numbers((9, 8)), metadata=None)
        tiff.write(numbers((5, 8)), metadata=None)
    with pytest.raises(UnsupportedError, match="differ"):
        formats.read(tmp_path / "a.tif")


def test_pages_of_few_bits_among_others_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(numbers((8, 8)), photometric="minisblack")
        four = numbers((8, 8)) >> 4
        tiff.write(four, photometric="minisblack", bitspersample=4)
    with pytest.raises(UnsupportedError, match="differ"):
        formats.read(path)


def test_a_pyramid_is_read_at_its_full_size(tmp_path):
    data = numbers((64, 64))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(data, subifds=1, metadata=None)
        tiff.write(data[::2, ::2], subfiletype=1, metadata=None)
    with tifffile.TiffWriter(tmp_path / "b.tif") as tiff:
        tiff.write(data, metadata=None)
        tiff.write(data[::2, ::2], subfiletype=1, metadata=None)
    for name in ("a.tif", "b.tif"):
        image = formats.read(tmp_path / name)
        np.testing.assert_array_equal(image.pixels[0, ..., 0], data)


def test_pictures_hidden_behind_one_page_are_refused(tmp_path):
    make(tmp_path / "a.tif", numbers((5, 9, 8)), truncate=True)
    with pytest.raises(UnsupportedError, match="behind"):
        formats.read(tmp_path / "a.tif")


def test_shape_in_the_description_may_say_anything(tmp_path):
    words = json.dumps({"shape": [1e300, "x", None]})
    make(tmp_path / "a.tif", numbers((9, 8)), description=words, metadata=None)
    assert formats.read(tmp_path / "a.tif").frames == 1


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (numbers((9, 8, 4)), {"photometric": "separated"}),
        (np.ones((9, 8), "c8"), {}),
        (numbers((9, 8, 5)), {"photometric": "minisblack", "planarconfig": "contig"}),
        (numbers((9, 8, 3)), {"photometric": "cielab"}),
    ],
)
def test_other_kinds_are_refused(tmp_path, data, options):
    make(tmp_path / "a.tif", data, metadata=None, **options)
    with pytest.raises(UnsupportedError):
        formats.read(tmp_path / "a.tif")


def test_nan_is_frozen(tmp_path):
    data = numbers((9, 8), "f4")
    data[2, 3] = np.nan
    image = formats.read(make(tmp_path / "a.tif", data))
    assert image.frozen[0, 2, 3]
    assert image.frozen.sum() == 1
    formats.write(image.from_unit(1 - image.to_unit()), tmp_path / "b.tif")
    assert np.isnan(tifffile.imread(tmp_path / "b.tif")[2, 3])


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "jpeg"])
def test_truncated_files_never_give_pixels(tmp_path, compression):
    path = tmp_path / "a.tif"
    data = numbers((64, 64))
    make(path, data, compression=compression, rowsperstrip=8, metadata=None)
    whole = path.read_bytes()
    for share in np.linspace(0.01, 0.999, 60):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError):
            formats.read(path)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_mutated_files_raise_input_errors_only(tmp_path, compression, capfd):
    path = tmp_path / "a.tif"
    make(
        path,
        numbers((3, 24, 20), "u2"),
        compression=compression,
        photometric="minisblack",
    )
    whole = path.read_bytes()
    rng = np.random.default_rng(7)
    slowest = 0.0
    for _ in range(500):
        mutant = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 420), rng.integers(1, 8)):
            mutant[place] = rng.integers(256)
        path.write_bytes(mutant)
        start = time.process_time()
        try:
            image = formats.read(path)
            assert image.pixels.ndim == 4
        except InputError:
            pass
        slowest = max(slowest, time.process_time() - start)
    assert slowest < 2
    assert capfd.readouterr() == ("", "")


def test_a_million_pages_are_refused_at_once(tmp_path):
    entry = struct.pack("<HHII", 256, 3, 1, 1)
    step = 2 + len(entry) + 4
    pages = bytearray(struct.pack("<2sHI", b"II", 42, 8))
    for index in range(1_000_000):
        pages += struct.pack("<H", 1) + entry
        pages += struct.pack("<I", 8 + (index + 1) * step)
    path = tmp_path / "a.tif"
    path.write_bytes(pages)
    start = time.process_time()
    with pytest.raises(OverBudgetError):
        formats.read(path)
    assert time.process_time() - start < 2


def test_pages_in_a_circle_are_refused(tmp_path):
    path = make(tmp_path / "a.tif", numbers((9, 8)), metadata=None)
    raw = bytearray(path.read_bytes())
    (tags,) = struct.unpack_from("<H", raw, 8)
    struct.pack_into("<I", raw, 10 + 12 * tags, 8)
    path.write_bytes(raw)
    with pytest.raises(UnreadableError, match="circle"):
        formats.read(path)


def test_a_size_that_lies_is_refused(tmp_path):
    path = make(tmp_path / "a.tif", numbers((9, 8)), compression="zlib", metadata=None)
    raw = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        for code in (256, 257):
            tag = tiff.pages[0].tags[code]
            struct.pack_into("<I", raw, tag.valueoffset, 60_000)
            struct.pack_into("<H", raw, tag.offset + 2, 4)
    path.write_bytes(raw)
    start = time.process_time()
    with pytest.raises(InputError):
        formats.read(path)
    assert time.process_time() - start < 1


def test_changed_pixels_give_the_same_file_twice(tmp_path):
    image = formats.read(make(tmp_path / "a.tif", numbers((40, 50)), compression="lzw"))
    changed = image.from_unit(1 - image.to_unit())
    formats.write(changed, tmp_path / "b.tif")
    formats.write(changed, tmp_path / "c.tif")
    assert (tmp_path / "b.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()


def test_jpeg_strips_are_cut_or_larger_than_the_page(tmp_path):
    path = tmp_path / "a.tif"
    make(path, numbers((64, 64)), compression="jpeg", metadata=None)
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].dataoffsets[0]
        count = tiff.pages[0].tags[279]
    cut = bytearray(whole)
    layout = "<I" if count.dtype == 4 else "<H"
    struct.pack_into(
        layout, cut, count.valueoffset, tiff.pages[0].databytecounts[0] // 2
    )
    frame = whole.index(b"\xff\xc0", place)
    large = bytearray(whole)
    struct.pack_into(">HH", large, frame + 5, 65500, 65500)
    for data in (cut, large):
        path.write_bytes(data)
        with pytest.raises(UnreadableError):
            formats.read(path)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("tile", [None, (32, 48)])
def test_jpeg_in_strips_and_tiles(tmp_path, tile, colour):
    rows, columns = np.mgrid[:100, :90]
    data = (rows + columns).astype("u1")
    if colour:
        data = np.stack([data, data.T[:, :1].T + data * 0, 255 - data], -1)
    options = {"photometric": "rgb" if colour else "minisblack"}
    options |= {"tile": tile} if tile else {"rowsperstrip": 16}
    make(tmp_path / "a.tif", data, compression="jpeg", metadata=None, **options)
    pixels = formats.read(tmp_path / "a.tif").pixels[0]
    expected = tifffile.imread(tmp_path / "a.tif")
    np.testing.assert_array_equal(pixels.reshape(expected.shape), expected)


def test_compressions_without_a_guard_are_refused(tmp_path):
    make(tmp_path / "a.tif", numbers((64, 64)), compression="jpeg2000")
    with pytest.raises(UnsupportedError, match="JPEG"):
        formats.read(tmp_path / "a.tif")


def test_decoders_that_cannot_be_loaded_are_no_damage(tmp_path):
    """Nor in DICOM: tifffile and pydicom take want of them for damage."""
    make(tmp_path / "a.tif", numbers((64, 64)), compression="lzw")
    make(tmp_path / "plain.tif", numbers((64, 64)))
    (tmp_path / "imagecodecs.py").write_text("raise ImportError('no libtiff')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import medenh, pydicom.data\n"
        "medenh.read('plain.tif')\n"
        "rle = pydicom.data.get_testdata_file('MR_small_RLE.dcm')\n"
        "for path in ('a.tif', rle):\n"
        "    try: medenh.read(path)\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == 2
    for words in told:
        assert words.startswith("MedenhError ")
        assert "cannot be loaded: no libtiff (install medenh again)" in words


@pytest.mark.parametrize("dtype", ["u2", "i2", "u4", "i4", "u8", "i8"])
def test_the_range_does_not_depend_on_the_type_of_numbers(tmp_path, dtype):
    data = np.arange(300).reshape(15, 20).astype(dtype)
    path = make(tmp_path / "a.tif", data)
    limits = formats.read(path).unit_range
    assert (limits.low, limits.high, limits.guessed) == (0, 1023, True)
    found = medenh.enhance(path, model="identity", bits=12)
    assert found.unit_range.high == 4095
    if dtype.startswith("i"):
        make(path, data - 100)
        assert formats.read(path).unit_range.reason.startswith("percentiles")
