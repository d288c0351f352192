"""`medenh degrade` as a shell runs it: words, codes, JSON, signals."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

COUNT = 14


def medenh(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "medenh", "degrade", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("degrade") / "in"
    root.mkdir()
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        noise = rng.integers(0, 255, (260, 260 + index, 3), np.uint8)
        cv2.imwrite(str(root / f"{index:02}.png"), noise)
    return root


@pytest.fixture(scope="module")
def undisturbed(folder):
    out = folder.parent / "undisturbed"
    done = medenh(folder, "-o", out, "--recipe", "dpe", "--json", "--workers", 2)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout), done.stderr


def test_json_alone_is_on_stdout(undisturbed):
    out, document, err = undisturbed
    assert err == ""
    assert set(document) == {
        "recipe", "seed", "inputs", "written", "skipped", "skipped_files", "failed",
        "not_made", "passed_over", "files", "warnings", "seconds",
    }  # fmt: skip
    assert document["written"] == document["inputs"] == COUNT
    lines = (out / "records.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        entry["record"] for entry in document["files"]
    ]


def test_the_list_names_recipes_and_needs_no_torch():
    code = (
        "import sys\n"
        "from medenh.cli.main import main\n"
        "try:\n    main(['degrade', '--list'])\n"
        "finally:\n    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "dpe" in done.stdout
    listed = json.loads(medenh("--list", "--json").stdout)
    assert {"name", "modalities", "title"} <= set(listed[0])


def test_a_run_says_one_line_with_the_score(folder, tmp_path):
    done = medenh(folder / "00.png", "-o", tmp_path, "--recipe", "dpe", "--seed", 3)
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "mean PSNR" in done.stderr
    quiet = medenh(folder / "01.png", "-o", tmp_path, "--recipe", "dpe", "-q")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 2


def test_torch_is_not_imported_by_a_run(folder, tmp_path):
    code = (
        "import sys\n"
        "from medenh.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    assert 'torch' not in sys.modules\n"
    )
    words = ["degrade", str(folder / "00.png"), "-o", str(tmp_path), "--recipe", "dpe"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--recipe", "nope"], 2),
        ([], 2),
        (["--recipe", "dpe", "--severity", "9"], 2),
        (["--recipe", "dpe", "--workers", "many"], 2),
        (["--recipe", "dpe", "--mode", "exact"], 2),
        (["--replay", "missing.jsonl"], 2),
    ],
)
def test_wrong_usage_is_2_and_one_line(folder, tmp_path, words, code):
    done = medenh(folder, "-o", tmp_path / "out", *words)
    assert done.returncode == code
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_readable_is_3_and_some_is_1(folder, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    out = tmp_path / "out"
    alone = medenh(bad, "-o", out, "--recipe", "dpe", "--json")
    assert alone.returncode == 3
    assert json.loads(alone.stdout)["failed"][0]["code"] == "unreadable"
    recipes = ("--recipe", "dpe,gauss-0.1")
    both = medenh(bad, folder / "00.png", "-o", out, *recipes)
    assert both.returncode == 1
    assert "failed: " in both.stderr
    assert "2 written, 0 skipped, 1 failed (2 pictures not made), " in both.stderr
    (tmp_path / "empty").mkdir()
    none = medenh(tmp_path / "empty", "-o", out, "--recipe", "dpe")
    assert none.returncode == 3


def test_a_dry_run_writes_nothing(folder, tmp_path):
    out, cut = tmp_path / "out", tmp_path / "cut.png"
    cut.write_bytes((folder / "00.png").read_bytes()[:2000])
    done = medenh(folder, cut, "-o", out, "--recipe", "dpe", "--dry-run")
    assert done.returncode == 0
    assert done.stdout.count("degrade ") == COUNT
    assert f"refuse {cut}: truncated PNG" in done.stdout
    assert not out.exists()


def test_replay_from_the_shell_gives_the_same_bytes(folder, undisturbed, tmp_path):
    out, _, _ = undisturbed
    done = medenh(folder, "-o", tmp_path, "--replay", out / "records.jsonl")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path) == digests(out)


def test_a_replay_without_the_clean_images_says_what_to_give(undisturbed, tmp_path):
    out, _, _ = undisturbed
    done = medenh("-o", tmp_path / "a", "--replay", out / "records.jsonl")
    assert done.returncode == 2
    assert "for a replay those of the clean images" in done.stderr


def start(folder, out, done):
    process = subprocess.Popen(
        [
            sys.executable, "-m", "medenh", "degrade", str(folder), "-o", str(out),
            "--recipe", "dpe", "--workers", "2", "--on-exists", "skip",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while process.poll() is None and len(list(out.glob("*.png"))) < done:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return process


def finished(folder, out):
    words = ("--recipe", "dpe", "--workers", 1, "--on-exists", "skip")
    return medenh(folder, "-o", out, *words)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("seed", range(2))
def test_a_killed_run_goes_on_and_ends_the_same(folder, undisturbed, tmp_path, seed):
    rng = random.Random(seed)
    process = start(folder, tmp_path, rng.randrange(COUNT - 2))
    process.kill()
    process.communicate()
    expected = digests(undisturbed[0])
    shown = {n: d for n, d in digests(tmp_path).items() if not n.startswith(".")}
    assert shown.items() <= expected.items()
    resumed = finished(folder, tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert digests(tmp_path) == expected


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("whole_group", [True, False])
def test_ctrl_c_ends_soon_with_130_and_leaves_nothing(
    folder, undisturbed, tmp_path, whole_group
):
    process = start(folder, tmp_path, 2)
    asked = time.monotonic()
    if whole_group:  # as a terminal does
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    if process.returncode == 0:
        pytest.skip("the run was quicker than the signal")
    assert time.monotonic() - asked < 5
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    left = digests(tmp_path)
    assert not [name for name in left if name.startswith(".")]
    records = (tmp_path / "records.jsonl").read_text().splitlines()
    assert {json.loads(line)["output"] for line in records} == left.keys() - {
        "records.jsonl"
    }
    resumed = finished(folder, tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert digests(tmp_path) == digests(undisturbed[0])


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_a_name_that_is_no_utf_8_costs_its_file(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    cv2.imwrite(str(source / "good.png"), np.zeros((40, 40, 3), np.uint8))
    shutil.copy(source / "good.png", os.fsencode(source) + b"/bad\xff.png")
    done = medenh(source, "-o", tmp_path / "out", "--recipe", "dpe", "--json")
    (failure,) = json.loads(done.stdout)["failed"]
    assert "not UTF-8" in failure["error"]
    assert (done.returncode, (tmp_path / "out" / "good.png").exists()) == (1, True)


def test_a_printed_recipe_is_a_file_to_start_from(folder, tmp_path):
    printed = medenh("--print-recipe", "endo-lowlight")
    assert printed.returncode == 0, printed.stderr
    own = tmp_path / "scope.toml"
    own.write_text(printed.stdout)
    told = json.loads(medenh("--print-recipe", "endo-lowlight", "--json").stdout)
    assert told == {"recipe": "endo-lowlight", "toml": printed.stdout}
    asked = ("--recipe", own, "--seed", 3)
    done = medenh(folder / "00.png", "-o", tmp_path / "own", *asked, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    record = document["files"][0]["record"]
    assert record["preset"] == "scope.toml"
    assert record["recipe_sha256"] == hashlib.sha256(own.read_bytes()).hexdigest()
    named = medenh(
        folder / "00.png", "-o", tmp_path / "named", "--recipe", "endo-lowlight",
        "--seed", 3,
    )  # fmt: skip
    assert named.returncode == 0, named.stderr
    one, other = (
        cv2.imread(str(tmp_path / place / "00.png")) for place in ("own", "named")
    )
    assert np.array_equal(one, other)


def test_a_faulty_recipe_ends_the_run_before_it_begins(folder, tmp_path):
    own = tmp_path / "scope.toml"
    own.write_text('[[steps]]\noperator = "smoke"\nbetta = 1.0\n')
    done = medenh(folder, "-o", tmp_path / "out", "--recipe", own)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "scope.toml: step 1 (smoke), betta: " in done.stderr
    assert "did you mean beta?" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_recipes_are_made_of_is_listed():
    told = json.loads(medenh("--list-operators", "--json").stdout)
    by_name = {one["operator"]: one for one in told}
    assert by_name["smoke"]["parameters"] == ["beta", "airlight", "smoke_seed"]
    assert by_name["cofe-spots"]["parameters"] == []
    assert by_name["glare"]["description"].startswith("highlights: ")
    shown = medenh("--list-operators").stdout
    assert "beta, airlight" in shown
    assert "Density: .3 to 2." in medenh("--list-operators", "-v").stdout


def test_a_recipe_may_lie_in_a_folder_with_commas_in_its_name(folder, tmp_path):
    place = tmp_path / "Scopes, old,new"
    place.mkdir()
    own = place / "a,b.toml"
    own.write_text('[[steps]]\noperator = "gaussian-noise"\n')
    words = ["--recipe", f"dpe,{own}, gauss-0.1", "--workers", 1, "--json"]
    done = medenh(folder / "00.png", "-o", tmp_path / "out", *words)
    assert done.returncode == 0, done.stderr
    made = [entry["record"] for entry in json.loads(done.stdout)["files"]]
    assert [one["preset"] for one in made] == ["dpe", "a,b.toml", "gauss-0.1"]
    assert made[1]["output"] == "00.a,b.png"
    # more letters than a name of a file may have
    words[1] = ",".join([*["gauss-0.1"] * 30, "own.toml"])
    refused = medenh(folder / "00.png", "-o", tmp_path / "more", *words)
    assert refused.returncode == 2, refused.stderr


def test_a_volume_is_written_gzipped_by_the_process_itself(tmp_path):
    import subprocess
    import sys

    import nibabel

    volume = np.random.default_rng(0).random((24, 24, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "v.nii.gz")
    words = [str(tmp_path / "v.nii.gz"), "-o", str(tmp_path / "out"), "--recipe", "dpe"]
    program = [sys.executable, "-m", "medenh", "degrade", *words]
    subprocess.run(program, check=True, capture_output=True, timeout=120)
    assert list((tmp_path / "out").rglob("*.nii.gz"))
