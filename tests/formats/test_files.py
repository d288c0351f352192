from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from medenh.errors import OutputError, OverBudgetError, UnreadableError
from medenh.formats import files
from medenh.formats.limits import Limits, size_text

POSIX = os.name == "posix"
ROOT = POSIX and os.geteuid() == 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_output_appears_whole(tmp_path):
    target = tmp_path / "new" / "a.bin"
    with files.atomic_output(target) as part:
        assert part.parent == target.parent
        assert part.name.startswith(".a.bin.")
        assert part.name.endswith(".medenh-part")
        part.write_bytes(b"half")
        assert not target.exists()
        part.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert names(target.parent) == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def write() -> None:
        with files.atomic_output(target) as part:
            part.write_bytes(b"new")
            raise error

    with pytest.raises(error):
        write()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_no_room_is_said_and_nothing_left(tmp_path, code):
    target = tmp_path / "a.bin"
    with pytest.raises(OutputError) as caught, files.atomic_output(target):
        raise OSError(code, os.strerror(code))
    assert caught.value.path == target
    assert caught.value.hint
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_through_a_real_write(tmp_path):
    def fill() -> None:
        with Path("/dev/full").open("wb") as full:
            full.write(b"x" * 2**20)

    with (
        pytest.raises(OutputError, match="no space"),
        files.atomic_output(tmp_path / "a.bin"),
    ):
        fill()
    assert names(tmp_path) == []


