"""Pages that are copies, stacks, channels, parts of a set: read, told of or refused."""

from __future__ import annotations

import json
import struct
import time

import numpy as np
import pytest
import tifffile

from medenh import formats
from medenh.errors import OverBudgetError, UnsupportedError
from medenh.formats import tiff_pages
from medenh.formats.array import from_array
from medenh.formats.tiff import told_of_pages

GREY = {"photometric": "minisblack", "metadata": None}


def numbers(shape, dtype="u2"):
    return np.random.default_rng(4).integers(0, 256, shape).astype(dtype)


def pages_of(path, frames, **options):
    with tifffile.TiffWriter(path) as tiff:
        for frame in frames:
            tiff.write(frame, **GREY, **options)
    return path


def description_of(path):
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[0].description


def write_back(source, path):
    formats.write(formats.read(source), path)
    return path


def stk_file(path, planes):
    """Write planes as MetaMorph does: one page, the pixels one after the other."""
    count, height, width = planes.shape
    times = struct.pack("<6I", 1, 1, 2450000, 0, 2450000, 0) * count
    plain = [
        (254, 4, 0), (256, 4, width), (257, 4, height), (258, 3, 16), (259, 3, 1),
        (262, 3, 1), (277, 3, 1), (278, 4, height), (279, 4, height * width * 2),
    ]  # fmt: skip
    start = 8 + 2 + 12 * (len(plain) + 3) + 4
    tags = [(code, kind, 1, value) for code, kind, value in plain]
    tags += [(273, 4, 1, start + len(times) + 16), (33628, 4, 1, start + len(times))]
    tags += [(33629, 5, count, start)]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    head += b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    path.write_bytes(
        head + bytes(4) + times + bytes(16) + planes.astype("<u2").tobytes()
    )
    return path


def test_a_stack_of_metamorph_is_refused(tmp_path):
    planes = numbers((6, 9, 8))
    path = stk_file(tmp_path / "a.stk.tif", planes)
    np.testing.assert_array_equal(tifffile.imread(path), planes)
    with pytest.raises(UnsupportedError, match="6 pictures behind a single page"):
        formats.read(path)
    single = formats.read(stk_file(tmp_path / "b.tif", planes[:1]))
    np.testing.assert_array_equal(single.pixels[..., 0], planes[:1])


def test_several_series_behind_single_pages_are_refused(tmp_path):
    data = numbers((6, 9, 8))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(data, photometric="minisblack", truncate=True)
        tiff.write(data + 1, photometric="minisblack", truncate=True)
    with pytest.raises(UnsupportedError, match="6 pictures behind"):
        formats.read(tmp_path / "a.tif")


@pytest.mark.parametrize("marked", ["all", "all but the first", "old tag"])
def test_pages_marked_as_copies_but_not_smaller_are_pages(tmp_path, marked):
    data = numbers((3, 9, 8))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for index, frame in enumerate(data):
            options = {"subfiletype": int(marked == "all" or index > 0)}
            if marked == "old tag":
                options = {"extratags": [(255, 3, 1, 2 if index else 1, True)]}
            tiff.write(frame, **GREY, **options)
    image = formats.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels[..., 0], data)
    again = formats.read(write_back(tmp_path / "a.tif", tmp_path / "b.tif"))
    np.testing.assert_array_equal(again.pixels, image.pixels)


def test_copies_of_all_sizes_alone_are_refused(tmp_path):
    data = numbers((64, 64))
    pages_of(tmp_path / "a.tif", [data[::4, ::4], data], subfiletype=1)
    with pytest.raises(UnsupportedError, match="differ"):
        formats.read(tmp_path / "a.tif")


def test_a_thumbnail_that_comes_first_is_left_out_with_its_words(tmp_path):
    data = numbers((64, 64))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(data[::4, ::4], photometric="minisblack", subfiletype=1)
        tiff.write(data, photometric="minisblack")
    image = formats.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels[0, ..., 0], data)
    formats.write(image, tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), data)
    assert description_of(tmp_path / "b.tif") == ""


@pytest.mark.parametrize("marks", [(1, 0), (0, 0), (0, 1)])
def test_a_full_picture_under_another_page_is_refused(tmp_path, marks):
    data = numbers((64, 64))
    outer = data[::4, ::4] if marks == (1, 0) else data
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(outer, subifds=1, subfiletype=marks[0], **GREY)
        tiff.write(data, subfiletype=marks[1], **GREY)
    with pytest.raises(UnsupportedError, match="64x64 pixels in a SubIFD"):
        formats.read(tmp_path / "a.tif")


