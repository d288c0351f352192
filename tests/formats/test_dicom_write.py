from __future__ import annotations

import hashlib
import pickle
import shutil
import subprocess
from dataclasses import replace

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicom_maker import CAPTURE, CT, MR, PATIENT, US, frame_groups, ramp, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from medenh import formats
from medenh.errors import OutputError, UsageError
from medenh.formats import dicom
from medenh.types import Image, Provenance, Storage, UnitRange

HOW = Provenance("tmage-fundus", "1.2", "ab" * 32, "strength=0.5")


def enhanced(tmp_path, *args, how=HOW, **options):
    """Write a file, read it, invert it, write the derived image; return both sets."""
    source = save(tmp_path / "in.dcm", *args, **options)
    image = dicom.read([source])
    target = tmp_path / "out.dcm"
    changed = image.from_unit(1 - image.to_unit())
    dicom.write(changed, [target], provenance=how)
    return pydicom.dcmread(source), pydicom.dcmread(target), changed


def test_the_derived_image_keeps_its_place_and_gets_new_uids(tmp_path):
    more = {"FrameOfReferenceUID": "1.2.3.5", "ImagePositionPatient": [1, 2, 3]}
    source, made, _ = enhanced(tmp_path, ramp(), **more)
    for keyword in (
        *("SOPClassUID", "StudyInstanceUID", "PatientName", "PatientID", "Modality"),
        *("FrameOfReferenceUID", "ImagePositionPatient", "InstanceNumber"),
    ):
        assert made[keyword] == source[keyword]
    assert made.SOPInstanceUID != source.SOPInstanceUID
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    for uid in (made.SOPInstanceUID, made.SeriesInstanceUID):
        assert uid.is_valid
        assert uid.startswith("2.25.")
        assert int(uid[5:]) < 1 << 128
    assert list(made.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]


def test_the_file_meta_information_is_ours(tmp_path):
    _, made, _ = enhanced(tmp_path, ramp(), syntax=ImplicitVRLittleEndian)
    meta = made.file_meta
    assert meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
    assert meta.MediaStorageSOPClassUID == made.SOPClassUID == MR
    assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert meta.ImplementationVersionName.startswith("MEDENH")
    assert len(meta.ImplementationVersionName) <= 16
    assert meta.ImplementationClassUID != pydicom.uid.PYDICOM_IMPLEMENTATION_UID


def test_the_source_and_the_equipment_are_named(tmp_path):
    older = Dataset()
    older.Manufacturer = "Someone"
    more = {"ContributingEquipmentSequence": Sequence([older])}
    source, made, _ = enhanced(tmp_path, ramp(), **more)
    (origin,) = made.SourceImageSequence
    assert origin.ReferencedSOPClassUID == source.SOPClassUID
    assert origin.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert origin.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    first, ours = made.ContributingEquipmentSequence
    assert first.Manufacturer == "Someone"
    assert ours.Manufacturer == "medenh"
    assert ours.ManufacturerModelName == HOW.model
    assert HOW.version in ours.SoftwareVersions
    assert HOW.weights_sha256 in ours.ContributionDescription
    assert ours.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert HOW.model in made.DerivationDescription
    assert HOW.options in made.DerivationDescription


