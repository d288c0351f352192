from __future__ import annotations

import pickle
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicom_maker import CAPTURE, CT, noise, ramp, save, save_jpeg
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medenh import formats, intensity
from medenh.errors import (
    OutOfMemoryError,
    OverBudgetError,
    UnreadableError,
    UnsupportedError,
    UsageError,
)
from medenh.formats import dicom
from medenh.formats.discover import discover
from medenh.formats.limits import Limits
from medenh.formats.readers import said_of
from medenh.pipeline.enhance import enhance
from medenh.pipeline.fidelity import check_input
from medenh.types import Modality
from medenh.zoo.manifest import load_manifest

LINE = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def stored_of(image):
    return intensity.to_stored(image.pixels, image.storage)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_every_type_is_read_in_every_encoding(tmp_path, syntax, dtype):
    limits = np.iinfo(dtype)
    pixels = ramp((9, 7), dtype, limits.min, limits.max)
    encode = (lambda ds: ds.compress(RLELossless)) if syntax == RLELossless else None
    first = pydicom.uid.ExplicitVRLittleEndian if encode else syntax
    path = save(tmp_path / "a", pixels, syntax=first, encode=encode)
    image = dicom.read([path])
    assert image.pixels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.pixels[0, :, :, 0], pixels)


@pytest.mark.parametrize(
    ("slope", "intercept"),
    [(1, -1024), (2, -4096), (0.1, 7.3), (-1, 0), (2.0002442, -4047), (1e-3, 5e4)],
)
@pytest.mark.parametrize(("dtype", "bits"), [("u2", 12), ("u2", 16), ("i2", 16)])
def test_every_stored_value_survives_the_rescale(
    tmp_path, slope, intercept, dtype, bits
):
    low = -(1 << (bits - 1)) if dtype == "i2" else 0
    pixels = np.arange(low, low + (1 << bits)).astype(dtype).reshape(64, -1)
    more = {"RescaleSlope": slope, "RescaleIntercept": intercept}
    image = dicom.read([save(tmp_path / "a", pixels, bits=bits, **more)])
    np.testing.assert_array_equal(stored_of(image)[0, :, :, 0], pixels)
    expected = pixels.astype(float) * slope + intercept
    np.testing.assert_allclose(image.pixels[0, :, :, 0], expected, rtol=1e-6, atol=1e-3)
    assert (image.pixels.dtype.kind == "i") == (slope == 1)
    same = image.from_unit(image.to_unit())
    np.testing.assert_array_equal(stored_of(same), stored_of(image))


def test_ct_is_in_hounsfield_units_and_12_bits_fit_int16(tmp_path):
    more = {"RescaleSlope": 1, "RescaleIntercept": -1024, "sop_class": CT}
    path = save(tmp_path / "a", ramp(), bits=12, modality="CT", **more)
    image = dicom.read([path])
    assert (image.units, image.modality) == ("HU", Modality.CT)
    assert image.pixels.dtype == np.int16
    assert image.pixels.min() == -1024
    assert (image.unit_range.low, image.unit_range.high) == (-160.0, 240.0)
    assert image.unit_range.reason == "soft tissue"


def test_a_secondary_capture_of_ct_is_not_in_hounsfield_units(tmp_path):
    more = {"RescaleSlope": 1, "RescaleIntercept": 0, "sop_class": CAPTURE}
    image = dicom.read([save(tmp_path / "a", ramp(dtype="u1", high=255), **more)])
    assert image.units == ""
    assert (image.unit_range.low, image.unit_range.high) == (0.0, 255.0)


def test_the_first_window_is_taken(tmp_path):
    window = {"WindowCenter": [2000, 5], "WindowWidth": [4000, 2]}
    unit_range = dicom.read([save(tmp_path / "a", ramp(), **window)]).unit_range
    # PS3.3 C.11.2.1.2.1: centre - 0.5 -+ (width - 1) / 2
    assert (unit_range.low, unit_range.high) == (0.0, 3999.0)
    assert unit_range.reason == "window"


