"""Series whose slices differ: rescales of their own, gaps, several volumes."""

import warnings

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_maker import CT, US, frame_groups, noise, ramp, save
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut
from pydicom.sequence import Sequence

from medenh import degrade, enhance, formats
from medenh.errors import RefusedError
from medenh.formats import dicom
from medenh.formats.maps import write_map
from medenh.pipeline.degrade import degrade_files
from medenh.pipeline.degrade_options import DegradeOptions

PET = "1.2.840.10008.5.1.4.1.1.128"
TILTED = [1, 0, 0, 0, 0.8, 0.6]
SPACING = [0.5, 0.25]
FIRST = np.array([10.0, -20.0, 30.0])
NORMAL = np.cross(TILTED[:3], TILTED[3:])


def slices(folder, places, pixels=None, each=None, **more):
    """Write one file for each place, in mm along the normal; return their paths."""
    folder.mkdir(exist_ok=True)
    paths = []
    for index, place in enumerate(places):
        own = {} if each is None else each[index]
        frame = np.full((6, 5), index, "u2") if pixels is None else pixels[index]
        where = [] if place is None else (FIRST + place * NORMAL).tolist()
        paths.append(
            save(
                folder / f"{index}.dcm",
                frame,
                InstanceNumber=index + 1,
                SOPInstanceUID=f"1.2.3.4.{index}",
                **{
                    "ImageOrientationPatient": TILTED,
                    "PixelSpacing": SPACING,
                    "ImagePositionPatient": [f"{one:.6f}" for one in where],
                    **more,
                    **own,
                },
            )
        )
    return paths


def real_values(paths):
    found = [pydicom.dcmread(path) for path in paths]
    return np.stack([apply_modality_lut(one.pixel_array, one) for one in found])


def rescales(*pairs):
    return [
        {"RescaleSlope": slope, "RescaleIntercept": intercept}
        for slope, intercept in pairs
    ]


OWN = rescales((0.0323738, 0), (0.0647475, 0), (0.1294951, 0), (-1.5, 7))


@pytest.fixture
def pet(tmp_path):
    pixels = noise((4, 6, 5), high=32768)
    windows = [{"WindowCenter": 10 ** (i + 1), "WindowWidth": 10} for i in range(4)]
    each = [{**own, **window} for own, window in zip(OWN, windows, strict=True)]
    places = (0, 3, 6, 9)
    return slices(tmp_path / "pet", places, pixels, each, sop_class=PET, modality="PT")


def test_each_slice_has_its_own_rescale(pet):
    image = formats.read(pet)
    np.testing.assert_allclose(image.pixels[..., 0], real_values(pet), rtol=1e-6)
    # windows made for one slice each say nothing of the volume
    assert image.unit_range.reason.startswith("percentiles")


def test_windows_of_single_slices_are_not_those_of_all(tmp_path):
    # MR scanners give each slice its own; the first one, at the end of the head, is dim
    pixels = noise((4, 60, 50), high=256) * np.arange(1, 5, dtype="u2")[:, None, None]
    tops = [256 * (i + 1) for i in range(4)]
    each = [{"WindowCenter": top / 2, "WindowWidth": top} for top in tops]
    places = (0, 3, 6, 9)
    image = formats.read(slices(tmp_path / "mr", places, pixels, each))
    assert image.unit_range.reason.startswith("percentiles")
    assert image.unit_range.high > 900
    # Hounsfield units mean the same everywhere: the first window is taken
    ct = {"sop_class": CT, "modality": "CT", "RescaleSlope": 1, "RescaleIntercept": 0}
    image = formats.read(slices(tmp_path / "ct", places, pixels, each, **ct))
    assert (image.unit_range.low, image.unit_range.high) == (0.0, 255.0)


def test_the_range_holds_the_brightest_of_many_volumes(tmp_path):
    pixels = 400 + noise((42, 30, 20), high=50)
    pixels[1::21, :2] += 600  # of each place one of the files, and some of it
    places = [0] * 21 + [3] * 21
    each = [{"DiffusionBValue": float(1000 * (i % 21 != 1))} for i in range(42)]
    image = formats.read(slices(tmp_path / "dwi", places, pixels, each))
    assert image.geometry.depth == 2
    assert image.unit_range.high > 1040


@pytest.mark.parametrize("name", ["a.nii.gz", "a.npy", "a.tif"])
def test_other_formats_get_real_values(pet, tmp_path, name):
    image = formats.read(pet)
    formats.write(image, tmp_path / name)
    if name.endswith(".nii.gz"):
        loaded = nibabel.load(tmp_path / name)
        values = loaded.get_fdata().transpose(2, 1, 0)
    else:
        values = formats.read(tmp_path / name).pixels[..., 0]
    np.testing.assert_allclose(values, real_values(pet), rtol=1e-6)
    assert dicom.lost_meaning(image, "nifti") == []


