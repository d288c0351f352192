from __future__ import annotations

import io
import itertools
import struct
import time
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import ExifTags, ImageOps, PngImagePlugin
from PIL import Image as Pil

from medenh import formats
from medenh.errors import (
    InputError,
    MedenhError,
    OutOfMemoryError,
    OverBudgetError,
    UnreadableError,
    UnsupportedError,
)
from medenh.formats import exif, jpeg
from medenh.formats.exif import block as exif_block
from medenh.formats.exif import viewing as exif_viewing
from medenh.formats.readers import said_of
from medenh.pipeline.enhance import enhance
from medenh.types import Provenance


def colours(height=37, width=53, dtype=np.uint8, channels=3):
    rng = np.random.default_rng(5)
    top = np.iinfo(dtype).max
    return rng.integers(0, top, (height, width, channels), dtype, endpoint=True)


def smooth(height=64, width=96):
    rows, columns = np.mgrid[:height, :width]
    planes = [rows * 3 + columns, columns * 2, 255 - rows]
    return np.stack(planes, -1).astype(np.uint8)


def save(path: Path, array, **options) -> Path:
    Pil.fromarray(array).save(path, **options)
    return path


def read_pil(path: Path):
    with Pil.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_round_trip_of_every_kind(tmp_path, channels, dtype):
    import imagecodecs

    array = colours(dtype=dtype, channels=channels)
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(imagecodecs.png_encode(array if channels > 1 else array[..., 0]))
    image = formats.read(source)
    colour = 3 if channels > 2 else 1
    assert image.pixels.dtype == dtype
    np.testing.assert_array_equal(image.pixels[0], array[..., :colour])
    if channels in (2, 4):
        np.testing.assert_array_equal(image.alpha[0], array[..., -1])
    else:
        assert image.alpha is None
    formats.write(image, target)
    again = imagecodecs.png_decode(target.read_bytes())
    np.testing.assert_array_equal(again.reshape(array.shape), array)


def test_png_of_16_bit_colour_agrees_with_opencv(tmp_path):
    array = colours(dtype=np.uint16)
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), array[..., ::-1])
    np.testing.assert_array_equal(formats.read(path).pixels[0], array)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("colour", [0, 3])
def test_png_of_few_bits_agrees_with_pillow(tmp_path, bits, colour):
    width, height = 13, 3
    rng = np.random.default_rng(bits)
    values = rng.integers(0, 1 << bits, (height, width), np.uint8)
    wide = np.unpackbits(values[..., None], axis=-1)[..., -bits:].reshape(height, -1)
    packed = np.packbits(wide, axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))]
    if colour == 3:
        chunks.append((b"PLTE", rng.bytes(3 * (1 << bits))))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path = tmp_path / "few.png"
    path.write_bytes(make_png(chunks))
    with Pil.open(path) as picture:
        expected = np.asarray(picture.convert("RGB" if colour == 3 else "L"))
    pixels = formats.read(path).pixels[0]
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels.reshape(expected.shape), expected)