def test_a_level_of_a_pyramid_need_not_be_marked(tmp_path):
    data = numbers((64, 64))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(data, subifds=1, **GREY)
        tiff.write(data[::2, ::2], subfiletype=0, **GREY)
    np.testing.assert_array_equal(
        formats.read(tmp_path / "a.tif").pixels[0, ..., 0], data
    )


def test_subifds_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_pages, "MAX_PAGES", 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(numbers((64, 64)), subifds=4, **GREY)
        for _ in range(4):
            tiff.write(numbers((32, 32)), subfiletype=1, **GREY)
    with pytest.raises(OverBudgetError):
        formats.read(tmp_path / "a.tif")


def packed_file(path, values, bits):
    rows = np.unpackbits(values[..., None], axis=-1)[..., -bits:]
    data = np.packbits(rows.reshape(len(values), -1), axis=-1).tobytes()
    height, width = values.shape
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1),
        (273, 4, 122), (277, 3, 1), (278, 4, height), (279, 4, len(data)),
    ]  # fmt: skip
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    head += b"".join(struct.pack("<HHII", code, kind, 1, v) for code, kind, v in tags)
    path.write_bytes(head + bytes(4) + data)
    return path


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_become_eight_and_it_is_told(tmp_path, bits):
    values = numbers((11, 13), "u1") % 2**bits
    image = formats.read(packed_file(tmp_path / "a.tif", values, bits))
    top = 2**bits - 1
    np.testing.assert_array_equal(image.pixels[0, ..., 0], values * (255 // top))
    (word,) = told_of_pages(image)
    assert word == f"its {bits}-bit grey becomes 8-bit: {top} is written as 255"


def colour_map():
    return np.random.default_rng(2).integers(0, 65536, (3, 256)).astype("u2")


def test_a_palette_is_told_and_its_old_shape_is_not_kept(tmp_path):
    data = numbers((2, 9, 8), "u1")
    options = {"photometric": "palette", "colormap": colour_map()}
    tifffile.imwrite(tmp_path / "a.tif", data, **options)
    assert "shape" in description_of(tmp_path / "a.tif")
    image = formats.read(tmp_path / "a.tif")
    assert told_of_pages(image) == ["its palette becomes RGB"]
    formats.write(image, tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), image.pixels)
    assert description_of(tmp_path / "b.tif") == ""


def test_ome_and_imagej_that_no_longer_fit_are_left_out(tmp_path):
    bits, levels = numbers((3, 9, 8)) > 100, numbers((9, 8), "u1")
    lut = (colour_map() >> 8).astype("u1")
    make = tifffile.imwrite
    make(
        tmp_path / "a.ome.tif", bits, metadata={"axes": "ZYX"}, photometric="minisblack"
    )
    make(tmp_path / "a.tif", levels, imagej=True, colormap=lut, metadata={"Info": "x"})
    for name, teller in (("a.ome.tif", "OME"), ("a.tif", "ImageJ")):
        image = formats.read(tmp_path / name)
        assert f"what {teller} says of its axes" in told_of_pages(image)[1]
        formats.write(image, tmp_path / f"b{name}")
        assert description_of(tmp_path / f"b{name}") == ""
        with tifffile.TiffFile(tmp_path / f"b{name}") as tiff:
            assert not {50838, 50839} & {tag.code for tag in tiff.pages[0].tags}
            assert tiff.series[0].dtype == "u1"


def test_words_of_the_user_stay_where_pixels_change(tmp_path):
    options = {"photometric": "palette", "colormap": colour_map(), "metadata": None}
    data = numbers((9, 8), "u1")
    tifffile.imwrite(tmp_path / "a.tif", data, description="left eye", **options)
    assert (
        description_of(write_back(tmp_path / "a.tif", tmp_path / "b.tif")) == "left eye"
    )


def member(tmp_path, index, frame):
    """Write one of two files that are the channels of one OME picture."""
    ids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{i}" for i in range(2)]
    height, width = frame.shape[-2:]
    planes = "".join(
        f'<TiffData IFD="{z}" FirstC="{i}" FirstZ="{z}" PlaneCount="1">'
        f'<UUID FileName="c{i}.ome.tif">{ids[i]}</UUID></TiffData>'
        for i in range(2)
        for z in range(len(frame))
    )
    words = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="{ids[index]}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'DimensionOrder="XYZCT" Type="uint16" SizeX="{width}" SizeY="{height}" '
        f'SizeC="2" SizeZ="{len(frame)}" SizeT="1">{planes}</Pixels></Image></OME>'
    )
    path = tmp_path / f"c{index}.ome.tif"
    tifffile.imwrite(path, frame, description=words, **GREY)
    return path