def test_an_exact_window_has_no_half_pixel(tmp_path):
    window = {"WindowCenter": 2000, "WindowWidth": 4000}
    path = save(tmp_path / "a", ramp(), VOILUTFunction="LINEAR_EXACT", **window)
    unit_range = dicom.read([path]).unit_range
    assert (unit_range.low, unit_range.high) == (0.0, 4000.0)


@pytest.mark.parametrize("width", [4e9, 4e30])
def test_a_window_of_large_quantities_is_taken(tmp_path, width):
    more = {"RescaleSlope": width / 4096, "RescaleIntercept": 0, "modality": "PT"}
    window = {"WindowCenter": width / 2, "WindowWidth": width}
    image = dicom.read([save(tmp_path / "a", ramp(), **more, **window)])
    assert image.unit_range.reason == "window"
    assert image.unit_range.high == pytest.approx(width)
    np.testing.assert_allclose(image.to_unit()[0, 0], ramp() / 4096, atol=1e-6)


@pytest.mark.parametrize(
    ("centre", "width"),
    [(30000, 100), (500, 0), (500, 1), (500, 1e308), (1e20, 100)],
)
def test_a_stale_or_empty_window_is_not_used(tmp_path, centre, width):
    window = {"WindowCenter": centre, "WindowWidth": width}
    image = dicom.read([save(tmp_path / "a", ramp(), **window)])
    assert image.unit_range.reason.startswith("percentiles")


def test_a_narrow_window_of_ct_is_kept(tmp_path):
    more = {"RescaleSlope": 1, "RescaleIntercept": -1024, "sop_class": CT}
    window = {"WindowCenter": 40, "WindowWidth": 80}
    more.update(window, modality="CT")
    image = dicom.read([save(tmp_path / "a", ramp((64, 64)), **more)])
    assert image.unit_range.reason == "window"


def test_a_window_of_ct_in_stored_numbers_is_not_used(tmp_path):
    # a body of -100 to 200 HU in air, and the window of soft tissue without the rescale
    pixels = np.full((64, 64), 24, "u2")
    pixels[8:56, 8:56] = ramp((48, 48), low=924, high=1224)
    more = {"RescaleSlope": 1, "RescaleIntercept": -1024, "sop_class": CT}
    for centre, reason in ((1064, "soft tissue"), (40, "window")):
        more.update(WindowCenter=centre, WindowWidth=400, modality="CT")
        image = dicom.read([save(tmp_path / "a", pixels, **more)])
        assert (image.unit_range.low, image.unit_range.reason) == (-160.0, reason)
        told = said_of(image)
        assert len(told) == (reason == "soft tissue")
    more.update(WindowCenter=1064)
    with pytest.warns(UserWarning, match="window of 864 to 1263 HU shows less than 1 "):
        enhance(save(tmp_path / "a", pixels, **more), tmp_path / "b", model="identity")


def test_a_window_of_soft_tissue_in_air_alone_is_none_to_tell_of(tmp_path):
    more = {"RescaleSlope": 1, "RescaleIntercept": -1024, "sop_class": CT}
    more.update(WindowCenter=40, WindowWidth=400, modality="CT")
    image = dicom.read([save(tmp_path / "a", ramp((64, 64), high=200), **more)])
    assert image.unit_range.reason == "soft tissue"
    assert not said_of(image)


def test_monochrome1_is_seen_inverted_and_stored_as_it_is(tmp_path):
    path = save(tmp_path / "a", ramp(), photometric="MONOCHROME1", modality="CR")
    image = dicom.read([path])
    assert image.unit_range.inverted
    assert image.modality is Modality.XRAY
    np.testing.assert_array_equal(image.pixels[0, :, :, 0], ramp())
    assert image.to_unit()[0, 0, 0, 0] == 1.0


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_a_shape_that_contradicts_the_polarity_is_told_and_not_followed(tmp_path, kind):
    for shape in ("IDENTITY", "INVERSE", ""):
        more = {"photometric": kind, "PresentationLUTShape": shape, "modality": "DX"}
        image = dicom.read([save(tmp_path / "a", ramp(), **more)])
        assert image.unit_range.inverted == (kind == "MONOCHROME1")
        wrong = shape == ("IDENTITY" if kind == "MONOCHROME1" else "INVERSE")
        assert [
            f"({shape}) contradicts its {kind}" in one for one in said_of(image)
        ] == ([True] if wrong else [])


