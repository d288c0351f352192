"""Frames of nuclear medicine: place by slices, times by phases."""

import itertools
import warnings

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_maker import noise, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medenh import formats
from medenh.formats import dicom

NM = "1.2.840.10008.5.1.4.1.1.20"
WINDOW, DETECTOR, PHASE, RR = 0x00540010, 0x00540020, 0x00540030, 0x00540060
SLOT, SLICE, TIME = 0x00540070, 0x00540080, 0x00540100
# coronal: rows to the left, columns to the feet; the normal looks to the back
TURN = [1, 0, 0, 0, 0, -1]
FIRST = np.array([-150.0, -70.0, 90.0])
NORMAL = np.array([0.0, 1.0, 0.0])


def item(**fields):
    made = Dataset()
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    return made


def slices(count, *, turned=TURN, **more):
    """Return the fields of a reconstruction of some slices."""
    detector = item(CollimatorType="PARA", ImagePositionPatient=FIRST.tolist())
    if turned:
        detector.ImageOrientationPatient = turned
    return {
        "sop_class": NM,
        "modality": "NM",
        "ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        "FrameIncrementPointer": SLICE,
        "SliceVector": list(range(1, count + 1)),
        "PixelSpacing": [4.8, 4.0],
        "SliceThickness": 9,
        "DetectorInformationSequence": Sequence([Dataset(), detector]),
        **more,
    }


def to_nifti(path, frames, **options):
    """Return NIfTI made of a DICOM file, without any warning."""
    image = formats.read(save(path / "a.dcm", frames, **options))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        formats.write(image, path / "a.nii")
    return nibabel.load(path / "a.nii")


@pytest.mark.parametrize(
    ("told", "step"),
    [({"SpacingBetweenSlices": 5}, 5), ({"SpacingBetweenSlices": -5}, -5), ({}, 9)],
)
@pytest.mark.parametrize("kind", ["u2", "i2"])
def test_reconstructed_slices_have_their_place(told, step, kind, tmp_path):
    frames = noise((4, 7, 6), kind, 900) - np.array(300).astype(kind)
    loaded = to_nifti(tmp_path, frames, **slices(4, **told))
    assert loaded.header["sform_code"] == loaded.header["qform_code"] == 1
    np.testing.assert_allclose(loaded.header.get_zooms(), (4.0, 4.8, abs(step)))
    for index in range(4):
        there = np.diag([-1, -1, 1]) @ (FIRST + index * step * NORMAL)
        np.testing.assert_allclose(loaded.affine @ [0, 0, index, 1], [*there, 1])
    np.testing.assert_array_equal(
        np.asarray(loaded.dataobj).T, frames.astype(loaded.get_data_dtype())
    )


def test_slices_at_times_of_the_heart_are_volumes(tmp_path):
    numbers = [(slot, place) for slot in (1, 2) for place in (1, 2, 3)]
    told = {
        "FrameIncrementPointer": [RR, SLOT, SLICE],
        "RRIntervalVector": [1] * 6,
        "TimeSlotVector": [slot for slot, _ in numbers],
        "SliceVector": [place for _, place in numbers],
    }
    frames = noise((6, 7, 6), high=900)
    loaded = to_nifti(tmp_path, frames, **slices(3, **told))
    assert loaded.shape == (6, 7, 3, 2)
    np.testing.assert_array_equal(loaded.get_fdata()[..., 1].T, frames[3:])
    # the same, all times of a place one after another
    order = [0, 3, 1, 4, 2, 5]
    told["TimeSlotVector"] = [numbers[index][0] for index in order]
    told["SliceVector"] = [numbers[index][1] for index in order]
    again = to_nifti(tmp_path, frames[order], **slices(3, **told))
    np.testing.assert_array_equal(again.get_fdata(), loaded.get_fdata())
    image = formats.read(tmp_path / "a.dcm")
    formats.write(image, tmp_path / "b.dcm")
    back = pydicom.dcmread(tmp_path / "b.dcm")
    np.testing.assert_array_equal(back.pixel_array, frames[order])
    assert back.SliceVector == told["SliceVector"]


@pytest.mark.parametrize(
    "told",
    [
        {"turned": None},
        {"SliceVector": [1, 2]},
        {"SliceThickness": None},
        {"FrameIncrementPointer": WINDOW, "EnergyWindowVector": [1, 1, 2]},
    ],
)
def test_frames_that_no_place_is_told_of_are_warned_about(told, tmp_path):
    image = formats.read(
        save(tmp_path / "a.dcm", noise((3, 7, 6)), **slices(3, **told))
    )
    (word,) = dicom.lost_meaning(image, "nifti")
    assert "nothing tells where its frames lie" in word
    assert dicom.lost_meaning(image, "dicom") == dicom.lost_meaning(image, "tiff") == []
    with pytest.warns(UserWarning, match="where its frames lie"):
        formats.write(image, tmp_path / "a.nii")


