"""Decoders that crash or hang in the middle of a batch, as the command line sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import poisoned_decoder
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

HERE = Path(__file__).parent
CODE = """
import sys
log, helpers, seconds, *words = sys.argv[1:]
sys.path[:0] = [log, helpers]
from medenh.formats import isolation
from medenh.formats.dicom import codecs
codecs._DECODE = "poisoned_decoder:decode"
# the picture that hangs, ten times as long as it may compute, is the large one; the
# others may share a slow machine
isolation.read_seconds = lambda size: float(seconds) if size > 10_000 else 600
from medenh.cli.main import main
main(words)
"""
CRASHES = {31: "SIGSEGV", 32: "SIGABRT", 33: "SIGKILL"}
HANGS = 340


def save(path, rows, seed):
    """Write a picture compressed by RLE."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    made.SOPInstanceUID, made.SeriesInstanceUID = f"1.2.3.{seed}", f"1.2.4.{seed}"
    made.StudyInstanceUID, made.Modality = "1.2.5", "MR"
    made.Rows, made.Columns, made.SamplesPerPixel = rows, 40, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 0
    noise = np.random.default_rng(seed).integers(0, 4000, (rows, 40), np.uint16)
    made.PixelData = noise.tobytes()
    made.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    made.save_as(path, enforce_file_format=True)


def medenh(place, *words, seconds=600):
    """Return the command, with a poisoned decoder."""
    log = place / "log"
    log.mkdir(exist_ok=True)
    words = map(str, (log, HERE, seconds, *words))
    return [sys.executable, "-c", CODE, *words]


def enhance(place, inputs, out, *words, **options):
    return medenh(place, "enhance", inputs, "-o", out, "-m", "clahe", *words, **options)


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.glob("[!.]*")}


def processes(place):
    """Return the processes whose command line names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(place).encode() in words:
            found.append(entry.name)
    return found


def make_good(folder):
    folder.mkdir()
    for index in range(10):
        save(folder / f"{index}.dcm", 30, index)
    save(folder / "4b.dcm", poisoned_decoder.ONCE, 77)
    return folder


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Return the outputs of good files, none of which met a crash."""
    place = tmp_path_factory.mktemp("clean")
    command = enhance(place, make_good(place / "in"), place / "out")
    (place / "log" / f"{poisoned_decoder.ONCE}.log").touch()  # it has had its crash
    done = run(command)
    assert done.returncode == 0, done.stderr
    return contents(place / "out")


@pytest.fixture
def place(tmp_path):
    make_good(tmp_path / "in")
    return tmp_path


def test_crashes_and_hangs_cost_only_their_files(place, clean):
    for rows in (*CRASHES, HANGS):
        save(place / "in" / f"5-{rows}.dcm", rows, rows)
    done = run(enhance(place, place / "in", place / "out", "--json", seconds=2))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert contents(place / "out") == clean
    failed = {Path(one["path"]).stem: one for one in json.loads(done.stdout)["failed"]}
    assert set(failed) == {f"5-{rows}" for rows in (*CRASHES, HANGS)}
    assert {one["code"] for one in failed.values()} == {"unreadable"}
    for rows, name in CRASHES.items():
        assert f"its decoder crashed ({name}), twice" in failed[f"5-{rows}"]["error"]
        assert len((place / "log" / f"{rows}.log").read_text().split()) == 2
        assert done.stderr.count(f"5-{rows}.dcm: its decoder crashed") == 1
    assert "took more than 20 s" in failed[f"5-{HANGS}"]["error"]
    assert (place / "log" / f"{poisoned_decoder.ONCE}.log").exists()
    assert processes(place) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the child")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
def test_a_run_that_is_ended_leaves_no_decoder_behind(place, clean, number, code):
    save(place / "in" / "0-hangs.dcm", HANGS, 3)
    child = subprocess.Popen(
        enhance(place, place / "in", place / "out"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    log = place / "log" / f"{HANGS}.log"
    end = time.monotonic() + 60
    while not log.exists() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.2)
    child.send_signal(number)
    _, said = child.communicate(timeout=30)
    assert child.returncode == code, said
    assert b"Traceback" not in said
    while processes(place) and time.monotonic() < end:
        time.sleep(0.02)
    assert processes(place) == []
    assert contents(place / "out").items() <= clean.items()
    (place / "in" / "0-hangs.dcm").unlink()
    again = run(enhance(place, place / "in", place / "out"))
    assert again.returncode == 0, again.stderr
    assert contents(place / "out") == clean


def test_inspect_survives_a_crash(place):
    save(place / "crash.dcm", 31, 0)
    done = run(medenh(place, "inspect", place / "crash.dcm"))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "its decoder crashed (SIGSEGV), twice" in done.stderr


def test_what_needs_no_native_decoder_starts_no_process(tmp_path):
    """Uncompressed DICOM is decoded where it is read."""
    save(tmp_path / "a.dcm", 30, 0)
    plain = pydicom.dcmread(tmp_path / "a.dcm")
    plain.decompress()
    plain.save_as(tmp_path / "a.dcm")
    code = (
        "import subprocess, sys\n"
        "def refuse(*a, **k): raise AssertionError('a process was started')\n"
        "subprocess.Popen = refuse\n"
        "import medenh\n"
        "print(medenh.read(sys.argv[1]).pixels.shape)\n"
    )
    done = run([sys.executable, "-c", code, str(tmp_path / "a.dcm")])
    assert done.stdout == "(1, 30, 40, 1)\n", done.stderr