@pytest.mark.parametrize(("value", "dtype"), [(-2000, "i2"), (63536, "i2"), (0, "u2")])
def test_padding_is_frozen(tmp_path, value, dtype):
    pixels = ramp((8, 8), dtype, 1, 900)
    pixels[:2] = np.array(value).astype("u2").astype(dtype)

    def encode(made):
        made.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)

    path = save(tmp_path / "a", pixels, encode=encode)
    image = dicom.read([path])
    assert image.frozen is not None
    assert image.frozen[0, :2].all()
    assert not image.frozen[0, 2:].any()
    changed = image.from_unit(1 - image.to_unit())
    np.testing.assert_array_equal(changed.pixels[0, :2, :, 0], pixels[:2])


@pytest.mark.parametrize("word", ["PT", "NM"])
def test_nuclear_medicine_is_no_ct(tmp_path, word):
    """Such slices look like CT and MRI; the file tells, so looks are not asked."""
    image = dicom.read([save(tmp_path / "a", noise((64, 64)), modality=word)])
    assert image.modality is Modality.NUCLEAR
    manifest = load_manifest()
    refused, _ = check_input(image, manifest.get("denoise-ct"))
    assert refused == ["denoise-ct was made for ct, and this is nuclear"]
    chosen = manifest.resolve("auto", str(image.modality), volume=True)
    assert chosen.card.id == "nlm"
    assert check_input(image, chosen.card) == ([], [])


def modality_table():
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 16])
    table.LUTExplanation, table.ModalityLUTType = "x", "US"
    table.add_new("LUTData", "OW", bytes(8192))
    return {"ModalityLUTSequence": Sequence([table])}


XA, XRF = "1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2"


@pytest.mark.parametrize(
    ("sop_class", "word", "reason"),
    [
        (XA, "LOG", "window"),
        (XRF, "DISP", "window"),
        (XA, "LIN", "percentiles"),
        (CAPTURE, "LOG", "percentiles"),
    ],
)
def test_windows_of_angiography_are_for_stored_values(
    tmp_path, sop_class, word, reason
):
    """Its lookup table leads back to intensity, and is not for display."""
    more = {
        "WindowCenter": 2048,
        "WindowWidth": 4096,
        "modality": "XA",
        **modality_table(),
    }
    pixels = ramp(high=2000)
    told = {"PixelIntensityRelationship": word, "sop_class": sop_class, **more}
    image = dicom.read([save(tmp_path / "a", pixels, **told)])
    assert image.unit_range.reason.startswith(reason)
    if reason == "window":
        assert (image.unit_range.low, image.unit_range.high) == (0.0, 4095.0)
    np.testing.assert_array_equal(image.pixels[0, :, :, 0], pixels)


@pytest.mark.parametrize(
    ("slope", "width", "reason"),
    [
        (0.0002, 32767, "percentiles"),  # of stored numbers
        (0.0002, 10, "window"),
        (0.000002, 10, "window"),  # true, and of a slice that holds next to nothing
        (0.5, 32767, "window"),
        (1, 4000000, "window"),  # dark, and no rescale that would explain it
    ],
)
def test_a_window_of_pet_in_stored_numbers_is_not_used(tmp_path, slope, width, reason):
    pixels = noise((64, 64), high=32767)
    more = {"RescaleSlope": slope, "RescaleIntercept": 0, "modality": "PT"}
    window = {"WindowCenter": width / 2, "WindowWidth": width}
    path = save(
        tmp_path / "a",
        pixels,
        sop_class="1.2.840.10008.5.1.4.1.1.128",
        **more,
        **window,
    )
    unit_range = dicom.read([path]).unit_range
    assert unit_range.reason.startswith(reason)
    if reason == "percentiles":
        assert unit_range.high == pytest.approx(32767 * slope, rel=0.02)


def test_a_modality_table_keeps_stored_values(tmp_path):
    window = {"WindowCenter": 2000, "WindowWidth": 4000}
    image = dicom.read([save(tmp_path / "a", ramp(), **modality_table(), **window)])
    np.testing.assert_array_equal(image.pixels[0, :, :, 0], ramp())
    assert image.unit_range.reason.startswith("percentiles")


