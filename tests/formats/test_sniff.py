from __future__ import annotations

import gzip
import os
import socket
import struct
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Pil

from medenh import formats
from medenh.errors import (
    InputError,
    OutputError,
    UnreadableError,
    UnsupportedError,
    UsageError,
)
from medenh.formats.array import from_array
from medenh.formats.maps import MAP_FORMATS

DATA = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)


@pytest.fixture
def samples(tmp_path):
    found = {}
    for kind, name in (("png", "a.png"), ("jpeg", "a.jpg"), ("bmp", "a.bmp")):
        Pil.fromarray(DATA[0]).save(tmp_path / name)
        found[name] = kind
    np.save(tmp_path / "a.npy", DATA)
    tifffile.imwrite(tmp_path / "a.tif", DATA[0])
    tifffile.imwrite(tmp_path / "big.tif", DATA[0], bigtiff=True, byteorder=">")
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(DATA, np.eye(4)), tmp_path / name)
        nibabel.save(nibabel.Nifti2Image(DATA, np.eye(4)), tmp_path / f"2{name}")
        found |= {name: "nifti", f"2{name}": "nifti"}
    nibabel.save(nibabel.Nifti1Pair(DATA, np.eye(4)), tmp_path / "pair.img")
    found |= {"pair.img": "nifti", "pair.hdr": "nifti"}
    return found | {"a.npy": "npy", "a.tif": "tiff", "big.tif": "tiff"}


def test_content_decides_and_not_the_name(tmp_path, samples):
    for name, kind in samples.items():
        assert formats.sniff(tmp_path / name) == kind
        if name.startswith("pair"):
            continue
        disguised = tmp_path / "disguised.txt"
        disguised.write_bytes((tmp_path / name).read_bytes())
        assert formats.sniff(str(disguised)) == kind
        assert (
            formats.read(disguised).pixels.size
            == formats.read(tmp_path / name).pixels.size
        )


def test_dicom_with_and_without_preamble(tmp_path):
    (tmp_path / "a").write_bytes(b"II*\0" + bytes(124) + b"DICM" + bytes(20))
    assert formats.sniff(tmp_path / "a") == "dicom"
    element = struct.pack("<HH2sH", 8, 5, b"CS", 10) + b"ISO_IR 100"
    (tmp_path / "b").write_bytes(element * 3)
    assert formats.sniff(tmp_path / "b") == "dicom"


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"hello world" * 99, bytes(4096), b"\x1f\x8b" + bytes(30), b"BM" * 30],
)
def test_what_is_no_image(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(UnreadableError) as caught:
        formats.sniff(path)
    assert caught.value.path == path


def test_random_bytes_raise_input_errors_only(tmp_path):
    rng = np.random.default_rng(3)
    heads = [b"", b"BM", b"II*\0", b"\x1f\x8b\x08\0", b"\x93NUMPY", b"\xff\xd8\xff"]
    heads += [
        b"\x89PNG\r\n\x1a\n",
        struct.pack("<i", 348),
        b"\x08\0",
        bytes(128) + b"DICM",
    ]
    for index in range(500):
        path = tmp_path / "a"
        path.write_bytes(heads[index % len(heads)] + rng.bytes(int(rng.integers(900))))
        with pytest.raises(InputError):
            formats.read(path)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "JPEG2000"])
def test_other_pictures_get_a_clear_word(tmp_path, kind):
    path = tmp_path / "a.png"
    Pil.fromarray(DATA[0]).save(path, kind)
    with pytest.raises(UnsupportedError, match="not a format"):
        formats.sniff(path)


def test_analyze_is_refused(tmp_path):
    head = bytearray(348)
    struct.pack_into("<i", head, 0, 348)
    (tmp_path / "a.hdr").write_bytes(head)
    (tmp_path / "a.img").write_bytes(bytes(100))
    for name in ("a.hdr", "a.img"):
        with pytest.raises(UnsupportedError, match="Analyze") as raised:
            formats.sniff(tmp_path / name)
        assert raised.value.path == tmp_path / name


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes and devices")
def test_pipes_sockets_devices_and_folders_never_hang(tmp_path):
    os.mkfifo(tmp_path / "fifo.png")
    endpoint = socket.socket(socket.AF_UNIX)
    home = Path.cwd()
    try:
        os.chdir(tmp_path)  # the name of a socket has a length limit
        endpoint.bind("socket.png")
    finally:
        os.chdir(home)
        endpoint.close()
    (tmp_path / "folder.dcm").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    for path in [*tmp_path.iterdir(), Path("/dev/zero"), Path("/dev/null")]:
        for function in (formats.sniff, formats.read):
            with pytest.raises(UnreadableError):
                function(path)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may read anything"
)
def test_no_permission_is_said(tmp_path):
    path = tmp_path / "a.png"
    Pil.fromarray(DATA[0]).save(path)
    path.chmod(0)
    with pytest.raises(UnreadableError, match="may not"):
        formats.sniff(path)


def test_names_with_nul_are_no_paths_and_too_long_ones_unreadable(tmp_path):
    with pytest.raises(UsageError, match="null character"):
        formats.sniff(tmp_path / "a\0b")
    with pytest.raises(UnreadableError):
        formats.sniff(tmp_path / ("x" * 300))


def test_every_extension_belongs_to_one_format():
    endings = [one for several in formats.EXTENSIONS.values() for one in several]
    assert len(endings) == len(set(endings))


def test_every_format_has_one_for_the_map_of_its_uncertainty():
    assert set(MAP_FORMATS) == set(formats.EXTENSIONS), "medenh/formats/maps.py"


def test_write_takes_the_format_from_the_name(tmp_path):
    image = from_array(DATA[0])
    for kind, endings in formats.EXTENSIONS.items():
        if kind == "dicom":
            continue
        for ending in endings:
            path = tmp_path / f"x{ending.upper()}"
            formats.write(image, path)
            assert formats.sniff(path) == kind
    formats.write(image, tmp_path / "odd.name", format="png")
    assert formats.sniff(tmp_path / "odd.name") == "png"


@pytest.mark.parametrize(
    ("name", "options"), [("a.xyz", {}), ("a", {}), ("a.png", {"format": "gif"})]
)
def test_unknown_formats_are_refused(tmp_path, name, options):
    with pytest.raises(UsageError):
        formats.write(from_array(DATA[0]), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_only_dicom_becomes_dicom(tmp_path):
    with pytest.raises((UsageError, UnsupportedError)):
        formats.write(from_array(DATA[0]), tmp_path / "a.dcm")
    assert not list(tmp_path.iterdir())


def test_the_input_is_never_the_output(tmp_path, samples):
    image = formats.read(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    formats.write(formats.read(tmp_path / "pair.img"), tmp_path / "copy.hdr")
    with pytest.raises(OutputError):
        formats.write(formats.read(tmp_path / "pair.img"), tmp_path / "pair.hdr")
    for name in ("a.png", "link.png"):
        with pytest.raises(OutputError):
            formats.write(image, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == before


def test_several_files_are_one_picture_only_in_dicom(tmp_path, samples):
    with pytest.raises(UsageError):
        formats.read([tmp_path / "a.png", tmp_path / "a.jpg"])
    with pytest.raises(UsageError):
        formats.read([])


def test_a_gzip_that_is_no_nifti(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"text" * 999))
    with pytest.raises(UnreadableError):
        formats.sniff(path)