def make_png(chunks):
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        parts.append(struct.pack(">I", len(body)) + kind + body)
        parts.append(struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(parts)


PNG_DEPTHS = {
    0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16),
}  # fmt: skip
PASSES = (
    (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
    (1, 0, 2, 1),
)  # fmt: skip
SIZES = ((21, 13), (1, 1), (1, 5), (3, 2), (8, 8))


def packed_rows(array, depth):
    """Return rows as PNG has them, each behind the filter "none"."""
    rows = b""
    for row in array:
        bits = (row.reshape(-1, 1) >> np.arange(depth)[::-1]) & 1
        rows += b"\0" + np.packbits(bits.astype(bool)).tobytes() if row.size else b""
    return rows


def adam7_png(size, depth, colour, seen_through, interlaced, share=1.0):
    # Pillow writes no Adam7; seven passes by hand
    rng = np.random.default_rng(3)
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    array = rng.integers(0, 2**depth, (*size, samples))
    passes = PASSES if interlaced else [(0, 0, 1, 1)]
    rows = b"".join(packed_rows(array[t::d, x::a], depth) for t, x, d, a in passes)
    head = struct.pack(">IIBBBBB", *size[::-1], depth, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", head)]
    if colour == 3:
        chunks.append((b"PLTE", rng.bytes(3 * 2**depth)))
    if seen_through:
        veil = array[0, 0].astype(">u2").tobytes()
        chunks.append((b"tRNS", rng.bytes(2**depth) if colour == 3 else veil))
    rows = zlib.compress(rows[: int(len(rows) * share)])
    return make_png([*chunks, (b"IDAT", rows), (b"IEND", b"")])


def test_png_interlaced_is_read_as_plain_ones_are_and_in_silence(tmp_path, caplog):
    path = tmp_path / "adam.png"
    for depth, colour, seen_through in itertools.product(
        (1, 2, 4, 8, 16), (0, 2, 3, 4, 6), (False, True)
    ):
        if depth not in PNG_DEPTHS[colour] or (seen_through and colour in (4, 6)):
            continue
        for size in SIZES:
            found = []
            for interlaced in (True, False):
                data = adam7_png(size, depth, colour, seen_through, interlaced)
                path.write_bytes(data)
                found.append(formats.read(path))
            one, other = found
            assert one.pixels.dtype == other.pixels.dtype
            np.testing.assert_array_equal(one.pixels, other.pixels)
            assert (one.alpha is None) == (other.alpha is None)
            if one.alpha is not None:
                np.testing.assert_array_equal(one.alpha, other.alpha)
    assert caplog.records == []


def test_png_interlaced_agrees_with_opencv(tmp_path):
    path = tmp_path / "adam.png"
    path.write_bytes(adam7_png((21, 13), 16, 2, False, True))
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(formats.read(path).pixels[0], found[..., ::-1])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_png_interlaced_without_all_its_rows_is_refused(tmp_path, share):
    path = tmp_path / "adam.png"
    path.write_bytes(adam7_png((21, 13), 8, 2, False, True, share))
    with pytest.raises(UnreadableError, match="damaged PNG"):
        formats.read(path)


@pytest.mark.parametrize("extra", [[(b"ABCD", b"")], []])
def test_png_that_libpng_finds_no_words_for_is_refused_in_ours(tmp_path, extra):
    colour = 0 if extra else 3  # an unknown critical chunk, or no palette
    head = struct.pack(">IIBBBBB", 4, 4, 8, colour, 0, 0, 0)
    body = zlib.compress(bytes(4 * 5))
    path = tmp_path / "a.png"
    path.write_bytes(
        make_png([(b"IHDR", head), *extra, (b"IDAT", body), (b"IEND", b"")])
    )
    with pytest.raises(UnreadableError) as raised:
        formats.read(path)
    assert raised.value.what == "damaged PNG"


def test_png_keeps_profile_density_gamma_and_text(tmp_path):
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "left eye")
    notes.add_itxt("Title", "Ø")
    notes.add(b"gAMA", struct.pack(">I", 45455))
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    told = Pil.Exif()
    told[0x0112] = 6
    save(
        source,
        smooth(),
        pnginfo=notes,
        dpi=(300, 300),
        icc_profile=b"profile" * 9,
        exif=told,
    )
    image = formats.read(source)
    formats.write(image, target, provenance=Provenance("m-x", "1", "ab", "strength=1"))
    formats.write(formats.read(target), target.with_name("c.png"))
    for path in (target, target.with_name("c.png")):
        with Pil.open(path) as picture:
            assert picture.info["icc_profile"] == b"profile" * 9
            assert picture.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
            assert picture.info["gamma"] == pytest.approx(0.45455)
            assert picture.text["Comment"] == "left eye"
            assert picture.text["Title"] == "Ø"
            assert "m-x" in picture.text["Processing"]
            assert picture.getexif()[0x0112] == 6
            np.testing.assert_array_equal(np.asarray(picture), smooth())


def test_png_with_changed_pixels_is_deterministic(tmp_path):
    image = formats.read(save(tmp_path / "a.png", smooth()))
    changed = image.from_unit(1 - image.to_unit())
    formats.write(changed, tmp_path / "b.png")
    formats.write(changed, tmp_path / "c.png")
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    np.testing.assert_array_equal(read_pil(tmp_path / "b.png"), 255 - smooth())


def test_animated_png_is_refused(tmp_path):
    frames = [Pil.fromarray(smooth()), Pil.fromarray(255 - smooth())]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedError):
        formats.read(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_unchanged_gives_the_same_file(tmp_path, mode, progressive):
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    Pil.fromarray(smooth()).convert(mode).save(
        source, quality=80, progressive=progressive
    )
    image = formats.read(source)
    expected = read_pil(source)
    assert (
        np.abs(image.pixels.reshape(expected.shape).astype(int) - expected).max() <= 1
    )
    formats.write(image, target)
    assert target.read_bytes() == source.read_bytes()


def test_jpeg_changed_keeps_exif_orientation_profile_and_comment(tmp_path):
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    told = Pil.Exif()
    told[0x0112] = 6
    told[0x010F] = "camera"
    save(
        source,
        smooth(),
        quality=90,
        exif=told,
        icc_profile=b"profile" * 9,
        comment=b"note",
        dpi=(150, 150),
    )
    image = formats.read(source)
    assert image.pixels.shape == (1, 64, 96, 3), "stored orientation, not rotated"
    changed = image.from_unit(image.to_unit() * 0.5)
    formats.write(changed, target)
    with Pil.open(target) as picture:
        assert picture.getexif()[0x0112] == 6
        assert picture.getexif()[0x010F] == "camera"
        assert picture.info["icc_profile"] == b"profile" * 9
        assert picture.info["comment"] == b"note"
        assert picture.info["dpi"] == (150, 150)
        assert picture.layer[1][1:3] == (1, 1), "no chroma subsampling"
        error = np.asarray(picture).astype(int) - changed.pixels[0]
    assert np.abs(error).mean() < 1
    assert formats.read(target).pixels.shape == image.pixels.shape


def thumbnail():
    stream = io.BytesIO()
    Pil.fromarray(smooth(16, 24)).save(stream, "JPEG")
    return stream.getvalue()


def exif_with_thumbnail(order, *, last):
    """Orientation, the thumbnail, and a directory of Exif before or behind it."""
    small, comment = thumbnail(), b"ASCII\0\0\0left eye"
    second = 8 + 2 + 2 * 12 + 4
    free = second + 2 + 3 * 12 + 4
    inner = free if last else free + len(small)
    told = struct.pack(f"{order}HHHII", 1, 0x9286, 7, len(comment), inner + 18)
    told += bytes(4) + comment
    start = free + len(told) if last else free
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    first = struct.pack(f"{order}HHHIHxx", 2, 274, 3, 1, 6)
    first += struct.pack(f"{order}HHIII", 34665, 4, 1, inner, second)
    entries = struct.pack(f"{order}HHHIHxx", 3, 259, 3, 1, 6)
    for tag, value in ((513, start), (514, len(small))):
        entries += struct.pack(f"{order}HHII", tag, 4, 1, value)
    parts = (told, small) if last else (small, told)
    return b"".join((head, first, entries, bytes(4), *parts))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_the_thumbnail_of_the_old_picture_goes_and_other_exif_stays(
    tmp_path, order, last, name
):
    block = exif_with_thumbnail(order, last=last)
    path, target = tmp_path / name, tmp_path / f"b{name[1:]}"
    save(path, smooth(), exif=exif.JPEG_MARK + block)
    with Pil.open(path) as picture:
        assert picture.getexif().get_ifd(ExifTags.IFD.IFD1)[514] == len(thumbnail())
    image = formats.read(path)
    formats.write(image.from_unit(1 - image.to_unit()), target)
    with Pil.open(target) as picture:
        found = picture.getexif()
        assert not found.get_ifd(ExifTags.IFD.IFD1)
        assert found[0x0112] == 6
        assert found.get_ifd(0x8769)[0x9286] == b"ASCII\0\0\0left eye"
    assert thumbnail() in path.read_bytes()
    assert b"\xff\xda" not in exif.without_thumbnail(block)  # no scan of a JPEG


def test_a_damaged_exif_block_is_kept_as_it_is():
    block = exif_with_thumbnail("<", last=True)
    plain = exif_block(6)
    assert exif.without_thumbnail(plain) == plain
    for cut in range(len(block)):
        clean = exif.without_thumbnail(block[:cut])
        assert exif_viewing(clean) == exif_viewing(block[:cut])
    far = bytearray(block)
    struct.pack_into("<I", far, 34, 2**31)  # the second directory
    assert len(exif.without_thumbnail(bytes(far))) == len(block)
    for value in (0, 2**32 - 1):
        lying = bytearray(block)
        struct.pack_into("<I", lying, 38 + 2 + 3 * 12 - 4, value)
        assert exif.without_thumbnail(bytes(lying)).startswith(block[:34])


def test_thumbnails_of_jfif_and_photoshop_go_and_the_rest_stays(tmp_path):
    def resource(number, content, name=b""):
        title = bytes((len(name),)) + name
        title += bytes(len(title) % 2)
        head = b"8BIM" + struct.pack(">H", number) + title
        return (
            head + struct.pack(">I", len(content)) + content + bytes(len(content) % 2)
        )

    def segment(code, body):
        return b"\xff" + struct.pack(">BH", code, len(body) + 2) + body

    words, note = (
        resource(1028, b"\x1c\x02\x78\0\x05cells"),
        resource(1000, b"x", b"abc"),
    )
    small = [resource(number, bytes(28) + thumbnail()) for number in (1033, 1036)]
    resources = b"Photoshop 3.0\0" + words + small[0] + note + small[1]
    jfif = b"JFIF\0\1\2\1\0\x96\0\x96"
    raw = save(tmp_path / "plain.jpg", smooth()).read_bytes()
    own = 2 + 2 + 16  # the encoder's JFIF segment
    path, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    path.write_bytes(
        raw[:2]
        + segment(0xE0, jfif + bytes((4, 2)) + b"RGB" * 8)
        + segment(0xED, resources)
        + raw[own:]
    )
    image = formats.read(path)
    formats.write(image.from_unit(1 - image.to_unit()), target)
    written = target.read_bytes()
    assert segment(0xE0, jfif + bytes(2)) in written
    assert segment(0xED, b"Photoshop 3.0\0" + words + note) in written
    assert thumbnail()[-99:] not in written
    with Pil.open(target) as picture:
        assert picture.info["dpi"] == (150, 150)
        assert picture.info["photoshop"].keys() == {1028, 1000}
    cut = b"Photoshop 3.0\0" + words + small[1][:9]
    assert jpeg._without_thumbnail(segment(0xED, cut)) == segment(0xED, cut)


@pytest.mark.parametrize(
    ("kept", "has_jfif"),
    [
        ((), True),
        ((b"\xff\xfe\x00\x06note",), True),
        ((b"\xff\xe1\x00\x08Exif\0\0",), False),
    ],
    ids=["nothing", "comment", "Exif"],
)
def test_jpeg_keeps_the_encoders_jfif_unless_it_is_of_another_kind(
    tmp_path, kept, has_jfif
):
    encoded = save(tmp_path / "a.jpg", smooth()).read_bytes()
    spliced = jpeg.splice(encoded, kept)
    assert (b"JFIF\0" in spliced) == has_jfif
    assert all(one in spliced for one in kept)


def test_jpeg_of_cmyk_is_refused(tmp_path):
    Pil.fromarray(smooth()).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(UnsupportedError):
        formats.read(tmp_path / "a.jpg")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_jpeg_cut_and_closed_again_is_refused(tmp_path, share):
    stream = io.BytesIO()
    Pil.fromarray(colours(128, 128)).save(stream, "JPEG")
    data = stream.getvalue()
    path = tmp_path / "a.jpg"
    path.write_bytes(data[: int(len(data) * share)].rstrip(b"\xff") + b"\xff\xd9")
    with pytest.raises(UnreadableError):
        formats.read(path)


def test_jpeg_with_dark_border_and_trailing_bytes_is_read(tmp_path):
    array = smooth()
    array[40:] = 0
    path = save(tmp_path / "a.jpg", array)
    path.write_bytes(path.read_bytes() + b"trailer\xff\xd8")
    assert formats.read(path).pixels[0, 50:].max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bmp_round_trip_agrees_with_pillow(tmp_path, mode):
    source, target = tmp_path / "a.bmp", tmp_path / "b.bmp"
    picture = Pil.fromarray(smooth(33, 41)).convert(mode)
    picture.save(source, dpi=(200, 200))
    image = formats.read(source)
    with Pil.open(source) as opened:
        keep = {"1": "L", "L": "L"}.get(mode, "RGB")
        expected = np.asarray(opened.convert(keep))
    np.testing.assert_array_equal(image.pixels.reshape(expected.shape), expected)
    formats.write(image, target)
    with Pil.open(target) as opened:
        np.testing.assert_array_equal(np.asarray(opened.convert(keep)), expected)
        assert opened.info["dpi"] == pytest.approx((200, 200), rel=1e-3)


def test_bmp_with_declared_alpha(tmp_path):
    from medenh.formats import bmp

    array = colours(5, 7, channels=4)
    path = tmp_path / "a.bmp"
    path.write_bytes(bmp.encode(array))
    image = formats.read(path)
    np.testing.assert_array_equal(image.alpha[0], array[..., 3])
    np.testing.assert_array_equal(read_pil(path), array)
    formats.write(image, tmp_path / "b.bmp")
    np.testing.assert_array_equal(read_pil(tmp_path / "b.bmp"), array)


def test_bmp_top_down_and_opencv_agree(tmp_path):
    array = smooth(10, 11)
    path = tmp_path / "a.bmp"
    cv2.imwrite(str(path), array[..., ::-1])
    np.testing.assert_array_equal(formats.read(path).pixels[0], array)
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, 22, -10)
    path.write_bytes(data)
    np.testing.assert_array_equal(formats.read(path).pixels[0], array[::-1])