def test_the_same_work_gives_the_same_bytes_and_other_work_other_uids(tmp_path):
    image = dicom.read([save(tmp_path / "a", ramp())])
    digests, instances, series = set(), set(), set()
    for index, how in enumerate(
        [
            HOW,
            HOW,
            None,
            replace(HOW, model="clahe"),
            replace(HOW, version="2"),
            replace(HOW, weights_sha256="cd" * 32),
            replace(HOW, options="strength=1"),
        ]
    ):
        path = tmp_path / f"{index}.dcm"
        dicom.write(image, [path], provenance=how)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        made = pydicom.dcmread(path)
        instances.add(made.SOPInstanceUID)
        series.add(made.SeriesInstanceUID)
    assert len(digests) == len(instances) == len(series) == 6
    assert not instances & series


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("i2", 12), ("u2", 10)])
def test_stored_values_and_their_description_survive(tmp_path, syntax, dtype, bits):
    low, high = (-(1 << (bits - 1)), 500) if dtype == "i2" else (0, (1 << bits) - 1)
    pixels = ramp((7, 5), dtype, low, high)
    path = save(tmp_path / "a", pixels, bits=bits, syntax=syntax)
    target = tmp_path / "b"
    dicom.write(dicom.read([path]), [target])
    made = pydicom.dcmread(target)
    np.testing.assert_array_equal(made.pixel_array, pixels)
    assert (made.BitsStored, made.HighBit) == (bits, bits - 1)
    assert made.PixelRepresentation == int(dtype == "i2")
    assert len(made.PixelData) % 2 == 0


def test_big_endian_words_are_swapped_everywhere(tmp_path):
    words = np.arange(300, 364, dtype=">u2")
    table, reals = Dataset(), Dataset()
    table.add_new("LUTDescriptor", "US", [64, 0, 16])
    table.add_new("LUTData", "OW", words.tobytes())
    reals.add_new("VectorGridData", "OF", np.array([1.5, -2.5], ">f4").tobytes())

    def encode(made):
        made.add_new(0x60000010, "US", 4)
        made.add_new(0x60003000, "OW", b"\x12\x34")
        made.add_new(0x00091002, "OB", b"\x01\x02\x03\x04")
        made.VOILUTSequence = Sequence([table])
        made.DeformableRegistrationGridSequence = Sequence([reals])

    _, made, _ = enhanced(tmp_path, ramp(), syntax=ExplicitVRBigEndian, encode=encode)
    table, reals = made.VOILUTSequence[0], made.DeformableRegistrationGridSequence[0]
    assert np.frombuffer(table.LUTData, "<u2").tolist() == words.tolist()
    assert np.frombuffer(reals.VectorGridData, "<f4").tolist() == [1.5, -2.5]
    assert made[0x60000010].value == 4
    assert made[0x60003000].value == b"\x34\x12"
    assert made[0x00091002].value == b"\x01\x02\x03\x04"


def test_windows_burned_in_text_and_private_elements_are_kept(tmp_path):
    def encode(made):
        block = made.private_block(0x0029, "SOMEBODY", create=True)
        block.add_new(0x10, "LO", "kept")

    more = {"WindowCenter": [900, 5], "WindowWidth": [1800, 9]}
    truth = {"BurnedInAnnotation": "YES", "RescaleSlope": 2, "RescaleIntercept": -3}
    date = {"ContentDate": "20010203", "ContentTime": "040506"}
    source, made, _ = enhanced(tmp_path, ramp(), encode=encode, **more, **truth, **date)
    for keyword in (*more, *truth, *date):
        assert made[keyword].value == source[keyword].value
    assert made.private_block(0x0029, "SOMEBODY")[0x10].value == "kept"


def test_what_was_true_of_the_source_only_goes(tmp_path):
    icon = Dataset()
    icon.Rows = icon.Columns = 1
    histogram = Dataset()
    histogram.HistogramNumberOfBins = 1
    more = {
        "LengthToEnd": 5,
        "IconImageSequence": Sequence([icon]),
        "HistogramSequence": Sequence([histogram]),
        "InstanceCreationDate": "20010203",
    }

    def encode(made):
        made.add_new("SmallestImagePixelValue", "US", 0)
        made.add_new("LargestImagePixelValue", "US", 4095)
        made.add_new("LargestPixelValueInSeries", "US", 4095)

    window = {"WindowCenter": 2048.5, "WindowWidth": 2000}
    _, made, changed = enhanced(tmp_path, ramp(), encode=encode, **window, **more)
    assert made.SmallestImagePixelValue == changed.pixels.min()
    assert made.LargestImagePixelValue == changed.pixels.max()
    for keyword in (*more, "LargestPixelValueInSeries"):
        assert keyword not in made


