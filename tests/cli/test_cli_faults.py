"""What goes wrong around a run: an exit code, one clear sentence, and nothing lost."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from medenh.cli.main import main
from medenh.formats import files
from medenh.pipeline import files as pipeline
from medenh.pipeline import plan as planning
from medenh.pipeline.options import EnhanceOptions

COUNT = 4
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
DEGRADE = ("degrade", "--recipe", "gauss-0.1", "--modality", "xray", "--workers", "1")
VERBS = {"enhance": ("enhance", "-m", "identity"), "degrade": DEGRADE}


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.png"))
    }


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        noise = rng.integers(0, 255, (90, 100 + index, 3), np.uint8)
        cv2.imwrite(str(root / f"{index}.png"), noise)
    before = digests(root)
    yield root
    after = digests(root)
    kept = before.keys() & after.keys()
    assert all(after[name] == before[name] for name in kept), "an input was changed"


@pytest.fixture
def run(capsys):
    """Return a command's exit code and what it said; a fault of ours fails here."""

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        err = capsys.readouterr().err
        assert "Traceback" not in err
        assert "fault in medenh" not in err
        return ended.value.code, err

    return run


def lines(err, kind):
    return [line for line in err.splitlines() if line.startswith(f"{kind}: ")]


@pytest.fixture
def mount(tmp_path):
    """Return a function that mounts a small file system of our own."""
    place = tmp_path / "disk"
    place.mkdir()

    def call(*words):
        return subprocess.run(words, capture_output=True).returncode == 0

    def mount(options):
        command = ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
        if not ROOT or shutil.which("mount") is None or not call(*command):
            pytest.skip("only root may mount, and not in every container")
        return place

    yield mount
    call("umount", str(place))


# -- disks and folders


@linux
@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_said_and_the_rest_goes_on_once_there_is_room(
    run, folder, mount, tmp_path, verb
):
    run(*VERBS[verb], folder, "-o", tmp_path / "whole")
    whole = digests(tmp_path / "whole")
    out = mount("size=96k") / "out"
    code, err = run(*VERBS[verb], folder, "-o", out)
    assert code == 1
    assert "no space left on device (free some room" in err
    assert digests(out).items() < whole.items()
    assert not list(out.rglob("*part"))
    remount = ("mount", "-o", "remount,size=4m", str(out.parent))
    subprocess.run(remount, check=True)
    code, err = run(*VERBS[verb], folder, "-o", out)
    assert code == 0, err
    assert digests(out) == whole


@linux
@pytest.mark.parametrize("verb", VERBS)
def test_a_read_only_disk_is_said_once_and_before_the_work(run, folder, mount, verb):
    code, err = run(*VERBS[verb], folder, "-o", mount("ro,size=64k") / "out")
    assert code == 1
    (line,) = lines(err, "error")
    assert "read-only file system" in line
    assert "choose another output folder" in line
    assert not lines(err, "failed")


def without_privileges(*words):
    """Run as an ordinary owner of the files: root reads and writes what it likes."""

    def drop():
        library = ctypes.CDLL(None)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            library.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP

    command = [sys.executable, "-m", "medenh", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=drop if ROOT else None
    )
    assert "Traceback" not in done.stderr
    assert "fault in medenh" not in done.stderr
    return done.returncode, done.stderr


@linux
def test_an_unreadable_file_and_folder_cost_only_themselves(folder, tmp_path):
    (folder / "closed").mkdir()
    unreadable = [folder / "closed", folder / "2.png"]
    for path in unreadable:
        path.chmod(0)
    try:
        named = sorted(folder.glob("*.png"))
        words = ("enhance", "-m", "identity", "-o")
        one = without_privileges(*words, tmp_path / "a", folder)
        other = without_privileges(*words, tmp_path / "b", *named)
    finally:
        for path in unreadable:
            path.chmod(0o700)
    for code, err in (one, other):
        assert code == 1
        assert "2.png: may not be read (check its permissions)" in err
        assert "3 written" in err
    assert "closed: folder cannot be read: permission denied" in one[1]


@linux
@pytest.mark.parametrize("verb", VERBS)
def test_a_read_only_folder_is_said_once_and_before_the_work(folder, tmp_path, verb):
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    try:
        code, err = without_privileges(*VERBS[verb], folder, "-o", out)
    finally:
        out.chmod(0o700)
    assert code == 1
    (line,) = lines(err, "error")
    assert "permission denied (choose a folder you may write to)" in line
    assert list(out.iterdir()) == []


