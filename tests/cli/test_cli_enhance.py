from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import nibabel
import numpy as np
import PIL.Image
import pydicom
import pytest
import skimage
import tifffile
from pydicom.data import get_testdata_file

from medenh.cli.main import main


def run(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(root / name), rng.integers(0, 255, (40, 50), np.uint8))
    return root


def test_one_file_is_enhanced_beside_itself(capsys, folder):
    code, out, err = run(capsys, "enhance", folder / "a.png", "-m", "clahe")
    assert (code, out) == (0, "")
    assert (folder / "a.enhanced.png").is_file()
    assert "1 written, 0 skipped, 0 failed" in err
    assert "clahe" in err


def test_a_folder_needs_an_output(capsys, folder):
    code, _, err = run(capsys, "enhance", folder)
    assert code == 2
    assert "-o" in err


def test_json_is_all_there_is_on_stdout(capsys, folder, tmp_path):
    code, out, _ = run(
        capsys, "enhance", folder, "-o", tmp_path / "out", "-m", "identity", "--json"
    )
    document = json.loads(out)
    assert code == 0
    assert (document["written"], document["failed"]) == (2, [])
    assert document["model"] == "identity"
    assert set(document["files"][0]["fidelity"]) == {
        "structure_correlation",
        "clipped_share",
        "mean_shift",
        "brightness_excess",
    }


def test_failures_are_named_with_their_reason(capsys, folder, tmp_path):
    (folder / "bad.png").write_bytes(b"")
    code, _, err = run(
        capsys, "enhance", folder, "-o", tmp_path / "out", "-m", "identity", "-q"
    )
    assert code == 1
    assert err.startswith("failed: ")
    assert "bad.png" in err
    assert "empty" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-m", "clahee"], 2),
        (["--strength", "2"], 2),
        (["--tile", "huge"], 2),
        (["--shard", "3/2"], 2),
        (["--engine", "onnx"], 2),
        (["--device", "abacus"], 2),
        (["--on-exists", "maybe"], 2),
    ],
)
def test_wrong_usage_is_exit_code_two(capsys, folder, tmp_path, words, code):
    got, _, err = run(capsys, "enhance", folder, "-o", tmp_path / "out", *words)
    assert got == code
    assert err
    assert not (tmp_path / "out").exists()


def test_nothing_readable_is_exit_code_three(capsys, tmp_path):
    (tmp_path / "in").mkdir()
    assert run(capsys, "enhance", tmp_path / "in", "-o", tmp_path / "out")[0] == 3
    code, _, err = run(capsys, "enhance", tmp_path / "no.png")
    assert code == 3
    assert "does not exist" in err


def test_a_dry_run_says_what_and_why_and_does_nothing(capsys, folder, tmp_path):
    out_folder = tmp_path / "out"
    code, out, _ = run(capsys, "enhance", folder, "-o", out_folder, "--dry-run")
    assert code == 0
    assert not out_folder.exists()
    assert len(out.splitlines()) == 2
    assert "a.png -> " in out
    assert " by " in out
    _, out, _ = run(capsys, "enhance", folder, "-o", out_folder, "--dry-run", "--json")
    document = json.loads(out)
    assert all(entry["model"] and entry["reason"] for entry in document["work"])


@pytest.mark.parametrize("verb", [["enhance"], ["degrade", "--recipe", "dpe"]])
def test_a_dry_run_over_nothing_says_so(capsys, tmp_path, verb):
    (tmp_path / "in").mkdir()
    asked = [*verb, tmp_path / "in", "-o", tmp_path / "out", "--dry-run"]
    assert run(capsys, *asked) == (
        0,
        "",
        f"nothing to do: {tmp_path / 'in'}: no picture in this folder "
        "(is it the right folder?)\n",
    )
    assert run(capsys, *asked, "-q") == (0, "", "")