def test_each_slice_is_written_by_its_own_rescale(pet, tmp_path):
    image = formats.read(pet)
    same = image.from_unit(image.to_unit())
    targets = [tmp_path / f"{i}.same.dcm" for i in range(4)]
    formats.write(same, targets)
    for source, target in zip(pet, targets, strict=True):
        before, after = pydicom.dcmread(source), pydicom.dcmread(target)
        assert after.PixelData == before.PixelData
        assert after.RescaleSlope == before.RescaleSlope
    changed = image.from_unit(0.5 + 0.5 * image.to_unit())
    targets = [tmp_path / f"{i}.changed.dcm" for i in range(4)]
    formats.write(changed, targets)
    steps = np.abs([own["RescaleSlope"] for own in OWN])[:, None, None]
    wanted = changed.pixels[..., 0]
    assert np.all(np.abs(real_values(targets) - wanted) <= steps / 100)
    moved = wanted - image.pixels[..., 0]
    asked = 0.5 - 0.5 * image.to_unit()[:, 0]
    span = image.unit_range.high - image.unit_range.low
    assert np.abs(moved).max() > 100
    # beyond what a slice can store its values are cut off
    stored = np.stack([pydicom.dcmread(target).pixel_array for target in targets])
    kept = (stored > 0) & (stored < 65535)
    assert kept.mean() > 0.9
    np.testing.assert_allclose(moved[kept], (asked * span)[kept], atol=1e-3 * span)


@pytest.mark.parametrize("sign", [1, -1])
def test_values_that_the_rescale_of_a_slice_cannot_store_are_told_of(tmp_path, sign):
    # each slice uses all of its numbers, as PET does, and the first ones are dim
    pixels = noise((4, 64, 64), "i2", 32768)
    pixels[:, 0, 0] = 32767
    each = rescales(*((sign * 0.1 * (index + 1), 0) for index in range(4)))
    paths = slices(
        tmp_path / "in", (0, 3, 6, 9), pixels, each, sop_class=PET, modality="PT"
    )
    words = "rescale of their slice can store"
    for model, told in (("stretch", True), ("tv", False)):
        summary = enhance([tmp_path / "in"], tmp_path / model, model=model)
        assert len(summary.written) == 4
        for made in summary.written:
            assert any(words in one for one in made.warnings) == told
    with pytest.raises(RefusedError, match=words):
        enhance(formats.read(paths), model="stretch", strict=True)
    asked = DegradeOptions(recipes=("brightness",), workers=1)
    (made,) = degrade_files([tmp_path / "in"], tmp_path / "bright", asked).written
    assert sum(words in one for one in made.warnings) == (sign > 0)


def test_a_slice_of_ct_with_another_intercept_is_the_same_picture(tmp_path):
    hounsfield = noise((4, 64, 64), "i2", high=1500) - 500
    more = {"sop_class": CT, "modality": "CT", "WindowCenter": 40, "WindowWidth": 400}
    images = []
    for name, last in (("even", -1024), ("odd", -1048)):
        intercepts = np.array([-1024, -1024, -1024, last])
        stored = (hounsfield - intercepts[:, None, None]).astype("u2")
        each = rescales(*((1, one) for one in intercepts.tolist()))
        paths = slices(tmp_path / name, (0, 3, 6, 9), stored, each, **more)
        images.append(formats.read(paths))
    even, odd = images
    np.testing.assert_array_equal(odd.pixels[..., 0], hounsfield)
    assert (odd.units, odd.unit_range, odd.modality) == (
        even.units,
        even.unit_range,
        even.modality,
    )
    assert odd.units == "HU"
    low = [degrade(image, "ct-low-dose", seed=3)[0] for image in images]
    np.testing.assert_array_equal(low[0].pixels, low[1].pixels)
    assert np.any(low[1].pixels != odd.pixels)


def table(values):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), 0, 16])
    item.LUTExplanation, item.ModalityLUTType = "x", "US"
    item.add_new("LUTData", "OW", np.asarray(values, "<u2").tobytes())
    return {"ModalityLUTSequence": Sequence([item])}


def test_values_behind_a_lookup_table_are_warned_about(tmp_path):
    path = save(tmp_path / "a", ramp(), **table(np.arange(4096) * 3))
    image = formats.read(path)
    for kind in ("nifti", "npy", "tiff"):
        (word,) = dicom.lost_meaning(image, kind)
        assert "stored numbers" in word
        assert "Modality LUT" in word
    assert dicom.lost_meaning(image, "dicom", map_kind="nifti") == []


def placed(affine, index):
    """Return where the first voxel of a slice lies, in DICOM's system."""
    return np.diag([-1, -1, 1]) @ (affine @ [0, 0, index, 1])[:3]