def test_no_home_and_no_temporary_folder(run, folder, tmp_path, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    for name in ("MEDENH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nobody")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", none)
    code, err = run("enhance", "-m", "stretch", folder, "-o", tmp_path / "out")
    assert code == 0, err
    assert len(digests(tmp_path / "out")) == COUNT


# -- memory

LIMITED = """
import re, resource, sys
from pathlib import Path
from medenh.cli.main import main

def run(*words):
    try:
        main(words)
    except SystemExit as ended:
        return ended.code

room, model, source, target, *words = sys.argv[1:]
assert run("enhance", source, "-o", target, "-m", model, "-q") == 0  # loads all
held = re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
limit = int(held) * 1024 + int(room)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(run(*words))
"""


@linux
@pytest.mark.parametrize(
    ("model", "room_mib"),
    [
        ("clahe", 64),  # the large picture cannot even be read
        ("clahe", 300),  # read, and not enhanced
        ("fast-fundus", 400),  # small ones too have none beside it, and are tried again
    ],
)
def test_a_picture_too_large_for_memory_costs_only_itself(
    run, folder, tmp_path, model, room_mib
):
    words = ("-m", model, "--json")
    assert run("enhance", folder, "-o", tmp_path / "whole", *words)[0] == 0
    large = np.zeros((9000, 9000, 3), np.uint8)
    large[:] = (np.arange(9000) % 256)[:, None]
    cv2.imwrite(str(folder / "1-large.png"), large)
    out = tmp_path / "out"
    first = (room_mib << 20, model, folder / "0.png", tmp_path / "first.png")
    told = map(str, (*first, "enhance", folder, "-o", out, *words))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *told], capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    (failed,) = json.loads(done.stdout)["failed"]
    assert failed["path"] == str(folder / "1-large.png")
    assert failed["code"] == "out-of-memory"
    assert done.returncode == 5
    assert digests(out) == digests(tmp_path / "whole")
    assert not list(out.glob(".*part"))


# -- files that change while a run goes on


def test_a_file_that_vanishes_after_the_plan_costs_itself(
    run, folder, tmp_path, monkeypatch
):
    plan = planning.make_plan

    def then_delete(*words, **options):
        made = plan(*words, **options)
        (folder / "1.png").unlink()
        return made

    monkeypatch.setattr(pipeline, "make_plan", then_delete)
    code, err = run("enhance", "-m", "identity", folder, "-o", tmp_path / "out")
    assert code == 1
    (line,) = lines(err, "failed")
    assert line.endswith("1.png: does not exist")
    assert len(digests(tmp_path / "out")) == COUNT - 1


def test_two_runs_on_one_folder_never_replace_each_others_work(
    run, folder, tmp_path, monkeypatch
):
    out, plan = tmp_path / "out", planning.make_plan

    def while_another_runs(*words, **options):
        made = plan(*words, **options)
        monkeypatch.setattr(pipeline, "make_plan", plan)
        other = EnhanceOptions(model="identity")
        assert not pipeline.enhance_files([folder], out, other).failed
        return made

    monkeypatch.setattr(pipeline, "make_plan", while_another_runs)
    code, err = run("enhance", "-m", "stretch", folder, "-o", out)
    assert code == 1
    assert len(lines(err, "failed")) == COUNT
    assert "another run writes here too (when that has ended" in err
    # all is as the first left it, and known to be so
    code, err = run("enhance", "-m", "identity", folder, "-o", out)
    assert code == 0
    assert f"0 written, {COUNT} skipped" in err


def test_two_runs_of_degrade_on_one_folder_lose_no_record(run, folder, tmp_path):
    out = tmp_path / "out"
    words = (*DEGRADE, folder, "-o", out)
    assert run(*words)[0] == 0
    with (out / ".medenh-degrade.jsonl").open("ab") as held:
        files.try_lock(held.fileno())
        code, err = run(*words, "--seed", "7", "--on-exists", "rename")
    assert code == 1
    (line,) = lines(err, "error")
    assert "another run writes into this folder (wait until it has ended" in line
    assert len((out / "records.jsonl").read_text().splitlines()) == COUNT
    code, err = run(*words)
    assert code == 0
    assert f"{COUNT} skipped" in err


def test_a_clock_that_goes_backwards_changes_nothing(
    run, folder, tmp_path, monkeypatch
):
    moment = time.time()
    # inputs from the future, and from before there was a clock
    os.utime(folder / "0.png", (moment + 1e6, moment + 1e6))
    os.utime(folder / "1.png", (-1e6, -1e6))

    def backwards():
        nonlocal moment
        moment -= 3600.0
        return moment

    monkeypatch.setattr(time, "time", backwards)
    words = ("enhance", "-m", "identity", folder, "-o", tmp_path / "out")
    code, err = run(*words)
    assert (code, len(digests(tmp_path / "out"))) == (0, COUNT), err
    code, err = run(*words)
    assert code == 0
    assert f"0 written, {COUNT} skipped" in err


# -- names


def test_an_output_that_is_the_input_is_refused(run, folder, tmp_path):
    policy = ("-m", "stretch", "--on-exists", "overwrite")
    one = folder / "0.png"
    code, err = run("enhance", *policy, one, "-o", one)
    assert code == 2
    assert "is the input itself (choose another output)" in err
    code, err = run("enhance", *policy, folder, "-o", folder / ".." / "in")
    assert code == 2
    assert "the output folder is the input folder" in err
    (tmp_path / "twin.png").hardlink_to(one)
    code, err = run("enhance", *policy, one, "-o", tmp_path / "twin.png")
    assert code == 1
    assert "the input" in lines(err, "failed")[0]