def test_a_dry_run_that_reads_files_lists_no_broken_one_as_work(
    capsys, folder, tmp_path
):
    broken = folder / "broken.png"
    broken.write_bytes((folder / "a.png").read_bytes()[:-30])
    _, out, _ = run(capsys, "enhance", folder, "-o", tmp_path / "out", "--dry-run")
    (line,) = [line for line in out.splitlines() if "broken.png" in line]
    assert line.startswith(f"refuse {broken}: truncated PNG")


def test_a_dry_run_knows_which_inputs_strict_refuses(capsys, folder, tmp_path):
    for name in ("astronaut", "retina"):
        pixels = getattr(skimage.data, name)()[..., ::-1]
        small = cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{name}.png"), small)
    asked = ("enhance", folder, "-o", tmp_path / "out", "-m", "fast-fundus", "--strict")
    code, out, _ = run(capsys, *asked, "--dry-run")
    assert code == 6
    refused = [line for line in out.splitlines() if line.startswith("refuse ")]
    assert any("astronaut.png: looks like" in line for line in refused)
    assert not any("retina" in line for line in refused)
    code, out, _ = run(capsys, *asked, "--dry-run", "--json")
    assert code == 6
    foreseen = {entry["path"]: entry["error"] for entry in json.loads(out)["failed"]}
    assert len(foreseen) == len(refused)
    _, out, _ = run(capsys, *asked, "--engine", "torch", "--json")
    failed = {entry["path"]: entry["error"] for entry in json.loads(out)["failed"]}
    assert foreseen.items() <= failed.items()
    code, out, _ = run(capsys, *asked[:-1], "--dry-run")
    assert code == 0
    assert f"enhance {folder / 'astronaut.png'}" in out


def test_the_page_of_a_run_that_went_on_says_what_it_lacks(capsys, folder, tmp_path):
    page, out = tmp_path / "page.html", tmp_path / "out"
    run(capsys, "enhance", folder, "-o", out, "--report", page)
    assert "not on this page" not in page.read_text()
    (folder / "new.png").write_bytes((folder / "a.png").read_bytes())
    run(capsys, "enhance", folder, "-o", out, "--report", page)
    text = page.read_text()
    assert "new.png" in text
    assert "2 files that were there are not on this page" in text


def test_a_report_is_written(capsys, folder, tmp_path):
    page = tmp_path / "page.html"
    run(capsys, "enhance", folder, "-o", tmp_path / "out", "--report", page)
    text = page.read_text()
    assert "a.png" in text
    assert "data:image" in text