def samples(folder: Path) -> dict[str, Path]:
    return {
        "png": save(folder / "s.png", colours(32, 40)),
        "jpeg": save(folder / "s.jpg", smooth()),
        "bmp": save(folder / "s.bmp", colours(32, 40)),
    }


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp"])
def test_truncated_files_never_give_pixels(tmp_path, kind):
    path = samples(tmp_path)[kind]
    data = path.read_bytes()
    for share in np.linspace(0.01, 0.999, 60):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError) as caught:
            formats.read(path)
        assert caught.value.hint  # what to do


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp"])
def test_mutated_files_raise_input_errors_only(tmp_path, kind, capfd):
    path = samples(tmp_path)[kind]
    data = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(500):
        mutant = bytearray(data)
        for place in rng.integers(0, min(len(data), 700), rng.integers(1, 8)):
            mutant[place] = rng.integers(256)
        path.write_bytes(mutant)
        try:
            image = formats.read(path)
        except InputError:
            continue
        assert image.pixels.ndim == 4
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def bomb_png(side: int) -> bytes:
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(2**20)) * 2
    return make_png([(b"IHDR", head), (b"IDAT", body), (b"IEND", b"")])


@pytest.mark.parametrize("side", [30_000, 12_000])
def test_png_bomb_is_refused_at_once(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb_png(side))
    start = time.process_time()
    with pytest.raises(OverBudgetError) as caught:
        formats.read(path)
    assert time.process_time() - start < 0.5
    assert "--max-" in caught.value.hint


