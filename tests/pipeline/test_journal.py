from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
from fakes_pipeline import FakeModels

from medenh.errors import OutputError
from medenh.pipeline.degrade_records import RecordStore
from medenh.pipeline.done import Judge
from medenh.pipeline.journal import (
    Fingerprint,
    Journal,
    OutputRecord,
    Record,
    journal_name,
)
from medenh.pipeline.work import WorkItem


def make_record(root, name, content=b"pixels"):
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return Record(
        source=Fingerprint(6, 1, "00"),
        request="asked",
        model="m",
        version="1",
        weights_sha256="",
        modality="unknown",
        outputs=(OutputRecord.of(target, root),),
    )


def test_a_record_is_found_again(tmp_path):
    journal = Journal(tmp_path)
    record = make_record(tmp_path, "sub/a.png")
    journal.add(record)
    journal.close()
    again = Journal(tmp_path)
    assert again.find(tmp_path / "sub" / "a.png") == record
    assert again.find(tmp_path / "a.png") is None
    assert again.is_intact(record)


def test_a_torn_last_line_costs_only_itself(tmp_path):
    journal = Journal(tmp_path)
    for name in "ab":
        journal.add(make_record(tmp_path, name))
    journal.close()
    path = tmp_path / journal_name()
    whole = path.read_bytes()
    for cut in range(1, len(whole) // 2):
        path.write_bytes(whole[:-cut])
        torn = Journal(tmp_path)
        assert torn.find(tmp_path / "a") is not None
        torn.add(make_record(tmp_path, "c"))
        torn.close()
        again = Journal(tmp_path)
        assert again.find(tmp_path / "a") is not None
        assert again.find(tmp_path / "c") is not None


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"{}", b"[]", b"null", b'{"outputs": []}', b"\0" * 50]
)
def test_foreign_lines_are_passed_over(tmp_path, line):
    record = make_record(tmp_path, "a")
    text = line + b"\n" + record.to_json().encode() + b"\n"
    (tmp_path / journal_name()).write_bytes(text)
    assert Journal(tmp_path).find(tmp_path / "a") == record


@pytest.mark.parametrize("damage", ["gone", "shorter", "changed"])
def test_an_output_that_is_not_as_written_does_not_count(tmp_path, damage):
    record = make_record(tmp_path, "a")
    if damage == "gone":
        (tmp_path / "a").unlink()
    else:
        (tmp_path / "a").write_bytes(b"pixel" if damage == "shorter" else b"pixelz")
    assert not Journal(tmp_path).is_intact(record)


def test_shards_write_apart_and_are_read_together(tmp_path):
    for index in (1, 2):
        journal = Journal(tmp_path, (index, 2))
        journal.add(make_record(tmp_path, f"{index}.png"))
        journal.close()
    both = Journal(tmp_path)
    assert both.find(tmp_path / "1.png")
    assert both.find(tmp_path / "2.png")


def test_a_fingerprint_sees_content_size_and_time(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(1, 1))
    first = Fingerprint.of([path])
    assert Fingerprint.of([path]) == first
    path.write_bytes(b"y" * 100)
    os.utime(path, ns=(1, 1))
    assert Fingerprint.of([path]) != first
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(2, 2))
    assert Fingerprint.of([path]) != first


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may write")
def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    record = make_record(tmp_path, "a")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError):
            Journal(tmp_path).add(record)
    finally:
        tmp_path.chmod(0o700)


def test_what_was_begun_is_known_by_input_and_request(tmp_path):
    source = Fingerprint(6, 1, "00")
    journal = Journal(tmp_path)
    journal.begin([(tmp_path / "a", source), (tmp_path / "b", source)], "asked")
    journal.close()
    again = Journal(tmp_path)
    assert again.was_begun(tmp_path / "a", source, "asked")
    assert again.was_begun(tmp_path / "b", source, "asked")
    assert not again.was_begun(tmp_path / "c", source, "asked")
    assert not again.was_begun(tmp_path / "a", source, "something else")
    assert not again.was_begun(tmp_path / "a", Fingerprint(7, 1, "00"), "asked")
    assert again.find(tmp_path / "a") is None


def test_a_disk_that_takes_a_line_in_pieces_loses_none_of_it(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:7]))
    record = make_record(tmp_path, "a")
    journal = Journal(tmp_path)
    journal.begin([(tmp_path / "a", record.source)], "asked")
    journal.add(record)
    journal.close()
    assert Journal(tmp_path).find(tmp_path / "a") == record


def test_the_line_after_a_failed_one_is_whole(tmp_path, monkeypatch):
    write = os.write
    journal = Journal(tmp_path)
    first, second = make_record(tmp_path, "a"), make_record(tmp_path, "b")
    calls = []

    def fills_up(handle, data):
        calls.append(data)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(handle, data[:20])

    monkeypatch.setattr(os, "write", fills_up)
    with pytest.raises(OutputError, match="no space"):
        journal.add(first)
    monkeypatch.setattr(os, "write", write)
    journal.add(second)
    journal.close()
    again = Journal(tmp_path)
    assert again.find(tmp_path / "a") is None
    assert again.find(tmp_path / "b") == second


def test_records_of_all_journals_of_a_folder_are_known(tmp_path):
    record = make_record(tmp_path, "a")
    for shard, request in (((1, 2), "asked"), ((2, 2), "something else")):
        journal = Journal(tmp_path, shard)
        journal.add(dataclasses.replace(record, request=request))
        journal.close()
    found = Journal(tmp_path).records_of([tmp_path / "a"])
    assert {one.request for one in found} == {"asked", "something else"}


def test_a_record_with_an_unknown_modality_does_not_end_the_plan(tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((8, 8)))
    item = WorkItem((tmp_path / "in.npy",), (tmp_path / "out" / "a",), "npy")
    (tmp_path / "out").mkdir()
    record = dataclasses.replace(
        make_record(tmp_path / "out", "a"),
        source=Fingerprint.of(item.sources),
        modality="palmistry",
    )
    journal = Journal(tmp_path / "out")
    journal.add(record)
    judge = Judge("skip", journal, ["asked"], FakeModels())
    assert [verdict.reason for verdict in judge.judge(item)] == ["exists"]


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("name", [journal_name(), ".medenh-degrade.jsonl"])
def test_a_planted_journal_is_not_written_through(tmp_path, kind, name):
    """In a folder that others may write to, it could be a link to a file of ours."""
    victim, root = tmp_path / "victim", tmp_path / "out"
    victim.write_text("mine")
    root.mkdir()
    if kind == "link":
        (root / name).symlink_to(victim)
    else:
        os.mkfifo(root / name)

    def begin():
        Journal(root).begin([(root / "a.png", Fingerprint(1, 1, "x"))], "request")

    work = begin if name == journal_name() else RecordStore(root).claim
    with pytest.raises(OutputError, match="cannot be written"):
        work()
    assert victim.read_text() == "mine"