@pytest.mark.parametrize(
    ("places", "words", "right"),
    [
        ((0, 3, 9, 12, 15), "missing: 1 after slice 2", 2),
        ((0, 9, 12, 21, 24), "missing: 2 after slice 1, 2 after slice 3", 1),
        ((0, 3, 4, 9), "not evenly spaced: they lie 1 to 5 mm apart", 2),
        ((0, 3, 3, 6), "several of its slices lie in one place", 2),
    ],
)
def test_uneven_slices_keep_the_place_of_the_first(tmp_path, places, words, right):
    image = formats.read(slices(tmp_path / "in", places))
    (word,) = dicom.lost_meaning(image, "nifti")
    assert words in word
    assert dicom.lost_meaning(image, "dicom", map_kind="nifti") == [word]
    assert dicom.lost_meaning(image, "dicom") == []
    assert np.isnan(image.geometry.spacing_mm[0])
    values = np.zeros(image.pixels.shape[:3], np.float32)
    with pytest.warns(UserWarning, match=words):
        formats.write(image, tmp_path / "a.nii")
    write_map(values, image, [tmp_path / "map.nii"], format="nifti", top=0.5)
    for name in ("a.nii", "map.nii"):
        loaded = nibabel.load(tmp_path / name)
        assert loaded.header["qform_code"] == loaded.header["sform_code"] == 1
        for index in range(right):
            expected = FIRST + places[index] * NORMAL
            np.testing.assert_allclose(
                placed(loaded.affine, index), expected, atol=1e-4
            )
        flip = np.diag([-1, -1, 1])
        along = [flip @ np.array(TILTED[:3]) * 0.25, flip @ np.array(TILTED[3:]) * 0.5]
        np.testing.assert_allclose(loaded.affine[:3, :2].T, along, atol=1e-6)
        np.testing.assert_allclose(loaded.header.get_zooms()[:2], (0.25, 0.5))


def test_times_of_one_place_are_volumes_of_one_slice(tmp_path):
    each = [{"EchoTime": 30.0 - 10 * index} for index in range(3)]
    paths = slices(tmp_path / "in", (5, 5, 5), each=each)
    formats.write(formats.read(paths), tmp_path / "a.nii")
    loaded = nibabel.load(tmp_path / "a.nii")
    assert loaded.shape == (5, 6, 1, 3)
    # the shortest echo first, as with several slices, whatever its number
    assert loaded.get_fdata()[0, 0, 0].tolist() == [2, 1, 0]
    np.testing.assert_allclose(placed(loaded.affine, 0), FIRST + 5 * NORMAL, atol=1e-4)
    enhance(tmp_path / "in", tmp_path / "b.nii", model="identity")
    assert (tmp_path / "b.nii").read_bytes() == (tmp_path / "a.nii").read_bytes()


def test_a_tilted_gantry_leaves_no_false_place_in_nifti(tmp_path):
    # not along the normal
    places = [FIRST + np.array([0, 0, 3 * i]) for i in range(12)]
    each = [{"ImagePositionPatient": place.tolist()} for place in places]
    image = formats.read(slices(tmp_path / "in", range(12), each=each))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        formats.write(image, tmp_path / "a.nii")
    loaded = nibabel.load(tmp_path / "a.nii")
    for index, place in enumerate(places):
        np.testing.assert_allclose(placed(loaded.get_sform(), index), place, atol=1e-4)
    # a quaternion has no shears: ITK, for one, would take it where it has a code
    assert loaded.header["sform_code"] == 1
    assert loaded.header["qform_code"] == 0


def test_pixels_of_unknown_size_are_not_called_millimetres(tmp_path):
    image = formats.read(slices(tmp_path / "in", (0, 3, 6), PixelSpacing=None))
    (word,) = dicom.lost_meaning(image, "nifti")
    assert "size of its pixels" in word
    assert dicom.lost_meaning(image, "tiff") == []
    with pytest.warns(UserWarning, match="PixelSpacing"):
        formats.write(image, tmp_path / "a.nii")
    header = nibabel.load(tmp_path / "a.nii").header
    assert header.get_xyzt_units()[0] == "unknown"
    assert header["sform_code"] == header["qform_code"] == 0


def test_even_slices_lose_nothing(tmp_path):
    image = formats.read(slices(tmp_path / "in", (6, 0, 3)))
    assert dicom.lost_meaning(image, "nifti") == []
    formats.write(image, tmp_path / "a.nii")
    affine = nibabel.load(tmp_path / "a.nii").affine
    for index in range(3):
        expected = FIRST + 3 * index * NORMAL
        np.testing.assert_allclose(placed(affine, index), expected, atol=1e-4)


def test_a_slice_without_a_place_is_told(tmp_path):
    image = formats.read(slices(tmp_path / "in", (0, None, 6)))
    (word,) = dicom.lost_meaning(image, "nifti")
    assert "tell no place" in word


ECHOES = [{"EchoNumbers": n, "EchoTime": 10 * n} for n in (2, 1)]
WEIGHTINGS = [{"DiffusionBValue": b} for b in (1000, 0)]
TIMES = [{"TemporalPositionIdentifier": n} for n in (2, 1)]
KINDS = [{"ImageType": ["ORIGINAL", "PRIMARY", one]} for one in ("P", "M")]
NUMBERS = [{}, {}]


