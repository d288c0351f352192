"""No word of a DICOM header reaches what medenh says or keeps, in any mode."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings

import pydicom
import pytest
from pydicom.data import get_testdata_file

TOKEN = "XYLOPHON"
WORDS = ("PN", "LO", "SH", "ST", "LT", "UT", "UC", "AE")
STRUCTURE = {"SpecificCharacterSet", "PhotometricInterpretation", "ImageType"}
FORMS = {"DA": "18930507", "TM": "112233.445566", "AS": "093Y", "UI": "1.2.3.918273.4"}
STAYS = {
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "FilterType"),
    *("ConvolutionKernel", "PositionReferenceIndicator", "ContrastBolusRoute"),
}
SECRETS = (TOKEN, *FORMS.values())


def planted():
    """Return a picture with a token of its own in every text it has or may have."""
    made = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    made.PatientComments = made.StudyComments = made.AdditionalPatientHistory = ""
    for index, element in enumerate(list(made)):
        if element.keyword in STRUCTURE or element.keyword == "SOPClassUID":
            continue
        if element.VR in WORDS:
            element.value = f"{TOKEN}{index}"
        elif element.VR in FORMS:
            element.value = FORMS[element.VR]
    return made


def saved(made):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.save_as(stream)
    return stream.getvalue()


def with_bad_values(made):
    """Return a file whose values break the rules of their types."""
    made.PatientBirthDate, made.PatientSize = FORMS["DA"], "1.234567"
    made.WindowCenter, made.WindowWidth = "41.23456", "400"
    data = saved(made)
    for value in (FORMS["DA"], "1.234567", "41.23456"):
        assert value.encode() in data
        data = data.replace(value.encode(), TOKEN.encode())
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("privacy") / "in"
    root.mkdir()
    data = saved(planted())
    assert data.count(TOKEN.encode()) > 10
    (root / "whole.dcm").write_bytes(data)
    for index, share in enumerate((0.05, 0.2, 0.5, 0.99)):
        (root / f"cut{index}.dcm").write_bytes(data[: int(len(data) * share)])
    (root / "bad.dcm").write_bytes(with_bad_values(planted()))
    return root


@pytest.mark.parametrize(
    "words",
    [
        ("enhance", "-m", "stretch", "-v", "--report", "{out}/page.html"),
        ("enhance", "-m", "stretch", "--json", "--debug"),
        ("enhance", "-m", "stretch", "--dry-run", "--json"),
        ("degrade", "--recipe", "ct-low-dose", "--workers", "1", "--json", "--debug"),
    ],
    ids=lambda words: f"{words[0]} {words[-1]}",
)
def test_nothing_said_or_kept_names_the_patient(folder, tmp_path, words):
    out = tmp_path / "out"
    words = [word.format(out=tmp_path) for word in words]
    command = [sys.executable, "-W", "always", "-m", "medenh", *words, str(folder)]
    done = subprocess.run([*command, "-o", str(out)], capture_output=True)
    assert done.returncode in (0, 1), done.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    texts = [path for path in kept if path.suffix != ".dcm"]
    said = done.stdout + done.stderr + b"".join(path.read_bytes() for path in texts)
    assert b"whole.dcm" in said
    for secret in SECRETS:
        assert secret.encode() not in said


@pytest.mark.parametrize(
    "words",
    [
        ("enhance", "-m", "clahe", "--uncertainty", "-v", "--report", "{out}/p.html"),
        ("degrade", "--recipe", "ct-low-dose", "--pairs", "--workers", "1"),
    ],
    ids=lambda words: words[0],
)
def test_with_deidentify_nothing_at_all_names_the_patient(folder, tmp_path, words):
    named = pydicom.dcmread(folder / "whole.dcm")
    for keyword in STAYS:  # the profile does not name them
        named[keyword].value = "KEPT"
    source = tmp_path / "whole.dcm"
    source.write_bytes(saved(named))
    out = tmp_path / "out"
    words = [word.format(out=out) for word in words]
    command = [sys.executable, "-m", "medenh", *words, str(source), "-o", f"{out}/"]
    out.mkdir()
    done = subprocess.run([*command, "--deidentify", "basic"], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"no BurnedInAnnotation" in done.stderr
    made = [path for path in out.rglob("*") if path.is_file()]
    pictures = [path for path in made if path.suffix == ".dcm"]
    assert len(pictures) == (2 if words[0] == "degrade" else 1)
    said = done.stdout + done.stderr + b"".join(path.read_bytes() for path in made)
    for path in pictures:
        left = pydicom.dcmread(path)
        assert {left[keyword].value for keyword in STAYS} == {"KEPT"}
    for secret in SECRETS:
        assert secret.encode() not in said


def test_inspect_says_nothing_of_the_patient(folder):
    command = [sys.executable, "-W", "always", "-m", "medenh", "--debug", "inspect"]
    done = subprocess.run([*command, str(folder / "bad.dcm")], capture_output=True)
    for secret in SECRETS:
        assert secret.encode() not in done.stdout + done.stderr
