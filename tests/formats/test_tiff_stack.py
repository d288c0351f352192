"""Times, slices and channels of a TIFF file, their spacing, and NIfTI made of them."""

from __future__ import annotations

from dataclasses import replace

import nibabel
import numpy as np
import pytest
import tifffile

import medenh
from medenh import formats
from medenh.cli.inspect import describe
from medenh.errors import RefusedError
from medenh.formats.readers import contents_of
from medenh.pipeline.loading import ZooModels
from medenh.pipeline.options import EnhanceOptions

NAN = float("nan")
GREY = {"photometric": "minisblack"}


def numbers(shape):
    return np.random.default_rng(3).integers(0, 4000, shape).astype("u2")


def written(tmp_path, data, axes, program="ome", **options):
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": axes, **options.pop("metadata", {})}
    extra = {} if program == "imagej" else GREY
    tifffile.imwrite(path, data, metadata=metadata, **{program: True}, **extra)
    return path


def ome(path, data, attributes, order="XYZCT", sizes=(1, 1, 1), blocks="<TiffData/>"):
    """Write pages with OME's words on them."""
    told = "".join(
        f' Size{axis}="{size}"' for axis, size in zip("CZT", sizes, strict=True)
    )
    words = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels '
        f'DimensionOrder="{order}" Type="uint16" SizeX="8" SizeY="9"{told} '
        f"{attributes}>{blocks}</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, data, description=words.encode(), metadata=None, **GREY)
    return path


@pytest.mark.parametrize("program", ["ome", "imagej", "shaped"])
@pytest.mark.parametrize(
    ("axes", "shape", "words", "voxels"),
    [
        ("ZYX", (4, 9, 8), "4 z", (8, 9, 4)),
        ("TYX", (3, 9, 8), "3 times", (8, 9, 1, 3)),
        ("TZYX", (3, 4, 9, 8), "3 times x 4 z", (8, 9, 4, 3)),
        ("CYX", (2, 9, 8), "2 channels", None),
        ("TZCYX", (3, 4, 2, 9, 8), "3 times x 4 z x 2 channels", None),
        ("YX", (9, 8), "", (8, 9, 1)),
    ],
)
def test_nifti_gets_volumes_and_times_and_a_word_on_channels(
    tmp_path, recwarn, program, axes, shape, words, voxels
):
    data = numbers(shape)
    image = formats.read(written(tmp_path, data, axes, program))
    assert contents_of(image) == words
    models = ZooModels(EnhanceOptions(device="cpu"))
    assert describe(image, models)["pages"] == (words or None)
    formats.write(image, tmp_path / "a.nii.gz")
    said = [str(one.message) for one in recwarn if one.category is UserWarning]
    told = [word for word in said if "tells the size of its pixels" not in word]
    assert len(said) == len(told) + 1
    found = nibabel.load(tmp_path / "a.nii.gz")
    stored = np.asarray(found.dataobj)
    if voxels is None:
        assert [f"its pages are {words}: in NIfTI" in word for word in told] == [True]
        assert found.shape == (8, 9, image.frames)
        return
    assert told == []
    assert found.shape == voxels
    order = (axes[::-1].index(axis) for axis in "XYZT" if axis in axes)
    expected = data.T.transpose(*order)
    np.testing.assert_array_equal(stored.squeeze(), expected.squeeze())


def test_what_is_no_volume_is_refused_under_strict(tmp_path):
    path = written(tmp_path, numbers((4, 2, 40, 48)), "ZCYX")
    options = {"model": "nlm", "modality": "microscopy", "strict": True}
    with pytest.raises(RefusedError, match="4 z x 2 channels"):
        medenh.enhance(path, tmp_path / "b.nii.gz", **options)
    medenh.enhance(path, tmp_path / "b.tif", **options)
    assert not (tmp_path / "b.nii.gz").exists()


@pytest.mark.parametrize(
    ("order", "sizes", "problem"),
    [
        ("XYZTC", (1, 3, 2), ""),
        ("XYCZT", (1, 3, 2), ""),
        ("XYTZC", (1, 3, 2), "its pages are 2 times x 3 z, not slice after slice"),
        ("XYZTC", (2, 3, 1), "its pages are 3 z x 2 channels"),
        ("XYZC", (2, 3, 1), "its pages are of 2 channels"),
    ],
)
def test_pages_that_are_no_volumes_one_after_the_other(tmp_path, order, sizes, problem):
    path = ome(tmp_path / "a.tif", numbers((6, 9, 8)), "", order, sizes)
    image = formats.read(path)
    assert image.header.misplaced.startswith(problem)
    assert bool(image.header.misplaced) == bool(problem)
    assert image.geometry.depth == (None if problem else 3)


@pytest.mark.parametrize("turned", [False, True])
def test_each_page_may_tell_its_slice_and_time(tmp_path, turned):
    places = [(time, z) for time in range(2) for z in range(3)]
    if turned:
        places.reverse()
    blocks = "".join(
        f'<TiffData IFD="{page}" FirstZ="{z}" FirstT="{time}" PlaneCount="1"/>'
        for page, (time, z) in enumerate(places)
    )
    path = ome(tmp_path / "a.tif", numbers((6, 9, 8)), "", "XYTZC", (1, 3, 2), blocks)
    image = formats.read(path)
    assert contents_of(image) == "2 times x 3 z"
    assert image.geometry.depth == (None if turned else 3)
    assert bool(image.header.misplaced) == turned