@pytest.mark.parametrize("slices_first", [True, False])
@pytest.mark.parametrize(
    ("kinds", "turned"),
    [(ECHOES, 1), (WEIGHTINGS, 1), (TIMES, 1), (KINDS, 1), (NUMBERS, 0)],
)
def test_slices_in_the_same_places_are_volumes(tmp_path, kinds, turned, slices_first):
    made = [(v, s) for v in (0, 1) for s in (0, 1, 2)]
    if not slices_first:
        made.sort(key=lambda one: one[1])
    paths = slices(
        tmp_path / "in",
        [3 * s for _, s in made],
        np.stack([np.full((6, 5), 10 * v + s, "u2") for v, s in made]),
        [kinds[v] for v, _ in made],
    )
    image = formats.read(paths[::-1])
    expected = [10 * v + s for v in ((1, 0) if turned else (0, 1)) for s in (0, 1, 2)]
    assert image.pixels[:, 0, 0, 0].tolist() == expected
    assert image.geometry.depth == 3
    assert dicom.lost_meaning(image, "nifti") == []
    formats.write(image, tmp_path / "a.nii")
    loaded = nibabel.load(tmp_path / "a.nii")
    assert loaded.shape == (5, 6, 3, 2)
    assert loaded.get_fdata()[0, 0].T.ravel().tolist() == expected
    np.testing.assert_allclose(placed(loaded.affine, 2), FIRST + 6 * NORMAL, atol=1e-4)
    targets = [tmp_path / f"{i}.dcm" for i in range(6)]
    formats.write(image, targets)
    for source, target in zip(paths[::-1], targets, strict=True):
        before, after = pydicom.dcmread(source), pydicom.dcmread(target)
        np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
        assert after.ImagePositionPatient == before.ImagePositionPatient


def plane_groups(places):
    items = []
    for place in places:
        item, plane = Dataset(), Dataset()
        plane.ImagePositionPatient = [0, 0, place]
        item.PlanePositionSequence = Sequence([plane])
        items.append(item)
    kind = "1.2.840.10008.5.1.4.1.1.4.1"
    return frame_groups(items, sop_class=kind, SliceThickness=4)


@pytest.mark.parametrize(
    ("places", "depth", "spacing"),
    [((0, 2, 0, 2, 0, 2), 2, 2), ((5, 5, 5, 5), 1, 4), ((0, 2, 4), None, 2)],
)
def test_frames_of_one_file_may_be_volumes_too(tmp_path, places, depth, spacing):
    frames = ramp((len(places), 4, 4))
    image = formats.read(save(tmp_path / "a", frames, **plane_groups(places)))
    assert image.geometry.depth == depth
    assert image.geometry.spacing_mm == (spacing, 0.5, 0.5)
    np.testing.assert_allclose(image.geometry.affine[:3, 2], [0, 0, spacing])
    assert dicom.lost_meaning(image, "nifti") == []


def with_indices(groups, indices):
    """Give frames their DimensionIndexValues."""
    for group, values in zip(
        groups["PerFrameFunctionalGroupsSequence"], indices, strict=True
    ):
        content = Dataset()
        content.DimensionIndexValues = list(values)
        group.FrameContentSequence = Sequence([content])
    return groups


def with_echoes(groups, times):
    for group, time in zip(
        groups["PerFrameFunctionalGroupsSequence"], times, strict=True
    ):
        echo = Dataset()
        echo.EffectiveEchoTime = time
        group.MREchoSequence = Sequence([echo])
    return groups


def numbered(count):
    """Return frames that hold their own number."""
    return np.repeat(np.arange(count, dtype="u2"), 16).reshape(count, 4, 4)


SLOWLY = (0, 0, 2, 2, 4, 4)  # all of one place, then all of the next
MIXED = (2, 4, 0, 4, 0, 2)


@pytest.mark.parametrize(
    ("groups", "order", "depth"),
    [
        (plane_groups((4, 0, 6, 2)), [1, 3, 0, 2], None),
        (plane_groups(SLOWLY), [0, 2, 4, 1, 3, 5], 3),
        (with_echoes(plane_groups(SLOWLY), [9, 5] * 3), [1, 3, 5, 0, 2, 4], 3),
        (plane_groups(MIXED), [2, 0, 1, 4, 5, 3], 3),
        (
            with_indices(
                plane_groups(MIXED), [(2, 2), (3, 2), (1, 1), (3, 1), (1, 2), (2, 1)]
            ),
            [2, 5, 3, 4, 0, 1],
            3,
        ),
    ],
    ids=["shuffled", "slowly", "by echo", "mixed", "by index"],
)
def test_frames_of_one_file_are_sorted_by_their_place(tmp_path, groups, order, depth):
    path = save(tmp_path / "a", numbered(len(order)), **groups)
    image = formats.read(path)
    assert image.pixels[:, 0, 0, 0].tolist() == order
    assert image.geometry.depth == depth
    assert image.geometry.spacing_mm == (2, 0.5, 0.5)
    assert dicom.lost_meaning(image, "nifti") == []
    formats.write(image, tmp_path / "a.nii")
    loaded = nibabel.load(tmp_path / "a.nii")
    assert loaded.shape == ((4, 4, 3, 2) if depth else (4, 4, 4))
    np.testing.assert_allclose(placed(loaded.affine, 1), [0, 0, 2], atol=1e-5)
    formats.write(image, tmp_path / "b.dcm")
    before, after = pydicom.dcmread(path), pydicom.dcmread(tmp_path / "b.dcm")
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
    for one, other in zip(
        before.PerFrameFunctionalGroupsSequence,
        after.PerFrameFunctionalGroupsSequence,
        strict=True,
    ):
        assert one.PlanePositionSequence == other.PlanePositionSequence