@pytest.mark.parametrize(
    ("syntax", "promised", "beyond"),
    [
        *[("native", 4, 0), ("native", 3, 1), ("native", None, 3)],
        *[("rle", 4, 0), ("rle", None, 3), ("rle, long table", 3, 1)],
        *[("422", 4, 0), ("422", 3, 1)],
    ],
)
def test_frames_that_the_header_does_not_tell_of_are_told(
    tmp_path, syntax, promised, beyond
):
    frames = noise((4, 8, 6, 3), "u1", 256)

    def encode(made):
        if syntax.startswith("rle"):
            longer = {"encapsulate_ext": True} if "long" in syntax else {}
            made.compress(RLELossless, generate_instance_uid=False, **longer)
        elif syntax == "422":
            made.PhotometricInterpretation = "YBR_FULL_422"
            made.PixelData = frames[..., :2].tobytes()
        made.NumberOfFrames = promised
        if promised is None:
            del made.NumberOfFrames

    more = {"sop_class": CAPTURE, "modality": "US"}
    image = dicom.read([save(tmp_path / "a", frames, encode=encode, **more)])
    assert image.frames == (promised or 1)
    for kind in ("dicom", "npy"):
        words = dicom.lost_meaning(image, kind)
        assert len(words) == (1 if beyond else 0)
        assert all(f"{beyond} are left out" in word for word in words)
    again = pickle.loads(pickle.dumps(image))
    assert dicom.lost_meaning(again, "dicom") == dicom.lost_meaning(image, "dicom")


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize(
    ("syntax", "promised", "parts", "beyond"),
    [
        *[(JPEGLSLossless, 4, 1, 0), (JPEGLSLossless, None, 1, 3)],
        *[(JPEG2000Lossless, 3, 1, 1), (JPEG2000Lossless, None, 2, 3)],
        *[(JPEGLosslessSV1, 3, 2, 1), (JPEGLosslessSV1, 4, 3, 0)],
        *[(RLELossless, 4, 1, 0), (RLELossless, None, 1, 3), (RLELossless, 3, 1, 1)],
        *[(RLELossless, 4, 2, 0), (RLELossless, None, 2, 3)],
    ],
)
def test_compressed_frames_are_counted_without_a_table_of_offsets(
    tmp_path, syntax, promised, parts, beyond, table
):
    frames = noise((4, 64, 48), "u1", 256)

    def encode(made):
        if syntax == JPEGLosslessSV1:
            streams = [imagecodecs.jpeg8_encode(one, lossless=True) for one in frames]
            made.file_meta.TransferSyntaxUID = syntax
        else:
            made.compress(syntax, generate_instance_uid=False)
            streams = list(generate_frames(made.PixelData, number_of_frames=4))
        made.PixelData = encapsulate(streams, fragments_per_frame=parts, has_bot=table)
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True
        made.NumberOfFrames = promised or 1

    image = dicom.read([save(tmp_path / "a", frames, encode=encode)])
    np.testing.assert_array_equal(image.pixels[..., 0], frames[: promised or 1])
    words = dicom.lost_meaning(image, "dicom")
    assert len(words) == (1 if beyond else 0)
    assert all(f"{beyond} are left out" in word for word in words)


def test_colour_that_is_not_halved_as_it_is_said_to_be_is_named(tmp_path):
    for shape in ((8, 6, 3), (3, 5, 2, 3), (9, 5, 3)):
        more = {"photometric": "YBR_FULL_422", "sop_class": CAPTURE}
        path = save(tmp_path / "a", noise(shape, "u1", 256), **more)
        with pytest.raises(UnreadableError, match="three samples a pixel") as caught:
            dicom.read([path])
        assert "PhotometricInterpretation: RGB or YBR_FULL" in caught.value.hint


