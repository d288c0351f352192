"""Folders of the user's own files to learn from."""

import shutil
from dataclasses import replace

import cv2
import nibabel
import numpy as np
import pytest

import medenh
from medenh.errors import UsageError
from medenh.pipeline.degrade import degrade_files
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.tasks import get_task
from medenh.training.config_file import load_config
from medenh.training.data import CleanImage, check_masks, hold_back, tell_parts
from medenh.training.folders import load_folder
from medenh.training.labelled import load_parts
from medenh.training.loop import train
from medenh.training.sources import load_sources


def _write(folder, name, seed, shape=(40, 52, 3), dtype=np.uint8):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(0, top + 1, shape, dtype)
    cv2.imwrite(str(path), pixels)
    return pixels[..., ::-1] if len(shape) == 3 else pixels[..., None]


@pytest.fixture
def clean(tmp_path):
    folder = tmp_path / "clean"
    for patient in range(6):
        for eye in ("left", "right"):
            _write(folder, f"p{patient}/{eye}.png", 2 * patient + (eye == "right"))
    return folder


def test_depth_names_and_patients(clean):
    deep = _write(clean, "p0/deep.png", 99, (30, 30), np.uint16)
    images = {image.name: image for image in load_folder(str(clean), 200)}
    assert len(images) == 13
    np.testing.assert_array_equal(images["p0/deep.png"].pixels, deep)
    assert images["p0/deep.png"].pixels.dtype == np.uint16
    assert images["p0/left.png"].group == images["p0/right.png"].group == "p0"
    assert max(i.pixels.shape[0] for i in load_folder(str(clean), 20)) <= 20


def test_partners_are_found_by_name_and_broken_files_left_out(clean, tmp_path):
    low = tmp_path / "low"
    for patient in range(4):
        _write(low, f"p{patient}/left.tif", 50 + patient)
    (low / "p0" / "left.tif").write_bytes(b"II*\0broken")
    images = load_folder(str(clean), 200, low=str(low))
    assert [image.name for image in images] == [f"p{i}/left.png" for i in (1, 2, 3)]
    assert all(image.low.shape == image.pixels.shape for image in images)


def _pair(tmp_path, name, low, high):
    for folder, values in (("lows", low), ("highs", high)):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".npy"):
            np.save(path, values)
        elif name.endswith(".tif"):
            cv2.imwrite(str(path), values)
        else:
            nibabel.save(nibabel.Nifti1Image(values[..., None], np.eye(4)), path)
    (image,) = load_folder(str(tmp_path / "highs"), 200, low=str(tmp_path / "lows"))
    return image.low / 65535, image.pixels / 65535


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.nii.gz"])
def test_partners_share_the_range_of_the_low_one(tmp_path, name, caplog):
    high = np.random.default_rng(0).normal(900, 100, (64, 64)).astype(np.float32)
    low, clean = _pair(tmp_path, name, high - 150, high)
    inside = (low > 0) & (low < 1) & (clean > 0) & (clean < 1)
    gain = (clean - low)[inside]
    assert np.ptp(gain) < 1e-4  # rounding to 16 bits
    wide = np.subtract(*np.percentile(high, [99.5, 0.5]))
    assert gain.mean() == pytest.approx(150 / wide, rel=0.05)
    assert (clean == 1).mean() > 2 * (low == 1).mean()
    (told,) = caplog.messages
    share = 100 * ((clean == 1) & (low < 1)).mean()
    assert "partner: 1, the worst" in told
    assert f"highs/{name} in {share:.0f} %" in told