def test_frames_are_sorted_without_a_spacing_of_pixels_too(tmp_path):
    groups = plane_groups((4, 0, 2))
    del groups["SharedFunctionalGroupsSequence"][0].PixelMeasuresSequence
    image = formats.read(save(tmp_path / "a", numbered(3), **groups))
    assert image.pixels[:, 0, 0, 0].tolist() == [1, 2, 0]
    np.testing.assert_array_equal(image.geometry.spacing_mm, (2, np.nan, np.nan))


def test_sorted_frames_keep_their_rescales_and_padding(tmp_path):
    slopes, places = (1, 2, 0.5, 4), (4, 0, 6, 2)
    groups = plane_groups(places)
    for group, slope in zip(
        groups["PerFrameFunctionalGroupsSequence"], slopes, strict=True
    ):
        rescale = Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept = slope, 0
        group.PixelValueTransformationSequence = Sequence([rescale])
    frames = noise((4, 6, 6)) + 1
    frames[2, :2] = 0
    path = save(tmp_path / "a", frames, PixelPaddingValue=0, **groups)
    image = formats.read(path)
    order = np.argsort(places)
    expected = (frames * np.reshape(slopes, (4, 1, 1)))[order]
    np.testing.assert_array_equal(image.pixels[..., 0], expected)
    np.testing.assert_array_equal(image.frozen, frames[order] == 0)
    formats.write(image, tmp_path / "b.dcm")
    stored = pydicom.dcmread(tmp_path / "b.dcm").pixel_array
    np.testing.assert_array_equal(stored, frames)


def test_frames_that_no_order_makes_volumes_are_told_in_truth(tmp_path):
    groups = plane_groups((2, 0, 2, 4))
    image = formats.read(save(tmp_path / "a", numbered(4), **groups))
    (word,) = dicom.lost_meaning(image, "nifti")
    assert "several of its slices lie in one place, and are no whole volumes" in word
    groups = plane_groups((6, 0, 2, 8))
    image = formats.read(save(tmp_path / "b", numbered(4), **groups))
    (word,) = dicom.lost_meaning(image, "nifti")
    assert "slices are missing: 1 after slice 2" in word


def test_volumes_stay_as_they_lie_in_the_file(tmp_path):
    for index, places in enumerate([(4, 2, 0), (0, 2, 0, 2), (2, 0, 2, 0)]):
        path = save(
            tmp_path / f"{index}", numbered(len(places)), **plane_groups(places)
        )
        pixels = formats.read(path).pixels
        assert pixels[:, 0, 0, 0].tolist() == list(range(len(places)))


def test_frames_of_an_ultrasound_volume_have_spacing_and_order_and_no_place(tmp_path):
    groups = plane_groups((4, 0, 2, 4, 0, 2))
    groups["sop_class"] = "1.2.840.10008.5.1.4.1.1.6.2"
    for index, group in enumerate(groups["PerFrameFunctionalGroupsSequence"]):
        plane, time = Dataset(), Dataset()
        (patient,) = group.PlanePositionSequence
        del group.PlanePositionSequence
        plane.ImagePositionVolume = patient.ImagePositionPatient
        time.TemporalPositionTimeOffset = index < 3  # the later volume first
        group.PlanePositionVolumeSequence = Sequence([plane])
        group.TemporalPositionSequence = Sequence([time])
    (shared,), turn = groups["SharedFunctionalGroupsSequence"], Dataset()
    turn.ImageOrientationVolume = [1, 0, 0, 0, 1, 0]
    shared.PlaneOrientationVolumeSequence = Sequence([turn])
    path = save(tmp_path / "a", numbered(6), modality="US", **groups)
    image = formats.read(path)
    assert image.pixels[:, 0, 0, 0].tolist() == [4, 5, 3, 1, 2, 0]
    assert image.geometry.spacing_mm == (2, 0.5, 0.5)
    (word,) = dicom.lost_meaning(image, "nifti")
    assert "not in the patient" in word
    with pytest.warns(UserWarning, match="spacing and no place"):
        formats.write(image, tmp_path / "a.nii")
    loaded = nibabel.load(tmp_path / "a.nii")
    assert loaded.shape == (4, 4, 3, 2)
    assert loaded.header.get_zooms()[:3] == (0.5, 0.5, 2)
    assert loaded.header["sform_code"] == loaded.header["qform_code"] == 0
    formats.write(image, tmp_path / "b.dcm")
    made = pydicom.dcmread(tmp_path / "b.dcm")
    np.testing.assert_array_equal(made.pixel_array, numbered(6))


def test_frames_in_one_shared_place_have_it(tmp_path):
    groups = plane_groups((5,) * 3)
    shared = groups["SharedFunctionalGroupsSequence"][0]
    for group in groups["PerFrameFunctionalGroupsSequence"]:
        shared.PlanePositionSequence = group.PlanePositionSequence
        del group.PlanePositionSequence
    image = formats.read(save(tmp_path / "a", numbered(3), **groups))
    assert image.geometry.depth == 1
    np.testing.assert_array_equal(image.geometry.affine[:3, 3], [0, 0, 5])


