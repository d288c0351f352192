"""Text that no decoder reads, or reads and writes otherwise, keeps its bytes."""

import pickle

import pydicom
import pytest
from dicom_maker import ramp, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from medenh.formats import dicom
from medenh.types import Provenance

PLACE = b"Qqqqqqqq"  # stands in a file where what no encoder writes is put
LATIN = b"M\xfcller-3"
KANA = "ﾔﾏﾀﾞﾀﾛｳ ".encode("shift_jis")
TEXTS = {
    "AdditionalPatientHistory": "LT",
    "DerivationDescription": "ST",
    "Manufacturer": "LO",
    "PatientID": "LO",
    "PatientName": "PN",
    "SeriesDescription": "LO",
    "StationName": "SH",
    "TextValue": "UT",
    "LongCodeValue": "UC",
}
CHANGED = ("DerivationDescription", "SeriesDescription")
HOW = Provenance("hqg-fundus", "1.0", "ab" * 32, "strength=1")


def save_text(path, charset, encoded, syntax=ExplicitVRLittleEndian):
    """Write a file whose text, nested and private too, is all of the same bytes."""

    def encode(made):
        made.SpecificCharacterSet = charset
        item = Dataset()
        for one in (made, item):
            for keyword in TEXTS:
                setattr(one, keyword, PLACE.decode())
        made.private_block(0x0009, "GEMS_IDEN_01", create=True).add_new(
            0x02, "SH", PLACE.decode()
        )
        made.ReferencedImageSequence = Sequence([item])

    save(path, ramp(), encode=encode, syntax=syntax)
    path.write_bytes(path.read_bytes().replace(PLACE, encoded))
    return path


def encoded_text(dataset):
    """Return the bytes of all text of a file that was just read."""
    found = {keyword: dataset.get_item(keyword).value for keyword in TEXTS}
    found["private"] = dataset.get_item((0x0009, 0x1002)).value
    (item,) = dataset.ReferencedImageSequence
    return found | {f"in {one}": item.get_item(one).value for one in TEXTS}


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
@pytest.mark.parametrize("sent", [False, True], ids=["here", "pickled"])
@pytest.mark.parametrize(
    ("charset", "encoded"),
    [
        ("ISO_IR 192", LATIN),
        ("ISO_IR 13", KANA),
        ("ISO_IR 166", b"\xdb\xdc\xff\xfe\xfd\xfcab"),
        (["", "ISO 2022 IR 87"], "山田太郎".encode("shift_jis")),
    ],
)
def test_text_keeps_its_bytes(charset, encoded, sent, syntax, tmp_path):
    image = dicom.read([save_text(tmp_path / "in", charset, encoded, syntax)])
    if sent:
        image = pickle.loads(pickle.dumps(image))
    dicom.write(image, [tmp_path / "out"], provenance=HOW)
    made = pydicom.dcmread(tmp_path / "out")
    for keyword, value in encoded_text(made).items():
        if keyword not in CHANGED:
            assert value == encoded, keyword
    label = encoded.strip() + b" enhanced hqg-fundus"
    assert made.get_item("SeriesDescription").value.strip() == label
    told = made.get_item("DerivationDescription").value
    assert told.strip().endswith(b"; before that: " + encoded.strip())


def test_text_keeps_its_bytes_where_names_go(tmp_path):
    image = dicom.read([save_text(tmp_path / "in", "ISO_IR 192", LATIN)])
    dicom.write(image, [tmp_path / "out"], deidentified=True)
    made = pydicom.dcmread(tmp_path / "out")
    assert made.get_item("Manufacturer").value == LATIN
    assert LATIN not in made.get_item("PatientID").value
    assert made.PatientName == ""


def test_a_long_description_is_cut_between_words(tmp_path):
    def encode(made):
        made.SpecificCharacterSet = "ISO_IR 192"
        made.DerivationDescription = "größer " * 140

    path = save(tmp_path / "in", ramp(), encode=encode)
    dicom.write(dicom.read([path]), [tmp_path / "out"])
    told = pydicom.dcmread(tmp_path / "out").DerivationDescription
    assert 1000 < len(told.encode()) <= 1024
    assert told.endswith(" größer")
