"""Files of ImageJ: read here by the rules of its own reader, which are not TIFF's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from medenh import formats
from medenh.formats.tiff_imagej import without_display_range

LUT = np.arange(768, dtype="u1").reshape(3, 256)


def numbers(shape, dtype="u2"):
    return np.random.default_rng(4).integers(0, 255, shape).astype(dtype)


def as_imagej_reads(path):
    """Return the pages that lie behind the first page's pixels, tags or not."""
    with tifffile.TiffFile(path) as tiff:
        page, count = tiff.pages[0], tiff.imagej_metadata["images"]
        dtype = page.dtype.newbyteorder(tiff.byteorder)
        data = path.read_bytes()[page.dataoffsets[0] :]
    size = count * int(np.prod(page.shape))
    return np.frombuffer(data, dtype, size).reshape(count, *page.shape)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 9, 7), "u1"), ((4, 6, 5), "f4"), ((2, 5, 7, 3), "u1")]
)
def test_imagej_finds_all_pages_of_a_stack(tmp_path, shape, dtype, order):
    data, axes = numbers(shape, dtype), "ZYXS"[: len(shape)]
    metadata = {"axes": axes, "Labels": ["a"] * shape[0]}
    tifffile.imwrite(
        tmp_path / "a.tif", data, imagej=True, byteorder=order, metadata=metadata
    )
    formats.write(formats.read(tmp_path / "a.tif"), tmp_path / "b.tif")
    found = as_imagej_reads(tmp_path / "b.tif")
    np.testing.assert_array_equal(found, as_imagej_reads(tmp_path / "a.tif"))
    np.testing.assert_array_equal(found, data)
    with tifffile.TiffFile(
        tmp_path / "b.tif"
    ) as tiff:  # by the tags they are there too
        pages = np.stack([page.asarray() for page in tiff.pages])
        assert [270 in page.tags for page in tiff.pages] == [True] + [False] * (
            shape[0] - 1
        )
    np.testing.assert_array_equal(pages, data)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_display_range_of_other_pixels_is_left_out(tmp_path, order, compression):
    metadata = {
        "axes": "CYX", "mode": "composite", "unit": "um", "min": 3.0, "max": 90.0,
        "Ranges": (3.0, 90.0, 1.0, 40.0), "LUTs": [LUT, LUT[::-1]],
        "Labels": ["one", "two"], "Info": "min=5\nkept",
    }  # fmt: skip
    tifffile.imwrite(
        tmp_path / "a.tif",
        numbers((2, 9, 8)),
        imagej=True,
        byteorder=order,
        compression=compression,
        metadata=metadata,
    )
    formats.write(formats.read(tmp_path / "a.tif"), tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        found = tiff.imagej_metadata
    assert not {"min", "max", "Ranges"} & set(found)
    assert (found["images"], found["channels"], found["unit"]) == (2, 2, "um")
    assert (found["Labels"], found["Info"]) == (["one", "two"], "min=5\nkept")
    np.testing.assert_array_equal(found["LUTs"], [LUT, LUT[::-1]])


def test_tags_that_hold_ranges_alone_go_whole(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        numbers((2, 9, 8)),
        imagej=True,
        metadata={"axes": "CYX", "Ranges": (3.0, 90.0, 1.0, 40.0)},
    )
    formats.write(formats.read(tmp_path / "a.tif"), tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.is_imagej
        assert not {50838, 50839} & {tag.code for tag in tiff.pages[0].tags}


@pytest.mark.parametrize(
    ("counts", "parts"),
    [
        (b"", b""),
        (b"\x0c\0\0\0", b"IJIJ"),
        (b"\x0c\0\0\0\x08\0\0\0", b"JIJI" + b"gnar" + b"\x09\0\0\0" + bytes(8)),
        (b"\x04\0\0\0\x08\0\0\0", b"JIJI" + bytes(8)),
        (b"\xff\xff\xff\xff\x08\0\0\0", b"JIJI" + b"gnar" + bytes(8)),
    ],
)
def test_damaged_tags_of_imagej_stay_as_they_are(counts, parts):
    tags = [
        (50838, 4, len(counts) // 4, counts),
        (50839, 1, len(parts), parts),
        (270, 2, 9, b"min=3\nby\0"),
    ]
    assert without_display_range(tags, "<") == tags


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
@pytest.mark.parametrize(
    "part", [np.s_[:2], np.s_[:, 1:, 2:]], ids=["frames", "cropped"]
)
def test_a_part_of_the_pages_has_no_words_on_all_of_them(tmp_path, name, part):
    path, data = tmp_path / name, numbers((4, 9, 8))
    told = {"ome": True} if "ome" in name else {"imagej": True}
    tifffile.imwrite(path, data, metadata={"axes": "ZYX"}, **told)
    image = formats.read(path)
    formats.write(replace(image, pixels=image.pixels[part]), tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert not (tiff.is_ome)
        assert not (tiff.is_imagej)
        np.testing.assert_array_equal(tiff.asarray(), data[part])