@pytest.mark.parametrize(
    "told",
    [
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 0, 0, 0]},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
    ],
)
@pytest.mark.parametrize("frames", [1, 2])
def test_a_place_that_cannot_be_true_is_told_and_none_is_written(
    tmp_path, told, frames
):
    paths = slices(tmp_path, range(frames), SliceThickness=3, **told)
    image = formats.read(paths)
    assert image.geometry.affine is None
    assert np.isnan(image.geometry.spacing_mm[0]) == (frames > 1)  # a slice is as thick
    (word,) = dicom.lost_meaning(image, "nifti")
    assert word.endswith("cannot be true: in NIfTI it has no place")
    with pytest.warns(UserWarning, match="cannot be true"):
        formats.write(image, tmp_path / "a.nii")
    written = nibabel.load(tmp_path / "a.nii").header
    assert written["sform_code"] == written["qform_code"] == 0
    assert dicom.lost_meaning(image, "dicom") == []


@pytest.mark.parametrize("told", [[1e-300, 1], [1e-300, 1e-300], [1, 1e308]])
def test_sizes_that_cannot_be_true_are_unknown(tmp_path, told):
    """The one of NIfTI was infinite, or nothing at all."""
    sizes = {"PixelSpacing": told, "SliceThickness": 1e300}
    image = formats.read(slices(tmp_path, [0], **sizes))
    assert np.isnan(image.geometry.spacing_mm).all()
    with pytest.warns(UserWarning, match="nothing tells the size of its pixels"):
        formats.write(image, tmp_path / "a.nii")


@pytest.mark.parametrize("where", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_numbers_beyond_all_lengths_are_no_place(tmp_path, where):
    told = {where: [1e308] * (3 if where == "ImagePositionPatient" else 6)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = formats.read(slices(tmp_path, [0], **told))
        formats.write(image, tmp_path / "a.nii")
    assert image.geometry.affine is None


@pytest.mark.parametrize("spoil", ["item", "value", "frame"])
def test_a_frame_without_a_place_is_told_and_strict_refuses(tmp_path, spoil):
    groups = plane_groups((0, 2, 4, 6))
    frames = groups["PerFrameFunctionalGroupsSequence"]
    if spoil == "item":
        del frames[2].PlanePositionSequence
    elif spoil == "value":
        del frames[2].PlanePositionSequence[0].ImagePositionPatient
    else:
        del frames[3]
    path = save(tmp_path / "a.dcm", noise((4, 64, 64)), **groups)
    image = formats.read(path)
    assert image.geometry.affine is None
    (word,) = dicom.lost_meaning(image, "nifti")
    assert "some of its slices tell no place" in word
    with pytest.warns(UserWarning, match="tell no place"):
        enhance(image, tmp_path / "b.nii", model="clahe")
    with pytest.raises(RefusedError, match="tell no place"):
        enhance(image, tmp_path / "c.nii", model="clahe", strict=True)
    assert dicom.lost_meaning(image, "dicom") == []


def measured(places, spacings):
    """Return groups as `plane_groups` does; each frame tells its pixels' spacing."""
    groups = plane_groups(places)
    shared = groups["SharedFunctionalGroupsSequence"][0]
    del shared.PixelMeasuresSequence
    frames = groups["PerFrameFunctionalGroupsSequence"]
    for frame, spacing in zip(frames, spacings, strict=True):
        measures = Dataset()
        measures.PixelSpacing, measures.SliceThickness = [spacing] * 2, 4
        frame.PixelMeasuresSequence = Sequence([measures])
    return groups


def test_frames_with_pixels_of_several_sizes_are_told_and_strict_refuses(tmp_path):
    groups = measured((6, 4, 2, 0), (0.5, 0.5, 0.7, 0.5))
    path = save(tmp_path / "a.dcm", noise((4, 64, 64)), **groups)
    image = formats.read(path)
    (word,) = dicom.lost_meaning(image, "nifti")
    assert "pixels of its slices differ in size" in word
    assert dicom.lost_meaning(image, "dicom") == []
    assert image.header.order == ()  # they lie well: nothing is to be sorted
    with pytest.warns(UserWarning, match="differ in size"):
        enhance(image, tmp_path / "b.nii", model="clahe")
    with pytest.raises(RefusedError, match="differ in size"):
        enhance(image, tmp_path / "c.nii", model="clahe", strict=True)


@pytest.mark.parametrize("spoil", ["group", "value"])
def test_pixels_that_some_frames_tell_are_those_of_all_where_they_agree(
    tmp_path, spoil
):
    for name, spacings in (("a", (0.5,) * 4), ("b", (0.5, 0.5, 0.7, 0.5))):
        groups = measured((0, 2, 4, 6), spacings)
        first = groups["PerFrameFunctionalGroupsSequence"][0]
        if spoil == "group":
            del first.PixelMeasuresSequence
        else:
            del first.PixelMeasuresSequence[0].PixelSpacing
        image = formats.read(save(tmp_path / name, noise((4, 8, 8)), **groups))
        assert image.geometry.spacing_mm == (2, 0.5, 0.5)
        assert image.geometry.affine is not None
        assert len(dicom.lost_meaning(image, "nifti")) == len(set(spacings)) - 1


@pytest.mark.parametrize("shared", [True, False])
def test_enhanced_angiography_tells_its_pixels_in_a_group_of_its_own(tmp_path, shared):
    properties, group, empty = Dataset(), Dataset(), Dataset()
    properties.FrameType = ["ORIGINAL", "PRIMARY", "", ""]
    properties.ImagerPixelSpacing = [0.3, 0.2]
    group.FramePixelDataPropertiesSequence = Sequence([properties])
    told = {
        "SharedFunctionalGroupsSequence": Sequence([group if shared else empty]),
        "PerFrameFunctionalGroupsSequence": Sequence([empty if shared else group] * 3),
        "FrameTime": 40,
        "sop_class": "1.2.840.10008.5.1.4.1.1.12.1.1",
    }
    image = formats.read(save(tmp_path / "a.dcm", numbered(3), **told))
    assert image.geometry.spacing_mm[1:] == (0.3, 0.2)
    assert dicom.lost_meaning(image, "nifti") == []


def test_sizes_of_pixels_that_differ_by_rounding_are_one(tmp_path):
    groups = measured((0, 2), (0.703125, 0.7031))
    image = formats.read(save(tmp_path / "a.dcm", noise((2, 8, 8)), **groups))
    assert dicom.lost_meaning(image, "nifti") == []


def test_a_series_with_pixels_of_several_sizes_is_told(tmp_path):
    each = [{}, {"PixelSpacing": [0.5, 0.5]}, {}]
    image = formats.read(slices(tmp_path / "in", (0, 3, 9), each=each))
    missing, sizes = dicom.lost_meaning(image, "nifti")
    assert "slices are missing" in missing
    assert "differ in size" in sizes


GAP = (0, 3, 9, 12)


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"format": "nifti"}, True),
        ({"uncertainty": True}, True),
        ({}, False),
        ({"format": "npy", "uncertainty": True}, False),
    ],
)
def test_a_run_tells_of_missing_slices_and_strict_refuses(tmp_path, options, warned):
    slices(tmp_path / "in", GAP, noise((4, 64, 64)), modality="MR")
    summary = enhance([tmp_path / "in"], tmp_path / "out", model="clahe", **options)
    assert not summary.failed
    told = ["slices are missing" in " ".join(one.warnings) for one in summary.written]
    assert told == [warned] * 4
    strict = enhance(
        [tmp_path / "in"], tmp_path / "b", model="clahe", strict=True, **options
    )
    reasons = [str(one.error) for one in strict.failed]
    assert len(reasons) == (4 if warned else 0)
    assert all("slices are missing" in reason for reason in reasons)