@linux
def test_links_that_lead_back_to_themselves(run, folder, tmp_path):
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    ring = tmp_path / "ring"
    ring.symlink_to(ring)
    (folder / "ring").symlink_to(folder)
    words = ("enhance", "-m", "identity")
    code, err = run(*words, loop, "-o", tmp_path / "a.png")
    assert (code, len(lines(err, "failed"))) == (3, 1)
    assert "too many levels of symbolic links" in err
    for verb in VERBS.values():
        code, err = run(*verb, folder, "-o", ring)
        assert (code, len(lines(err, "error"))) == (2, 1)
        assert "is a link that leads nowhere (choose another" in err
    code, err = run(*words, folder, "-o", ring / "below")
    assert code == 1
    assert "cannot be resolved" in err
    code, err = run(*words, folder, "-o", tmp_path / "out")
    assert code == 0, err
    assert len(digests(tmp_path / "out")) == COUNT
    code, err = run("evaluate", folder, folder, "--csv", ring / "scores.csv")
    assert (code, len(lines(err, "error"))) == (1, 1)


@pytest.mark.parametrize("verb", VERBS)
def test_names_that_differ_in_case_only_are_told_apart(
    run, folder, tmp_path, monkeypatch, verb
):
    names = ["A.png", "a.png", "e\u0301.png", "\u00e9.png"]
    try:
        for index, name in enumerate(names):
            (folder / f"{index}.png").rename(folder / name)
        if len(list(folder.iterdir())) < COUNT:
            pytest.skip("the file system of this test ignores case")
        for module in ("plan", "degrade_draft"):
            place = f"medenh.pipeline.{module}.ignores_case"
            monkeypatch.setattr(place, lambda folder: True)
        code, err = run(*VERBS[verb], folder, "-o", tmp_path / "out")
        assert code == 1
        assert len(lines(err, "failed")) == 2
        assert "A.png as well, where names ignore case" in err
        assert len(digests(tmp_path / "out")) == 2
        monkeypatch.undo()
        code, err = run(*VERBS[verb], folder, "-o", tmp_path / "other")
        assert (code, len(digests(tmp_path / "other"))) == (0, COUNT), err
    finally:
        for index, name in enumerate(names):
            (folder / name).rename(folder / f"{index}.png")


# -- many runs in one process


@linux
def test_many_files_leave_neither_open_files_nor_threads(run, folder, tmp_path):
    import threading

    for index in range(COUNT, 60):
        shutil.copy(folder / "0.png", folder / f"{index}.png")
    (folder / "bad.png").write_bytes((folder / "0.png").read_bytes()[:900])

    def held():
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    def once(name):
        words = ("enhance", "-m", "identity", folder, "-o", tmp_path / name)
        assert run(*words)[0] == 1

    once("first")  # lazy imports open what stays open
    before = held()
    once("second")
    after = held()
    (folder / "bad.png").unlink()
    assert after[0] <= before[0]
    assert after[1] <= before[1]


@pytest.mark.parametrize("verb", [["demo"], ["train", "dpe"], ["models", "remeasure"]])
@pytest.mark.parametrize("name", ["-", ""])
def test_no_folder_is_made_of_a_name_that_is_none(
    verb, name, run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, said = run(*verb, "-o", name)
    assert code == 2
    assert "pipe" in said or "empty" in said
    assert not list(tmp_path.iterdir())


_IN_A_FOLDER_THAT_IS_NO_MORE = """
import os, sys
os.chdir(sys.argv[1])
os.rmdir(sys.argv[1])
import medenh
from medenh.cli.main import main
from medenh.errors import UsageError
from medenh.zoo.load import load_network
from medenh.zoo.manifest import load_manifest

calls = (
    medenh.read,
    medenh.enhance,
    lambda path: medenh.enhance([path], "out"),
    lambda path: medenh.evaluate(path, "b.png"),
    lambda path: medenh.degradations.find_recipe("a.toml"),
    lambda path: load_network(load_manifest().get("fast-general")),
)
assert "torch" not in sys.modules
for call in calls:
    try:
        call("a.png")
    except UsageError as error:
        assert "present folder was removed" in str(error), error
    else:
        raise AssertionError(call)
main(sys.argv[2:])
"""


@linux
@pytest.mark.parametrize("verb", [*VERBS.values(), ("inspect",), ("demo", "-o")])
def test_a_present_folder_that_is_no_more_is_said(tmp_path, verb):
    words = (*verb, "a.png", *(("-o", "out") if verb in VERBS.values() else ()))
    code = _IN_A_FOLDER_THAT_IS_NO_MORE
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "gone", *words],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "error: the present folder was removed" in done.stderr