def test_one_file_of_an_ome_set_is_told_and_all_of_them_stay_a_set(tmp_path):
    data = numbers((2, 3, 9, 8))
    (tmp_path / "out").mkdir()
    for index, frame in enumerate(data):
        path = member(tmp_path, index, frame)
        image = formats.read(path)
        np.testing.assert_array_equal(image.pixels[..., 0], frame)
        (word,) = told_of_pages(image)
        assert "is one of 2 files" in word
        formats.write(image, tmp_path / "out" / path.name)
    found = tifffile.imread(tmp_path / "out" / "c0.ome.tif")
    np.testing.assert_array_equal(found, data)


@pytest.mark.parametrize("prefix", ["", "OME:"])
def test_planes_of_a_single_ome_file_name_no_file(tmp_path, prefix):
    """Bio-Formats would take those of the file of that name, where it is there."""
    data = numbers((2, 9, 8))
    planes = "".join(
        f'<{prefix}TiffData IFD="{z}" FirstZ="{z}" PlaneCount="1">\n'
        f'<{prefix}UUID FileName="a.ome.tif">urn:uuid:1</{prefix}UUID>\n'
        f"</{prefix}TiffData>"
        for z in range(2)
    )
    colon = prefix and f":{prefix[:-1]}"
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    words = (
        f'<{prefix}OME xmlns{colon}="{space}" '
        f'UUID="urn:uuid:1"><{prefix}Image ID="Image:0"><{prefix}Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint16" SizeX="8" SizeY="9" SizeC="1" '
        f'SizeZ="2" SizeT="1" PhysicalSizeX="0.5">{planes}</{prefix}Pixels>'
        f"</{prefix}Image></{prefix}OME>"
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", data, description=words, **GREY)
    write_back(tmp_path / "a.ome.tif", tmp_path / "b.ome.tif")
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tiff:
        kept = tiff.pages[0].description
        assert tiff.series[0].axes == "ZYX"
        np.testing.assert_array_equal(tiff.asarray(), data)
    assert "FileName" not in kept
    assert f"{prefix}UUID FileName" in words
    assert kept.count(f"<{prefix}TiffData IFD") == 2
    assert 'PhysicalSizeX="0.5"' in kept


def test_words_that_look_like_endless_planes_are_read_at_once(tmp_path):
    trap = "<UUID " * 30_000
    words = f"<OME><Note><![CDATA[{trap}]]></Note></OME>"
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, numbers((9, 8)), description=words, **GREY)
    start = time.monotonic()
    formats.read(path)
    assert time.monotonic() - start < 5


def test_what_is_left_out_is_told(tmp_path):
    data = numbers((2, 9, 8))
    tags = [
        (51123, 2, 8, '{"a":1}', True),
        (33333, 3, 1, 7, True),
        (65000, 3, 1, 7, True),
    ]
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(data, subifds=1, extratags=tags, **GREY)
        tiff.write(data[:, ::2, ::2].copy(), subfiletype=1, **GREY)
    image = formats.read(path)
    (word,) = told_of_pages(image)
    assert word.startswith("is written without ")
    for lost in ("MicroManagerMetadata", "tag 33333", "tag 65000", "smaller copies"):
        assert lost in word
    kept = [(34675, 7, 4, b"icc ", True), (700, 1, 4, b"<x/>", True)]
    tifffile.imwrite(path, data, extratags=kept, **GREY)
    assert told_of_pages(formats.read(path)) == []