def test_ybr_becomes_the_rgb_that_pydicom_gives(tmp_path):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
    path = save(tmp_path / "a", pixels, photometric="YBR_FULL")
    expected = pydicom.pixels.convert_color_space(pixels, "YBR_FULL", "RGB")
    image = dicom.read([path])
    np.testing.assert_array_equal(image.pixels[0], expected)
    assert (image.unit_range.low, image.unit_range.high) == (0.0, 255.0)


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1])
@pytest.mark.parametrize(
    ("shape", "dtype", "high"),
    [
        ((33, 21), "u1", 256),
        ((33, 21), "u2", 4096),
        ((33, 21), "u2", 65536),
        ((33, 21), "i2", 65536),
        ((33, 21, 3), "u1", 256),
    ],
)
def test_jpeg_lossless_is_read_bit_for_bit(tmp_path, syntax, shape, dtype, high):
    pixels = noise(shape, "u2", high).astype(dtype)
    image = dicom.read([save_jpeg(tmp_path / "a", pixels, syntax)])
    np.testing.assert_array_equal(image.pixels[0], pixels.reshape(33, 21, -1))


def test_jpeg_lossless_colours_are_converted_once(tmp_path):
    """A JFIF marker makes JPEG libraries take components for YCbCr."""
    jfif = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"

    def change(stream):
        stream = stream.replace(b"R\x11\0G\x11\0B\x11\0", b"\1\x11\0\2\x11\0\3\x11\0")
        stream = stream.replace(b"\3R\0G\0B\0", b"\3\1\0\2\0\3\0")
        return stream[:2] + jfif + stream[2:]

    pixels = noise((33, 21, 3), "u1", 256)
    more = {"photometric": "YBR_FULL", "change": change}
    path = save_jpeg(tmp_path / "a", pixels, JPEGLosslessSV1, **more)
    expected = pydicom.pixels.convert_color_space(pixels, "YBR_FULL", "RGB")
    np.testing.assert_array_equal(dicom.read([path]).pixels[0], expected)


def test_jpeg_of_12_bits_is_read(tmp_path):
    pixels = ramp((64, 48))
    path = save_jpeg(tmp_path / "a", pixels, JPEGExtended12Bit, bits=12)
    image = dicom.read([path])
    assert image.storage.maximum == 4095
    off = image.pixels[0, :, :, 0].astype(int) - pixels
    assert np.abs(off).max() < 60


@pytest.mark.parametrize("bits", [12, 15])
@pytest.mark.parametrize(
    ("syntax", "encoder"),
    [
        (JPEGLSLossless, imagecodecs.jpegls_encode),
        (JPEG2000Lossless, imagecodecs.jpeg2k_encode),
    ],
)
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "whole"])
def test_signs_survive_code_streams_of_more_bits(
    masked, syntax, encoder, bits, tmp_path
):
    half = 1 << (bits - 1)
    pixels = ramp((32, 32), "i2", -half, half - 1)
    words = pixels.view("u2") & ((1 << bits) - 1 if masked else 0xFFFF)
    how = {} if syntax == JPEGLSLossless else {"level": 0, "codecformat": "j2k"}
    stream = encoder(words, **how)  # of 16 bits, as the array is

    def encode(made):
        made.PixelData = encapsulate([bytes(stream)])
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True

    path = save(tmp_path / "in", pixels, syntax=syntax, bits=bits, encode=encode)
    image = dicom.read([path])
    np.testing.assert_array_equal(image.pixels[0, :, :, 0], pixels)
    assert (image.storage.minimum, image.storage.maximum) == (-half, half - 1)


def test_planar_colour_is_read(tmp_path):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)

    def encode(made):
        made.PlanarConfiguration = 1
        made.PixelData = pixels.transpose(2, 0, 1).tobytes()

    path = save(tmp_path / "a", pixels, encode=encode)
    np.testing.assert_array_equal(dicom.read([path]).pixels[0], pixels)


def test_values_that_start_at_bit_4_are_moved(tmp_path):
    path = save(tmp_path / "a", ramp() << 4, bits=12, HighBit=15)
    np.testing.assert_array_equal(dicom.read([path]).pixels[0, :, :, 0], ramp())


def test_a_wrong_high_bit_does_not_shift_good_values(tmp_path):
    path = save(tmp_path / "a", ramp(), bits=12, HighBit=15)
    np.testing.assert_array_equal(dicom.read([path]).pixels[0, :, :, 0], ramp())