def test_lossy_compression_is_never_unsaid(tmp_path):
    more = {"LossyImageCompression": "01", "LossyImageCompressionRatio": 12}
    _, made, _ = enhanced(tmp_path, ramp(), **more)
    assert made.LossyImageCompression == "01"
    assert made.LossyImageCompressionRatio == 12


def jpeg_file(tmp_path, name="jpeg.dcm"):
    """Return a file with a baseline JPEG that does not say it is lossy."""
    import io

    from PIL import Image as Picture

    grey = ramp((32, 48), "u1", 0, 255)
    buffer = io.BytesIO()
    Picture.fromarray(grey).save(buffer, "JPEG", quality=80)

    def encode(made):
        made.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()])
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True

    jpeg = pydicom.uid.JPEGBaseline8Bit
    return save(tmp_path / name, grey, syntax=jpeg, encode=encode)


def test_a_lossy_source_is_called_lossy(tmp_path):
    dicom.write(dicom.read([jpeg_file(tmp_path)]), [tmp_path / "out"])
    made = pydicom.dcmread(tmp_path / "out")
    assert made.LossyImageCompression == "01"
    assert made.LossyImageCompressionMethod == "ISO_10918_1"
    assert float(made.LossyImageCompressionRatio) > 1


@pytest.mark.parametrize("told", ["", "00"])
def test_lossy_htj2k_is_called_lossy_unless_its_source_says_no(tmp_path, told):
    grey = ramp((32, 48), "u1", 0, 255)
    stream = imagecodecs.htj2k_encode(grey, reversible=not told)

    def encode(made):
        made.PixelData = pydicom.encaps.encapsulate([stream])
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True
        if told:
            made.LossyImageCompression = told

    path = save(tmp_path / "a", grey, syntax=pydicom.uid.HTJ2K, encode=encode)
    dicom.write(dicom.read([path]), [tmp_path / "out"])
    made = pydicom.dcmread(tmp_path / "out")
    assert made.LossyImageCompression == (told or "01")
    method = made.get("LossyImageCompressionMethod")
    assert method == (None if told else "ISO_15444_15")


def test_a_lossless_source_is_not_called_lossy(tmp_path):
    _, made, _ = enhanced(tmp_path, ramp(), encode=lambda ds: ds.compress(RLELossless))
    assert "LossyImageCompression" not in made
    assert made.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def palette(made, low=0):
    for index, colour in enumerate(("Red", "Green", "Blue")):
        table = (np.arange(256) * (257 if low else 256) * (index + 1)).astype("<u2")
        made.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        made.add_new(f"{colour}PaletteColorLookupTableData", "OW", table.tobytes())


@pytest.mark.parametrize(
    ("low", "sop_class", "dtype"),
    [(0, US, "u1"), (1, US, "u1"), (0, CAPTURE, "u1"), (1, CAPTURE, "u2")],
)
def test_palette_colour_becomes_rgb(tmp_path, low, sop_class, dtype):
    pixels = ramp((8, 6), "u1", 0, 255)
    path = save(
        tmp_path / "a",
        pixels,
        photometric="PALETTE COLOR",
        sop_class=sop_class,
        encode=lambda made: palette(made, low),
    )
    source = pydicom.dcmread(path)
    expected = pydicom.pixels.apply_color_lut(source.pixel_array, source)
    dicom.write(dicom.read([path]), [tmp_path / "b"])
    made = pydicom.dcmread(tmp_path / "b")
    shift = 8 if dtype == "u1" else 0
    np.testing.assert_array_equal(made.pixel_array, expected >> shift)
    assert made.pixel_array.dtype == np.dtype(dtype)
    assert made.PhotometricInterpretation == "RGB"
    assert (made.SamplesPerPixel, made.PlanarConfiguration) == (3, 0)
    assert not [element for element in made if "Palette" in element.keyword]