def test_a_file_whose_ome_lies_elsewhere_is_told(tmp_path):
    words = '<OME><BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:1"/></OME>'
    tifffile.imwrite(tmp_path / "a.tif", numbers((9, 8)), description=words, **GREY)
    (word,) = told_of_pages(formats.read(tmp_path / "a.tif"))
    assert "one of several files" in word


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("CYX", (2, 9, 8)),
        ("TZCYX", (2, 2, 3, 9, 8)),
        ("CZYX", (2, 3, 9, 8)),
        ("TCZYX", (2, 3, 2, 9, 8)),
        ("ZYX", (4, 9, 8)),
    ],
)
@pytest.mark.parametrize("program", ["ome", "imagej", "shaped"])
def test_pages_know_their_channels(tmp_path, program, axes, shape):
    if program == "imagej" and axes not in ("CYX", "TZCYX", "ZYX"):
        pytest.skip("ImageJ knows one order")
    number = numbers(shape)
    if "C" in axes:  # the channel of each page is what its pixels hold
        place = axes.index("C")
        values = np.arange(shape[place], dtype="u2")
        number[:] = values.reshape([-1 if a == "C" else 1 for a in axes])
    options = {} if program == "imagej" else {"photometric": "minisblack"}
    tifffile.imwrite(
        tmp_path / "a.tif",
        number,
        metadata={"axes": axes},
        **{program: True},
        **options,
    )
    image = formats.read(tmp_path / "a.tif")
    assert told_of_pages(image) == []
    held = tuple(int(page[0, 0, 0]) for page in image.pixels)
    assert image.channel_of == (held if "C" in axes else None)


def ome(blocks, *, size=(2, 2, 1), order="XYZCT"):
    channels, slices, times = size
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="{order}" '
        f'Type="uint16" SizeX="8" SizeY="9" SizeC="{channels}" SizeZ="{slices}" '
        f'SizeT="{times}">{blocks}</Pixels></Image></OME>'
    )


def block(page, channel, plane=0, count=1):
    return (
        f'<TiffData IFD="{page}" FirstC="{channel}" FirstZ="{plane}" '
        f'PlaneCount="{count}"/>'
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ome(block(0, 1) + block(1, 0) + block(2, 0, 1) + block(3, 1, 1)),
            (1, 0, 0, 1),
        ),
        (ome("<TiffData/>"), (0, 0, 1, 1)),
        (ome("", order="XYCZT"), (0, 1, 0, 1)),
        (ome(block(0, 0, 0, 4)), (0, 0, 1, 1)),
        (ome(block(0, 0, 0, 2) + block(2, 1, 0, 2)), None),
        (ome(block(0, 1) + block(1, 0)), None),
        (ome("", size=(2, 3, 1)), None),
        (ome("", order="XYZC"), None),
    ],
)
def test_what_ome_says_of_pages_is_followed_or_nothing_is(tmp_path, words, expected):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers((4, 9, 8)), description=words, **GREY)
    image = formats.read(path)
    assert image.channel_of == expected
    told = told_of_pages(image)
    assert [word.startswith("its 2 channels are taken as slices") for word in told] == (
        [] if expected else [True]
    )


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("program", ["ome", "shaped"])
def test_colours_are_no_channels(tmp_path, program, planar):
    axes, shape = (
        ("ZYXS", (2, 9, 8, 3)) if planar == "contig" else ("ZSYX", (2, 3, 9, 8))
    )
    tifffile.imwrite(
        tmp_path / "a.tif",
        numbers(shape, "u1"),
        photometric="rgb",
        planarconfig=planar,
        metadata={"axes": axes},
        **{program: True},
    )
    assert told_of_pages(formats.read(tmp_path / "a.tif")) == []


@pytest.mark.parametrize(
    "words",
    [
        '<OME><Pixels SizeC="many"/></OME>',
        '<OME><Pixels SizeC="2"</OME>',
        '<!DOCTYPE a [<!ENTITY a "2">]><OME><Pixels SizeC="&a;"/></OME>',
        "<OME>" * 10_000 + "</OME>" * 10_000,
        "ImageJ=1.5\nchannels=9999999999999",
        json.dumps({"shape": [2, None, 3], "axes": "CYX"}),
        json.dumps({"shape": [2, 9], "axes": "CYX"}),
    ],
)
def test_descriptions_may_say_anything(tmp_path, words):
    path = pages_of(tmp_path / "a.tif", numbers((2, 9, 8)), description=words)
    image = formats.read(path)
    assert image.frames == 2
    assert told_of_pages(image) == []


def test_pictures_of_other_kinds_tell_nothing():
    assert told_of_pages(from_array(numbers((9, 8)))) == []


@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_complex_numbers_are_named(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((9, 8), dtype))
    with pytest.raises(UnsupportedError, match="complex numbers"):
        formats.read(tmp_path / "a.tif")


def test_a_unit_of_the_wrong_type_is_left_out(tmp_path):
    path = pages_of(tmp_path / "a.tif", numbers((1, 9, 8)), resolution=(3, 3))
    raw = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        struct.pack_into("<H", raw, tiff.pages[0].tags[296].offset + 2, 1)  # BYTE
    path.write_bytes(raw)
    again = formats.read(write_back(path, tmp_path / "b.tif"))
    np.testing.assert_array_equal(again.pixels, formats.read(path).pixels)