def dynamic(phases, numbers, **more):
    count = len(numbers)
    return {
        "sop_class": NM,
        "modality": "NM",
        "PixelSpacing": [4.8, 4.8],
        "FrameIncrementPointer": [WINDOW, DETECTOR, PHASE, TIME],
        "EnergyWindowVector": [1] * count,
        "DetectorVector": [1] * count,
        "PhaseVector": numbers,
        "TimeSliceVector": list(range(1, count + 1)),
        "PhaseInformationSequence": Sequence([item(**phase) for phase in phases]),
        **more,
    }


def phase(lasts, pause=0, delay=0):
    return {
        "ActualFrameDuration": lasts,
        "PauseBetweenFrames": pause,
        "PhaseDelay": delay,
    }


@pytest.mark.parametrize(
    ("phases", "numbers", "seconds"),
    [
        ([phase(1500, 500)], [1, 1, 1, 1], 2),
        ([phase(2000), phase(2000)], [1, 1, 2, 2], 2),
        ([phase(2000), phase(1000, 1000)], [1, 1, 2, 2], 2),
        ([phase(1000, 1000), phase(2000, 0, 1000)], [1, 1, 2, 2], 2),
    ],
)
def test_dynamic_frames_are_times(phases, numbers, seconds, tmp_path):
    frames = noise((4, 7, 6), high=900)
    loaded = to_nifti(tmp_path, frames, **dynamic(phases, numbers))
    assert loaded.shape == (6, 7, 1, 4)
    assert loaded.header.get_xyzt_units() == ("mm", "sec")
    assert loaded.header.get_zooms()[3] == seconds


def test_dynamic_frames_of_uneven_steps_are_told(tmp_path):
    told = dynamic([phase(1000), phase(5000)], [1, 1, 2, 2])
    image = formats.read(save(tmp_path / "a.dcm", noise((4, 7, 6)), **told))
    assert image.geometry.depth == 1
    (word,) = dicom.lost_meaning(image, "nifti")
    assert "1000 to 5000 ms after one another" in word


@pytest.mark.parametrize(
    "damage", [{"PhaseInformationSequence": None}, {"PhaseVector": [1, 1, 2, 2]}]
)
def test_dynamic_frames_without_a_step_are_times_all_the_same(damage, tmp_path):
    told = dynamic([phase(1000)], [1, 1, 1, 1]) | damage
    image = formats.read(save(tmp_path / "a.dcm", noise((4, 7, 6)), **told))
    assert image.geometry.depth == 1
    assert np.isnan(image.geometry.time_s)


def test_frames_of_two_detectors_are_no_times(tmp_path):
    told = dynamic([phase(1000)], [1] * 4, DetectorVector=[1, 1, 2, 2])
    image = formats.read(save(tmp_path / "a.dcm", noise((4, 7, 6)), **told))
    assert image.geometry.depth is None
    (word,) = dicom.lost_meaning(image, "nifti")
    assert "where its frames lie" in word


def pet_slice(folder, index, place, when, value=100):
    """Save one slice of a PET series: its number, its place, its reference time."""
    return save(
        folder / f"{index}.dcm",
        np.full((7, 6), value, np.uint16),
        sop_class="1.2.840.10008.5.1.4.1.1.128",
        modality="PT",
        InstanceNumber=index,
        PixelSpacing=[4, 4],
        ImagePositionPatient=[0, 0, 5 * place],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        **({} if when is None else {"FrameReferenceTime": when}),
    )


@pytest.mark.parametrize(
    ("times", "seconds", "lost"),
    [
        ((500, 60500, 120500), 60, ""),
        ((500, 10500, 70500), np.nan, "its volumes come 10000 to 60000 ms after"),
        ((500, 500, 500), np.nan, ""),  # gated
        ((500, None, 120500), np.nan, ""),
        ((500,), np.nan, ""),
    ],
)
def test_volumes_of_pet_have_their_step_in_time(times, seconds, lost, tmp_path):
    paths = []
    for time, place in itertools.product(times, range(2)):
        when = time + 7 * place if time else None
        paths.append(pet_slice(tmp_path, len(paths), place, when))
    image = formats.read(paths)
    assert image.geometry.time_s == pytest.approx(seconds, nan_ok=True)
    words = dicom.lost_meaning(image, "nifti")
    assert len(words) == bool(lost)
    assert lost in "".join(words)


def test_volumes_of_pet_come_in_the_order_of_their_times(tmp_path):
    paths = [
        pet_slice(tmp_path, index, place, 500 + 60000 * time, 10 * time + place)
        for index, (time, place) in enumerate(itertools.product((2, 0, 1), range(2)))
    ]
    image = formats.read(paths)
    assert image.pixels[:, 0, 0, 0].tolist() == [0, 1, 10, 11, 20, 21]
    assert image.geometry.time_s == 60
