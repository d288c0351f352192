"""Degraded and clean DICOM without what names the patient, again and by replay."""

from __future__ import annotations

import pydicom
import pytest
from degrade_folder import contents, save_ct

from medenh.errors import UsageError
from medenh.pipeline.degrade import degrade_files
from medenh.pipeline.degrade_options import DegradeOptions


def asked(**more):
    return DegradeOptions(recipes=("ct-low-dose",), workers=1, pairs=True, **more)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for number in (1, 2):
        save_ct(root / f"{number}.dcm", number)
        made = pydicom.dcmread(root / f"{number}.dcm")
        made.PatientName = "Xylophon^Quirinus"
        made.save_as(root / f"{number}.dcm")
    return root


def test_both_of_a_pair_are_deidentified_and_replay_makes_the_same(folder, tmp_path):
    out, again = tmp_path / "out", tmp_path / "again"
    summary = degrade_files([folder], out, asked(deidentify="basic"))
    assert not summary.failed
    made = contents(out)
    assert sum(name.endswith(".dcm") for name in made) == 4
    assert not [name for name, data in made.items() if b"Xylophon" in data]
    records = out / "records.jsonl"
    one = DegradeOptions(workers=1)
    assert not degrade_files([folder], again, one, replay=records).failed
    assert contents(again) == made


def test_another_secret_at_a_replay_is_named_as_a_reason(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDENH_UID_SECRET", "first")
    degrade_files([folder], tmp_path / "out", asked(deidentify="basic"))
    monkeypatch.setenv("MEDENH_UID_SECRET", "second")
    records, one = tmp_path / "out" / "records.jsonl", DegradeOptions(workers=1)
    summary = degrade_files([folder], tmp_path / "again", one, replay=records)
    (failure,) = summary.failed  # the series is one volume
    assert "differs from the record" in str(failure.error)
    assert "another MEDENH_UID_SECRET" in failure.error.hint


def test_what_was_made_with_the_patients_name_is_not_done(folder, tmp_path):
    out = tmp_path / "out"
    degrade_files([folder], out, asked())
    assert len(degrade_files([folder], out, asked()).skipped) == 2
    other = degrade_files([folder], out, asked(deidentify="basic"))
    assert (len(other.skipped), len(other.failed)) == (0, 2)


def test_the_records_say_it_at_a_replay(folder, tmp_path):
    degrade_files([folder], tmp_path / "out", asked())
    records = tmp_path / "out" / "records.jsonl"
    wanted = DegradeOptions(workers=1, deidentify="basic")
    with pytest.raises(UsageError, match="--replay and --deidentify"):
        degrade_files([folder], tmp_path / "again", wanted, replay=records)
