from __future__ import annotations

import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medenh.errors import UsageError
from medenh.pipeline.options import EnhanceOptions, parse_shard, parse_tile
from medenh.pipeline.plan import make_plan, request_hash


def save(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(seed).random((8, 8)))
    return path


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    for index, name in enumerate(("a.npy", "b.npy", "sub/a.npy", "sub/deep/c.npy")):
        save(root / name, index)
    return root


def names(plan, root):
    return [item.targets[0].relative_to(root).as_posix() for item in plan.work]


def test_a_folder_is_mirrored(folder, tmp_path):
    plan = make_plan([folder], tmp_path / "out", EnhanceOptions())
    assert sorted(names(plan, tmp_path / "out")) == [
        "a.npy",
        "b.npy",
        "sub/a.npy",
        "sub/deep/c.npy",
    ]
    assert not (tmp_path / "out").exists()


def test_sub_folders_can_be_left_out(folder, tmp_path):
    plan = make_plan([folder], tmp_path / "out", EnhanceOptions(recursive=False))
    assert names(plan, tmp_path / "out") == ["a.npy", "b.npy"]


def test_an_output_folder_within_the_input_is_not_read_again(folder):
    out = folder / "out"
    save(out / "a.npy")
    plan = make_plan([folder], out, EnhanceOptions(on_exists="overwrite"))
    assert len(plan.work) == 4
    assert not any(item.path.is_relative_to(out) for item in plan.work)


def test_one_file_gets_a_name_beside_it(folder):
    plan = make_plan([folder / "a.npy"], None, EnhanceOptions())
    assert plan.work[0].targets == (folder / "a.enhanced.npy",)
    assert plan.root is None


@pytest.mark.parametrize(
    ("output", "target", "root"),
    [
        ("out.npy", "out.npy", False),
        ("out", "out/a.npy", True),
        ("out.d/", "out.d/a.npy", True),
    ],
)
def test_one_file_goes_to_a_file_or_a_folder(folder, tmp_path, output, target, root):
    plan = make_plan([folder / "a.npy"], f"{tmp_path}/{output}", EnhanceOptions())
    assert plan.work[0].targets == (tmp_path / target,)
    assert (plan.root is not None) == root


@pytest.mark.parametrize("inputs", [["a.npy", "b.npy"], ["."]])
def test_several_files_need_an_output(folder, inputs):
    with pytest.raises(UsageError, match="output folder"):
        make_plan([folder / name for name in inputs], None, EnhanceOptions())


def test_no_input_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no input"):
        make_plan([], tmp_path, EnhanceOptions())


def test_an_input_is_never_an_output(folder, tmp_path):
    options = EnhanceOptions(on_exists="overwrite")
    with pytest.raises(UsageError, match="input folder"):
        make_plan([folder], folder, options)
    with pytest.raises(UsageError, match="input itself"):
        make_plan([folder / "a.npy"], folder / "a.npy", options)
    with pytest.raises(UsageError, match="input itself"):
        make_plan([folder / "a.npy"], folder, options)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(UsageError, match="input folder"):
        make_plan([folder], link, options)


def test_a_file_as_output_of_a_folder_is_refused(folder, tmp_path):
    out = save(tmp_path / "out.npy")
    with pytest.raises(UsageError, match="is a file"):
        make_plan([folder], out, EnhanceOptions())
    (tmp_path / "notes").write_text("no folder")
    with pytest.raises(UsageError, match="is a file") as error:
        make_plan([folder / "a.npy"], tmp_path / "notes", EnhanceOptions())
    assert "several" not in str(error.value)


@pytest.mark.skipif(os.name == "nt", reason="needs pipes")
@pytest.mark.parametrize("policy", ["error", "overwrite"])
@pytest.mark.parametrize("name", ["pipe", "pipe.png"])
def test_a_device_or_pipe_is_no_place_for_a_picture(folder, tmp_path, name, policy):
    os.mkfifo(tmp_path / name)
    bare = folder / "bare"  # an input without extension may have an output without
    shutil.copy(folder / "a.npy", bare)
    asked = EnhanceOptions(on_exists=policy)
    for inputs in ([folder], [folder / "a.npy"], [bare]):
        for place in (tmp_path / name, Path(os.devnull)):
            with pytest.raises(UsageError, match="is no place for a picture") as error:
                make_plan(inputs, place, asked)
            assert "several" not in str(error.value)