def test_integers_share_a_range_with_floats_and_a_shorter_depth(tmp_path, caplog):
    high = np.random.default_rng(0).integers(2000, 5000, (64, 64)).astype(np.uint16)
    low, clean = _pair(tmp_path, "a.tif", high // 2, high)
    np.testing.assert_array_equal(np.rint(clean * (2**14 - 1))[..., 0], high)
    assert np.median(clean / low) == pytest.approx(2, rel=0.01)
    (told,) = caplog.messages
    assert "read with it all the same: 1, the first" in told
    assert "enhance --bits" in told
    caplog.clear()
    low, clean = _pair(
        tmp_path / "float", "a.npy", high, (high + 300).astype(np.float32)
    )
    assert np.median(clean - low) == pytest.approx(300 / (2**14 - 1), rel=0.01)
    assert not caplog.text


def test_partners_of_different_types_keep_their_own_white(tmp_path, caplog):
    high = np.random.default_rng(0).integers(0, 256, (64, 64, 1)).astype(np.uint8)
    _, clean = _pair(tmp_path, "a.npy", high.astype(np.float32) / 255, high)
    np.testing.assert_array_equal(np.rint(clean * 65535), high)
    assert not caplog.text


def test_no_clean_pixel_is_clipped_to_the_depth_of_a_dark_partner(tmp_path, caplog):
    high = np.random.default_rng(0).integers(0, 65536, (64, 64)).astype(np.uint16)
    for part in (4, 10, 60):
        low, clean = _pair(tmp_path / str(part), "a.tif", high // part, high)
        np.testing.assert_array_equal(np.rint(clean * 65535)[..., 0], high)
        np.testing.assert_array_equal(np.rint(low * 65535)[..., 0], high // part)
    assert "units" not in caplog.text
    _pair(tmp_path / "8 bits", "a.tif", high // 257, high)
    assert "save pairs in the same units" in caplog.text


def test_a_window_that_clips_both_of_a_pair_alike_is_not_told(tmp_path, caplog):
    high = np.random.default_rng(0).normal(900, 100, (64, 64)).astype(np.float32)
    high[:20] = 3000
    low = high.copy()
    low[20:] += np.random.default_rng(1).normal(0, 5, (44, 64))
    _, clean = _pair(tmp_path, "a.npy", low, high)
    assert (clean == 1).mean() > 0.3
    assert not caplog.text


def test_partners_in_other_units_are_told(tmp_path, caplog):
    high = np.random.default_rng(0).normal(900, 100, (64, 64)).astype(np.float32)
    _pair(tmp_path, "a.npy", high / 1000 - 2, high)
    assert "save pairs in the same units" in caplog.text


def test_all_pairs_that_differ_are_told_at_once_with_their_own_sizes(clean, tmp_path):
    low = tmp_path / "low"
    for patient in range(6):
        for eye in ("left", "right"):
            _write(low, f"p{patient}/{eye}.png", 50, (80, 104, 3))
    _write(low, "p0/left.png", 50, (40, 52))
    np.save(clean / "p0" / "stack.npy", np.zeros((5, 30, 20, 1), np.uint8))
    np.save(low / "p0" / "stack.npy", np.ones((4, 30, 20, 1), np.uint8))
    with pytest.raises(UsageError) as caught:
        load_folder(str(clean), 20, low=str(low))
    said = str(caught.value)
    assert "channels: 13 of 13" in said
    assert said.count("its clean partner") == 10
    assert "and 3 more" in said
    high = clean / "p0"
    partners = f"with 1 channel, its clean partner {high}"
    assert f"is 1 frame of 40 x 52 {partners}/left.png 1 frame of 40 x 52 with" in said
    assert f"is 4 frames of 30 x 20 {partners}/stack.npy 5 frames of 30 x 20" in said
    assert "80 x 104" in said


def test_what_does_not_fit_costs_itself_alone(clean, tmp_path, caplog):
    low, masks = tmp_path / "low", tmp_path / "masks"
    for patient in range(6):
        _write(low, f"p{patient}/left.png", 50 + patient)
        _write(masks, f"p{patient}/left.png", 3, (40, 52))
    _write(low, "p1/left.png", 50, (80, 104, 3))
    _write(masks, "p2/left.png", 3, (20, 52))
    _write(masks, "p3/left.png", 3, (40, 52, 3))  # colour noise: a photograph
    (masks / "p4/left.png").write_bytes((masks / "p0/left.png").read_bytes()[:-60])
    found = load_folder(
        str(clean), 200, low=str(low), masks=str(masks), task=get_task("lesion-derm")
    )
    assert [image.name for image in found] == ["p0/left.png", "p5/left.png"]
    said = caplog.text
    assert "left out, pairs that differ in frames, size or channels: 1 of 6" in said
    assert f"{low / 'p1/left.png'} is 1 frame of 80 x 104" in said
    for name, why in (
        ("p2", f"its mask {masks / 'p2/left.png'} is of another size"),
        ("p3", "a photograph, not a mask"),
        ("p4", "not a readable mask"),
    ):
        assert f"{name}/left.png is left out: {why}" in said


def test_labels_and_masks(clean, tmp_path, caplog):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\np1/left.png,malignant\nright.png,0\n")
    task = get_task("class-derm")
    images = load_folder(str(clean), 200, labels=str(labels), task=task)
    assert {image.label for image in images} == {0, 1}
    inside = shutil.copy(labels, clean)
    load_folder(str(clean), 200, labels=str(inside), task=task)
    assert not any("passed over" in said for said in caplog.messages)
    labels.write_text("file,label\nleft.png,strange\n")
    with pytest.raises(UsageError, match="'strange' is no label of task class-derm"):
        load_folder(str(clean), 200, labels=str(labels), task=task)
    labels.write_text("file,label\nlé.png,benign\n", "latin-1")
    with pytest.raises(UsageError, match="cannot read the labels"):
        load_folder(str(clean), 200, labels=str(labels), task=task)
    masks = tmp_path / "masks"
    for patient in range(3):
        _write(masks, f"p{patient}/left.png", 3, (40, 52))
    found = load_folder(str(clean), 200, masks=str(masks), task=get_task("lesion-derm"))
    assert [image.mask.shape for image in found] == [(40, 52, 1)] * 3


def test_a_run_on_folders(clean, tmp_path, tiny_settings):
    more = ["data.root=''", "data.packs=[]", f"data.high='{clean.as_posix()}'",
            "data.recipes={cofe-111=1.0}", "network.architecture=nafnet",
            "condition_batch=0", "teacher_share=0", "steps=2", "validate_every=2",
            "data.holdout_share=0.3", "batch=2"]  # fmt: skip
    config = load_config("dpe-general", [*tiny_settings, *more])
    sources = load_sources(config)
    assert {image.modality for image in sources.learnt} == {"fundus"}
    groups = [
        {image.group for image in part} for part in (sources.learnt, sources.held)
    ]
    assert not groups[0] & groups[1]
    assert train(config, tmp_path / "run").finished


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_real_share_says_how_many_patients_are_never_seen_clean(
    clean, tiny_settings, share
):
    more = ["data.root=''", "data.packs=[]", f"data.high='{clean.as_posix()}'",
            "data.recipes={cofe-111=1.0}", "data.real_qualities=[]",
            "data.real_recipes={cofe-111=1.0}",
            f"data.real_share={share}", "condition_batch=0",
            "teacher_share=0"]  # fmt: skip
    sources = load_sources(load_config("hqg-fundus", [*tiny_settings, *more]))
    good, low = ({one.group for one in part} for part in (sources.learnt, sources.real))
    assert good
    assert low
    assert not good & low
    assert (len(low) > len(good)) is (share > 0.5)


@pytest.mark.parametrize("inside", ["p0/run", "."])
def test_what_a_run_drew_is_no_picture_to_learn_from(
    clean, tiny_settings, caplog, inside
):
    settings = [*tiny_settings, "data.packs=[]", f"data.high='{clean.as_posix()}'"]
    caplog.set_level("INFO", "medenh")
    names = [one.name for one in load_folder(str(clean), 64)]
    run = clean / inside
    train(load_config("dpe-general", [*settings, "steps=2", "validate_every=1"]), run)
    assert (run / "curve.png").is_file()
    assert (run / "samples.png").is_file()
    assert [one.name for one in load_folder(str(clean), 64)] == names
    assert f"{clean}: left out 2 pictures that training drew" in caplog.messages
    longer = load_config("dpe-general", [*settings, "steps=3", "validate_every=1"])
    assert train(longer, run, resume=True).step == 3


@pytest.mark.parametrize("verb", ["enhance", "degrade"])
def test_what_earlier_runs_wrote_is_nothing_to_learn_from(clean, caplog, verb):
    names = [one.name for one in load_folder(str(clean), 64)]
    out = clean / "p0" / "out"
    if verb == "enhance":
        medenh.enhance(clean, out, model="stretch")
    else:
        degrade_files([clean], out, DegradeOptions(recipes=("dpe",), modality="fundus"))
    assert any(path.suffix == ".png" for path in out.rglob("*"))
    assert [one.name for one in load_folder(str(clean), 64)] == names
    assert "1 folder of earlier outputs" in caplog.text
    # named by itself it is what the user wants, as the low-quality partners are
    assert len(load_folder(str(out), 64)) == len(names)
    assert len(load_folder(str(clean), 64, low=str(out))) == len(names)


def test_names_of_drawings_alone_leave_nothing_out(clean, tmp_path):
    for name in ("curve.png", "samples.png", "sweep.png"):
        _write(clean, f"p0/{name}", 70 + len(name))
    (clean / "p0" / "log.csv").write_text("mine")
    assert len(load_folder(str(clean), 64)) == 15
    drawn = tmp_path / "drawn"
    for name in ("sweep.png", "frontier.png"):
        _write(drawn, name, len(name))
    for name in ("runs.csv", "summary.csv"):
        (drawn / name).write_text("variant")
    with pytest.raises(UsageError, match="no image to learn from"):
        load_folder(str(drawn), 64)


def test_a_recipe_for_another_kind_is_refused(clean, tmp_path, tiny_settings):
    more = ["data.root=''", "data.packs=[]", f"data.high='{clean.as_posix()}'",
            "data.recipes={cofe-111=1.0}", "data.modality=xray",
            "network.architecture=nafnet", "condition_batch=0", "teacher_share=0",
            "data.holdout_share=0.3"]  # fmt: skip
    with pytest.raises(UsageError, match="none of the recipes cofe-111 is for xray"):
        train(load_config("dpe-general", [*tiny_settings, *more]), tmp_path / "run")


def test_a_severity_that_no_recipe_follows_is_told(clean, tiny_settings, caplog):
    more = ["data.packs=[]", f"data.high='{clean.as_posix()}'", "data.severity=3",
            "data.recipes={dpe=1.0, 'gauss-0.2'=1.0}"]  # fmt: skip
    load_sources(load_config("dpe-general", [*tiny_settings, *more]))
    (told,) = [word for word in caplog.messages if "severity" in word]
    assert told.startswith("data.severity changes nothing in gauss-0.2:")


def test_a_task_for_another_kind_is_refused(clean, tiny_settings):
    more = ["data.packs=[]", f"data.high='{clean.as_posix()}'",
            "data.recipes={dpe=1.0}", "promote.task=vessels-fundus",
            "promote.rule=sum", "promote.loss=unsupervised"]  # fmt: skip
    for kind in ("data.modality=fundus", "seed=0"):
        assert load_sources(load_config("dpe-general", [*tiny_settings, *more, kind]))
    other = [*tiny_settings, *more, "data.modality=dermoscopy"]
    with pytest.raises(UsageError, match="is for fundus images, not for dermoscopy"):
        load_sources(load_config("dpe-general", other))


@pytest.fixture
def unpaired(clean, tiny_settings):
    return [*tiny_settings, "strategy=still-gan", "network.architecture=stillgan",
            "data.packs=[]", f"data.high='{clean.as_posix()}'", "data.recipes={}",
            "condition_batch=0", "teacher_share=0", "loss.log_mse=0",
            "data.holdout_share=0.3"]  # fmt: skip


@pytest.mark.parametrize("where", ["same", "copied", "inside"])
def test_low_quality_images_that_are_the_clean_ones_are_refused(
    clean, tmp_path, unpaired, where, caplog
):
    real = {"same": clean, "copied": tmp_path / "copy", "inside": clean / "p1"}[where]
    if where == "copied":
        for index, path in enumerate(sorted(clean.rglob("*.png"))):
            real.mkdir(exist_ok=True)
            shutil.copy(path, real / f"other {index}.png")
    config = load_config("dpe-general", [*unpaired, f"data.real='{real.as_posix()}'"])
    with pytest.raises(UsageError, match=r"data\.real are among those of data\.high"):
        load_sources(config)
    if where == "copied":  # some may be alike: blank frames are everywhere
        _write(real, "other 0.png", 77)
        assert len(load_sources(config).real) == 12
        assert "11 low-quality images without partner are among the" in caplog.text


def test_clean_images_inside_the_low_quality_ones_are_refused(
    clean, tmp_path, unpaired
):
    _write(clean.parent, "clean/../poor.png", 77)
    config = load_config("dpe-general", [*unpaired, f"data.real='{tmp_path}'"])
    with pytest.raises(UsageError, match=r"data\.high are among those of data\.real"):
        load_sources(config)


def test_pairs_of_a_picture_with_itself_are_refused(clean, tiny_settings):
    more = ["data.packs=[]", f"data.high='{clean.as_posix()}'", "data.recipes={}",
            f"data.low='{clean.as_posix()}'"]  # fmt: skip
    with pytest.raises(UsageError, match="their own partners"):
        load_sources(load_config("dpe-general", [*tiny_settings, *more]))


def test_the_quality_of_clean_and_real_is_not_the_same(tiny_settings):
    more = ["strategy=still-gan", "network.architecture=stillgan", "data.recipes={}",
            "condition_batch=0", "teacher_share=0",
            "data.real_qualities=['good']"]  # fmt: skip
    with pytest.raises(
        UsageError, match=r"real_qualities are among .* data\.qualities"
    ):
        load_sources(load_config("dpe-general", [*tiny_settings, *more]))


def test_an_empty_folder_is_a_clear_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match="empty"):
        load_folder(str(tmp_path / "empty"), 100)


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_a_recogniser_learns_from_a_folder(clean, tmp_path, kind):
    name = {"segmentation": "lesion-derm", "classification": "class-derm"}[kind]
    if kind == "segmentation":
        masks = tmp_path / "masks"
        for patient in range(6):
            _write(masks, f"p{patient}/left.png", patient, (40, 52))
        answers = f"data.masks='{masks.as_posix()}'"
    else:
        labels = tmp_path / "labels.csv"
        rows = [
            f"p{i}/{eye}.png,{eye == 'right':d}"
            for i in range(6)
            for eye in ("left", "right")
        ]
        labels.write_text("\n".join(["file,label", *rows]))
        answers = f"data.labels='{labels.as_posix()}'"
    settings = ["data.root=''", "data.packs=[]", f"data.high='{clean.as_posix()}'",
                "data.datasets={}", answers, "network.preset=tiny", "steps=2",
                "network.start_from=''", "data.size=32", "data.holdout_share=0.4",
                "validate_every=2", "batch=2"]  # fmt: skip
    assert train(load_config(name, settings), tmp_path / "run").finished
    without = [one for one in settings if one != answers]
    with pytest.raises(UsageError, match="a folder's answers are"):
        load_config(name, without)


def test_what_is_left_out_is_said(clean, tmp_path, caplog):
    low = tmp_path / "low"
    for patient in range(6):
        _write(low, f"p{patient}/left.tif", 50 + patient)
    _write(low, "p1/Right.tif", 50)
    (clean / "p1" / "bad.png").write_bytes(b"text")
    (clean / "p1" / "zero.png").write_bytes(b"")
    whole = (clean / "p0" / "left.png").read_bytes()
    (clean / "p6").mkdir(exist_ok=True)
    (clean / "p6" / "cut.png").write_bytes(whole[: len(whole) // 2])
    _write(low, "p6/cut.png", 56)
    assert len(load_folder(str(clean), 200, low=str(low))) == 6
    said = caplog.text
    assert "left out, without partner: 6 of 13 files" in said
    assert "bad.png is left out" in said
    assert f"{clean / 'p6' / 'cut.png'} is left out: " in said
    assert "zero.png is left out" in said
    assert (
        "1 of 8 partners in data.low belong to no image in data.high and are left "
        "out, p1/Right for one"
    ) in said


@pytest.mark.parametrize("what", ["masks", "labels"])
def test_answers_to_no_image_are_said(clean, tmp_path, caplog, what):
    given = tmp_path / what
    if what == "masks":
        for name in ("p1/left.png", "p2/left.png", "p7/left.png"):
            _write(given, name, 5, (40, 52))
        task = get_task("lesion-derm")
    else:
        rows = ["p1/left.png,1", "elsewhere/right.png,0", "p1/ghost.png,1"]
        given.write_text("\n".join(["file,label", *rows]))
        task = get_task("class-derm")
    load_folder(str(clean), 200, **{what: str(given)}, task=task)
    stray = {"masks": "p7/left", "labels": "p1/ghost"}[what]
    assert f"1 of 3 {what} in data.{what} belong to no image" in caplog.text
    assert f"left out, {stray} for one" in caplog.text


def test_a_volume_cannot_have_a_mask(clean, tmp_path, caplog):
    masks = tmp_path / "masks"
    _write(masks, "p1/left.png", 5, (40, 52))
    for folder in (clean, masks):
        volume = nibabel.Nifti1Image(np.zeros((8, 8, 3), np.int16), np.eye(4))
        nibabel.save(volume, folder / "brain.nii.gz")
    (image,) = load_folder(
        str(clean), 200, masks=str(masks), task=get_task("lesion-derm")
    )
    assert image.name == "p1/left.png"
    assert "brain.nii.gz is left out: it is a volume" in caplog.text


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("learns", ["recogniser", "enhancer"])
def test_masks_that_tell_nothing_apart_are_refused(
    clean, tmp_path, tiny_settings, value, learns
):
    masks = tmp_path / "masks"
    for patient in range(6):
        path = masks / f"p{patient}" / "left.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.full((40, 52), value, np.uint8))
    settings = ["data.packs=[]", f"data.high='{clean.as_posix()}'",
                "data.holdout_share=0.4"]  # fmt: skip
    settings += [f"data.masks='{masks.as_posix()}'"]
    if learns == "recogniser":
        config = load_config("lesion-derm", ["data.datasets={}", *settings])

        def load():
            load_parts(config.data, get_task("lesion-derm"))

    else:
        more = ["promote.task=lesion-derm", "promote.loss=supervised"]
        config = load_config("dpe-general", [*tiny_settings, *settings, *more])

        def load():
            load_sources(config)

    with pytest.raises(UsageError, match="of one value throughout"):
        load()


def test_a_class_that_no_mask_shows_is_said(caplog):
    task = get_task("nuclei-micro")
    task = replace(task, classes=("nucleus", "border"))
    mask = np.zeros((4, 4, 2), np.uint8)
    mask[1, 1, 0] = 255
    check_masks([mask, mask], task)
    assert "no mask to learn from tells border from the rest" in caplog.text


def test_labels_as_spreadsheets_save_them_and_no_two_for_one(clean, tmp_path):
    labels, task = tmp_path / "labels.csv", get_task("class-derm")
    labels.write_text("file,label\np1/left.png,malignant\n", "utf-8-sig")
    (image,) = load_folder(str(clean / "p1"), 200, labels=str(labels), task=task)
    assert image.label == task.classes.index("malignant")
    labels.write_text("file,label\na.png,malignant\nleft.png,0\na.png,1\na.png,0\n")
    with pytest.raises(UsageError, match=r"two labels for 'a\.png'"):
        load_folder(str(clean / "p1"), 200, labels=str(labels), task=task)


@pytest.mark.parametrize("what", ["low", "masks", "labels"])
def test_what_has_no_name_of_an_image_is_told(clean, tmp_path, what):
    low, masks, labels = (tmp_path / name for name in ("low", "masks", "labels.csv"))
    task = get_task("class-derm" if what == "labels" else "lesion-derm")
    _write(low, "Aufn. 11.png" if what == "low" else "p1/left.png", 5)
    _write(masks, "Aufn. 11.png" if what == "masks" else "p1/left.png", 5, (40, 52))
    labels.write_text("file,label\nAufn. 11.png,1\n")
    said = (
        rf"no image has a \w+ in data\.{what} of the same name \(for example 'p0/left'"
    )
    with pytest.raises(UsageError, match=rf"{said} here, 'Aufn\. 11' there"):
        load_folder(
            str(clean),
            200,
            low=str(low),
            masks="" if what == "labels" else str(masks),
            labels=str(labels) if what == "labels" else "",
            task=task,
        )


def test_labels_tell_files_of_one_name_apart(clean, tmp_path):
    labels, task = tmp_path / "labels.csv", get_task("class-derm")
    rows = [f"p{i}/left.png,{i % 2}" for i in range(6)]
    labels.write_text("\n".join(["file,label", *rows, "elsewhere/right.png,1"]))
    images = load_folder(str(clean), 200, labels=str(labels), task=task)
    found = {image.name: image.label for image in images}
    lefts = {f"p{i}/left.png": i % 2 for i in range(6)}
    assert found == lefts | {f"p{i}/right.png": 1 for i in range(6)}


@pytest.mark.parametrize("what", ["high", "low", "masks", "labels"])
def test_a_run_does_not_go_on_with_other_pixels(clean, tmp_path, tiny_settings, what):
    name = {"masks": "lesion-derm", "labels": "class-derm"}.get(what, "dpe-general")
    folder = clean if what == "high" else tmp_path / what
    for patient in range(6):
        for eye in ("left", "right"):
            shape = (40, 52) if what == "masks" else (40, 52, 3)
            if what != "high":
                _write(folder, f"p{patient}/{eye}.png", 60 + patient, shape)
    labels = tmp_path / "labels.csv"
    eyes = enumerate(("left", "right"))
    rows = [f"p{i}/{eye}.png,{label}" for label, eye in eyes for i in range(6)]
    labels.write_text("\n".join(["file,label", *rows]))
    answers = labels if what == "labels" else folder
    more = ["data.packs=[]", f"data.high='{clean.as_posix()}'", "condition_batch=0",
            "data.holdout_share=0.4", "teacher_share=0", "data.datasets={}",
            "network.start_from=''"]  # fmt: skip
    if what == "high":
        more.append("data.recipes={cofe-111=1.0}")
    else:
        more += [f"data.{what}='{answers.as_posix()}'", "data.recipes={}"]
    if name == "dpe-general":
        more.append("network.architecture=nafnet")
    config = load_config(name, [*tiny_settings, *more])
    train(config, tmp_path / "run", max_minutes=0)
    if what == "labels":
        labels.write_text(labels.read_text().replace("p1/left.png,0", "p1/left.png,1"))
    else:
        _write(folder, "p1/left.png", 99, shape)
    with pytest.raises(UsageError, match=r"the run began with: p1/left\.png \("):
        train(config, tmp_path / "run", resume=True)


def test_copies_of_a_clean_picture_are_on_one_side(tmp_path):
    clean, low = tmp_path / "high", tmp_path / "low"
    for k in range(6):
        for copy in range(3):
            values = np.random.default_rng(k).normal(900, 100, (24, 24))
            for folder, change in ((clean, 0), (low, 50 * copy + 50)):
                folder.mkdir(exist_ok=True)
                np.save(folder / f"{k} {copy}.npy", values.astype(np.float32) - change)
    images = load_folder(str(clean), 200, low=str(low))
    assert [image.group for image in images] == [
        f"{k} 0" for k in range(6) for _ in "abc"
    ]


def test_patients_who_share_a_picture_are_one(clean):
    for two, one in (("p3", "p5"), ("p1", "p3")):
        shutil.copy(clean / two / "left.png", clean / one / "copy.png")
    for patient in ("p0", "p2"):  # blank ones say nothing
        cv2.imwrite(str(clean / patient / "blank.png"), np.zeros((9, 9), np.uint8))
    images = load_folder(str(clean), 200)
    merged = {image.name[:2]: image.group for image in images}
    assert merged == dict(
        zip(merged, ("p0", "p1", "p2", "p1", "p4", "p1"), strict=True)
    )


@pytest.mark.parametrize("groups", [2, 3, 7])
@pytest.mark.parametrize("share", [1e-9, 0.06, 1 - 1e-9])
def test_of_two_patients_one_is_held_back(groups, share):
    pixels = np.zeros((8, 8, 3), np.uint8)
    images = [
        CleanImage(f"{k}/{eye}", "fundus", "train", f"patient {k}", pixels)
        for k in range(groups)
        for eye in ("left", "right")
    ]
    learnt, held = hold_back(images, share)
    apart = [{image.group for image in part} for part in (learnt, held)]
    assert all(apart)
    assert apart[0].isdisjoint(apart[1])
    assert len(apart[0] | apart[1]) == groups
    assert hold_back(images[:2], share)[int(share < 0.5)] == []


def test_far_more_held_back_than_asked_is_said(tmp_path, tiny_settings, caplog):
    for k in range(10):
        part = "val" if k > 7 else "train"
        _write(tmp_path / "mine", f"{part}/{k}.png", k)
    more = ["data.packs=[]", f"data.high='{(tmp_path / 'mine').as_posix()}'",
            "data.recipes={cofe-111=1.0}"]  # fmt: skip
    load_sources(load_config("dpe-general", [*tiny_settings, *more]))
    assert "8 of 10 images (80%) are held back" in caplog.text
    assert "those of train" in caplog.text
    caplog.clear()
    enough = [*tiny_settings, *more, "data.holdout_share=0.3"]
    load_sources(load_config("dpe-general", enough))
    assert not caplog.text


def test_of_many_groups_held_back_three_are_named(caplog):
    pixels = np.zeros((8, 8, 3), np.uint8)
    images = [CleanImage(g, "fundus", "train", g, pixels) for g in "abcdefgh"]
    tell_parts(images[:5], images[5:], 0.13)
    assert not caplog.text
    tell_parts(images[:3], images[3:], 0.2)
    assert "those of d, e, f and 2 more" in caplog.text


def test_the_settings_that_a_run_left_begin_another(tiny_settings, tmp_path):
    config = load_config("dpe-general", tiny_settings)
    kept = tmp_path / "config.json"
    kept.write_text(config.model_dump_json())
    assert load_config(kept) == config
    assert load_config(kept, ["steps=7"]).steps == 7
    for text in ("{", "[]", "[" * 100_000):
        kept.write_text(text)
        with pytest.raises(UsageError):
            load_config(kept)


def test_one_class_alone_held_back_is_said(clean, tmp_path, caplog):
    labels = tmp_path / "labels.csv"
    rows = [
        f"p{i}/{eye}.png,{int(i == 0)}" for i in range(6) for eye in ("left", "right")
    ]
    labels.write_text("\n".join(["file,label", *rows]))
    settings = ["data.root=''", "data.packs=[]", f"data.high='{clean.as_posix()}'",
                f"data.labels='{labels.as_posix()}'", "data.holdout_share=0.01",
                "data.datasets={}", "network.start_from=''"]  # fmt: skip
    config = load_config("class-derm", settings)
    load_parts(config.data, get_task("class-derm"))
    assert "of one class" in caplog.text