def test_frames_go_back_to_their_own_files(tmp_path):
    places = [30, 10, 20]
    sources = [
        save(
            tmp_path / f"in{place}",
            np.full((4, 4), place, "u2"),
            SOPInstanceUID=f"1.2.3.4.{place}",
            ImagePositionPatient=[0, 0, place],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
        for place in places
    ]
    image = dicom.read(sources)
    targets = [tmp_path / "out" / f"{place}" for place in places]
    dicom.write(replace(image, pixels=image.pixels + 1), targets, provenance=HOW)
    made = [pydicom.dcmread(target) for target in targets]
    for one, place in zip(made, places, strict=True):
        assert one.ImagePositionPatient[2] == place
        assert np.all(one.pixel_array == place + 1)
        origin = one.SourceImageSequence[0].ReferencedSOPInstanceUID
        assert origin == f"1.2.3.4.{place}"
    assert len({one.SeriesInstanceUID for one in made}) == 1
    assert len({one.SOPInstanceUID for one in made}) == 3


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("keyword", "sop_class"),
    [
        ("MRImageFrameTypeSequence", "1.2.840.10008.5.1.4.1.1.4.1"),
        ("FramePixelDataPropertiesSequence", "1.2.840.10008.5.1.4.1.1.12.1.1"),
        ("USImageDescriptionSequence", "1.2.840.10008.5.1.4.1.1.6.2"),
    ],
)
def test_frame_types_of_enhanced_images_say_derived(
    tmp_path, keyword, sop_class, shared
):
    kind, group, other = Dataset(), Dataset(), Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    setattr(group, keyword, Sequence([kind]))
    other.FrameContentSequence = Sequence([Dataset()])
    framed = "PerFrameFunctionalGroupsSequence"
    more = {
        "SharedFunctionalGroupsSequence": Sequence([group if shared else Dataset()]),
        framed: Sequence([other if shared else group] * 2),
        "sop_class": sop_class,
    }
    _, made, _ = enhanced(tmp_path, ramp((2, 8, 6)), **more)
    assert made.NumberOfFrames == 2
    for item in made.SharedFunctionalGroupsSequence if shared else made[framed]:
        (found,) = item[keyword].value
        assert found.FrameType == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    if shared:
        assert "FrameType" not in made[framed][0].FrameContentSequence[0]


def rescaled_groups(slopes):
    items = []
    for place, slope in enumerate(slopes):
        item, rescale, plane = Dataset(), Dataset(), Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept = slope, -1024
        rescale.RescaleType = "HU"
        plane.ImagePositionPatient = [0, 0, 2.5 * place]
        item.PixelValueTransformationSequence = Sequence([rescale])
        item.PlanePositionSequence = Sequence([plane])
        items.append(item)
    made = frame_groups(items, sop_class="1.2.840.10008.5.1.4.1.1.2.1")
    return made | {"modality": "CT"}


def test_the_rescale_and_place_of_enhanced_frames_are_used(tmp_path):
    image = dicom.read(
        [save(tmp_path / "a", ramp((3, 4, 4)), **rescaled_groups([1] * 3))]
    )
    assert image.units == "HU"
    assert image.pixels.min() == -1024
    assert image.geometry.spacing_mm == (2.5, 0.5, 0.5)
    np.testing.assert_allclose(np.diag(image.geometry.affine), [0.5, 0.5, 2.5, 1])


