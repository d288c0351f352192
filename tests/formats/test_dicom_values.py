"""Numbers that are easily taken for others: damaged rescales, colours in grey."""

import struct
import warnings

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_maker import CT, MR, frame_groups, noise, ramp, save
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medenh import enhance, formats
from medenh.errors import RefusedError
from medenh.formats import dicom
from medenh.formats.viewing import viewing_of
from medenh.pipeline.loading import ZooModels
from medenh.pipeline.looks import choose_model
from medenh.pipeline.options import EnhanceOptions

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def save_rescaled(path, sop_class=CT, **numbers):
    """Write a picture of 12 bits whose slope and intercept are any bytes."""

    def encode(made):
        for keyword, value in numbers.items():
            made[keyword] = DataElement(keyword, "LO", value, already_converted=True)
            made[keyword].VR = "DS"

    return save(path, ramp(), bits=12, sop_class=sop_class, encode=encode)


@pytest.mark.parametrize(
    ("slope", "intercept"),
    [
        ("", ""),
        ("", "-1024"),
        ("1", ""),
        ("1,0", "-1024,0"),
        ("1", "-1024 HU"),
        ("1\\1", "-1024"),
        ("inf", "0"),
        ("1", "nan"),
        ("0", "-1024"),
        ("1e36", "0"),
        ("1e308", "0"),
        ("1", "-1e308"),
    ],
)
def test_a_damaged_rescale_makes_no_hounsfield_units(slope, intercept, tmp_path):
    path = save_rescaled(
        tmp_path / "in.dcm", RescaleSlope=slope, RescaleIntercept=intercept
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = dicom.read([path])
    assert image.units == ""
    np.testing.assert_array_equal(image.pixels[0, :, :, 0], ramp())
    assert image.unit_range.reason.startswith("percentiles")
    with pytest.warns(UserWarning, match="RescaleSlope or RescaleIntercept") as said:
        formats.write(image, tmp_path / "out.dcm")
    assert len(said) == 1
    made = pydicom.dcmread(tmp_path / "out.dcm")
    np.testing.assert_array_equal(made.pixel_array, ramp())
    for kind in ("nifti", "tiff", "npy", "png"):
        assert len(dicom.lost_meaning(image, kind)) == 1


@pytest.mark.parametrize(
    ("numbers", "units", "least"),
    [
        ({"RescaleSlope": "1", "RescaleIntercept": "-1024"}, "HU", -1024),
        ({"RescaleSlope": "1"}, "HU", 0),
        ({"RescaleIntercept": "-1024"}, "", -1024),
        ({}, "", 0),
    ],
)
def test_what_is_absent_of_a_rescale_is_1_and_0(numbers, units, least, tmp_path):
    image = dicom.read([save_rescaled(tmp_path / "in", **numbers)])
    assert (image.units, image.pixels.min()) == (units, least)
    assert dicom.lost_meaning(image, "dicom") == []


def test_colours_have_no_rescale_to_be_damaged(tmp_path):
    path = save(tmp_path / "in", noise((9, 8, 3), "u1", 256), RescaleSlope="")
    assert dicom.lost_meaning(dicom.read([path]), "png") == []


@pytest.mark.parametrize("slope", ["1e33", "-1e33", "1e-40", "1e-300"])
def test_steps_of_any_size_survive(slope, tmp_path):
    path = save_rescaled(tmp_path / "in", MR, RescaleSlope=slope)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = dicom.read([path])
        same = image.from_unit(image.to_unit())
        dicom.write(same, [tmp_path / "out"])
    assert np.unique(image.pixels).size == ramp().size
    made = pydicom.dcmread(tmp_path / "out")
    np.testing.assert_array_equal(made.pixel_array, ramp())


FIRST = 1024
PALETTE = {f"{one}PaletteColorLookupTable" for one in ("Red", "Green", "Blue")}


def save_coloured(path, pixels, presentation="COLOR", **more):
    """Write a grey picture in which values of 1024 and more stand for colours."""

    def encode(made):
        vr = "SS" if pixels.dtype.kind == "i" else "US"
        for name in PALETTE:
            made[f"{name}Descriptor"] = DataElement(
                f"{name}Descriptor", vr, [16, FIRST, 16]
            )
            setattr(made, f"{name}Data", bytes(32))

    return save(path, pixels, encode=encode, PixelPresentation=presentation, **more)


def half_coloured(dtype="u2"):
    """Return grey values, and below them places in the palette."""
    grey = ramp((6, 8), dtype, 0, FIRST - 1)
    return np.concatenate([grey, ramp((2, 8), dtype, FIRST, FIRST + 15)])


@pytest.mark.parametrize("presentation", ["COLOR", "MIXED"])
@pytest.mark.parametrize("dtype", ["u2", "i2"])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 2, "RescaleIntercept": -9}])
def test_colours_among_grey_values_stay(presentation, dtype, rescale, tmp_path):
    pixels = half_coloured(dtype)
    path = save_coloured(tmp_path / "in", pixels, presentation, **rescale)
    image = dicom.read([path])
    np.testing.assert_array_equal(image.frozen[0], pixels >= FIRST)
    slope, intercept = (
        rescale.get("RescaleSlope", 1),
        rescale.get("RescaleIntercept", 0),
    )
    assert image.unit_range.high <= (FIRST - 1) * slope + intercept
    bright = image.from_unit(np.ones_like(image.to_unit()))
    bright.pixels[~image.frozen] += 100 * slope  # further than any model goes
    dicom.write(bright, [tmp_path / "out"])
    made = pydicom.dcmread(tmp_path / "out")
    np.testing.assert_array_equal(made.pixel_array[-2:], pixels[-2:])
    assert made.pixel_array[:-2].max() == FIRST - 1
    assert made.PixelPresentation == presentation
    assert list(made.RedPaletteColorLookupTableDescriptor) == [16, FIRST, 16]