def test_a_degradation_tells_of_missing_slices(tmp_path):
    slices(tmp_path / "in", GAP, noise((4, 64, 64)), modality="MR")
    for name, count in (("nifti", 1), ("npy", 0)):
        asked = DegradeOptions(recipes=("mri-bias",), format=name, workers=1)
        summary = degrade_files([tmp_path / "in"], tmp_path / name, asked)
        (made,) = summary.written
        assert sum("slices are missing" in word for word in made.warnings) == count


def test_the_library_warns_of_missing_slices(tmp_path):
    image = formats.read(slices(tmp_path / "in", GAP, noise((4, 64, 64))))
    with pytest.warns(UserWarning, match="slices are missing") as caught:
        formats.write(image, tmp_path / "a.nii")
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="slices are missing") as caught:
        enhance(image, tmp_path / "b.nii", model="clahe")
    assert [one.filename for one in caught] == [__file__]
    with pytest.raises(RefusedError, match="slices are missing"):
        enhance(image, tmp_path / "c.nii", model="clahe", strict=True)
    assert not (tmp_path / "c.nii").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        formats.write(image, tmp_path / "a.npy")
        formats.write(image, [tmp_path / f"{i}.dcm" for i in range(4)])


TIME, VECTOR = 0x00181063, 0x00181065


@pytest.mark.parametrize(
    ("told", "seconds", "lost"),
    [
        ({"FrameIncrementPointer": TIME, "FrameTime": 40}, 0.04, ""),
        ({"FrameTime": 40}, 0.04, ""),
        ({"FrameIncrementPointer": VECTOR, "FrameTimeVector": [0, 66, 67, 67]}, 1, ""),
        (
            {"FrameIncrementPointer": VECTOR, "FrameTimeVector": [0, 30, 60, 60]},
            None,
            "its frames come 30 to 60 ms after one another",
        ),
        ({"FrameIncrementPointer": [TIME]}, None, ""),
        ({"FrameIncrementPointer": TIME, "FrameTime": 0}, None, ""),
        ({"FrameIncrementPointer": VECTOR, "FrameTimeVector": [0, 40]}, None, ""),
    ],
)
def test_frames_of_a_cine_are_times(told, seconds, lost, tmp_path):
    frames = noise((4, 9, 8, 3), "u1", 256)
    options = {"sop_class": US, "modality": "US", **told}
    image = formats.read(save(tmp_path / "a.dcm", frames, **options))
    assert image.geometry.depth == 1
    with pytest.warns(UserWarning, match="size of its pixels") as said:
        formats.write(image, tmp_path / "a.nii")
    words = " ".join(str(one.message) for one in said)
    assert ("after one another" in words) == bool(lost)
    assert lost in words
    loaded = nibabel.load(tmp_path / "a.nii")
    assert loaded.shape == (8, 9, 1, 4)
    times_first = np.ascontiguousarray(np.asarray(loaded.dataobj)[:, :, 0].T)
    written = times_first.view("u1").reshape(frames.shape)
    np.testing.assert_array_equal(written, frames)
    unit = loaded.header.get_xyzt_units()[1]
    step = loaded.header.get_zooms()[2:]
    if seconds is None:
        assert (unit, step) == ("unknown", (1, 1))
    else:
        wanted = 0.2 / 3 if seconds == 1 else seconds
        assert (unit, step) == ("sec", (1, pytest.approx(wanted)))
    back = formats.read(tmp_path / "a.nii").geometry.time_s
    assert back == pytest.approx(image.geometry.time_s, nan_ok=True)