def test_multi_frame_does_not_fit_one_png_but_fits_several(tmp_path):
    from medenh.formats.array import from_array

    stack = colours(8, 9, channels=1)[..., 0][None].repeat(3, 0)
    image = from_array(stack)
    with pytest.raises(UnsupportedError):
        formats.write(image, tmp_path / "a.png")
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    formats.write(image, paths)
    for index, path in enumerate(paths):
        np.testing.assert_array_equal(read_pil(path), stack[index])


def test_floats_become_16_bit_png_through_the_unit_range(tmp_path):
    from medenh.formats.array import from_array

    array = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    formats.write(from_array(array), tmp_path / "a.png")
    pixels = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    np.testing.assert_allclose(pixels / 65535, array, atol=1e-5)


def test_jpeg_cannot_keep_alpha(tmp_path):
    image = formats.read(save(tmp_path / "a.png", colours(channels=4)))
    with pytest.raises(UnsupportedError):
        formats.write(image, tmp_path / "a.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "npy"])
def test_memory_that_runs_out_is_not_called_damage(tmp_path, monkeypatch, kind):
    def exhausted(*args, **options):
        raise MemoryError("Unable to allocate 12.0 MiB")

    path = tmp_path / f"a.{kind}"
    formats.write(np.zeros((8, 8), np.uint8), path)
    monkeypatch.setattr("imagecodecs.png_decode", exhausted)
    monkeypatch.setattr("imagecodecs.jpeg8_decode", exhausted)
    monkeypatch.setattr("medenh.formats.tiff._samples", exhausted)
    monkeypatch.setattr("medenh.formats.array.read", exhausted)
    with pytest.raises(OutOfMemoryError, match="does not fit in memory"):
        formats.read(path)


@pytest.mark.parametrize("turned", [3, 6])
@pytest.mark.parametrize("order", ["II", "MM"])
def test_the_way_up_goes_along_between_jpeg_and_png(tmp_path, turned, order):
    pixels = np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8)
    source, there, back = (tmp_path / name for name in ("a.jpg", "b.png", "c.jpg"))
    told = Pil.Exif()
    exif.endian = {"II": "<", "MM": ">"}[order]
    told[0x010F] = "maker"
    told[0x0112] = turned
    told[0x8825] = {1: "N", 2: (50.0, 4.0, 0.0)}
    Pil.fromarray(pixels).save(source, exif=told, quality=95)
    formats.write(formats.read(source), there)
    formats.write(formats.read(there), back)
    stored = formats.read(source).pixels[0]
    np.testing.assert_array_equal(formats.read(there).pixels[0], stored)
    for path in (there, back):
        with Pil.open(path) as opened:
            told = opened.getexif()
            assert dict(told) == {0x0112: turned}, "nothing else of it goes along"
            shown = ImageOps.exif_transpose(opened).size
        with Pil.open(source) as opened:
            assert shown == ImageOps.exif_transpose(opened).size


