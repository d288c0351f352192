"""One SOP Instance UID names one file's content, one series UID what was done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_maker import ramp, save
from pydicom.uid import ImplicitVRLittleEndian

from medenh.formats import dicom
from medenh.types import Provenance

DEGRADED = Provenance("mri-rician", "0.1.0", options="seed=3 draw=0", verb="degrade")
ENHANCED = Provenance("denoise-mri", "1.2", "ab" * 32, "strength=1 engine=torch")


def written(image, path, how=ENHANCED):
    dicom.write(image, [path], provenance=how)
    return pydicom.dcmread(path)


@pytest.fixture
def image(tmp_path):
    return dicom.read([save(tmp_path / "in.dcm", ramp())])


def test_another_pixel_is_another_object_of_the_same_series(tmp_path, image):
    pixels = image.pixels.copy()
    pixels[0, 3, 2] += 1
    one = written(image, tmp_path / "one")
    other = written(replace(image, pixels=pixels), tmp_path / "other")
    again = written(replace(image, pixels=image.pixels.copy()), tmp_path / "again")
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    assert other.file_meta.MediaStorageSOPInstanceUID == other.SOPInstanceUID
    assert again.SOPInstanceUID == one.SOPInstanceUID
    assert (tmp_path / "again").read_bytes() == (tmp_path / "one").read_bytes()


@pytest.mark.parametrize(
    "more", [{"PatientName": "B"}, {"RescaleIntercept": 1, "RescaleSlope": 1}]
)
def test_another_header_is_another_object(tmp_path, image, more):
    other = dicom.read([save(tmp_path / "other.dcm", ramp(), **more)])
    uids = {written(one, tmp_path / "out").SOPInstanceUID for one in (image, other)}
    assert len(uids) == 2


def test_slices_of_equal_pixels_stay_apart(tmp_path):
    slices = [
        save(tmp_path / f"{n}.dcm", ramp(), SOPInstanceUID=f"1.2.3.{n}") for n in (1, 2)
    ]
    made = [written(dicom.read([path]), path.with_suffix("")) for path in slices]
    assert made[0].SOPInstanceUID != made[1].SOPInstanceUID
    assert made[0].SeriesInstanceUID == made[1].SeriesInstanceUID


def test_the_encoding_of_the_source_is_no_content(tmp_path, image):
    path = save(tmp_path / "b.dcm", ramp(), syntax=ImplicitVRLittleEndian)
    other = written(dicom.read([path]), tmp_path / "other")
    assert other.SOPInstanceUID == written(image, tmp_path / "one").SOPInstanceUID


def test_all_steps_are_told_the_last_first(tmp_path, image):
    made = written(image, tmp_path / "a", replace(ENHANCED, before=DEGRADED))
    alone = written(image, tmp_path / "b")
    last, first = made.DerivationDescription.split("; before that: ")
    assert last == alone.DerivationDescription
    assert last.startswith("Enhanced by medenh")
    assert "denoise-mri" in last
    assert first.startswith("Degraded by medenh")
    assert "mri-rician" in first
    assert "seed=3" in first
    names = [one.ManufacturerModelName for one in made.ContributingEquipmentSequence]
    assert names == ["mri-rician", "denoise-mri"]
    assert made.SeriesDescription == "degraded mri-rician enhanced denoise-mri"
    assert made.SeriesInstanceUID != alone.SeriesInstanceUID


@pytest.mark.parametrize(
    "how", [None, Provenance("", verb="change", before=DEGRADED)], ids=["none", "last"]
)
def test_what_no_model_made_is_not_called_enhanced(tmp_path, image, how):
    made = written(image, tmp_path / "a", how)
    said = made.DerivationDescription
    assert "nhanced" not in said + made.SeriesDescription
    assert not said.startswith("Degraded")
    (equipment,) = made.ContributingEquipmentSequence
    assert equipment.Manufacturer == "medenh"
    assert "nhanced" not in equipment.ContributionDescription


def test_frames_that_are_not_contiguous_have_the_uid_of_their_values(tmp_path, image):
    turned = replace(image, pixels=np.asfortranarray(image.pixels))
    one, other = (written(i, tmp_path / "a").SOPInstanceUID for i in (image, turned))
    assert one == other