@pytest.mark.skipif(ROOT or not POSIX, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="permission"):
            files.atomic_output(tmp_path / "a.bin").__enter__()
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_or_a_file_in_the_way(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    for target in (tmp_path / "folder", tmp_path / "file" / "a.bin"):
        with pytest.raises(OutputError), files.atomic_output(target):
            pass
    assert names(tmp_path) == ["file", "folder"]


def test_the_longest_name_fits(tmp_path):
    target = tmp_path / ("é" * 127 + "x")
    with files.atomic_output(target) as part:
        part.write_bytes(b"x")
    assert names(tmp_path) == [target.name]


def test_many_writers_of_one_name(tmp_path):
    target = tmp_path / "a.bin"

    def write(value: int) -> None:
        with files.atomic_output(target) as part:
            part.write_bytes(bytes([value]) * 5000)

    threads = [threading.Thread(target=write, args=(value,)) for value in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = target.read_bytes()
    assert data == data[:1] * 5000
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("name", ["é" * 127, "眼" * 84 + ".b"], ids=["é", "眼"])
def test_the_temporary_name_of_a_long_one_ends_with_a_whole_letter(tmp_path, name):
    with files.atomic_output(tmp_path / name) as part:
        part.write_bytes(b"whole")
        assert len(part.name.encode()) <= 255  # half a letter has no bytes in UTF-8
    assert names(tmp_path) == [name]


@pytest.mark.skipif(not POSIX, reason="kills by signal")
def test_a_killed_writer_leaves_only_a_part_that_is_cleared(tmp_path):
    code = (
        "import sys, time\n"
        "from medenh.formats import files\n"
        "with files.atomic_output(sys.argv[1]) as part:\n"
        "    part.write_bytes(b'half')\n"
        "    sys.stdout.write('ready'); sys.stdout.flush()\n"
        "    time.sleep(60)\n"
    )
    target = tmp_path / "a.bin"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"ready"
        (part,) = tmp_path.iterdir()
        old = time.time() - 60
        os.utime(part, (old, old))
        assert files.remove_stale_parts(tmp_path) == 0, "its writer lives"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not target.exists()
    assert files.remove_stale_parts(tmp_path) == 1
    assert names(tmp_path) == []


@pytest.mark.skipif(not POSIX, reason="needs flock")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_without_locks_a_part_in_use_is_not_taken_for_dead(tmp_path, monkeypatch, code):
    import fcntl

    def refuse(handle: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with files.atomic_output(tmp_path / "a.bin") as part:
        part.write_bytes(b"whole")
        hour_ago = time.time() - 3600
        os.utime(part, (hour_ago, hour_ago))
        assert files.remove_stale_parts(tmp_path) == 0
    assert (tmp_path / "a.bin").read_bytes() == b"whole"
    dead = tmp_path / ".b.bin.0123.medenh-part"
    dead.write_bytes(b"half")
    yesterday = time.time() - 86400
    os.utime(dead, (yesterday, yesterday))
    assert files.remove_stale_parts(tmp_path) == 1
    assert names(tmp_path) == ["a.bin"]


def test_only_our_parts_are_cleared(tmp_path):
    for name in ("a.medenh-part", ".a.part", ".medenh-journal"):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (1, 1))
    assert files.remove_stale_parts(tmp_path) == 0
    assert files.remove_stale_parts(tmp_path / "missing") == 0


@pytest.mark.parametrize(
    "relative",
    [
        "../a.png",
        "b/../../a.png",
        "/etc/a.png",
        "",
        ".",
        "..",
        "a\0b.png",
        "x" * 256,
        "é" * 128,
        "b/" + "y" * 300 + "/a.png",
    ],
)
def test_unsafe_names_are_refused(tmp_path, relative):
    with pytest.raises(OutputError):
        files.safe_output_path(tmp_path, relative)


@pytest.mark.parametrize(
    "relative", ["a.png", "b/c/a.png", "..a", "a..b.png", "x" * 255, "é.png", " a"]
)
def test_safe_names_stay_below_the_root(tmp_path, relative):
    path = files.safe_output_path(tmp_path, relative)
    assert path == tmp_path / relative


@pytest.mark.skipif(not POSIX, reason="needs links")
def test_a_link_out_of_the_root_is_refused(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    (root / "fine").mkdir()
    (root / "inner").symlink_to(root / "fine")
    with pytest.raises(OutputError, match="link"):
        files.safe_output_path(root, "link/a.png")

    def write_through_the_loop() -> None:  # which step refuses depends on the Python
        with files.atomic_output(files.safe_output_path(root, "loop/a.png")):
            pass

    with pytest.raises(OutputError):
        write_through_the_loop()
    assert files.safe_output_path(root, "inner/a.png")
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    assert files.safe_output_path(linked, "a.png")
    assert names(outside) == []


def test_sha256(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    assert files.sha256_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_sync_folder_takes_any_path(tmp_path):
    files.sync_folder(tmp_path)
    files.sync_folder(tmp_path / "missing")


def test_read_bytes_has_a_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert files.read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(
        OverBudgetError, match="file of 5 B, more than the limit of 4 B"
    ):
        files.read_bytes(tmp_path / "a", 4)


def test_sizes_are_told_in_the_unit_that_shows_them(tmp_path):
    sizes = (0, 999, 1024, 1536, 70 * 2**20, 4 * 2**30, 5000 * 2**30)
    assert list(map(size_text, sizes)) == [
        "0 B", "999 B", "1 KiB", "1.5 KiB", "70 MiB", "4 GiB", "5,000 GiB",
    ]  # fmt: skip
    with pytest.raises(OverBudgetError) as caught:
        Limits(max_bytes=100).check(tmp_path, 1, 3072, 10)
    assert "3 KiB of pixels, more than the limit of 100 B" in str(caught.value)


@pytest.mark.parametrize(
    ("voxels", "decoded", "on_disk", "passes"),
    [
        (100, 1000, 10, True),
        (101, 1000, 10, False),
        (100, 1001, 10**6, False),
        (1, 900, 9, True),
        (1, 901, 9, False),
        (1, 500, 1, True),
        (1, 1, 1001, False),
    ],
)
def test_limits(tmp_path, voxels, decoded, on_disk, passes):
    limits = Limits(100, 1000, 100.0, 500)
    if passes:
        limits.check(tmp_path, voxels, decoded, on_disk)
        return
    with pytest.raises(OverBudgetError) as caught:
        limits.check(tmp_path, voxels, decoded, on_disk)
    assert re.match(r"raise --max-.* in Python .*Limits\(max_", caught.value.hint)


def test_missing_files_are_said(tmp_path):
    with pytest.raises(UnreadableError, match="does not exist"):
        files.read_head(tmp_path / "a", 10)


def test_a_folder_that_ignores_case_is_told_without_writing(tmp_path):
    (tmp_path / "Name").write_bytes(b"x")
    if (tmp_path / "nAME").exists():
        assert files.ignores_case(tmp_path / "not" / "yet")
        return
    assert not files.ignores_case(tmp_path / "not" / "yet")
    assert not files.ignores_case(tmp_path)
    # as such a file system answers: one file under both names
    (tmp_path / "nAME").hardlink_to(tmp_path / "Name")
    assert files.ignores_case(tmp_path / "not" / "yet")
    assert names(tmp_path) == ["Name", "nAME"]


def test_a_name_key_is_equal_for_names_of_one_file(tmp_path):
    def key(name, ignoring_case):
        return files.name_key(tmp_path / name, ignoring_case=ignoring_case)

    for one, other in (
        ("A.png", "a.PNG"),
        ("e\u0301", "\u00c9"),
        ("STRASSE", "straße"),
    ):
        assert key(one, True) == key(other, True)
        assert key(one, False) != key(other, False)
    assert key("b/../a", False) == key("a", False)


def test_where_nothing_can_be_written_is_known_before(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    files.check_writable(tmp_path / "new" / "folder" / "a.png")
    with pytest.raises(OutputError, match="a file, not a folder"):
        files.check_writable(tmp_path / "file" / "new" / "a.png")