def test_pages_of_several_pictures_are_no_volume(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        tiff.write(numbers((2, 9, 8)), metadata={"axes": "ZYX"}, **GREY)
        tiff.write(numbers((2, 9, 8)), metadata={"axes": "ZYX"}, **GREY)
    header = formats.read(tmp_path / "a.ome.tif").header
    assert header.misplaced == "its pages are those of 2 pictures"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ('PhysicalSizeX="0.25"', (NAN, NAN, 2.5e-4)),  # micrometres
        (
            'PhysicalSizeX="0.25" PhysicalSizeXUnit="\N{MICRO SIGN}m" '
            'PhysicalSizeY="500" PhysicalSizeYUnit="nm" '
            'PhysicalSizeZ="1.5" PhysicalSizeZUnit="mm"',
            (1.5, 5e-4, 2.5e-4),
        ),
        ('PhysicalSizeX="2" PhysicalSizeXUnit="pixel"', (NAN, NAN, NAN)),
        ('PhysicalSizeX="0" PhysicalSizeY="many" PhysicalSizeZ="INF"', (NAN,) * 3),
        ("", (NAN, NAN, NAN)),
    ],
)
def test_ome_tells_the_spacing(tmp_path, words, expected):
    path = ome(tmp_path / "a.tif", numbers((9, 8)), words)
    spacing = formats.read(path).geometry.spacing_mm
    assert spacing == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("unit", "mm"),
    [("um", 1e-3), (r"\u00B5m", 1e-3), ("micron", 1e-3), ("cm", 10), ("pixel", NAN)],
)
def test_imagej_tells_the_spacing(tmp_path, unit, mm):
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "spacing": 1.5, "unit": unit}
    data = numbers((4, 9, 8))
    tifffile.imwrite(path, data, imagej=True, resolution=(4, 2), metadata=metadata)
    image = formats.read(path)
    expected = (1.5 * mm, 0.5 * mm, 0.25 * mm)
    assert image.geometry.spacing_mm == pytest.approx(expected, nan_ok=True)
    if mm == mm:
        formats.write(image, tmp_path / "a.nii")
        header = nibabel.load(tmp_path / "a.nii").header
        assert header.get_zooms() == pytest.approx(expected[::-1])
        assert header.get_xyzt_units()[0] == "mm"


def test_the_resolution_of_a_screen_is_no_spacing(tmp_path):
    data = numbers((9, 8))
    tifffile.imwrite(tmp_path / "a.tif", data, resolution=(72, 72), resolutionunit=2)
    spacing = formats.read(tmp_path / "a.tif").geometry.spacing_mm
    assert np.isnan(spacing).all()


def test_some_of_the_frames_are_no_volumes_any_more(tmp_path):
    image = formats.read(written(tmp_path, numbers((3, 4, 9, 8)), "TZYX"))
    some = replace(image, pixels=image.pixels[:6], header=None)
    formats.write(some, tmp_path / "a.nii")
    assert nibabel.load(tmp_path / "a.nii").shape == (8, 9, 6)


@pytest.mark.parametrize(
    "words",
    [
        "ImageJ=1.5\nimages=2\nslices=2\nspacing=nan\nunit=furlong",
        "ImageJ=1.5\nimages=2\nchannels=0\nslices=99999999999\nspacing=\nunit=",
        '{"shape": [2, 9, 8], "axes": "ZZZ"}',
        '{"shape": [1, 2, 9, 8], "axes": "TTYX"}',
    ],
)
def test_words_may_say_anything(tmp_path, words):
    data = numbers((2, 9, 8))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, description=words, metadata=None, **GREY)
    image = formats.read(path)
    assert image.frames == 2
    assert np.isnan(image.geometry.spacing_mm).all()
    assert image.header.misplaced == ""


@pytest.mark.parametrize(
    ("program", "metadata", "seconds"),
    [
        ("imagej", {"finterval": 0.4}, 0.4),
        ("imagej", {"finterval": 2.5, "tunit": "min"}, 150),
        ("imagej", {"finterval": 250, "tunit": r"\u00B5s"}, 250e-6),
        ("imagej", {"finterval": 3, "tunit": "frames"}, None),
        ("imagej", {"finterval": 0}, None),
        ("imagej", {"fps": 7}, None),  # how fast it is played
        ("ome", {"TimeIncrement": 0.4}, 0.4),
        ("ome", {"TimeIncrement": 40, "TimeIncrementUnit": "ms"}, 0.04),
        ("ome", {"TimeIncrement": "NaN"}, None),
        ("ome", {}, None),
    ],
)
@pytest.mark.parametrize(
    ("axes", "shape"), [("TYX", (3, 9, 8)), ("TZYX", (3, 2, 9, 8))]
)
@pytest.mark.filterwarnings("ignore:nothing tells the size")
def test_nifti_gets_the_step_in_time(tmp_path, program, metadata, seconds, axes, shape):
    path = written(tmp_path, numbers(shape), axes, program, metadata=metadata)
    image = formats.read(path)
    assert image.geometry.time_s == pytest.approx(seconds or NAN, nan_ok=True)
    formats.write(image, tmp_path / "a.nii.gz")
    header = nibabel.load(tmp_path / "a.nii.gz").header
    if seconds is None:
        assert header.get_xyzt_units()[1] == "unknown"
    else:
        assert header.get_xyzt_units()[1] == "sec"
        assert header.get_zooms()[3] == pytest.approx(seconds)
        back = formats.read(tmp_path / "a.nii.gz")
        assert back.geometry.time_s == pytest.approx(seconds)


def test_slices_have_no_step_in_time(tmp_path):
    metadata = {"TimeIncrement": 0.4}
    image = formats.read(
        written(tmp_path, numbers((3, 9, 8)), "ZYX", metadata=metadata)
    )
    assert np.isnan(image.geometry.time_s)