def test_other_formats_have_no_word_for_colours_among_grey(tmp_path):
    image = dicom.read([save_coloured(tmp_path / "a", half_coloured())])
    for kind in ("nifti", "tiff", "npy", "png"):
        (word,) = dicom.lost_meaning(image, kind)
        assert "stand for colours" in word
    assert dicom.lost_meaning(image, "dicom") == []


def test_without_colours_nothing_is_frozen_or_lost(tmp_path):
    grey = ramp((6, 8), "u2", 0, FIRST - 1)
    image = dicom.read([save_coloured(tmp_path / "a", grey)])
    assert image.frozen is None
    assert dicom.lost_meaning(image, "png") == []
    # but none may come either
    bright = image.from_unit(np.ones_like(image.to_unit()))
    bright.pixels[:] += 100
    dicom.write(bright, [tmp_path / "out"])
    assert pydicom.dcmread(tmp_path / "out").pixel_array.max() < FIRST
    told = dicom.read([save_coloured(tmp_path / "b", half_coloured(), "MONOCHROME")])
    assert told.frozen is None


@pytest.mark.parametrize(
    ("padding", "limit", "moved"),
    [(0, None, 1), (0, 3, 4), (4095, None, 4094), (4090, 4095, 4089), (7, None, 8)],
)
def test_what_was_measured_does_not_become_padding(tmp_path, padding, limit, moved):
    pixels = ramp((8, 8), "u2", 10, 4000)
    pixels[0] = padding
    more = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    path = save(tmp_path / "in", pixels, bits=12, PixelPaddingValue=padding, **more)
    image = dicom.read([path])
    image.pixels[0, 1:3] = padding
    image.pixels[0, 3:5] = padding if limit is None else limit
    dicom.write(image, [tmp_path / "out"])
    made = pydicom.dcmread(tmp_path / "out").pixel_array
    assert (made[0] == padding).all()
    assert (made[1:5] == moved).all()
    np.testing.assert_array_equal(made[5:], pixels[5:])


def test_padding_is_frozen_beside_colours(tmp_path):
    pixels = half_coloured()
    pixels[0] = 7
    path = save_coloured(tmp_path / "a", pixels, PixelPaddingValue=7)
    frozen = dicom.read([path]).frozen[0]
    np.testing.assert_array_equal(frozen, (pixels == 7) | (pixels >= FIRST))


def test_what_was_measured_becomes_neither_padding_nor_a_colour(tmp_path):
    pixels = half_coloured() >> 1
    pixels[0], pixels[-1] = FIRST - 1, FIRST
    path = save_coloured(tmp_path / "in", pixels, PixelPaddingValue=FIRST - 1)
    image = dicom.read([path])
    image.pixels[0, 1] = 4000
    dicom.write(image, [tmp_path / "out"])
    made = pydicom.dcmread(tmp_path / "out").pixel_array
    assert (made[1] == FIRST - 2).all()
    np.testing.assert_array_equal(made[[0, *range(2, 8)]], pixels[[0, *range(2, 8)]])