@pytest.mark.parametrize(
    "told", [{}, {"FrameIncrementPointer": 0x00540080, "FrameTime": 40}]
)
def test_frames_that_are_no_times_stay_slices(told, tmp_path):
    image = formats.read(save(tmp_path / "a.dcm", numbered(3), **told))
    assert image.geometry.depth is None
    formats.write(image, tmp_path / "a.nii")
    assert nibabel.load(tmp_path / "a.nii").shape == (4, 4, 3)
    alone = formats.read(save(tmp_path / "b.dcm", numbered(3)[0], FrameTime=40))
    assert alone.geometry.depth is None


def test_an_enhanced_cine_of_one_place_keeps_it_and_its_times(tmp_path):
    groups = plane_groups((5, 5, 5)) | {"FrameTime": 25}
    image = formats.read(save(tmp_path / "a.dcm", numbered(3), **groups))
    formats.write(image, tmp_path / "a.nii")
    loaded = nibabel.load(tmp_path / "a.nii")
    assert loaded.header.get_zooms() == (0.5, 0.5, 4, pytest.approx(0.025))
    assert loaded.affine[2, 3] == 5


def region(kind=1, units=(3, 3), steps=(0.02, 0.03), box=(2, 1, 7, 8)):
    made = Dataset()
    made.RegionSpatialFormat, made.RegionDataType = kind, 1
    made.RegionFlags = 0
    made.RegionLocationMinX0, made.RegionLocationMinY0 = box[:2]
    made.RegionLocationMaxX1, made.RegionLocationMaxY1 = box[2:]
    made.PhysicalUnitsXDirection, made.PhysicalUnitsYDirection = units
    made.PhysicalDeltaX, made.PhysicalDeltaY = steps
    return made


ECG = region(4, (4, 0), (0.005, 0.0))
SCALE = (0.3, 0.2)  # of rows, of columns, in mm


@pytest.mark.parametrize(
    ("regions", "spacing"),
    [
        ([region()], SCALE),
        ([region(steps=(0.02, -0.03))], SCALE),  # upwards
        ([region(box=(0, 0, 8, 9))], SCALE),
        ([ECG, region(box=(0, 0, 3, 8)), region(box=(4, 0, 7, 8))], SCALE),
        ([region(), region(steps=(0.02, 0.04))], None),
        ([region(), region(2, (4, 3), (0.005, 0.03))], None),  # M-mode
        ([region(units=(3, 4))], None),
        ([region(steps=(0.02, 0.0))], None),
        ([region(steps=(np.nan, 0.02))], None),
        ([region(box=(2, 1, 17, 8))], None),  # the picture was reduced
        ([Dataset()], None),
        ([ECG], None),
        ([], None),
    ],
)
def test_regions_of_ultrasound_tell_the_size_of_pixels(regions, spacing, tmp_path):
    options = {"sop_class": US, "modality": "US"}
    options["SequenceOfUltrasoundRegions"] = Sequence(regions)
    path = save(tmp_path / "a.dcm", noise((9, 8, 3), "u1", 256), **options)
    image = formats.read(path)
    told = image.geometry.spacing_mm[1:]
    assert told == (
        pytest.approx(spacing) if spacing else pytest.approx((np.nan,) * 2, nan_ok=True)
    )
    formats.write(image, tmp_path / "b.dcm")
    again = formats.read(tmp_path / "b.dcm").geometry.spacing_mm
    assert again == pytest.approx(image.geometry.spacing_mm, nan_ok=True)
    if spacing:
        formats.write(image, tmp_path / "a.nii")
        header = nibabel.load(tmp_path / "a.nii").header
        assert header.get_zooms() == pytest.approx((0.2, 0.3, 1))
        assert header.get_xyzt_units()[0] == "mm"
        smaller, _ = degrade(image, "gauss-0.1", size=3)
        assert smaller.geometry.spacing_mm[1:] == pytest.approx((0.9, 0.6))
        sized = save(tmp_path / "c.dcm", noise((9, 8)), PixelSpacing=[2, 1], **options)
        assert formats.read(sized).geometry.spacing_mm[1:] == (2, 1)
