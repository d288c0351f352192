"""Damaged and hostile files: one family of errors, in time, naming no patient."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import threading
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from dicom_maker import PATIENT, noise, ramp, save, save_jpeg
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGExtended12Bit, JPEGLosslessSV1, RLELossless

from medenh import formats
from medenh.errors import (
    InputError,
    OutputError,
    UnreadableError,
    UnsupportedError,
)
from medenh.formats import dicom

WHEEL = Path(pydicom.data.__file__).parent / "test_files"
SECONDS = 5.0

# One small file of each transfer syntax that pydicom's wheel has.
SEEDS = {
    "implicit": "MR_small_implicit.dcm",
    "explicit": "CT_small.dcm",
    "big endian": "MR_small_bigendian.dcm",
    "deflated": "image_dfl.dcm",
    "rle": "MR_small_RLE.dcm",
    "jpeg": "SC_rgb_small_odd_jpeg.dcm",
    "jpeg extended": "JPGExtended.dcm",
    "jpeg-ls": "MR_small_jpeg_ls_lossless.dcm",
    "jpeg 2000": "MR_small_jp2klossless.dcm",
    "palette": "examples_palette.dcm",
    "ybr": "SC_ybr_full_422_uncompressed.dcm",
    "segments": "SC_rgb_rle_2frame.dcm",
    "report": "reportsi.dcm",
}
FOUND = {name: WHEEL / file for name, file in SEEDS.items() if (WHEEL / file).is_file()}
ENCAPSULATED = [
    name
    for name in ("rle", "jpeg", "jpeg extended", "jpeg-ls", "jpeg 2000")
    if name in FOUND
]


def cut(data, rng):
    return data[: rng.randrange(len(data))]


def flip(data, rng):
    out = bytearray(data)
    for _ in range(rng.choice((1, 3, 20))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def blank(data, rng):
    start, length = rng.randrange(len(data)), rng.choice((2, 16, 256))
    end = min(len(data), start + length)
    return data[:start] + bytes(end - start) + data[end:]


def extend(data, rng):
    return data + rng.randbytes(rng.choice((1, 7, 1000)))


def repeat(data, rng):
    start = rng.randrange(len(data))
    return data[: start + rng.choice((8, 64, 512))] + data[start:]


def spoil_header(data, rng):
    out = bytearray(data)
    for _ in range(rng.choice((1, 2, 5))):
        spot = rng.randrange(128, min(len(out), 3000))
        out[spot] = rng.choice((0, 1, 255, rng.randrange(256)))
    return bytes(out)


def lie_about_length(data, rng):
    spot = rng.randrange(132, min(len(data) - 4, 3000))
    lies = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xfe\xff\xdd\xe0")
    return data[:spot] + rng.choice(lies) + data[spot + 4 :]


MUTATORS = (cut, flip, flip, blank, extend, repeat, spoil_header, lie_about_length)


def mutant(data, seed):
    rng = random.Random(seed)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if len(data) > 200:
            data = rng.choice(MUTATORS)(data, rng)
    return data


@pytest.mark.parametrize("name", FOUND)
def test_mutants_are_read_or_refused_and_nothing_else(name, tmp_path):
    original = FOUND[name].read_bytes()
    path = tmp_path / "mutant.dcm"
    refused = 0
    for seed in range(25):
        path.write_bytes(mutant(original, seed))
        start = time.perf_counter()
        try:
            dicom.read_header(path)
            image = dicom.read([path])
        except InputError:
            refused += 1
        else:
            # a header that parses may still be past encoding
            with contextlib.suppress(OutputError):
                dicom.write(image, [tmp_path / "out.dcm"])
        assert time.perf_counter() - start < SECONDS, seed
    assert refused


@pytest.mark.slow
def test_a_thousand_mutants(tmp_path):
    seeds = [path.read_bytes() for path in FOUND.values()]
    path = tmp_path / "mutant.dcm"
    for seed in range(1000, 2000):
        path.write_bytes(mutant(seeds[seed % len(seeds)], seed))
        start = time.perf_counter()
        with contextlib.suppress(InputError):
            dicom.read([path])
        assert time.perf_counter() - start < SECONDS, seed


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", [name for name in FOUND if name != "report"])
def test_truncated_files_are_refused(name, share, tmp_path):
    source = FOUND[name]
    data = source.read_bytes()
    end = len(data)
    made = pydicom.dcmread(source)
    if "PixelData" in made and not made.file_meta.TransferSyntaxUID.is_deflated:
        # what follows the pixels may be missing without harm
        end = data.rindex(made.PixelData[-64:]) + 64
    path = tmp_path / "short.dcm"
    path.write_bytes(data[: int(end * share)])
    with pytest.raises(InputError):
        dicom.read([path])


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ENCAPSULATED)
def test_a_truncated_code_stream_in_a_whole_file_is_refused(name, share, tmp_path):
    """Decoders that fill in the rest would return half a picture."""
    made = pydicom.dcmread(FOUND[name])
    frame = next(generate_frames(made.PixelData, number_of_frames=1))
    body = frame.rstrip(b"\0")
    made.PixelData = encapsulate([body[: int(len(body) * share)]])
    path = tmp_path / "short.dcm"
    made.save_as(path)
    with pytest.raises(UnreadableError):
        dicom.read([path])


@pytest.mark.parametrize("share", [0.3, 0.9, 0.995])
@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGExtended12Bit])
def test_truncated_streams_of_our_own_decoders_are_refused(syntax, share, tmp_path):
    def shorten(stream):
        return stream[: int(len(stream) * share)]

    path = tmp_path / "a"
    save_jpeg(path, noise(), syntax, bits=12)
    dicom.read([path])
    save_jpeg(path, noise(), syntax, bits=12, change=shorten)
    with pytest.raises(UnreadableError):
        dicom.read([path])


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGExtended12Bit])
def test_mutants_of_streams_of_our_own_decoders(syntax, tmp_path):
    path = tmp_path / "a"
    for seed in range(40):
        rng = random.Random(seed)
        save_jpeg(path, noise(), syntax, bits=12, change=lambda one: flip(one, rng))  # noqa: B023
        with contextlib.suppress(InputError):
            dicom.read([path])


def test_a_code_stream_larger_than_its_header_is_refused(tmp_path):
    made = pydicom.dcmread(FOUND["jpeg 2000"])
    made.Rows //= 2
    made.save_as(tmp_path / "a")
    with pytest.raises(UnreadableError, match="another size"):
        dicom.read([tmp_path / "a"])


def test_damaged_rle_is_refused_by_the_process_that_reads_it(tmp_path):
    """A decoder written in another language panicked past `except Exception`."""
    pixels = np.random.default_rng(1).integers(0, 9, (32, 32)).astype("u2")
    path = save(tmp_path / "a", pixels, encode=lambda ds: ds.compress(RLELossless))
    data = bytearray(path.read_bytes())
    body = data.rindex(b"\xfe\xff\x00\xe0") + 8 + 64
    for spot in range(body, len(data) - 8):
        spoilt = bytearray(data)
        spoilt[spot] = 0x7F
        path.write_bytes(spoilt)
        with contextlib.suppress(UnreadableError):
            dicom.read([path])


def test_nothing_says_who_the_patient_is(tmp_path, caplog, capfd, recwarn):
    caplog.set_level(logging.DEBUG)
    warnings.simplefilter("always")

    def encode(made):
        made.add_new("PatientBirthDate", "DA", PATIENT)
        made.add_new("PatientSize", "DS", "1.5")
        made.add_new("StudyInstanceUID", "UI", PATIENT)
        made.add_new("SpecificCharacterSet", "CS", PATIENT)
        made["PatientSize"]._value = PATIENT
        made.add_new("WindowCenter", "DS", "1.5")
        made["WindowCenter"]._value = PATIENT

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = save(tmp_path / "a", ramp(), encode=encode)
    recwarn.clear()
    caplog.clear()
    data = whole.read_bytes()
    said = []
    for end in (len(data), len(data) - 40, len(data) // 2, 400):
        whole.write_bytes(data[:end])
        try:
            dicom.write(dicom.read([whole]), [tmp_path / "b"])
        except (InputError, OutputError) as error:
            said.append("".join(traceback.format_exception(error)))
    assert len(said) >= 3
    said += [str(warning.message) for warning in recwarn]
    said += [caplog.text, *capfd.readouterr()]
    for text in said:
        assert "Xylophon" not in text
        assert "PID-91823" not in text


def test_threads_do_not_disturb_each_other(tmp_path):
    names = ("rle", "ybr", "jpeg-ls", "jpeg 2000", "big endian", "deflated")
    paths = [FOUND[name] for name in names if name in FOUND]
    expected = [dicom.read([path]).pixels for path in paths]
    wrong: list[str] = []

    def work():
        for path, pixels in zip(paths, expected, strict=True):
            if not np.array_equal(dicom.read([path]).pixels, pixels):
                wrong.append(path.name)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_not_a_file_is_refused(tmp_path):
    empty = tmp_path / "empty.dcm"
    empty.touch()
    noise = tmp_path / "noise.dcm"
    noise.write_bytes(np.random.default_rng(3).bytes(5000))
    for path in (tmp_path, tmp_path / "missing", empty, noise):
        for call in (dicom.read_header, lambda one: dicom.read([one])):
            with pytest.raises(UnreadableError) as caught:
                call(path)
            assert caught.value.path == path


def test_pixels_that_are_cut_short_are_counted(tmp_path):
    path = save(tmp_path / "a.dcm", noise((16, 16)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableError, match="cut short: 412 of 512 bytes"):
        dicom.read([path])


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.95])
def test_files_that_are_cut_say_what_to_do_and_name_no_exception(tmp_path, share):
    for name, source in FOUND.items():
        path = tmp_path / f"{name}.dcm"
        data = source.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError) as caught:
            formats.read(path)
        unreadable = isinstance(caught.value, UnreadableError)
        assert not unreadable or caught.value.hint.endswith("copy the file again")
        assert not re.search(r"Error|\(error", caught.value.what), caught.value.what


REQUIRED = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsStored",
    "PixelRepresentation",
)


@pytest.mark.parametrize("lacking", [*((one,) for one in REQUIRED), REQUIRED])
@pytest.mark.parametrize("empty", [True, False])
def test_what_a_header_lacks_is_named(tmp_path, lacking, empty):
    def encode(made):
        for keyword in lacking:
            if empty:
                made[keyword].value = None
            else:
                del made[keyword]

    path = save(tmp_path / "a.dcm", noise((16, 16)), encode=encode)
    with pytest.raises(UnreadableError) as caught:
        formats.read(path)
    assert f"its header lacks {' and '.join(lacking)}," in caught.value.what
    assert "copy" not in caught.value.hint


@pytest.mark.parametrize("bits", [12, 24])
def test_packed_values_are_no_damage(tmp_path, bits):
    def encode(made):
        made.BitsAllocated = bits

    path = save(tmp_path / "a.dcm", noise((16, 16)), encode=encode, bits=8)
    with pytest.raises(UnsupportedError) as caught:
        formats.read(path)
    assert f"BitsAllocated of {bits} is not supported" in caught.value.what
    assert "copy" not in caught.value.hint


@pytest.mark.parametrize("keywords", [("PixelData",), ("PixelData", "Rows")])
def test_an_image_without_pixels_is_said_to_hold_none(tmp_path, keywords):
    def encode(made):
        for keyword in keywords:
            del made[keyword]

    path = save(tmp_path / "a.dcm", noise((16, 16)), encode=encode)
    with pytest.raises(UnreadableError, match="holds no pixel data"):
        formats.read(path)