def test_a_report_shows_pictures_the_way_they_are_to_be_seen(capsys, tmp_path):
    told = PIL.Image.Exif()
    told[274] = 6  # the first row is the right side
    stored = np.zeros((30, 50, 3), np.uint8)
    stored[:, :20] = 200  # the top, where it is seen
    PIL.Image.fromarray(stored).save(tmp_path / "a.png", exif=told)
    page = tmp_path / "r.html"
    run(capsys, "enhance", tmp_path / "a.png", "-m", "identity", "--report", page)
    pictures = re.findall(r"data:image/\w+;base64,([\w+/=]+)", page.read_text())
    for data in pictures[:2]:
        with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as shown:
            light = np.asarray(shown.convert("L")) > 100
        assert light.shape[0] > light.shape[1]
        assert light[: len(light) // 3].all()
        assert not light[len(light) // 2 :].any()


def test_a_report_tells_files_of_one_name_apart(capsys, folder, tmp_path):
    for place in ("p1", "p2"):
        (folder / place).mkdir()
        cv2.imwrite(str(folder / place / "a.png"), np.eye(40, dtype=np.uint8) * 255)
    volume = np.random.default_rng(0).integers(0, 255, (40, 50, 5), np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "p2" / "v.nii.gz")
    page = tmp_path / "page.html"
    run(
        capsys,
        "enhance",
        folder,
        "-o",
        tmp_path / "out",
        "-m",
        "clahe",
        "--report",
        page,
    )
    text = page.read_text()
    shown = re.findall(r'<h2 id="case-\d+"><bdi>(.*?)</bdi>', text)
    assert sorted(shown) == ["a.png", "b.png", "p1/a.png", "p2/a.png", "p2/v.nii.gz"]
    assert text.count("frame shown") == 1
    assert "3 of 5" in text


def test_a_report_names_the_slice_of_a_series_that_it_shows(capsys, tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    made = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    for index in range(4):  # against the order of names
        made.SOPInstanceUID = f"1.2.3.4.{index}"
        made.ImagePositionPatient = [0, 0, -index]
        made.save_as(root / f"{index}.dcm")
    page = tmp_path / "page.html"
    words = ("-o", tmp_path / "out", "-m", "clahe", "--report", page)
    assert run(capsys, "enhance", root, *words)[0] == 0
    text = page.read_text()
    shown = re.findall(r'<h2 id="case-\d+"><bdi>(.*?)</bdi>', text)
    assert shown == ["1.dcm"]
    assert "3 of 4" in text


def test_inspect_tells_the_format_and_no_more_than_that(capsys, folder):
    code, out, _ = run(capsys, "inspect", folder / "a.png", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["format"] == "png"
    assert (document["height"], document["width"], document["channels"]) == (40, 50, 1)
    assert document["range"] == [0.0, 255.0]
    assert document["range_reason"] == "8-bit"
    assert document["spacing_mm"] == [None, None, None]
    _, out, _ = run(capsys, "inspect", folder / "a.png")
    assert "8-bit" in out


def test_inspect_tells_what_a_picture_looks_like_and_what_auto_takes(capsys, tmp_path):
    eye = Path(skimage.__file__).parent / "data" / "retina.jpg"
    _, out, _ = run(capsys, "inspect", eye, "--json")
    document = json.loads(out)
    assert document["modality"] == "unknown"
    assert "fundus photograph" in document["looks_like"]
    assert document["auto_model"] == "fast-fundus"
    assert "looks like a fundus photograph" in document["auto_reason"]


@pytest.mark.parametrize(("step", "shown"), [(40, "0.04"), (1000, "1")])
def test_inspect_tells_volumes_and_their_step_in_time(capsys, tmp_path, step, shown):
    volumes = nibabel.Nifti1Image(np.zeros((8, 8, 3, 5), np.uint8), np.eye(4))
    volumes.header.set_xyzt_units("mm", "msec")
    volumes.header["pixdim"][4] = step
    nibabel.save(volumes, tmp_path / "a.nii")
    np.save(tmp_path / "b.npy", np.zeros((15, 8, 8), np.uint8))
    _, out, _ = run(capsys, "inspect", *tmp_path.glob("?.n*"), "--json")
    told = {
        Path(one["path"]).name: (one["volumes"], one["time_s"])
        for one in json.loads(out)
    }
    assert told == {"a.nii": (5, pytest.approx(step / 1000)), "b.npy": (1, None)}
    _, out, _ = run(capsys, "inspect", tmp_path / "a.nii")
    assert re.search(r"^volumes +5$", out, re.M)
    assert re.search(rf"^time_s +{shown}$", out, re.M)
    _, out, _ = run(capsys, "inspect", tmp_path / "b.npy")
    assert "volumes" not in out
    assert "time_s" not in out


def test_inspect_says_where_looks_were_not_judged(capsys, tmp_path):
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((16, 16), np.uint8))
    _, out, _ = run(capsys, "inspect", tmp_path / "small.png")
    assert "not judged" in next(
        line for line in out.splitlines() if line.startswith("looks_like")
    )


def test_inspect_takes_several_files_and_a_bad_one_costs_itself(capsys, folder):
    good, bad = folder / "a.png", folder.parent / "bad.png"
    bad.write_text("no picture")
    code, out, err = run(capsys, "inspect", good, bad, good)
    assert code == 1
    assert out.count(str(good)) == 2
    assert str(bad) in err
    code, out, _ = run(capsys, "inspect", good, bad, "--json")
    first, second = json.loads(out)
    assert first["format"] == "png"
    assert (second["path"], second["code"]) == (str(bad), "unreadable")
    code, out, _ = run(capsys, "inspect", good, good, "--json")
    assert code == 0
    assert len(json.loads(out)) == 2


def test_inspect_reads_the_manifest_once(capsys, folder, monkeypatch):
    from medenh.zoo import manifest

    read = []
    load = manifest.load_manifest
    monkeypatch.setattr(manifest, "load_manifest", lambda: read.append(1) or load())
    code, _, _ = run(capsys, "inspect", folder / "a.png", folder / "a.png")
    assert (code, len(read)) == (0, 1)


def test_inspect_does_without_torch(folder):
    words = ["inspect", str(folder / "a.png")]
    code = f"import sys; from medenh.cli.main import main\ntry: main({words!r})\n"
    code += "finally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split()[-1] == "False", done.stderr


def test_inspect_shows_no_patient(capsys, tmp_path):
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID = "SECRET^NAME", "SECRETID"
    dataset.Modality = "DX"
    dataset.Rows = dataset.Columns = 16
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = np.arange(256, dtype="<u2").tobytes()
    path = tmp_path / "x.dcm"
    dataset.save_as(path, enforce_file_format=True)
    code, out, err = run(capsys, "inspect", path)
    assert code == 0, err
    assert "xray" in out
    assert "SECRET" not in out + err


def test_help_is_cheap():
    code = (
        "import sys\n"
        "from medenh.cli.main import main\n"
        "try:\n    main(['enhance', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'cv2', 'pydicom', 'nibabel'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--on-exists" in done.stdout


@pytest.mark.parametrize(
    "verb", [("enhance", "-m", "identity"), ("degrade", "--recipe", "gauss-0.1")]
)
def test_what_is_passed_over_is_one_line_and_in_the_json(
    capsys, folder, tmp_path, verb
):
    for name in ("a.mgz", "b.mgz", "scans.zip", "out/old.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"something else")
    name, *options = verb
    words = [name, folder, *options, "-o"]
    told = "passed over: 2 .mgz, 1 .zip"
    _, _, err = run(capsys, *words, folder / "out", "--dry-run")
    assert err.splitlines() == [told]
    code, out, err = run(capsys, *words, folder / "out")
    assert (code, err.splitlines().count(told)) == (0, 1)
    _, _, err = run(capsys, *words, folder / "out", "-q")
    assert err == ""
    _, out, err = run(capsys, *words, tmp_path / "other", "--json", "--no-recursive")
    assert json.loads(out)["passed_over"] == {".mgz": 2, ".zip": 1}


@pytest.mark.parametrize(
    "verb", [("enhance", "-m", "stretch"), ("degrade", "--recipe", "gauss-0.1")]
)
@pytest.mark.parametrize("shard", [(), ("--shard", "1/1")])
def test_outputs_of_an_earlier_run_are_no_inputs(capsys, folder, verb, shard):
    first = folder / "first"
    run(capsys, "enhance", folder, "-o", first, "-m", "clahe", *shard)
    name, *options = verb
    words = [name, folder, *options, "-o", folder / "second"]
    told = f"folder of earlier outputs ({first})"
    for more in ("--dry-run", "--json"):
        _, out, _ = run(capsys, *words, "--json", more)
        assert json.loads(out)["passed_over"] == {told: 1}
    _, _, err = run(capsys, *words)  # its own folder is none of them
    assert f"passed over: 1 {told}" in err.splitlines()
    assert {path.name for path in (folder / "second").glob("*.png")} == {
        "a.png",
        "b.png",
    }
    assert not (folder / "second" / "first").exists()
    # what is named is taken, by this verb and by evaluate
    code, out, _ = run(capsys, name, first, *options, "-o", folder / "third", "--json")
    assert (code, json.loads(out)["written"]) == (0, 2)
    code, out, _ = run(capsys, "evaluate", first, folder, "--json", "--metrics", "psnr")
    assert code == 0


def test_a_replay_finds_its_inputs_in_folders_of_outputs_too(capsys, folder, tmp_path):
    first, low, again = folder / "first", tmp_path / "low", tmp_path / "again"
    run(capsys, "enhance", folder, "-o", first, "-m", "identity")
    run(capsys, "degrade", first, "-o", low, "--recipe", "gauss-0.1")
    for name in ("a.png", "b.png"):
        (folder / name).unlink()
    words = ("--replay", low / "records.jsonl", "-o", again)
    assert run(capsys, "degrade", folder, *words)[0] == 0
    assert (again / "a.png").read_bytes() == (low / "a.png").read_bytes()


def test_degraded_pictures_are_enhanced_and_not_degraded_again(capsys, folder):
    words = ("degrade", folder, "--recipe", "gauss-0.1", "--workers", "1")
    run(capsys, *words, "-o", folder / "low")
    _, out, _ = run(capsys, *words, "-o", folder / "more", "--dry-run", "--json")
    assert json.loads(out)["passed_over"] == {
        f"folder of earlier outputs ({folder / 'low'})": 1
    }
    assert len(json.loads(out)["work"]) == 2
    (folder / "low" / "records.jsonl").write_text('{"of": "another program"}\n')
    _, out, _ = run(capsys, *words, "-o", folder / "more", "--dry-run", "--json")
    assert len(json.loads(out)["work"]) == 4
    words = ("enhance", folder, "-m", "identity", "-o", folder / "out")
    _, out, _ = run(capsys, *words, "--dry-run", "--json")
    assert len(json.loads(out)["work"]) == 4


@pytest.mark.parametrize(
    "verb", [("enhance", "-m", "identity"), ("degrade", "--recipe", "gauss-0.1")]
)
def test_a_run_tells_where_the_outputs_that_it_skipped_are(
    capsys, folder, tmp_path, verb
):
    name, *options = verb
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"something else")
    words = [name, folder, *options, "-o", out, "--on-exists", "rename", "--json"]
    first, again, foreseen = (
        json.loads(run(capsys, *words, *more)[1]) for more in ([], [], ["--dry-run"])
    )
    assert (first["written"], first["skipped_files"]) == (2, [])
    assert (again["written"], again["skipped"]) == (0, 2)
    assert again["skipped_files"] == foreseen["skipped"]
    assert [one["reason"] for one in again["skipped_files"]] == ["done", "done"]
    assert {(one["path"], one["output"]) for one in again["skipped_files"]} == {
        (one["input"], one["output"]) for one in first["files"]
    }
    assert (out / "a-1.png").is_file()
    words[words.index("rename")] = "skip"
    kept = json.loads(run(capsys, *words)[1])["skipped_files"]
    assert [(Path(one["output"]).name, one["reason"]) for one in kept] == [
        ("a.png", "exists"),
        ("b.png", "done"),
    ]


def test_a_folder_of_other_formats_says_which(capsys, tmp_path):
    (tmp_path / "brain.mgz").write_bytes(b"something else")
    code, _, err = run(capsys, "enhance", tmp_path, "-o", tmp_path / "out")
    assert code == 3
    assert "no picture in this folder (passed over: 1 .mgz)" in err
    assert str(tmp_path) in err
    code, _, err = run(capsys, "evaluate", tmp_path, tmp_path)
    assert code == 3
    assert "no picture in this folder (passed over: 1 .mgz)" in err


def test_json_is_printed_where_nothing_is_found(capsys, tmp_path):
    (tmp_path / "in").mkdir()
    words = ("enhance", tmp_path / "in", "-o", tmp_path / "out", "--json")
    code, out, err = run(capsys, *words)
    document = json.loads(out)
    assert code == 3
    assert (document["inputs"], document["files"]) == (0, [])
    assert document["code"] == "nothing-readable"
    assert "no picture in this folder" in err


def test_an_empty_shard_is_an_empty_success(capsys, folder, tmp_path):
    words = ("-o", tmp_path / "out", "-m", "identity", "--shard", "5/8", "--json")
    code, out, _ = run(capsys, "enhance", folder, *words)
    document = json.loads(out)
    assert code == 0
    assert (document["inputs"], document["written"]) == (0, 0)
    assert "code" not in document


@pytest.mark.parametrize("place", ["in/a.png/page.html", "in", "in/a.png"])
def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    capsys, folder, tmp_path, place
):
    before = (folder / "a.png").read_bytes()
    words = ("-o", tmp_path / "out", "-m", "identity", "--report", tmp_path / place)
    code, _, err = run(capsys, "enhance", folder / "a.png", *words)
    assert code in (1, 2)
    assert "report" in err
    assert not (tmp_path / "out").exists()
    assert (folder / "a.png").read_bytes() == before


def test_a_name_of_another_format_than_asked_for_is_refused(capsys, folder, tmp_path):
    out = tmp_path / "x.png"
    words = ("-o", out, "-m", "identity", "--format", "tiff")
    code, _, err = run(capsys, "enhance", folder / "a.png", *words)
    assert code == 2
    assert "--format" in err
    assert not out.exists()
    words = ("-o", tmp_path / "x.tif", "-m", "identity", "--format", "tiff")
    assert run(capsys, "enhance", folder / "a.png", *words)[0] == 0


@pytest.mark.parametrize("output", ["c.xyz", "-"])
def test_an_output_that_cannot_be_meant_is_wrong_usage(
    capsys, folder, tmp_path, monkeypatch, output
):
    monkeypatch.chdir(tmp_path)
    words = ("-m", "identity", "-o", output)
    code, _, err = run(capsys, "enhance", folder / "a.png", *words)
    assert code == 2
    assert err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_slash_at_the_end_says_folder(capsys, folder, tmp_path):
    words = ("-m", "identity", "-o", f"{tmp_path}/c.xyz/")
    assert run(capsys, "enhance", folder / "a.png", *words)[0] == 0
    assert (tmp_path / "c.xyz" / "a.png").is_file()


def test_a_report_with_the_name_of_the_output_is_refused_before_the_work(
    capsys, folder, tmp_path
):
    words = ("-m", "identity", "-o", tmp_path / "out", "--report", tmp_path / "out")
    code, _, err = run(capsys, "enhance", folder, *words)
    assert (code, "the name of the output" in err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_report_shows_what_changed_most_first(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("medenh.cli.enhance_report._MOST_CASES", 3)
    ramp = np.tile(np.linspace(0, 255, 64), (64, 1))
    for index in range(4):  # by more noise, and against the order of names
        noise = np.random.default_rng(index).normal(0, 25 * index, ramp.shape)
        pixels = (ramp + noise).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"c{3 - index}.png"), pixels)
    (folder / "bad.png").write_bytes(b"")
    page = tmp_path / "page.html"
    words = ("-m", "clahe", "--json", "--report", page)
    _, out, _ = run(capsys, "enhance", folder, "-o", tmp_path / "out", *words)
    kept = {
        Path(file["input"]).name: file["fidelity"]["structure_correlation"]
        for file in json.loads(out)["files"]
    }
    assert len(set(kept.values())) == len(kept) == 6
    text = page.read_text()
    shown = re.findall(r'<h2 id="case-\d+"><bdi>(.*?)</bdi>', text)
    assert shown == sorted(kept, key=kept.get)[:3]
    assert shown != sorted(shown)
    assert "The 3 that changed most of 6 images" in text
    headings = re.findall(r'<h2 id="(?:table|case)-\d+">(.*?)</h2>', text)
    assert (headings[0], headings[-1]) == ("Failed", "Enhanced")
    assert f"Inputs are in {folder}, outputs in {tmp_path / 'out'}." in text


def test_a_report_replaces_nothing_but_pages(capsys, folder, tmp_path):
    words = ("enhance", folder, "-o", tmp_path / "out", "-m", "identity", "--report")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    (folder / "scan").write_bytes((folder / "a.png").read_bytes())
    for place in (folder / "a.png", folder / "scan", notes, tmp_path / "out" / "a.png"):
        code, _, err = run(capsys, *words, place)
        assert code == 2
        assert place.name in err
    assert not (tmp_path / "out").exists()
    assert notes.read_text() == "mine"
    assert {n: (folder / n).read_bytes() for n in before} == before
    page = tmp_path / "page.html"
    assert run(capsys, *words, page)[0] == 0
    assert run(capsys, *words, page, "--on-exists", "overwrite")[0] == 0
    page.write_text("")  # as mktemp leaves it
    again = ("enhance", folder, "-o", tmp_path / "new", "-m", "identity", "--report")
    assert run(capsys, *again, page)[0] == 0
    assert page.read_text().startswith("<!doctype html>")


def test_a_report_does_not_replace_an_output_without_extension(
    capsys, folder, tmp_path
):
    (folder / "b.png").rename(folder / "b")
    out = tmp_path / "out"
    words = ("enhance", folder, "-o", out, "-m", "identity")
    code, _, err = run(capsys, *words, "--report", out / "b")
    assert code == 2
    assert "is not an earlier report" in err
    assert cv2.imread(str(out / "b")) is not None


@pytest.mark.parametrize("words", [("", "-o", "x"), (".", "-o", "")])
def test_an_empty_name_is_not_the_current_folder(capsys, folder, monkeypatch, words):
    monkeypatch.chdir(folder)
    before = sorted(p.name for p in folder.iterdir())
    for verb in (("enhance", "-m", "identity"), ("degrade", "--recipe", "gauss-0.1")):
        code, _, err = run(capsys, *verb, *words)
        assert code == 2
        assert "empty" in err
    assert sorted(p.name for p in folder.iterdir()) == before


def test_a_name_that_becomes_too_long_is_refused(capsys, folder):
    long = folder / ("x" * 250 + ".png")
    (folder / "a.png").rename(long)
    code, _, err = run(capsys, "enhance", long, "-m", "identity")
    assert code == 1
    assert "longer than 255 bytes" in err
    words = ("-o", folder.parent / "out", "-m", "identity", "--uncertainty")
    code, _, err = run(capsys, "enhance", folder, *words)
    assert code == 1
    assert "longer than 255 bytes" in err
    assert "unexpected" not in err


def test_volumes_that_auto_gave_to_another_model_are_done_the_second_time(
    capsys, tmp_path
):
    (tmp_path / "in").mkdir()
    volume = np.random.default_rng(0).normal(40, 5, (20, 22, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "in" / "v.nii")
    words = ("enhance", tmp_path / "in", "-o", tmp_path / "out", "--json")
    first, second = (run(capsys, *words) for _ in range(2))
    assert json.loads(first[1])["files"][0]["model"] == "nlm"
    assert (first[0], second[0]) == (0, 0), second[2]
    assert json.loads(second[1])["skipped"] == 1


def test_a_file_named_as_what_it_is_not_keeps_its_format_and_name(capsys, tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    deep = np.random.default_rng(0).integers(0, 65536, (30, 40), np.uint16)
    content = cv2.imencode(".png", deep)[1].tobytes()
    names = ("a.jpg", "b.tif", "c.nii.gz", "d.dcm", "e.svs", "f")
    for name in names:
        (root / name).write_bytes(content)
    code, _, err = run(capsys, "enhance", root, "-o", out, "-m", "identity")
    assert code == 0, err
    for name in names:
        written = np.frombuffer((out / name).read_bytes(), np.uint8)
        assert bytes(written[:4]) == b"\x89PNG"
        np.testing.assert_array_equal(cv2.imdecode(written, -1), deep)
    assert run(capsys, "enhance", root / "e.svs", "-m", "identity")[0] == 0
    assert (root / "e.enhanced.svs").read_bytes()[:4] == b"\x89PNG"
    words = ("-o", tmp_path / "tiffs", "-m", "identity", "--format", "tiff")
    (root / "a.jpg").unlink()
    assert run(capsys, "enhance", root / "b.tif", root / "e.svs", *words)[0] == 0
    assert {p.name for p in (tmp_path / "tiffs").glob("[!.]*")} == {"b.tif", "e.tif"}


@pytest.mark.parametrize("words", [("--deidentify", "basic"), ("--format", "dicom")])
def test_a_dry_run_knows_what_no_such_file_can_become(capsys, folder, tmp_path, words):
    asked = ("enhance", folder, "-o", tmp_path / "out", "-m", "identity", *words)
    code, said, _ = run(capsys, *asked, "--dry-run")
    assert code == 0
    assert said.count("refuse ") == said.count("DICOM can be written") + said.count(
        "is not DICOM"
    )
    assert said.count("refuse ") == 2
    code, _, err = run(capsys, *asked)
    assert code == 3
    assert err.count("failed: ") == 2
    assert not list((tmp_path / "out").glob("[!.]*"))


@pytest.mark.parametrize("model", ["stretch", "auto"])
def test_a_dry_run_knows_which_frames_do_not_fit(capsys, tmp_path, model):
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    levels = np.random.default_rng(0).integers(0, 255, (4, 36, 40), np.uint8)
    for name, stack in (("many", levels), ("one", levels[:1])):
        np.save(root / f"{name}_a.npy", stack)
        tifffile.imwrite(root / f"{name}_t.tif", stack, photometric="minisblack")
        nibabel.save(nibabel.Nifti1Image(stack.T, np.eye(4)), root / f"{name}_n.nii.gz")
        made = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
        made.NumberOfFrames, made.PixelData = len(stack), made.PixelData * len(stack)
        made.save_as(root / f"{name}_d.dcm")
    asked = ("enhance", root, "-o", out, "-m", model, "--format", "png", "--json")
    foreseen = json.loads(run(capsys, *asked, "--dry-run")[1])
    assert not out.exists()
    found = json.loads(run(capsys, *asked)[1])
    assert len(foreseen["failed"]) == 4
    assert foreseen["failed"] == sorted(found["failed"], key=lambda one: one["path"])
    assert all("frames do not fit" in one["error"] for one in foreseen["failed"])
    assert len(foreseen["work"]) == found["written"] == 4


@pytest.mark.parametrize("model", ["stretch", "auto"])
def test_a_dry_run_knows_which_opacity_does_not_fit(capsys, tmp_path, model):
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    levels = np.random.default_rng(0).integers(0, 255, (36, 40), np.uint8)
    picture = PIL.Image.fromarray(levels)
    picture.save(root / "opaque.png")
    picture.putalpha(200)
    picture.save(root / "veiled.png")
    asked = ("enhance", root, "-o", out, "-m", model, "--format", "nifti", "--json")
    foreseen = json.loads(run(capsys, *asked, "--dry-run")[1])
    found = json.loads(run(capsys, *asked)[1])
    assert foreseen["failed"] == found["failed"]
    (failure,) = found["failed"]
    assert "no grey with opacity" in failure["error"]
    assert len(foreseen["work"]) == found["written"] == 1


def test_equal_warnings_of_many_files_are_one_line(capsys, tmp_path):
    made = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    for index in range(6):  # two series, each parted among three folders
        made.SeriesInstanceUID = f"1.2.3.{index % 2}"
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"1.2.{index}"
        made.ImagePositionPatient = [0, 0, index]
        place = tmp_path / "in" / str(index)
        place.mkdir(parents=True)
        made.save_as(place / "a.dcm")
    words = ("-m", "identity", "--deidentify", "basic", "--json")
    code, out, err = run(
        capsys, "enhance", tmp_path / "in", "-o", tmp_path / "o", *words
    )
    assert code == 0
    for warning in ("no BurnedInAnnotation", "which has 3 in 3 folders"):
        assert out.count(warning) == 6  # in the document each file has its own
        assert err.count(warning) == 1
    first = tmp_path / "o" / "0" / "a.dcm"
    assert err.count(f"warning: {first} and 5 more: ") == 2