def test_a_page_that_is_called_a_mask_is_written_as_a_page(tmp_path):
    path = pages_of(tmp_path / "a.tif", numbers((1, 9, 8)), subfiletype=2)
    raw = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        struct.pack_into("<I", raw, tiff.pages[0].tags[254].valueoffset, 4)
    path.write_bytes(raw)
    again = formats.read(write_back(path, tmp_path / "b.tif"))
    np.testing.assert_array_equal(again.pixels, formats.read(path).pixels)


def ome_of(dtype, *told):
    """Return OME's words on one picture for each number of significant bits."""
    pixels = "".join(
        f'<Image ID="Image:{i}"><Pixels DimensionOrder="XYCZT" Type="{dtype}" '
        f'SizeX="8" SizeY="9" SizeC="1" SizeZ="1" SizeT="1" {words}>'
        f'<TiffData IFD="{i}"/></Pixels></Image>'
        for i, words in enumerate(told)
    )
    head = '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy'
    return f'{head}.org/Schemas/OME/2016-06">{pixels}</OME>'


@pytest.mark.parametrize(
    ("words", "high", "reason"),
    [
        ('SignificantBits="12"', 4095, "12 bits, told"),
        ('SignificantBits="14"', 16383, "14 bits, told"),
        ('SignificantBits="16"', 1023, "10 bits in 16"),  # the size of the type
        ('SignificantBits="1"', 1023, "10 bits in 16"),
        ('SignificantBits="0"', 1023, "10 bits in 16"),
        ('SignificantBits="-4"', 1023, "10 bits in 16"),
        ('SignificantBits="many"', 1023, "10 bits in 16"),
        ('SignificantBits="99999999999"', 1023, "10 bits in 16"),
        ('SignificantBits="8"', 1023, "10 bits in 16"),  # its values are beyond it
        ("", 1023, "10 bits in 16"),
    ],
)
def test_ome_tells_the_depth(tmp_path, words, high, reason):
    data = numbers((9, 8)) + 600
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, data, description=ome_of("uint16", words), **GREY)
    found = formats.read(path).unit_range
    assert (found.high, found.reason) == (high, reason)
    assert found.guessed == (reason == "10 bits in 16")
    back = formats.read(write_back(path, tmp_path / "b.tif"))
    assert back.unit_range == found


def test_ome_tells_the_depth_of_all_pictures_or_of_none(tmp_path):
    for second, high in (("14", 16383), ("", 1023), ("16", 1023)):
        words = ['SignificantBits="12"', f'SignificantBits="{second}"']
        description = ome_of("uint16", *words)
        with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
            tiff.write(numbers((9, 8)) + 600, description=description, **GREY)
            tiff.write(numbers((9, 8)), **GREY)
        assert formats.read(tmp_path / "a.ome.tif").unit_range.high == high


@pytest.mark.parametrize(("dtype", "high"), [("uint32", 4095), ("uint8", 255)])
def test_ome_tells_the_depth_of_other_types(tmp_path, dtype, high):
    bits = 12 if dtype == "uint32" else 6
    data = numbers((9, 8), dtype) // 8
    words = ome_of(dtype, f'SignificantBits="{bits}"')
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, data, description=words, **GREY)
    assert formats.read(path).unit_range.high == high


def test_both_of_two_descriptions_are_kept(tmp_path):
    data = numbers((3, 9, 8))
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="minisblack", description="left knee"
    )
    write_back(tmp_path / "a.tif", tmp_path / "b.tif")
    with (
        tifffile.TiffFile(tmp_path / "a.tif") as before,
        tifffile.TiffFile(tmp_path / "b.tif") as after,
    ):
        page = after.pages[0]
        assert page.description == "left knee"
        assert page.description1 == before.pages[0].description1
        assert after.is_shaped
        np.testing.assert_array_equal(after.asarray(), data)
        assert [one.aspage().description for one in after.pages[1:]] == ["", ""]


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_channels_in_one_page_are_refused_with_what_to_do(tmp_path, planar):
    data = numbers((9, 8, 2) if planar == "contig" else (2, 9, 8))
    tifffile.imwrite(tmp_path / "a.tif", data, planarconfig=planar, **GREY)
    with pytest.raises(UnsupportedError, match="each channel in a file of its own"):
        formats.read(tmp_path / "a.tif")