def test_two_inputs_with_one_output_are_told_apart(folder, tmp_path):
    inputs = [folder / "a.npy", folder / "sub" / "a.npy"]
    plan = make_plan(inputs, tmp_path / "out", EnhanceOptions())
    assert [item.path for item in plan.work] == inputs[:1]
    assert [failure.path for failure in plan.failed] == inputs[1:]
    assert "as well" in plan.failed[0].reason


@pytest.mark.parametrize(
    ("policy", "work", "skipped", "failed"),
    [
        ("error", 3, 0, 1),
        ("skip", 3, 1, 0),
        ("overwrite", 4, 0, 0),
        ("rename", 4, 0, 0),
    ],
)
def test_what_is_there_already_follows_the_policy(
    folder, tmp_path, policy, work, skipped, failed
):
    out = tmp_path / "out"
    save(out / "b.npy")
    plan = make_plan([folder], out, EnhanceOptions(on_exists=policy))
    assert (len(plan.work), len(plan.skipped), len(plan.failed)) == (
        work,
        skipped,
        failed,
    )
    if policy == "rename":
        assert "b-1.npy" in names(plan, out)


def test_another_format_gives_another_extension(folder, tmp_path):
    options = EnhanceOptions(format="nifti")
    plan = make_plan([folder], tmp_path / "out", options)
    assert names(plan, tmp_path / "out")[0] == "a.nii.gz"
    plan = make_plan([folder / "a.npy"], None, EnhanceOptions(format="png"))
    assert plan.work[0].targets[0].name == "a.enhanced.png"


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shards_are_disjoint_and_complete(folder, tmp_path, count):
    (folder / "bad.npy").write_bytes(b"no")
    everything = make_plan([folder], tmp_path / "out", EnhanceOptions())
    parts = [
        make_plan([folder], tmp_path / "out", EnhanceOptions(shard=(i + 1, count)))
        for i in range(count)
    ]
    paths = [item.path for part in parts for item in part.work]
    assert sorted(paths) == sorted(item.path for item in everything.work)
    assert len(set(paths)) == len(paths)
    failures = [failure.path for part in parts for failure in part.failed]
    assert failures == [failure.path for failure in everything.failed]
    assert len(failures) == 1


def test_a_clash_does_not_depend_on_the_shard(folder, tmp_path):
    inputs = [folder / "a.npy", folder / "sub" / "a.npy"]
    work = [
        item.path
        for i in (1, 2)
        for item in make_plan(
            inputs, tmp_path / "out", EnhanceOptions(shard=(i, 2))
        ).work
    ]
    assert work == inputs[:1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": 1.5},
        {"strength": float("nan")},
        {"tile": 8},
        {"batch": 0},
        {"shard": (3, 2)},
        {"shard": (0, 2)},
        {"format": "gif"},
        {"on_exists": "ask"},
        {"axis": 3},
        {"engine": "onnx"},
        {"precision": "fp8"},
    ],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        EnhanceOptions(**wrong)


@pytest.mark.parametrize(
    "text", ["2", "a/b", "1/", "/2", "1/2/3", "0/0", "3/2", "0/4", "-1/4", "1/-4"]
)
def test_shards_that_are_none_are_refused_by_one_sentence(text):
    with pytest.raises(UsageError) as caught:
        EnhanceOptions(shard=parse_shard(text))
    told = f"shard must be I/N, part I of N with I from 1 to N, as 2/8, not {text!r}"
    assert str(caught.value) == told


def test_tiles_are_words_or_numbers():
    assert [parse_tile(text) for text in ("auto", "off", "256")] == ["auto", "off", 256]
    with pytest.raises(UsageError):
        parse_tile("big")