def series(tmp_path, places, numbers, **more):
    paths = []
    for index, (place, number) in enumerate(zip(places, numbers, strict=True)):
        where = {} if place is None else {"ImagePositionPatient": [0, 0, place]}
        paths.append(
            save(
                tmp_path / f"{index}.dcm",
                np.full((4, 5), index, "u2"),
                InstanceNumber=number,
                SOPInstanceUID=f"1.2.3.4.{index}",
                ImageOrientationPatient=LINE,
                PixelSpacing=[0.5, 0.25],
                **where,
                **more,
            )
        )
    return paths


@pytest.mark.parametrize(
    ("places", "numbers", "expected"),
    [
        ((9, 3, 6), (1, 2, 3), [1, 2, 0]),
        ((None, None, None), (3, 1, 2), [1, 2, 0]),
        ((5, 5, 5), (3, 2, 1), [2, 1, 0]),
        ((None, None, None), (None, 1, 2), [0, 1, 2]),
    ],
)
def test_a_series_is_sorted(tmp_path, places, numbers, expected):
    image = dicom.read(series(tmp_path, places, numbers))
    assert image.pixels[:, 0, 0, 0].tolist() == expected


def test_a_file_given_twice_is_taken_once(tmp_path):
    path = save(tmp_path / "a", ramp())
    assert formats.read([path, str(tmp_path / "." / "a"), path]).frames == 1


def test_a_folder_is_refused_with_how_a_series_is_read(tmp_path):
    with pytest.raises(UnreadableError, match=r"sorted\(folder\.glob"):
        formats.read(tmp_path)


def test_the_geometry_of_a_series(tmp_path):
    image = dicom.read(series(tmp_path, (9, 3, 6), (1, 2, 3)))
    assert image.geometry.spacing_mm == (3.0, 0.5, 0.25)
    expected = [[0.25, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 3, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(image.geometry.affine, expected)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    first = save(tmp_path / "a", ramp())
    other = save(tmp_path / "b", ramp(), SeriesInstanceUID="1.9")
    larger = save(tmp_path / "c", ramp((9, 9)))
    several = save(tmp_path / "d", ramp((2, 8, 6)))
    for second in (other, larger, several):
        with pytest.raises(UnsupportedError) as caught:
            dicom.read([first, second])
        assert caught.value.path == second
    with pytest.raises(UsageError):
        dicom.read([])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"BitsAllocated": 32, "BitsStored": 32, "Rows": 4}, UnsupportedError),
        ({"BitsAllocated": 1, "BitsStored": 1}, UnsupportedError),
        ({"BitsAllocated": 12, "BitsStored": 12}, UnsupportedError),
        ({"BitsStored": 17}, UnreadableError),
        ({"Rows": 0}, UnreadableError),
        ({"Columns": 7}, UnreadableError),
        ({"NumberOfFrames": 2}, UnreadableError),
        ({"SamplesPerPixel": 4, "PhotometricInterpretation": "CMYK"}, UnsupportedError),
        ({"SamplesPerPixel": 3}, UnreadableError),
        ({"PhotometricInterpretation": "HSV"}, UnsupportedError),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"}, UnsupportedError),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, UnsupportedError),
        ({"Rows": None}, UnreadableError),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, change, error):
    def encode(made):
        for keyword, value in change.items():
            setattr(made, keyword, value)

    with pytest.raises(error):
        dicom.read([save(tmp_path / "a", ramp(), encode=encode)])


def test_headers_are_checked_against_the_limits_before_decoding(tmp_path):
    def encode(made):
        made.Rows = made.Columns = 60000

    path = save(tmp_path / "a", ramp(), encode=encode)
    with pytest.raises(OverBudgetError):
        dicom.read([path])
    many = save(tmp_path / "b", ramp((40, 8, 6)))
    with pytest.raises(OverBudgetError):
        dicom.read([many], limits=Limits(max_voxels=100))
    slices = series(tmp_path, (1, 2, 3), (1, 2, 3))
    with pytest.raises(OverBudgetError):
        dicom.read(slices, limits=Limits(max_voxels=50))
    # of 128 KiB each, in a few KiB
    packed = [
        save(
            path,
            np.zeros((256, 256), "u2"),
            encode=lambda made: made.compress(RLELossless),
            InstanceNumber=index,
        )
        for index, path in enumerate(slices)
    ]
    limits = Limits(max_bytes=200_000)
    assert dicom.read(packed[:1], limits=limits).frames == 1
    with pytest.raises(OverBudgetError, match="of pixels"):
        dicom.read(packed, limits=limits)