def test_an_upright_picture_gets_no_exif(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((8, 8, 3), np.uint8))
    formats.write(formats.read(tmp_path / "a.jpg"), tmp_path / "b.png")
    assert b"eXIf" not in (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("end", range(27))
def test_damaged_exif_says_nothing(end):
    whole = exif_block(6)
    assert exif_viewing(whole).orientation == 6
    assert exif_viewing(whole[:end]).orientation in (1, 6)
    for place in range(len(whole)):
        changed = bytes([*whole[:place], whole[place] ^ 0xFF, *whole[place + 1 :]])
        assert 1 <= exif_viewing(changed).orientation <= 8


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("1", "its 1-bit grey becomes 8-bit: 1 is written as 255"),
        ("P", "its palette becomes RGB"),
        ("L", ""),
        ("RGB", ""),
    ],
)
def test_a_picture_says_what_becomes_of_few_bits_and_palettes(tmp_path, mode, told):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    Pil.fromarray(grey).convert(mode).save(tmp_path / "a.png")
    image = formats.read(tmp_path / "a.png")
    assert said_of(image) == ([told] if told else [])


def test_four_bits_are_told_as_in_tiff(tmp_path):
    rows = b"".join(b"\0" + bytes([0x0F, 0x5A]) for _ in range(4))
    body = struct.pack(">IIBBBBB", 4, 4, 4, 0, 0, 0, 0)
    chunks = [(b"IHDR", body), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(one))
        + kind
        + one
        + struct.pack(">I", zlib.crc32(kind + one))
        for kind, one in chunks
    )
    (tmp_path / "a.png").write_bytes(data)
    image = formats.read(tmp_path / "a.png")
    np.testing.assert_array_equal(image.pixels[0, 0, :, 0], [0, 255, 85, 170])
    assert said_of(image) == ["its 4-bit grey becomes 8-bit: 15 is written as 255"]


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        ("png.so: failed to map segment", OutOfMemoryError, "does not fit in memory"),
        ("libpng.so: not found", MedenhError, "what reads png files cannot be loaded"),
    ],
)
def test_a_decoder_that_cannot_be_loaded_is_no_damage(
    reason, kind, words, tmp_path, monkeypatch
):
    path = tmp_path / "a.png"
    formats.write(np.zeros((20, 20), np.uint8), path)

    def decode(_):
        raise ImportError(reason)

    monkeypatch.setattr(imagecodecs, "png_decode", decode)
    with pytest.raises(kind, match=words) as caught:
        formats.read(path)
    assert not isinstance(caught.value, InputError)
    # nor does it end a run: other formats may be readable
    summary = enhance([path], tmp_path / "out", model="identity")
    assert [failure.path for failure in summary.failed] == [path]