def test_frames_with_rescales_of_their_own_are_read_and_written_by_them(tmp_path):
    pixels, slopes = ramp((3, 4, 4)), np.array([1, 2, 0.25])
    path = save(tmp_path / "a", pixels, **rescaled_groups(slopes))
    image = dicom.read([path])
    expected = pixels * slopes[:, None, None] - 1024
    np.testing.assert_array_equal(image.pixels[..., 0], expected)
    assert image.units == "HU"
    dicom.write(image, [tmp_path / "b"])
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "b").pixel_array, pixels)
    brighter = image.from_unit(np.clip(image.to_unit() + np.float32(0.1), 0, 1))
    dicom.write(brighter, [tmp_path / "c"])
    made = pydicom.dcmread(tmp_path / "c").pixel_array
    real = made * slopes[:, None, None] - 1024
    np.testing.assert_allclose(real, brighter.pixels[..., 0], atol=1e-3)
    inside = (expected > -160) & (expected < 190)
    np.testing.assert_allclose(
        real[inside], expected[inside] + 40, atol=slopes.max() / 2
    )


def test_a_rescale_of_some_frames_only_is_not_guessed(tmp_path):
    groups = rescaled_groups([2, 2, 2])
    del groups["PerFrameFunctionalGroupsSequence"][1].PixelValueTransformationSequence
    image = dicom.read([save(tmp_path / "a", ramp((3, 4, 4)), **groups)])
    np.testing.assert_array_equal(image.pixels[..., 0], ramp((3, 4, 4)))
    assert image.units == ""
    (word,) = dicom.lost_meaning(image, "npy")
    assert "rescale of each frame" in word


def test_only_images_from_dicom_can_be_written(tmp_path):
    plain = Image(
        pixels=np.zeros((1, 4, 4, 1), np.uint8),
        unit_range=UnitRange(0, 255),
        storage=Storage(np.dtype("u1")),
    )
    with pytest.raises(UsageError):
        dicom.write(plain, [tmp_path / "a"])
    image = dicom.read([save(tmp_path / "b", ramp())])
    with pytest.raises(UsageError):
        dicom.write(image, [tmp_path / "c", tmp_path / "d"])
    with pytest.raises(UsageError):
        formats.write(replace(image, pixels=image.pixels[[0, 0]]), tmp_path / "c")


def test_a_failed_write_leaves_nothing_and_names_nobody(tmp_path):
    def encode(made):
        made.add_new(0x00111010, "LO", PATIENT)

    path = save(tmp_path / "in.dcm", ramp(), encode=encode)
    image = dicom.read([path])
    image.header.parts[0].dataset.add_new(0x00111020, "FD", PATIENT)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(OutputError) as caught:
        dicom.write(image, [folder / "a.dcm"])
    assert PATIENT not in str(caught.value)
    assert caught.value.__cause__ is None
    assert not list(folder.iterdir())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_an_image_that_went_to_another_process_writes_the_same_file(tmp_path, syntax):
    options = {"photometric": "PALETTE COLOR", "syntax": syntax}
    pixels = ramp((8, 6), "u1", 0, 255)
    image = dicom.read([save(tmp_path / "a", pixels, encode=palette, **options)])
    dicom.write(image, [tmp_path / "b"], provenance=HOW)
    travelled = pickle.loads(pickle.dumps(image))
    dicom.write(travelled, [tmp_path / "c"], provenance=HOW)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_writing_leaves_the_image_as_it_was(tmp_path):
    image = dicom.read([save(tmp_path / "a", ramp())])
    before = str(image.header.parts[0].dataset)
    dicom.write(image, [tmp_path / "b"], provenance=HOW)
    assert str(image.header.parts[0].dataset) == before


@pytest.mark.skipif(not shutil.which("dcmdump"), reason="needs dcmtk")
@pytest.mark.parametrize("sop_class", [CT, MR, CAPTURE])
def test_dcmtk_reads_what_was_written(tmp_path, sop_class):
    enhanced(tmp_path, ramp((7, 5)), sop_class=sop_class)
    command = ["dcmdump", "-q", str(tmp_path / "out.dcm")]
    report = subprocess.run(command, capture_output=True, text=True, check=False)
    assert report.returncode == 0
    assert report.stderr == ""
    assert "LittleEndianExplicit" in report.stdout