def test_memory_that_runs_out_is_not_damage_and_ends_no_search(tmp_path, monkeypatch):
    def exhausted(*args, **options):
        raise MemoryError

    paths = series(tmp_path, (1, 2), (1, 2))
    monkeypatch.setattr("pydicom.dcmread", exhausted)
    with pytest.raises(OutOfMemoryError, match="does not fit in memory"):
        formats.read(paths[0])
    found = discover([tmp_path])
    assert sorted(path for path, _ in found.rejected) == sorted(paths)


def test_a_retired_syntax_is_refused_by_name(tmp_path):
    path = save(tmp_path / "a", ramp())
    data = path.read_bytes()
    old = b"1.2.840.10008.1.2.1\0"
    path.write_bytes(data.replace(old, b"1.2.840.10008.1.2.2\0", 1))
    retired = save(
        tmp_path / "b",
        ramp(),
        encode=lambda made: made.compress(RLELossless),
    ).read_bytes()
    name = b"1.2.840.10008.1.2.5\0"
    assert retired.count(name) == 1
    # same length, so that group 0002 stays whole
    swapped = retired.replace(b"\x14\0" + name, b"\x16\0" + b"1.2.840.10008.1.2.4.53")
    at = swapped.index(b"UL\x04\0") + 4
    total = int.from_bytes(swapped[at : at + 4], "little") + 2
    swapped = swapped[:at] + total.to_bytes(4, "little") + swapped[at + 4 :]
    path.write_bytes(swapped)
    with pytest.raises(UnsupportedError, match="Spectral Selection"):
        dicom.read([path])


def deflated_bomb(payload: bytes) -> bytes:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    uid = b"1.2.840.10008.1.2.1.99"
    meta = b"\x02\0\x10\0UI" + len(uid).to_bytes(2, "little") + uid
    head = b"\x02\0\0\0UL\x04\0" + len(meta).to_bytes(4, "little")
    return (
        bytes(128) + b"DICM" + head + meta + squeezer.compress(payload)
    ) + squeezer.flush()


@pytest.mark.parametrize("preamble", [True, False])
def test_deflated_bombs_are_refused(tmp_path, preamble):
    path = tmp_path / "bomb"
    limits = Limits(ratio_floor_bytes=1 << 20, max_dataset_bytes=1 << 22)
    one_value = b"\x09\0\x10\0OB\0\0" + (8 << 20).to_bytes(4, "little") + bytes(8 << 20)
    for payload in (one_value, bytes(8 << 20)):
        path.write_bytes(deflated_bomb(payload)[0 if preamble else 128 :])
        for call in (dicom.read_header, lambda one, **how: dicom.read([one], **how)):
            with pytest.raises(OverBudgetError):
                call(path, limits=limits)


def test_endless_nesting_is_refused(tmp_path):
    level = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    path = tmp_path / "deep"
    path.write_bytes(deflated_bomb(level * 20000))
    with pytest.raises(UnreadableError):
        dicom.read([path])


def test_the_header_tells_what_groups_a_series(tmp_path):
    first, second, third = series(tmp_path, (9, 3, 6), (1, 2, 3))
    header = dicom.read_header(first)
    assert header.is_image
    assert (header.rows, header.columns, header.frames) == (4, 5, 1)
    assert header.position == 9.0
    assert header.series_key == dicom.read_header(second).series_key
    several = save(tmp_path / "m", ramp((2, 4, 5)))
    assert dicom.read_header(several).series_key != header.series_key
    other = save(tmp_path / "o", ramp((4, 5)), SeriesInstanceUID="1.9")
    assert dicom.read_header(other).series_key != header.series_key
    assert third.exists()