def test_only_what_changes_outputs_is_in_the_request():
    plain = request_hash(EnhanceOptions())
    assert request_hash(EnhanceOptions(batch=4, shard=(1, 2), offline=True)) == plain
    for other in ({"strength": 0.5}, {"model": "x"}, {"tile": 64}, {"format": "png"}):
        assert request_hash(EnhanceOptions(**other)) != plain


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_a_link_out_of_the_output_folder_is_not_followed(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (out / "sub").symlink_to(tmp_path / "elsewhere")
    plan = make_plan([folder], out, EnhanceOptions())
    assert sorted(names(plan, out)) == ["a.npy", "b.npy"]
    assert len(plan.failed) == 2


def test_an_output_folder_above_the_input_is_no_input(tmp_path):
    scans = tmp_path / "scans"
    save(scans / "raw" / "a.npy")
    save(scans / "raw" / "sub" / "b.npy", 1)
    plan = make_plan([scans / "raw"], scans, EnhanceOptions())
    assert sorted(names(plan, scans)) == ["a.npy", "sub/b.npy"]
    assert not plan.failed


def test_outputs_never_land_among_the_inputs(tmp_path):
    scans = tmp_path / "scans"
    save(scans / "raw" / "raw" / "a.npy")
    plan = make_plan([scans / "raw"], scans, EnhanceOptions())
    assert plan.work == ()
    assert "input folder" in plan.failed[0].reason


def test_an_output_never_replaces_another_input(folder, tmp_path):
    other = save(tmp_path / "out" / "a.npy")
    options = EnhanceOptions(on_exists="overwrite")
    with pytest.raises(UsageError, match="another input"):
        make_plan([folder / "sub" / "a.npy", other], tmp_path / "out", options)


def test_an_empty_part_of_something_is_known_from_nothing(folder, tmp_path):
    part = make_plan([folder], tmp_path / "out", EnhanceOptions(shard=(8, 8)))
    assert (part.inputs, part.found) == (0, 4)
    (tmp_path / "empty").mkdir()
    nothing = make_plan([tmp_path / "empty"], tmp_path / "out", EnhanceOptions())
    assert (nothing.inputs, nothing.found) == (0, 0)


@pytest.mark.parametrize("name", ["x.png", "x.nii.gz", "x.npy"])
def test_a_name_and_a_format_must_agree(folder, tmp_path, name):
    options = EnhanceOptions(format="tiff")
    with pytest.raises(UsageError, match="--format"):
        make_plan([folder / "a.npy"], tmp_path / name, options)
    plan = make_plan([folder / "a.npy"], tmp_path / "x.tif", options)
    assert plan.work[0].targets == (tmp_path / "x.tif",)


@pytest.mark.parametrize(
    ("inputs", "output", "said"),
    [
        (["a.npy"], "c.xyz", r"\.png, .*c\.xyz/"),
        (["a.npy", "b.npy"], "z.png", r"z\.png/"),
        (["."], "z.nii.gz", r"z\.nii\.gz/"),
    ],
)
def test_a_name_that_may_be_a_slip_makes_no_folder(
    folder, tmp_path, inputs, output, said
):
    paths = [folder / name for name in inputs]
    with pytest.raises(UsageError, match=said):
        make_plan(paths, tmp_path / output, EnhanceOptions())
    # a slash, or a folder that is there, says that it is meant
    make_plan(paths, f"{tmp_path / output}/", EnhanceOptions())
    (tmp_path / output).mkdir()
    plan = make_plan(paths, tmp_path / output, EnhanceOptions())
    assert plan.root == tmp_path / output


@pytest.mark.parametrize("inputs", [["a.npy", "b.npy"], ["."]])
def test_a_folder_may_have_a_dot_in_its_name(folder, tmp_path, inputs):
    out = tmp_path / "out.v2"
    plan = make_plan([folder / name for name in inputs], out, EnhanceOptions())
    assert plan.root == out


def test_a_source_without_extension_may_become_one_of_any_name(folder, tmp_path):
    uid = (folder / "a.npy").rename(folder / "1.2.840.1")
    plan = make_plan([uid], tmp_path / "1.2.840.2", EnhanceOptions())
    assert plan.work[0].targets == (tmp_path / "1.2.840.2",)


def test_there_is_no_pipe(folder):
    with pytest.raises(UsageError, match="pipe"):
        make_plan([folder / "a.npy"], "-", EnhanceOptions())


def test_an_option_that_no_input_takes_is_told(folder, tmp_path):
    asked = EnhanceOptions(axis=1, bits=12)  # npy has bits, and no axis to choose
    plan = make_plan([folder], tmp_path / "out", asked)
    told = {remark for item in plan.work for remark in item.remarks}
    assert told == {
        "without effect: --axis 1, in Python axis=1, which is for NIfTI volumes"
    }
    volume = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.float32), np.eye(4))
    nibabel.save(volume, folder / "brain.nii")
    plan = make_plan([folder], tmp_path / "out", asked)
    assert not any(item.remarks for item in plan.work)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("name", ["out.npy", "out"])
def test_a_link_to_nothing_is_no_output(folder, tmp_path, name):
    (tmp_path / name).symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match="link that leads nowhere"):
        make_plan([folder / "a.npy"], tmp_path / name, EnhanceOptions())