@pytest.mark.parametrize(
    ("types", "component", "kind"),
    [
        (["ORIGINAL", "PRIMARY", "P", "ND"], "", "phases"),
        (["DERIVED", "PRIMARY", "PHASE MAP", "P", "FFE"], "", "phases"),
        (["DERIVED", "PRIMARY", "VELOCITY MAP"], "", "velocities"),
        (["ORIGINAL", "PRIMARY", "OTHER"], "REAL", "real parts"),
        (["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "NORM"], "MAGNITUDE", "ADC maps"),
        (["ORIGINAL", "PRIMARY", "ADC_SE", "ADC", "SE"], "", "ADC maps"),
        (["DERIVED", "PRIMARY", "T1 MAP", "MOCO", "T1"], "", "T1 maps"),
        (["DERIVED", "PRIMARY", "VOLUME", "T2_STAR_MAP"], "", r"T2\* maps"),
        (["DERIVED", "PRIMARY", "ASL", "ND", "RELCBF"], "", "CBF maps"),
        (["DERIVED", "SECONDARY", "RCBV BASIC"], "", "CBV maps"),
        (["DERIVED", "PRIMARY", "VOLUME", "TEMPERATURE"], "", "temperatures"),
        (["DERIVED", "PRIMARY", "M", "ND", "UNI"], "", "MP2RAGE ratios"),
        (["ORIGINAL", "PRIMARY", "TEMPERATURE", "NONE"], "", ""),
        (["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "ND"], "", ""),
        (["ORIGINAL", "PRIMARY", "T2_STAR", "NONE"], "", ""),
        (["ORIGINAL", "PRIMARY", "M", "ND"], "MAGNITUDE", ""),
        (["P", "R"], "", ""),
        ("P", "", ""),
    ],
)
def test_mr_that_is_no_magnitude_is_refused_under_strict(
    types, component, kind, tmp_path
):
    more = {"ImageType": types, "bits": 12, "ComplexImageComponent": component}
    path = save(tmp_path / "in.dcm", noise((64, 64)), **more)
    image = dicom.read([path])
    assert dicom.no_magnitude(image) == kind.replace("\\", "")
    ct = save(tmp_path / "ct.dcm", noise((64, 64)), modality="CT", **more)
    assert dicom.no_magnitude(dicom.read([ct])) == ""
    if not kind:
        return
    with pytest.raises(RefusedError, match=f"holds {kind} by its header"):
        enhance(path, model="nlm", strict=True)
    with pytest.warns(UserWarning, match=f"holds {kind} by its header"):
        enhance(path, model="nlm")
    same = enhance(path, model="identity", strict=True)
    np.testing.assert_array_equal(same.pixels, image.pixels)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(0, ""), (1, "phases"), (2, "real parts"), (3, "imaginary parts"), ([1, 1], "")],
)
def test_ge_tells_what_is_no_magnitude_in_an_element_of_its_own(value, kind, tmp_path):
    def encode(made):
        block = made.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x2F, "SS", value)

    types = ["ORIGINAL", "PRIMARY", "OTHER"]
    path = save(tmp_path / "in.dcm", noise((16, 16)), encode=encode, ImageType=types)
    assert dicom.no_magnitude(dicom.read([path])) == kind


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_auto_takes_no_phases_for_magnitudes(kind, tmp_path):
    words = ["ORIGINAL", "PRIMARY", "M"]
    for word, model in (("M", "denoise-mri"), ("ADC", "nlm"), ("P", "nlm")):
        words[2] = word
        pixels = noise((64, 64), kind, 256)
        path = save(tmp_path / f"{word}.dcm", pixels, ImageType=words)
        source = ZooModels(EnhanceOptions(device="cpu"))
        chosen, _ = choose_model(dicom.read([path]), source)
        assert chosen.card.id == model
    why = "it holds phases, no magnitudes: nlm in place of what is for mri"
    assert chosen.reason == why


def test_raw_radiographs_keep_their_values_by_auto_and_others_tell_of_it(tmp_path):
    chosen = {}
    source = ZooModels(EnhanceOptions(device="cpu"))
    for word in ("FOR PROCESSING", "FOR PRESENTATION"):
        more = {"modality": "MG", "PresentationIntentType": word}
        path = save(tmp_path / f"{word}.dcm", noise((64, 64)), bits=14, **more)
        chosen[word], _ = choose_model(dicom.read([path]), source)
    assert chosen["FOR PRESENTATION"].card.id == "fast-general"
    raw = chosen["FOR PROCESSING"]
    assert (raw.card.id, raw.reason) == (
        "nlm",
        "its values are raw (FOR PROCESSING): nlm in place of what is for xray",
    )
    path = tmp_path / "FOR PROCESSING.dcm"
    with pytest.warns(
        UserWarning, match=r"is raw \(FOR PROCESSING\).* nothing after flat-"
    ):
        enhance(path, model="flat-field")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enhance(path, model="tv", strict=True)
        enhance(tmp_path / "FOR PRESENTATION.dcm", model="flat-field")


@pytest.mark.parametrize("told", [("US", 5), ("US", [1, 2, 3]), ("FD", 2.5)])
def test_an_image_type_that_is_no_text_costs_nothing(tmp_path, told):
    def spoil(made):
        made["ImageType"] = DataElement("ImageType", *told)

    path = save(tmp_path / "in.dcm", noise((64, 64)), bits=12, encode=spoil)
    assert enhance(path, model="clahe").format == "dicom"


@pytest.mark.parametrize(
    ("contrast", "component", "found"),
    [("NONE", "PHASE", "phases"), ("ADC", "MAGNITUDE", "ADC maps")],
)
def test_what_is_no_magnitude_is_found_among_the_frames_of_one_file(
    contrast, component, found, tmp_path
):
    items = [Dataset(), Dataset()]
    told = [("NONE", "MAGNITUDE"), (contrast, component)]
    for item, (derived, part) in zip(items, told, strict=True):
        kind = Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", derived]
        kind.ComplexImageComponent = part
        item.MRImageFrameTypeSequence = Sequence([kind])
    enhanced = frame_groups(items, sop_class=ENHANCED_MR)
    enhanced["ComplexImageComponent"] = "MIXED"
    path = save(tmp_path / "in.dcm", noise((2, 33, 21)), **enhanced)
    assert dicom.no_magnitude(dicom.read([path])) == found


@pytest.mark.parametrize(("frames", "matrix", "tiled"), [(4, 16, True), (1, 8, False)])
def test_tiles_of_a_whole_slide_are_told(tmp_path, frames, matrix, tiled):
    path = save(
        tmp_path / "a",
        noise((frames, 8, 8, 3), "u1", 256),
        sop_class="1.2.840.10008.5.1.4.1.1.77.1.6",
        modality="SM",
        TotalPixelMatrixRows=matrix,
        TotalPixelMatrixColumns=8,
    )
    image = dicom.read([path])
    for kind in ("dicom", "tiff"):
        told = dicom.lost_meaning(image, kind)
        assert len(told) == tiled
        assert all("tiles of one image" in one for one in told)


def test_the_profile_of_a_slide_is_that_of_its_optical_path(tmp_path):
    way = pydicom.Dataset()
    way.ICCProfile = (
        struct.pack(">I", 128) + bytes(12) + b"RGB " + bytes(16) + b"acsp" + bytes(88)
    )
    path = save(tmp_path / "a", noise((8, 8, 3), "u1", 256), OpticalPathSequence=[way])
    assert viewing_of(dicom.read([path])).profile == way.ICCProfile


@pytest.mark.parametrize(
    ("low", "kind"), [(-32000, np.int16), (-32700, np.int32)], ids=["fits", "not"]
)
def test_nifti_of_ct_is_of_16_bits_where_its_values_are(tmp_path, low, kind):
    """16 bits and an intercept might be more, and what is stored seldom is."""
    stored = ramp((9, 8), "i2", low=low, high=3000)
    path = save(
        tmp_path / "a.dcm",
        stored,
        sop_class=CT,
        modality="CT",
        RescaleSlope=1,
        RescaleIntercept=-100,
    )
    image = formats.read(path)
    formats.write(image, tmp_path / "a.nii")
    found = nibabel.load(tmp_path / "a.nii")
    assert found.get_data_dtype() == kind
    np.testing.assert_array_equal(
        np.asarray(found.dataobj)[..., 0].T, stored.astype(np.int32) - 100
    )
    np.testing.assert_array_equal(formats.read(tmp_path / "a.nii").pixels, image.pixels)