def test_dicom_is_told_from_its_content(tmp_path):
    plain = save(tmp_path / "a", ramp()).read_bytes()
    assert dicom.is_dicom(plain[:132])
    assert not dicom.is_dicom(plain[:131])
    assert dicom.is_dicom(plain[132:200])
    for encoding in (ImplicitVRLittleEndian, pydicom.uid.ExplicitVRLittleEndian):
        data = save(tmp_path / "b", ramp(), syntax=encoding).read_bytes()
        start = data.index(b"\x08\0\x08\0")
        assert dicom.is_dicom(data[start : start + 132])
        bare = tmp_path / "bare"
        bare.write_bytes(data[start:])
        np.testing.assert_array_equal(dicom.read([bare]).pixels[0, :, :, 0], ramp())
    for other in (b"", b"\x89PNG\r\n\x1a\n" + bytes(200), bytes(400), b"\x08\0" * 100):
        assert not dicom.is_dicom(other)
    assert not dicom.is_dicom(b"DICM is a magic word" + bytes(200))
    rng = np.random.default_rng(2)
    noise = [b"\x08\0" + rng.bytes(200) for _ in range(2000)]
    assert sum(map(dicom.is_dicom, noise)) <= 2


@pytest.mark.parametrize("name", [None, "image_dfl.dcm", "MR_small_bigendian.dcm"])
def test_a_file_without_its_preamble_is_read(tmp_path, name):
    whole = save(tmp_path / "whole", ramp())
    if name is not None:
        whole = Path(pydicom.data.get_testdata_file(name, download=False))
    cut = tmp_path / "in" / "IM0001"
    cut.parent.mkdir()
    cut.write_bytes(whole.read_bytes()[128:])
    (item,) = discover([cut.parent]).items
    assert item.paths == (cut,)
    image, expected = formats.read(cut), formats.read(whole)
    np.testing.assert_array_equal(image.pixels, expected.pixels)
    formats.write(image, tmp_path / "b.dcm")
    formats.write(expected, tmp_path / "c.dcm")
    assert (tmp_path / "b.dcm").read_bytes() == (tmp_path / "c.dcm").read_bytes()


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
@pytest.mark.parametrize("frames", [1, 2])
def test_jpeg_that_says_rgb_by_the_names_of_components_is_read(
    tmp_path, photometric, frames
):
    colours = noise((24, 40, 3), "u1", 256)
    stream = imagecodecs.jpeg8_encode(colours, level=90, outcolorspace="RGB")
    start = stream.index(b"\xff\xee")  # Adobe's marker, which says RGB otherwise
    size = 2 + int.from_bytes(stream[start + 2 : start + 4], "big")
    bare = stream[:start] + stream[start + size :]

    def encode(made):
        made.PixelData = encapsulate([bare] * frames)
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True

    path = save(
        tmp_path / "a",
        np.stack([colours] * frames),
        syntax=pydicom.uid.JPEGBaseline8Bit,
        encode=encode,
        photometric=photometric,
    )
    expected = imagecodecs.jpeg8_decode(stream)
    for frame in dicom.read([path]).pixels:
        np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_each_frame_of_uncompressed_422_colour_is_read(tmp_path, syntax):
    frames, rows, columns = 3, 6, 8
    luma = noise((frames, rows, columns), "u1", 256)
    chroma = noise((frames, rows, columns // 2, 2), "u1", 256)[..., ::-1]
    # PS3.3 C.7.6.3.1.2: of two pixels Y Y Cb Cr
    pairs = luma.reshape(frames, rows, columns // 2, 2)
    stored = np.concatenate([pairs, chroma], axis=-1).tobytes()
    if syntax == ExplicitVRBigEndian:  # as OW, whose bytes are swapped in pairs
        stored = np.frombuffer(stored, "u2").byteswap().tobytes()

    def encode(made):
        made.add_new("PixelData", "OW", stored)

    path = save(
        tmp_path / "a",
        np.zeros((frames, rows, columns, 3), "u1"),
        syntax=syntax,
        encode=encode,
        photometric="YBR_FULL_422",
    )
    blue, red = np.repeat(chroma, 2, axis=2).astype(float).transpose(3, 0, 1, 2) - 128
    expected = np.stack(
        [
            luma + 1.402 * red,
            luma - 0.344136 * blue - 0.714136 * red,
            luma + 1.772 * blue,
        ],
        axis=-1,
    )
    found = dicom.read([path]).pixels
    np.testing.assert_allclose(found, expected.clip(0, 255), atol=1)
