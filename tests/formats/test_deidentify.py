"""The Basic profile of PS3.15: what must go is gone, and the file stays legal."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pydicom
import pytest
from dicom_maker import CT, noise, save
from pydicom import Dataset
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID_dictionary
from test_dicom_shared import HOW, READABLE, SHARED, errors_of, wheel_files

from medenh import formats
from medenh.errors import InputError, UnsupportedError, UsageError
from medenh.formats import dicom
from medenh.formats.dicom.deidentify import deidentify, rules

TEXTS = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
FORMS = {
    "AS": "093Y",
    "CS": "QZTOKEN",
    "DA": "18930507",
    "DS": "918273.645",
    "DT": "18930507112233.445566",
    "IS": "918273645",
    "OB": b"QZTOKEN!",
    "TM": "112233.445566",
    "UI": "1.2.3.918273.4",
    "UN": b"QZTOKEN!",
}
SECRETS = (b"QZTOKEN", b"093Y", b"18930507", b"918273", b"112233.445566")
TELLING = ("PN", "DA", "DT", "TM", "LT", "ST", "UC", "UR", "UT")
CODES = ("LongCodeValue", "URNCodeValue")
# what this tool itself writes
OWN = {"PatientIdentityRemoved", "DeidentificationMethod"}


def planted_value(vr, number, action="X"):
    if vr == "SQ":
        item = Dataset()
        # a code's meaning is not of the table, and goes where its sequence goes
        word = "PatientComments" if action == "U" else "CodeMeaning"
        setattr(item, word, f"QZTOKEN{number}")
        item.PatientBirthDate = FORMS["DA"]
        return Sequence([item])
    return f"QZTOKEN{number}" if vr in TEXTS else FORMS.get(vr)


def telling_tags():
    """Return all attributes of the table, and all that tell by their kind."""
    known = {
        tag
        for tag, (vr, _, _, retired, _) in DicomDictionary.items()
        if vr in TELLING and not retired and keyword_for_tag(tag) not in CODES
    }
    return sorted(tag for tag in {*rules(), *known} if tag >> 16 >= 8)


def plant(target):
    """Put a value that is known again into all of them; return how many."""
    count = 0
    for number, tag in enumerate(telling_tags()):
        entry = DicomDictionary.get(tag)
        vr = "LO" if entry is None else entry[0]
        value = planted_value(vr, number, rules().get(tag))
        if value is None or keyword_for_tag(tag) in OWN or tag in target:
            continue
        target.add(DataElement(tag, vr, value))
        count += 1
    return count


def planted_file(path):
    """Write a file that tells of its patient wherever a file can, deep down too."""
    counts = []

    def encode(out):
        deep, deeper = Dataset(), Dataset()
        counts.extend([plant(out), plant(deep), plant(deeper)])
        # a sequence that the profile does not name, within another one
        deep.AnatomicRegionModifierSequence = Sequence([deeper])
        out.AnatomicRegionSequence = Sequence([deep])
        out.PatientName, out.PatientID = "QZTOKEN^ONE", "QZTOKEN2"
        out.StudyInstanceUID = out.SOPInstanceUID = FORMS["UI"]
        out.SeriesInstanceUID = FORMS["UI"]
        block = out.private_block(0x0029, "QZTOKEN3", create=True)
        block.add_new(1, "LO", "QZTOKEN4")
        out.add_new(Tag(0x50000005), "SH", "QZTOKEN5")
        out.add_new(Tag(0x60000022), "LO", "QZTOKEN6")
        out.add_new(Tag(0x00100FF0), "LO", "QZTOKEN7")  # no dictionary knows it
        out.file_meta.SourceApplicationEntityTitle = "QZTOKEN8"
        out.preamble = b"QZTOKEN9".ljust(128, b"\0")
        out.Manufacturer, out.ConvolutionKernel = "Maker", "B30f"

    pixels = noise((8, 6), high=255)
    save(path, pixels, sop_class=CT, modality="CT", encode=encode)
    assert min(counts) > 400
    return path


@pytest.fixture
def planted(tmp_path):
    return planted_file(tmp_path / "planted.dcm")


def test_nothing_that_names_the_patient_is_left(planted, tmp_path):
    image = dicom.read([planted])
    target = tmp_path / "out.dcm"
    dicom.write(image, [target], provenance=HOW, deidentified=True)
    data = target.read_bytes()
    assert planted.read_bytes().count(b"QZTOKEN") > 900
    for secret in SECRETS:
        assert secret not in data
    made = pydicom.dcmread(target)
    assert not [e for e in made.iterall() if e.tag.is_private]
    assert (made.Manufacturer, made.ConvolutionKernel) == ("Maker", "B30f")
    assert made.PatientIdentityRemoved == "YES"
    assert made.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert made.PatientName == made.PatientID == ""
    np.testing.assert_array_equal(made.pixel_array, image.pixels[0, ..., 0])


def test_addresses_go_and_codes_stay(monkeypatch):
    monkeypatch.setenv("MEDENH_UID_SECRET", "secret")
    address = "https://pacs.example/studies/1.2.3?patientID=4711"
    code = Dataset()
    code.LongCodeValue, code.CodingSchemeDesignator = "A" * 20, "99X"
    code.CodeMeaning = "a meaning"
    item = Dataset()
    item.RetrieveURI, item.PurposeOfReferenceCodeSequence = address, [code]
    dataset = Dataset()
    dataset.RetrieveURL, dataset.SourceImageSequence = address, [item]
    deidentify(dataset)
    assert "4711" not in str(dataset)
    (kept,) = dataset.SourceImageSequence[0].PurposeOfReferenceCodeSequence
    assert kept.LongCodeValue == "A" * 20
    assert kept.CodeMeaning == "a meaning"


def test_without_being_asked_everything_stays(planted, tmp_path):
    target = tmp_path / "out.dcm"
    dicom.write(dicom.read([planted]), [target], provenance=HOW)
    made = pydicom.dcmread(target)
    assert made.PatientID == "QZTOKEN2"
    assert made[0x0029, 0x1001].value == "QZTOKEN4"
    assert "PatientIdentityRemoved" not in made


@pytest.mark.parametrize("format", ["png", "tiff", "nifti", "npy"])
def test_other_formats_take_nothing_of_the_header_along(planted, tmp_path, format):
    target = tmp_path / f"out{formats.EXTENSIONS[format][0]}"
    formats.write(formats.read(planted), target, deidentify="basic")
    image = formats.read(target)
    assert not [s for s in SECRETS if s in repr(image.header).encode()]
    assert not [s for s in SECRETS if s in target.read_bytes()]


def test_what_is_not_dicom_is_refused(tmp_path):
    path = tmp_path / "a.png"
    formats.write(np.zeros((8, 8), np.uint8), path)
    with pytest.raises(UnsupportedError, match="not DICOM"):
        formats.write(formats.read(path), tmp_path / "b.png", deidentify="basic")
    assert not (tmp_path / "b.png").exists()


def test_an_unknown_profile_is_refused(planted, tmp_path):
    image = formats.read(planted)
    with pytest.raises(UsageError, match="unknown profile 'all'"):
        formats.write(image, tmp_path / "b.dcm", deidentify="all")


def test_uids_that_are_equal_stay_equal_and_others_differ():
    first, second = Dataset(), Dataset()
    first.StudyInstanceUID = second.StudyInstanceUID = "1.2.3.1"
    first.SOPInstanceUID, second.SOPInstanceUID = "1.2.3.4", "1.2.3.5"
    item = Dataset()
    item.ReferencedSOPInstanceUID, item.ReferencedSOPClassUID = "1.2.3.4", CT
    second.ReferencedImageSequence = Sequence([item])
    second.FailedSOPInstanceUIDList = ["1.2.3.4", "1.2.3.5"]
    second.SOPClassUID, second.CodingSchemeUID = CT, "2.16.840.1.113883.6.96"
    second.FrameOfReferenceUID = next(iter(UID_dictionary))
    for one in (first, second):
        deidentify(one)
    made = second.ReferencedImageSequence[0]
    assert first.StudyInstanceUID == second.StudyInstanceUID != "1.2.3.1"
    assert made.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert list(second.FailedSOPInstanceUIDList) == [
        first.SOPInstanceUID,
        second.SOPInstanceUID,
    ]
    assert made.ReferencedSOPClassUID == second.SOPClassUID == CT
    assert second.CodingSchemeUID == "2.16.840.1.113883.6.96"
    assert second.FrameOfReferenceUID == next(iter(UID_dictionary))
    assert re.fullmatch(r"2\.25\.[1-9]\d{1,38}", first.SOPInstanceUID)


def test_a_secret_makes_other_uids(monkeypatch):
    found = set()
    for secret in ("", "one", "two"):
        one = Dataset()
        one.SOPInstanceUID = "1.2.3.4"
        monkeypatch.setenv("MEDENH_UID_SECRET", secret)
        deidentify(one)
        found.add(one.SOPInstanceUID)
    assert len(found) == 3


def test_dummies_are_legal_values_of_their_kind():
    made = Dataset()
    for number, tag in enumerate(telling_tags()):
        vr = DicomDictionary[tag][0] if tag in DicomDictionary else "LO"
        value = planted_value(vr, number)
        if value is not None and rules().get(tag) == "D":
            made.add(DataElement(tag, vr, value))
    before = len(made)
    deidentify(made)
    assert before > 80
    for element in made.iterall():
        assert not element.is_empty
        # validates the value against its representation
        DataElement(
            element.tag,
            element.VR,
            element.value,
            validation_mode=pydicom.config.RAISE,
        )


def test_series_stay_together_and_in_order(tmp_path):
    paths = [
        save(
            tmp_path / f"{index}.dcm",
            noise((8, 6), high=200),
            SOPInstanceUID=f"1.2.3.4.{index}",
            InstanceNumber=index + 1,
            FrameOfReferenceUID="1.2.3.9",
            ImagePositionPatient=[0, 0, float(index)],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
        for index in range(3)
    ]
    image = formats.read(paths)
    targets = [tmp_path / f"out{index}.dcm" for index in range(3)]
    formats.write(image, targets, provenance=HOW, deidentify="basic")
    made = [pydicom.dcmread(path) for path in targets]
    assert len({one.SOPInstanceUID for one in made}) == 3
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({one[name].value for one in made}) == 1
        assert not made[0][name].value.startswith("1.2.3")
    again = formats.read(targets)
    np.testing.assert_array_equal(again.pixels, image.pixels)
    np.testing.assert_array_equal(again.geometry.affine, image.geometry.affine)


def test_burned_in_text_is_told(tmp_path):
    told = {}
    for word in ("YES", "NO", ""):
        more = {"BurnedInAnnotation": word} if word else {}
        path = save(tmp_path / f"{word}.dcm", noise((8, 6)), **more)
        told[word] = dicom.burned_in_text(dicom.read([path]))
    assert told == {"YES": "YES", "NO": "NO", "": ""}


@pytest.mark.skipif(
    not shutil.which("dciodvfy"), reason="needs dciodvfy of dicom3tools"
)
def test_dciodvfy_finds_no_error_that_the_plain_output_does_not_have(tmp_path):
    def errors(image, **how):
        target = tmp_path / "out.dcm"
        dicom.write(image, [target], provenance=HOW, **how)
        # of UIDs that are wrongly equal in the source the message quotes the value
        return {re.sub(r"<[\d.]+>", "<UID>", line) for line in errors_of(target)}

    done, complaints = 0, []
    for path in [*wheel_files(), *(SHARED / row["file"] for row in READABLE)]:
        try:
            image = dicom.read([path])
        except InputError:
            continue
        done += 1
        new = errors(image, deidentified=True) - errors(image)
        complaints += [(path.name, one) for one in new]
    assert done >= 75
    assert complaints == []
